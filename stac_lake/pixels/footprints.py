"""Footprints of a swath, drawn on the pixels of a chip by their exact areas on the sphere.

The edges of a footprint are great circles. In longitude and sine of latitude (Lambert's cylindrical
projection) areas are those on the sphere, and the pixels of a geographic grid are rectangles: a
polygon's area in each pixel is the sum of the areas between each of its edges and the right border,
with the edge's sign. Nothing is sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from stac_lake.pixels.swath import Floats, Target, chord_squared
from stac_lake.types import PixelGrid

EDGE_TOLERANCE_PX = 1e-4
"""An edge is cut into pieces until straight ones are this close to the great circle."""
MAX_PIECES = 256
NO_AREA = 1e-9
"""Share of a pixel under which an area is what rounding left."""


@dataclass(frozen=True, eq=False)
class Sums:
    """What footprints add to the pixels of a chip, (y, x) each.

    Attributes:
        total: Sum of value × area, areas in pixels.
        area: Sum of areas; above 1 where footprints overlap.
    """

    total: Floats
    area: Floats

    @classmethod
    def added(cls, parts: Sequence[Sums]) -> Sums:
        """Of granules that follow each other in one orbit."""
        total, area = (
            np.sum([getattr(part, name) for part in parts], axis=0) for name in ("total", "area")
        )
        return cls(total, area)

    @property
    def mean(self) -> Floats:
        """Area-weighted; NaN where there is nothing."""
        return np.asarray(self.total / np.where(self.area > 0, self.area, np.nan))

    @property
    def coverage(self) -> Floats:
        """Share of the pixel under footprints; those of one orbit share edges, not ground."""
        return np.minimum(self.area, 1.0)


@dataclass(frozen=True, eq=False)
class Canvas:
    """A chip on a geographic grid that footprints are drawn on.

    Attributes:
        grid: Pixels of the chip, EPSG:4326.
        target: Where their centres lie on the sphere.
    """

    grid: PixelGrid
    target: Target

    @classmethod
    def of(cls, grid: PixelGrid) -> Canvas:
        """Canvas of a grid in degrees.

        Raises:
            ValueError: the grid is in another CRS.
        """
        if grid.epsg != 4326:
            raise ValueError(f"footprints are drawn on EPSG:4326, not EPSG:{grid.epsg}")
        return cls(grid, Target.of(grid))

    @cached_property
    def row_edges(self) -> Floats:
        """Minus the sine of latitude between rows, rising; rows beyond a pole have no height."""
        _, _, _, _, e, f = self.grid.transform
        lat = np.clip(f + e * np.arange(self.grid.shape[0] + 1), -90.0, 90.0)
        return np.asarray(-np.sin(np.radians(lat)))

    @property
    def turn(self) -> float:
        """Columns in 360°."""
        return 360.0 / self.grid.transform[0]

    def near(self, corners: Floats) -> NDArray[np.bool_]:
        """Which footprints may reach into the chip: their circle meets the chip's; NaN does not.

        Args:
            corners: Unit vectors, (footprint, corner, 3).
        """
        middle = _unit(corners.sum(1))
        size = np.sqrt(((corners - middle[:, None]) ** 2).sum(-1).max(1))
        pixel = np.radians(np.hypot(self.grid.transform[0], self.grid.transform[4]))
        reach = self.target.radius + pixel + size
        return np.asarray(chord_squared(middle, self.target.plane.centre) <= reach**2)

    def draw(self, corners: Floats, values: Floats) -> Sums:
        """Areas of footprints in each pixel.

        Args:
            corners: Unit vectors in order around each footprint, (footprint, corner, 3), finite.
            values: Per footprint.
        """
        rows, columns = self.grid.shape
        # Counter-clockwise from above is positive, however the product turns.
        normal = np.cross(corners, np.roll(corners, -1, axis=1)).sum(1)
        sign = np.sign((normal * corners.sum(1)).sum(-1))
        edges = _by_row(self._edges(corners), self.row_edges)
        # Of a part in a column, the pixel itself gets what is right of the part, all pixels further
        # right get the part's whole height: a running sum along the row.
        column, share, beside, foot, row = _by_column(edges, columns)
        share = share * sign[foot]
        flat = row * (columns + 2) + column

        def summed(weight: Floats) -> Floats:
            size = rows * (columns + 2)
            here = np.bincount(flat, weight * (1.0 - beside), size)
            here += np.bincount(flat + 1, weight * beside, size)
            return np.asarray(here.reshape(rows, -1).cumsum(1)[:, :columns])

        area = summed(share)
        some = area > NO_AREA
        return Sums(np.where(some, summed(share * values[foot]), 0.0), np.where(some, area, 0.0))

    def _edges(self, corners: Floats) -> Edges:
        """Edges of footprints as straight pieces of the cylindrical plane."""
        following = np.roll(corners, -1, axis=1)
        t = np.linspace(0.0, 1.0, self._pieces(corners, following) + 1)[:, None]
        pieces = corners[:, :, None] * (1.0 - t) + following[:, :, None] * t
        points = _unit(pieces[:, :, :-1].reshape(len(corners), -1, 3))
        points = np.concatenate([points, points[:, :1]], axis=1)
        u, q = self._column(points), -points[..., 2]
        steps = _wrapped(np.diff(u, axis=1), self.turn)
        u = u[:, :1] + np.concatenate([0 * u[:, :1], np.cumsum(steps, axis=1)], axis=1)
        foot = np.repeat(np.arange(len(corners)), u.shape[1] - 1)
        parts = [
            Edges(u[:, :-1].ravel(), u[:, 1:].ravel(), q[:, :-1].ravel(), q[:, 1:].ravel(), foot)
        ]
        # A ring around a pole does not close on the map: it goes up to the pole and back.
        around = np.flatnonzero(np.abs(u[:, -1] - u[:, 0]) > self.turn / 2)
        if around.size:
            first, last, level = u[around, 0], u[around, -1], q[around, 0]
            pole = np.sign(level)
            parts.append(Edges(last, last, level, pole, around))
            parts.append(Edges(first, first, pole, level, around))
        if np.abs(u).max() > self.turn / 2:  # what left the map on one side comes back on the other
            parts += [part.moved(by) for part in parts for by in (-self.turn, self.turn)]
        return Edges.joined(parts)

    def _pieces(self, corners: Floats, following: Floats) -> int:
        """Into how many pieces edges must be cut, by how far their middles lie off straight ones.

        The distance falls with the square of the number.
        """
        one, other = self._column(corners), self._column(following)
        middle = _unit(corners + following)
        across = _wrapped(self._column(middle) - one, self.turn)
        across = np.abs(across - _wrapped(other - one, self.turn) / 2)
        along = np.abs(middle[..., 2] - (corners[..., 2] + following[..., 2]) / 2)
        off = max(float(across.max()), float(along.max() / np.diff(self.row_edges).max()))
        return int(np.clip(np.ceil(np.sqrt(off / EDGE_TOLERANCE_PX)), 1, MAX_PIECES))

    def _column(self, vectors: Floats) -> Floats:
        """Columns from the left border, of the copy that is nearest to the chip's middle."""
        a, _, c, _, _, _ = self.grid.transform
        half = self.grid.shape[1] / 2
        lon = np.degrees(np.arctan2(vectors[..., 1], vectors[..., 0]))
        return half + _wrapped((lon - c) / a - half, self.turn)


