"""The tile engine against rasterio's own reading of the same bytes, and against bad files."""

from __future__ import annotations

import struct
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.io import MemoryFile
from rasterio.transform import Affine
from rasterio.windows import Window as GdalWindow

from stac_lake.errors import BadRaster, ProviderUnavailable, StacLakeError
from stac_lake.pixels.gdal import GdalRaster
from stac_lake.pixels.raster import Window
from stac_lake.pixels.sampling import on_lattice, open_raster, read_on_grids
from stac_lake.pixels.tiff import TiledTiff
from stac_lake.types import Asset, PixelGrid

ASSET = Asset("B04", "scene", "earth-search")
TRANSFORM = (10.0, 0.0, 600000.0, 0.0, -10.0, 4900020.0)
RNG = np.random.default_rng(7)
PIXELS = (RNG.random((1, 700, 650)) * 3000).astype("uint16")


def raster_of(file_source, data, asset=ASSET):
    source = file_source({asset.href: data})
    return open_raster(source, asset), source


def boundless(data: bytes, window: Window, level: int = 0, fill: float = 0) -> np.ndarray:
    """The same window by rasterio, padded by hand."""
    options = {} if level == 0 else {"overview_level": level - 1}
    with MemoryFile(data) as memory, memory.open(**options) as dataset:
        everything = dataset.read()
    out = np.full((everything.shape[0], window.rows, window.columns), fill, everything.dtype)
    for row in range(window.rows):
        for column in range(window.columns):
            y, x = window.row + row, window.column + column
            if 0 <= y < everything.shape[1] and 0 <= x < everything.shape[2]:
                out[:, row, column] = everything[:, y, x]
    return out


LAYOUTS = [
    ("uint8", "deflate", 2),
    ("uint16", "deflate", 2),
    ("uint16", "zstd", 2),
    ("uint16", "lzw", 2),
    ("uint16", None, 1),
    ("int16", "deflate", 2),
    ("float32", "deflate", 3),
    ("float32", "zstd", 3),
    ("float32", "deflate", 1),
    ("float64", "deflate", 3),
]


@pytest.mark.parametrize(("dtype", "compress", "predictor"), LAYOUTS)
def test_layouts_equal_rasterio(file_source, tif, dtype, compress, predictor):
    data = tif(PIXELS.astype(dtype), 32615, TRANSFORM, compress=compress, predictor=predictor)
    raster, _ = raster_of(file_source, data)
    assert isinstance(raster, TiledTiff)
    assert raster.epsg == 32615
    window = Window(-3, 640, 300, 40)
    assert np.array_equal(raster.read([window], 0)[0], boundless(data, window))


@pytest.mark.parametrize(
    "layout",
    [
        {"tiled": False},
        {"ENDIANNESS": "BIG"},
        {"BIGTIFF": "YES", "interleave": "band", "predictor": 2},
        {"compress": "jpeg"},
    ],
)
def test_odd_layouts_go_to_gdal_and_equal_rasterio(file_source, tif, layout):
    pixels = np.repeat(PIXELS, 3, axis=0) // np.array([1, 2, 3], "uint16")[:, None, None]
    if layout == {"compress": "jpeg"}:
        pixels = pixels.astype("uint8")
    if "tiled" in layout or "ENDIANNESS" in layout:
        pixels = pixels[:1]
    if layout == {"tiled": False}:
        layout = {"tiled": False, "blockysize": 8, "blockxsize": None}
    data = tif(pixels, 32615, TRANSFORM, **layout)
    raster, _ = raster_of(file_source, data)
    assert isinstance(raster, GdalRaster)
    window = Window(690, 100, 20, 30)
    assert np.array_equal(raster.read([window], 0)[0], boundless(data, window))


def test_directories_at_the_end_of_a_long_file_go_to_gdal(file_source, tif):
    pixels = RNG.integers(0, 2**16, (1, 1500, 1500), dtype="uint16")
    data = tif(pixels, 32615, TRANSFORM, compress=None, overviews=[2])
    raster, source = raster_of(file_source, data)
    assert isinstance(raster, GdalRaster)
    window = Window(100, 200, 30, 40)
    assert np.array_equal(raster.read([window], 0)[0], boundless(data, window))
    assert sum(stop - start for _, start, stop in source.ranges) < len(data) / 2


