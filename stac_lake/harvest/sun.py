"""Where the sun stands: what decides, before any file is read, whether there can be light."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta

from stac_lake.types import Window

_J2000 = datetime(2000, 1, 1, 12, tzinfo=UTC)


def declination_deg(day: date) -> float:
    """Declination of the sun at noon UTC of a day, degrees, right to 0.01°.

    Source: The Astronomical Almanac, low-precision formulas for the sun (section C), 1950-2050.
    """
    return math.degrees(_position(datetime(day.year, day.month, day.day, 12, tzinfo=UTC))[1])


def elevation_deg(lon: float, lat: float, moment: datetime) -> float:
    """Elevation of the sun's centre at a place and moment, degrees, refraction left out."""
    ascension, declination = _position(moment)
    # Greenwich mean sidereal time: The Astronomical Almanac, section B.
    sidereal = math.radians(280.46062 + 360.98564737 * _days(moment) + lon)
    height = math.sin(math.radians(lat)) * math.sin(declination)
    height += math.cos(math.radians(lat)) * math.cos(declination) * math.cos(sidereal - ascension)
    return math.degrees(math.asin(height))


def _days(moment: datetime) -> float:
    return (moment - _J2000) / timedelta(days=1)


def _position(moment: datetime) -> tuple[float, float]:
    """Right ascension and declination of the sun in radians."""
    n = _days(moment)
    anomaly = math.radians(357.528 + 0.9856003 * n)
    longitude = math.radians(
        280.460 + 0.9856474 * n + 1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly)
    )
    obliquity = math.radians(23.439 - 0.0000004 * n)
    ascension = math.atan2(math.cos(obliquity) * math.sin(longitude), math.cos(longitude))
    return ascension, math.asin(math.sin(obliquity) * math.sin(longitude))


def noon_elevation_deg(lat: float, day: date) -> float:
    """Elevation of the sun's centre at local noon, degrees, refraction left out."""
    return 90 - abs(lat - declination_deg(day))


def best_noon_elevation_deg(lat: float, windows: Iterable[Window]) -> float:
    """The highest noon sun on any day of the windows, degrees."""
    return max(noon_elevation_deg(lat, day) for window in windows for day in days(window))


def days(window: Window) -> Iterator[date]:
    """The UTC days that a window touches."""
    day = window.start.date()
    while datetime(day.year, day.month, day.day, tzinfo=UTC) < window.end:
        yield day
        day += timedelta(days=1)


def runs(selected: Iterable[date]) -> tuple[Window, ...]:
    """Days in order, as windows of consecutive days."""
    windows: list[Window] = []
    for day in selected:
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        end = start + timedelta(days=1)
        if windows and windows[-1].end == start:
            windows[-1] = Window(windows[-1].start, end)
        else:
            windows.append(Window(start, end))
    return tuple(windows)
