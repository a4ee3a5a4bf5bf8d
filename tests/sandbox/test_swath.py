"""TROPOMI granules and OLCI frames against the formulas of docs/sandbox-swath.md, written anew."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import h5py
import numpy as np
import pytest
import xarray as xr
from shapely import box
from shapely.geometry import shape

from stac_lake.sandbox import olci, s5p
from stac_lake.sandbox.granule_files import CachedFile
from stac_lake.sandbox.orbits import ground_track
from stac_lake.sandbox.scene import SandboxScene

CELL = (-96.125, 43.875, -95.875, 44.125)  # cell 772176
POLAR = (83.875, -68.875, 84.125, -68.625)  # cell 123456
GASES = ("co", "no2", "o3", "so2")
FILL = np.float32(9.96921e36)
DAY0 = np.datetime64("2021-01-01T00:00:00", "us")
VARIABLES = {
    "co": "carbonmonoxide_total_column",
    "no2": "nitrogendioxide_tropospheric_column",
    "o3": "ozone_total_vertical_column",
    "so2": "sulfurdioxide_total_vertical_column",
}


def _utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


def _waves(rows: list[tuple[float, float, tuple[float, float, float], float, float]], lon, lat, d):
    x, y, z = (
        np.cos(np.radians(lat)) * np.cos(np.radians(lon)),
        np.cos(np.radians(lat)) * np.sin(np.radians(lon)),
        np.sin(np.radians(lat)),
    )
    total = 0.0
    for amplitude, km, (a, b, c), phase, drift in rows:
        k = 2 * np.pi * 6371.0088 / km
        total = total + amplitude * np.sin(k * (a * x + b * y + c * z) + phase + drift * d)
    return total


def _cloud_waves(lon, lat, d):
    rows = [
        (0.40, 2500.0, (0.80, 0.36, 0.48), 0.3, 1.7),
        (0.30, 1400.0, (-0.48, 0.80, 0.36), 1.1, 2.9),
        (0.25, 900.0, (0.36, -0.48, 0.80), 2.3, 4.3),
        (0.10, 110.0, (0.60, 0.64, -0.48), 4.0, 7.1),
    ]
    return _waves(rows, lon, lat, d)


def _cloud(lon, lat, d):
    return np.clip(0.5 + 1.5 * (_cloud_waves(lon, lat, d) - 0.15), 0, 1)


def _column(gas: str, lon, lat, d):
    phi, lam, s = np.radians(lat), np.radians(lon), 2 * np.pi * (d - 80) / 365.25
    w = np.sin(2 * np.pi * d / 7)
    return {
        "co": 0.030 + 0.006 * np.sin(phi) + 0.004 * np.cos(phi) * np.cos(2 * lam + 1)
        + 0.002 * np.cos(s) + 0.001 * w,
        "no2": 4e-5 + 1.5e-5 * np.cos(phi) * np.cos(2 * lam) + 1e-5 * np.sin(phi) * np.cos(s)
        + 3e-6 * w,
        "o3": 0.130 - 0.020 * np.cos(2 * phi) + 0.010 * np.sin(phi) * np.sin(s)
        + 0.004 * np.cos(phi) * np.cos(lam) + 0.002 * w,
        "so2": 4e-5 + 1.2e-4 * np.cos(phi) * np.sin(2 * lam) + 4e-5 * np.sin(2 * phi) + 3e-5 * w,
    }[gas]  # fmt: skip


def _file(module, scene: SandboxScene, name: str, cache: Path) -> Path:
    blob = module.blob(scene, name, cache=cache, full=False)
    path = cache / f"{scene.id}-{name}.nc"
    path.write_bytes(blob.read(0, blob.size))
    return path


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("granules")


@pytest.fixture(scope="module")
def march() -> dict[str, list[SandboxScene]]:
    window = (_utc(2021, 3, 1), _utc(2021, 3, 31, 23, 59))
    return {gas: s5p.scenes(f"s5p-{gas}", CELL, *window) for gas in GASES}


def _days(granule: xr.Dataset) -> np.ndarray:
    times = granule["delta_time"].values.astype("datetime64[us]")
    return (times - DAY0).astype(np.int64)[..., None] / 8.64e10


@pytest.mark.parametrize("gas", GASES)
def test_columns_quality_and_fills_follow_the_formulas(gas: str, march, cache: Path) -> None:
    best = [one for one in march[gas] if one.facts["processor_version"] == "020400"]
    path = _file(s5p, best[0], "netcdf", cache)
    with xr.open_dataset(path, group="PRODUCT", engine="h5netcdf") as granule:
        lon, lat = granule["longitude"].values, granule["latitude"].values
        day = _days(granule)
        name = VARIABLES[gas] + ("_corrected" if gas == "co" else "")
        column, qa = granule[name].values, granule["qa_value"].values
        assert dict(granule.sizes) | {"time": 1, "scanline": 120, "ground_pixel": 60} == dict(
            granule.sizes
        )
        assert granule[name].attrs["units"] == "mol m-2"
    support = "PRODUCT/SUPPORT_DATA/GEOLOCATIONS"
    with xr.open_dataset(path, group=support, engine="h5netcdf") as places:
        sun = places["solar_zenith_angle"].values
    expected = _column(gas, lon, lat, day)
    there = np.isfinite(column)
    assert 0.5 < there.mean() < 1.0  # some are missing
    assert np.allclose(column[there], expected[there], rtol=2e-6, atol=1e-10)
    assert (qa[~there] == 0).all()
    assert not there[sun > 88.01].any()
    assert (sun > 80).any()
    assert qa[sun > 80.01].max() <= 0.201
    # away from the thresholds, qa is what the clouds say
    cloud = _cloud(lon, lat, day)
    steps = {
        "co": [(0.0, 1.0), (0.5, 0.7), (0.8, 0.4)],
        "no2": [(0.0, 1.0), (0.5, 0.7), (0.8, 0.45)],
        "o3": [(0.0, 1.0), (0.9, 0.4)],
        "so2": [(0.0, 1.0), (0.5, 0.3)],
    }[gas]
    told = np.zeros_like(cloud)
    for limit, value in steps:
        told[cloud >= limit] = value
    sure = there & (sun < 79.99)
    for limit, _ in steps:
        sure &= np.abs(cloud - limit) > 1e-3
    assert np.allclose(qa[sure], told[sure], atol=1e-6)
    assert len(np.unique(np.round(qa[there & (sun < 79)], 3))) == len(steps)
    if gas == "so2":
        assert (column[there] < 0).any()


def test_footprints_of_pixels_join_and_lie_round_their_centres(march, cache: Path) -> None:
    path = _file(s5p, march["no2"][0], "netcdf", cache)
    with h5py.File(path) as file:
        lat = file["PRODUCT/latitude"][0]
        places = file["PRODUCT/SUPPORT_DATA/GEOLOCATIONS"]
        lats, lons = places["latitude_bounds"][0], places["longitude_bounds"][0]
        assert file["PRODUCT/qa_value"].attrs["scale_factor"] == np.float32(0.01)
    assert np.array_equal(lats[:, :-1, 1], lats[:, 1:, 0])
    assert np.array_equal(lons[:-1, :, 2], lons[1:, :, 1])
    plain = np.abs(lat) < 75
    assert (lats.min(axis=-1) < lat)[plain].all()
    assert (lats.max(axis=-1) > lat)[plain].all()


def test_editions_of_an_orbit(march, cache: Path) -> None:
    found = [(one.facts["orbit"], one.facts) for one in march["co"]]
    for orbit in {number for number, _ in found}:
        versions = {
            (facts["processing_mode"], facts["collection"], facts["processor_version"])
            for number, facts in found
            if number == orbit
        }
        expected = {("RPRO", "03", "020400"), ("OFFL", "01", "010302")}
        assert versions == (expected | {("RPRO", "03", "020301")} if orbit % 3 == 0 else expected)
    later = s5p.scenes("s5p-co", CELL, _utc(2022, 8, 1), _utc(2022, 9, 1))
    assert later
    assert {(s.facts["processing_mode"], s.facts["collection"]) for s in later} == {("OFFL", "03")}
    older = s5p.scenes("s5p-co", CELL, _utc(2021, 8, 1), _utc(2021, 9, 1))
    assert {"02", "03"} == {s.facts["collection"] for s in older}
    # version 1 has no corrected column; a superseded processing is 25 % too high
    columns = {}
    for scene in (s for s in march["co"] if s.facts["orbit"] == march["co"][0].facts["orbit"]):
        with h5py.File(_file(s5p, scene, "netcdf", cache)) as file:
            product = file["PRODUCT"]
            name = "carbonmonoxide_total_column"
            version = scene.facts["processor_version"]
            assert (f"{name}_corrected" in product) == (version >= "02")
            columns[version] = product[name][0]
            stripes = np.where(np.arange(60) % 2 == 0, 5e-4, -5e-4)[None, :]
            if version == "020400":
                clean = product[f"{name}_corrected"][0]
                there = clean < FILL
                striped = columns[version] - clean
                assert np.allclose(striped[there], (striped * 0 + stripes)[there], atol=1e-7)
    there = columns["020400"] < FILL
    stripes = np.broadcast_to(stripes, there.shape)
    ratio = (columns["010302"] - stripes)[there] / (columns["020400"] - stripes)[there]
    assert np.allclose(ratio, 1.25, rtol=1e-5)


@pytest.mark.parametrize("area", [CELL, POLAR, (179.9, 10.0, -179.9, 10.3), (-10, 40, 10, 55)])
def test_search_finds_what_brute_force_finds(area) -> None:
    everything = s5p.scenes("s5p-o3", (-180, -90, 180, 90), _utc(2021, 5, 1), _utc(2021, 5, 20))
    assert {one.start.day for one in everything} == {5, 15}
    assert 27 <= len({one.facts["orbit"] for one in everything}) <= 30
    west, south, east, north = area
    parts = (
        [box(*area)]
        if west < east
        else [box(west, south, 180, north), box(-180, south, east, north)]
    )
    seen = [
        one for one in everything if any(shape(one.footprint).intersects(part) for part in parts)
    ]
    found = s5p.scenes("s5p-o3", area, _utc(2021, 5, 1), _utc(2021, 5, 20))
    if north - south < 10:
        # Brute force: of each day the one orbit whose track comes nearest to the middle, second
        # by second.
        for day in (5, 15):
            orbits = {one.facts["orbit"]: one for one in seen if one.start.day == day}
            nearest = min(orbits, key=lambda orbit: _nadir_km(orbits[orbit], area))
            seen = [one for one in seen if one.start.day != day or one.facts["orbit"] == nearest]
    assert [one.id for one in found] == [one.id for one in seen]
    assert found


def _nadir_km(scene: SandboxScene, area: tuple[float, float, float, float]) -> float:
    west, south, east, north = area
    lon, lat = west + ((east - west) % 360) / 2, (south + north) / 2
    seconds = int((scene.stop - scene.start).total_seconds())
    start = np.datetime64(scene.start.replace(tzinfo=None))
    lons, lats, _ = ground_track("S5P", start + np.arange(seconds) * np.timedelta64(1, "s"))
    a = (
        np.sin(np.radians(lats - lat) / 2) ** 2
        + np.cos(np.radians(lat))
        * np.cos(np.radians(lats))
        * np.sin(np.radians(lons - lon) / 2) ** 2
    )
    return float((2 * 6371 * np.arcsin(np.sqrt(a))).min())


def test_ids_lead_back_to_scenes() -> None:
    window = (_utc(2021, 6, 1), _utc(2021, 7, 1))
    for module, kind in ((s5p, "s5p-so2"), (olci, "s3-olci-efr")):
        for one in module.scenes(kind, CELL, *window):
            again = module.scene(kind, one.id)
            assert again == one
            assert again.facts == one.facts
            with pytest.raises(KeyError):
                module.scene(kind, one.id[:-1] + "x")
            with pytest.raises(KeyError):
                module.blob(one, "nothing.nc", cache=Path(), full=False)
        with pytest.raises(KeyError):
            module.scenes("s2-l2a", CELL, *window)
        with pytest.raises(KeyError):
            module.scene(kind, "S2A_MSIL2A")


_PRINT_ETAGS = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from stac_lake.sandbox import olci, s5p
window = (datetime(2021, 3, 1, tzinfo=UTC), datetime(2021, 3, 16, tzinfo=UTC))
area = (-96.125, 43.875, -95.875, 44.125)
granule = s5p.scenes("s5p-no2", area, *window)[0]
print(s5p.blob(granule, "netcdf", cache=Path(sys.argv[1]), full=False).etag)
frame = olci.scenes("s3-olci-efr", area, *window)[0]
for name in ("Oa17_radiance.nc", "qualityFlags.nc", "xfdumanifest.xml", "instrument_data.nc"):
    print(olci.blob(frame, name, cache=Path(sys.argv[1]), full=False).etag)
"""


