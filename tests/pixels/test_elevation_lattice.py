"""The DEM's own pixels byte for byte, and heights at places anywhere."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
import rasterio
from made_tiles import centres, columns_of, lattice, mosaic, plane, rough, tile_bytes, tiles_under
from pixel_files import RECORDED, FileSource, scene_of
from rasterio.io import MemoryFile
from rasterio.transform import Affine
from rasterio.warp import Resampling, reproject
from rasterio.windows import Window

from stac_lake.dem_lattice import columns_per_degree, native_dem_grid
from stac_lake.grid import Cell, cell_at, patch_at, to_lonlat
from stac_lake.pixels.elevation import Elevation
from stac_lake.pixels.operators import operator_for
from stac_lake.recipe import product
from stac_lake.sandbox import dem as sandbox_dem
from stac_lake.types import Asset, Qa, patch_grid

DEM = product("dem-glo30")


def cut(source, scenes, cell):
    return operator_for(DEM, source).cut(scenes, [native_dem_grid(cell)])[0]


def window_of(dataset, cell: Cell) -> Window:
    """The pixels of a tile whose points lie in a cell: [west, east) and (south, north]."""
    a, _, c, _, e, f = tuple(dataset.transform)[:6]
    west, south, east, north = cell.bounds
    x, y = c + (np.arange(dataset.width) + 0.5) * a, f + (np.arange(dataset.height) + 0.5) * e
    columns = np.flatnonzero((x > west - a / 100) & (x < east - a / 100))
    rows = np.flatnonzero((y > south - e / 100) & (y < north - e / 100))
    return Window(columns[0], rows[0], columns.size, rows.size)


@pytest.mark.parametrize("lat", [0.5, 49.75, 50.25, 65.5, 75.5, 82.5, 87.5, -44.5, -57.5, -79.75])
def test_native_is_the_window_of_the_tile(lat):
    cell = cell_at(8.5, lat)
    ((north, west),) = tiles_under(cell)
    source, scenes = mosaic([(north, west)], rough, (8.5, lat), reach=0.15)
    chip = cut(source, scenes, cell)
    with MemoryFile(source.files[f"{north}_{west}"]) as memory, memory.open() as dataset:
        window = window_of(dataset, cell)
        pixels = dataset.read(1, window=window)
        corner = dataset.transform @ Affine.translation(window.col_off, window.row_off)
    assert chip.grid.shape == pixels.shape == (900, columns_of(north) // 4)
    assert np.allclose(chip.grid.transform, tuple(corner)[:6], rtol=0, atol=1e-10)
    assert chip.data[0].tobytes() == pixels.tobytes()
    assert (chip.data[1] == Qa.OBSERVED).all()


GLO30 = sorted(RECORDED.glob("cop_dem_glo30_full/*.tif")) if RECORDED else []
GLO90 = sorted(RECORDED.glob("cop_dem_glo90_full/*.tif")) if RECORDED else []


@pytest.mark.parametrize("path", GLO30, ids=lambda path: path.stem)
def test_native_of_a_recorded_tile(path):
    source = FileSource({"real": path.read_bytes()})
    cell = cell_at(6.5, 0.25)
    chip = cut(source, [scene_of("dem-glo30", {"height": "real"})], cell)
    with rasterio.open(path) as dataset:
        pixels = dataset.read(1, window=window_of(dataset, cell))
    assert chip.data[0].tobytes() == pixels.tobytes()
    assert pixels.std() > 1


@pytest.mark.parametrize("path", GLO90, ids=lambda path: path.stem)
def test_native_keeps_the_points_of_a_coarse_recorded_tile(path):
    source = FileSource({"real": path.read_bytes()})
    cell = cell_at(-163.5, -89.5)
    chip = cut(source, [scene_of("dem-glo30", {"height": "real"})], cell)
    with rasterio.open(path) as dataset:
        pixels = dataset.read(1, window=window_of(dataset, cell))
    assert chip.grid.shape == (900, 90)
    assert np.array_equal(chip.data[0][::3, ::3], pixels)


@pytest.mark.parametrize("lat", [50, -50, 60, -70, 80, 85])
def test_native_over_a_latitude_border_is_the_finer_band(lat):
    """Rows of the finer tile as they are; the coarser one's points are still among the others."""
    cell = cell_at(8.5, lat)
    tiles = tiles_under(cell)
    source, scenes = mosaic(tiles, rough, (8.5, lat), reach=0.15)
    chip = cut(source, scenes, cell)
    by_columns = sorted(tiles, key=lambda place: columns_of(place[0]))
    (coarse, west), (fine, _) = by_columns
    assert chip.grid.shape == (900, columns_of(fine) // 4)
    read = {}
    for north in (coarse, fine):
        with MemoryFile(source.files[f"{north}_{west}"]) as memory, memory.open() as dataset:
            read[north] = dataset.read(1, window=window_of(dataset, cell))
    seam = read[max(tiles)[0]].shape[0]
    rows = {max(tiles)[0]: slice(0, seam), min(tiles)[0]: slice(seam, None)}
    assert np.array_equal(chip.data[0][rows[fine]], read[fine])
    step = np.gcd(columns_of(fine), columns_of(coarse))
    shared = (slice(None), slice(None, None, columns_of(fine) // step))
    theirs = (slice(None), slice(None, None, columns_of(coarse) // step))
    assert np.array_equal(chip.data[0][rows[coarse]][shared], read[coarse][theirs])


def test_native_over_the_antimeridian():
    cell = cell_at(-180, 10.5)
    source, scenes = mosaic([(11, 179), (11, -180)], rough, (-180, 10.5), reach=0.15)
    chip = cut(source, scenes, cell)
    halves = []
    for west, turn in ((179, -360), (-180, 0)):
        with MemoryFile(source.files[f"11_{west}"]) as memory, memory.open() as dataset:
            columns = slice(3150, 3600) if turn else slice(0, 450)
            halves.append(dataset.read(1)[1350:2250, columns])
    assert np.array_equal(chip.data[0], np.hstack(halves))


@pytest.mark.parametrize("lat", [90, -90])
def test_native_over_a_pole(lat):
    cell = cell_at(10, lat)
    source, scenes = mosaic([(-89, 9), (-89, 10)] if lat < 0 else [], rough, (10, lat))
    chip = cut(source, scenes, cell)
    y = centres(chip.grid)[1]
    assert chip.grid.shape == (900, 90)
    beyond = np.abs(y) > 90 + 1e-9
    assert 449 <= beyond[:, 0].sum() <= 450
    assert np.array_equal(np.isnan(chip.data[0]), beyond)
    assert np.array_equal(chip.data[1] == 0, beyond)


def test_native_grids_of_neighbours_meet():
    for lat in (0, 44.75, 55, 87):
        one, east, south = (
            native_dem_grid(cell_at(x, y)) for x, y in ((8, lat), (8.25, lat), (8, lat - 0.25))
        )
        assert one.bounds[2] == pytest.approx(east.bounds[0], abs=1e-12)
        assert one.bounds[1] == pytest.approx(south.bounds[3], abs=1e-12)
    assert [columns_per_degree(lat) for lat in (0, 50, 50.25, -60, 71, 85, 89)] == [
        3600, 3600, 2400, 2400, 1200, 720, 360,
    ]  # fmt: skip


def heights(source, scenes, lon, lat):
    return Elevation(DEM, source).heights(scenes, np.asarray(lon, float), np.asarray(lat, float))


def test_heights_at_scattered_places_equal_brute_force():
    """Over the corner of four tiles, one of them missing; every tile's window is read once."""
    source, scenes = mosaic([(44, 7), (44, 8), (45, 7)], rough, (8, 44), reach=0.05)
    rng = np.random.default_rng(5)
    lon, lat = 8 + rng.uniform(-0.02, 0.02, (150, 130)), 44 + rng.uniform(-0.02, 0.02, (150, 130))
    found, sea = heights(source, scenes, lon, lat)
    truth = lattice(rough, lon, lat, lambda north, west: (north != 45) | (west != 8))
    assert found.shape == sea.shape == lon.shape
    assert np.abs(found - truth).max() < 2e-3
    assert np.array_equal(sea, (np.round(lon * 3600) >= 28800) & (np.round(lat * 3600) > 158400))
    assert len(source.ranges) == len(set(source.ranges))


@pytest.mark.parametrize("lat", [10.5, 70, 84.99, -50])
def test_heights_over_the_antimeridian_and_latitude_bands(lat):
    norths = {math.ceil(lat - 0.02), math.ceil(lat + 0.02)}
    tiles = [(north, west) for north in norths for west in (179, -180)]
    source, scenes = mosaic(tiles, plane, (-180, lat), reach=0.06)
    x, y = np.meshgrid(np.linspace(-0.03, 0.03, 61), np.linspace(-0.02, 0.02, 41))
    lon, lat = (x + 180 + 180) % 360 - 180, lat + y
    lon[0, 30], lon[1, 30] = 180, -180
    assert lon.max() > 179
    assert lon.min() < -179
    lon[5, 5], lat[7, 7] = np.nan, np.inf
    tracemalloc.start()
    found, sea = heights(source, scenes, lon, lat)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**26  # not once around the Earth
    known = np.isfinite(lon) & np.isfinite(lat)
    assert np.array_equal(np.isfinite(found), known)
    assert np.abs(found - plane(lon, lat))[known].max() < 2e-3
    assert not sea.any()


def test_heights_without_places_or_tiles():
    assert np.isnan(heights(FileSource({}), [], [[np.nan]], [[1]])[0]).all()
    found, sea = heights(FileSource({}), [], [[-150.0, -149.5]], [[0.0, 0.1]])
    assert (found == 0).all()
    assert sea.all()


@pytest.mark.parametrize("path", GLO30, ids=lambda path: path.stem)
def test_heights_on_a_patch_equal_gdal(path):
    """A real tile on a UTM grid of 10 m, against GDAL's exact warp."""
    grid = patch_grid(patch_at(6.6, 0.3))
    with rasterio.open(path) as dataset:
        warped = np.full(grid.shape, np.nan, "float64")
        reproject(
            dataset.read(1).astype("float64"),
            warped,
            src_transform=dataset.transform,
            src_crs="EPSG:4326",
            dst_transform=Affine(*grid.transform),
            dst_crs=f"EPSG:{grid.epsg}",
            resampling=Resampling.bilinear,
            tolerance=0,
        )
    lon, lat = to_lonlat(grid.epsg).transform(*centres(grid))
    scene = scene_of("dem-glo30", {"height": "real"})
    found, sea = heights(FileSource({"real": path.read_bytes()}), [scene], lon, lat)
    assert warped.std() > 1
    assert not sea.any()
    # GDAL places the pixels between some of each row by a chord: 0.0003 pixels here.
    assert np.abs(found - warped).max() < 1e-2


def relief(lon, lat):
    """The stand-in's height formula, as docs/sandbox.md has it."""
    waves = ((800, 97, 2.9), (400, 590, 0.47), (180, 4337, 0.071), (20, 27691, 0.011))
    total = 1500.0
    for k, (a, m, length) in enumerate(waves):
        total = total + a * np.sin(np.radians(m * lon) + k) * np.sin(2 * np.pi * lat / length)
    return np.round(64 * total) / 64


class StandIn:
    """Ranges of the stand-in's files, which are made as they are read."""

    def __init__(self, tiles, cache):
        self.blobs = {
            name: sandbox_dem.blob(tile, "data", cache=cache, full=False)
            for name, tile in tiles.items()
        }

    def size(self, asset: Asset) -> int:
        return self.blobs[asset.href].size

    def read_ranges(self, asset: Asset, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return [self.blobs[asset.href].read(start, stop) for start, stop in ranges]


def test_native_of_the_stand_in_is_its_formula(tmp_path):
    """The files of the stand-in itself, over a corner of four tiles and 0° longitude."""
    cell = cell_at(0, 46)
    tiles = sandbox_dem.scenes("dem-glo30", cell.bounds, *[sandbox_dem.DEM_TIME] * 2)
    source = StandIn({tile.id: tile for tile in tiles}, tmp_path)
    chip = cut(source, [scene_of("dem-glo30", {"height": t.id}, id=t.id) for t in tiles], cell)
    assert len(chip.scenes) == 4
    assert np.array_equal(chip.data[0], relief(*centres(chip.grid)).astype("float32"))


@pytest.mark.parametrize("path", GLO30, ids=lambda path: path.stem)
def test_the_tiles_of_these_tests_are_laid_out_like_a_recorded_one(path):
    made = MemoryFile(tile_bytes(1, 6, plane, (6.5, 0.5)))
    with rasterio.open(path) as real, made, made.open() as ours:
        assert ours.shape == real.shape
        assert np.allclose(tuple(ours.transform), tuple(real.transform), rtol=0, atol=1e-9)
