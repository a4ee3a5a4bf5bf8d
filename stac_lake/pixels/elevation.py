"""Copernicus DEM: a mosaic of degree tiles, interpolated to the cell grid.

The pixels of a degree tile are points: the first lies on the tile's north-western corner, and the
last one pixel short of the eastern and southern edges, so that neighbours continue each other's
lattice (product handbook 5.0, section 3). Rows are 1″ apart everywhere (GLO-90: 3″), columns widen
with latitude band. The lattice is therefore taken as degree bands of rows, each with its own
columns: interpolating along rows first, then between rows, is bilinear inside a tile, and
continuous over the borders of tiles and latitude bands.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stac_lake.errors import BadRaster, ConfigError, PixelError, UpstreamError
from stac_lake.pixels.files import Files, in_parallel
from stac_lake.pixels.raster import Raster, Window
from stac_lake.recipe import Elevation as ElevationValues
from stac_lake.recipe import Product
from stac_lake.types import Chip, Measure, PixelGrid, Qa, Scene, Source

GLO30_ROW, GLO90_ROW = 1 / 3600, 1 / 1200
"""Degrees between rows."""
_MARGIN = 0.01
"""Degrees: more than the widest pixel (GLO-90 beyond 85° latitude: 1/120°)."""

Place = tuple[int, int]
"""(north, west) of a degree tile: latitudes (north - 1, north], longitudes [west, west + 1)."""
Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Tile:
    scene: Scene
    raster: Raster
    place: Place
    row: float
    """Degrees between rows."""
    column: float
    """Degrees between columns."""


@dataclass(frozen=True, eq=False)
class _Part:
    """Heights of a tile, or zeros of the sea, on the lattice points that a grid needs.

    Attributes:
        lat: Latitudes of the rows, descending.
        lon: Longitudes of the columns, ascending, unwrapped to the grid.
        height: (row, column) in metres, NaN for nodata.
        sea: Whether no tile is there.
    """

    lat: Vector
    lon: Vector
    height: NDArray[np.float64]
    sea: bool = False


class Elevation:
    """The operator of the DEM; see `Operator`. It takes all tiles at once, as a mosaic."""

    def __init__(self, product: Product, source: Source) -> None:
        assert isinstance(product.values, ElevationValues)
        if product.values.resampling == "cubic":
            raise ConfigError(
                "the DEM is resampled by bilinear or nearest: cubic overshoots at cliffs",
                product=product.id,
            )
        self._product = product
        self._nearest = product.values.resampling == "nearest"
        self._files = Files(source)

    def measure(self, scenes: Sequence[Scene], grids: Sequence[PixelGrid]) -> list[list[Measure]]:
        """Share of each grid that lies in each tile; only headers are read."""
        return [self._measured(scene, grids) for scene in scenes]

    def _measured(self, scene: Scene, grids: Sequence[PixelGrid]) -> list[Measure]:
        try:
            north, west = self._tile(scene).place
        except (PixelError, UpstreamError) as error:
            why = f"{type(error).__name__}: {error}"
            return [Measure(scene.id, 0.0, error=why) for _ in grids]
        line = []
        for grid in grids:
            lon, lat = _centres(grid)
            inside = (np.ceil(lat) == north).mean() * (_wrapped(np.floor(lon)) == west).mean()
            line.append(Measure(scene.id, 100.0 * float(inside)))
        return line

    def cut(self, scenes: Sequence[Scene], grids: Sequence[PixelGrid]) -> list[Chip | str]:
        """One chip per grid, of all tiles under it; 0 m of sea where there is no tile at all."""
        tiles: dict[Place, _Tile] = {}
        for tile in in_parallel(self._tile, scenes):
            known = tiles.get(tile.place)
            if known is None or tile.row < known.row:
                tiles[tile.place] = tile
        needs = [_places(grid) for grid in grids]
        parts = self._parts(tiles, grids, needs)
        return [
            self._chip(grid, needs[number], parts[number], tiles)
            for number, grid in enumerate(grids)
        ]

    def _tile(self, scene: Scene) -> _Tile:
        raster = self._files.raster(scene, "height")
        (rows, columns), (a, _, c, _, e, f) = raster.levels[0].shape, raster.levels[0].transform
        tile = _Tile(scene, raster, (round(f + e / 2), round(c + a / 2)), -e, a)
        corner = math.hypot(f + e / 2 - tile.place[0], c + a / 2 - tile.place[1])
        whole = abs(rows * e + 1) < -e / 2 and abs(columns * a - 1) < a / 2
        if raster.epsg != 4326 or raster.dtype.kind != "f" or corner > a / 100 or not whole:
            raise BadRaster("this is not a degree tile of the DEM", asset=raster.asset.href)
        return tile

    def _parts(
        self, tiles: dict[Place, _Tile], grids: Sequence[PixelGrid], needs: list[list[Place]]
    ) -> list[dict[Place, _Part]]:
        """What each grid needs of each tile; every tile is read once for all grids."""
        parts: list[dict[Place, _Part]] = [{} for _ in grids]
        users: dict[Place, list[tuple[int, Place]]] = {}
        for number, places in enumerate(needs):
            for place in places:
                home = (place[0], int(_wrapped(place[1])))
                if home in tiles:
                    users.setdefault(home, []).append((number, place))

        def read(home: Place) -> None:
            tile = tiles[home]
            wanted = [
                (number, place, window)
                for number, place in users[home]
                if (window := _window(tile, place, grids[number])) is not None
            ]
            blocks = tile.raster.read([window for *_, window in wanted], np.nan)
            for (number, place, window), block in zip(wanted, blocks, strict=True):
                parts[number][place] = _part(tile, place, window, block[0])

        in_parallel(read, users)
        return parts

    def _chip(
        self,
        grid: PixelGrid,
        places: list[Place],
        parts: dict[Place, _Part],
        tiles: dict[Place, _Tile],
    ) -> Chip:
        used = [tiles[north, int(_wrapped(west))] for north, west in parts]
        column = min((tile.column for tile in used), default=GLO30_ROW)
        row = min((tile.row for tile in used), default=GLO30_ROW)
        bands = []
        for north in sorted({place[0] for place in places}, reverse=True):
            line = [
                parts[place] if place in parts else _sea(place, row, column)
                for place in sorted(p for p in places if p[0] == north)
            ]
            bands.append(self._along_rows(line, _centres(grid)[0]))
        height, sea = self._across_rows(bands, _centres(grid)[1])
        qa = np.where(np.isfinite(height), np.float32(Qa.OBSERVED), np.float32(0))
        qa[sea & np.isfinite(height)] += np.float32(Qa.SEA_FILLED)
        data = np.stack([height.astype(np.float32), qa])
        coarse = any(tile.row > 1.5 * GLO30_ROW for tile in used)
        identities = {id(tile.scene): tile.scene for tile in used}
        return Chip(
            grid,
            self._product.band_names,
            data,
            tuple(sorted(identities.values(), key=lambda scene: scene.id)),
            {"lake:source_gsd_m": 90.0} if coarse else {},
        )

    def _along_rows(
        self, line: list[_Part], lon: Vector
    ) -> tuple[Vector, NDArray[np.float64], NDArray[np.bool_]]:
        """One degree band at the target longitudes: latitudes, heights (row, x), sea (x)."""
        lat = max((part.lat for part in line), key=len)
        heights = np.concatenate([_onto(part, lat) for part in line], axis=1)
        points = np.concatenate([part.lon for part in line])
        sea = np.concatenate([np.full(part.lon.size, part.sea) for part in line])
        left, weight = self._between(points, lon)
        right = np.minimum(left + 1, points.size - 1)
        values = _mixed(heights[:, left], heights[:, right], weight)
        return lat, values, np.where(weight < 0.5, sea[left], sea[right])

    def _across_rows(
        self, bands: list[tuple[Vector, NDArray[np.float64], NDArray[np.bool_]]], lat: Vector
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """All bands at the target latitudes: heights (y, x), NaN beyond the poles; sea (y, x)."""
        points = -np.concatenate([band[0] for band in bands])
        heights = np.concatenate([band[1] for band in bands])
        sea = np.concatenate([np.broadcast_to(b[2], (b[0].size, b[2].size)) for b in bands])
        upper, weight = self._between(points, -lat)
        lower = np.minimum(upper + 1, points.size - 1)
        values = _mixed(heights[upper], heights[lower], weight[:, None])
        values[np.abs(lat) > 90] = np.nan
        return values, np.where(weight[:, None] < 0.5, sea[upper], sea[lower])

    def _between(self, points: Vector, targets: Vector) -> tuple[NDArray[np.int64], Vector]:
        """Index of the point before each target, and the next one's weight; clamped at the ends."""
        before = np.clip(np.searchsorted(points, targets, side="right") - 1, 0, points.size - 1)
        after = np.minimum(before + 1, points.size - 1)
        gap = np.where(after > before, points[after] - points[before], 1.0)
        weight = np.clip((targets - points[before]) / gap, 0.0, 1.0)
        return before, np.round(weight) if self._nearest else weight


