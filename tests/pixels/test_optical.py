"""Sentinel-2 chips against the contract's formula applied to plain rasterio reads."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pixel_files import RECORDED, encode
from rasterio.io import MemoryFile
from rasterio.windows import from_bounds

from stac_lake.errors import AssetMissing
from stac_lake.grid import Patch
from stac_lake.pixels.operators import operator_for
from stac_lake.pixels.optical import harmonized
from stac_lake.recipe import product
from stac_lake.types import Asset, Chip, PixelGrid, Qa, patch_grid

ORIGIN = (600000, 4900020)
SIDE = 6000  # metres
L2A, L1C = product("s2-l2a"), product("s2-l1c")
RNG = np.random.default_rng(11)
PATCHES = [
    Patch(32615, 600000, 4900020),
    Patch(32615, 602160, 4898520),
    Patch(32615, 603360, 4896660),
]
GRIDS = [patch_grid(patch) for patch in PATCHES]


def band_pixels(gsd: int, low: int, high: int) -> np.ndarray:
    side = SIDE // gsd
    return RNG.integers(low, high, (1, side, side), dtype="uint16")


@pytest.fixture(scope="module")
def files():
    """A 6 km tile: 12 + 1 bands of every resolution, SCL, MSK_CLASSI; a strip without data."""
    out, pixels = {}, {}
    for band in L1C.bands[:-1]:
        gsd = int(band.gsd_m)
        data = band_pixels(gsd, 990, 4000)
        data[0, : 600 // gsd, : 600 // gsd] = 0
        pixels[band.name] = data
        out[band.name] = encode(data, 32615, (gsd, 0, ORIGIN[0], 0, -gsd, ORIGIN[1]), predictor=2)
    pixels["B02"][0, 100, 100] = 65535
    out["B02"] = encode(pixels["B02"], 32615, (10, 0, ORIGIN[0], 0, -10, ORIGIN[1]), predictor=2)
    scl = RNG.integers(1, 12, (1, 300, 300), dtype="uint8")
    scl[0, :30, :30] = 0
    out["scl"] = encode(scl, 32615, (20, 0, ORIGIN[0], 0, -20, ORIGIN[1]))
    mask = RNG.integers(0, 2, (3, 100, 100), dtype="uint8")
    out["mask"] = encode(mask, 32615, (60, 0, ORIGIN[0], 0, -60, ORIGIN[1]), interleave="pixel")
    return out


def by_rasterio(data: bytes, grid: PixelGrid) -> np.ndarray:
    """The grid's window in native pixels, repeated to 10 m; the grid must be inside."""
    with MemoryFile(data) as memory, memory.open() as dataset:
        window = from_bounds(*grid.bounds, dataset.transform)
        block = dataset.read(window=window.round_lengths().round_offsets())
        times = round(dataset.transform.a / 10)
    return np.repeat(np.repeat(block, times, axis=1), times, axis=2)


def expected_dn(files, names, grid, offset):
    source = np.concatenate([by_rasterio(files[name], grid) for name in names]).astype(np.int64)
    return source, np.where(source == 0, 0, np.maximum(source - offset, 1))


def l2a_scene(make_scene, **changes):
    keys = [band.name for band in L2A.bands[:-1]] + ["scl"]
    return make_scene("s2-l2a", {key: key for key in keys}, dn_offset=1000, **changes)


def test_l2a_equals_the_contract(files, file_source, make_scene):
    chips = operator_for(L2A, file_source(files)).cut([l2a_scene(make_scene)], GRIDS)
    for grid, chip in zip(GRIDS, chips, strict=True):
        assert isinstance(chip, Chip)
        assert chip.bands == L2A.band_names
        assert chip.data.dtype == np.uint16
        assert chip.data.shape == (13, 264, 264)
        source, stored = expected_dn(files, L2A.band_names[:-1], grid, 1000)
        assert np.array_equal(chip.data[:-1], stored)
        scl = by_rasterio(files["scl"], grid)[0]
        qa = chip.data[-1]
        observed = scl != 0
        assert np.array_equal(qa & Qa.OBSERVED != 0, observed)
        assert (qa[~observed] == 0).all()
        for flag, classes in {
            Qa.CLOUD: (8, 9),
            Qa.CIRRUS: (10,),
            Qa.SHADOW: (3,),
            Qa.SNOW: (11,),
            Qa.WATER: (6,),
        }.items():
            assert np.array_equal(qa & flag != 0, np.isin(scl, classes))
        saturated = ((scl == 1) | (source == 65535).any(axis=0)) & observed
        assert np.array_equal(qa & Qa.SATURATED != 0, saturated)
        floored = ((source > 0) & (source <= 1000)).any(axis=0) & observed
        assert np.array_equal(qa & Qa.FLOORED != 0, floored)
        assert chip.properties == {
            "lake:dn_offset": 1000,
            "lake:offset_source": "baseline",
            "lake:cloud_source": "scl",
        }


