"""Rows of the DEM: heights on both grids and at any places, slope and aspect."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import made_tiles
import numpy as np
import pixel_files
import rasterio
import test_slope
from rasterio.transform import Affine
from rasterio.warp import Resampling, reproject
from rasterio.windows import Window
from scipy import ndimage

from benchmarks.fidelity.bench import Bench
from benchmarks.fidelity.mutations import (
    columns_as_long_as_rows,
    half_pixel,
    metres_of_a_sphere,
    row_flip,
)
from benchmarks.fidelity.needs import recorded
from benchmarks.fidelity.rows import Figure, Figures, Measure, Row, differing, errors
from benchmarks.fidelity.served import served
from stac_lake.dem_lattice import native_dem_grid
from stac_lake.grid import Cell, cell_at, patch_at, to_lonlat
from stac_lake.pixels.elevation import Elevation
from stac_lake.pixels.operators import operator_for
from stac_lake.recipe import Product, product
from stac_lake.types import Chip, PixelGrid, cell_grid, patch_grid
from tests.everywhere import everywhere_fields as fields
from tests.everywhere.everywhere_sites import BY_NAME

REAL = {
    "GLO-30 on the equator": "cop_dem_glo30_full/*.tif",
    "GLO-90 at the South Pole": "cop_dem_glo90_full/*.tif",
}
CELLS = {"GLO-30 on the equator": (6.6, 0.5), "GLO-90 at the South Pole": (-163.4, -89.5)}
PLACES = {
    "0°": (10.5, 0.0),
    "45° N": (10.5, 45.0),
    "67° N": (10.5, 67.0),
    "80° N, latitude band": (10.5, 80.0),
    "±180°, 45.5° N": (-180.0, 45.5),
}
"""Longitude and latitude of the analytic surfaces."""
SERVED = ("equator", "greenwich", "at-180-arctic", "74S", "coast")
"""Places of the sandbox: four tiles, 0° and ±180° longitude, a wide latitude band, a shore."""
WRONG = (half_pixel, row_flip)


def rows() -> list[Row]:
    """All of them."""
    return [
        *(
            Row(
                "dem-glo30",
                place,
                "GDAL's bilinear warp of the real tile to the cell's grid",
                "real",
                (Measure("height", "m", 1e-3, WRONG),),
                partial(_warped_cell, place),
                needs="shared",
            )
            for place in REAL
        ),
        Row(
            "dem-glo30",
            "GLO-30 on the equator",
            "the real tile's own pixels, by rasterio (grid: native)",
            "real",
            (Measure("pixels that differ", "%", 0, (row_flip,)),),
            _native,
            needs="shared",
        ),
        Row(
            "dem-glo30",
            "GLO-30 on the equator",
            "GDAL's exact warp of the real tile to a patch of 10 m",
            "real",
            # GDAL places the pixels of a row by a chord: 0.0003 pixels of the tile.
            (Measure("height", "m", 0.01, WRONG),),
            _warped_patch,
            needs="shared",
        ),
        Row(
            "dem-glo30",
            "GLO-30 on the equator",
            "planes fitted to 3 × 3 real points in geodesic metres, at 400 places",
            "real",
            (Measure("slope", "°", 2e-3, (row_flip, metres_of_a_sphere)),),
            _fitted,
            needs="shared",
        ),
        *(_slope(place) for place in PLACES),
        *(
            Row(
                "dem-glo30",
                f"sandbox, {place}",
                "the formula of docs/sandbox.md at pixel centres",
                "sandbox",
                (
                    # The remainder of linear interpolation between the points of GLO-30.
                    Measure("height", "m", round(fields.height_error(lat), 2), WRONG),
                    Measure("place", "px", 0.1, (half_pixel,)),
                ),
                partial(_served, place),
            )
            for place in SERVED
            for lat in (BY_NAME[place].lat,)
        ),
    ]


def _slope(place: str) -> Row:
    # On the equator a sphere is 0.7 % wrong; elsewhere columns are shorter than rows.
    metres = metres_of_a_sphere if place == "0°" else columns_as_long_as_rows
    wrong = (half_pixel, row_flip, metres)
    return Row(
        "dem-glo30",
        place,
        "gradient of hills in a transverse Mercator plane, scale and convergence taken out",
        "analytic",
        (
            Measure("slope", "°", 0.01, wrong),
            Measure("aspect where steeper than 2°", "°", 0.06, WRONG),
        ),
        partial(_hills, place),
    )


def _warp(path: Any, grid: PixelGrid) -> Any:
    with rasterio.open(path) as dataset:
        out = np.full(grid.shape, np.nan, "float64")
        reproject(
            dataset.read(1).astype("float64"),
            out,
            src_transform=dataset.transform,
            src_crs=dataset.crs,
            dst_transform=Affine(*grid.transform),
            dst_crs=f"EPSG:{grid.epsg}",
            resampling=Resampling.bilinear,
            tolerance=0,
        )
    return out


def _cut(bench: Bench, path: Any, grid: PixelGrid, of: Product | None = None) -> Any:
    source = pixel_files.FileSource({"real": path.read_bytes()})
    scene = pixel_files.scene_of("dem-glo30", {"height": "real"})
    operator = operator_for(of or product("dem-glo30"), source)
    (chip,) = bench.made(lambda: operator.cut([scene], [grid]))
    assert isinstance(chip, Chip)
    return chip.data


def _warped_cell(place: str, bench: Bench) -> Figures:
    path, grid = recorded(REAL[place]), cell_grid(cell_at(*CELLS[place]), 960)
    expected = bench.once(("warp", place), lambda: _warp(path, grid))
    return {"height": errors(_cut(bench, path, grid)[0], expected)}


def _points(path: Path, grid: PixelGrid) -> Any:
    """The tile's own pixels under a native grid."""
    with rasterio.open(path) as dataset:
        west, north = grid.transform[2] + 0.5 / 3600, grid.transform[5] - 0.5 / 3600
        column, row = (~dataset.transform) @ (west, north)
        return dataset.read(1, window=Window(int(column), int(row), *grid.shape[::-1]))