@dataclass(frozen=True, eq=False)
class Edges:
    """Directed straight pieces of footprints' edges, (n,) each.

    Attributes:
        u0: Start, columns from the chip's left border.
        u1: End.
        q0: Start, minus the sine of latitude, which grows with the rows.
        q1: End.
        foot: Index of the footprint.
    """

    u0: Floats
    u1: Floats
    q0: Floats
    q1: Floats
    foot: NDArray[np.intp]

    @classmethod
    def joined(cls, parts: Sequence[Edges]) -> Edges:
        """All of them."""
        return cls(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("u0", "u1", "q0", "q1", "foot")
            )
        )

    def moved(self, columns: float) -> Edges:
        """To the right."""
        return Edges(self.u0 + columns, self.u1 + columns, self.q0, self.q1, self.foot)


@dataclass(frozen=True, eq=False)
class Parts:
    """Parts of edges that lie in one row each, (n,).

    Attributes:
        row: Of the chip.
        u0: One end, columns.
        u1: The other.
        share: Of the row's height, positive downwards.
        foot: Index of the footprint.
    """

    row: NDArray[np.intp]
    u0: Floats
    u1: Floats
    share: Floats
    foot: NDArray[np.intp]


def _by_row(edges: Edges, borders: Floats) -> Parts:
    """Cut edges where they cross the borders of rows, and leave out what no row has."""
    low, high = np.minimum(edges.q0, edges.q1), np.maximum(edges.q0, edges.q1)
    last_row = len(borders) - 2
    first = np.clip(np.searchsorted(borders, low, "right") - 1, 0, last_row)
    last = np.clip(np.searchsorted(borders, high, "left") - 1, 0, last_row)
    inside = (high > low) & (high > borders[0]) & (low < borders[-1])
    edge, step = _repeated(np.where(inside, last - first + 1, 0))
    row = first[edge] + step
    above, below = borders[row], borders[row + 1]
    low, high, q0, u0 = low[edge], high[edge], edges.q0[edge], edges.u0[edge]
    start, stop = np.clip(above, low, high), np.clip(below, low, high)
    slope = (edges.u1[edge] - u0) / (edges.q1[edge] - q0)
    down = np.sign(edges.q1[edge] - q0)
    share = down * (stop - start) / (below - above)
    return Parts(row, u0 + (start - q0) * slope, u0 + (stop - q0) * slope, share, edges.foot[edge])


def _by_column(
    parts: Parts, columns: int
) -> tuple[NDArray[np.intp], Floats, Floats, NDArray[np.intp], NDArray[np.intp]]:
    """Cut parts where they cross the borders of columns.

    Returns:
        Column (what lies left of the chip is in the first, at its left border; what lies right is
        left out), share of the row's height, mean distance from the column's left border, index of
        the footprint, and row.
    """
    left, right = np.minimum(parts.u0, parts.u1), np.maximum(parts.u0, parts.u1)
    first = np.clip(np.floor(left), -1, columns).astype(np.intp)
    last = np.clip(np.ceil(right) - 1, first, columns).astype(np.intp)
    count = np.where(first < columns, last - first + 1, 0)
    part, step = _repeated(count)
    column = first[part] + step
    left, right = left[part], right[part]
    start = np.where(step == 0, left, column)
    stop = np.where(step == count[part] - 1, right, column + 1)
    width = right - left
    share = parts.share[part] * np.where(
        width > 0, (stop - start) / np.where(width > 0, width, 1), 1
    )
    beside = np.where(column < 0, 0.0, (start + stop) / 2 - column)
    keep = column < columns
    return (
        np.maximum(column, 0)[keep], share[keep], beside[keep],
        parts.foot[part][keep], parts.row[part][keep],
    )  # fmt: skip


def _repeated(counts: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Index of the owner, and place among its own, of as many elements as each has."""
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)


def _wrapped(columns: Floats, turn: float) -> Floats:
    """Differences of columns, at most half a turn."""
    return np.asarray((columns + turn / 2) % turn - turn / 2)


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))
