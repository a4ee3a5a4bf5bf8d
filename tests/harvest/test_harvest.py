"""What a harvest stores, against the upstream files and the formulas they are made from."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import rasterio
import requests
from rasterio.crs import CRS
from rasterio.merge import merge
from rasterio.transform import Affine, from_origin
from rasterio.warp import Resampling, reproject
from rasterio.windows import from_bounds

from stac_lake.harvest.run import Report
from stac_lake.recipe import product
from tests.harvest import small
from tests.harvest.small import CELL, DEM, L2A, NO2, OLCI, RTC
from tests.sandbox.formulas import height

GDAL = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_HTTP_TIMEOUT": "60"}
BLOB = ".blob.core.windows.net"
DAY0 = datetime(2021, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _no_metadata_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """rasterio asks boto3 for keys where a path has the name of an S3 host in it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "unused")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "unused")


@pytest.fixture(scope="module")
def harvested(
    origin: str, recipe_file: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Report]]:
    """A lake with one item of each kind, and how the harvest ended."""
    lake = str(tmp_path_factory.mktemp("harvested") / "lake")
    names = ("s2-l2a", "s1-rtc", "s3-olci-efr", "s5p-no2", "dem-glo30")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in small.KEYS.items():
            patch.setenv(name, value)
        yield lake, small.run(lake, origin, recipe_file, *names)


@pytest.fixture(scope="module")
def lake(harvested: tuple[str, Report]) -> str:
    return harvested[0]


def upstream_item(origin: str, item: dict[str, Any], number: int = 0) -> dict[str, Any]:
    """The upstream document that an item names as its source."""
    links = [link["href"] for link in item["links"] if link["rel"] == "derived_from"]
    parts = urlsplit(links[number])
    answer = requests.get(f"{origin}/{item['properties']['lake:provider']}{parts.path}", timeout=60)
    answer.raise_for_status()
    document: dict[str, Any] = answer.json()
    return document


def file_of(origin: str, href: str) -> str:
    """Where the stand-in serves a true href of a public bucket or of an Azure container."""
    parts = urlsplit(href)
    host = parts.hostname or ""
    if host.endswith(BLOB):
        account, container = host.removesuffix(BLOB), parts.path.split("/")[1]
        tokens = f"{origin}/planetary-computer/api/sas/v1/token/{account}/{container}"
        token = requests.get(tokens, timeout=60).json()["token"]
        return f"{origin}/planetary-computer/blob/{account}{parts.path}?{token}"
    if parts.scheme == "s3":
        host = f"{host}.s3.eu-central-1.amazonaws.com"
    return f"{origin}/earth-search/s3/{host}{parts.path}"


def stored(lake: str, slot: str) -> tuple[Any, Any, tuple[str, ...]]:
    with rasterio.open(small.tif(lake, slot)) as source:
        return source.read(), source.transform, source.descriptions


def plain(origin: str, href: str, left: float, top: float) -> Any:
    """A patch of 2640 m of an upstream raster, each pixel repeated to 10 m."""
    with (
        rasterio.Env(**GDAL),
        rasterio.open(file_of(origin, href)) as source,
    ):
        window = from_bounds(left, top - 2640, left + 2640, top, source.transform)
        assert all(abs(v - round(v)) < 1e-9 for v in window.flatten())
        data = source.read(1, window=window.round_lengths().round_offsets())
        times = round(source.transform.a / 10)
    return np.repeat(np.repeat(data, times, 0), times, 1)


def test_each_slot_is_stored_once(harvested: tuple[str, Report]) -> None:
    lake, report = harvested
    wanted = {L2A, RTC, small.RTC_SPRING, OLCI, NO2, DEM}
    assert small.states(report) == dict.fromkeys(wanted, "stored")
    assert set(small.items(lake)) == {f"{slot}/1" for slot in wanted}
    assert small.problems(lake) == []
    counts = report.counts()
    assert counts["products"]["s1-rtc"] == {"stored": 2, "skipped": 0, "empty": 0, "failed": 0}
    assert {name: counts[name] for name in ("stored", "skipped", "empty", "failed")} == {
        "stored": 6, "skipped": 0, "empty": 0, "failed": 0,
    }  # fmt: skip