def test_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    told = []
    for seed in ("1", "2"):
        command = [sys.executable, "-c", _PRINT_ETAGS, str(tmp_path / seed)]
        environment = os.environ | {"PYTHONHASHSEED": seed, "TZ": "Asia/Tokyo"}
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        told.append(run.stdout)
    assert told[0] == told[1]
    assert len(set(told[0].split())) == 5


def test_a_file_is_made_once_and_read_in_ranges(tmp_path: Path) -> None:
    made = []
    gate = threading.Barrier(8)

    def make() -> bytes:
        made.append(1)
        return bytes(range(256)) * 10

    blob = CachedFile(tmp_path / "a/b.nc", "application/x-netcdf", make)
    answers: list[bytes] = []

    def read() -> None:
        gate.wait()
        answers.append(blob.read(10, 20))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]
    assert set(answers) == {bytes(range(10, 20))}
    assert blob.read(2550, 9999) == bytes(range(246, 256))
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.nc"]
    again = CachedFile(tmp_path / "a/b.nc", "application/x-netcdf", lambda: b"never")
    assert (again.size, again.etag) == (blob.size, blob.etag)


@pytest.fixture(scope="module")
def frame() -> SandboxScene:
    found = olci.scenes("s3-olci-efr", CELL, _utc(2021, 6, 1), _utc(2021, 7, 1))
    cloudy = [one for one in found if 20 < one.facts["bright_pct"] < 80]
    return cloudy[0]


