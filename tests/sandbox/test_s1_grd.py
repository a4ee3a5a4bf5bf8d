"""GRD products: their geometry against brute force and sarsen, their pixels against the page."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import sarsen.geocoding
import sarsen.orbit
import shapely
import xarray as xr
import xarray_sentinel
from rasterio.windows import Window
from scipy.interpolate import RegularGridInterpolator
from xarray_sentinel import esa_safe

from stac_lake.pixels.sar.geoid import geoid_height
from stac_lake.sandbox import s1, s1_grd
from stac_lake.sandbox.fields import height
from stac_lake.sandbox.orbits import ground_track
from stac_lake.sandbox.s1_arc import Arc
from tests.sandbox.rasters import CELL, GDAL, POLAR, SUMMER, range_server
from tests.sandbox.s1_grd_files import ECEF, LIGHT, Product, RangeDoppler, decibel, written

MODES = ("IW VV VH", "EW HH HV", "IW HH")


def scene_of(mode: str) -> Any:
    name, *polarizations = mode.split()
    box = CELL if polarizations[0] == "VV" else POLAR
    return next(
        one
        for one in s1.scenes("s1-grd", box, *SUMMER)
        if one.facts["mode"] == name and one.facts["polarizations"] == tuple(polarizations)
    )


@pytest.fixture(scope="module", params=MODES)
def product(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Product:
    return written(scene_of(request.param), tmp_path_factory.mktemp("grd"))


@pytest.fixture(scope="module")
def land(tmp_path_factory: pytest.TempPathFactory) -> Product:
    return written(scene_of(MODES[0]), tmp_path_factory.mktemp("land"))


def ground_height(lon: float, lat: float) -> float:
    """The sandbox's DEM on the geoid, metres above the ellipsoid."""
    x, y = np.array([lon]), np.array([lat])
    return float(height(x, y)[0, 0]) + float(geoid_height(x, y)[0])


def opened(product: Product, polarization: str, name: str) -> xr.Dataset:
    return xr.open_dataset(
        str(product.folder), engine="sentinel-1", group=product.group(polarization, name)
    )


@pytest.mark.parametrize("platform", ["S1A", "S1B"])
def test_state_vectors_are_those_of_the_ground_track(platform: str) -> None:
    start = datetime(2021, 5, 31, 23, 58, 20, tzinfo=UTC)
    arc = Arc(platform, start)
    seconds = np.arange(0.0, 6000.0, 50.0)  # over midnight and once around
    place, speed = arc.states(seconds)
    moments = np.datetime64(start.replace(tzinfo=None), "us") + (seconds * 1e6).astype(
        "timedelta64[us]"
    )
    lon, lat, _ = ground_track(platform, moments)
    np.testing.assert_allclose(np.rad2deg(np.arcsin(place[:, 2] / 7_071_000)), lat, atol=1e-7)
    turn = np.rad2deg(np.arctan2(place[:, 1], place[:, 0])) - lon
    np.testing.assert_allclose((turn + 180) % 360 - 180, 0, atol=1e-6)
    step = 0.05
    before, after = (arc.states(seconds + by)[0] for by in (-step, step))
    np.testing.assert_allclose((after - before) / (2 * step), speed, atol=1e-3)


def test_grid_points_are_where_the_orbit_sees_them(product: Product) -> None:
    """All 210 points by bisection on the orbit: line and pixel, times, angle, on the ground."""
    polarization = product.scene.facts["polarizations"][0].lower()
    root = product.document("product", polarization)
    truth = RangeDoppler(root)
    points = list(root.iter("geolocationGridPoint"))
    assert len(points) == 210
    for point in points:
        value = {child.tag: child.text or "" for child in point}
        lon, lat, h = (float(value[key]) for key in ("longitude", "latitude", "height"))
        line, pixel, seconds, slant = truth.pixel(lon, lat, h)
        assert abs(line - float(value["line"])) < 0.01
        assert abs(pixel - float(value["pixel"])) < 0.01
        assert abs(seconds - truth.seconds(value["azimuthTime"])) < 2e-6
        assert abs(slant - float(value["slantRangeTime"]) * LIGHT / 2) < 0.01
        assert abs(h - ground_height(lon, lat)) < 0.05
        up = np.array(ECEF.transform(lon, lat, h + 1)) - ECEF.transform(lon, lat, h)
        sight = np.array([axis(seconds) for axis in truth.axes]) - ECEF.transform(lon, lat, h)
        angle = np.rad2deg(np.arccos(up @ sight / np.linalg.norm(sight) / np.linalg.norm(up)))
        assert abs(angle - float(value["incidenceAngle"])) < 1e-3


