"""DEM mosaics against the analytic plane, an independent warp and the published tile layout."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from pixel_files import RECORDED, FileSource, encode, scene_of
from rasterio.io import MemoryFile
from rasterio.transform import Affine
from rasterio.warp import Resampling, reproject
from rasterio.windows import Window

from stac_lake.errors import BadRaster, ConfigError
from stac_lake.grid import Cell, cell_at
from stac_lake.pixels.operators import operator_for
from stac_lake.recipe import product
from stac_lake.types import PixelGrid, Qa, cell_grid

DEM = product("dem-glo30")


def columns_of(north: int) -> int:
    """Product handbook 5.0, table 2: columns by the latitude of the tile's southern edge."""
    south = north - 1
    edge = abs(south) if south >= 0 else abs(north)
    for limit, columns in ((50, 3600), (60, 2400), (70, 1800), (80, 1200), (85, 720)):
        if edge < limit:
            return columns
    return 360


@lru_cache(maxsize=32)
def tile_bytes(north: int, west: int, field, focus: tuple[float, float], step: int = 1) -> bytes:
    """A degree tile of `field(lon, lat)` within 0.3° of a focus, else empty; step 3 is GLO-90."""
    rows, columns = 3600 // step, columns_of(north) // step
    dy, dx = 1 / rows, 1 / columns
    top, bottom = (np.clip(round((north - focus[1] + d) / dy), 0, rows) for d in (-0.3, 0.3))
    centre = (focus[0] - west + 180) % 360 - 180
    left, right = (np.clip(round((centre + d) / dx), 0, columns) for d in (-0.3, 0.3))
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


def mosaic(tiles, field, focus, coarse=()):
    """Files and scenes of (north, west) tiles, GLO-90 for those in `coarse`."""
    files = {f"{n}_{w}": tile_bytes(n, w, field, focus) for n, w in tiles}
    files |= {f"c{n}_{w}": tile_bytes(n, w, field, focus, 3) for n, w in coarse}
    scenes = [scene_of("dem-glo30", {"height": name}, id=name) for name in files]
    return FileSource(files), scenes


def plane(lon, lat):
    """Metres; continuous over ±180°, steep enough to show half a pixel (4 mm per 0.1″ in lat)."""
    return 100 * (lat - 40) + 50 * np.cos(np.radians(lon)) + 20 * np.sin(np.radians(lon))


def centres(grid: PixelGrid):
    a, _, c, _, e, f = grid.transform
    x, y = c + (np.arange(grid.shape[1]) + 0.5) * a, f + (np.arange(grid.shape[0]) + 0.5) * e
    return np.meshgrid(x, y)