def test_bigtiff_and_pixel_is_point(file_source, tif):
    data = tif(PIXELS, 32615, TRANSFORM, BIGTIFF="YES")
    raster, _ = raster_of(file_source, data)
    assert isinstance(raster, TiledTiff)
    assert raster.levels[0].transform == TRANSFORM
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            width=256,
            height=256,
            count=1,
            dtype="float32",
            crs="EPSG:4326",
            transform=Affine(1 / 256, 0, 6 - 1 / 512, 0, -1 / 256, 1 + 1 / 512),
            tiled=True,
        ) as dataset:
            dataset.update_tags(AREA_OR_POINT="Point")
        point, _ = raster_of(file_source, bytes(memory.getbuffer()))
    assert isinstance(point, TiledTiff)
    assert point.levels[0].transform[2] == pytest.approx(6 - 1 / 512, abs=1e-12)
    assert point.levels[0].transform[5] == pytest.approx(1 + 1 / 512, abs=1e-12)


@pytest.fixture(scope="module")
def cog_bytes():
    with MemoryFile() as memory:
        with memory.open(
            driver="COG",
            width=650,
            height=700,
            count=1,
            dtype="uint16",
            crs="EPSG:32615",
            transform=Affine(*TRANSFORM),
            blocksize=128,
            predictor="YES",
            compress="deflate",
            overview_count=2,
        ) as dataset:
            dataset.write(PIXELS)
        return bytes(memory.getbuffer())


WINDOWS = st.lists(
    st.builds(
        Window, st.integers(-60, 720), st.integers(-60, 680), st.integers(1, 90), st.integers(1, 90)
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(windows=WINDOWS, level=st.integers(0, 2))
def test_any_windows_at_any_level_equal_rasterio(file_source, cog_bytes, windows, level):
    raster, _ = raster_of(file_source, cog_bytes)
    for window, block in zip(windows, raster.read(windows, 7, level), strict=True):
        assert np.array_equal(block, boundless(cog_bytes, window, level, fill=7))


def test_a_tile_is_fetched_once_for_all_windows(file_source, cog_bytes):
    raster, source = raster_of(file_source, cog_bytes)
    source.ranges.clear()
    source.calls.clear()
    raster.read([Window(0, 0, 200, 200), Window(100, 100, 200, 200), Window(120, 0, 20, 20)], 0)
    assert len(source.calls) == 1
    assert len(source.ranges) == len(set(source.ranges)) == 9  # 3 × 3 tiles of 128


def test_header_costs_one_request(file_source, cog_bytes):
    _, source = raster_of(file_source, cog_bytes)
    assert len(source.calls) == 1


def test_sparse_tiles_are_nodata(file_source):
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            width=512,
            height=512,
            count=1,
            dtype="float32",
            crs="EPSG:32615",
            transform=Affine(*TRANSFORM),
            tiled=True,
            blockxsize=256,
            blockysize=256,
            nodata=-32768,
            compress="deflate",
            SPARSE_OK=True,
        ) as dataset:
            dataset.write(np.ones((1, 256, 256), "float32"), window=GdalWindow(0, 0, 256, 256))
        raster, _ = raster_of(file_source, bytes(memory.getbuffer()))
    assert isinstance(raster, TiledTiff)
    block = raster.read([Window(250, 250, 10, 10)], 0)[0][0]
    assert (block[:6, :6] == 1).all()
    assert (block[6:] == -32768).all()


def _patched(data: bytes, tag: int, value: int) -> bytes:
    """A classic little-endian TIFF with one tag of its first directory replaced."""
    out = bytearray(data)
    (directory,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, directory)
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, entry)[0] == tag:
            struct.pack_into("<HI", out, entry + 2, 4, 1)
            struct.pack_into("<I", out, entry + 8, value)
            return bytes(out)
    raise AssertionError(f"no tag {tag}")


