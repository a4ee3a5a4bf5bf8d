"""Real Sentinel-2 and Landsat files through the operator, against rasterio and their metadata."""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from pixel_files import RECORDED, scene_of
from rasterio.io import MemoryFile
from rasterio.transform import rowcol
from rasterio.warp import transform as warp_points

from stac_lake.pixels.cog import encode_cog
from stac_lake.pixels.operators import operator_for
from stac_lake.quality.measure import measure_chip
from stac_lake.recipe import product
from stac_lake.types import Chip, PixelGrid, Qa
from stac_lake.upstream import read_item

L1C, L2A, LANDSAT = product("s2-l1c"), product("s2-l2a"), product("landsat-c2-l2")


def nearest(data: bytes, grid: PixelGrid, fill: int = 0) -> np.ndarray:
    """Pixels (band, y, x) under the centres of a grid by GDAL's georeference and projection."""
    a, _, c, _, e, f = grid.transform
    columns, rows = np.meshgrid(np.arange(grid.shape[1]) + 0.5, np.arange(grid.shape[0]) + 0.5)
    x, y = (c + columns * a).ravel(), (f + rows * e).ravel()
    with MemoryFile(data) as memory, memory.open() as dataset:
        if dataset.crs.to_epsg() != grid.epsg:
            x, y = (np.array(v) for v in warp_points(f"EPSG:{grid.epsg}", dataset.crs, x, y))
        row, column = (np.array(v) for v in rowcol(dataset.transform, x, y))
        inside = (row >= 0) & (row < dataset.height) & (column >= 0) & (column < dataset.width)
        everything = dataset.read()
    out = np.full((everything.shape[0], row.size), fill, everything.dtype)
    out[:, inside] = everything[:, row[inside], column[inside]]
    return out.reshape(-1, *grid.shape)


# --- Sentinel-2 L1C ------------------------------------------------------------------------------

SAFES = sorted(RECORDED.glob("s2_l1c_safe_clipped/*.zip")) if RECORDED else []
L1C_BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")


def safe(path):
    """The files of a SAFE by our asset keys, and its product metadata."""
    with zipfile.ZipFile(path) as archive:
        names = {name: archive.read(name) for name in archive.namelist()}
    files = {}
    for name, data in names.items():
        if found := re.search(r"_(B\w\w)\.jp2$", name):
            files["mask" if "MSK_CLASSI" in name else found[1]] = data
    (metadata,) = (data.decode() for name, data in names.items() if name.endswith("MSIL1C.xml"))
    return files, metadata


@pytest.mark.parametrize("path", SAFES, ids=lambda path: path.name[:26])
def test_l1c_of_a_real_safe(path, file_source):
    files, metadata = safe(path)
    item = L1C.with_bands([*L1C_BANDS, "qa"])
    # What ESA's own file says, band by band: the rule by baseline must come to the same.
    offsets = set(re.findall(r"<RADIO_ADD_OFFSET[^>]*>(-?\d+)<", metadata))
    saturated = re.search(r"SATURATED</SPECIAL_VALUE_TEXT>\s*<SPECIAL_VALUE_INDEX>(\d+)", metadata)
    (baseline,) = re.findall(r"<PROCESSING_BASELINE>(.*?)<", metadata)
    assert offsets == {str(-L1C.values.offset.dn)}
    assert int(saturated[1]) == L1C.values.saturated_dn
    assert baseline >= L1C.values.offset.since_baseline
    with MemoryFile(files["B02"]) as memory, memory.open() as dataset:
        left, top = dataset.transform.c, dataset.transform.f
        epsg = dataset.crs.to_epsg()
    # Beyond the right edge of the crop by half of its width.
    grids = [
        PixelGrid(epsg, (10.0, 0.0, left, 0.0, -10.0, top), (200, 220)),
        PixelGrid(epsg, (10.0, 0.0, left + 1150, 0.0, -10.0, top - 130), (200, 220)),
    ]
    scene = scene_of("s2-l1c", {k: k for k in files}, provider="cdse", dn_offset=1000)
    operator = operator_for(item, file_source(files))
    chips = operator.cut([scene], grids)
    for grid, chip, measure in zip(grids, chips, operator.measure([scene], grids)[0], strict=True):
        assert isinstance(chip, Chip)
        source = np.concatenate([nearest(files[band], grid) for band in L1C_BANDS]).astype(int)
        expected = np.where(source == 0, 0, np.maximum(source - 1000, 1))
        assert np.array_equal(chip.data[:-1], expected)
        opaque, cirrus, snow = nearest(files["mask"], grid) != 0
        observed = (source != 0).all(axis=0)
        assert observed.any()
        qa = chip.data[-1]
        assert np.array_equal(qa & Qa.OBSERVED != 0, observed)
        assert np.array_equal(qa & Qa.CLOUD != 0, opaque & observed)
        assert np.array_equal(qa & Qa.CIRRUS != 0, cirrus & observed)
        assert np.array_equal(qa & Qa.SNOW != 0, snow & observed)
        properties, _ = measure_chip(item, chip)
        assert properties["lake:snow_pct"] == pytest.approx(100 * snow[observed].mean(), abs=1e-6)
        cloudy = 100 * (opaque | cirrus)[observed].mean()
        assert properties["eo:cloud_cover"] == pytest.approx(cloudy, abs=1e-6)
        assert "lake:resampled" not in chip.properties
        # Before the cut, the coarsest band of this product (20 m here) says what was seen.
        seen = nearest(files["B11"], grid)[0] != 0
        assert measure.observed_pct == pytest.approx(100 * seen.mean())


