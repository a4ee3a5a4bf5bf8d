"""Which Sentinel-2 passes see a tile, and how the swath lies over it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TypeVar

import numpy as np
import shapely
from numpy.typing import NDArray

from stac_lake.sandbox import tiles
from stac_lake.sandbox.fields import is_sea, unit_hash
from stac_lake.sandbox.orbits import Pass, ground_track, passes

Axis = NDArray[np.float64]
Track = tuple[float, float, float, float]
"""x, y of a point of the ground track and its direction (unit vector), metres of a tile's CRS."""
Distance = TypeVar("Distance", float, Axis)

HALF_SWATH_M = 145_000.0
_KEPT_SHARE = 1 / 3


@dataclass(frozen=True)
class Overflight:
    """One pass over one tile.

    Attributes:
        time: When the platform is nearest to the tile's centre.
        track: The ground track in the tile's CRS, taken as straight over a tile.
        across: Signed distance of the tile's centre from the track in metres, to the right of
            flight.
        heading: Of the platform, degrees clockwise from north.
    """

    platform: str
    absolute_orbit: int
    relative_orbit: int
    time: datetime
    track: Track
    across: float
    heading: float

    @property
    def datatake(self) -> datetime:
        """Start of the datatake: shared by all tiles of the orbit's same five minutes."""
        seconds = int(self.time.timestamp()) // 300 * 300 - 60 + self.absolute_orbit % 60
        return datetime.fromtimestamp(seconds, UTC)


def across_track(track: Track, x: Distance, y: Distance) -> Distance:
    """Signed distance from a straight ground track in metres, positive to the right of flight."""
    x0, y0, east, north = track
    return (x - x0) * north - (y - y0) * east


def overflights(tile: tiles.Tile, start: datetime, end: datetime) -> Iterator[Overflight]:
    """The kept passes around a time interval; none over open sea, none at night."""
    lon, lat = tiles.lattice(tile, 3)
    wrapped = [(value + 180.0) % 360.0 - 180.0 for value in (lon.min(), lon.max())]
    bbox = (wrapped[0], lat.min(), wrapped[1], lat.max())
    if all(is_sea(*point) for point in zip(lon.tolist(), lat.tolist(), strict=True)):
        return
    margin = timedelta(minutes=2)
    half = HALF_SWATH_M / 1000 + 30  # passes() tests a few points only; coverage decides
    for platform in ("S2A", "S2B"):
        for one in passes(platform, bbox, start - margin, end + margin, half):
            kept = unit_hash("s2", platform, one.absolute_orbit) < _KEPT_SHARE
            if kept and one.orbit_state == "descending":
                yield _overflight(tile, one)


@lru_cache(maxsize=4096)
def _overflight(tile: tiles.Tile, one: Pass) -> Overflight:
    """Nearest approach to the tile's centre, by seconds along the pass."""
    seconds = np.arange(-60, (one.stop - one.start).total_seconds() + 60)
    first = np.datetime64(one.start.replace(tzinfo=None), "ms")
    lon, lat, heading = ground_track(
        one.platform, first + (seconds * 1000).astype("timedelta64[ms]")
    )
    x, y = (
        np.asarray(values)
        for values in tiles.from_lonlat(tile.epsg).transform(lon, lat, errcheck=False)
    )
    centre = tile.centre
    nearest = int(np.argmin(np.hypot(x - centre[0], y - centre[1])))
    nearest = min(max(nearest, 5), len(seconds) - 6)
    step = np.array([x[nearest + 5] - x[nearest - 5], y[nearest + 5] - y[nearest - 5]])
    east, north = (step / np.hypot(step[0], step[1])).tolist()
    track = (float(x[nearest]), float(y[nearest]), east, north)
    return Overflight(
        one.platform,
        one.absolute_orbit,
        one.relative_orbit,
        one.start + timedelta(seconds=float(seconds[nearest])),
        track,
        across_track(track, *centre),
        float(heading[nearest]),
    )


def covered(tile: tiles.Tile, track: Track) -> shapely.Geometry:
    """The part of a tile inside the swath, in the tile's CRS."""
    x, y, east, north = track
    far, half = 400_000.0, HALF_SWATH_M
    corners = [(-far, -half), (far, -half), (far, half), (-far, half)]
    swath = [(x + a * east + b * north, y + a * north - b * east) for a, b in corners]
    return shapely.box(*tile.bounds) & shapely.Polygon(swath)