@pytest.mark.parametrize(
    ("tag", "value"),
    [(256, 2**31), (257, 2**31 - 1), (322, 2**20), (323, 2**24), (322, 16), (325, 5), (256, 0)],
)
def test_headers_that_lie_are_refused(file_source, tif, tag, value):
    data = _patched(tif(PIXELS, 32615, TRANSFORM), tag, value)
    with pytest.raises(BadRaster):
        raster_of(file_source, data)


def test_directory_loop_ends(file_source, tif):
    data = bytearray(tif(PIXELS, 32615, TRANSFORM))
    (directory,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, directory)
    struct.pack_into("<I", data, directory + 2 + 12 * count, directory)
    found: list[BaseException] = []

    def read() -> None:
        try:
            raster_of(file_source, bytes(data))
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(30)
    assert [type(error) for error in found] == [BadRaster]


@pytest.mark.parametrize("keep", [0, 3, 12, 200, 1500, 0.5, 0.99])
def test_truncated_files_are_errors(file_source, tif, keep):
    data = tif(PIXELS, 32615, TRANSFORM)
    short = data[: keep if isinstance(keep, int) else int(len(data) * keep)]
    with pytest.raises(BadRaster):
        raster_of(file_source, short)[0].read([Window(0, 0, 700, 650)], 0)


def test_flipped_bytes_are_errors(file_source, tif):
    data = bytearray(tif(PIXELS, 32615, TRANSFORM))
    raster, source = raster_of(file_source, bytes(data))
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(b ^ 0xFF for b in data[middle : middle + 64])
    source.files["scene"] = bytes(data)
    with pytest.raises(BadRaster, match="scene"):
        raster.read([Window(0, 0, 700, 650)], 0)


@pytest.mark.parametrize(
    "content",
    [
        b"<VRTDataset rasterXSize='1' rasterYSize='1'></VRTDataset>",
        b"\x89HDF\r\n\x1a\n" + b"\0" * 100,
        b"",
        b"GIF89a" + b"\0" * 100,
    ],
)
def test_other_formats_never_reach_gdal(file_source, content):
    with pytest.raises(BadRaster, match="neither"):
        raster_of(file_source, content, Asset("B04", "/vsicurl/http://localhost/x.vrt", "cdse"))