def test_the_delay_is_corrected_for_the_middle_of_the_swath_only(product: Product) -> None:
    """As in real products: a point's time is not its line's, by the delay over half the swath."""
    root = product.document("product", product.scene.facts["polarizations"][0].lower())
    truth = RangeDoppler(root)
    points = list(root.iter("geolocationGridPoint"))
    off = [
        truth.seconds(p.findtext("azimuthTime")) - int(p.findtext("line") or "") * truth.interval
        for p in points[:21]
    ]
    assert -4e-4 < off[0] < -2e-4
    assert 2e-4 < off[-1] < 4e-4


def test_readers_and_schemas(product: Product) -> None:
    """xarray-sentinel opens the groups; ESA's schemas miss only what the page says is left out."""
    for polarization in product.scene.facts["polarizations"]:
        sizes = {
            name: dict(opened(product, polarization, name).sizes)
            for name in ("orbit", "gcp", "coordinate_conversion", "calibration", "noise_range",
                         "noise_azimuth", "attitude")
        }  # fmt: skip
        assert sizes["orbit"] == {"axis": 3, "azimuth_time": 16}
        assert sizes["gcp"] == {"azimuth_time": 10, "slant_range_time": 21}
        assert sizes["coordinate_conversion"] == {
            "azimuth_time": 28,
            "degree": 9 if product.scene.facts["mode"] == "IW" else 13,
        }
        assert sizes["calibration"] == sizes["noise_range"]
        low = polarization.lower()
        for kind, schema in (("product", "annotation"), ("calibration",) * 2, ("noise",) * 2):
            path = product.folder / s1_grd.paths(product.scene, "")[f"{kind}-{low}"]
            errors = list(esa_safe.cached_sentinel1_schemas(schema).iter_errors(str(path)))
            missing = ["downlinkInformationList", "rawDataAnalysisUsed", "qualityInformation"]
            expected = missing if kind == "product" else []
            assert [str(e.reason).split("'")[-2] for e in errors] == expected


def seen_by_sarsen(product: Product, lon: Any, lat: Any, h: Any) -> tuple[Any, Any]:
    """Line and sample of places; the swath's delay is undone, which sarsen does not know."""
    polarization = product.scene.facts["polarizations"][0]
    orbit = opened(product, polarization, "orbit")
    flight = sarsen.orbit.OrbitPolyfitInterpolator.from_position(orbit.position)
    places = xr.DataArray(
        np.stack(ECEF.transform(lon, lat, h)), dims=("axis", "point"), coords={"axis": [0, 1, 2]}
    )
    found = sarsen.geocoding.backward_geocode(places, flight)
    gap = found.dem_distance.transpose("axis", "point").values
    slant = np.sqrt((gap**2).sum(axis=0))
    truth = RangeDoppler(product.document("product", polarization.lower()))
    seconds = (found.azimuth_time.values - truth.epoch) / np.timedelta64(1, "ns") / 1e9
    seconds = seconds - (slant / LIGHT - truth.delay)
    times = truth.epoch + (seconds * 1e9).astype("timedelta64[ns]")
    metres = xarray_sentinel.slant_range_time_to_ground_range(
        xr.DataArray(times, dims="point"),
        xr.DataArray(slant * 2 / LIGHT, dims="point"),
        opened(product, polarization, "coordinate_conversion"),
    )
    return seconds / truth.interval, metres.values / truth.spacing