def test_each_tile_is_fetched_once_for_all_patches(files, file_source, make_scene):
    source = file_source(files)
    operator_for(L2A, source).cut([l2a_scene(make_scene)], GRIDS)
    pixels = [span for span in source.ranges if span[1] != 0]
    assert len(pixels) == len(set(pixels))


def test_without_harmonizing_the_bytes_are_the_source(files, file_source, make_scene):
    plain = L2A.model_copy(update={"values": L2A.values.model_copy(update={"harmonize": False})})
    chip = operator_for(plain, file_source(files)).cut([l2a_scene(make_scene)], GRIDS[1:2])[0]
    source, _ = expected_dn(files, L2A.band_names[:-1], GRIDS[1], 0)
    assert np.array_equal(chip.data[:-1], source)
    assert chip.properties["lake:dn_offset"] == 0
    assert not (chip.data[-1] & Qa.FLOORED).any()
    assert chip.band_metadata["B04"]["raster:offset"] == pytest.approx(-0.1)


def test_old_baseline_has_no_offset(files, file_source, make_scene):
    scene = make_scene("s2-l2a", l2a_files(), dn_offset=0)
    chip = operator_for(L2A, file_source(files)).cut([scene], GRIDS[1:2])[0]
    source, _ = expected_dn(files, L2A.band_names[:-1], GRIDS[1], 0)
    assert np.array_equal(chip.data[:-1], source)
    assert chip.properties["lake:dn_offset"] == 0


def l2a_files():
    return {key: key for key in [*L2A.band_names[:-1], "scl"]}


def test_measure_counts_cloud_among_the_observed(files, file_source, make_scene):
    measures = operator_for(L2A, file_source(files)).measure([l2a_scene(make_scene)], GRIDS)
    for grid, measure in zip(GRIDS, measures[0], strict=True):
        scl = by_rasterio(files["scl"], grid)[0]
        assert measure.observed_pct == pytest.approx(100 * (scl != 0).mean())
        cloudy = np.isin(scl, (8, 9, 10)).sum() / (scl != 0).sum()
        assert measure.cloud_pct == pytest.approx(100 * cloudy)
        assert measure.error is None


def test_measure_reads_no_band(files, file_source, make_scene):
    source = file_source(files)
    operator_for(L2A, source).measure([l2a_scene(make_scene)], GRIDS)
    assert {href for href, _ in source.calls} == {"scl"}


def test_beyond_the_scene(files, file_source, make_scene):
    outside = PixelGrid(32615, (10.0, 0.0, 700020.0, 0.0, -10.0, 4900020.0), (264, 264))
    corner = PixelGrid(32615, (10.0, 0.0, 604980.0, 0.0, -10.0, 4896000.0), (264, 264))
    operator = operator_for(L2A, file_source(files))
    empty, chip = operator.cut([l2a_scene(make_scene)], [outside, corner])
    assert empty == "not_covered"
    assert chip.data[-1, :198, :102].all()
    assert not chip.data[:, 198:].any()
    assert not chip.data[:, :, 102:].any()
    assert operator.measure([l2a_scene(make_scene)], [outside])[0][0].observed_pct == 0


def test_l1c_mask_and_observed(files, file_source, make_scene):
    names = L1C.band_names[:-1]
    scene = make_scene("s2-l1c", {k: k for k in [*names, "mask"]}, dn_offset=1000, provider="cdse")
    operator = operator_for(L1C, file_source(files))
    chip = operator.cut([scene], GRIDS[:1])[0]
    source, stored = expected_dn(files, names, GRIDS[0], 1000)
    assert np.array_equal(chip.data[:-1], stored)
    observed = (source > 0).all(axis=0)
    assert 0 < observed.sum() < observed.size
    opaque, cirrus, snow = by_rasterio(files["mask"], GRIDS[0])
    qa = chip.data[-1]
    assert np.array_equal(qa & Qa.OBSERVED != 0, observed)
    assert np.array_equal(qa & Qa.CLOUD != 0, (opaque == 1) & observed)
    assert np.array_equal(qa & Qa.CIRRUS != 0, (cirrus == 1) & observed)
    assert np.array_equal(qa & Qa.SNOW != 0, (snow == 1) & observed)
    assert chip.properties["lake:cloud_source"] == "msk_classi"
    measure = operator.measure([scene], GRIDS[:1])[0][0]
    assert measure.observed_pct == pytest.approx(100 * observed.mean())
    cloudy = ((opaque == 1) | (cirrus == 1)) & observed
    assert measure.cloud_pct == pytest.approx(100 * cloudy.sum() / observed.sum())


