"""Tie points of an OLCI frame: where it must be read for a chip, and the angles there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stac_lake.errors import AssetMissing
from stac_lake.pixels.netcdf import Granule
from stac_lake.pixels.swath import Floats, Target, Window, sample, spacing, unit_vectors
from stac_lake.types import Asset, Scene, Source

COARSE_STEP = 16
"""Pixels between the nodes of the window search, where there are no tie points."""


def named_asset(scene: Scene, key: str) -> Asset:
    """An asset by key; AssetMissing names the item."""
    try:
        return scene.assets[key]
    except KeyError as error:
        raise AssetMissing(f"the item has no asset {key!r}", item=scene.id) from error


def windows(
    source: Source, scene: Scene, places: Granule, targets: Sequence[Target]
) -> list[Window | None]:
    """The part of the frame around each chip, by the tie points if there are any."""
    rows, columns = places.shape("latitude")
    if "tie_geo" in scene.assets:
        with Granule(source, scene.assets["tie_geo"], scene.id) as ties:
            (lon,), (lat,) = ties.values("longitude"), ties.values("latitude")
            steps = _tie_steps(ties, lon.shape, (rows, columns))
    else:
        (lon,), (lat,) = places.values("longitude"), places.values("latitude")
        lon, lat = lon[::COARSE_STEP, ::COARSE_STEP], lat[::COARSE_STEP, ::COARSE_STEP]
        steps = (COARSE_STEP, COARSE_STEP)
    nodes = unit_vectors(lon, lat)
    margin = spacing(nodes)
    found: list[Window | None] = []
    for target in targets:
        near = target.window(nodes, margin)
        found.append(
            near
            and (
                _between(near[0], steps[0], lon.shape[0], rows),
                _between(near[1], steps[1], lon.shape[1], columns),
            )
        )
    return found


def _between(nodes: tuple[int, int], step: float, count: int, size: int) -> tuple[int, int]:
    """Pixels from one node before the near ones to one after; to the edge from the last node."""
    stop = size if nodes[1] >= count else min(int(nodes[1] * step) + 1, size)
    return max(int((nodes[0] - 1) * step), 0), stop


def _tie_steps(
    ties: Granule, shape: tuple[int, ...], image: tuple[int, int]
) -> tuple[float, float]:
    """Pixels per tie point along and across track: as the file says, else by the sizes."""
    found = []
    for name, count, size in zip(("al", "ac"), shape, image, strict=True):
        said = ties.number("", f"{name}_subsampling_factor")
        found.append(said or (size - 1) / max(count - 1, 1))
    return found[0], found[1]


@dataclass(frozen=True, eq=False)
class TieAngles:
    """Sun and viewing angles at the tie points.

    Attributes:
        pairs: ``S`` and ``O`` → (zenith, azimuth), (tie row, tie column), degrees.
        steps: Pixels per tie point along and across track.
    """

    pairs: dict[str, tuple[Floats, Floats]]
    steps: tuple[float, float]

    @classmethod
    def read(cls, source: Source, scene: Scene, image: tuple[int, int]) -> TieAngles | None:
        """Of a frame; None if the item does not list them."""
        if "tie_geometries" not in scene.assets:
            return None
        with Granule(source, scene.assets["tie_geometries"], scene.id) as file:
            pairs = {
                body: (file.values(f"{body}ZA")[0], file.values(f"{body}AA")[0])
                for body in "SO"
                if file.has(f"{body}ZA") and file.has(f"{body}AA")
            }
            shape = next((zenith.shape for zenith, _ in pairs.values()), image)
            return cls(pairs, _tie_steps(file, shape, image))

    def at(self, row: float, column: float) -> dict[str, float]:
        """Angles at a position in the frame, interpolated as directions: azimuths wrap."""
        found: dict[str, float] = {}
        if not (np.isfinite(row) and np.isfinite(column)):
            return found
        for body, pair in self.pairs.items():
            rows, columns = pair[0].shape
            r = min(row / self.steps[0], rows - 1.0)
            c = min(column / self.steps[1], columns - 1.0)
            # Only the four tie points around it: a frame has hundreds of thousands.
            near = slice(int(r), int(r) + 2), slice(int(c), int(c) + 2)
            z, a = (np.radians(angle[near]) for angle in pair)
            here = np.array([[r % 1.0]]), np.array([[c % 1.0]])
            east, north, up = (
                float(sample(part, *here, "bilinear")[0, 0])
                for part in (np.sin(z) * np.sin(a), np.sin(z) * np.cos(a), np.cos(z))
            )
            if np.isfinite(up):
                found[f"{body}ZA"] = float(np.degrees(np.arctan2(np.hypot(east, north), up)))
                found[f"{body}AA"] = float(np.degrees(np.arctan2(east, north)) % 360.0)
        return found
