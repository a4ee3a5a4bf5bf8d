"""Ground tracks and passes of the Sentinels on circular sun-synchronous orbits.

The model keeps what a catalogue user can see: the repeat cycle, the inclination, the local time
of the node and the orbit numbers. In a frame that turns with the mean sun, the plane of a
sun-synchronous orbit stands still, so that the node's longitude is a function of the time of day
alone and the track repeats exactly after the cycle's whole number of days:

    u(t)      = 360 * revolutions / days * (t - epoch)          argument of latitude, degrees
    node(t)   = 15 * (local time of the ascending node - UT)    degrees east, both in hours
    lat       = asin(sin i * sin u)
    lon       = node(t) + atan2(cos i * sin u, cos u)

The Earth is a sphere of 6371.0088 km here; eccentricity, short-period perturbations and the drift
of the local time are left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np

from stac_lake.sandbox.sphere import (
    EARTH_RADIUS_KM,
    Floats,
    Times,
    datetime64,
    offset_points,
    seconds_since,
    unit_vectors,
    wrap,
)

Bbox = tuple[float, float, float, float]

_SAMPLE_S = 15.0  # passes are looked for on a track sampled this finely (about 100 km)


@dataclass(frozen=True)
class Orbit:
    """What determines a platform's track.

    Attributes:
        revolutions: Orbits per repeat cycle.
        days: Length of the repeat cycle, days.
        inclination: Degrees; above 90, because the orbit is retrograde.
        ascending_hour: Local mean solar time of the ascending node, hours.
        epoch: When orbit `epoch_orbit` passed its ascending node.
        epoch_orbit: Absolute orbit number that belongs to `epoch`.
        relative_shift: Relative orbit = (absolute - relative_shift) mod revolutions + 1.
        first: Start of the archive.
        last: End of the mission.
        number_steps_at: Argument of latitude, degrees in (-360, 0], at which an orbit number
            begins: 0 is the ascending node, -180 the descending node before it.
    """

    revolutions: int
    days: int
    inclination: float
    ascending_hour: float
    epoch: datetime
    epoch_orbit: int
    relative_shift: int
    first: datetime
    last: datetime = datetime(2100, 1, 1, tzinfo=UTC)
    number_steps_at: float = 0.0

    @property
    def period(self) -> timedelta:
        """Nodal period."""
        return timedelta(days=self.days) / self.revolutions

    def relative(self, absolute: int) -> int:
        """Relative orbit number (1 .. revolutions) of an absolute one."""
        return (absolute - self.relative_shift) % self.revolutions + 1


@dataclass(frozen=True)
class Pass:
    """One overflight of an area.

    Attributes:
        platform: Key of `ORBITS`.
        absolute_orbit: Orbit number since launch.
        relative_orbit: Orbit number within the repeat cycle.
        orbit_state: "ascending" or "descending" at `mid`.
        start: UTC, when the swath reaches the area.
        stop: UTC, when the swath leaves it.
    """

    platform: str
    absolute_orbit: int
    relative_orbit: int
    orbit_state: str
    start: datetime
    stop: datetime

    @property
    def mid(self) -> datetime:
        """The middle of the overflight, UTC."""
        return self.start + (self.stop - self.start) / 2


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# Repeat cycles, inclinations and local times are the missions' nominal ones; epochs and orbit
# numbers are fitted to published acquisitions (their number, time and place).
ORBITS: dict[str, Orbit] = {
    "S1A": Orbit(175, 12, 98.18, 18.0, _utc("2024-05-17T00:27:36"), 53904, 73, _utc("2014-10-03")),
    "S1B": Orbit(
        175,
        12,
        98.18,
        18.0,
        _utc("2021-01-15T00:27:36"),
        25158,
        27,
        _utc("2016-09-26"),
        _utc("2021-12-23"),
    ),
    "S2A": Orbit(143, 10, 98.62, 22.5, _utc("2020-03-05T08:20:08"), 24557, 141, _utc("2015-07-04")),
    "S2B": Orbit(143, 10, 98.62, 22.5, _utc("2020-07-05T09:50:42"), 17394, 27, _utc("2017-07-01")),
    "S3A": Orbit(385, 27, 98.65, 22.0, _utc("2021-10-21T06:26:27"), 29567, 359, _utc("2016-04-25")),
    "S3B": Orbit(385, 27, 98.65, 22.0, _utc("2020-08-01T20:18:26"), 11822, 273, _utc("2018-05-11")),
    "S5P": Orbit(
        227,
        16,
        98.74,
        13.5,
        _utc("2020-03-03T02:26:32"),
        12367,
        1,
        _utc("2018-04-30"),
        number_steps_at=-180.0,
    ),
}


def _argument(orbit: Orbit, times: Times) -> Floats:
    """Argument of latitude, degrees, counted on from the epoch's ascending node."""
    # not by `period`, which is rounded to a microsecond
    return seconds_since(times, orbit.epoch) * (360.0 * orbit.revolutions / orbit.days / 86400.0)


