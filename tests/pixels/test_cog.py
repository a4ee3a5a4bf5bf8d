"""The stored COG, judged by the field's own readers."""

from __future__ import annotations

import hashlib

import numpy as np
import pystac
import pytest
import rasterio
import tifffile
from rasterio.io import MemoryFile
from rio_cogeo.cogeo import cog_validate

from stac_lake.errors import PixelError
from stac_lake.grid import Cell, Patch
from stac_lake.pixels.cog import encode_cog
from stac_lake.recipe import product
from stac_lake.types import Chip, cell_grid, patch_grid

RNG = np.random.default_rng(5)
PATCH = Patch(32615, 600000, 4900020)
TILES = {
    "s2-l2a": 272,
    "s2-l1c": 272,
    "s1-rtc": 272,
    "s3-olci-efr": 96,
    "s5p-no2": 32,
    "dem-glo30": 512,
}


def chip_of(name: str) -> Chip:
    p = product(name)
    grid = patch_grid(PATCH) if p.unit_of == "patch" else cell_grid(Cell(772176), p.pixels)
    data = (RNG.random((len(p.bands), *grid.shape)) * 3000).astype(p.dtype)
    if p.dtype == "float32":
        data[0, :5] = np.nan
    return Chip(grid, p.band_names, data, ())


@pytest.mark.parametrize("name", TILES)
def test_layout_and_readers(name, tmp_path):
    p, chip = product(name), chip_of(name)
    cog = encode_cog(chip, p)
    path = tmp_path / "chip.tif"
    path.write_bytes(cog.data)
    valid, errors, warnings = cog_validate(path, strict=True)
    assert (valid, errors, warnings) == (True, [], [])
    with rasterio.open(path) as dataset:
        assert np.array_equal(dataset.read(), chip.data, equal_nan=True)
        assert dataset.descriptions == p.band_names
        assert dataset.crs.to_epsg() == chip.grid.epsg
        assert tuple(dataset.transform)[:6] == pytest.approx(chip.grid.transform, abs=1e-12)
        assert dataset.block_shapes[0] == (TILES[name], TILES[name])
        assert dataset.overviews(1) == ([2] if name == "dem-glo30" else [])
        assert dataset.scales == tuple(band.scale or 1.0 for band in p.bands)
        assert dataset.profile["interleave"] == "pixel"
        assert dataset.compression.name == "zstd"
        assert np.array_equal(dataset.nodata, p.nodata, equal_nan=True)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        assert np.array_equal(np.moveaxis(page.asarray(), -1, 0), chip.data, equal_nan=True)
        assert list(page.dataoffsets) == cog.layout["offsets"]
        assert list(page.databytecounts) == cog.layout["byte_counts"]
        assert page.tags["Predictor"].value == cog.layout["predictor"]
        assert page.planarconfig == 1
        assert cog.layout["interleave"] == "pixel"
        assert cog.layout["tile"] == [page.tilelength, page.tilewidth]
    assert hashlib.sha256(cog.data).hexdigest() == cog.sha256


@pytest.mark.parametrize("name", TILES)
def test_layout_is_enough_to_read_a_tile(name):
    """One range and no header: what `lake:layout` promises, done by hand with imagecodecs."""
    import imagecodecs

    chip = chip_of(name)
    cog = encode_cog(chip, product(name))
    bands, rows, columns = chip.data.shape
    height, width = cog.layout["tile"]
    start, count = cog.layout["offsets"][0], cog.layout["byte_counts"][0]
    raw = imagecodecs.zstd_decode(cog.data[start : start + count])
    if cog.layout["predictor"] == 2:
        tile = np.frombuffer(raw, chip.data.dtype).reshape(height, width, bands)
        tile = np.cumsum(tile, axis=1, dtype=chip.data.dtype)
    else:
        tile = np.frombuffer(raw, chip.data.dtype).reshape(height, width, bands)
        tile = imagecodecs.floatpred_decode(tile.copy(), axis=-2)
    part = np.moveaxis(tile[:rows, :columns], -1, 0)
    assert np.array_equal(part, chip.data[:, :height, :width], equal_nan=True)


def test_header_size_covers_the_header():
    """GDAL opens a file of which everything behind `header_size` is zero."""
    cog = encode_cog(chip_of("dem-glo30"), product("dem-glo30"))
    size = cog.layout["header_size"]
    assert size < min(cog.layout["offsets"])
    cut = cog.data[:size] + bytes(len(cog.data) - size)
    with MemoryFile(cut) as memory, memory.open() as dataset:
        assert dataset.descriptions == ("height", "qa")
        assert dataset.overviews(1) == [2]


def test_same_pixels_same_bytes():
    chip = chip_of("s2-l2a")
    assert encode_cog(chip, product("s2-l2a")).sha256 == encode_cog(chip, product("s2-l2a")).sha256


def test_offset_of_unharmonized_bands_is_in_the_file():
    p, chip = product("s2-l2a"), chip_of("s2-l2a")
    chip.band_metadata = {name: {"raster:offset": -0.1} for name in p.band_names[:-1]}
    with MemoryFile(encode_cog(chip, p).data) as memory, memory.open() as dataset:
        assert dataset.offsets == (-0.1,) * 12 + (0.0,)


def test_wrong_chips_are_refused():
    p, chip = product("s2-l2a"), chip_of("s2-l2a")
    with pytest.raises(PixelError, match="bands"):
        encode_cog(chip, product("s2-l1c"))
    chip.data = chip.data.astype("float32")
    with pytest.raises(PixelError, match="float32"):
        encode_cog(chip, p)


# odc-geo 0.5.3 uses what affine 3 and shapely 2.2 are going to rename.
@pytest.mark.filterwarnings("ignore:The 'shapely.ops.transform:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
def test_odc_stac_opens_it_by_band(tmp_path):
    """An item that says no more than the core fields, and one band per name."""
    odc_stac = pytest.importorskip("odc.stac")
    p, chip = product("s2-l2a"), chip_of("s2-l2a")
    path = tmp_path / "chip.tif"
    path.write_bytes(encode_cog(chip, p).data)
    bounds = (-91.8, 44.2, -91.7, 44.3)
    item = pystac.Item.from_dict(
        {
            "type": "Feature",
            "stac_version": "1.0.0",
            "id": "chip",
            "stac_extensions": [
                "https://stac-extensions.github.io/projection/v1.1.0/schema.json",
                "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
                "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
            ],
            "geometry": {
                "type": "Polygon",
                "coordinates": [
                    [
                        [bounds[0], bounds[1]],
                        [bounds[2], bounds[1]],
                        [bounds[2], bounds[3]],
                        [bounds[0], bounds[3]],
                        [bounds[0], bounds[1]],
                    ]
                ],
            },
            "bbox": list(bounds),
            "links": [],
            "properties": {
                "datetime": "2021-06-01T00:00:00Z",
                "proj:epsg": 32615,
                "proj:shape": [264, 264],
                "proj:transform": list(chip.grid.transform),
            },
            "assets": {
                "data": {
                    "href": str(path),
                    "type": "image/tiff; application=geotiff",
                    "roles": ["data"],
                    "eo:bands": [{"name": name} for name in p.band_names],
                    "raster:bands": [{"data_type": "uint16", "nodata": 0} for _ in p.bands],
                }
            },
        }
    )
    loaded = odc_stac.load([item], bands=["B04", "qa"])
    assert np.array_equal(loaded["B04"].values[0], chip.data[3])
    assert np.array_equal(loaded["qa"].values[0], chip.data[12])