# The product's band → the asset of the collection, as Earth Search names them.
ASSETS = {
    "B01": "coastal", "B02": "blue", "B03": "green", "B04": "red", "B05": "rededge1",
    "B06": "rededge2", "B07": "rededge3", "B08": "nir", "B8A": "nir08", "B09": "nir09",
    "B11": "swir16", "B12": "swir22",
}  # fmt: skip


def test_sentinel_2_is_the_function_of_a_plain_read(lake: str, origin: str) -> None:
    document = small.item(lake, L2A)
    scene = upstream_item(origin, document)
    assert scene["id"] == document["properties"]["lake:upstream_id"]
    data, transform, names = stored(lake, L2A)
    assert (transform.c, transform.f) == (258180, 4877580)
    assert names == (*ASSETS, "qa")
    source = {
        band: plain(origin, scene["assets"][key]["href"], transform.c, transform.f)
        for band, key in ASSETS.items()
    }
    assert float(scene["properties"]["s2:processing_baseline"]) >= 4
    assert document["properties"]["lake:dn_offset"] == 1000
    for number, band in enumerate(ASSETS):
        dn = source[band].astype(int)
        expected = np.where(dn == 0, 0, np.maximum(dn - 1000, 1))
        assert np.array_equal(data[number], expected), band
    scl = plain(origin, scene["assets"]["scl"]["href"], transform.c, transform.f)
    bits = {1: 64, 3: 8, 6: 32, 8: 2, 9: 2, 10: 4, 11: 16}
    qa = np.select([scl == code for code in bits], list(bits.values()), 0)
    qa = qa + 128 * np.any([(dn > 0) & (dn <= 1000) for dn in source.values()], axis=0) + 1
    assert np.array_equal(data[-1], qa)
    cloud = 100 * np.isin(scl, (8, 9, 10)).mean()
    assert document["properties"]["eo:cloud_cover"] == pytest.approx(cloud, abs=0.005)
    assert document["properties"]["lake:cloud_source"] == "scl"


def test_without_harmonizing_the_bytes_are_the_source_s(
    origin: str, lake: str, tmp_path: Path
) -> None:
    kept = small.write_recipe(tmp_path, insert=("max_scene_cloud_pct: 20", "harmonize: false"))
    other = str(tmp_path / "lake")
    assert small.states(small.run(other, origin, kept, "s2-l2a")) == {L2A: "stored"}
    before, after = small.item(lake, L2A), small.item(other, L2A)
    assert before["properties"]["lake:upstream_id"] == after["properties"]["lake:upstream_id"]
    assert before["properties"]["lake:recipe_digest"] != after["properties"]["lake:recipe_digest"]
    assert after["properties"]["lake:dn_offset"] == 0
    scene = upstream_item(origin, after)
    data, transform, _ = stored(other, L2A)
    for number, key in enumerate(ASSETS.values()):
        source = plain(origin, scene["assets"][key]["href"], transform.c, transform.f)
        assert data[number].tobytes() == source.tobytes(), key


def test_sentinel_1_is_decibel_of_a_plain_read(lake: str, origin: str) -> None:
    document = small.item(lake, RTC)
    scene = upstream_item(origin, document)
    data, transform, names = stored(lake, RTC)
    assert names == ("VV", "VH", "qa")
    powers = [
        plain(origin, scene["assets"][key]["href"], transform.c, transform.f)
        for key in ("vv", "vh")
    ]
    for number, power in enumerate(powers):
        seen = power != -32768
        expected = np.full(power.shape, np.nan)
        expected[seen] = 10 * np.log10(power[seen].astype(np.float64))
        assert np.allclose(data[number], expected, rtol=0, atol=1e-5, equal_nan=True)
    assert np.array_equal(data[-1] > 0, (powers[0] != -32768) & (powers[1] != -32768))


