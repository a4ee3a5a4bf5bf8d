"""Which cells have what, counted for pictures: maps by modality, histograms of series."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stac_lake.catalog.cell_search import CellCount, series_lengths
from stac_lake.recipe import recipe as load_recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from stac_lake.lake import Lake


@dataclass(frozen=True)
class Histogram:
    """How many things have how many parts, in two sets of cells.

    Attributes:
        title: What is counted.
        parts: Name of the horizontal axis.
        things: Name of the vertical axis.
        full: Parts of a complete thing; None where there is no such number.
        union: Parts → things, in all cells.
        aligned: The same in aligned cells.
    """

    title: str
    parts: str
    things: str
    full: int | None
    union: dict[int, int]
    aligned: dict[int, int]


@dataclass(frozen=True)
class ModalityCoverage:
    """One modality over the world.

    Attributes:
        modality: Its name.
        full: Slots of a complete series.
        cells: Ids of the cells that have it.
        slots: Filled slots of each (of patches, the one that has most).
        complete: Cells, or patches, whose series is complete.
        items: In all cells.
    """

    modality: str
    full: int
    cells: NDArray[np.int64]
    slots: NDArray[np.int64]
    complete: int
    items: int


@dataclass(frozen=True)
class Coverage:
    """What `stac-lake map` draws.

    Attributes:
        version: Of the index; None for a lake without items.
        union: Ids of the cells that have anything that counts.
        aligned: Ids of those that have every modality.
        patches: Patches in all cells.
        paired: Those of them whose Sentinel-1 and -2 series are complete.
        modalities: In the order of the recipe.
        histograms: Patches per cell, and parts of each series.
        not_counted: Products of the lake that were not accepted.
    """

    version: int | None
    union: NDArray[np.int64]
    aligned: NDArray[np.int64]
    patches: int
    paired: int
    modalities: tuple[ModalityCoverage, ...]
    histograms: tuple[Histogram, ...]
    not_counted: tuple[str, ...]


def coverage(
    lake: Lake, *, accept: tuple[str, ...] = (), recipe: str = "copernicus-pretrain"
) -> Coverage:
    """Count a lake's cells.

    Args:
        lake: An open lake, at the version that is asked for.
        accept: Products that count beside the recipe's first of their modality.
        recipe: Id or path: what a series is.

    Raises:
        ConfigError: a product or recipe is unknown.
    """
    version = lake.index.version if lake.version is None else lake.version
    answer = lake.cells(accept=accept, recipe=recipe, version=version)
    full = series_lengths(load_recipe(recipe))
    aligned = [one for one in answer.cells if all(one.slots[name] for name in full)]
    sets = (answer.cells, aligned)
    counted = [series.products[0] for series in load_recipe(recipe).series] + [*accept]
    items = dict(
        lake.index.connection(version)
        .execute(
            'SELECT "lake:modality", count(*) FROM items '
            'WHERE "lake:product" IN (SELECT unnest(?)) GROUP BY ALL',
            [counted],
        )
        .fetchall()
    )
    return Coverage(
        version,
        _ids(answer.cells),
        _ids(aligned),
        sum(one.patches for one in answer.cells),
        sum(one.paired for one in answer.cells),
        tuple(_modality(name, full[name], answer.cells, items.get(name, 0)) for name in full),
        (
            _per_cell("Patches per cell", "patches", None, sets, attrgetter("patches")),
            *_patch_histograms(lake, version, counted, full, {one.cell.id for one in aligned}),
            *(
                _per_cell(
                    f"{TITLES[name]}: {PARTS[name]} per cell",
                    PARTS[name],
                    full[name],
                    sets,
                    _slots_of(name),
                )
                for name in full
                if name in PARTS
            ),
        ),
        answer.not_counted,
    )


TITLES = {
    "s1": "Sentinel-1", "s2": "Sentinel-2", "s3": "Sentinel-3 OLCI", "co": "Sentinel-5P CO",
    "no2": "Sentinel-5P NO₂", "o3": "Sentinel-5P O₃", "so2": "Sentinel-5P SO₂",
    "dem": "Copernicus DEM", "landsat": "Landsat",
}  # fmt: skip
PARTS = {"s3": "dates", "co": "months", "no2": "months", "o3": "months", "so2": "months"}
"""Modalities of whole cells that have a series, and what it consists of."""


def _per_cell(
    title: str,
    parts: str,
    full: int | None,
    sets: tuple[Sequence[CellCount], Sequence[CellCount]],
    count: Callable[[CellCount], int],
) -> Histogram:
    """Cells by how many parts they have, in all cells and in aligned ones."""
    union, aligned = (dict(Counter(map(count, cells))) for cells in sets)
    return Histogram(title, parts, "cells", full, union, aligned)


def _slots_of(modality: str) -> Callable[[CellCount], int]:
    return lambda one: one.slots[modality]


def _ids(cells: Iterable[CellCount]) -> NDArray[np.int64]:
    return np.array([one.cell.id for one in cells], np.int64)


def _modality(name: str, full: int, cells: Iterable[CellCount], items: int) -> ModalityCoverage:
    having = [one for one in cells if one.slots[name]]
    return ModalityCoverage(
        name,
        full,
        _ids(having),
        np.array([one.slots[name] for one in having], np.int64),
        sum(one.complete[name] for one in having),
        items,
    )


def _patch_histograms(
    lake: Lake, version: int | None, counted: list[str], full: dict[str, int], aligned: set[int]
) -> list[Histogram]:
    """Slots per patch, by modality; a slot that two products have filled counts once."""
    rows = (
        lake.index.connection(version)
        .execute(
            "SELECT cell, modality, n, count(*) FROM ("
            'SELECT cell, "lake:modality" AS modality, count(DISTINCT "lake:slot") AS n '
            'FROM items WHERE "lake:product" IN (SELECT unnest(?)) AND "lake:patch" IS NOT NULL '
            'GROUP BY cell, modality, "lake:patch") GROUP BY ALL',
            [counted],
        )
        .fetchall()
    )
    union: dict[str, Counter[int]] = {}
    within: dict[str, Counter[int]] = {}
    for cell, modality, slots, patches in rows:
        union.setdefault(modality, Counter())[slots] += patches
        if cell in aligned:
            within.setdefault(modality, Counter())[slots] += patches
    return [
        Histogram(
            f"{TITLES[name]}: slots per patch",
            "slots",
            "patches",
            full[name],
            dict(union[name]),
            dict(within.get(name, {})),
        )
        for name in full
        if name in union
    ]