def sigma0(product: Product, polarization: str, line: int, sample: int, size: int) -> Any:
    """Calibrated and denoised power of a square, from the tables as xarray-sentinel reads them."""
    numbers = product.window(polarization, line, sample, size)
    rows, columns = np.arange(line, line + size), np.arange(sample, sample + size)
    tables = opened(product, polarization, "calibration").sigmaNought
    gain = tables.interp(line=rows, pixel=columns).values
    along = opened(product, polarization, "noise_range").noiseRangeLut
    noise = along.interp(line=rows, pixel=columns).values
    for vector in product.document("noise", polarization).iter("noiseAzimuthVector"):
        first, last = (int(vector.findtext(f"{end}RangeSample") or "") for end in ("first", "last"))
        lines = np.array((vector.findtext("line") or "").split(), dtype=float)
        factor = np.array((vector.findtext("noiseAzimuthLut") or "").split(), dtype=float)
        inside = (columns >= first) & (columns <= last)
        noise[:, inside] *= np.interp(rows, lines, factor)[:, None]
    return (numbers**2 - noise) / gain**2, numbers**2 / gain**2


@pytest.mark.parametrize("polarization", ["vv", "vh"])
def test_scenery_is_where_sarsen_sees_it(land: Product, polarization: str) -> None:
    """Places that are chosen on the map: σ0 of their pixels against the formula of the page."""
    cross = polarization == "vh"
    points = list(land.document("product", "vv").iter("geolocationGridPoint"))
    for point in (points[2 * 21 + 3], points[7 * 21 + 16]):
        value = {
            child.tag: float(child.text or "") for child in point if child.tag != "azimuthTime"
        }
        row, column = int(value["line"]) - 250, int(value["pixel"]) - 250
        power, noisy = sigma0(land, polarization, row, column, 500)
        rng = np.random.default_rng(column)
        lon = value["longitude"] + rng.uniform(-0.012, 0.012, 40)
        lat = value["latitude"] + rng.uniform(-0.009, 0.009, 40)
        h = np.array([ground_height(x, y) for x, y in zip(lon, lat, strict=True)])
        line, sample = seen_by_sarsen(land, lon, lat, h)
        grid = (np.arange(row, row + 500), np.arange(column, column + 500))
        found = [
            10 * np.log10(RegularGridInterpolator(grid, one)((line, sample)))
            for one in (power, noisy)
        ]
        error = found[0] - decibel(land.scene.start, cross, lon, lat)
        assert abs(error.mean()) < 0.02
        assert np.abs(error).max() < 0.1
        bias = (found[1] - decibel(land.scene.start, cross, lon, lat)).mean()
        assert bias > (0.15 if cross else 0.05)  # with the noise in


def test_reflectors_are_where_sarsen_sees_them(product: Product) -> None:
    """Position to a tenth of a pixel, and the integrated cross section to 0.1 dB."""
    mode = product.scene.facts["mode"]
    polarization = product.scene.facts["polarizations"][0].lower()
    spacing = 10 if mode == "IW" else 40
    footprint = shapely.geometry.shape(product.scene.footprint)
    middle = footprint.centroid
    lon, lat = round(middle.x * 4) / 4 + 0.006, round(middle.y * 4) / 4 + 0.004
    h = ground_height(lon, lat)
    line, sample = (
        float(v[0])
        for v in seen_by_sarsen(product, np.array([lon]), np.array([lat]), np.array([h]))
    )
    top, left = round(line) - 10, round(sample) - 10
    power, _ = sigma0(product, polarization, top, left, 21)
    rows, columns = np.mgrid[:21, :21] - 10.0
    far = np.hypot(rows, columns) > 6
    smooth = np.stack([rows**i * columns**j for i in range(4) for j in range(4 - i)], axis=-1)
    known, *_ = np.linalg.lstsq(smooth[far], power[far], rcond=None)
    bright = np.where(far, 0, power - smooth @ known)
    found = [(axis * bright).sum() / bright.sum() for axis in (rows, columns)]
    assert abs(found[0] + top + 10 - line) < 0.1
    assert abs(found[1] + left + 10 - sample) < 0.1
    assert abs(10 * np.log10(bright.sum() * spacing**2 / 20_000)) < 0.1


