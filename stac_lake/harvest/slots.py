"""Recipe × cells → what is wanted, before anybody is asked. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stac_lake.grid import Cell, Patch, patch_at, uniform_patches
from stac_lake.harvest import sun
from stac_lake.recipe import (
    DaylightBins,
    Recipe,
    Series,
    UniformPatches,
    date_windows,
    product,
)
from stac_lake.types import Reason, Slot, Window


@dataclass(frozen=True)
class Want:
    """One place and time of a series; which product will serve it is not decided yet.

    Attributes:
        cell: Cell.
        patch: Patch, None for products of the whole cell.
        name: Slot name.
        windows: When it may have been acquired; empty if no day has light.
        reason: ``polar_night`` if nothing is to be asked for.
    """

    cell: Cell
    patch: Patch | None
    name: str
    windows: tuple[Window, ...]
    reason: Reason | None = None

    def slot(self, product: str) -> Slot:
        return Slot(product, self.cell, self.patch, self.name)


def patches_of(recipe: Recipe, cell: Cell) -> list[Patch]:
    """The patches of a cell by the recipe's rule."""
    if isinstance(recipe.patches, UniformPatches):
        return uniform_patches(cell, recipe.patches.uniform, recipe.seed)
    return [patch_at(cell.lon, cell.lat)]


def wants(recipe: Recipe, series: Series, cell: Cell) -> Iterator[Want]:
    """All that a series asks of a cell, in the recipe's order."""
    if series.daylight_bins:
        yield from _bins(series.daylight_bins, cell)
        return
    leader = recipe.leader(series)
    patches: list[Patch | None] = [None]
    if any(product(name).unit_of == "patch" for name in series.products):
        patches = list(patches_of(recipe, cell))
    for patch in patches:
        lat = patch.centre[1] if patch else cell.lat
        for name, spans in leader.windows.items():
            windows = date_windows(spans)
            if leader.min_noon_sun_deg is None or (
                sun.best_noon_elevation_deg(lat, windows) >= leader.min_noon_sun_deg
            ):
                yield Want(cell, patch, name, windows)
                continue
            if series is leader:
                yield Want(cell, patch, name, windows, reason="polar_night")
            if name in leader.polar_night:
                annual = leader.polar_night[name]
                yield Want(cell, patch, annual, date_windows(leader.annual[annual]))


def _bins(bins: DaylightBins, cell: Cell) -> Iterator[Want]:
    year = date_windows(((bins.start, bins.end),))[0]
    lit = [
        day
        for day in sun.days(year)
        if sun.noon_elevation_deg(cell.lat, day) > 90 - bins.max_noon_sun_zenith_deg
    ]
    for index in range(bins.count):
        part = lit[len(lit) * index // bins.count : len(lit) * (index + 1) // bins.count]
        reason = None if part else "polar_night"
        yield Want(cell, None, f"b{index + 1}", sun.runs(part), reason)
