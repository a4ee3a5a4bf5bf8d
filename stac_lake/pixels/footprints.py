"""Footprints of a swath, drawn on the pixels of a chip by their area."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import MergeAlg
from rasterio.features import rasterize

from stac_lake.pixels.swath import Floats, Target
from stac_lake.types import PixelGrid

PARTS = 8
"""Each chip pixel is judged at 8 × 8 points: coverage is known to 1/64."""
_DRAWING = threading.Lock()
"""rasterio mutes a warning of its own while it rasterises, which is not safe between threads."""


@dataclass(frozen=True, eq=False)
class Sums:
    """What footprints add to the pixels of a chip, (y, x) each.

    Attributes:
        total: Sum of value × area, areas in pixels.
        area: Sum of areas; above 1 where footprints overlap.
        coverage: Share of the pixel that is under any footprint.
    """

    total: Floats
    area: Floats
    coverage: Floats

    @classmethod
    def added(cls, parts: Sequence[Sums]) -> Sums:
        """Of granules that follow each other in one orbit."""
        total, area, coverage = (
            np.sum([getattr(part, name) for part in parts], axis=0)
            for name in ("total", "area", "coverage")
        )
        return cls(total, area, np.minimum(coverage, 1.0))

    @property
    def mean(self) -> Floats:
        """Area-weighted; NaN where there is nothing."""
        return np.asarray(self.total / np.where(self.area > 0, self.area, np.nan))


@dataclass(frozen=True, eq=False)
class Canvas:
    """A chip and the plane in which footprints are drawn for it.

    Attributes:
        grid: Pixels of the chip.
        target: Their `PARTS` × `PARTS` points.
    """

    grid: PixelGrid
    target: Target

    @classmethod
    def of(cls, grid: PixelGrid) -> Canvas:
        return cls(grid, Target.of(grid, PARTS))

    def near(self, rings: Floats) -> NDArray[np.bool_]:
        """Which rings (footprint, corner, 2) reach into the raster's box; NaN does not."""
        transform, (rows, columns) = self.raster
        corner = np.array([transform.c, transform.f])
        opposite = corner + np.array([transform.a * columns, transform.e * rows])
        low, high = rings.min(1), rings.max(1)
        return np.asarray(((high > corner) & (low < opposite)).all(1))

    @cached_property
    def raster(self) -> tuple[Affine, tuple[int, int]]:
        """A raster of the tangent plane, as fine as the points along each axis; transform, shape.

        Seen from the chip's centre, meridians and parallels run along the axes, also near a pole.
        """
        x, y = self.target.points
        rows, columns = (PARTS * n for n in self.grid.shape)
        left, low = np.nanmin(x), np.nanmin(y)
        # The outermost points are one point's distance less apart than there are points.
        wide = (np.nanmax(x) - left) / (columns - 1)
        high = (np.nanmax(y) - low) / (rows - 1)
        transform = Affine(wide, 0, left - wide / 2, 0, high, low - high / 2)
        return transform, (rows + 1, columns + 1)

    @cached_property
    def index(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Raster cell (row, column) of each point; the first one beyond a pole."""
        transform, _ = self.raster
        x, y = self.target.points
        x, y = np.where(np.isnan(x), transform.c, x), np.where(np.isnan(y), transform.f, y)
        row, column = (y - transform.f) / transform.e, (x - transform.c) / transform.a
        return row.astype(np.intp), column.astype(np.intp)

    def draw(self, rings: Floats, values: Floats) -> Sums:
        """Burn footprints.

        Args:
            rings: Closed corners in the plane, (footprint, 5, 2).
            values: Per footprint.
        """
        transform, shape = self.raster
        shapes = [{"type": "Polygon", "coordinates": [ring.tolist()]} for ring in rings]

        def burn(weights: Floats) -> Floats:
            with _DRAWING:
                burnt: Floats = rasterize(
                    zip(shapes, weights.tolist(), strict=True),
                    out_shape=shape,
                    transform=transform,
                    merge_alg=MergeAlg.add,
                    dtype="float64",
                )
            return burnt

        area = burn(np.ones_like(values))
        return Sums(
            self._by_pixel(burn(values)),
            self._by_pixel(area),
            self._by_pixel(np.minimum(area, 1.0)),
        )

    def _by_pixel(self, raster: Floats) -> Floats:
        """Mean over the points of each pixel; points beyond a pole count as empty."""
        points = np.where(np.isnan(self.target.points[0]), 0.0, raster[self.index])
        rows, columns = self.grid.shape
        return np.asarray(points.reshape(rows, PARTS, columns, PARTS).mean((1, 3)))
