"""Pixels of a raster on a pixel grid: exact on a shared lattice, warped from anywhere else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from stac_lake.errors import BadRaster
from stac_lake.pixels.gdal import GdalRaster
from stac_lake.pixels.ranges import Ranges
from stac_lake.pixels.raster import Level, Raster, Window
from stac_lake.pixels.tiff import open_tiled
from stac_lake.recipe import Resampling
from stac_lake.types import Asset, PixelGrid, Source

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JP2 = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")
_MARGIN = 4
"""Source pixels around a window: bicubic reaches two, the rest is for a curved edge."""
_MAX_WARP_PIXELS = 64 << 20

Vector = NDArray[np.float64]


def open_raster(source: Source, asset: Asset, *, georeferenced: bool = True) -> Raster:
    """Open a GeoTIFF or JPEG 2000 file, told by its first bytes, never by its name.

    Args:
        source: Where the bytes come from.
        asset: The file.
        georeferenced: False for images with ground control points only: they are opened in pixel
            coordinates (`PIXELS`, EPSG 0).

    Raises:
        BadRaster: it is neither, or its header is corrupt.
        UpstreamError: it could not be read.
    """
    ranges = Ranges(source, asset)
    magic = ranges.at(0, min(12, ranges.size))
    if magic.startswith(_TIFF):
        tiled = open_tiled(source, ranges, georeferenced=georeferenced)
        return tiled or GdalRaster(ranges, "GTiff", georeferenced=georeferenced)
    if magic.startswith(_JP2):
        return GdalRaster(ranges, "JP2OpenJPEG")
    raise BadRaster("the file is neither a GeoTIFF nor JPEG 2000", asset=asset.href)


def on_lattice(raster: Raster, grid: PixelGrid, level: int = 0) -> bool:
    """Whether each pixel of the grid lies in exactly one pixel of the raster's level.

    True for the same CRS, a pixel that is a whole multiple of the grid's, and corners that differ
    by whole grid pixels: nothing has to be interpolated then.
    """
    grid = _in_hemisphere(raster.epsg, grid)
    if raster.epsg != grid.epsg:
        return False
    a, _, c, _, e, f = raster.levels[level].transform
    ga, _, gc, _, ge, gf = grid.transform
    numbers = (a / ga, e / ge, (gc - c) / ga, (gf - f) / ge)
    return all(abs(n - round(n)) < 1e-6 for n in numbers) and round(a / ga) >= 1


def read_on_grids(
    raster: Raster,
    grids: Sequence[PixelGrid],
    resampling: Resampling,
    fill: float,
    level: int = 0,
    special: float | None = None,
) -> list[NDArray[Any]]:
    """A raster's pixels on grids, in one pass over its tiles.

    Args:
        raster: What is read.
        grids: Where the pixels go.
        resampling: Used where the grid is not on the raster's lattice, or is finer; on the lattice,
            nearest repeats coarse pixels.
        fill: Value outside the raster; also the value that a warp takes for nodata.
        level: 0 for the full image.
        special: Another value that is no measurement (saturated): never mixed with others.

    Returns:
        One array (band, row, column) per grid.
    """
    grids = [_in_hemisphere(raster.epsg, grid) for grid in grids]
    exact = [
        on_lattice(raster, grid, level)
        and (resampling == "nearest" or _same_pixel(raster.levels[level], grid))
        for grid in grids
    ]
    windows = [
        (_lattice_window if is_exact else _warp_window)(raster, grid, level)
        for grid, is_exact in zip(grids, exact, strict=True)
    ]
    blocks = raster.read(windows, fill, level)
    return [
        _repeated(block, window, raster.levels[level], grid)
        if is_exact
        else _warped(block, _placed(raster, window, level), grid, resampling, (fill, special))
        for block, window, grid, is_exact in zip(blocks, windows, grids, exact, strict=True)
    ]


def _in_hemisphere(epsg: int, grid: PixelGrid) -> PixelGrid:
    """The grid in the raster's half of its own UTM zone.

    Landsat counts northings from the equator in the south, too, where they are negative; nothing
    but the false northing of 10 000 km lies between that and the southern zone.
    """
    if grid.epsg == epsg + 100 and 32600 < epsg <= 32660:
        a, b, c, d, e, f = grid.transform
        return PixelGrid(epsg, (a, b, c, d, e, f - 1e7), grid.shape)
    return grid


def _same_pixel(level: Level, grid: PixelGrid) -> bool:
    return math.isclose(level.transform[0], grid.transform[0], rel_tol=1e-9)


def _indices(level: Level, grid: PixelGrid) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of the raster pixel under each row and column of the grid."""
    a, _, c, _, e, f = level.transform
    ga, _, gc, _, ge, gf = grid.transform
    rows = np.floor((gf + (np.arange(grid.shape[0]) + 0.5) * ge - f) / e).astype(np.int64)
    columns = np.floor((gc + (np.arange(grid.shape[1]) + 0.5) * ga - c) / a).astype(np.int64)
    return rows, columns


