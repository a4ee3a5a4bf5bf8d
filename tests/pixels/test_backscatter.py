"""Sentinel-1 RTC chips against the formula applied to plain rasterio reads."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pixel_files import FileSource, encode, scene_of
from rasterio.io import MemoryFile
from rasterio.windows import from_bounds

from stac_lake.grid import Patch
from stac_lake.pixels.backscatter import decibel
from stac_lake.pixels.operators import operator_for
from stac_lake.recipe import product
from stac_lake.types import PixelGrid, Qa, patch_grid

RTC = product("s1-rtc")
CORNER = (599940, 4900080)
GRIDS = [patch_grid(Patch(32615, 600000, 4900020)), patch_grid(Patch(32615, 602640, 4898040))]
RNG = np.random.default_rng(3)


@pytest.fixture(scope="module")
def power():
    """VV and VH, 6 km at 10 m: speckle, a nodata wedge, denoised zeros, one negative, one NaN."""
    out = {}
    for name, level in (("VV", 0.1), ("VH", 0.02)):
        data = (level * RNG.gamma(4, 0.25, (1, 600, 600))).astype("float32")
        data[0, 450:, :] = -32768
        data[0, 20:30, 20:30] = 0
        data[0, 40, 40] = -0.001
        data[0, 50, 50] = np.nan
        out[name] = data
    return out


@pytest.fixture(scope="module")
def files(power):
    return {
        name: encode(
            data,
            32615,
            (10, 0, CORNER[0], 0, -10, CORNER[1]),
            driver="COG",
            nodata=-32768,
            compress="deflate",
            predictor="YES",
            blocksize=128,
            overview_count=3,
            overview_resampling="nearest",
        )
        for name, data in power.items()
    }


def by_rasterio(data: bytes, grid: PixelGrid) -> np.ndarray:
    with MemoryFile(data) as memory, memory.open() as dataset:
        window = from_bounds(*grid.bounds, dataset.transform).round_lengths().round_offsets()
        return dataset.read(1, window=window)


def expected(linear: np.ndarray) -> np.ndarray:
    out = np.full(linear.shape, np.nan)
    for place, value in np.ndenumerate(linear):
        if not math.isnan(value) and value != -32768:
            out[place] = max(10 * math.log10(value), -50) if value > 0 else -50
    return out


def test_decibel_on_the_lattice(files):
    scene = scene_of("s1-rtc", {"VV": "VV", "VH": "VH"})
    chips = operator_for(RTC, FileSource(files)).cut([scene], GRIDS)
    for grid, chip in zip(GRIDS, chips, strict=True):
        assert chip.bands == ("VV", "VH", "qa")
        assert chip.data.dtype == np.float32
        linear = np.stack([by_rasterio(files[name], grid) for name in ("VV", "VH")])
        truth = expected(linear)
        assert np.allclose(chip.data[:2], truth, rtol=0, atol=1e-5, equal_nan=True)
        seen = np.isfinite(truth).all(axis=0)
        floored = ((linear <= 0) & (linear != -32768)).any(axis=0) & seen
        qa = chip.data[2].astype(int)
        assert np.array_equal(qa & Qa.OBSERVED != 0, seen)
        assert np.array_equal(qa & Qa.FLOORED != 0, floored)
        assert "lake:resampled" not in chip.properties


def test_one_polarisation_leaves_the_other_nan(files):
    scene = scene_of("s1-rtc", {"VV": "VV"})
    chip = operator_for(RTC, FileSource(files)).cut([scene], GRIDS[:1])[0]
    assert np.isnan(chip.data[1]).all()
    assert np.array_equal(chip.data[2] > 0, np.isfinite(chip.data[0]))
    assert chip.data[2].any()


def test_measure_reads_an_overview_only(files):
    source = FileSource(files)
    scene = scene_of("s1-rtc", {"VV": "VV", "VH": "VH"})
    outside = PixelGrid(32615, (10.0, 0.0, 700000.0, 0.0, -10.0, 4900020.0), (264, 264))
    low = patch_grid(Patch(32615, 600000, 4896780))  # 330 rows down: 120 of its 264 are nodata
    half, full, none = operator_for(RTC, source).measure([scene], [low, GRIDS[0], outside])[0]
    assert half.observed_pct == pytest.approx(100 * 114 / 264, abs=5)
    assert full.observed_pct == 100
    assert none.observed_pct == 0
    assert {href for href, _ in source.calls} == {"VV"}
    assert sum(stop - start for _, start, stop in source.ranges) < len(files["VV"]) / 3


def test_half_a_pixel_off_is_warped_and_says_so(files, power):
    moved = {
        name: encode(
            np.full_like(data, 0.05),
            32615,
            (10, 0, CORNER[0] + 5, 0, -10, CORNER[1] - 5),
            nodata=-32768,
        )
        for name, data in power.items()
    }
    source = FileSource({**files, **{f"m{k}": v for k, v in moved.items()}})
    off = scene_of("s1-rtc", {"VV": "mVV", "VH": "mVH"}, id="off")
    on = scene_of("s1-rtc", {"VV": "VV", "VH": "VH"}, id="on")
    operator = operator_for(RTC, source)
    assert operator.cut([off, on], GRIDS[:1])[0].scenes[0].id == "on"
    chip = operator.cut([off], GRIDS[:1])[0]
    assert chip.properties == {"lake:resampled": True}
    assert chip.data[0] == pytest.approx(10 * math.log10(0.05), abs=1e-4)


def test_not_covered_and_missing_bands(files):
    outside = PixelGrid(32615, (10.0, 0.0, 700020.0, 0.0, -10.0, 4900020.0), (264, 264))
    operator = operator_for(RTC, FileSource(files))
    assert operator.cut([scene_of("s1-rtc", {"VV": "VV"})], [outside]) == ["not_covered"]
    nothing = scene_of("s1-rtc", {}, id="hh only")
    assert operator.measure([nothing], GRIDS)[0][0].error.startswith("AssetMissing")


@given(st.floats(-1, 1e4, width=32) | st.just(float("nan")))
def test_decibel_by_definition(value):
    db, floored = decibel(np.array([value], np.float32))
    if math.isnan(value):
        assert math.isnan(db[0])
        assert not floored[0]
    elif value < 1e-5:
        assert db[0] == pytest.approx(-50, abs=1e-5)
    else:
        assert db[0] == pytest.approx(10 * math.log10(value), abs=1e-5)
        assert not floored[0] or value < 1.0001e-5
