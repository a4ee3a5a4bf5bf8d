"""Reading the degree tiles of the Copernicus DEM: each once, as far as a surface needs it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from stac_lake.dem_lattice import ROWS, columns_per_degree
from stac_lake.errors import BadRaster
from stac_lake.pixels.dem_mosaic import Floats, Mosaic, Part, Place, Tile
from stac_lake.pixels.files import Files, in_parallel
from stac_lake.pixels.raster import Window
from stac_lake.types import Scene

GLO30_ROW = 1 / ROWS
"""Degrees between rows."""
MARGIN = 0.01
"""Degrees around an area in which planning has looked for tiles: a tile that is missing further out
says nothing about the sea. More than the widest pixel (GLO-90 beyond 85° latitude: 1/120°)."""


class Box(NamedTuple):
    """Degrees that the places asked for span; longitudes may go beyond ±180°."""

    west: float
    south: float
    east: float
    north: float


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
