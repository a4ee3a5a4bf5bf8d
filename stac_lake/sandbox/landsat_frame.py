"""Where the images of Landsat's scenes lie, as recorded items and real files show it.

An image is a tilted rectangle in the UTM zone of its centre, always of the northern hemisphere, so
that northings are negative in the south; zones have no exceptions. The first and the last pixel's
centre are multiples of 300 m: pixel centres, not corners, lie on multiples of 30 m.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stac_lake.sandbox import landsat_wrs2 as wrs2
from stac_lake.sandbox import tiles
from stac_lake.sandbox.fields import Axis, is_sea

PIXEL_M = 30
FRAME_M = 300
HALF_WIDTH_M, HALF_LENGTH_M = 93_500.0, 97_500.0
_CORNERS = ((1.0, -1.0), (-1.0, -1.0), (-1.0, 1.0), (1.0, 1.0))


@dataclass(frozen=True)
class Frame:
    """Where the image of a path and row lies; the same at each pass.

    Attributes:
        epsg: 326zz, in the south, too.
        centre: Easting and northing of the middle, metres.
        along: Unit vector of the ground track, against the flight: to the north.
        origin: Easting and northing of the upper-left pixel's outer corner.
        shape: (rows, columns).
    """

    epsg: int
    centre: tuple[float, float]
    along: tuple[float, float]
    origin: tuple[float, float]
    shape: tuple[int, int]

    def at(self, length: float, width: float) -> tuple[float, float]:
        """A point of the image: -1 to 1 along the track to the north, and across it to the east."""
        east, north = self.along
        up, right = length * HALF_LENGTH_M, width * HALF_WIDTH_M
        return (
            self.centre[0] + up * east + right * north,
            self.centre[1] + up * north - right * east,
        )

    @property
    def ring(self) -> list[tuple[float, float]]:
        """The image's four corners from the upper left on, counter-clockwise, metres."""
        return [self.at(*corner) for corner in _CORNERS]

    @cached_property
    def at_sea(self) -> bool:
        """Whether centre, corners and middles of the edges are all in the open sea."""
        to_lonlat = tiles.to_lonlat(self.epsg).transform
        steps = (-1.0, 0.0, 1.0)
        return all(is_sea(*to_lonlat(*self.at(a, b))) for a in steps for b in steps)

    def inside(self, x: Axis, y: Axis) -> NDArray[np.bool_]:
        """Which of the points at all pairs lie in the image, as (y, x)."""
        east, north = self.along
        dx, dy = (x - self.centre[0])[None, :], (y - self.centre[1])[:, None]
        seen: NDArray[np.bool_] = np.abs(dx * east + dy * north) <= HALF_LENGTH_M
        return seen & (np.abs(dx * north - dy * east) <= HALF_WIDTH_M)


@lru_cache(maxsize=4096)
def frame(path: int, row: int) -> Frame:
    """The frame of a scene of WRS-2."""
    lon, lat = wrs2.centre(path, row)
    epsg = 32601 + int((lon + 180) // 6)
    place = tiles.from_lonlat(epsg).transform
    x, y = (float(v) for v in place(lon, lat))
    ends = [place(*wrs2.centre(path, row + step)) for step in (-0.1, 0.1)]
    east, north = ends[0][0] - ends[1][0], ends[0][1] - ends[1][1]
    length = math.hypot(east, north)
    along = (east / length, north / length)
    tilted = Frame(epsg, (x, y), along, (0.0, 0.0), (0, 0))
    xs, ys = np.array(tilted.ring).T
    left, bottom = (math.floor(low / FRAME_M) * FRAME_M for low in (xs.min(), ys.min()))
    right, top = (math.ceil(high / FRAME_M) * FRAME_M for high in (xs.max(), ys.max()))
    shape = ((top - bottom) // PIXEL_M + 1, (right - left) // PIXEL_M + 1)
    origin = (left - PIXEL_M / 2, top + PIXEL_M / 2)
    return dataclasses.replace(tilted, origin=origin, shape=shape)


@lru_cache(maxsize=4096)
def footprint(path: int, row: int) -> dict[str, Any]:
    """The image's outline as GeoJSON in degrees, split at ±180°."""
    place = frame(path, row)
    return tiles.footprint(place.epsg, place.ring)