CASES = {
    "four tiles": (cell_at(8, 44), [(44, 7), (44, 8), (45, 7), (45, 8)]),
    "latitude band": (cell_at(8.5, 50), [(50, 8), (51, 8)]),
    "southern band": (cell_at(-70.5, -50), [(-49, -71), (-50, -71)]),
    "antimeridian": (Cell(cell_at(-180, 10.5).id), [(11, 179), (11, -180)]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_smooth_field_over_borders(name):
    cell, tiles = CASES[name]
    source, scenes = mosaic(tiles, plane, (cell.lon, cell.lat))
    grid = cell_grid(cell, 960)
    chip = operator_for(DEM, source).cut(scenes, [grid])[0]
    truth = plane(*centres(grid))
    # Bilinear is exact for the part linear in latitude; in longitude 1″ of a cosine is flat.
    assert np.abs(chip.data[0] - truth).max() < 2e-3
    assert (chip.data[1] == Qa.OBSERVED).all()
    assert {scene.id for scene in chip.scenes} == {scene.id for scene in scenes}
    assert chip.properties == {}


def flat(lon, lat):
    return 1000 + 0 * lon


def rough(lon, lat):
    return 500 + 300 * np.sin(lon * 900) * np.cos(lat * 1100)


@pytest.mark.parametrize("north", [45, 51, 61, 76])
def test_equals_gdal_bilinear_inside_a_tile(north):
    """Rough terrain, where half a pixel would be tens of metres."""
    source, scenes = mosaic([(north, 8)], rough, (8.5, north - 0.5))
    grid = cell_grid(cell_at(8.5, north - 0.5), 960)
    chip = operator_for(DEM, source).cut(scenes, [grid])[0]
    with MemoryFile(source.files[f"{north}_8"]) as memory, memory.open() as dataset:
        warped = np.full(grid.shape, np.nan, "float64")
        reproject(
            dataset.read(1).astype("float64"),
            warped,
            src_transform=dataset.transform,
            src_crs="EPSG:4326",
            dst_transform=Affine(*grid.transform),
            dst_crs="EPSG:4326",
            resampling=Resampling.bilinear,
        )
    assert np.abs(chip.data[0] - warped).max() < 1e-3


def test_a_missing_tile_is_sea_only_if_glo90_lacks_it_too():
    cell, tiles = CASES["four tiles"]
    source, scenes = mosaic(tiles[:2], plane, (8, 44), coarse=[tiles[2]])
    grid = cell_grid(cell, 960)
    chip = operator_for(DEM, source).cut(scenes, [grid])[0]
    lon, lat = centres(grid)
    height, qa = chip.data
    sea = (lat > 44) & (lon > 8)  # tile (45, 8)
    away = (np.abs(lon - 8) > 3 / 3600) & (np.abs(lat - 44) > 3 / 3600)
    assert (height[sea & away] == 0).all()
    assert (qa[sea & away] == Qa.OBSERVED | Qa.SEA_FILLED).all()
    assert (qa[~sea & away] == Qa.OBSERVED).all()
    assert np.abs(height - plane(lon, lat))[~sea & away].max() < 2e-2
    assert chip.properties == {"lake:source_gsd_m": 90.0}
    assert np.isfinite(height).all()


def test_glo30_is_preferred_where_both_exist():
    cell, tiles = CASES["latitude band"]
    source, scenes = mosaic(tiles, plane, (cell.lon, cell.lat), coarse=tiles)
    chip = operator_for(DEM, source).cut(scenes[::-1], [cell_grid(cell, 960)])[0]
    assert chip.properties == {}
    assert all(not scene.id.startswith("c") for scene in chip.scenes)


def test_open_sea_is_zero_and_says_so():
    chip = operator_for(DEM, FileSource({})).cut([], [cell_grid(cell_at(-150, 0), 960)])[0]
    assert (chip.data[0] == 0).all()
    assert (chip.data[1] == Qa.OBSERVED | Qa.SEA_FILLED).all()
    assert chip.scenes == ()


@pytest.mark.parametrize(("cell", "pole"), [(cell_at(10, 90), 90), (cell_at(10, -90), -90)])
def test_beyond_the_pole_is_nodata(cell, pole):
    north = 90 if pole > 0 else -89
    source, scenes = mosaic([(north, 9), (north, 10)], flat, (10, pole))
    grid = cell_grid(cell, 960)
    chip = operator_for(DEM, source).cut(scenes, [grid])[0]
    _, lat = centres(grid)
    beyond = np.abs(lat) > 90
    assert np.isnan(chip.data[0][beyond]).all()
    assert (chip.data[1][beyond] == 0).all()
    assert np.abs(chip.data[0][~beyond] - 1000).max() < 1e-3


def test_many_grids_read_each_tile_once():
    source, scenes = mosaic([(45, 8)], plane, (8.5, 44.5))
    grids = [cell_grid(cell_at(8.5, 44.5), size) for size in (960, 240, 96)]
    chips = operator_for(DEM, source).cut(scenes, grids)
    for grid, chip in zip(grids, chips, strict=True):
        assert np.abs(chip.data[0] - plane(*centres(grid))).max() < 2e-3
    assert len(source.calls) <= 1 + 2  # the header, and up to 64 tiles of 256 in two batches
    assert len(source.ranges) == len(set(source.ranges))


@settings(max_examples=15)
@given(lon=st.floats(7.8, 8.1), lat=st.floats(43.9, 44.2), size=st.integers(1, 40))
def test_any_window_equals_brute_force(lon, lat, size):
    """Bilinear by its definition, from the field at the four lattice points around each pixel."""
    source, scenes = mosaic(CASES["four tiles"][1], rough, (8, 44))
    step = 0.0007
    grid = PixelGrid(4326, (step, 0.0, lon, 0.0, -step, lat), (size, size))
    chip = operator_for(DEM, source).cut(scenes, [grid])[0]
    x, y = centres(grid)
    west, south = np.floor(x * 3600), np.floor(y * 3600)
    u, v = x * 3600 - west, y * 3600 - south
    truth = sum(
        weight * rough((west + i) / 3600, (south + j) / 3600)
        for i, j, weight in (
            (0, 0, (1 - u) * (1 - v)),
            (1, 0, u * (1 - v)),
            (0, 1, (1 - u) * v),
            (1, 1, u * v),
        )
    )
    assert np.abs(chip.data[0] - truth).max() < 2e-3


def test_nodata_in_a_tile_is_nodata_in_the_chip():
    def holed(lon, lat):
        field = np.asarray(plane(lon, lat))
        return np.where((np.abs(lon - 8.5) < 0.01) & (np.abs(lat - 44.5) < 0.01), np.nan, field)

    source, scenes = mosaic([(45, 8)], holed, (8.5, 44.5))
    grid = cell_grid(cell_at(8.5, 44.5), 960)
    chip = operator_for(DEM, source).cut(scenes, [grid])[0]
    lon, lat = centres(grid)
    inside = (np.abs(lon - 8.5) < 0.0095) & (np.abs(lat - 44.5) < 0.0095)
    outside = (np.abs(lon - 8.5) > 0.0105) | (np.abs(lat - 44.5) > 0.0105)
    assert np.isnan(chip.data[0][inside]).all()
    assert np.array_equal(np.isfinite(chip.data[0]), chip.data[1] > 0)
    assert np.isfinite(chip.data[0][outside]).all()


def test_what_is_no_degree_tile_is_refused():
    data = encode(np.zeros((1, 300, 300), "float32"), 4326, (1 / 3600, 0, 8, 0, -1 / 3600, 45))
    with pytest.raises(BadRaster, match="degree tile"):
        operator_for(DEM, FileSource({"x": data})).cut(
            [scene_of("dem-glo30", {"height": "x"})], [cell_grid(cell_at(8, 44), 960)]
        )
    cubic = DEM.model_copy(update={"values": DEM.values.model_copy(update={"resampling": "cubic"})})
    with pytest.raises(ConfigError, match="cubic"):
        operator_for(cubic, FileSource({}))


REAL = sorted(RECORDED.glob("cop_dem_glo30_full/*.tif")) if RECORDED else []


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_recorded_tile_equals_gdal(path):
    """A real tile: half-pixel origin, AREA_OR_POINT=Point, floating-point predictor."""
    source = FileSource({"real": path.read_bytes()})
    with rasterio.open(path) as dataset:
        pixels = dataset.read(1).astype("float64")
        transform = dataset.transform
        middle = transform @ (dataset.width / 2, dataset.height / 2)
    grid = cell_grid(cell_at(middle[0] + 0.1, middle[1]), 960)
    chip = operator_for(DEM, source).cut([scene_of("dem-glo30", {"height": "real"})], [grid])[0]
    warped = np.full(grid.shape, np.nan, "float64")
    reproject(
        pixels,
        warped,
        src_transform=transform,
        src_crs="EPSG:4326",
        dst_transform=Affine(*grid.transform),
        dst_crs="EPSG:4326",
        resampling=Resampling.bilinear,
    )
    assert np.abs(chip.data[0] - warped).max() < 1e-3
