"""Degree tiles of the DEM made from fields of longitude and latitude, as files and scenes."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from pixel_files import FileSource, scene_of
from rasterio.io import MemoryFile
from rasterio.transform import Affine
from rasterio.windows import Window

from stac_lake.types import PixelGrid


def columns_of(north: int) -> int:
    """Product handbook 5.0, table 2: columns by the latitude of the tile's southern edge."""
    south = north - 1
    edge = abs(south) if south >= 0 else abs(north)
    for limit, columns in ((50, 3600), (60, 2400), (70, 1800), (80, 1200), (85, 720)):
        if edge < limit:
            return columns
    return 360


@lru_cache(maxsize=32)
def tile_bytes(
    north: int, west: int, field, focus: tuple[float, float], step: int = 1, reach: float = 0.3
) -> bytes:
    """A degree tile of `field(lon, lat)` within reach of a focus, else empty; step 3 is GLO-90."""
    rows, columns = 3600 // step, columns_of(north) // step
    dy, dx = 1 / rows, 1 / columns
    top, bottom = (np.clip(round((north - focus[1] + d) / dy), 0, rows) for d in (-reach, reach))
    centre = (focus[0] - west + 180) % 360 - 180
    left, right = (np.clip(round((centre + d) / dx), 0, columns) for d in (-reach, reach))
    lon, lat = np.meshgrid(west + np.arange(left, right) * dx, north - np.arange(top, bottom) * dy)
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            width=columns,
            height=rows,
            count=1,
            dtype="float32",
            tiled=True,
            crs="EPSG:4326",
            transform=Affine(dx, 0, west - dx / 2, 0, -dy, north + dy / 2),
            blockxsize=256,
            blockysize=256,
            SPARSE_OK=True,
        ) as dataset:
            part = Window(left, top, right - left, bottom - top)
            dataset.write(field(lon, lat).astype("float32"), 1, window=part)
        return bytes(memory.getbuffer())


def mosaic(tiles, field, focus, coarse=(), reach=0.3):
    """Files and scenes of (north, west) tiles, GLO-90 for those in `coarse`."""
    files = {f"{n}_{w}": tile_bytes(n, w, field, focus, 1, reach) for n, w in tiles}
    files |= {f"c{n}_{w}": tile_bytes(n, w, field, focus, 3, reach) for n, w in coarse}
    scenes = [scene_of("dem-glo30", {"height": name}, id=name) for name in files]
    return FileSource(files), scenes


def plane(lon, lat):
    """Metres; continuous over ±180°, steep enough to show half a pixel (4 mm per 0.1″ in lat)."""
    return 100 * (lat - 40) + 50 * np.cos(np.radians(lon)) + 20 * np.sin(np.radians(lon))


def tiles_under(cell):
    """(north, west) of the degree tiles under a cell."""
    west, south, east, north = cell.bounds
    return sorted(
        {
            (math.ceil(lat), (math.floor(lon) + 180) % 360 - 180)
            for lat in (max(south, -90) + 1e-9, min(north, 90))
            for lon in (west, east - 1e-9)
        }
    )


def centres(grid: PixelGrid):
    a, _, c, _, e, f = grid.transform
    x, y = c + (np.arange(grid.shape[1]) + 0.5) * a, f + (np.arange(grid.shape[0]) + 0.5) * e
    return np.meshgrid(x, y)


def flat(lon, lat):
    return 1000 + 0 * lon


def rough(lon, lat):
    return 500 + 300 * np.sin(lon * 900) * np.cos(lat * 1100)


def lattice(field, lon, lat, land=lambda north, west: north > -90):
    """Bilinear by its definition from a field at the four points of a 1″ lattice around each place.

    `land(north, west)` says of arrays which degree tiles there are; points of the others are 0.
    """
    west, south = np.floor(lon * 3600), np.floor(lat * 3600)
    u, v = lon * 3600 - west, lat * 3600 - south

    def at(i, j):
        x, y = west + i, south + j
        there = land(np.ceil(y / 3600 - 1e-9), np.floor(x / 3600 + 1e-9))
        return np.where(there, field(x / 3600, y / 3600), 0.0)

    return sum(
        weight * at(i, j)
        for i, j, weight in (
            (0, 0, (1 - u) * (1 - v)),
            (1, 0, u * (1 - v)),
            (0, 1, (1 - u) * v),
            (1, 1, u * v),
        )
    )
