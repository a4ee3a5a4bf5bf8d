"""Statistics of a lake against numpy over all of its pixels at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from typer.testing import CliRunner

from stac_lake.atlas import statistics
from stac_lake.atlas.histogram import RELATIVE_ERROR, Histogram
from stac_lake.atlas.statistics import BUCKETS, SHARES, BandStatistics, pixel_statistics
from stac_lake.catalog.stats import Moments, band_summaries, pooled
from stac_lake.cli import stats as command
from stac_lake.lake import Lake
from stac_lake.loaders import LakeDataset
from tests.loaders.training_lake import TrainingLake

pytest_plugins = ("s3_fixtures",)

PRODUCTS = ("s2-l1c", "s2-l2a", "s1-rtc", "s3-olci-efr", "s5p-no2", "s5p-so2", "dem-glo30")
EARTH_KM2 = 510_065_622  # of WGS 84


def valid_pixels(data: np.ndarray) -> list[np.ndarray]:
    """Usable pixels of each value band of one image, by the contract's rule."""
    if len(data) == 3 and data.shape[1] == 28:
        return [data[0, data[1] > 0]]
    flags = np.nan_to_num(data[-1]).astype(int)
    usable = (flags & 1 == 1) & (flags & (64 | 2048) == 0)
    missing = np.isnan(data) if data.dtype.kind == "f" else data == 0
    return [band[usable & ~gap] for band, gap in zip(data[:-1], missing[:-1], strict=True)]


def all_pixels(made: TrainingLake, product: str) -> list[np.ndarray]:
    images = [valid_pixels(data) for data in made.of(product)]
    return [np.concatenate(band) for band in zip(*images, strict=True)]


def check(found: BandStatistics, pixels: np.ndarray) -> None:
    moments, exact = found.moments, pixels.astype(np.float64)
    assert moments.count == moments.weight == pixels.size
    assert (moments.minimum, moments.maximum) == (exact.min(), exact.max())
    assert moments.mean == pytest.approx(exact.mean(), rel=1e-12)
    assert moments.stddev == pytest.approx(exact.std(), rel=1e-10)
    expected = np.quantile(exact, SHARES, method="inverted_cdf")
    quantiles = np.array([found.quantiles[share] for share in SHARES])
    if pixels.dtype == np.uint16:
        np.testing.assert_array_equal(quantiles, expected)
        counts = np.histogram(exact, bins=BUCKETS, range=(exact.min(), exact.max()))[0]
        np.testing.assert_array_equal(found.buckets, counts)
        assert found.quantile_error == 0
    else:
        assert (abs(quantiles - expected) <= abs(expected) * found.quantile_error).all()
        assert found.quantile_error < 0.00025
        assert sum(found.buckets) == pixels.size


@pytest.mark.parametrize("product", PRODUCTS)
def test_all_pixels(lake: Lake, made: TrainingLake, product: str) -> None:
    answer = pixel_statistics(lake.search(products=[product]))
    assert not answer.unread
    (found,) = answer.products
    assert (found.product, found.items) == (product, len(made.of(product)))
    pixels = all_pixels(made, product)
    assert len(found.bands) == len(pixels)
    for band, numbers in zip(found.bands, pixels, strict=True):
        check(band, numbers)


def test_s3(s3_lake: Lake, made: TrainingLake) -> None:
    """A filter, and several products at once."""
    answer = pixel_statistics(
        s3_lake.search("lake:slot IN ('spring', '2021-01')", products=["s1-rtc", "s5p-co"])
    )
    assert [one.product for one in answer.products] == ["s1-rtc", "s5p-co"]
    radar = [d for name, d in made.pixels.items() if name[:3] == "s1-" and "spring" in name]
    images = [valid_pixels(data) for data in radar]
    for band, numbers in zip(answer.products[0].bands, zip(*images, strict=True), strict=True):
        check(band, np.concatenate(numbers))


def test_the_same_digits_with_any_number_of_processes(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "BATCH", 3)
    found = lake.search(products=["s5p-no2", "s3-olci-efr", "dem-glo30"])
    one, many = (pixel_statistics(found, workers=n) for n in (1, 2))
    assert one == many


def test_normalisation_of_the_loaders_is_that_of_the_pixels(lake: Lake) -> None:
    """They pool what the items state, without reading a pixel."""
    for modality, product in {"s2": "s2-l1c", "s1": "s1-rtc", "s3": "s3-olci-efr"}.items():
        normal = LakeDataset(lake, normalize="lake", modalities=[modality]).normalization[modality]
        assert normal is not None
        (found,) = pixel_statistics(lake.search(products=[product])).products
        means = [band.moments.mean for band in found.bands]
        deviations = [band.moments.stddev for band in found.bands]
        np.testing.assert_allclose(normal.mean, means, rtol=1e-9)
        np.testing.assert_allclose(normal.std, deviations, rtol=1e-9)


def test_pooled_from_items(lake: Lake, made: TrainingLake) -> None:
    found = pooled(made.documents.values())
    for product in PRODUCTS:
        (read,) = pixel_statistics(lake.search(products=[product])).products
        assert list(found[product]) == [band.name for band in read.bands]
        for band in read.bands:
            moments = found[product][band.name]
            assert moments.count == band.moments.count
            assert moments.mean == pytest.approx(band.moments.mean, rel=1e-9)
            assert moments.stddev == pytest.approx(band.moments.stddev, rel=1e-9)
            assert moments.minimum == band.moments.minimum
            assert moments.maximum == band.moments.maximum
    summary = band_summaries(made.documents.values())
    assert [band["name"] for band in summary["s1-rtc"]] == ["VV", "VH"]
    json.dumps(summary, allow_nan=False)