@pytest.mark.parametrize(("mask", "source"), [("scl", "l2a_scl"), (None, None)])
def test_l1c_without_its_own_mask(files, file_source, make_scene, mask, source):
    keys = [*L1C.band_names[:-1], *([mask] if mask else [])]
    scene = make_scene("s2-l1c", {k: k for k in keys}, dn_offset=1000, provider="cdse")
    operator = operator_for(L1C, file_source(files))
    chip = operator.cut([scene], GRIDS[1:2])[0]
    assert chip.properties.get("lake:cloud_source") == source
    assert bool((chip.data[-1] & Qa.CLOUD).any()) == (mask is not None)
    assert (operator.measure([scene], GRIDS[1:2])[0][0].cloud_pct is None) == (mask is None)


def test_jpeg2000_equals_rasterio(file_source, make_scene, tif):
    """All bands as JP2, the mask as three-band JP2, read through our own opener."""
    files = {}
    for band in L1C.bands[:-1]:
        gsd = int(band.gsd_m)
        data = band_pixels(gsd, 1, 4000)[:, : 3000 // gsd, : 3000 // gsd]
        files[band.name] = tif(
            data,
            32615,
            (gsd, 0, ORIGIN[0], 0, -gsd, ORIGIN[1]),
            driver="JP2OpenJPEG",
            CODEC="JP2",
            QUALITY="100",
            REVERSIBLE="YES",
        )
    mask = RNG.integers(0, 2, (3, 50, 50), dtype="uint8")
    files["mask"] = tif(
        mask,
        32615,
        (60, 0, ORIGIN[0], 0, -60, ORIGIN[1]),
        driver="JP2OpenJPEG",
        CODEC="JP2",
        QUALITY="100",
        REVERSIBLE="YES",
        YCC="NO",
    )
    assert files["B02"].startswith(b"\0\0\0\x0cjP")
    scene = make_scene("s2-l1c", {k: k for k in files}, dn_offset=1000, provider="cdse")
    chip = operator_for(L1C, file_source(files)).cut([scene], GRIDS[:1])[0]
    _, stored = expected_dn(files, L1C.band_names[:-1], GRIDS[0], 1000)
    assert np.array_equal(chip.data[:-1], stored)
    opaque = by_rasterio(files["mask"], GRIDS[0])[0]
    assert np.array_equal(chip.data[-1] & Qa.CLOUD != 0, opaque == 1)


def test_broken_masks_are_told_not_raised(files, file_source, make_scene):
    broken = {**files, "scl": files["scl"][:700]}
    good, bad = l2a_scene(make_scene), l2a_scene(make_scene, id="bad")
    missing = make_scene("s2-l2a", {"B02": "B02"}, id="missing")
    first, second, third = operator_for(L2A, file_source(broken)).measure(
        [bad, missing, good], GRIDS[:1]
    )
    assert first[0].error.startswith("BadRaster")
    assert second[0].error.startswith("AssetMissing")
    assert third[0].error.startswith("BadRaster")
    with pytest.raises(AssetMissing, match="missing"):
        operator_for(L2A, file_source(files)).cut([missing], GRIDS[:1])


def test_native_scene_goes_before_a_foreign_one(files, file_source, make_scene, tif):
    foreign = {}
    for key in l2a_files():
        with MemoryFile(files[key]) as memory, memory.open() as dataset:
            gsd = round(dataset.transform.a)
            value = 2500 if key != "scl" else 4
            data = np.full((1, 9000 // gsd, 9000 // gsd), value, dataset.dtypes[0])
        # Zone 14 coordinates of the same place: about 480 km further east.
        foreign[f"14/{key}"] = tif(data, 32614, (gsd, 0, 1079000, 0, -gsd, 4926000))
    source = file_source({**files, **foreign})
    other = make_scene("s2-l2a", {k: f"14/{k}" for k in l2a_files()}, id="zone14", dn_offset=1000)
    operator = operator_for(L2A, source)
    chip = operator.cut([other, l2a_scene(make_scene)], GRIDS[1:2])[0]
    assert chip.scenes[0].id == "s2-l2a-scene"
    assert "lake:resampled" not in chip.properties
    chip = operator.cut([other], GRIDS[1:2])[0]
    assert chip.properties["lake:resampled"] is True
    assert set(np.unique(chip.data[:-1])) == {1500}
    assert (chip.data[-1] == Qa.OBSERVED).all()


def shifted_world(tif, offset: int, cloudy: bool = False):
    """A removed-offset collection's files with water and vegetation, or only cloud."""
    files = {}
    for band in L2A.bands[:-1]:
        gsd = int(band.gsd_m)
        side = SIDE // gsd
        data = RNG.integers(20, 300, (1, side, side), dtype="uint16") + np.uint16(offset)
        if cloudy:
            data += np.uint16(5000)
        files[band.name] = tif(data, 32615, (gsd, 0, ORIGIN[0], 0, -gsd, ORIGIN[1]), overviews=[2])
    scl = np.full((1, 300, 300), 9 if cloudy else 6, "uint8")
    if not cloudy:
        scl[0, :, 150:] = 4
    files["scl"] = tif(scl, 32615, (20, 0, ORIGIN[0], 0, -20, ORIGIN[1]), overviews=[2])
    return files


@pytest.mark.parametrize(
    ("offset", "cloudy", "expected"),
    [
        (0, False, (0, "collection")),
        (1000, False, (1000, "pixels")),
        (1000, True, (0, "collection")),
    ],
)
def test_removed_offset_is_checked_on_the_pixels(
    file_source, make_scene, tif, offset, cloudy, expected
):
    files = shifted_world(tif, offset, cloudy)
    scene = make_scene("s2-l2a", l2a_files(), collection="sentinel-2-l2a", dn_offset=0)
    chip = operator_for(L2A, file_source(files)).cut([scene], GRIDS[:1])[0]
    assert (chip.properties["lake:dn_offset"], chip.properties["lake:offset_source"]) == expected
    _, stored = expected_dn(files, L2A.band_names[:-1], GRIDS[0], expected[0])
    assert np.array_equal(chip.data[:-1], stored)


@given(arrays(np.uint16, (4, 5)), st.sampled_from([0, 1000]))
def test_harmonized_by_brute_force(dn, offset):
    for got, source in zip(harmonized(dn, offset).flat, dn.flat, strict=True):
        assert int(got) == (0 if source == 0 else max(int(source) - offset, 1))


def test_bilinear_of_coarse_bands(files, file_source, make_scene):
    """20 m bands of a plane come out as the plane; 10 m bands stay exact."""
    values = L2A.values.model_copy(update={"resampling": "bilinear"})
    smooth = L2A.model_copy(update={"values": values})
    plane = dict(files)
    for band in L2A.bands[:-1]:
        gsd = int(band.gsd_m)
        steps = np.arange(SIDE // gsd) * gsd + gsd / 2
        data = (2000 + steps[None, :] + 0 * steps[:, None])[None].astype("uint16")
        plane[band.name] = encode(data, 32615, (gsd, 0, ORIGIN[0], 0, -gsd, ORIGIN[1]))
    scene = make_scene("s2-l2a", l2a_files(), dn_offset=1000)
    chip = operator_for(smooth, file_source(plane)).cut([scene], GRIDS[1:2])[0]
    x = GRIDS[1].transform[2] - ORIGIN[0] + 10 * np.arange(264) + 5
    for band in chip.data[:-1]:
        assert np.abs(band.astype(int) - (1000 + x)[None, :]).max() <= 1


REAL = sorted(RECORDED.glob("s2_l2a_cog/**/B11.tif")) if RECORDED else []


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.parent.name)
def test_recorded_cogs_equal_rasterio(path, file_source):
    """Real Sentinel-2 COGs (decimated) through the tile engine, window by window."""
    from stac_lake.pixels.raster import Window
    from stac_lake.pixels.sampling import open_raster

    for name in ("B04", "B08", "B11", "SCL"):
        real = path.with_name(f"{name}.tif")
        asset = Asset(name, name, "earth-search")
        raster = open_raster(file_source({name: real.read_bytes()}), asset)
        with rasterio.open(real) as dataset:
            everything = dataset.read()
            assert raster.epsg == dataset.crs.to_epsg()
            assert raster.levels[0].transform == tuple(dataset.transform)[:6]
        got = raster.read([Window(200, 300, 264, 200)], 0)[0]
        assert np.array_equal(got, everything[:, 200:464, 300:500])


SAFES = sorted(RECORDED.glob("s2_l1c_safe_clipped/*.zip")) if RECORDED else []


@pytest.mark.parametrize("path", SAFES[:2], ids=lambda path: path.stem)
def test_recorded_jpeg2000_equals_rasterio(path, file_source):
    """Real L1C bands and MSK_CLASSI_B00 through our opener."""
    import zipfile

    from stac_lake.pixels.raster import Window
    from stac_lake.pixels.sampling import open_raster

    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if name.endswith(".jp2")}
    assert files
    for name, data in files.items():
        raster = open_raster(file_source(files), Asset("x", name, "cdse"))
        with MemoryFile(data) as memory, memory.open() as dataset:
            everything = dataset.read()
            assert raster.epsg == dataset.crs.to_epsg()
            assert raster.levels[0].transform == tuple(dataset.transform)[:6]
        got = raster.read([Window(20, 30, 100, 90)], 0)[0]
        assert np.array_equal(got, everything[:, 20:120, 30:120])
