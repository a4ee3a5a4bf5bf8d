"""The samples of a lake: a cell, or one of its patches, and the images that it has.

Of an Item only what a read and a sample need is kept, about a kilobyte instead of tens, so that
hundreds of thousands of images fit into every worker.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

from stac_lake.grid import PATCH_SIZE_M, Cell, Patch, from_lonlat
from stac_lake.loaders.read import Tiles
from stac_lake.loaders.series import SeriesShape
from stac_lake.types import Slot

Unit = Literal["cell", "patch"]

META = (
    "lon", "lat", "time_start", "time_end", "area_km2", "gsd", "sun_elevation", "incidence_angle",
    "ascending",
)  # fmt: skip
"""Numbers per image: degrees (of the true centre), days since 1970-01-01 UTC, km², m, degrees,
degrees, and 1 for an ascending orbit, 0 for a descending one; NaN where it does not apply."""


@dataclass(frozen=True, slots=True)
class Image:
    """One item, reduced to what a sample needs of it.

    Attributes:
        slot: Which it is.
        tiles: Where its pixels are.
        meta: Numbers as `META` names them.
    """

    slot: Slot
    tiles: Tiles
    meta: tuple[float, ...]

    @classmethod
    def of(cls, item: Mapping[str, Any], url: str) -> Image:
        """The image of an Item document.

        Raises:
            BadRaster: the item does not say how to read it.
        """
        slot = Slot.from_id(item["id"])
        return cls(slot, Tiles.of(item, url), _meta(item, slot))


@dataclass(frozen=True)
class Place:
    """One sample: where it is, and its images.

    Attributes:
        cell: The cell.
        patches: Of the cell, in order; the one patch where a sample is a patch.
        images: Modality → (patch, or None for the whole cell; index on the time axis) → image.
    """

    cell: Cell
    patches: tuple[Patch, ...]
    images: dict[str, dict[tuple[Patch | None, int], Image]] = field(default_factory=dict)

    def times(self, modality: str) -> list[int]:
        """Indices on the time axis at which there is an image, of any patch."""
        return sorted({time for _, time in self.images.get(modality, {})})


def places(
    images: Mapping[str, Iterable[Image]], shapes: Mapping[str, SeriesShape], unit: Unit
) -> list[Place]:
    """Samples in the order of cell and patch.

    Args:
        images: Modality → images of its product.
        shapes: By modality.
        unit: What a sample is.

    Returns:
        Those that have an image. A cell without patches is a sample of its own with
        ``unit="cell"`` (with no patches), and none with ``unit="patch"``.
    """
    placed = [
        (name, image, shapes[name].positions[image.slot.name])
        for name, found in images.items()
        for image in found
        if image.slot.name in shapes[name].positions
    ]
    patches: dict[Cell, set[Patch]] = defaultdict(set)
    for _, image, _ in placed:
        patches[image.slot.cell] |= {image.slot.patch} if image.slot.patch else set()
    by_cell: dict[Cell, list[Place]] = {}
    for cell in sorted(patches):
        own = tuple(sorted(patches[cell]))
        groups = [(patch,) for patch in own] if unit == "patch" else [own]
        by_cell[cell] = [Place(cell, group) for group in groups]
    for name, image, time in placed:
        for place in by_cell[image.slot.cell]:
            if image.slot.patch is None or image.slot.patch in place.patches:
                place.images.setdefault(name, {})[image.slot.patch, time] = image
    return [place for group in by_cell.values() for place in group]


@lru_cache(maxsize=1024)
def cell_area_km2(cell: Cell) -> float:
    """Area of a cell on the WGS 84 ellipsoid, clipped at the poles.

    EPSG:6933 is a cylindrical equal-area projection: a cell is a rectangle in it.
    """
    west, south, east, north = cell.bounds
    half = (east - west) / 2
    xs, ys = from_lonlat(6933).transform([-half, half], [max(south, -90.0), min(north, 90.0)])
    return float((xs[1] - xs[0]) * (ys[1] - ys[0]) / 1e6)


def _meta(item: Mapping[str, Any], slot: Slot) -> tuple[float, ...]:
    properties = item["properties"]
    start = properties["datetime"] or properties["start_datetime"]
    end = properties["datetime"] or properties["end_datetime"]
    centre = properties["proj:centroid"]
    orbit = properties.get("sat:orbit_state")
    nan = float("nan")
    return (
        centre["lon"],
        centre["lat"],
        _days(start),
        _days(end),
        # Of a patch in the plane of its CRS, as its pixel size is.
        (PATCH_SIZE_M / 1000) ** 2 if slot.patch else cell_area_km2(slot.cell),
        properties.get("gsd", nan),
        properties.get("view:sun_elevation", nan),
        properties.get("view:incidence_angle", nan),
        nan if orbit is None else float(orbit == "ascending"),
    )


def _days(text: str) -> float:
    return datetime.fromisoformat(text).timestamp() / 86400
