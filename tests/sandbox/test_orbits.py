"""Ground tracks and swaths against published acquisitions, geodesics and brute force."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import shapely
from pyproj import Geod
from shapely.geometry import Point, shape

from stac_lake.sandbox import orbits
from stac_lake.sandbox.footprints import swath_footprint
from stac_lake.sandbox.sphere import datetime64, offset_points, sun_angles, view_angles, wrap
from stac_lake.sandbox.swaths import Swath
from tests.conftest import SHARED

SPHERE = Geod(a=6371008.8, b=6371008.8)
Acquisition = tuple[str, datetime, float, float, int, int]


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _at(platform: str, time: datetime) -> tuple[float, float]:
    lon, lat, _ = orbits.ground_track(platform, np.array([datetime64(time)]))
    return float(lon[0]), float(lat[0])


def test_ascending_nodes_are_those_of_published_products() -> None:
    # An OLCI manifest states node time and position (x -4277.229 km, y -5771.843 km).
    lon, lat = _at("S3A", _utc("2021-10-21T06:26:27.254946"))
    assert abs(lat) < 0.02
    assert abs(lon - np.degrees(np.arctan2(-5771.843, -4277.229))) < 0.2
    assert orbits.absolute_orbit("S3A", _utc("2021-10-21T07:38:27")) == 29567
    assert orbits.ORBITS["S3A"].relative(29567) == 334
    # A TROPOMI granule of orbit 12367 states the longitude of the dayside equator crossing, and
    # its orbit's validity runs from 01:35:47 to 03:17:17.
    middle = _utc("2020-03-03T02:26:32")
    lon, lat = _at("S5P", middle)
    assert abs(lat) < 0.02
    assert abs(lon - 165.46729) < 0.5
    assert orbits.absolute_orbit("S5P", _utc("2020-03-03T01:36:00")) == 12367
    assert orbits.absolute_orbit("S5P", _utc("2020-03-03T01:35:00")) == 12366


def _recorded() -> list[Acquisition]:
    """Platform, time, centre, absolute orbit and reach (km) of recorded Sentinel-2 and -1 items."""
    found: list[Acquisition] = []
    if SHARED is None:
        return found
    for path in sorted((SHARED / "upstream/earth-search/items").glob("sentinel-2-*/*.json")):
        item = json.loads(path.read_text())
        datatake = item["properties"].get("s2:datatake_id", "")
        west, south, east, north = item["bbox"]
        if datatake and east - west < 5:
            time = datetime.fromisoformat(item["properties"]["datetime"])
            place = ((west + east) / 2, (south + north) / 2)
            found.append((datatake[1:4], time, *place, int(datatake.split("_")[2]), 230))
    for path in sorted((SHARED / "upstream").glob("*/items/sentinel-1-*/*.json")):
        item = json.loads(path.read_text())
        west, south, east, north = item["bbox"]
        if item["id"].startswith("S1A") and east - west < 40:
            time = datetime.fromisoformat(item["properties"]["datetime"])
            place = ((west + east) / 2, (south + north) / 2)
            found.append(("S1A", time, *place, int(item["id"].split("_")[6]), 700))
    assert len(found) > 40
    return found


@pytest.mark.parametrize("acquisition", _recorded(), ids=lambda one: f"{one[0]}-{one[1]:%Y%m%d}")
def test_recorded_acquisitions_lie_in_the_swath_of_their_orbit(acquisition: Acquisition) -> None:
    platform, time, lon, lat, orbit, reach = acquisition
    assert orbits.absolute_orbit(platform, time) == orbit
    track_lon, track_lat = _at(platform, time)
    azimuth, _, distance = SPHERE.inv(track_lon, track_lat, lon, lat)
    assert distance / 1000 < reach
    heading = orbits.ground_track(platform, np.array([datetime64(time)]))[2][0]
    along = distance / 1000 * np.cos(np.radians(azimuth - heading))
    assert abs(along) < 150 if platform != "S1A" else abs(along) < 500
    if platform == "S1A":  # looks to the right
        assert 300 < distance / 1000 * np.sin(np.radians(azimuth - heading)) < 700


@pytest.mark.parametrize("platform", sorted(orbits.ORBITS))
def test_track_repeats_after_the_cycle_and_heads_where_it_goes(platform: str) -> None:
    model = orbits.ORBITS[platform]
    start = datetime64(_utc("2021-05-05T01:02:03"))
    times = start + np.arange(0, 6100, 97).astype("timedelta64[s]")
    lon, lat, heading = orbits.ground_track(platform, times)
    again = orbits.ground_track(platform, times + np.timedelta64(model.days, "D"))
    assert np.abs(wrap(again[0] - lon)).max() < 1e-6
    assert np.abs(again[1] - lat).max() < 1e-6
    later = orbits.ground_track(platform, times + np.timedelta64(500, "ms"))
    azimuth, _, metres = SPHERE.inv(lon, lat, later[0], later[1])
    assert np.abs(wrap(np.asarray(azimuth) - heading)).max() < 0.1
    assert 5500 < np.asarray(metres).min() * 2 < np.asarray(metres).max() * 2 < 7500
    assert np.abs(lat).max() <= 180 - model.inclination
    # the local mean time of the equator crossing is the model's
    node = orbits.node_time(platform, 20000)
    crossing, _ = _at(platform, node)
    hours = (node.hour + node.minute / 60 + node.second / 3600 + crossing / 15) % 24
    assert abs((hours - model.ascending_hour + 12) % 24 - 12) < 0.01
    assert orbits.absolute_orbit(platform, node + timedelta(seconds=1)) == 20000


@pytest.mark.parametrize(
    ("platform", "half", "offset", "lon", "lat"),
    [
        ("S2A", 145.0, 0.0, -96.0, 44.0),
        ("S5P", 1300.0, 0.0, 84.0, -68.75),
        ("S3B", 635.0, 330.0, 179.9, 12.0),
        ("S1A", 125.0, 465.0, 128.5, 67.25),
    ],
)
def test_passes_are_those_that_brute_force_finds(
    platform: str, half: float, offset: float, lon: float, lat: float
) -> None:
    start, end = _utc("2021-02-01T00:00:00"), _utc("2021-02-17T00:00:00")
    box = (lon - 0.01, lat - 0.01, (lon + 0.01 + 180) % 360 - 180, lat + 0.01)
    found = orbits.passes(platform, box, start, end, half, centre_km=offset)
    times = datetime64(start) + np.arange(0, 16 * 86400, 2).astype("timedelta64[s]")
    track_lon, track_lat, heading = orbits.ground_track(platform, times)
    flat = np.full(track_lon.shape, lon), np.full(track_lon.shape, lat)
    azimuth, _, metres = SPHERE.inv(track_lon, track_lat, *flat)
    angle = np.radians(np.asarray(azimuth) - heading)
    arc = np.asarray(metres) / 6371008.8
    right = np.arcsin(np.sin(arc) * np.sin(angle)) * 6371.0088
    ahead = np.arctan2(np.sin(arc) * np.cos(angle), np.cos(arc)) * 6371.0088
    abeam = np.flatnonzero((ahead[:-1] > 0) & (ahead[1:] <= 0) & (np.abs(ahead[1:]) < 100))
    clear = [i for i in abeam if abs(right[i] - offset) < half - 3]
    edge = [i for i in abeam if abs(right[i] - offset) < half + 3]
    assert len(clear) <= len(found) <= len(edge)
    for index in clear:
        near = [
            one for one in found if abs(datetime64(one.mid) - times[index]) < np.timedelta64(9, "s")
        ]
        assert len(near) == 1
        assert near[0].absolute_orbit == orbits.absolute_orbit(platform, near[0].mid)
        north = track_lat[index + 1] > track_lat[index]
        assert near[0].orbit_state == ("ascending" if north else "descending")


def test_passes_keep_to_the_archive_and_cover_the_globe_once_per_half_orbit() -> None:
    day = (_utc("2019-12-31T00:00:00"), _utc("2020-01-01T00:00:00"))
    everywhere = (-180.0, -90.0, 180.0, 90.0)
    assert not orbits.passes("S1B", (0, 50, 1, 51), _utc("2022-01-01"), _utc("2022-03-01"), 125)
    assert not orbits.passes("S2B", (0, 50, 1, 51), _utc("2016-01-01"), _utc("2016-03-01"), 145)
    found = orbits.passes("S2A", everywhere, *day, 145.0)
    halves = {(one.absolute_orbit, one.orbit_state) for one in found}
    assert 28 <= len(halves) <= 31


def test_offsets_are_geodesics_on_the_sphere() -> None:
    random = np.random.default_rng(1)
    lon, lat = random.uniform(-180, 180, 200), random.uniform(-89, 89, 200)
    bearing, distance = random.uniform(0, 360, 200), random.uniform(-1300, 1300, 200)
    x, y = offset_points(lon, lat, bearing, distance)
    expected = SPHERE.fwd(lon, lat, bearing, distance * 1000)
    assert np.abs(wrap(x - np.asarray(expected[0]))).max() < 1e-6
    assert np.abs(y - np.asarray(expected[1])).max() < 1e-6


def _spencer(lon: float, lat: float, time: datetime) -> tuple[float, float]:
    """Zenith and azimuth of the sun from Spencer's Fourier series of 1971."""
    hours = time.hour + time.minute / 60
    g = 2 * np.pi / 365 * (time.timetuple().tm_yday - 1 + (hours - 12) / 24)
    sines, cosines = np.sin(g * np.arange(4)), np.cos(g * np.arange(4))
    tilt = cosines @ [0.006918, -0.399912, -0.006758, -0.002697]
    tilt += sines @ [0.0, 0.070257, 0.000907, 0.00148]
    equation = cosines[:3] @ [0.000075, 0.001868, -0.014615] + sines[:3] @ [0, -0.032077, -0.040849]
    solar = hours + lon / 15 + equation * 229.18 / 60
    turn, phi = np.radians(15 * (solar - 12)), np.radians(lat)
    up = np.sin(phi) * np.sin(tilt) + np.cos(phi) * np.cos(tilt) * np.cos(turn)
    east = -np.cos(tilt) * np.sin(turn)
    north = np.cos(phi) * np.sin(tilt) - np.sin(phi) * np.cos(tilt) * np.cos(turn)
    return float(np.degrees(np.arccos(up))), float(np.degrees(np.arctan2(east, north)) % 360)


