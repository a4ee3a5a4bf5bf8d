"""Degree tiles of the Copernicus DEM as one continuous surface.

The pixels of a degree tile are points: the first lies on the tile's north-western corner, and the
last one pixel short of the eastern and southern edges, so that neighbours continue each other's
lattice (product handbook 5.0, section 3). Rows are 1″ apart everywhere (GLO-90: 3″), columns widen
with latitude band. The surface is therefore taken as degree bands of rows, each with its own
columns: interpolating along rows first, then between rows, is bilinear inside a tile, and
continuous over the borders of tiles and latitude bands.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stac_lake.dem_lattice import ROWS, columns_per_degree
from stac_lake.errors import BadRaster
from stac_lake.pixels.files import Files, in_parallel
from stac_lake.pixels.raster import Raster, Window
from stac_lake.types import Scene

GLO30_ROW, GLO90_ROW = 1 / ROWS, 3 / ROWS
"""Degrees between rows."""
MARGIN = 0.01
"""Degrees around an area in which planning has looked for tiles: a tile that is missing further out
says nothing about the sea. More than the widest pixel (GLO-90 beyond 85° latitude: 1/120°)."""
_SNAP = 1e-6
"""Of a pixel (0.03 mm): nearer to a lattice point than this is on it, as floats go."""

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Place = tuple[int, int]
"""(north, west) of a degree tile: latitudes (north - 1, north], longitudes [west, west + 1)."""


class Box(NamedTuple):
    """Degrees that the places asked for span; longitudes may go beyond ±180°."""

    west: float
    south: float
    east: float
    north: float


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
        lon: Longitudes of the columns, ascending, unwrapped like the box.
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
            lon: (x,) degrees, unwrapped like the box.
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
            lon: Degrees, unwrapped like the box, of any shape.
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


def open_tile(files: Files, scene: Scene) -> Tile:
    """The tile of a scene, placed by its own georeference.

    Raises:
        BadRaster: it is no degree tile of floating-point heights.
        UpstreamError: it could not be read.
    """
    raster = files.raster(scene, "height")
    (rows, columns), (a, _, c, _, e, f) = raster.levels[0].shape, raster.levels[0].transform
    tile = Tile(scene, raster, (round(f + e / 2), round(c + a / 2)), -e, a)
    corner = math.hypot(f + e / 2 - tile.place[0], c + a / 2 - tile.place[1])
    whole = abs(rows * e + 1) < -e / 2 and abs(columns * a - 1) < a / 2
    if raster.epsg != 4326 or raster.dtype.kind != "f" or corner > a / 100 or not whole:
        raise BadRaster("this is not a degree tile of the DEM", asset=raster.asset.href)
    return tile


def finest(tiles: Sequence[Tile]) -> dict[Place, Tile]:
    """One tile per place, with the least distance between rows; longitudes in [-180, 180)."""
    found: dict[Place, Tile] = {}
    for tile in tiles:
        place = _home(tile.place)
        if place not in found or tile.row < found[place].row:
            found[place] = tile
    return found


def mosaics(tiles: Mapping[Place, Tile], boxes: Sequence[Box], around: int = 0) -> list[Mosaic]:
    """The surface over each box; every tile is read once for all of them.

    Args:
        tiles: From `finest`.
        boxes: One mosaic each.
        around: Lattice points needed beyond those that interpolation needs.

    Raises:
        BadRaster: a tile is not what its header promises.
        UpstreamError: a tile could not be read.
    """
    parts: list[dict[Place, Part]] = [{} for _ in boxes]
    users: dict[Place, list[tuple[int, Place]]] = {}
    for number, box in enumerate(boxes):
        for place in places(box):
            if _home(place) in tiles:
                users.setdefault(_home(place), []).append((number, place))

    def read(home: Place) -> None:
        tile = tiles[home]
        wanted = [
            (number, place, window)
            for number, place in users[home]
            if (window := _window(place, tile.row, tile.column, boxes[number], around))
        ]
        blocks = tile.raster.read([window for *_, window in wanted], np.nan)
        for (number, place, window), block in zip(wanted, blocks, strict=True):
            height = block[0].astype(np.float64)
            if tile.raster.nodata is not None:
                height[block[0] == tile.raster.nodata] = np.nan
            parts[number][place] = _part(place, tile.row, tile.column, window, height)

    in_parallel(read, users)
    return [_mosaic(box, parts[n], tiles, around) for n, box in enumerate(boxes)]


def places(box: Box) -> list[Place]:
    """Degree tiles in and around a box, west as in the box's own longitudes, north to south."""
    top = min(math.ceil(box.north + MARGIN), 90)
    bottom = max(math.ceil(box.south - MARGIN), -89)
    columns = range(math.floor(box.west - MARGIN), math.floor(box.east + MARGIN) + 1)
    return [(north, west) for north in range(top, bottom - 1, -1) for west in columns]


def _home(place: Place) -> Place:
    return place[0], (place[1] + 180) % 360 - 180


def _mosaic(
    box: Box, parts: Mapping[Place, Part], tiles: Mapping[Place, Tile], around: int
) -> Mosaic:
    """Parts in order, with zeros of the sea on the same lattice where there is no tile."""
    used = [tiles[_home(place)] for place in parts]
    row = min((tile.row for tile in used), default=GLO30_ROW)
    lines: dict[int, list[Part]] = {}
    for place in places(box):
        part = parts.get(place)
        if part is None and _home(place) not in tiles:
            column = row * ROWS / columns_per_degree(place[0] - 0.5)
            window = _window(place, row, column, box, around)
            if window:
                zeros = np.zeros((window.rows, window.columns))
                part = _part(place, row, column, window, zeros, sea=True)
        if part is not None:
            lines.setdefault(place[0], []).append(part)
    return Mosaic(list(lines.values()), used)


def _window(place: Place, row: float, column: float, box: Box, around: int) -> Window | None:
    """Lattice points of a tile that interpolation in a box needs; None if there are none."""
    north, west = place
    top = max(math.floor((north - box.north) / row) - around, 0)
    bottom = min(math.ceil((north - box.south) / row) + around + 1, round(1 / row))
    left = max(math.floor((box.west - west) / column) - around, 0)
    right = min(math.ceil((box.east - west) / column) + around + 1, round(1 / column))
    if top >= bottom or left >= right:
        return None
    return Window(top, left, bottom - top, right - left)


def _part(
    place: Place, row: float, column: float, window: Window, value: Floats, sea: bool = False
) -> Part:
    lat = place[0] - (window.row + np.arange(window.rows, dtype=np.float64)) * row
    lon = place[1] + (window.column + np.arange(window.columns, dtype=np.float64)) * column
    return Part(lat, lon, value, row, column, sea)


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
