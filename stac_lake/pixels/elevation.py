"""Copernicus DEM: a mosaic of degree tiles, interpolated to a grid in degrees or to any places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stac_lake.errors import ConfigError, PixelError, UpstreamError
from stac_lake.pixels.dem_mosaic import Flags, Floats, Mosaic
from stac_lake.pixels.dem_tiles import GLO30_ROW, Box, finest, mosaics, open_tile
from stac_lake.pixels.files import Files, in_parallel
from stac_lake.pixels.slope import aspect_deg, gradient, slope_deg
from stac_lake.recipe import Elevation as ElevationValues
from stac_lake.recipe import Product
from stac_lake.types import Chip, Measure, PixelGrid, Qa, Scene, Source

_STENCIL = 2
"""Lattice points around the interpolated ones that slopes need (`slope.gradient`)."""


class Elevation:
    """The operator of the DEM; see `Operator`. It takes all tiles at once, as a mosaic."""

    def __init__(self, product: Product, source: Source) -> None:
        """Prepare for a product and a source of bytes.

        Raises:
            ConfigError: the resampling or the grid is not one that heights can be given on.
        """
        assert isinstance(product.values, ElevationValues)
        if product.values.resampling == "cubic":
            raise ConfigError(
                "the DEM is resampled by bilinear or nearest: cubic overshoots at cliffs",
                product=product.id,
            )
        if product.grid == "metric":
            raise ConfigError("the DEM's grid is cell or native, in degrees", product=product.id)
        self._product = product
        self._nearest = product.values.resampling == "nearest"
        self._derived = [name for name in ("slope", "aspect") if name in product.band_names]
        self._files = Files(source)

    def measure(self, scenes: Sequence[Scene], grids: Sequence[PixelGrid]) -> list[list[Measure]]:
        """Share of each grid that lies in each tile; only headers are read."""
        return [self._measured(scene, grids) for scene in scenes]

    def _measured(self, scene: Scene, grids: Sequence[PixelGrid]) -> list[Measure]:
        try:
            north, west = open_tile(self._files, scene).place
        except (PixelError, UpstreamError) as error:
            why = f"{type(error).__name__}: {error}"
            return [Measure(scene.id, 0.0, error=why) for _ in grids]
        line = []
        for grid in grids:
            lon, lat = _centres(grid)
            # Longitudes [west, west + 1) on the circle, latitudes (north - 1, north].
            inside = (np.ceil(lat) == north).mean() * (np.floor((lon - west) % 360) == 0).mean()
            line.append(Measure(scene.id, 100.0 * float(inside)))
        return line

    def cut(self, scenes: Sequence[Scene], grids: Sequence[PixelGrid]) -> list[Chip | str]:
        """One chip per grid, of all tiles under it; 0 m of sea where there is no tile at all."""
        boxes = [_box(*_centres(grid)) for grid in grids]
        surfaces = self._mosaics(scenes, boxes, _STENCIL if self._derived else 0)
        return [self._chip(grid, surface) for grid, surface in zip(grids, surfaces, strict=True)]

    def heights(self, scenes: Sequence[Scene], lon: Floats, lat: Floats) -> tuple[Floats, Flags]:
        """Heights at places anywhere, bilinear; each tile's window is read once.

        Args:
            scenes: All tiles of GLO-30 and GLO-90 within 0.01° of the places: what is not covered
                by any is sea.
            lon: Degrees, (y, x) or any other shape; ±180° may lie among them, but not a pole.
            lat: Degrees, of the same shape.

        Returns:
            Metres above EGM2008, NaN for a tile's nodata and for places that are not finite; and
            whether it is sea (0 m, as there is no tile). Both of that shape, float64 and bool.

        Raises:
            PixelError: a file is not what it should be.
            UpstreamError: a file could not be read.
        """
        known = np.isfinite(lon) & np.isfinite(lat)
        height, sea = np.full(lon.shape, np.nan), np.zeros(lon.shape, bool)
        if known.any():
            x, y = lon[known], lat[known]
            x = x[0] + (x - x[0] + 180) % 360 - 180
            (surface,) = self._mosaics(scenes, [_box(x, y)], 0)
            height[known], sea[known] = surface.at(x, y)
        return height, sea

    def _mosaics(self, scenes: Sequence[Scene], boxes: Sequence[Box], around: int) -> list[Mosaic]:
        tiles = in_parallel(lambda scene: open_tile(self._files, scene), scenes)
        return mosaics(finest(tiles), boxes, around)

    def _chip(self, grid: PixelGrid, surface: Mosaic) -> Chip:
        lon, lat = _centres(grid)
        height, sea = surface.on_lattice(lon, lat, self._nearest)
        height[np.abs(lat) > 90] = np.nan
        known = np.isfinite(height)
        qa = np.where(known, np.float32(Qa.OBSERVED), np.float32(0))
        qa[sea & known] += np.float32(Qa.SEA_FILLED)
        bands: dict[str, NDArray[np.float32]] = {"height": height.astype(np.float32), "qa": qa}
        if self._derived:
            east, north = (
                np.where(known, part.on_lattice(lon, lat, self._nearest)[0], np.nan)
                for part in gradient(surface)
            )
            bands["slope"] = slope_deg(east, north).astype(np.float32)
            bands["aspect"] = aspect_deg(east, north)
        names = self._product.band_names
        coarse = any(tile.row > 1.5 * GLO30_ROW for tile in surface.tiles)
        identities = {id(tile.scene): tile.scene for tile in surface.tiles}
        return Chip(
            grid,
            names,
            np.stack([bands[name] for name in names]),
            tuple(sorted(identities.values(), key=lambda scene: scene.id)),
            {"lake:source_gsd_m": 90.0} if coarse else {},
        )


def _centres(grid: PixelGrid) -> tuple[Floats, Floats]:
    """Longitudes of the columns and latitudes of the rows, unwrapped."""
    a, _, c, _, e, f = grid.transform
    lon = c + (np.arange(grid.shape[1], dtype=np.float64) + 0.5) * a
    return lon, f + (np.arange(grid.shape[0], dtype=np.float64) + 0.5) * e


def _box(lon: Floats, lat: Floats) -> Box:
    return Box(float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max()))