def test_weighted_by_area(lake: Lake, made: TrainingLake) -> None:
    """Two cells at 44° N and 68.75° S: a pixel of the second stands for half as much ground."""
    answer = pixel_statistics(
        lake.search(products=["dem-glo30"], cells=[772176, 123456]), weight="cell-area"
    )
    (band,) = answer.products[0].bands
    sums, weights = 0.0, 0.0
    for cell, lat in ((772176, 44.0), (123456, -68.75)):
        (data,) = [d for name, d in made.pixels.items() if name == f"dem-glo30_{cell:07d}_static"]
        sines = np.sin(np.radians([lat - 0.125, lat + 0.125]))
        area = EARTH_KM2 / 2 * (sines[1] - sines[0]) * 0.25 / 360  # on the sphere
        (numbers,) = valid_pixels(data)
        sums += area * numbers.astype(np.float64).sum()
        weights += area * numbers.size
    assert band.moments.weight == pytest.approx(weights, rel=0.01)  # sphere and ellipsoid
    assert band.moments.mean == pytest.approx(sums / weights, rel=1e-3)
    plain = pixel_statistics(lake.search(products=["dem-glo30"], cells=[772176, 123456]))
    assert plain.products[0].bands[0].moments.mean != pytest.approx(sums / weights, rel=1e-6)


def test_an_asset_that_is_gone_is_named(s3_lake: Lake) -> None:
    item = next(iter(s3_lake.search(products=["dem-glo30"], cells=[772177])))
    url = s3_lake.index.objects.url
    s3_lake.index.objects.delete(item["assets"]["data"]["href"].removeprefix(url + "/"))
    answer = pixel_statistics(s3_lake.search(products=["dem-glo30"]))
    assert answer.products[0].items == 2
    assert list(answer.unread) == ["dem-glo30_0772177_static"]
    assert "KeyMissing" in answer.unread["dem-glo30_0772177_static"]


floats = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False)


@given(arrays(np.float32, st.integers(1, 60), elements=floats), st.floats(0, 1))
def test_quantiles_of_any_floats(values: np.ndarray, share: float) -> None:
    histogram = Histogram("float32")
    histogram.add(values)
    found = histogram.quantiles(np.array([share]))[0]
    expected = float(np.quantile(values.astype(float), share, method="inverted_cdf"))
    # Bins at zero hold subnormal numbers, and have no relative error.
    assert abs(found - expected) <= max(RELATIVE_ERROR * abs(expected), 2e-38)


@given(st.lists(arrays(np.uint16, st.integers(0, 20)), min_size=1, max_size=5))
def test_merged_histograms_are_those_of_all(parts: list[np.ndarray]) -> None:
    merged, whole = Histogram("uint16"), Histogram("uint16")
    for part in parts:
        one = Histogram("uint16")
        one.add(part)
        merged.merge(one)
    numbers = np.concatenate(parts)
    whole.add(numbers)
    assert merged.weights.tolist() == whole.weights.tolist()
    if numbers.size:
        expected = np.bincount(numbers)[numbers.min() :]
        assert merged.first == numbers.min()
        assert merged.weights.tolist() == expected.tolist()


@given(st.lists(arrays(np.float64, st.integers(1, 9), elements=st.floats(-1e3, 1e3)), min_size=1))
def test_merged_moments_are_those_of_all(parts: list[np.ndarray]) -> None:
    total = Moments()
    for part in parts:
        spread = float(np.square(part - part.mean()).sum())
        total += Moments(
            part.size, part.size, part.mean(), spread, float(part.min()), float(part.max())
        )
    numbers = np.concatenate(parts)
    assert total.mean == pytest.approx(numbers.mean(), rel=1e-9, abs=1e-9)
    assert total.stddev == pytest.approx(numbers.std(), rel=1e-6, abs=1e-6)
    assert (total.count, total.minimum) == (numbers.size, numbers.min())


@pytest.fixture
def program() -> Callable[..., Any]:
    app = typer.Typer()
    command.register(app)
    app.callback()(lambda: None)

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["stats", *arguments], catch_exceptions=False)

    return run


def test_command(program: Callable[..., Any], made: TrainingLake) -> None:
    ended = program("--lake", made.url, "--product", "s2-l1c", "--json")
    assert ended.exit_code == 0
    (line,) = ended.stdout.splitlines()
    document = json.loads(line)
    assert document["product"] == "s2-l1c"
    blue = all_pixels(made, "s2-l1c")[1]
    band = document["bands"][1]
    assert band["name"] == "B02"
    assert band["valid_pixels"] == blue.size
    assert band["statistics"]["mean"] == pytest.approx(blue.mean(), rel=1e-12)
    assert band["quantiles"]["0.5"] == np.quantile(blue, 0.5, method="inverted_cdf")
    assert sum(band["histogram"]["buckets"]) == blue.size
    table = program("--lake", made.url, "--product", "dem-glo30").stdout.splitlines()
    assert [line.split()[0] for line in table] == ["product", "dem-glo30"]
    assert table[1].split()[1] == "height"
    assert table[1].endswith(" m")


def test_command_without_an_answer(program: Callable[..., Any], made: TrainingLake) -> None:
    assert program("lake:valid_pct > 100", "--lake", made.url).exit_code == 4
