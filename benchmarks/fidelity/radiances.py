"""Rows of Sentinel-3 OLCI: inverse geolocation, radiances, flags."""

from __future__ import annotations

from functools import partial
from typing import Any

import h5py
import numpy as np
import test_inverse_geolocation
import test_radiance
from granules import Frame, Lattice, field_of
from scipy import ndimage
from scipy.spatial import cKDTree

from benchmarks.fidelity.bench import Bench
from benchmarks.fidelity.mutations import half_pixel, row_flip
from benchmarks.fidelity.needs import recorded
from benchmarks.fidelity.rows import Figure, Figures, Measure, Row, differing, errors
from benchmarks.fidelity.served import served
from stac_lake.grid import Cell, cell_at
from stac_lake.pixels import radiance
from stac_lake.pixels.swath import Target, unit_vectors
from stac_lake.recipe import product
from stac_lake.types import Chip, PixelGrid, Qa, cell_grid, metric_grid
from tests.everywhere import everywhere_fields as fields
from tests.everywhere.everywhere_sites import BY_NAME, FEW_BANDS, OLCI

WRONG = (half_pixel, row_flip)
UNIT = "mW m⁻² sr⁻¹ nm⁻¹"
BANDS = ("Oa01", "Oa21", "qa")
GRIDS = {
    "44° N": cell_grid(Cell(772176), 96),
    "69° S": cell_grid(Cell(123456), 96),
    "±180°, 52° N": cell_grid(cell_at(-180.0, 52.0), 96),
    "86° N": cell_grid(cell_at(33.0, 86.0), 96),
    "67° N, metric grid": metric_grid(Cell(906994), 96, 300),
    "80.5° S, metric grid": metric_grid(cell_at(84.0, -80.5), 96, 300),
}
EXACT = {
    "44° N": "mid-latitude",
    "±180°, 16.5° S": "180 E",
    "67° N": "67 N",
    "80.5° S, metric grid": "80.5 S metric",
    "89.75° N": "89.75 N",
}
PLACES = {"equator": 1.0, "at-180": 1.0, "coast": 0.03, "74S": 0.04, "82N": 0.05}
"""Of the sandbox; percent. Where land is green, waves of 41 km are seen in pixels of 4 km; over
water, cloud and snow the field is so smooth that a shift shows in the fourth digit only."""


def rows() -> list[Row]:
    """All of them."""
    return [
        *(
            Row(
                OLCI,
                place,
                "a formula on the sphere, waves of 130 km, every seventh column repeated",
                "analytic",
                # The packing's step, and a millionth of a degree in the places.
                (Measure("radiance", UNIT, 0.005, WRONG),),
                partial(_formula, grid),
            )
            for place, grid in GRIDS.items()
        ),
        *(
            Row(
                OLCI,
                place,
                "Newton's method in the quadrilateral that holds the point, rough lattice",
                "analytic",
                (Measure("place", "px", 0.005, (half_pixel,)),),
                partial(_exactly, name),
            )
            for place, name in EXACT.items()
        ),
        Row(
            OLCI,
            "44° N",
            "nearest pixel on the ground by brute force, flags of chance",
            "analytic",
            (Measure("qa that differs", "%", 0, (half_pixel,)),),
            _flags,
        ),
        Row(
            OLCI,
            "southern North Sea, 2017-04-14",
            "triangles between a real frame's pixels (Delaunay, scipy)",
            "real",
            (Measure("place", "px", 0.02, (half_pixel,)),),
            _real,
            needs="shared",
        ),
        *(
            Row(
                OLCI,
                f"sandbox, {place}",
                "the formulas of docs/sandbox-swath.md; pixels of 4 km under waves of 41 km",
                "sandbox",
                (Measure("radiance, 99 of 100 pixels", "%", tolerance, WRONG),),
                partial(_served, place),
            )
            for place, tolerance in PLACES.items()
        ),
    ]


def _over(grid: PixelGrid, **changes: Any) -> Frame:
    """A frame whose middle is a grid's."""
    lattice = test_inverse_geolocation.lattice_over(grid, **changes)
    return Frame(Lattice(lattice.lon, lattice.lat, bump=lattice.bump), BANDS[:-1])


def _cut(bench: Bench, frame: Frame, grid: PixelGrid) -> Any:
    scene, source = test_radiance.setting(frame)
    operator = radiance.Radiance(product(OLCI).with_bands(BANDS), source)
    (chip,) = bench.made(lambda: operator.cut([scene], [grid]))
    assert isinstance(chip, Chip), chip
    return chip.data


