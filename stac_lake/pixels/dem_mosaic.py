"""Degree tiles of the Copernicus DEM as one continuous surface.

The pixels of a degree tile are points: the first lies on the tile's north-western corner, and the
last one pixel short of the eastern and southern edges, so that neighbours continue each other's
lattice (product handbook 5.0, section 3). Rows are 1″ apart everywhere (GLO-90: 3″), columns widen
with latitude band. The surface is therefore taken as degree bands of rows, each with its own
columns: interpolating along rows first, then between rows, is bilinear inside a tile, and
continuous over the borders of tiles and latitude bands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stac_lake.pixels.raster import Raster
from stac_lake.types import Scene

_SNAP = 1e-6
"""Of a pixel (0.03 mm): nearer to a lattice point than this is on it, as floats go."""

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Place = tuple[int, int]
"""(north, west) of a degree tile: latitudes (north - 1, north], longitudes [west, west + 1)."""


@dataclass(frozen=True, eq=False)
class Tile:
    """A degree tile whose header has been read.

    Attributes:
        scene: Where it comes from.
        raster: Its pixels.
        place: Its corner.
        row: Degrees between rows.
        column: Degrees between columns.
    """

    scene: Scene
    raster: Raster
    place: Place
    row: float
    column: float


@dataclass(frozen=True, eq=False)
class Part:
    """A tile's lattice points in a window, or as many of the sea where there is no tile.

    Attributes:
        lat: Latitudes of the rows, descending.
        lon: Longitudes of the columns, ascending, unwrapped over ±180°.
        value: (row, column): metres, NaN for nodata; or what has been derived from them.
        row: Degrees between rows.
        column: Degrees between columns.
        sea: Whether no tile is there.
    """

    lat: Floats
    lon: Floats
    value: Floats
    row: float
    column: float
    sea: bool = False


@dataclass(frozen=True, eq=False)
class Band:
    """A degree of latitude: all parts side by side, on the rows of the finest.

    Attributes:
        lat: (row,), descending.
        lon: (column,), ascending; the step changes between tiles of different resolution.
        value: (row, column).
        sea: (column,).
    """

    lat: Floats
    lon: Floats
    value: Floats
    sea: Flags


class Mosaic:
    """A surface over a box: (row, column) of lattice points in parts, continuous in between."""

    def __init__(self, lines: Sequence[Sequence[Part]], tiles: Sequence[Tile]) -> None:
        """Take the parts of each degree of latitude, west to east, from north to south."""
        self.lines = lines
        self.tiles = tiles

    @cached_property
    def bands(self) -> list[Band]:
        """North to south."""
        found: list[Band] = []
        for line in reversed(self.lines):
            found.insert(0, _band(line, found[0] if found else None))
        return found

    def on_lattice(self, lon: Floats, lat: Floats, nearest: bool = False) -> tuple[Floats, Flags]:
        """Values at all pairs of some longitudes and latitudes, clamped at the mosaic's ends.

        Args:
            lon: (x,) degrees, unwrapped over ±180°.
            lat: (y,) degrees.
            nearest: Take the nearest lattice point instead of interpolating.

        Returns:
            Values and whether the nearest lattice point is sea, both (y, x).
        """
        rows, seas = [], []
        for band in self.bands:
            left, right, weight = _between(band.lon, lon, nearest)
            rows.append(_mixed(band.value[:, left], band.value[:, right], weight))
            sea = np.where(weight < 0.5, band.sea[left], band.sea[right])
            seas.append(np.broadcast_to(sea, rows[-1].shape))
        value, sea = np.concatenate(rows), np.concatenate(seas)
        upper, lower, weight = _between(-self._latitudes, -lat, nearest)
        weight = weight[:, None]
        return (
            _mixed(value[upper], value[lower], weight),
            np.where(weight < 0.5, sea[upper], sea[lower]),
        )

    def at(self, lon: Floats, lat: Floats) -> tuple[Floats, Flags]:
        """Values at places anywhere, bilinear, clamped at the mosaic's ends.

        Args:
            lon: Degrees, unwrapped over ±180°, of any shape.
            lat: Degrees, of the same shape.

        Returns:
            Values and whether the nearest lattice point is sea, both of that shape.
        """
        x, y = lon.ravel(), lat.ravel()
        upper, lower, weight = _between(-self._latitudes, -y, False)
        (above, sea_above), (below, sea_below) = self._on_rows(upper, x), self._on_rows(lower, x)
        value = _mixed(above, below, weight)
        sea = np.where(weight < 0.5, sea_above, sea_below)
        return value.reshape(lon.shape), sea.reshape(lon.shape)

    @cached_property
    def _latitudes(self) -> Floats:
        return np.concatenate([band.lat for band in self.bands])

    def _on_rows(self, row: NDArray[np.int64], lon: Floats) -> tuple[Floats, Flags]:
        """Values at a longitude each on a row each, counted from the northernmost."""
        value, sea = np.empty(row.shape), np.empty(row.shape, bool)
        first = 0
        for band in self.bands:
            inside = (row >= first) & (row < first + band.lat.size)
            left, right, weight = _between(band.lon, lon[inside], False)
            line = row[inside] - first
            value[inside] = _mixed(band.value[line, left], band.value[line, right], weight)
            sea[inside] = np.where(weight < 0.5, band.sea[left], band.sea[right])
            first += band.lat.size
        return value, sea


def _band(line: Sequence[Part], south: Band | None) -> Band:
    """Parts side by side; coarse ones are interpolated to the rows of the finest."""
    lat = max((part.lat for part in line), key=len)
    return Band(
        lat,
        np.concatenate([part.lon for part in line]),
        np.concatenate([_onto(part, lat, south) for part in line], axis=1),
        np.concatenate([np.full(part.lon.size, part.sea) for part in line]),
    )


def _onto(part: Part, lat: Floats, south: Band | None) -> Floats:
    """A part at the latitudes of its degree band; below its last row, towards the next band."""
    if part.lat.size == lat.size and np.allclose(part.lat, lat, rtol=0, atol=1e-9):
        return part.value
    own, value = part.lat, part.value
    if south is not None and lat[-1] < own[-1] - 1e-9:
        left, right, weight = _between(south.lon, part.lon, False)
        below = _mixed(south.value[0, left], south.value[0, right], weight)
        own, value = np.append(own, south.lat[0]), np.vstack([value, below])
    upper, lower, weight = _between(-own, -lat, False)
    return _mixed(value[upper], value[lower], weight[:, None])


def _between(
    points: Floats, targets: Floats, nearest: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Indices of the points around each target, and the second one's weight; clamped at the ends.

    Args:
        points: Ascending.
        targets: Any number.
        nearest: Round the weight.
    """
    before = np.clip(np.searchsorted(points, targets, side="right") - 1, 0, points.size - 1)
    after = np.minimum(before + 1, points.size - 1)
    gap = np.where(after > before, points[after] - points[before], 1.0)
    weight = np.clip((targets - points[before]) / gap, 0.0, 1.0)
    whole = np.round(weight)
    return before, after, whole if nearest else np.where(abs(weight - whole) < _SNAP, whole, weight)


def _mixed(before: Floats, after: Floats, weight: Floats) -> Floats:
    """Linear interpolation in which a neighbour of weight 0 cannot spread its NaN."""
    mixed: NDArray[Any] = before * (1 - weight) + after * weight
    return np.where(weight == 0, before, np.where(weight == 1, after, mixed))