def _mixed(
    before: NDArray[np.float64], after: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Linear interpolation in which a neighbour of weight 0 cannot spread its NaN."""
    mixed = before * (1 - weight) + after * weight
    return np.where(weight == 0, before, np.where(weight == 1, after, mixed))


def _centres(grid: PixelGrid) -> tuple[Vector, Vector]:
    """Longitudes of the columns and latitudes of the rows, unwrapped."""
    a, _, c, _, e, f = grid.transform
    lon = c + (np.arange(grid.shape[1], dtype=np.float64) + 0.5) * a
    return lon, f + (np.arange(grid.shape[0], dtype=np.float64) + 0.5) * e


def _wrapped(lon: Any) -> Any:
    return (lon + 180) % 360 - 180


def _places(grid: PixelGrid) -> list[Place]:
    """Degree tiles under a grid, west as in the grid's own longitudes."""
    west, south, east, north = grid.bounds
    top = min(math.ceil(north + _MARGIN), 90)
    bottom = max(math.ceil(south - _MARGIN), -89)
    return [
        (lat, lon)
        for lat in range(top, bottom - 1, -1)
        for lon in range(math.floor(west - _MARGIN), math.floor(east + _MARGIN) + 1)
    ]


def _window(tile: _Tile, place: Place, grid: PixelGrid) -> Window | None:
    """Lattice points of a tile that interpolation to a grid needs; None if there are none."""
    west, south, east, north = grid.bounds
    rows, columns = tile.raster.levels[0].shape
    top = max(math.floor((place[0] - north) / tile.row) - 1, 0)
    bottom = min(math.ceil((place[0] - south) / tile.row) + 2, rows)
    left = max(math.floor((west - place[1]) / tile.column) - 1, 0)
    right = min(math.ceil((east - place[1]) / tile.column) + 2, columns)
    if top >= bottom or left >= right:
        return None
    return Window(top, left, bottom - top, right - left)


def _part(tile: _Tile, place: Place, window: Window, block: NDArray[Any]) -> _Part:
    height = block.astype(np.float64)
    if tile.raster.nodata is not None:
        height[block == tile.raster.nodata] = np.nan
    lat = place[0] - (window.row + np.arange(window.rows, dtype=np.float64)) * tile.row
    lon = place[1] + (window.column + np.arange(window.columns, dtype=np.float64)) * tile.column
    return _Part(lat, lon, height)


def _sea(place: Place, row: float, column: float) -> _Part:
    """Zeros on the outermost lattice points of a tile that does not exist."""
    lat = np.array([place[0], place[0] - 1 + row])
    lon = np.array([place[1], place[1] + 1 - column])
    return _Part(lat, lon, np.zeros((2, 2)), sea=True)


def _onto(part: _Part, lat: Vector) -> NDArray[np.float64]:
    """A part at the latitudes of its degree band, which a finer neighbour may set."""
    if part.lat.size == lat.size and np.allclose(part.lat, lat, rtol=0, atol=1e-9):
        return part.height
    before = np.clip(np.searchsorted(-part.lat, -lat, side="right") - 1, 0, part.lat.size - 1)
    after = np.minimum(before + 1, part.lat.size - 1)
    gap = np.where(after > before, part.lat[before] - part.lat[after], 1.0)
    weight = np.clip((part.lat[before] - lat) / gap, 0.0, 1.0)
    return _mixed(part.height[before], part.height[after], weight[:, None])