# --- Sentinel-2 L2A ------------------------------------------------------------------------------

COGS = sorted(RECORDED.glob("s2_l2a_cog/**/SCL.tif")) if RECORDED else []


@pytest.mark.parametrize("path", COGS, ids=lambda path: path.parent.name)
def test_l2a_of_real_cogs(path, file_source):
    """Decimated to 100 and 200 m, but real pixels, classes and metadata of baseline 02.14."""
    names = ("B04", "B08", "B11")
    files = {name: path.with_name(f"{name}.tif").read_bytes() for name in names}
    files["scl"] = path.read_bytes()
    (document,) = (json.loads(p.read_text()) for p in path.parent.glob("*.json"))
    (source,) = (s for s in L2A.sources if s.offset_in_pixels == "removed")
    real = read_item(document | {"collection": source.collection}, L2A, source)
    assert not isinstance(real, str), real
    item = L2A.with_bands([*names, "qa"])
    with rasterio.open(path) as dataset:
        epsg, left, top = dataset.crs.to_epsg(), dataset.transform.c, dataset.transform.f
    grids = [
        PixelGrid(epsg, (100.0, 0.0, left, 0.0, -100.0, top), (264, 264)),
        PixelGrid(epsg, (100.0, 0.0, left + 40000, 0.0, -100.0, top - 60000), (264, 264)),
        PixelGrid(epsg, (100.0, 0.0, left + 90000, 0.0, -100.0, top - 9000), (264, 264)),
    ]
    scene = replace(real, assets=scene_of("s2-l2a", {k: k for k in files}).assets)
    operator = operator_for(item, file_source(files))
    chips = operator.cut([scene], grids)
    for grid, chip, measure in zip(grids, chips, operator.measure([scene], grids)[0], strict=True):
        dn = np.concatenate([nearest(files[name], grid) for name in names])
        assert np.array_equal(chip.data[:-1], dn)
        # Though the collection says that it was removed: before 04.00 there was none.
        assert chip.properties["lake:dn_offset"] == 0
        assert chip.properties["lake:offset_source"] == "baseline"
        scl = nearest(files["scl"], grid)[0]
        for flag, classes in ((Qa.CLOUD, (8, 9)), (Qa.CIRRUS, (10,)), (Qa.OBSERVED, range(1, 12))):
            assert np.array_equal(chip.data[-1] & flag != 0, np.isin(scl, classes))
        assert measure.observed_pct == pytest.approx(100 * (scl != 0).mean())
        cloud = np.isin(scl, (8, 9, 10)).sum() / (scl != 0).sum()
        assert measure.cloud_pct == pytest.approx(100 * cloud)


# --- Landsat -------------------------------------------------------------------------------------

SCENES = sorted(RECORDED.glob("landsat_c2_l2/*_QA_PIXEL.TIF")) if RECORDED else []
NUMBERS = {"blue": 2, "green": 3, "red": 4, "nir08": 5}


def landsat(path):
    """The four bands of the recording and QA_PIXEL; it has no QA_RADSAT."""
    files = {
        name: path.with_name(path.name.replace("QA_PIXEL", f"SR_B{n}")).read_bytes()
        for name, n in NUMBERS.items()
    }
    values = LANDSAT.values.model_copy(update={"more_flags": ()})
    item = LANDSAT.with_bands([*NUMBERS, "qa"]).model_copy(update={"values": values})
    return files | {"qa_pixel": path.read_bytes()}, item