class Unreachable:
    """Fails after the header; the error must come through unchanged."""

    def __init__(self, inner, after: int) -> None:
        self.inner, self.left = inner, after

    def size(self, asset):
        return self.inner.size(asset)

    def read(self, asset):
        return self.inner.read(asset)

    def read_ranges(self, asset, ranges):
        if self.left == 0:
            raise ProviderUnavailable("gone", provider="cdse")
        self.left -= 1
        return self.inner.read_ranges(asset, ranges)


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("layout", [{}, {"tiled": False, "blockxsize": None, "blockysize": 8}])
def test_source_errors_are_not_bad_rasters(file_source, tif, layout, after):
    source = Unreachable(file_source({"scene": tif(PIXELS, 32615, TRANSFORM, **layout)}), after)
    with pytest.raises(StacLakeError) as caught:
        open_raster(source, ASSET).read([Window(0, 0, 700, 650)], 0)
    assert type(caught.value) is ProviderUnavailable


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(factor=st.sampled_from([1, 2, 6]), column=st.integers(-40, 300), row=st.integers(-40, 300))
def test_lattice_sampling_is_repetition(file_source, tif, factor, column, row):
    coarse = PIXELS[:, : 300 // factor, : 300 // factor]
    x0, y0 = TRANSFORM[2], TRANSFORM[5]
    size = 10.0 * factor
    raster, _ = raster_of(file_source, tif(coarse, 32615, (size, 0, x0, 0, -size, y0)))
    grid = PixelGrid(32615, (10.0, 0.0, x0 + 10 * column, 0.0, -10.0, y0 - 10 * row), (50, 40))
    assert on_lattice(raster, grid)
    fine = np.repeat(np.repeat(coarse[0], factor, axis=0), factor, axis=1)
    padded = np.pad(fine, 100)[100 + row : 150 + row, 100 + column : 140 + column]
    padded = np.pad(padded, ((0, 50 - padded.shape[0]), (0, 40 - padded.shape[1])))
    assert np.array_equal(read_on_grids(raster, [grid], "nearest", 0)[0][0], padded)


def test_off_the_lattice(file_source, tif):
    raster, _ = raster_of(file_source, tif(PIXELS, 32615, TRANSFORM))
    x0, y0 = TRANSFORM[2], TRANSFORM[5]
    assert not on_lattice(raster, PixelGrid(32614, (10, 0, x0, 0, -10, y0), (5, 5)))
    assert not on_lattice(raster, PixelGrid(32615, (10, 0, x0 + 5, 0, -10, y0), (5, 5)))
    assert not on_lattice(raster, PixelGrid(32615, (20, 0, x0, 0, -20, y0), (5, 5)))


def test_warp_of_a_plane(file_source, tif):
    """A field linear in longitude and latitude, seen from the neighbouring UTM zone."""
    from pyproj import Transformer

    x = 690000 + 10 * (np.arange(650) + 0.5)
    y = 4900020 - 10 * (np.arange(700) + 0.5)
    lon, lat = Transformer.from_crs(32614, 4326, always_xy=True).transform(*np.meshgrid(x, y))
    field = (1000 * (lon + 96) + 500 * (lat - 44)).astype("float32")
    data = tif(field[None], 32614, (10, 0, 690000, 0, -10, 4900020), nodata=-32768)
    raster, _ = raster_of(file_source, data)
    to_15 = Transformer.from_crs(32614, 32615, always_xy=True)
    cx, cy = to_15.transform(693000, 4896500)
    corner = (round(cx / 60) * 60, round(cy / 60) * 60)
    grid = PixelGrid(32615, (10.0, 0.0, corner[0], 0.0, -10.0, corner[1]), (64, 64))
    gx = corner[0] + 10 * (np.arange(64) + 0.5)
    gy = corner[1] - 10 * (np.arange(64) + 0.5)
    lon, lat = Transformer.from_crs(32615, 4326, always_xy=True).transform(*np.meshgrid(gx, gy))
    truth = 1000 * (lon + 96) + 500 * (lat - 44)
    warped = read_on_grids(raster, [grid], "bilinear", -32768)[0][0]
    # 0.127 is a pixel: what is left is float32 and the curvature of the field in metres.
    assert np.abs(warped - truth).max() < 1e-4
    cubic = read_on_grids(raster, [grid], "cubic", -32768)[0][0]
    assert np.abs(cubic - truth).max() < 1e-4
    far = PixelGrid(32615, (10.0, 0.0, 300000.0, 0.0, -10.0, 9000000.0), (8, 8))
    assert (read_on_grids(raster, [far], "bilinear", -32768)[0] == -32768).all()


def test_warp_equals_scipy_and_keeps_holes(file_source, tif):
    """Random pixels with holes of nodata, half a pixel off the lattice, against map_coordinates."""
    from scipy.ndimage import map_coordinates

    pixels = (RNG.random((1, 80, 80)) + 1).astype("float32")
    pixels[0, 30:34, 40:44] = -32768
    data = tif(pixels, 32615, TRANSFORM, nodata=-32768)
    raster, _ = raster_of(file_source, data)
    x0, y0 = TRANSFORM[2], TRANSFORM[5]
    grid = PixelGrid(32615, (10.0, 0.0, x0 + 103, 0.0, -10.0, y0 - 96), (60, 60))
    got = read_on_grids(raster, [grid], "bilinear", -32768)[0][0]
    rows, columns = np.meshgrid(np.arange(60) + 9.6, np.arange(60) + 10.3, indexing="ij")
    truth = map_coordinates(pixels[0].astype("f8"), [rows, columns], order=1)
    holes = pixels[0] == -32768
    nearest = holes[np.floor(rows + 0.5).astype(int), np.floor(columns + 0.5).astype(int)]
    assert np.array_equal(got == -32768, nearest)
    clear = map_coordinates(holes.astype("f8"), [rows, columns], order=1) == 0
    assert np.abs(got - truth)[clear].max() < 1e-6
    assert (got[~nearest] >= 1).all()
    assert (got[~nearest] <= 2).all()