def _open(frame: SandboxScene, name: str, cache: Path, *, packed: bool = False) -> xr.Dataset:
    path = _file(olci, frame, name, cache)
    with xr.open_dataset(path, engine="h5netcdf", mask_and_scale=not packed) as data:
        return data.load()


def _place(frame: SandboxScene, cache: Path):
    geo = _open(frame, "geo_coordinates.nc", cache)
    stamps = _open(frame, "time_coordinates.nc", cache, packed=True)["time_stamp"].values
    times = stamps.astype("datetime64[us]") if stamps.dtype.kind != "M" else stamps
    day = (times.astype("datetime64[us]") - DAY0).astype(np.int64)[:, None] / 8.64e10
    return geo["longitude"].values, geo["latitude"].values, day


@pytest.mark.parametrize(
    ("band", "solar", "path", "soil", "green", "snow", "gases"),
    [
        ("Oa01", 1500.0, 0.160, 0.060, 0.030, 0.90, 1.00),
        ("Oa13", 1250.0, 0.017, 0.253, 0.365, 0.89, 0.25),
        ("Oa17", 970.0, 0.011, 0.290, 0.400, 0.85, 0.99),
    ],
)
def test_radiances_follow_the_formula(
    band: str, solar, path, soil, green, snow, gases, frame: SandboxScene, cache: Path
) -> None:
    packed = _open(frame, f"{band}_radiance.nc", cache, packed=True)[f"{band}_radiance"]
    flags = _open(frame, "qualityFlags.nc", cache, packed=True)["quality_flags"].values
    lon, lat, day = _place(frame, cache)
    sun = np.radians(_pixel_sun_zenith(frame, cache))
    g = 0.5 + 0.5 * _waves(
        [
            (0.5, 700.0, (0.48, 0.60, 0.64), 0.7, 0.0),
            (0.3, 95.0, (0.64, -0.48, 0.60), 1.9, 0.0),
            (0.2, 41.0, (-0.60, 0.64, 0.48), 3.1, 0.0),
        ],
        lon, lat, 0.0,
    )  # fmt: skip
    line = 55 - 13 * np.cos(2 * np.pi * (day - 15) / 365.25)
    n = np.clip((lat - line) / 3, 0, 1)
    f = _cloud(lon, lat, day)
    surface = n * snow + (1 - n) * (soil * (1 - g) + green * g)
    anomaly = np.radians(357.528 + 0.9856003 * (day.mean() + 7670.5))
    distance = 1.00014 - 0.01671 * np.cos(anomaly) - 0.00014 * np.cos(2 * anomaly)
    solar = solar / distance**2
    expected = solar * np.cos(sun) / np.pi * gases * (path + (1 - f) * surface + f * 0.75)
    value = packed.values * packed.attrs["scale_factor"] + packed.attrs["add_offset"]
    usual = ((flags >> 31) & 1 == 1) & (flags & ((1 << 23) | 0x1FFFFF) == 0)
    assert usual.mean() > 0.5
    error = np.abs(value - expected)[usual]
    assert error.max() < packed.attrs["scale_factor"] / 2 + 2e-3 * expected.max()
    assert np.median(error) < packed.attrs["scale_factor"]
    invalid = (flags >> 25) & 1 == 1
    assert (packed.values[invalid] == 65535).all()
    assert (packed.values[~invalid] < 65535).all()
    assert 0.005 < invalid.mean() < 0.06
    copies = ((flags >> 23) & 1 == 1) & ~invalid
    right = np.roll(packed.values, -1, axis=1)
    right_valid = ~np.roll(invalid, -1, axis=1)
    assert np.array_equal(packed.values[copies & right_valid], right[copies & right_valid])
    assert 0.05 < copies.mean() < 0.2


