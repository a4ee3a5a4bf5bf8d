"""The places of a patch's pixels in space: the DEM above the geoid above the ellipsoid."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from pyproj import Transformer

from stac_lake.pixels.elevation import Elevation
from stac_lake.pixels.sar.document import Vector
from stac_lake.pixels.sar.geoid import geoid_height
from stac_lake.pixels.sar.geometry import earth_fixed
from stac_lake.recipe import product
from stac_lake.types import PixelGrid, Scene, Source

AROUND = 1
"""Pixels around a patch, so that the slope of its outermost ones is known."""
_FARTHEST = 88.0
"""Degrees of latitude: at an inclination of 98.2° no swath reaches beyond."""


class Ground:
    """Heights of a task's patches, read once for all scenes."""

    def __init__(self, terrain: str, source: Source, tiles: Sequence[Scene]) -> None:
        self._elevation = Elevation(product(terrain), source)
        self._tiles = tuple(tiles)
        self._places: dict[PixelGrid, Vector] = {}

    def places(self, grids: Sequence[PixelGrid]) -> list[Vector]:
        """Earth-fixed places (row, column, 3) of the pixels of grids with `AROUND` pixels around.

        A place that has no height is NaN; where there is no tile, it is the sea's: 0 m above the
        geoid.

        Raises:
            BadRaster: a tile of the DEM is corrupt.
            UpstreamError: it could not be read.
        """
        new = [grid for grid in dict.fromkeys(grids) if grid not in self._places]
        if new:
            degrees = [_degrees(grid) for grid in new]
            lon = np.concatenate([east.ravel() for east, _ in degrees])
            lat = np.concatenate([north.ravel() for _, north in degrees])
            heights = self._elevation.heights(self._tiles, lon, lat)[0]
            space = earth_fixed(lon, lat, heights + geoid_height(lon, lat))
            ends = np.cumsum([place.size for place, _ in degrees])[:-1]
            for grid, (shaped, _), part in zip(new, degrees, np.split(space, ends), strict=True):
                self._places[grid] = part.reshape(*shaped.shape, 3)
        return [self._places[grid] for grid in grids]


def _degrees(grid: PixelGrid) -> tuple[Vector, Vector]:
    """Longitude and latitude of pixel centres; latitude is NaN where no swath reaches."""
    a, _, c, _, e, f = grid.transform
    x = c + (np.arange(-AROUND, grid.shape[1] + AROUND) + 0.5) * a
    y = f + (np.arange(-AROUND, grid.shape[0] + AROUND) + 0.5) * e
    lon, lat = _to_degrees(grid.epsg).transform(*np.meshgrid(x, y))
    return lon, np.where(np.abs(lat) > _FARTHEST, np.nan, lat)


@lru_cache(maxsize=64)
def _to_degrees(epsg: int) -> Transformer:
    return Transformer.from_crs(epsg, 4326, always_xy=True)
