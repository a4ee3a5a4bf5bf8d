"""Slope and aspect of the DEM on its own lattice, in metres on the WGS84 ellipsoid.

The weighted differences over 3 × 3 points are Horn's (B. K. P. Horn, "Hill shading and the
reflectance map", Proceedings of the IEEE 69, 1981). A step of latitude is M dφ and one of longitude
N cos φ dλ, with the radii of curvature of the meridian, M, and of the prime vertical, N (IOGP
Guidance Note 373-7-2, section 4.1): a sphere of one radius would be wrong by up to 0.7 %.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stac_lake.pixels.dem_mosaic import Floats, Mosaic, Part

SEMI_MAJOR_M = 6378137.0
ECCENTRICITY_2 = 6.69437999014e-3
"""WGS84 (NIMA TR8350.2)."""
FLAT = 1e-6
"""Gradient under which a place has no aspect: 1 mm in a kilometre, finer than float32 heights."""
_HALF_CELL = 0.125
"""Degrees: as far as differences towards the east may reach."""
_NO_STEP_M = 1e-4


def metres_per_degree(lat: Floats) -> tuple[Floats, Floats]:
    """Length of a degree of longitude and of latitude in metres, at geodetic latitudes."""
    phi = np.radians(lat)
    root = np.sqrt(1 - ECCENTRICITY_2 * np.sin(phi) ** 2)
    vertical = SEMI_MAJOR_M / root
    meridian = SEMI_MAJOR_M * (1 - ECCENTRICITY_2) / root**3
    return np.radians(vertical * np.cos(phi)), np.radians(meridian)


def gradient(surface: Mosaic) -> tuple[Mosaic, Mosaic]:
    """Rise towards east and towards north, in metres per metre, on the lattice of each tile.

    Over the border of a tile the neighbour's lattice goes on; where its step differs, its surface
    is interpolated at the tile's own step. The outermost points of the mosaic are one-sided.
    """
    pairs = [[_gradient(surface, part) for part in line] for line in surface.lines]
    return (
        Mosaic([[east for east, _ in line] for line in pairs], surface.tiles),
        Mosaic([[north for _, north in line] for line in pairs], surface.tiles),
    )


def _gradient(surface: Mosaic, part: Part) -> tuple[Part, Part]:
    """Both differences of one part; values (row, column)."""
    per_lon, per_lat = metres_per_degree(part.lat)
    # Beyond 84.2 degrees columns crowd: two of them may be closer than the noise allows. There the
    # step to the east takes as many columns as make up the step to the north, up to half a cell.
    ratio = per_lat * part.row / np.maximum(per_lon * part.column, 1e-9)
    reach = np.clip(ratio, 1, max(_HALF_CELL / part.column, 1)).astype(np.int64)
    wide = int(reach.max())
    lat = _around(part.lat, -part.row, 1, [band.lat for band in surface.bands])
    lon = _around(part.lon, part.column, wide, [band.lon for band in surface.bands])
    z, _ = surface.on_lattice(lon, lat)
    rows, columns = part.value.shape
    middle = wide + np.arange(columns)
    east, west = middle + reach[:, None], middle - reach[:, None]
    lon_step = lon[east] - lon[west]
    lat_step = (lat[:-2] - lat[2:]) * per_lat
    rise_east, rise_north = np.zeros((rows, columns)), np.zeros((rows, columns))
    for shift, weight in ((0, 0.25), (1, 0.5), (2, 0.25)):
        line = z[shift : shift + rows]
        rise = np.take_along_axis(line, east, 1) - np.take_along_axis(line, west, 1)
        step = lon_step * metres_per_degree(lat[shift : shift + rows])[0][:, None]
        rise_east += weight * _per(rise, step)
    for side, weight in ((west, 0.25), (np.broadcast_to(middle, west.shape), 0.5), (east, 0.25)):
        rise = np.take_along_axis(z[:-2], side, 1) - np.take_along_axis(z[2:], side, 1)
        rise_north += weight * _per(rise, lat_step[:, None])
    return replace(part, value=rise_east), replace(part, value=rise_north)


def _around(points: Floats, step: float, count: int, known: list[Floats]) -> Floats:
    """Points with `count` more at either end, held inside the range that is known of."""
    before = points[0] - step * np.arange(count, 0, -1)
    after = points[-1] + step * np.arange(1, count + 1)
    low = min(line.min() for line in known) if step < 0 else max(line.min() for line in known)
    high = max(line.max() for line in known) if step < 0 else min(line.max() for line in known)
    held: Floats = np.clip(np.concatenate([before, points, after]), low, high)
    return held


def _per(rise: Floats, step: Floats) -> Floats:
    """Rise by step; 0 where there is no step, as at a pole."""
    slope: Floats = np.where(step > _NO_STEP_M, rise / np.maximum(step, _NO_STEP_M), 0.0)
    return slope


def slope_deg(east: Floats, north: Floats) -> Floats:
    """Angle with the horizontal in degrees, of the rises towards east and north."""
    return np.degrees(np.arctan(np.hypot(east, north)))


def aspect_deg(east: Floats, north: Floats) -> NDArray[np.float32]:
    """Where it falls to, in degrees clockwise from north, in [0, 360); NaN where it is flat."""
    angle = (np.degrees(np.arctan2(-east, -north)) % 360).astype(np.float32)
    angle[angle == 360] = 0
    angle[~(np.hypot(east, north) > FLAT)] = np.nan
    return angle