def centres(transform: Affine, shape: tuple[int, int]) -> tuple[Any, Any]:
    columns, rows = np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5
    return np.meshgrid(transform.c + transform.a * columns, transform.f + transform.e * rows)


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # rasterio.merge
def test_heights_agree_with_the_formula_and_with_a_warp(lake: str, origin: str) -> None:
    document = small.item(lake, DEM)
    data, transform, names = stored(lake, DEM)
    assert names == ("height", "qa")
    assert data.shape == (2, 960, 960)
    # Bilinear between pixels of 1": a quarter of a step's square times the curvature of the
    # shortest waves (1 km) is 0.1 m; heights are stored in 1/64 m.
    lon, lat = centres(transform, (960, 960))
    error = np.abs(data[0] - height(lon, lat))
    assert error.max() < 0.15
    assert error.mean() < 0.05
    links = [link for link in document["links"] if link["rel"] == "derived_from"]
    hrefs = []
    for number in range(len(links)):
        scene = upstream_item(origin, document, number)
        hrefs.append(file_of(origin, scene["assets"]["data"]["href"]))
    assert len(hrefs) == 4
    west, south, east, north = CELL.bounds
    # Edges of native pixels, which lie half a pixel of 1" beside the whole seconds: no resampling
    # before the warp.
    half = 0.5 / 3600
    left, low = round((west - 0.01) * 3600) / 3600, round((south - 0.01) * 3600) / 3600
    right, high = round((east + 0.01) * 3600) / 3600, round((north + 0.01) * 3600) / 3600
    area = (left - half, low + half, right - half, high + half)
    with rasterio.Env(**GDAL):
        mosaic, native = merge(hrefs, bounds=area)
    warped = np.zeros((960, 960), np.float32)
    reproject(
        mosaic[0], warped, src_transform=native, src_crs=CRS.from_epsg(4326),
        dst_transform=from_origin(west, north, 0.25 / 960, 0.25 / 960),
        dst_crs=CRS.from_epsg(4326), resampling=Resampling.bilinear,
    )  # fmt: skip
    assert np.abs(data[0] - warped).max() < 0.02
    assert (data[1] == 1).all()


def waves(rows: list[Any], lon: Any, lat: Any, day: float) -> Any:
    """A sum of plane waves on the sphere, as docs/sandbox-swath.md defines it."""
    phi, lam = np.radians(lat), np.radians(lon)
    x, y, z = np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)
    return sum(
        a * np.sin(2 * np.pi * 6371.0088 / km * (u * x + v * y + w * z) + phase + drift * day)
        for a, km, (u, v, w), phase, drift in rows
    )


CLOUDS = [
    (0.40, 2500, (0.80, 0.36, 0.48), 0.3, 1.7),
    (0.30, 1400, (-0.48, 0.80, 0.36), 1.1, 2.9),
    (0.25, 900, (0.36, -0.48, 0.80), 2.3, 4.3),
    (0.10, 110, (0.60, 0.64, -0.48), 4.0, 7.1),
]
GREENNESS = [
    (0.5, 700, (0.48, 0.60, 0.64), 0.7, 0),
    (0.3, 95, (0.64, -0.48, 0.60), 1.9, 0),
    (0.2, 41, (-0.60, 0.64, 0.48), 3.1, 0),
]