def _lattice_window(raster: Raster, grid: PixelGrid, level: int) -> Window:
    rows, columns = _indices(raster.levels[level], grid)
    top, left = int(rows[0]), int(columns[0])
    return Window(top, left, int(rows[-1]) - top + 1, int(columns[-1]) - left + 1)


def _repeated(block: NDArray[Any], window: Window, level: Level, grid: PixelGrid) -> NDArray[Any]:
    rows, columns = _indices(level, grid)
    if block.shape[1:] == grid.shape:
        return block
    return np.ascontiguousarray(
        block[:, rows[:, None] - window.row, columns[None, :] - window.column]
    )


def _warp_window(raster: Raster, grid: PixelGrid, level: int) -> Window:
    """The part of the raster that a warp to the grid needs; empty where they are apart."""
    lattice = raster.levels[level]
    a, _, c, _, e, f = lattice.transform
    ga, _, gc, _, ge, gf = grid.transform
    x, y = np.meshgrid(
        gc + np.linspace(0, grid.shape[1], 17) * ga, gf + np.linspace(0, grid.shape[0], 17) * ge
    )
    if raster.epsg != grid.epsg:
        x, y = _transformer(grid.epsg, raster.epsg).transform(x, y)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return Window(0, 0, 0, 0)
    columns, rows = (x - c) / a, (y - f) / e
    top = max(math.floor(rows.min()) - _MARGIN, -_MARGIN)
    left = max(math.floor(columns.min()) - _MARGIN, -_MARGIN)
    bottom = min(math.ceil(rows.max()) + _MARGIN, lattice.shape[0] + _MARGIN)
    right = min(math.ceil(columns.max()) + _MARGIN, lattice.shape[1] + _MARGIN)
    if top >= bottom or left >= right:
        return Window(0, 0, 0, 0)
    if (bottom - top) * (right - left) > _MAX_WARP_PIXELS:
        raise BadRaster(
            "a warp would need more than 64 million source pixels: the image is far finer than "
            "its metadata say",
            asset=raster.asset.href,
        )
    return Window(top, left, bottom - top, right - left)


def _warped(
    block: NDArray[Any],
    source: PixelGrid,
    grid: PixelGrid,
    resampling: Resampling,
    marks: tuple[float, float | None],
) -> NDArray[Any]:
    """Interpolate a block of pixels to a grid, at exactly transformed pixel centres.

    Neighbours that hold one of `marks` (fill, special) have no weight; where the nearest one does,
    the result does, too. Outside is fill. Where the overshoot of a cubic would end on a mark, the
    nearest pixel stays.
    """
    out = np.full((block.shape[0], *grid.shape), marks[0], block.dtype)
    if not block.size:
        return out
    x, y = _centres(grid) if source.epsg == grid.epsg else _centres_in(source.epsg, grid)
    a, _, c, _, e, f = source.transform
    column, row = (x - c) / a - 0.5, (y - f) / e - 0.5  # in pixel centres
    near = (np.floor(row + 0.5).astype(np.int64), np.floor(column + 0.5).astype(np.int64))
    inside = _inside(near, source.shape)
    for band, target in zip(block, out, strict=True):
        nearest = band[near[0][inside], near[1][inside]]
        if resampling == "nearest":
            target[inside] = nearest
        else:
            values = _kernel(band, row[inside], column[inside], resampling, marks)
            if block.dtype.kind in "ui":
                limits = np.iinfo(block.dtype)
                values = np.clip(np.rint(values), limits.min, limits.max)
            values = values.astype(block.dtype)
            keep = _marked(nearest, marks) | _marked(values, marks)
            target[inside] = np.where(keep, nearest, values)
    return out


