"""Backward geocoding against a real annotation, sarsen, PROJ and a brute-force forward model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from defusedxml import ElementTree
from grd_files import LIGHT, Product, in_space
from hypothesis import given
from hypothesis import strategies as st
from pixel_files import RECORDED

from stac_lake.errors import BadRaster
from stac_lake.pixels.sar.annotation import Annotation, read_annotation
from stac_lake.pixels.sar.document import parse_document
from stac_lake.pixels.sar.geometry import Geometry, angle, earth_fixed, incidence_angle
from stac_lake.types import Asset

SMALL = Product()
FILE = Asset("annotation-VV", "s3://eodata/x.SAFE/annotation/x.xml", "cdse")
REAL = sorted(RECORDED.glob("s1_grd_safe_sarsen/*.SAFE/annotation/*.xml")) if RECORDED else []
"""The real one is not part of this repository; without it these tests have no parameters."""


def annotation_of(data: bytes) -> Annotation:
    return read_annotation(parse_document(data, FILE))


@pytest.fixture(scope="module")
def small() -> Geometry:
    return Geometry(annotation_of(SMALL.annotation()))


class Points:
    """The 210 points of the geolocation grid of a real annotation, read anew."""

    def __init__(self, path: Path) -> None:
        root = ElementTree.parse(path)
        points = root.findall(".//geolocationGridPoint")
        names = ("latitude", "longitude", "height", "line", "pixel", "incidenceAngle")
        columns = {n: np.array([float(p.findtext(n)) for p in points])[None] for n in names}
        self.line, self.pixel = columns["line"], columns["pixel"]
        self.incidence = columns["incidenceAngle"]
        self.lon, self.lat, self.height = (columns[n] for n in ("longitude", "latitude", "height"))
        start = np.datetime64(root.findtext(".//productFirstLineUtcTime"), "ns")
        times = [np.datetime64(p.findtext("azimuthTime"), "ns") for p in points]
        self.time = np.array([(t - start) / np.timedelta64(1, "ns") for t in times])[None] * 1e-9
        self.slant = np.array([[float(p.findtext("slantRangeTime")) * LIGHT / 2 for p in points]])


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem[:24])
def test_all_points_of_a_real_annotation(path: Path) -> None:
    points = Points(path)
    assert points.line.size == 210
    places = in_space(points.lon, points.lat, points.height)
    seen = Geometry(annotation_of(path.read_bytes())).locate(places)
    assert np.abs(seen.line - points.line).max() < 0.01
    assert np.abs(seen.pixel - points.pixel).max() < 0.01
    assert np.abs(incidence_angle(places, seen.satellite) - points.incidence).max() < 1e-4
    # What does not come from the grid: orbit and zero Doppler.
    assert np.abs(seen.time - points.time).max() < 5e-6
    assert np.abs(seen.slant_range - points.slant).max() < 1e-3


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem[:24])
def test_real_points_without_the_geolocation_grid(path: Path) -> None:
    """Polynomials and a bistatic delay about mid-swath alone: the grid then changes nothing."""
    points, annotation = Points(path), annotation_of(path.read_bytes())
    middle = (points.slant.min() + points.slant.max()) / 2
    line = (points.time - (points.slant - middle) / LIGHT) / annotation.line_s
    assert np.abs(line - points.line).max() < 0.01
    records = annotation.ground_range
    nearest = np.abs(points.time[0] - np.array([[r.time] for r in records])).argmin(axis=0)
    ground = [
        np.polynomial.polynomial.polyval(slant - records[n].slant_origin, records[n].to_ground)
        for n, slant in zip(nearest, points.slant[0], strict=True)
    ]
    assert np.abs(np.array(ground) / annotation.pixel_m - points.pixel[0]).max() < 0.01


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem[:24])
def test_half_a_line_or_fifty_metres_of_height_would_be_seen(path: Path) -> None:
    points = Points(path)
    geometry = Geometry(annotation_of(path.read_bytes()))
    low = geometry.locate(in_space(points.lon, points.lat, points.height - 50))
    assert np.abs(low.pixel - points.pixel).min() > 3
    aside = geometry.locate(in_space(points.lon, points.lat + 0.00005, points.height))
    assert np.abs(aside.line - points.line).min() > 0.3


@pytest.mark.filterwarnings("ignore")  # sarsen's and xarray's own
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem[:24])
def test_same_times_and_ranges_as_sarsen(path: Path) -> None:
    import sarsen.geocoding
    import sarsen.orbit
    import xarray as xr
    import xarray_sentinel

    vectors = xarray_sentinel.sentinel1.open_orbit_dataset(path).position
    orbit = sarsen.orbit.OrbitPolyfitInterpolator.from_position(vectors)
    annotation = annotation_of(path.read_bytes())
    points = Points(path)
    # Between the grid's points, which both have to find for themselves, at another height.
    lon, lat = points.lon + 0.05, points.lat - 0.03
    places = in_space(lon, lat, points.height + 700)
    seen = Geometry(annotation).locate(places)
    theirs = sarsen.geocoding.backward_geocode(
        xr.DataArray(places, dims=("y", "x", "axis"), coords={"axis": [0, 1, 2]}),
        orbit,
        maxiter=20,
        zero_doppler_distance=1e-4,
    )
    time = (theirs.azimuth_time.values - annotation.start) / np.timedelta64(1, "ns") * 1e-9
    slant = np.linalg.norm(theirs.dem_distance.transpose(..., "axis").values, axis=-1)
    assert np.abs(seen.time - time).max() < 0.01 * annotation.line_s
    assert np.abs(seen.slant_range - slant).max() < 0.01
    # Ground range likewise, by polynomials that are linear in azimuth.
    ground = xarray_sentinel.slant_range_time_to_ground_range(
        theirs.azimuth_time,
        xr.DataArray(2 * slant / LIGHT, dims=("y", "x")),
        xarray_sentinel.sentinel1.open_coordinate_conversion_dataset(path),
    )
    inside = (seen.line > 0) & (seen.line < annotation.shape[0])
    off = np.abs(seen.pixel * annotation.pixel_m - ground.values)[inside]
    assert off.max() < 6  # half a pixel, which the geolocation grid says at some rows
    assert np.median(off) < 2


@given(st.floats(-180, 180), st.floats(-90, 90), st.floats(-500, 9000))
def test_earth_fixed_is_projs(lon: float, lat: float, height: float) -> None:
    ours = earth_fixed(np.array(lon), np.array(lat), np.array(height))
    assert ours == pytest.approx(in_space(lon, lat, height), abs=1e-6)


@given(st.floats(10.32, 10.38), st.floats(45.585, 45.615), st.floats(-50, 2000))
def test_small_image_by_bisection(small: Geometry, lon: float, lat: float, height: float) -> None:
    line, pixel, time, slant = SMALL.seen(lon, lat, height)
    places = in_space(lon, lat, height)[None, None]
    seen = small.locate(places)
    assert seen.line.item() == pytest.approx(line, abs=0.01)
    assert seen.pixel.item() == pytest.approx(pixel, abs=0.01)
    assert seen.time.item() == pytest.approx(time, abs=2e-6)
    assert seen.slant_range.item() == pytest.approx(slant, abs=1e-3)


def test_angles() -> None:
    x, y = np.array([[2.0, 0, 0]]), np.array([[1.0, 1.0, 0]])
    assert angle(x, y) == pytest.approx([45])
    assert angle(x, x * -3) == pytest.approx([180])


def test_a_place_that_the_orbit_never_passes_is_nowhere(small: Geometry) -> None:
    seen = small.locate(in_space(100.0, -30.0, 0.0)[None, None])
    assert not small.valid(seen).any()
    # At the same range and Doppler, but on the left.
    time, position = 0.6, SMALL.position(0.6)
    left = np.cross(position, SMALL.velocity(time))
    place = position + 806_000 * (
        0.55 * left / np.linalg.norm(left)
        - np.sqrt(1 - 0.55**2) * position / np.linalg.norm(position)
    )
    assert not small.valid(small.locate(place[None, None])).any()
    assert not small.valid(small.locate(np.full((2, 2, 3), np.nan))).any()


def test_valid_where_a_swath_was_merged_in() -> None:
    """Two swaths, the second starting 100 lines later; nothing is lost between them."""
    bounds = ((0, 899, 10, 499), (100, 899, 500, 990))
    product = Product(bounds=bounds)
    geometry = Geometry(annotation_of(product.annotation()))
    lon, lat = np.meshgrid(np.linspace(10.28, 10.45, 70), np.linspace(45.62, 45.57, 60))
    seen = geometry.locate(in_space(lon, lat, np.zeros(lon.shape)))
    valid = geometry.valid(seen)
    line, pixel = seen.line, seen.pixel
    first = (line >= 0) & (line <= 899) & (pixel >= 10) & (pixel <= 499)
    second = (line >= 100) & (line <= 899) & (pixel >= 500) & (pixel <= 990)
    between = (line >= 100) & (line <= 899) & (pixel > 499) & (pixel < 500)
    assert (valid == (first | second | between)).all()
    assert first.any()
    assert second.any()
    assert (~valid & (line < 100) & (line > 0) & (pixel > 501)).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((b">GRD<", b">SLC<"), "not of a ground range"),
        ((b"Earth Fixed", b"Gm2000"), "not Earth-fixed"),
        ((b"<srgrCoefficients>", b"<srgrCoefficients>x "), "no numbers"),
        ((b"coordinateConversionList", b"nothing"), "no polynomial"),
        ((b"<numberOfLines>900", b"<numberOfLines>-1"), "declares an image"),
        ((b"<product>", b'<!DOCTYPE a [<!ENTITY b "c">]><product>'), "no plain XML"),
        ((b"</product>", b""), "no plain XML"),
        ((b"<slantRangeTime>", b"<slantRangeTime>inf "), "no finite numbers"),
        ((b"2021-06-01T17", b"yesterday"), "no time"),
    ],
)
def test_a_damaged_annotation_is_told(change: tuple[bytes, bytes], message: str) -> None:
    with pytest.raises(BadRaster, match=message):
        annotation_of(SMALL.annotation().replace(*change))
