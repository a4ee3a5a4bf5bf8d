"""WGS84: geodetic to earth-centred coordinates and back, and the ellipsoid's normal."""

from __future__ import annotations

import numpy as np

from stac_lake.sandbox.sphere import Floats

SEMI_MAJOR = 6_378_137.0  # metres; NIMA TR8350.2
FLATTENING = 1 / 298.257223563
_MINOR = SEMI_MAJOR * (1 - FLATTENING)
_E2 = FLATTENING * (2 - FLATTENING)
_EP2 = _E2 / (1 - _E2)


def normal(lon: Floats, lat: Floats) -> Floats:
    """Unit vectors (..., 3) that point up at geodetic points in degrees."""
    phi, lam = np.deg2rad(lat), np.deg2rad(lon)
    across = np.cos(phi)
    return np.stack([across * np.cos(lam), across * np.sin(lam), np.sin(phi)], axis=-1)


def to_ecef(lon: Floats, lat: Floats, height: Floats | float) -> Floats:
    """Earth-centred, earth-fixed metres (..., 3).

    Args:
        lon: Degrees east.
        lat: Geodetic degrees north.
        height: Metres above the ellipsoid; broadcasts.
    """
    up = normal(lon, lat)
    curve = SEMI_MAJOR / np.sqrt(1 - _E2 * up[..., 2] ** 2)
    place = (curve + height)[..., None] * up
    place[..., 2] -= _E2 * curve * up[..., 2]
    return place


def from_ecef(place: Floats) -> tuple[Floats, Floats, Floats]:
    """Longitude and geodetic latitude in degrees, and metres above the ellipsoid.

    Bowring's formula (1976), good to a nanodegree below 10 km.

    Args:
        place: Earth-centred, earth-fixed metres, (..., 3).
    """
    x, y, z = place[..., 0], place[..., 1], place[..., 2]
    p = np.hypot(x, y)
    beta = np.arctan2(z * SEMI_MAJOR, p * _MINOR)
    phi = np.arctan2(
        z + _EP2 * _MINOR * np.sin(beta) ** 3, p - _E2 * SEMI_MAJOR * np.cos(beta) ** 3
    )
    root = np.sqrt(1 - _E2 * np.sin(phi) ** 2)
    height = p * np.cos(phi) + z * np.sin(phi) - SEMI_MAJOR * root
    return np.rad2deg(np.arctan2(y, x)), np.rad2deg(phi), height