@pytest.mark.parametrize(
    ("band", "solar", "path", "soil", "vegetation", "gases"),
    [("Oa01", 1500, 0.160, 0.060, 0.030, 1.00), ("Oa17", 970, 0.011, 0.290, 0.400, 0.99)],
)
def test_radiances_agree_with_the_field(
    lake: str, band: str, solar: float, path: float, soil: float, vegetation: float, gases: float
) -> None:
    """Within 2 %: pixels of 4 km under waves of 41 km, and the sun of the cell's centre."""
    properties = small.item(lake, OLCI)["properties"]
    data, transform, names = stored(lake, OLCI)
    lon, lat = centres(transform, (96, 96))
    day = (datetime.fromisoformat(properties["datetime"]) - DAY0).total_seconds() / 86400
    sun = np.radians(90 - properties["view:sun_elevation"])
    green = 0.5 + 0.5 * waves(GREENNESS, lon, lat, 0)
    cloud = np.clip(0.5 + 1.5 * (waves(CLOUDS, lon, lat, day) - 0.15), 0, 1)
    surface = soil * (1 - green) + vegetation * green
    anomaly = np.radians(357.528 + 0.9856003 * (day + 7670.5))
    distance = 1.00014 - 0.01671 * np.cos(anomaly) - 0.00014 * np.cos(2 * anomaly)
    solar = solar / distance**2
    expected = solar * np.cos(sun) / np.pi * gases * (path + (1 - cloud) * surface + cloud * 0.75)
    assert names == (*(f"Oa{n:02d}" for n in range(1, 22)), "qa")
    seen = data[-1] > 0
    assert seen.mean() > 0.99
    error = np.abs(data[names.index(band)] - expected)[seen]
    assert (error / expected[seen]).max() < 0.02
    assert expected.std() > 10 * np.median(error)  # the field is seen, not its mean


def test_monthly_columns_agree_with_the_field(lake: str) -> None:
    """Within 8e-7 mol m-2, which half of a thin granule's pixel makes (docs/sandbox-swath.md)."""
    document = small.item(lake, NO2)
    data, transform, names = stored(lake, NO2)
    assert names == ("NO2", "n_orbits", "std")
    lon, lat = centres(transform, (28, 28))
    orbits = []
    for link in (link for link in document["links"] if link["rel"] == "derived_from"):
        # Begin of the whole orbit; its day side, 58 minutes long, is in the middle of 101.
        begin = datetime.strptime(link["title"][20:35], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        day = (begin - DAY0).total_seconds() / 86400 + 50 / 1440
        season = np.cos(2 * np.pi * (day - 80) / 365.25)
        phi, lam = np.radians(lat), np.radians(lon)
        orbits.append(
            4e-5 + 1.5e-5 * np.cos(phi) * np.cos(2 * lam) + 1e-5 * np.sin(phi) * season
            + 3e-6 * np.sin(2 * np.pi * day / 7)
        )  # fmt: skip
    count = data[1]
    assert count.min() >= 1
    assert count.max() == len(orbits) == document["properties"]["lake:n_orbits"]
    chosen = [
        list(itertools.combinations(range(len(orbits)), number))
        for number in range(1, len(orbits) + 1)
    ]
    error = np.full(count.shape, np.inf)
    spread = np.full(count.shape, np.inf)
    for combination in itertools.chain.from_iterable(chosen):
        fields = np.stack([orbits[n] for n in combination])
        near = np.abs(data[0] - fields.mean(axis=0))
        better = (count == len(combination)) & (near < error)
        error[better] = near[better]
        wide = np.abs(data[2] - fields.std(axis=0))
        spread[better] = wide[better]
    assert error.max() < 8e-7
    assert np.isnan(data[2][count < 2]).all()
    assert spread[count >= 2].max(initial=0) < 8e-7


def test_a_run_without_change_asks_and_writes_nothing(
    harvested: tuple[str, Report], sandbox: str, recipe_file: str, keys: None
) -> None:
    lake, _ = harvested
    before = small.snapshot(lake)
    names = ("s2-l2a", "s1-rtc", "s3-olci-efr", "s5p-no2", "dem-glo30")
    report = small.run(lake, sandbox, recipe_file, *names)
    assert set(small.states(report).values()) == {"skipped"}
    assert len(report.outcomes) == 6
    assert small.snapshot(lake) == before
    assert requests.get(f"{sandbox}/_sandbox/stats", timeout=30).json()["requests"] == 0


def test_provenance(lake: str, origin: str) -> None:
    for slot in (L2A, RTC, OLCI, NO2, DEM):
        document = small.item(lake, slot)
        properties = document["properties"]
        assert properties["lake:upstream_id"] == upstream_item(origin, document)["id"]
        assert (
            properties["lake:provider"] == product(properties["lake:product"]).sources[0].provider
        )
        assert json.dumps(document).count("sig=") == 0
        assert document["assets"]["data"]["file:size"] == small.tif(lake, slot).stat().st_size