def _formula(grid: PixelGrid, bench: Bench) -> Figures:
    frame = _over(grid)
    frame.repeats = tuple(range(3, 257, 7))
    lon, lat = test_inverse_geolocation.lonlat(grid)
    expected = np.stack([field_of(lon, lat, phase) for phase in range(len(BANDS) - 1)])
    return {"radiance": errors(_cut(bench, frame, grid)[:-1], expected)}


def _exactly(name: str, bench: Bench) -> Figures:
    grid = test_inverse_geolocation.GRIDS[name]
    lattice = test_inverse_geolocation.lattice_over(grid, bump=0.6)
    lon, lat = lattice.centres()
    plane = test_inverse_geolocation.plane_of(lattice)

    def solve() -> Any:
        places = np.stack(plane(lon, lat), axis=-1)
        wanted = np.stack(plane(*test_inverse_geolocation.lonlat(grid)), axis=-1).reshape(-1, 2)
        return test_inverse_geolocation.exactly(places, wanted)

    expected = bench.once(("exact", name), solve)
    found = bench.made(lambda: radiance.locate(Target.of(grid), unit_vectors(lon, lat)))
    return {"place": errors(np.stack([part.ravel() for part in found], axis=-1), expected)}


def _flags(bench: Bench) -> Figures:
    grid = GRIDS["44° N"]
    frame = _over(grid)
    rng = np.random.default_rng(3)
    bits = {31: None, 27: Qa.BRIGHT, 22: Qa.SUN_GLINT}
    frame.flags = np.zeros(frame.lattice.shape, np.uint32)
    for bit in bits:
        chance = rng.integers(0, 2, frame.lattice.shape).astype(np.uint32)
        frame.flags |= chance << np.uint32(bit)
    plane = test_inverse_geolocation.plane_of(frame.lattice)
    places = np.stack([axis.ravel() for axis in plane(*frame.lattice.centres())], axis=-1)
    distance, index = cKDTree(places).query(
        np.stack(plane(*test_inverse_geolocation.lonlat(grid)), axis=-1), k=2
    )
    word = frame.flags.ravel()[index[..., 0]]
    expected = np.where(word & (1 << 31), int(Qa.OBSERVED), int(Qa.OBSERVED | Qa.WATER))
    for bit, flag in bits.items():
        expected |= np.where(word & (1 << bit), int(flag or 0), 0)
    # Nearest in the lattice and on the ground differ only where two are equally near (8 m).
    clear = distance[..., 1] - distance[..., 0] > 0.008
    found = _cut(bench, frame, grid)[-1].astype(int)
    return {"qa that differs": differing(found[clear], expected[clear])}


def _real(bench: Bench) -> Figures:
    with h5py.File(recorded("s3_olci_swath_highroc/*.nc")) as file:
        lon, lat = file["lon"][:], file["lat"][:]
    grid = test_radiance.inner_grid(lon[50, 50], lat[50, 50])
    expected = bench.once(
        "triangles", lambda: test_radiance._triangulated(lon, lat, *test_radiance.centres(grid))
    )
    found = bench.made(lambda: radiance.locate(Target.of(grid), unit_vectors(lon, lat)))
    return {"place": errors(np.stack(found), expected)}


def _served(place: str, bench: Bench) -> Figures:
    crop = served(bench, OLCI, BY_NAME[place], FEW_BANDS[OLCI])
    lon, lat = crop.centres
    sea = fields.is_sea(lon, lat)
    both = (ndimage.binary_dilation(kind, iterations=30) for kind in (sea, ~sea))
    # Two pixels of 4 km on both sides of a shore, which interpolation blurs.
    shore = np.logical_and(*both)
    usable = (crop.band("qa").astype(int) & (Qa.SATURATED | Qa.INVALID) == 0) & ~shore
    off = []
    for band in FEW_BANDS[OLCI][:-1]:
        expected = fields.radiance(crop.scene.id, band, lon, lat, sea)
        off.append(100 * (crop.band(band) / expected - 1)[usable])
    every = np.concatenate(off)
    worst = max(float(np.percentile(np.abs(band), 99)) for band in off)
    rmse = float(np.sqrt((every**2).mean()))
    return {"radiance, 99 of 100 pixels": Figure(worst, float(every.mean()), rmse)}