def absolute_orbit(platform: str, time: datetime) -> int:
    """Absolute orbit number in force at a time."""
    orbit = ORBITS[platform]
    turns = float(_argument(orbit, np.array([datetime64(time)]))[0]) - orbit.number_steps_at
    return orbit.epoch_orbit + int(turns // 360.0)


def node_time(platform: str, absolute: int) -> datetime:
    """UTC at which an orbit passes its ascending node."""
    orbit = ORBITS[platform]
    turns = absolute - orbit.epoch_orbit
    # one multiplication of whole days keeps the cycle exact
    return orbit.epoch + timedelta(days=orbit.days) * turns / orbit.revolutions


def ground_track(platform: str, times: Times) -> tuple[Floats, Floats, Floats]:
    """Where the platform is, seen from the Earth's centre.

    Args:
        platform: Key of `ORBITS`.
        times: UTC, any shape.

    Returns:
        Longitude in [-180, 180), latitude, and heading of the ground track (degrees clockwise from
        north), each in the shape of `times`.
    """
    orbit = ORBITS[platform]
    u = np.deg2rad(_argument(orbit, times))
    inclination = np.deg2rad(orbit.inclination)
    midnight = times.astype("datetime64[D]")
    hours = (times.astype("datetime64[us]") - midnight).astype(np.int64) / 3.6e9
    sin_lat = np.sin(inclination) * np.sin(u)
    lat = np.arcsin(np.clip(sin_lat, -1.0, 1.0))
    node = 15.0 * (orbit.ascending_hour - hours)
    lon = node + np.rad2deg(np.arctan2(np.cos(inclination) * np.sin(u), np.cos(u)))
    # Derivatives with respect to u; the mean sun turns the Earth under the orbit by 360 deg a day.
    cos_lat = np.maximum(np.cos(lat), 1e-9)
    north = np.sin(inclination) * np.cos(u) / cos_lat
    turn = orbit.period.total_seconds() / 86400.0
    east = np.cos(inclination) / cos_lat - turn * cos_lat
    return wrap(lon), np.rad2deg(lat), np.mod(np.rad2deg(np.arctan2(east, north)), 360.0)


def _samples_of(bbox: Bbox) -> Floats:
    """Unit vectors (n, 3) of a lattice over a bbox: every 3 degrees, at most 25 x 25 points."""
    west, south, east, north = bbox
    width = 360.0 if east - west >= 360.0 else (east - west) % 360.0
    columns = int(np.clip(np.ceil(width / 3.0), 2, 24)) + 1
    rows = int(np.clip(np.ceil((north - south) / 3.0), 2, 24)) + 1
    lon, lat = np.meshgrid(west + np.linspace(0.0, width, columns), np.linspace(south, north, rows))
    return unit_vectors(lon.ravel(), lat.ravel())


@lru_cache(maxsize=512)
def _cycle_passes(
    platform: str, bbox: Bbox, half_swath_km: float, centre_km: float
) -> tuple[tuple[float, float], ...]:
    """Entry and exit of the swath over a bbox in one repeat cycle, seconds since the epoch."""
    orbit = ORBITS[platform]
    cycle = orbit.days * 86400.0
    seconds = np.arange(0.0, cycle, _SAMPLE_S)
    times = datetime64(orbit.epoch) + (seconds * 1e6).astype(np.int64).astype("timedelta64[us]")
    lon, lat, heading = ground_track(platform, times)
    position = unit_vectors(lon, lat)
    ahead = unit_vectors(
        *offset_points(lon, lat, heading, np.full_like(lon, np.pi / 2 * EARTH_RADIUS_KM))
    )
    right = np.cross(ahead, position)
    speed = 2 * np.pi * EARTH_RADIUS_KM / orbit.period.total_seconds()  # km/s
    low = np.sin((centre_km - half_swath_km) / EARTH_RADIUS_KM)
    high = np.sin((centre_km + half_swath_km) / EARTH_RADIUS_KM)
    reach = 0.6 * _SAMPLE_S * speed / EARTH_RADIUS_KM
    widest = np.cos((abs(centre_km) + half_swath_km) / EARTH_RADIUS_KM + 2 * reach)
    hits = []
    for point in _samples_of(bbox):
        near = np.flatnonzero(position @ point >= widest)
        across = right[near] @ point
        along = np.arctan2(ahead[near] @ point, position[near] @ point)
        inside = (across >= low) & (across <= high) & (np.abs(along) <= reach)
        hits.append(seconds[near[inside]] + along[inside] * EARTH_RADIUS_KM / speed)
    found = np.sort(np.concatenate(hits))
    if not found.size:
        return ()
    # A gap of four minutes (1600 km) or a turn at the poles begins a new pass.
    half = np.floor(found / orbit.period.total_seconds() * 2.0 + 0.5)
    breaks = np.flatnonzero((np.diff(found) > 240.0) | (np.diff(half) != 0.0))
    starts = found[np.concatenate([[0], breaks + 1])]
    stops = found[np.concatenate([breaks, [found.size - 1]])]
    return tuple(zip(starts.tolist(), stops.tolist(), strict=True))


def _repeats(orbit: Orbit, span: tuple[datetime, datetime]) -> Iterator[int]:
    cycle = timedelta(days=orbit.days)
    first = (span[0] - orbit.epoch) // cycle - 1
    last = (span[1] - orbit.epoch) // cycle + 1
    yield from range(first, last + 1)


def passes(
    platform: str,
    bbox: Bbox,
    start: datetime,
    end: datetime,
    half_swath_km: float,
    *,
    centre_km: float = 0.0,
) -> list[Pass]:
    """Overflights of a bbox in a closed time interval and within the platform's archive.

    The bbox is tested on a lattice of points (every 3 degrees, 25 x 25 at most), so that a swath
    that only grazes a corner may be missed: widen `half_swath_km` and test footprints where that
    matters. A pass ends at the latest where the platform turns from north to south.

    Args:
        platform: Key of `ORBITS`.
        bbox: West, south, east, north in degrees; west > east crosses the antimeridian.
        start: UTC, aware.
        end: UTC, aware.
        half_swath_km: Half of the swath's width.
        centre_km: Offset of the swath's middle to the right of flight (side-looking radar).

    Returns:
        Passes that overlap the interval, by start time.
    """
    orbit = ORBITS[platform]
    span = (max(start, orbit.first), min(end, orbit.last))
    found = []
    for entry, leave in _cycle_passes(platform, bbox, half_swath_km, centre_km):
        for repeat in _repeats(orbit, span):
            base = orbit.epoch + timedelta(days=orbit.days) * repeat
            begin = base + timedelta(milliseconds=round(entry * 1e3))
            finish = base + timedelta(milliseconds=round(leave * 1e3))
            if finish < span[0] or begin > span[1]:
                continue
            middle = begin + (finish - begin) / 2
            absolute = absolute_orbit(platform, middle)
            found.append(
                Pass(
                    platform,
                    absolute,
                    orbit.relative(absolute),
                    orbit_state(platform, middle),
                    begin,
                    finish,
                )
            )
    return sorted(found, key=lambda one: (one.start, one.absolute_orbit))


def orbit_state(platform: str, time: datetime) -> str:
    """Whether the platform flies north ("ascending") or south ("descending")."""
    u = float(_argument(ORBITS[platform], np.array([datetime64(time)]))[0])
    return "ascending" if np.cos(np.deg2rad(u)) >= 0.0 else "descending"
