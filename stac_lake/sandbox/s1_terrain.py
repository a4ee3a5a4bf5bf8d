"""The ground that a radar sees: the sandbox's heights on the geoid, above the WGS84 ellipsoid."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from stac_lake.pixels.sar.geoid import geoid_height
from stac_lake.sandbox.fields import RELIEF, RELIEF_MEAN, is_sea
from stac_lake.sandbox.sphere import Floats

LOWEST, HIGHEST = -200.0, 3100.0  # metres that enclose every height above the ellipsoid
MIDDLE, HALF = (HIGHEST + LOWEST) / 2, (HIGHEST - LOWEST) / 2
NORTH_END = 84.0  # degrees; the DEM has no tile beyond
_FEW = 512  # points for which the geoid is asked one by one


def surface(lon: Floats, lat: Floats) -> Floats:
    """Metres of the ground above the ellipsoid: height above the geoid plus the geoid's own.

    Args:
        lon: Degrees east.
        lat: Geodetic degrees north, of the same shape.
    """
    return relief(lon, lat) + undulation(lon, lat)


def undulation(lon: Floats, lat: Floats) -> Floats:
    """Metres of the geoid above the ellipsoid.

    For many points it is a bicubic polynomial through 4 × 4 points of their box, a millimetre off
    over 20 km.
    """
    if lon.size <= _FEW:
        return geoid_height(lon, lat)
    nodes = np.cos(np.pi * (np.arange(4) + 0.5) / 4)
    inverse = np.linalg.inv(chebyshev.chebvander(nodes, 3))
    centre_x, half_x = (lon.max() + lon.min()) / 2, (lon.max() - lon.min()) / 2 + 1e-6
    centre_y, half_y = (lat.max() + lat.min()) / 2, (lat.max() - lat.min()) / 2 + 1e-6
    x, y = np.meshgrid(centre_x + half_x * nodes, centre_y + half_y * nodes, indexing="ij")
    known = geoid_height(x.ravel(), np.clip(y.ravel(), -90.0, 90.0)).reshape(4, 4)
    fitted = inverse @ known @ inverse.T
    metres: Floats = chebyshev.chebval2d(
        (lon - centre_x) / half_x, (lat - centre_y) / half_y, fitted
    )
    return metres


def relief(lon: Floats, lat: Floats) -> Floats:
    """Metres of the ground above the geoid: 0 at sea, and where the DEM has no tile any more."""
    metres = np.full(lon.shape, RELIEF_MEAN)
    for k, (amplitude, waves, length) in enumerate(RELIEF):
        metres += amplitude * _sine(waves / 360 * lon + k / (2 * np.pi)) * _sine(lat / length)
    if not metres.size:
        return metres
    cell = np.floor(lon) * 1000 + np.floor(lat)
    for code in [cell.min()] if cell.min() == cell.max() else np.unique(cell).tolist():
        held = cell == code
        west, south = float(np.floor(lon[held][0])), float(np.floor(lat[held][0]))
        if not _is_land(west, south):
            metres[held] = 0.0
    return metres


def _sine(turns: Floats) -> NDArray[np.float32]:
    """Sine of an angle in turns; float32 is good to 1e-7 once whole turns are gone, and quick."""
    angle = (turns - np.rint(turns)).astype(np.float32)
    angle *= np.float32(2 * np.pi)
    return np.sin(angle)


@lru_cache(maxsize=4096)
def _is_land(west: float, south: float) -> bool:
    return south < NORTH_END and not is_sea(west + 0.5, south + 0.5)


def ground(lon: Floats, lat: Floats) -> tuple[Floats, Floats, Floats]:
    """Where lines of sight, as cubics of height, meet the ground.

    Where a line meets the ground more than once (layover), it is one of these places.

    Args:
        lon: Coefficients, (4, ...), by powers of (height − 1450) / 1650.
        lat: The same for latitude.

    Returns:
        Lon, lat and height above the ellipsoid.
    """
    height = np.full(lon.shape[1:], RELIEF_MEAN)
    for tolerance in (1.0, 3e-3):  # the geoid changes slowly: it is looked up twice
        base = undulation(*_at(lon, lat, height))
        height = _settled(lon, lat, base, height, tolerance)
    return *_at(lon, lat, height), height


def _settled(lon: Floats, lat: Floats, base: Floats, start: Floats, tolerance: float) -> Floats:
    """Heights that the ground has where it is met, metres: by secants, else by bisection."""
    one = start
    gap_one = _above(lon, lat, one, base)
    two = np.clip(one - gap_one, LOWEST, HIGHEST)
    gap_two = _above(lon, lat, two, base)
    for _ in range(8):
        if np.abs(gap_two).max() < tolerance:
            return two
        still = np.abs(two - one) < 1e-6
        slope = (gap_two - gap_one) / np.where(still, 1.0, two - one)
        slope = np.where(still | (np.abs(slope) < 0.05), 1.0, slope)
        one, gap_one = two, gap_two
        two = np.clip(two - gap_two / slope, LOWEST, HIGHEST)
        gap_two = _above(lon, lat, two, base)
    wild = np.abs(gap_two) >= tolerance
    if wild.any():
        two[wild] = _bisected(lon[:, wild], lat[:, wild], base[wild])
    return two


def _bisected(lon: Floats, lat: Floats, base: Floats) -> Floats:
    low, high = np.full(base.shape, LOWEST), np.full(base.shape, HIGHEST)
    for _ in range(20):
        middle = (low + high) / 2
        under = _above(lon, lat, middle, base) < 0
        low, high = np.where(under, middle, low), np.where(under, high, middle)
    height: Floats = (low + high) / 2
    return height


def _at(lon: Floats, lat: Floats, height: Floats) -> tuple[Floats, Floats]:
    s = (height - MIDDLE) / HALF
    return (
        ((lon[3] * s + lon[2]) * s + lon[1]) * s + lon[0],
        ((lat[3] * s + lat[2]) * s + lat[1]) * s + lat[0],
    )


def _above(lon: Floats, lat: Floats, height: Floats, base: Floats) -> Floats:
    return height - relief(*_at(lon, lat, height)) - base
