"""Points on a spherical Earth, the sun above them, and UTC as numpy counts it."""

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

EARTH_RADIUS_KM = 6371.0088  # mean radius of the IUGG
Floats = NDArray[np.float64]
Times = NDArray[np.datetime64]


def datetime64(time: datetime) -> np.datetime64:
    """A UTC datetime as datetime64[us]."""
    return np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "us")


def seconds_since(times: Times, epoch: datetime) -> Floats:
    """Seconds from a UTC instant to each time."""
    delta = times.astype("datetime64[us]") - datetime64(epoch)
    return delta.astype(np.int64) / 1e6


def wrap(lon: Floats) -> Floats:
    """Longitudes in [-180, 180)."""
    return np.mod(lon + 180.0, 360.0) - 180.0


def unit_vectors(lon: Floats, lat: Floats) -> Floats:
    """Earth-centred unit vectors, (..., 3), of points in degrees."""
    phi, lam = np.deg2rad(lat), np.deg2rad(lon)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def offset_points(
    lon: Floats, lat: Floats, bearing: Floats, distance_km: Floats
) -> tuple[Floats, Floats]:
    """Points at a great-circle distance and bearing (sphere; all arguments broadcast; degrees)."""
    phi, theta = np.deg2rad(lat), np.deg2rad(bearing)
    delta = distance_km / EARTH_RADIUS_KM
    sin_out = np.sin(phi) * np.cos(delta) + np.cos(phi) * np.sin(delta) * np.cos(theta)
    out = np.arcsin(np.clip(sin_out, -1.0, 1.0))
    east = np.arctan2(
        np.sin(theta) * np.sin(delta) * np.cos(phi), np.cos(delta) - np.sin(phi) * sin_out
    )
    return wrap(lon + np.rad2deg(east)), np.rad2deg(out)


def sun_angles(lon: Floats, lat: Floats, times: Times) -> tuple[Floats, Floats]:
    """Where the sun stands, by the low-precision series of the Astronomical Almanac (0.01 deg).

    Args:
        lon: Degrees east.
        lat: Degrees north.
        times: UTC; broadcasts with lon and lat.

    Returns:
        Zenith angle and azimuth (clockwise from north), degrees.
    """
    days = seconds_since(times, datetime(2000, 1, 1, 12, tzinfo=UTC)) / 86400.0
    mean_lon = np.deg2rad(280.460 + 0.9856474 * days)
    anomaly = np.deg2rad(357.528 + 0.9856003 * days)
    ecliptic = mean_lon + np.deg2rad(1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    tilt = np.deg2rad(23.439 - 4e-7 * days)
    ascension = np.arctan2(np.cos(tilt) * np.sin(ecliptic), np.cos(ecliptic))
    declination = np.arcsin(np.sin(tilt) * np.sin(ecliptic))
    sidereal = np.deg2rad((18.697374558 + 24.06570982441908 * days) * 15.0)
    hour = sidereal + np.deg2rad(lon) - ascension
    phi = np.deg2rad(lat)
    cos_zenith = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(
        hour
    )
    azimuth = np.arctan2(
        -np.sin(hour) * np.cos(declination),
        np.cos(phi) * np.sin(declination) - np.sin(phi) * np.cos(declination) * np.cos(hour),
    )
    zenith = np.rad2deg(np.arccos(np.clip(cos_zenith, -1.0, 1.0)))
    return zenith, np.mod(np.rad2deg(azimuth), 360.0)


def view_angles(
    lon: Floats, lat: Floats, track_lon: Floats, track_lat: Floats, *, height_km: float
) -> tuple[Floats, Floats]:
    """Where a satellite stands, seen from points on the ground.

    With delta the central angle to the point below the satellite and h its height, the zenith
    angle is atan2((R + h) sin delta, (R + h) cos delta - R).

    Args:
        lon: Points, degrees east.
        lat: Points, degrees north.
        track_lon: Point below the satellite, degrees; broadcasts.
        track_lat: Point below the satellite, degrees; broadcasts.
        height_km: Height of the satellite.

    Returns:
        Zenith angle and azimuth (clockwise from north), degrees.
    """
    phi, other = np.deg2rad(lat), np.deg2rad(track_lat)
    turn = np.deg2rad(track_lon - lon)
    north = np.cos(phi) * np.sin(other) - np.sin(phi) * np.cos(other) * np.cos(turn)
    east = np.sin(turn) * np.cos(other)
    cos_delta = np.sin(phi) * np.sin(other) + np.cos(phi) * np.cos(other) * np.cos(turn)
    radius = EARTH_RADIUS_KM + height_km
    zenith = np.arctan2(radius * np.hypot(north, east), radius * cos_delta - EARTH_RADIUS_KM)
    return np.rad2deg(zenith), np.mod(np.rad2deg(np.arctan2(east, north)), 360.0)
