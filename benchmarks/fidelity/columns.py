"""Rows of Sentinel-5P: areas of footprints, thresholds, the month."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import granules
import numpy as np
import test_column
import test_column_months
import test_harp_columns

from benchmarks.fidelity.bench import Bench
from benchmarks.fidelity.mutations import (
    centres_only,
    half_pixel,
    qa_half,
    row_flip,
    short_month,
)
from benchmarks.fidelity.rows import Figures, Measure, Mutation, Row, errors
from stac_lake.grid import Cell
from stac_lake.pixels.column import Column
from stac_lake.recipe import product
from stac_lake.types import Chip, cell_grid

SHARE = "% of spread"
"""Of the footprints' values, which are of chance: nothing smooth hides a misplacement."""
FARM = Cell(772176)
MIDDAYS = (
    ("2021-11-30T23:00:00", 100e-5),  # its middle is ten minutes before the month
    ("2021-11-30T23:20:00", 1e-5),
    ("2021-12-15T19:00:00", 2e-5),
    ("2021-12-31T19:00:00", 4e-5),
    ("2021-12-31T23:00:00", 8e-5),
    ("2021-12-31T23:20:00", 100e-5),  # its middle is ten minutes after the month
)
"""When granules begin, and their value; the first and the last are not December's."""


def rows() -> list[Row]:
    """All of them."""
    return [
        *(_orbit(place, cell) for place, cell in test_column.CELLS.items()),
        Row(
            "s5p-no2",
            "mid-latitude",
            "areas by shapely in an equal-area plane; mean of 4 orbits with qa of chance",
            "analytic",
            (Measure("month", SHARE, 0.2, (qa_half, half_pixel, row_flip, centres_only)),),
            _month,
        ),
        Row(
            "s5p-no2",
            "mid-latitude",
            "mean by hand of the 4 granules whose middle is in December",
            "analytic",
            (Measure("December", "%", 1e-4, (short_month,)),),
            _december,
        ),
        *(_real_size(gas, "44 north") for gas in ("co", "no2", "o3", "so2")),
        *(
            _harp(gas, place)
            for gas, place in test_harp_columns.CASES
            if place not in ("antimeridian on the equator",)
        ),
    ]


def _orbit(place: str, cell: Cell) -> Row:
    return Row(
        "s5p-no2",
        place,
        "areas by shapely in an equal-area plane, one orbit",
        "analytic",
        (Measure("mean", SHARE, 0.2, (half_pixel, row_flip, centres_only)),),
        partial(_compare_orbit, cell),
    )


def _cut(bench: Bench, orbits: Any, cell: Cell) -> Any:
    """Mean, n_orbits and std of orbits of the tests."""
    parts = [orbit.scene() for orbit in orbits]
    files = {href: data for _, held in parts for href, data in held.items()}
    operator = Column(product("s5p-no2"), granules.MemorySource(files))
    grid = cell_grid(cell, 28)
    (chip,) = bench.made(lambda: operator.cut([scene for scene, _ in parts], [grid]))
    assert isinstance(chip, Chip)
    return chip.data.astype(np.float64)


def _compare_orbit(cell: Cell, bench: Bench) -> Figures:
    orbit = test_column.orbit(cell)
    mean, _ = bench.once(("orbit", cell), lambda: test_column.exact(orbit, cell))
    ground = np.abs(cell_grid(cell, 28).bounds[3] - 0.25 / 28 * (np.arange(28) + 0.5)) <= 90
    mean = np.where(ground[:, None], mean, np.nan)
    return {"mean": errors(_cut(bench, [orbit], cell)[0], mean, test_column.SPREAD / 100)}