def test_sun_and_view_angles() -> None:
    # June solstice of 2021 at 03:32 UTC: the sun stands 23.44 degrees north.
    pole, _ = sun_angles(
        np.array([0.0]), np.array([90.0]), np.array(["2021-06-21T03:32"], "M8[us]")
    )
    assert abs(90 - pole[0] - 23.437) < 0.01
    for lon, lat, time in ((-96.0, 44.0, "2021-03-05T18:20"), (84.0, -68.75, "2021-01-05T09:00")):
        zenith, azimuth = sun_angles(np.array([lon]), np.array([lat]), np.array([time], "M8[us]"))
        expected = _spencer(lon, lat, _utc(time))
        assert abs(zenith[0] - expected[0]) < 0.6  # Spencer has no leap years
        assert abs(azimuth[0] - expected[1]) < 0.6
    # A satellite 814.5 km high, seen from 10 degrees south of the point below it.
    zenith, azimuth = view_angles(
        np.array([5.0]), np.array([0.0]), np.array([5.0]), np.array([10.0]), height_km=814.5
    )
    top = (6371.0088 + 814.5) * np.array([np.cos(np.radians(10)), np.sin(np.radians(10))])
    rise, run = top[0] - 6371.0088, top[1]
    assert abs(zenith[0] - np.degrees(np.arctan2(run, rise))) < 1e-9
    assert abs(azimuth[0]) < 1e-9