@lru_cache(maxsize=32)
def _centres_in(epsg: int, grid: PixelGrid) -> tuple[Vector, Vector]:
    """Centres of a grid's pixels in another CRS; all scenes and bands of a patch share them."""
    x, y = _transformer(grid.epsg, epsg).transform(*_centres(grid))
    x.flags.writeable = y.flags.writeable = False
    return x, y


def _kernel(
    band: NDArray[Any],
    row: Vector,
    column: Vector,
    resampling: Resampling,
    marks: tuple[float, float | None],
) -> Vector:
    """Weighted mean of the 2 × 2 or 4 × 4 pixels around points, renormalised without `marks`."""
    fill = marks[0]
    weights = _linear if resampling == "bilinear" else _keys
    top, left = np.floor(row).astype(np.int64), np.floor(column).astype(np.int64)
    total, share = np.zeros(row.shape), np.zeros(row.shape)
    for down, vertical in weights(row - top):
        for right, horizontal in weights(column - left):
            place = (top + down, left + right)
            inside = _inside(place, band.shape)
            value = np.full(row.shape, fill, np.float64)
            value[inside] = band[place[0][inside], place[1][inside]]
            weight = np.where(_marked(value, marks), 0.0, vertical * horizontal)
            total += weight * np.where(weight == 0, 0.0, value)
            share += weight
    return np.divide(total, share, out=np.full(row.shape, fill, np.float64), where=share > 0)


def _marked(values: NDArray[Any], marks: tuple[float, float | None]) -> NDArray[np.bool_]:
    fill, special = marks
    found = np.asarray(values == fill)
    return found if special is None else found | (values == special)


def _linear(part: Vector) -> list[tuple[int, Vector]]:
    return [(0, 1 - part), (1, part)]


def _keys(part: Vector) -> list[tuple[int, Vector]]:
    """Cubic convolution with a = -1/2 (Keys 1981, eq. 15)."""
    t, s = part, 1 - part
    return [
        (-1, -0.5 * t * s**2),
        (0, 1 - 2.5 * t**2 + 1.5 * t**3),
        (1, 1 - 2.5 * s**2 + 1.5 * s**3),
        (2, -0.5 * s * t**2),
    ]


def _inside(
    place: tuple[NDArray[np.int64], NDArray[np.int64]], shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    row, column = place
    return (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])


def _centres(grid: PixelGrid) -> tuple[Vector, Vector]:
    """X and y of the pixel centres, each (row, column)."""
    a, _, c, _, e, f = grid.transform
    x = c + (np.arange(grid.shape[1], dtype=np.float64) + 0.5) * a
    y = f + (np.arange(grid.shape[0], dtype=np.float64) + 0.5) * e
    columns, rows = np.meshgrid(x, y)
    return columns, rows


def _placed(raster: Raster, window: Window, level: int) -> PixelGrid:
    """Where the pixels of a window lie."""
    a, _, c, _, e, f = raster.levels[level].transform
    transform = (a, 0.0, c + window.column * a, 0.0, e, f + window.row * e)
    return PixelGrid(raster.epsg, transform, (window.rows, window.columns))


@lru_cache(maxsize=64)
def _transformer(source: int, target: int) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)