def _pixel_sun_zenith(frame: SandboxScene, cache: Path) -> np.ndarray:
    """Tie points' zenith angles, interpolated to the columns."""
    ties = _open(frame, "tie_geometries.nc", cache)["SZA"].values
    columns, at = np.arange(300), np.arange(ties.shape[1]) * (299 / (ties.shape[1] - 1))
    return np.stack([np.interp(columns, at, row) for row in ties])


def test_flags_say_what_the_fields_say(frame: SandboxScene, cache: Path) -> None:
    data = _open(frame, "qualityFlags.nc", cache, packed=True)["quality_flags"]
    flags = data.values
    assert flags.dtype == np.uint32
    names = dict(zip(data.attrs["flag_meanings"].split(), data.attrs["flag_masks"], strict=True))
    bits = {"land": 31, "bright": 27, "invalid": 25, "duplicated": 23, "sun-glint_risk": 22}
    assert {name: int(names[name]) for name in bits} == {n: 1 << b for n, b in bits.items()}
    lon, lat, day = _place(frame, cache)
    plain = (flags & ((1 << 25) | (1 << 23))) == 0
    n = np.clip((lat - (55 - 13 * np.cos(2 * np.pi * (day - 15) / 365.25))) / 3, 0, 1)
    n = np.where((flags >> 31) & 1 == 1, n, 0)
    cloud = _cloud(lon, lat, day)
    sure = plain & (np.abs(cloud - 0.5) > 1e-3) & (np.abs(n - 0.5) > 1e-3)
    bright = (cloud >= 0.5) | (n >= 0.5)
    assert np.array_equal(((flags >> 27) & 1 == 1)[sure], bright[sure])
    share = 100 * ((flags >> 27) & 1)[(flags >> 25) & 1 == 0].mean()
    assert abs(share - frame.facts["bright_pct"]) < 3
    saturated = (flags & names["saturated@Oa17"]) != 0
    sure = plain & (np.abs(_cloud_waves(lon, lat, day) - 0.7) > 1e-3)
    assert np.array_equal(saturated[sure], (_cloud_waves(lon, lat, day) > 0.7)[sure])


