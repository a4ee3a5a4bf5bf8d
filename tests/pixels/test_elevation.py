"""DEM mosaics against the analytic plane, an independent warp and the published tile layout."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from made_tiles import centres, flat, lattice, mosaic, plane, rough
from pixel_files import RECORDED, FileSource, encode, scene_of
from rasterio.io import MemoryFile
from rasterio.transform import Affine
from rasterio.warp import Resampling, reproject

from stac_lake.errors import BadRaster, ConfigError
from stac_lake.grid import Cell, cell_at
from stac_lake.pixels import dem_tiles
from stac_lake.pixels.operators import operator_for
from stac_lake.recipe import product
from stac_lake.types import PixelGrid, Qa, cell_grid

DEM = product("dem-glo30")


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
    truth = lattice(rough, *centres(grid))
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
    with pytest.raises(ConfigError, match="degrees"):
        operator_for(DEM.model_copy(update={"grid": "metric"}), FileSource({}))


REAL = sorted(RECORDED.glob("cop_dem_glo?0_full/*.tif")) if RECORDED else []
"""A GLO-30 tile on the equator and a GLO-90 tile at the South Pole."""


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_recorded_tile_equals_gdal(path):
    """Real tiles: half-pixel origin, AREA_OR_POINT=Point, floating-point predictor."""
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
    if "_30_" in path.stem:
        assert chip.properties == {"lake:source_gsd_m": 90.0}


@pytest.mark.parametrize("axis", ["rows", "columns"])
def test_half_a_pixel_would_show(axis, monkeypatch):
    """The tolerance above is 10,000 times finer than what pixel-is-area read as point would do."""
    original = dem_tiles._part

    def shifted(place, row, column, window, value, sea=False):
        part = original(place, row, column, window, value, sea)
        if axis == "rows":
            return replace(part, lat=part.lat - row / 2)
        return replace(part, lon=part.lon + column / 2)

    source, scenes = mosaic([(45, 8)], rough, (8.5, 44.5))
    grid = cell_grid(cell_at(8.5, 44.5), 96)
    truth = lattice(rough, *centres(grid))
    right = operator_for(DEM, source).cut(scenes, [grid])[0].data[0]
    monkeypatch.setattr(dem_tiles, "_part", shifted)
    wrong = operator_for(DEM, source).cut(scenes, [grid])[0].data[0]
    assert np.abs(right - truth).max() < 2e-3
    assert np.sqrt(np.mean((wrong - truth) ** 2)) > 10


def test_the_coast_is_where_the_tile_ends():
    """Land at 300 m and more beside a missing tile: a ramp of one pixel, in the right place."""
    cell, tiles = CASES["four tiles"]
    source, scenes = mosaic(tiles[:3], rough, (8, 44))
    grid = cell_grid(cell, 960)
    chip = operator_for(DEM, source).cut(scenes, [grid])[0]
    lon, lat = centres(grid)
    truth = lattice(rough, lon, lat, lambda north, west: (north != 45) | (west != 8))
    assert np.abs(chip.data[0] - truth).max() < 2e-3
    # Sea where the nearest of the lattice's points, which are 1″ apart, is the missing tile's.
    sea = (np.round(lon * 3600) >= 8 * 3600) & (np.round(lat * 3600) > 44 * 3600)
    assert np.array_equal(chip.data[1] == int(Qa.OBSERVED | Qa.SEA_FILLED), sea)
    ramp = sea & (chip.data[0] != 0)
    assert 0 < ramp.sum() < 1100  # half a pixel wide along two edges of half a cell


def test_fine_and_coarse_tiles_side_by_side_are_one_surface():
    """GLO-30 beside, over and under GLO-90, to the last row of each."""
    cell, tiles = CASES["four tiles"]
    source, scenes = mosaic([tiles[0], tiles[3]], plane, (8, 44), coarse=[tiles[1], tiles[2]])
    grid = cell_grid(cell, 960)
    chip = operator_for(DEM, source).cut(scenes, [grid])[0]
    assert np.abs(chip.data[0] - plane(*centres(grid))).max() < 2e-3
    assert (chip.data[1] == Qa.OBSERVED).all()
    assert chip.properties == {"lake:source_gsd_m": 90.0}


def test_measure_says_how_much_of_a_cell_lies_in_each_tile():
    cell, tiles = CASES["antimeridian"]
    source, scenes = mosaic(tiles, plane, (cell.lon, cell.lat))
    source.files["broken"] = b"II*\0 this is no raster"
    broken = scene_of("dem-glo30", {"height": "broken"}, id="broken")
    lines = operator_for(DEM, source).measure([*scenes, broken], [cell_grid(cell, 960)])
    assert [line[0].observed_pct for line in lines] == [50, 50, 0]
    assert "BadRaster" in lines[2][0].error