def check_landsat(chip, measure, files, grid):
    dn = np.concatenate([nearest(files[name], grid) for name in NUMBERS])
    told = nearest(files["qa_pixel"], grid, fill=1)[0].astype(int)
    observed = ((told & 1) == 0) & (dn != 0).all(axis=0)
    assert np.array_equal(chip.data[:-1], dn)
    for bit, flag in ((2, Qa.CIRRUS), (3, Qa.CLOUD), (4, Qa.SHADOW), (5, Qa.SNOW), (7, Qa.WATER)):
        assert np.array_equal(chip.data[-1] & flag != 0, (told >> bit & 1 == 1) & observed)
    assert np.array_equal(chip.data[-1] & Qa.OBSERVED != 0, observed)
    seen = told & 1 == 0
    cloudy = (told & 0b1100 != 0) & seen
    assert measure.observed_pct == pytest.approx(100 * seen.mean())
    if seen.any():
        assert measure.cloud_pct == pytest.approx(100 * cloudy.sum() / seen.sum())
    return observed


def in_tiles(data: bytes) -> bytes:
    """The recording is in strips, but the published files are in tiles: another reader of ours."""
    with MemoryFile(data) as memory, memory.open() as dataset, MemoryFile() as out:
        profile = {**dataset.profile, "tiled": True, "blockxsize": 128, "blockysize": 128}
        with out.open(**profile) as copy:
            copy.update_tags(AREA_OR_POINT="Point")
            copy.write(dataset.read())
        return bytes(out.getbuffer())


@pytest.mark.parametrize("tiled", [False, True], ids=["strips", "tiles"])
@pytest.mark.parametrize("path", SCENES, ids=lambda path: path.name[:40])
def test_landsat_of_real_files(path, tiled, file_source):
    """3° S, published in the northern zone: on its lattice in both halves of the zone."""
    files, item = landsat(path)
    if tiled:
        files = {name: in_tiles(data) for name, data in files.items()}
    with rasterio.open(path) as dataset:
        assert dataset.tags()["AREA_OR_POINT"] == "Point"
        assert dataset.crs.to_epsg() == 32620
        a, _, c, _, e, f = tuple(dataset.transform)[:6]
    assert f < 0
    grids = [
        PixelGrid(32620, (a, 0.0, c + 100 * a, 0.0, e, f + 120 * e), (88, 88)),
        PixelGrid(32720, (a, 0.0, c + 100 * a, 0.0, e, f + 120 * e + 1e7), (88, 88)),
        PixelGrid(32620, (a, 0.0, c + 2 * a, 0.0, e, f + 2 * e), (88, 88)),  # mostly fill
    ]
    scene = scene_of(item.id, {key: key for key in files}, provider="planetary-computer")
    operator = operator_for(item, file_source(files))
    chips = operator.cut([scene], grids)
    assert np.array_equal(chips[0].data, chips[1].data)
    for grid, chip, measure in zip(grids, chips, operator.measure([scene], grids)[0], strict=True):
        assert "lake:resampled" not in chip.properties
        observed = check_landsat(chip, measure, files, grid)
        assert observed.any()
    assert not observed.all()


@pytest.mark.parametrize("path", SCENES, ids=lambda path: path.name[:40])
def test_landsat_warped_to_another_zone(path, file_source):
    files, item = landsat(path)
    x, y = warp_points("EPSG:4326", "EPSG:32719", [-65.4], [-2.9])
    grid = PixelGrid(32719, (300.0, 0.0, x[0] - 13200, 0.0, -300.0, y[0] + 13200), (88, 88))
    scene = scene_of(item.id, {key: key for key in files}, provider="planetary-computer")
    operator = operator_for(item, file_source(files))
    (chip,) = operator.cut([scene], [grid])
    check_landsat(chip, operator.measure([scene], [grid])[0][0], files, grid)
    assert chip.properties["lake:resampled"] is True


@pytest.mark.parametrize("path", SCENES, ids=lambda path: path.name[:40])
def test_landsat_reflectance_out_of_the_stored_file(path, file_source):
    """A reader that applies the file's scale and offset has what the recorded metadata promise."""
    files, item = landsat(path)
    with rasterio.open(path) as dataset:
        a, _, c, _, e, f = tuple(dataset.transform)[:6]
    grid = PixelGrid(32620, (a, 0.0, c + 100 * a, 0.0, e, f + 120 * e), (88, 88))
    scene = scene_of(item.id, {key: key for key in files}, provider="planetary-computer")
    chip = operator_for(item, file_source(files)).cut([scene], [grid])[0]
    with MemoryFile(encode_cog(chip, item).data) as memory, memory.open() as dataset:
        for number, name in enumerate(NUMBERS, 1):
            stored = dataset.read(number) * dataset.scales[number - 1] + dataset.offsets[number - 1]
            expected = nearest(files[name], grid)[0] * 2.75e-05 - 0.2
            assert np.allclose(stored, expected, atol=1e-9)
        assert (dataset.scales[-1], dataset.offsets[-1]) == (1, 0)
        assert dataset.descriptions == chip.bands