def _native(bench: Bench) -> Figures:
    path, grid = recorded(REAL["GLO-30 on the equator"]), native_dem_grid(cell_at(6.5, 0.25))
    found = _cut(bench, path, grid)[0]
    return {"pixels that differ": differing(found, _points(path, grid))}


def _fitted(bench: Bench) -> Figures:
    path, grid = recorded(REAL["GLO-30 on the equator"]), native_dem_grid(cell_at(6.5, 0.25))
    lon, lat = made_tiles.centres(grid)
    rows, columns = np.random.default_rng(7).integers(
        1, np.array(grid.shape)[:, None] - 1, (2, 400)
    )

    def planes() -> Any:
        height = _points(path, grid).astype(float)
        near = [np.s_[i - 1 : i + 2, j - 1 : j + 2] for i, j in zip(rows, columns, strict=True)]
        return [test_slope.fitted(height[part], lon[part], lat[part])[0] for part in near]

    found = _cut(bench, path, grid, test_slope.DEM)[2]
    return {"slope": errors(found[rows, columns], np.array(bench.once("planes", planes)))}


def _warped_patch(bench: Bench) -> Figures:
    path, grid = recorded(REAL["GLO-30 on the equator"]), patch_grid(patch_at(6.6, 0.3))
    expected = bench.once("patch", lambda: _warp(path, grid))
    lon, lat = to_lonlat(grid.epsg).transform(*made_tiles.centres(grid))
    source = pixel_files.FileSource({"real": path.read_bytes()})
    scene = pixel_files.scene_of("dem-glo30", {"height": "real"})
    operator = Elevation(product("dem-glo30"), source)
    found, _ = bench.made(lambda: operator.heights([scene], lon, lat))
    return {"height": errors(found, expected)}


def _mosaic(bench: Bench, cell: Cell, field: Callable[..., Any], focus: Any) -> Any:
    tiles = made_tiles.tiles_under(cell)
    return bench.once(("tiles", cell), lambda: made_tiles.mosaic(tiles, field, focus, reach=0.15))


def _hills(place: str, bench: Bench) -> Figures:
    lon, lat = PLACES[place]
    cell, hills = cell_at(lon, lat), test_slope.Hills(lon, lat)
    source, scenes = _mosaic(bench, cell, hills, (cell.lon, cell.lat))
    operator = operator_for(test_slope.DEM, source)
    (chip,) = bench.made(lambda: operator.cut(scenes, [native_dem_grid(cell)]))
    assert isinstance(chip, Chip)
    slope, aspect = hills.slope_and_aspect(*made_tiles.centres(chip.grid))
    turned = (chip.data[3] - aspect + 180) % 360 - 180
    steep = turned[slope > 2]
    return {
        "slope": errors(chip.data[2], slope),
        "aspect where steeper than 2°": Figure(
            float(np.abs(steep).max()), float(steep.mean()), float(np.sqrt((steep**2).mean()))
        ),
    }


def _served(place: str, bench: Bench) -> Figures:
    crop = served(bench, "dem-glo30", BY_NAME[place])
    lon, lat = crop.centres
    sea = fields.is_sea(np.floor(lon) + 0.5, np.floor(lat) + 0.5)
    # Between the last point of a tile and the next degree, sea begins half way.
    land = ~ndimage.binary_dilation(sea, iterations=8)
    expected = fields.heights((lon + 180) % 360 - 180, lat)
    return {
        "height": errors(crop.band("height"), np.where(land, expected, np.nan)),
        "place": crop.displacement("height", fields.heights, land),
    }