def test_glint_and_sea_are_flagged_over_the_ocean(cache: Path) -> None:
    pacific = (-150.0, 0.0, -149.0, 1.0)
    scene = olci.scenes("s3-olci-efr", pacific, _utc(2021, 3, 1), _utc(2021, 4, 1))[0]
    flags = _open(scene, "qualityFlags.nc", cache, packed=True)["quality_flags"].values
    valid = (flags >> 25) & 1 == 0
    assert ((flags >> 31) & 1)[valid].mean() < 0.1
    assert 0 < ((flags >> 22) & 1)[valid].mean() < 0.5


def test_manifest_and_tie_points_agree_with_the_image(frame: SandboxScene, cache: Path) -> None:
    root = ET.fromstring(_file(olci, frame, "xfdumanifest.xml", cache).read_bytes())
    space = {
        "s3": "http://www.esa.int/safe/sentinel/sentinel-3/1.0",
        "gml": "http://www.opengis.net/gml",
        "safe": "http://www.esa.int/safe/sentinel/1.1",
    }
    bright = root.find(".//s3:brightPixels", space)
    assert bright is not None
    assert float(bright.get("percentage", "")) == frame.facts["bright_pct"]
    assert (
        root.findtext(".//s3:rows", "", space) == root.findtext(".//s3:columns", "", space) == "300"
    )
    assert root.findtext(".//safe:orbitNumber", "", space) == str(frame.facts["absolute_orbit"])
    ring = np.array(root.findtext(".//gml:posList", "", space).split(), float).reshape(-1, 2)
    assert (ring[0] == ring[-1]).all()
    lon, lat, _ = _place(frame, cache)
    assert np.abs(ring[:-1, 0].max() - lat.max()) < 0.2
    ties = _open(frame, "tie_geo_coordinates.nc", cache)
    assert np.allclose(ties["latitude"].values, lat[:, ::23], atol=2e-6)
    assert np.allclose(ties["longitude"].values, lon[:, ::23], atol=2e-6)
    hrefs = {one.get("href") for one in root.iter("fileLocation")}
    for href in hrefs:
        assert olci.blob(frame, str(href).removeprefix("./"), cache=cache, full=False).size > 0
    assert len(hrefs) == 29
    # the image is the footprint's
    outline = shape(frame.footprint).buffer(0.05)
    assert (
        box(lon.min(), lat.min(), lon.max(), lat.max()).buffer(0.3).contains(outline.buffer(-0.1))
    )


def test_frames_are_flown_by_day_only() -> None:
    year = olci.scenes("s3-olci-efr", POLAR, _utc(2021, 1, 1), _utc(2022, 1, 1))
    months = {one.start.month for one in year}
    assert 12 in months
    assert not months & {6, 7}
    assert all(one.facts["sun_elevation"] > 12 for one in year)
    assert np.median([one.facts["bright_pct"] for one in year]) > 90
    mid = olci.scenes("s3-olci-efr", CELL, _utc(2021, 1, 1), _utc(2022, 1, 1))
    assert 70 < len(mid) < 150
    assert {one.facts["platform"] for one in mid} == {"S3A", "S3B"}
    assert all((one.stop - one.start).total_seconds() == 180 for one in mid)