def test_pixels_share_corners_and_contain_their_centres() -> None:
    start = _utc("2021-06-15T16:30:00")
    swath = Swath("S3A", start, start + timedelta(seconds=180), 40, 30, 635.0, 330.0)
    lon, lat = swath.corners()
    assert np.array_equal(lon[:, :-1, 1], lon[:, 1:, 0])
    assert np.array_equal(lat[:-1, :, 3], lat[1:, :, 0])
    assert np.array_equal(lat[:-1, :, 2], lat[1:, :, 1])
    centre = shapely.points(*(part.ravel() for part in swath.centres()))
    pixels = shapely.polygons(np.stack([lon, lat], axis=-1).reshape(-1, 4, 2))
    assert shapely.contains(pixels, centre).all()


@pytest.mark.parametrize(
    ("platform", "time", "seconds", "half"),
    [
        ("S3A", "2021-06-15T16:30:00", 180, 635.0),  # mid-latitude
        ("S3B", "2021-06-15T00:30:00", 180, 635.0),  # antimeridian side
        ("S5P", "2021-03-05T17:29:50", 3503, 1300.0),  # both polar regions
        ("S5P", "2021-03-05T23:00:00", 3503, 1300.0),
    ],
)
def test_footprints_hold_exactly_what_the_swath_sees(
    platform: str, time: str, seconds: int, half: float
) -> None:
    start = _utc(time)
    stop = start + timedelta(seconds=seconds)
    lattice = (6, 5) if seconds < 200 else (30, 6)
    footprint = shape(swath_footprint(Swath(platform, start, stop, *lattice, half)))
    assert footprint.is_valid
    west, south, east, north = footprint.bounds
    assert -180 <= west < east <= 180
    assert -90 <= south < north <= 90
    random = np.random.default_rng(2)
    middle_lon, middle_lat, _ = orbits.ground_track(
        platform, np.array([datetime64(start + (stop - start) / 2)])
    )
    reach = 2.0 * half if seconds < 200 else 20000.0
    lon, lat = offset_points(
        middle_lon, middle_lat, random.uniform(0, 360, 3000), random.uniform(0, reach, 3000)
    )
    low = np.abs(lat) < 80  # nearer to a pole the lattice's straight edges are off by 50 km
    lon, lat = lon[low], lat[low]
    fine = Swath(platform, start, stop, 400 if seconds > 200 else 60, 2, half)
    track_lon, track_lat, heading = orbits.ground_track(
        platform, fine.row_times(np.arange(0.5, fine.rows))
    )
    from_lon, to_lon = np.broadcast_arrays(track_lon[:, None], lon[None, :])
    from_lat, to_lat = np.broadcast_arrays(track_lat[:, None], lat[None, :])
    azimuth, _, metres = SPHERE.inv(
        *(np.ascontiguousarray(part) for part in (from_lon, from_lat, to_lon, to_lat))
    )
    angle = np.radians(azimuth - heading[:, None])
    arc = np.asarray(metres) / 6371008.8
    right = np.abs(np.arcsin(np.sin(arc) * np.sin(angle))) * 6371.0088
    ahead = np.abs(np.arctan2(np.sin(arc) * np.cos(angle), np.cos(arc))) * 6371.0088
    step = seconds / fine.rows * 7.5 / 2
    sure = ((right < half - 60) & (ahead < step))[5:-5].any(axis=0)
    maybe = ((right < half + 60) & (ahead < step + 60)).any(axis=0)
    inside = np.array([footprint.contains(Point(x, y)) for x, y in zip(lon, lat, strict=True)])
    assert sure.sum() > 300
    assert inside[sure].all()
    assert not inside[~maybe].any()