def test_what_lies_outside_the_swaths_is_junk(land: Product) -> None:
    """Valid pixels are told by `swathBounds`; beyond them are zeros and very small numbers."""
    bounds = list(land.document("product", "vv").iter("swathBounds"))
    spans = [
        [int(one.findtext(key) or "") for key in
         ("firstAzimuthLine", "lastAzimuthLine", "firstRangeSample", "lastRangeSample")]
        for one in bounds
    ]  # fmt: skip
    assert len({span[2] for span in spans if span[2] < 200}) == 5  # a slanted near edge
    numbers = land.window("vv", 8000, 0, 300)
    held = np.zeros(numbers.shape, dtype=bool)
    for first, last, left, right in spans:
        rows = slice(max(first - 8000, 0), max(last + 1 - 8000, 0))
        held[rows, left : right + 1] = True
    assert numbers[held].min() > 50
    assert numbers[~held].max() <= 6
    assert (numbers[~held] == 0).mean() > 0.4
    assert (numbers[~held] > 0).mean() > 0.2


def test_measurement_has_control_points_and_no_affine(land: Product) -> None:
    with range_server() as shelf:
        url = shelf.put("vv.tiff", land.cog("vv"))
        with rasterio.Env(**GDAL), rasterio.open(f"/vsicurl/{url}") as file:
            points, crs = file.gcps
            assert (file.crs, file.transform) == (None, rasterio.Affine.identity())
            assert (len(points), crs.to_epsg()) == (210, 4326)
            assert (file.dtypes, file.shape) == (("uint16",), (16_705, 25_200))
            read = file.read(1, window=Window(6000, 9000, 50, 40))
    np.testing.assert_array_equal(read, land.window("vv", 9000, 6000, 50)[:40])
    grid = opened(land, "VV", "gcp")
    one = points[25]
    assert (one.row, one.col) == (1856, 5040)
    assert one.x == pytest.approx(grid.longitude.values[1, 4], abs=1e-12)
    assert one.z == pytest.approx(grid.height.values[1, 4], abs=1e-9)


@pytest.mark.parametrize(
    ("bbox", "flown"),
    [
        (CELL, {"IW VV VH"}),
        (POLAR, {"IW HH", "IW HH HV", "EW HH", "EW HH HV"}),
        ((179.9, 67.0, -179.9, 67.2), {"IW VV VH"}),
        ((20.0, 84.5, 20.25, 84.75), {"IW VV VH"}),
        ((36.9, -1.1, 37.1, -0.9), {"IW VV VH"}),
    ],
)
def test_search_finds_what_covers_a_place(bbox: Any, flown: set[str]) -> None:
    found = s1.scenes("s1-grd", bbox, datetime(2021, 5, 22, tzinfo=UTC),
                      datetime(2021, 6, 14, tzinfo=UTC))  # fmt: skip
    kinds = {" ".join([one.facts["mode"], *one.facts["polarizations"]]) for one in found}
    assert kinds == flown if bbox != POLAR else kinds <= flown and len(kinds) >= 3
    for one in found:
        assert shapely.geometry.shape(one.footprint).is_valid
        assert s1.scene("s1-grd", one.id).footprint == one.footprint


def test_documents_are_the_same_from_every_cache(land: Product, tmp_path: Path) -> None:
    for name in ("product-vv", "calibration-vh", "noise-vh", "manifest", "manifest-cog"):
        ours = s1.blob(land.scene, name, cache=land.cache, full=False)
        again = s1.blob(land.scene, name, cache=tmp_path, full=False)
        assert ours.etag == again.etag
    with pytest.raises(KeyError):
        s1.blob(land.scene, "hh", cache=tmp_path, full=False)
