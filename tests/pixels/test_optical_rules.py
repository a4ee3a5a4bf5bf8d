"""What the YAML of an optical product says, pixel by pixel: flags, nodata, saturation, offset."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pixel_files import encode, scene_of
from pydantic import ValidationError

from stac_lake.errors import PixelError
from stac_lake.grid import Patch
from stac_lake.pixels.operators import operator_for
from stac_lake.pixels.optical import flags_of
from stac_lake.recipe import FlagFile, product
from stac_lake.types import Chip, PixelGrid, Qa, patch_grid

L1C, L2A, LANDSAT = product("s2-l1c"), product("s2-l2a"), product("landsat-c2-l2")
EPSG, X, Y = 32615, 600000, 4900020
GRID = patch_grid(Patch(EPSG, X + 600, Y - 600))
SIDE = 6000
RNG = np.random.default_rng(5)


def raster(data, gsd, **profile):
    return encode(data, EPSG, (gsd, 0, X, 0, -gsd, Y), **profile)


def s2_files(item=L2A, low=1100, high=4000, **profile):
    """All bands of a 6 km tile, and a clear classification."""
    files = {}
    for band in item.value_bands:
        side = SIDE // int(band.gsd_m)
        data = RNG.integers(low, high, (1, side, side), dtype="uint16")
        files[band.name] = raster(data, int(band.gsd_m), **profile)
    files["scl"] = raster(np.full((1, 300, 300), 5, "uint8"), 20, **profile)
    return files


def s2_scene(files, item=L2A, **changes):
    facts = {"dn_offset": 1000, "collection": "sentinel-2-c1-l2a", **changes}
    return scene_of(item.id, {key: key for key in files}, **facts)


# --- flags ---------------------------------------------------------------------------------------


@given(arrays(np.uint8, (1, 4, 5), elements=st.integers(0, 13)))
def test_classes_by_brute_force(pixels):
    mask = L2A.values.masks[0]
    flags = flags_of(mask, pixels)
    # Sentinel-2 L2A ATBD, table 3.
    meant = {1: Qa.SATURATED, 3: Qa.SHADOW, 6: Qa.WATER, 8: Qa.CLOUD, 9: Qa.CLOUD, 10: Qa.CIRRUS,
             11: Qa.SNOW}  # fmt: skip
    for got, code in zip(flags.flat, pixels.flat, strict=True):
        seen = 0 if code == 0 else Qa.OBSERVED
        assert got == seen | meant.get(int(code), Qa(0))


@given(arrays(np.uint16, (1, 4, 5)))
def test_bits_by_brute_force(pixels):
    flags = flags_of(LANDSAT.values.masks[0], pixels)
    for got, value in zip(flags.flat, pixels.flat, strict=True):
        word = f"{int(value):016b}"[::-1]  # bit 0 first
        expected = Qa(0) if word[0] == "1" else Qa.OBSERVED
        for bit, flag in ((2, Qa.CIRRUS), (3, Qa.CLOUD), (4, Qa.SHADOW), (5, Qa.SNOW),
                          (7, Qa.WATER)):  # fmt: skip
            expected |= flag if word[bit] == "1" else Qa(0)
        assert got == expected


@given(arrays(np.uint8, (3, 4, 5), elements=st.integers(0, 1)))
def test_planes_by_brute_force(pixels):
    flags = flags_of(L1C.values.masks[0], pixels)
    for row, column in np.ndindex(4, 5):
        opaque, cirrus, snow = pixels[:, row, column]
        expected = Qa.OBSERVED | Qa.CLOUD * opaque | Qa.CIRRUS * cirrus | Qa.SNOW * snow
        assert flags[row, column] == expected


def test_bits_that_usgs_publishes_for_clear_water_and_cloud():
    """Values that USGS lists for QA_PIXEL of Landsat 8 (LSDS-1619, table of common values)."""
    values = {
        1: Qa(0),  # fill
        21824: Qa.OBSERVED,  # clear
        21952: Qa.OBSERVED | Qa.WATER,
        22080: Qa.OBSERVED,  # mid-confidence cloud is no cloud bit
        22280: Qa.OBSERVED | Qa.CLOUD,
        23888: Qa.OBSERVED | Qa.SHADOW,
        30048: Qa.OBSERVED | Qa.SNOW,
        54596: Qa.OBSERVED | Qa.CIRRUS,
        55052: Qa.OBSERVED | Qa.CLOUD | Qa.CIRRUS,
    }
    pixels = np.array([[list(values)]], "uint16")
    assert flags_of(LANDSAT.values.masks[0], pixels)[0].tolist() == [
        int(v) for v in values.values()
    ]


def test_a_file_of_flags_speaks_in_one_way_only():
    with pytest.raises(ValidationError, match="one of classes, bits, planes"):
        FlagFile(asset="scl")
    with pytest.raises(ValidationError, match="one of classes, bits, planes"):
        FlagFile(asset="scl", classes={1: "cloud"}, bits={1: "cloud"})
    with pytest.raises(ValidationError, match="fog"):
        FlagFile(asset="scl", classes={1: "fog"})


# --- nodata, saturation, resampling --------------------------------------------------------------


@pytest.mark.parametrize("resampling", ["bilinear", "cubic"])
def test_interpolation_mixes_neither_nodata_nor_saturation(file_source, resampling):
    smooth = L2A.model_copy(
        update={"values": L2A.values.model_copy(update={"resampling": resampling})}
    )
    files = s2_files(low=2000, high=2001)
    coarse = np.full((1, 300, 300), 2000, "uint16")
    coarse[0, ::3, ::5] = 0
    coarse[0, 1::7, 2::9] = 65535
    files["B11"] = raster(coarse, 20)
    classes = RNG.integers(1, 12, (1, 300, 300), dtype="uint8")
    files["scl"] = raster(classes, 20)
    chip = operator_for(smooth, file_source(files)).cut([s2_scene(files)], [GRID])[0]
    assert isinstance(chip, Chip)
    under = np.repeat(np.repeat(coarse[0, 30:162, 30:162], 2, axis=0), 2, axis=1)
    b11 = chip.data[chip.bands.index("B11")]
    # A plain kernel would give what lies between 0, 1000 and 64535.
    assert set(np.unique(b11)) == {0, 1000, 64535}
    assert np.array_equal(b11, np.select([under == 0, under == 65535], [0, 64535], 1000))
    qa = chip.data[-1]
    scl = np.repeat(np.repeat(classes[0, 30:162, 30:162], 2, axis=0), 2, axis=1)
    assert np.array_equal(qa & Qa.SATURATED != 0, (under == 65535) | (scl == 1))
    assert np.array_equal(qa & Qa.CLOUD != 0, np.isin(scl, (8, 9)))
    assert np.array_equal(qa & Qa.SNOW != 0, scl == 11)


def test_cubic_overshoot_does_not_make_nodata(file_source):
    values = L2A.values.model_copy(update={"resampling": "cubic"})
    steep = L2A.model_copy(update={"values": values})
    files = s2_files(low=2000, high=2001)
    edge = np.full((1, 300, 300), 1, "uint16")
    edge[0, :, 90:] = 10000
    files["B11"] = raster(edge, 20)
    chip = operator_for(steep, file_source(files)).cut([s2_scene(files, dn_offset=0)], [GRID])[0]
    assert chip.data[chip.bands.index("B11")].min() == 1


def test_l2a_of_clipped_water_is_observed_l1c_without_a_band_is_not(file_source):
    files = s2_files()
    hole = RNG.integers(1100, 4000, (1, 100, 100), dtype="uint16")
    hole[0, 10:30] = 0
    files["B09"] = raster(hole, 60)
    chip = operator_for(L2A, file_source(files)).cut([s2_scene(files)], [GRID])[0]
    assert (chip.data[-1] & Qa.OBSERVED).all()
    files["B10"] = raster(np.full((1, 100, 100), 1500, "uint16"), 60)
    scene = s2_scene({k: v for k, v in files.items() if k != "scl"}, L1C, provider="cdse")
    chip = operator_for(L1C, file_source(files)).cut([scene], [GRID])[0]
    assert np.array_equal(chip.data[-1] == 0, chip.data[chip.bands.index("B09")] == 0)
    assert (chip.data[-1] == 0).sum() == 120 * 264


def test_before_bands_only_the_mask_and_where_it_cannot_tell_one_coarse_band(file_source):
    files = s2_files(L1C)
    files["mask"] = raster(np.zeros((3, 100, 100), "uint8"), 60)
    for item, asked in ((L2A, {"scl"}), (L1C, {"mask", "B01"})):
        keys = [b.name for b in item.value_bands] + ["scl" if item is L2A else "mask"]
        source = file_source(files)
        scene = s2_scene(keys, item, provider="earth-search" if item is L2A else "cdse")
        (line,) = operator_for(item, source).measure([scene], [GRID])
        assert (line[0].observed_pct, line[0].cloud_pct, line[0].error) == (100, 0, None)
        assert {href for href, _ in source.calls} == asked


# --- offset --------------------------------------------------------------------------------------


def cut_offset(file_source, files, **changes):
    scene = s2_scene(files, **changes)
    chip = operator_for(L2A, file_source(files)).cut([scene], [GRID])[0]
    return chip.properties["lake:dn_offset"], chip.properties["lake:offset_source"]


def world(offset, classes=(6, 4)):
    """Water and vegetation, dark as they are, and an overview for the whole scene."""
    files = {
        band.name: raster(
            RNG.integers(
                20 + offset, 300 + offset, (1,) + (SIDE // int(band.gsd_m),) * 2, "uint16"
            ),
            int(band.gsd_m),
            overviews=[2],
        )
        for band in L2A.value_bands
    }
    scl = np.full((1, 300, 300), classes[0], "uint8")
    scl[0, :, 150:] = classes[1]
    return files | {"scl": raster(scl, 20, overviews=[2])}


REMOVED = {"collection": "sentinel-2-l2a"}


@pytest.mark.parametrize(
    ("offset", "said", "expected"),
    [
        (0, 0, (0, "collection")),
        (1000, 0, (1000, "pixels")),
        (1000, 1000, (1000, "collection")),  # earthsearch:boa_offset_applied is false, rightly
        (0, 1000, (0, "pixels")),  # … and wrongly: subtracting again would floor the sea
    ],
)
def test_earth_searchs_flag_is_checked_on_the_pixels(file_source, offset, said, expected):
    assert cut_offset(file_source, world(offset), dn_offset=said, **REMOVED) == expected


@pytest.mark.parametrize("said", [0, 1000])
def test_where_pixels_cannot_tell_metadata_are_believed(file_source, said):
    files = world(5000, classes=(9, 8))  # nothing but cloud
    assert cut_offset(file_source, files, dn_offset=said, **REMOVED) == (said, "collection")


def test_before_baseline_4_there_never_was_an_offset(file_source):
    """Bright desert rock, classified as dark, is no evidence then."""
    files = world(1000)
    facts = {"dn_offset": 0, "properties": {"processing:version": "02.14"}}
    assert cut_offset(file_source, files, **facts, **REMOVED) == (0, "baseline")


def test_other_collections_are_not_asked(file_source):
    assert cut_offset(file_source, world(0), dn_offset=1000) == (1000, "baseline")


@pytest.mark.parametrize("offset", [0, 1000])
def test_without_metadata_the_pixels_decide(file_source, offset):
    assert cut_offset(file_source, world(offset), dn_offset=None) == (offset, "pixels")


def test_without_metadata_and_dark_pixels_nothing_is_guessed(file_source):
    with pytest.raises(PixelError, match="offset"):
        cut_offset(file_source, world(5000, classes=(9, 8)), dn_offset=None)
    files = s2_files(L1C)
    scene = s2_scene({k: v for k, v in files.items() if k != "scl"}, L1C, dn_offset=None)
    with pytest.raises(PixelError, match="offset"):
        operator_for(L1C, file_source(files)).cut([scene], [GRID])


# --- more flags, optional bands ------------------------------------------------------------------


def test_landsat_flags_and_an_optional_band(file_source):
    item = LANDSAT.with_bands([*LANDSAT.band_names, "lwir11"])
    shape = (1, 200, 200)
    files = {
        band.name: raster(RNG.integers(7273, 40000, shape, dtype="uint16"), 30)
        for band in LANDSAT.value_bands
    }
    heat = RNG.integers(30000, 50000, shape, dtype="uint16")
    heat[0, 20:40] = 0
    qa_pixel = RNG.choice(np.array([1, 21824, 21952, 22280, 23888, 30048], "uint16"), shape)
    radsat = RNG.choice(np.array([0, 1, 64, 128, 2048], "uint16"), shape)
    files |= {"lwir11": raster(heat, 30), "qa_pixel": raster(qa_pixel, 30, nodata=1)}
    files["qa_radsat"] = raster(radsat, 30)
    grid = PixelGrid(EPSG, (30.0, 0.0, X + 300.0, 0.0, -30.0, Y - 300.0), (88, 88))
    scene = scene_of(item.id, {key: key for key in files}, provider="planetary-computer")
    operator = operator_for(item, file_source(files))
    chip = operator.cut([scene], [grid])[0]
    assert chip.bands == (*LANDSAT.band_names, "lwir11")
    inside = (slice(10, 98), slice(10, 98))
    assert np.array_equal(chip.data[-1], heat[0][inside])
    qa, told, saturation = chip.data[-2], qa_pixel[0][inside], radsat[0][inside]
    assert np.array_equal(qa == 0, told == 1)  # a hole in the temperature is no hole in the rest
    seen = told != 1
    assert np.array_equal(qa & Qa.SATURATED != 0, np.isin(saturation, (1, 64)) & seen)
    assert np.array_equal(qa & Qa.INVALID != 0, (saturation == 2048) & seen)
    assert np.array_equal(qa & Qa.WATER != 0, told == 21952)
    assert chip.properties == {"lake:cloud_source": "qa_pixel"}
    (measure,) = operator.measure([scene], [grid])[0]
    assert measure.observed_pct == pytest.approx(100 * seen.mean())
    assert measure.cloud_pct == pytest.approx(100 * (told == 22280).sum() / seen.sum())
    beyond = PixelGrid(EPSG, (30.0, 0.0, X + 5970.0, 0.0, -30.0, Y - 300.0), (88, 88))
    assert operator.measure([scene], [beyond])[0][0].observed_pct < 2
