"""Shares and statistics by brute force over pixels."""

from __future__ import annotations

import json
import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stac_lake.quality.measure import measure_chip
from stac_lake.quality.properties import BY_NAME
from stac_lake.quality.valid import valid_mask
from stac_lake.recipe import product
from stac_lake.types import Chip, PixelGrid, Qa

GRID = PixelGrid(32615, (10.0, 0.0, 600000.0, 0.0, -10.0, 4900020.0), (4, 5))
BITS = sum(int(flag) for flag in Qa)


def chip_of(name: str, qa: np.ndarray, cloud_source: str | None = "scl", seed: int = 0) -> Chip:
    p = product(name)
    bands = np.random.default_rng(seed).integers(0, 50, (len(p.bands), 4, 5)).astype(p.dtype)
    if p.dtype == "float32":
        bands[:, 0, 0] = np.nan
    if p.qa_band is not None:
        bands[-1] = qa
    properties = {"lake:cloud_source": cloud_source} if cloud_source else {}
    return Chip(GRID, p.band_names, bands, (), properties)


def share(mask: list[bool]) -> float:
    return 100 * sum(mask) / len(mask)


@settings(max_examples=40)
@given(arrays(np.uint16, (4, 5), elements=st.integers(0, BITS)), st.integers(0, 9))
def test_s2_by_brute_force(qa, seed):
    p, chip = product("s2-l2a"), chip_of("s2-l2a", qa, seed=seed)
    properties, bands = measure_chip(p, chip)
    pixels = [Qa(int(value)) for value in qa.flat]
    observed = [value for value in pixels if Qa.OBSERVED in value]
    usable = [Qa.OBSERVED in v and Qa.SATURATED not in v and Qa.INVALID not in v for v in pixels]
    assert valid_mask(p, chip.data).ravel().tolist() == usable
    assert properties["lake:valid_pct"] == pytest.approx(share(usable))
    unseen = [Qa.OBSERVED not in v for v in pixels]
    assert properties["lake:nodata_pct"] == pytest.approx(share(unseen))
    if observed:
        cloudy = [Qa.CLOUD in v or Qa.CIRRUS in v for v in observed]
        assert properties["eo:cloud_cover"] == pytest.approx(share(cloudy), abs=1e-6)
        for name, flag in {
            "lake:shadow_pct": Qa.SHADOW,
            "lake:snow_pct": Qa.SNOW,
            "lake:water_pct": Qa.WATER,
            "lake:floored_pct": Qa.FLOORED,
        }.items():
            assert properties[name] == pytest.approx(share([flag in v for v in observed]), abs=1e-6)
        snowy = share([Qa.SNOW in v for v in observed]) >= 10
        assert properties["lake:cloud_confidence"] == ("low" if snowy else "normal")
    else:
        assert set(properties) == {"lake:valid_pct", "lake:nodata_pct"}
    assert bands[-1] == {}
    for band, numbers in zip(chip.data[:-1], bands, strict=False):
        values = [int(v) for v, ok in zip(band.flat, usable, strict=True) if ok and v != 0]
        assert numbers["valid_percent"] == pytest.approx(100 * len(values) / 20)
        if values:
            assert numbers["minimum"] == min(values)
            assert numbers["maximum"] == max(values)
            assert numbers["mean"] == pytest.approx(statistics.fmean(values))
            assert numbers["stddev"] == pytest.approx(statistics.pstdev(values), abs=1e-9)
        else:
            assert set(numbers) == {"valid_percent"}
    json.dumps([properties, bands], allow_nan=False)


@pytest.mark.parametrize(
    "name", ["s2-l1c", "s2-l2a", "s1-rtc", "s3-olci-efr", "dem-glo30", "s5p-no2"]
)
def test_only_properties_that_the_modality_defines(name):
    qa = np.full((4, 5), Qa.OBSERVED | Qa.FLOORED | Qa.SEA_FILLED | Qa.BRIGHT)
    p = product(name)
    properties, bands = measure_chip(p, chip_of(name, qa))
    for key in properties:
        assert p.modality in (BY_NAME[key].modalities or (p.modality,))
    assert len(bands) == len(p.bands)
    json.dumps([properties, bands], allow_nan=False)
    expected = {
        "s1-rtc": "lake:noise_floor_pct",
        "s3-olci-efr": "lake:bright_pct",
        "dem-glo30": "lake:sea_filled_pct",
        "s2-l2a": "lake:floored_pct",
    }
    if name in expected:
        assert properties[expected[name]] == 100


@pytest.mark.parametrize(
    ("source", "absent"),
    [
        (
            None,
            {
                "eo:cloud_cover",
                "lake:cloud_confidence",
                "lake:snow_pct",
                "lake:water_pct",
                "lake:shadow_pct",
            },
        ),
        ("msk_classi", {"lake:water_pct", "lake:shadow_pct"}),
        ("l2a_scl", set()),
    ],
)
def test_what_a_mask_cannot_tell_is_left_out(source, absent):
    qa = np.full((4, 5), Qa.OBSERVED)
    properties, _ = measure_chip(product("s2-l1c"), chip_of("s2-l1c", qa, source))
    every = {
        "eo:cloud_cover",
        "lake:cloud_confidence",
        "lake:snow_pct",
        "lake:water_pct",
        "lake:shadow_pct",
        "lake:valid_pct",
        "lake:nodata_pct",
        "lake:floored_pct",
        "lake:saturated_pct",
    }
    assert set(properties) == every - absent


def test_gases_are_valid_where_an_orbit_is():
    p = product("s5p-so2")
    data = np.full((3, 4, 5), np.nan, "float32")
    data[1] = 0
    data[0, 0], data[1, 0] = -0.0005, 1
    data[0, 1], data[1, 1], data[2, 1] = 0.001, 2, 0.0001
    properties, bands = measure_chip(p, Chip(GRID, p.band_names, data, ()))
    assert valid_mask(p, data).sum(axis=1).tolist() == [5, 5, 0, 0]
    assert properties == {"lake:valid_pct": 50.0, "lake:nodata_pct": 50.0}
    assert bands[0]["minimum"] == pytest.approx(-0.0005)
    assert bands[1]["mean"] == 1.5
    assert bands[2]["valid_percent"] == 25.0
    assert all(math.isfinite(v) for band in bands for v in band.values())


def test_nothing_valid_is_not_nan():
    p = product("dem-glo30")
    data = np.full((2, 4, 5), np.nan, "float32")
    properties, bands = measure_chip(p, Chip(GRID, p.band_names, data, ()))
    assert properties == {"lake:valid_pct": 0.0, "lake:nodata_pct": 100.0}
    assert bands == [{"valid_percent": 0.0}, {}]