def _month(bench: Bench) -> Figures:
    orbits = [test_column.orbit(FARM, seed) for seed in range(4)]
    rng = np.random.default_rng(9)
    for one in orbits:
        one.qa = rng.choice([100, 76, 75, 60], one.lattice.shape, p=[0.4, 0.3, 0.2, 0.1])

    def expected() -> Any:
        means, covers = zip(*(test_column.exact(one, FARM) for one in orbits), strict=True)
        cover = np.stack(covers)
        counts = cover >= 0.5
        total, n = np.where(counts, np.stack(means), 0).sum(0), counts.sum(0)
        # Where rounding decides if an orbit counts, nothing can be said.
        clear = (np.abs(cover - 0.5) > 1e-3).all(0) & (n > 0)
        return np.where(clear, total / np.maximum(n, 1), np.nan)

    mean = bench.once("month", expected)
    return {"month": errors(_cut(bench, orbits, FARM)[0], mean, test_column.SPREAD / 100)}


def _december(bench: Bench) -> Figures:
    made = [
        test_column_months.granule(begin, number, value)
        for number, (begin, value) in enumerate(MIDDAYS)
    ]
    _, chip = bench.made(lambda: test_column_months.month("2021-12", made))
    expected = float(np.mean([value for _, value in MIDDAYS[1:-1]]))
    return {"December": errors(chip.data[0], np.full((28, 28), expected), expected / 100)}


def _real_size(gas: str, place: str) -> Row:
    cell, _ = test_harp_columns.PLACES[place]
    return Row(
        f"s5p-{gas}",
        place,
        "areas by shapely on the sphere, an orbit of 5.5 × 3.5 km",
        "analytic",
        (Measure("mean", SHARE, 0.05, _wrong(gas, cell.lat)),),
        partial(_compare_real_size, gas, cell),
    )


def _wrong(gas: str, lat: float) -> tuple[Mutation, ...]:
    """At 85° a cell is so narrow that no footprint between the thresholds lies in it."""
    looser = (qa_half,) if gas == "no2" and lat < 80 else ()
    return (half_pixel, row_flip, centres_only, *looser)


def _granule(bench: Bench, gas: str, cell: Cell) -> Path:
    def make() -> Path:
        folder = bench.folder / f"{gas}-{cell.id}"
        folder.mkdir()
        path: Path = test_harp_columns._real_size(gas, cell, folder)
        return path

    return bench.once(("granule", gas, cell), make)


def _compare_real_size(gas: str, cell: Cell, bench: Bench) -> Figures:
    path = _granule(bench, gas, cell)
    expected = bench.once(
        ("sphere", path), lambda: test_harp_columns._polygons(gas, path, cell, sphere=True)
    )
    # Fields of view end at the granule's borders, and half-covered pixels have no mean.
    ours = bench.made(lambda: test_harp_columns._ours(gas, cell, path))
    counted = bench.once(("counted", path), lambda: ours[1] == 1)
    return {"mean": errors(ours[0], np.where(counted, expected, np.nan), _spread() / 100)}


def _harp(gas: str, place: str) -> Row:
    cell, tolerance = test_harp_columns.PLACES[place]
    return Row(
        f"s5p-{gas}",
        place,
        "HARP 1.16, bin_spatial, on the same granule; areas in the plane of lon and lat",
        "third-party",
        (Measure("mean", SHARE, float(f"{100 * tolerance:g}"), _wrong(gas, cell.lat)),),
        partial(_compare_harp, gas, cell),
        needs="harp",
    )


def _compare_harp(gas: str, cell: Cell, bench: Bench) -> Figures:
    path = _granule(bench, gas, cell)
    mean, weight = bench.once(("harp", path), lambda: test_harp_columns._harp(gas, path, cell))
    ours = bench.made(lambda: test_harp_columns._ours(gas, cell, path))
    # At just half of a pixel, rounding decides.
    expected = np.where(weight > 0.51, mean, np.nan)
    return {"mean": errors(ours[0], expected, _spread() / 100)}


def _spread() -> float:
    return float(test_harp_columns.HIGH - test_harp_columns.LOW)
