"""The second Worldwide Reference System: where Landsat's scenes lie, and when they are taken.

WRS-2 divides the descending, sunlit half of Landsat 8's and 9's orbits into scenes of fixed place:
233 paths, of which path 1 crosses the equator at 64.60° W and each next one 360/233° further west,
and 248 rows in a revolution, of which row 60 is on the equator (USGS, LSDS-1574). With u the angle
from the scene to the descending node and i = 98.2° the inclination,

    lat = geodetic latitude of asin(sin i * sin u)                    u = (60 - row) * 360 / 248
    lon = -64.60 - (path - 1) * 360 / 233 + atan2(-cos i * sin u, cos u) + u * 16 / 233

where the last term is the Earth's rotation. Centres of recorded scenes are met within 0.11°.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Bbox = tuple[float, float, float, float]

PATHS, ROWS, SUNLIT_ROWS = 233, 248, 122
CYCLE = timedelta(days=16)
EQUATOR_ROW = 60
_PATH_1_DEGREES = -64.60
_INCLINATION = math.radians(98.2)
_FLATTENING = 1 / 298.257223563
_ORBITS_TO_NEXT_PATH = 102  # the path grows by 16 per orbit, and 16 · 102 = 1 modulo 233

PLATFORMS: dict[str, tuple[datetime, datetime]] = {
    "08": (
        datetime(2022, 1, 15, 14, 24, 17, tzinfo=UTC),
        datetime(2013, 4, 11, tzinfo=UTC),
    ),
    "09": (
        datetime(2022, 1, 7, 14, 24, 20, tzinfo=UTC),
        datetime(2021, 10, 31, tzinfo=UTC),
    ),
}
"""Platform → when it passed the descending node of path 233, fitted to recorded acquisitions, and
the start of its archive."""


def centre(path: float, row: float) -> tuple[float, float]:
    """Longitude and latitude of a scene's centre, degrees; fractions of a row lie on the track."""
    angle = (EQUATOR_ROW - row) * 360 / ROWS
    u = math.radians(angle)
    sphere = math.asin(math.sin(_INCLINATION) * math.sin(u))
    lat = math.degrees(math.atan(math.tan(sphere) / (1 - _FLATTENING) ** 2))
    lon = _PATH_1_DEGREES - (path - 1) * 360 / PATHS + angle * 16 / PATHS
    lon += math.degrees(math.atan2(-math.cos(_INCLINATION) * math.sin(u), math.cos(u)))
    return (lon + 180) % 360 - 180, lat


@lru_cache(maxsize=1)
def _centres() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude (path, row) and latitude (row,) of all sunlit scenes."""
    rows = [centre(1, row) for row in range(1, SUNLIT_ROWS + 1)]
    lon, lat = np.array(rows).T
    return lon[None, :] - np.arange(PATHS)[:, None] * 360 / PATHS, lat


def near(bbox: Bbox, reach_km: float) -> list[tuple[int, int]]:
    """Path and row of the scenes whose centre is no further than that from a box."""
    west, south, east, north = bbox
    lon, lat = _centres()
    half = ((east - west) % 360.0 if east - west < 360.0 else 360.0) / 2
    middle = west + half
    over = np.maximum(np.abs((lon - middle + 180) % 360 - 180) - half, 0)
    above = np.maximum(np.maximum(lat - north, south - lat), 0)
    degree_km = 111.0
    # Meridians close up to the poles: the box's own nearest latitude bounds their distance.
    widest = np.cos(np.radians(np.clip(np.abs(lat) + reach_km / degree_km, 0, 89)))
    close = (above * degree_km <= reach_km) & (over * degree_km * widest <= reach_km)
    return [(int(path) + 1, int(row) + 1) for path, row in np.argwhere(close)]


def node_times(platform: str, path: int, start: datetime, end: datetime) -> Iterator[datetime]:
    """When a platform passes the descending node of a path, within its archive."""
    first_node, archive = PLATFORMS[platform]
    orbits = path * _ORBITS_TO_NEXT_PATH % PATHS
    # One multiplication of whole days keeps the cycle exact.
    node = first_node + CYCLE * orbits / PATHS
    begin = max(start, archive)
    cycle = -((node - begin) // CYCLE)
    while node + cycle * CYCLE <= end:
        yield node + cycle * CYCLE
        cycle += 1


def from_node(row: float) -> timedelta:
    """Time from the descending node to a row, negative north of the equator."""
    return CYCLE / PATHS * (row - EQUATOR_ROW) / ROWS
