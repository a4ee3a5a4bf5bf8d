"""The analytic fields that OLCI and TROPOMI granules sample, told again in docs/sandbox-swath.md.

All fields are functions of longitude and latitude in degrees and of time. What has structure in
space is a sum of plane waves in the three-dimensional unit vector p of a point, so that nothing
jumps at the antimeridian or at a pole. Time is d, the days since 2021-01-01T00:00Z.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from stac_lake.sandbox.fields import SEA
from stac_lake.sandbox.sphere import EARTH_RADIUS_KM, Floats, seconds_since, unit_vectors

EPOCH = datetime(2021, 1, 1, tzinfo=UTC)
YEAR_DAYS = 365.25
Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class PlaneWave:
    """amplitude * sin(2 pi R / wavelength * (direction . p) + phase + drift * d).

    Attributes:
        amplitude: Without unit.
        wavelength_km: On the surface, where the direction lies along it.
        direction: Unit vector up to rounding; used as it is.
        phase: Radians.
        drift: Radians per day.
    """

    amplitude: float
    wavelength_km: float
    direction: tuple[float, float, float]
    phase: float
    drift: float = 0.0


CLOUDS: tuple[PlaneWave, ...] = (
    PlaneWave(0.40, 2500.0, (0.80, 0.36, 0.48), 0.3, 1.7),
    PlaneWave(0.30, 1400.0, (-0.48, 0.80, 0.36), 1.1, 2.9),
    PlaneWave(0.25, 900.0, (0.36, -0.48, 0.80), 2.3, 4.3),
    PlaneWave(0.10, 110.0, (0.60, 0.64, -0.48), 4.0, 7.1),
)
GREENNESS: tuple[PlaneWave, ...] = (
    PlaneWave(0.5, 700.0, (0.48, 0.60, 0.64), 0.7),
    PlaneWave(0.3, 95.0, (0.64, -0.48, 0.60), 1.9),
    PlaneWave(0.2, 41.0, (-0.60, 0.64, 0.48), 3.1),
)


@dataclass(frozen=True)
class OlciBand:
    """One OLCI band.

    Attributes:
        wavelength: Centre, nm.
        width: Full width at half maximum, nm.
        irradiance: In-band solar irradiance at one astronomical unit, mW m-2 nm-1.
        path: Reflectance that the air adds.
        soil: Reflectance of bare ground.
        vegetation: Reflectance of full canopy.
        water: Reflectance of open sea.
        snow: Reflectance of snow.
        transmission: Share of the light that gases let through.
        scale: `scale_factor` of the packed radiance, mW m-2 sr-1 nm-1.
        offset: `add_offset` of the packed radiance, mW m-2 sr-1 nm-1.
    """

    wavelength: float
    width: float
    irradiance: float
    path: float
    soil: float
    vegetation: float
    water: float
    snow: float
    transmission: float
    scale: float
    offset: float


# Centres and widths: the mission's band table. Scale factors: the published ones of the product.
# The other numbers are round figures of the right size.
OLCI_BANDS: Mapping[str, OlciBand] = {
    "Oa01": OlciBand(400.0, 15.0, 1500.0, 0.160, 0.060, 0.030, 0.050, 0.90, 1.00, 0.0139465, 0.00),
    "Oa02": OlciBand(412.5, 10.0, 1710.0, 0.145, 0.065, 0.030, 0.050, 0.91, 1.00, 0.0133873, 0.05),
    "Oa03": OlciBand(442.5, 10.0, 1880.0, 0.115, 0.080, 0.030, 0.050, 0.92, 1.00, 0.0121481, 0.10),
    "Oa04": OlciBand(490.0, 10.0, 1940.0, 0.080, 0.100, 0.040, 0.040, 0.93, 1.00, 0.0115198, 0.15),
    "Oa05": OlciBand(510.0, 10.0, 1930.0, 0.070, 0.110, 0.050, 0.035, 0.93, 1.00, 0.0100953, 0.20),
    "Oa06": OlciBand(560.0, 10.0, 1800.0, 0.050, 0.140, 0.090, 0.025, 0.93, 0.97, 0.0123538, 0.00),
    "Oa07": OlciBand(620.0, 10.0, 1650.0, 0.035, 0.180, 0.060, 0.015, 0.92, 0.97, 0.00879161, 0.05),
    "Oa08": OlciBand(665.0, 10.0, 1530.0, 0.028, 0.200, 0.045, 0.012, 0.91, 0.99, 0.00876539, 0.10),
    "Oa09": OlciBand(673.75, 7.5, 1500.0, 0.027, 0.205, 0.042, 0.012, 0.91, 0.99, 0.0095103, 0.15),
    "Oa10": OlciBand(681.25, 7.5, 1470.0, 0.026, 0.210, 0.045, 0.011, 0.91, 0.98, 0.00773378, 0.20),
    "Oa11": OlciBand(
        708.75, 10.0, 1410.0, 0.022, 0.225, 0.150, 0.009, 0.90, 0.97, 0.00675523, 0.00
    ),
    "Oa12": OlciBand(753.75, 7.5, 1270.0, 0.018, 0.250, 0.360, 0.007, 0.89, 0.99, 0.0071996, 0.05),
    "Oa13": OlciBand(761.25, 2.5, 1250.0, 0.017, 0.253, 0.365, 0.007, 0.89, 0.25, 0.00749684, 0.10),
    "Oa14": OlciBand(
        764.375, 3.75, 1240.0, 0.017, 0.255, 0.370, 0.007, 0.89, 0.45, 0.0086512, 0.15
    ),
    "Oa15": OlciBand(767.5, 2.5, 1230.0, 0.017, 0.256, 0.372, 0.007, 0.88, 0.75, 0.00526779, 0.20),
    "Oa16": OlciBand(
        778.75, 15.0, 1190.0, 0.016, 0.260, 0.380, 0.006, 0.88, 0.99, 0.00530267, 0.00
    ),
    "Oa17": OlciBand(865.0, 20.0, 970.0, 0.011, 0.290, 0.400, 0.005, 0.85, 0.99, 0.00493004, 0.05),
    "Oa18": OlciBand(885.0, 10.0, 940.0, 0.010, 0.295, 0.405, 0.005, 0.84, 0.98, 0.00549962, 0.10),
    "Oa19": OlciBand(900.0, 10.0, 910.0, 0.009, 0.300, 0.405, 0.004, 0.82, 0.75, 0.00502847, 0.15),
    "Oa20": OlciBand(940.0, 20.0, 830.0, 0.008, 0.310, 0.410, 0.004, 0.78, 0.40, 0.00326378, 0.20),
    "Oa21": OlciBand(1020.0, 40.0, 700.0, 0.006, 0.330, 0.410, 0.003, 0.68, 0.97, 0.00324118, 0.00),
}
CLOUD_REFLECTANCE = 0.75
SATURATED_BANDS = ("Oa16", "Oa17", "Oa18")


def days(times: NDArray[np.datetime64]) -> Floats:
    """D of UTC times."""
    return seconds_since(times, EPOCH) / 86400.0


def plane_waves(terms: Sequence[PlaneWave], points: Floats, day: Floats) -> Floats:
    """Sum of plane waves at unit vectors (..., 3) and days that broadcast with their shape."""
    total = np.zeros(np.broadcast_shapes(points.shape[:-1], np.shape(day)))
    for term in terms:
        wave_number = 2 * np.pi * EARTH_RADIUS_KM / term.wavelength_km
        along = points @ np.asarray(term.direction)
        total += term.amplitude * np.sin(wave_number * along + term.phase + term.drift * day)
    return total


def sea(lon: Floats, lat: Floats) -> Booleans:
    """True inside one of the open-ocean boxes of the raster scenes' land mask."""
    found = np.zeros(np.broadcast_shapes(np.shape(lon), np.shape(lat)), dtype=np.bool_)
    for west, south, east, north in SEA:
        found |= (lon >= west) & (lon < east) & (lat >= south) & (lat < north)
    return found


def altitude(lon: Floats, lat: Floats) -> Floats:
    """Metres: 1500 + 800 sin(97 lon) sin(2 pi lat / 2.9 deg) on land, 0 at sea."""
    hills = np.sin(np.deg2rad(97.0 * lon)) * np.sin(2 * np.pi * lat / 2.9)
    return np.where(sea(lon, lat), 0.0, 1500.0 + 800.0 * hills)


def cloud_fraction(lon: Floats, lat: Floats, day: Floats) -> Floats:
    """Cloud fraction 0 .. 1: clip(0.5 + 1.5 (waves(CLOUDS) - 0.15))."""
    waves = plane_waves(CLOUDS, unit_vectors(lon, lat), day)
    return np.clip(0.5 + 1.5 * (waves - 0.15), 0.0, 1.0)


def snow_fraction(lon: Floats, lat: Floats, day: Floats) -> Floats:
    """Snow fraction 0 .. 1 on land: a snow line that moves in the north, 60 S in the south."""
    line = 55.0 - 13.0 * np.cos(2 * np.pi * (day - 15.0) / YEAR_DAYS)
    beyond = np.where(lat >= 0.0, lat - line, -60.0 - lat)
    return np.where(sea(lon, lat), 0.0, np.clip(beyond / 3.0, 0.0, 1.0))


def is_bright(lon: Floats, lat: Floats, day: Floats) -> Booleans:
    """OLCI's bright flag: half of the pixel or more is cloud, or half or more is snow."""
    return (cloud_fraction(lon, lat, day) >= 0.5) | (snow_fraction(lon, lat, day) >= 0.5)


@dataclass(frozen=True)
class Ground:
    """What the radiance of all bands at some points depends on; arrays of one shape.

    Attributes:
        cos_sun: Cosine of the sun's zenith angle, at least 0.02.
        cloud: Cloud fraction.
        snow: Snow fraction.
        green: Vegetation fraction.
        sea: True at sea.
    """

    cos_sun: Floats
    cloud: Floats
    snow: Floats
    green: Floats
    sea: Booleans


def ground(lon: Floats, lat: Floats, day: Floats, sun_zenith: Floats) -> Ground:
    """The surface, the clouds and the light at points (all arguments broadcast; degrees, days)."""
    green = 0.5 + 0.5 * plane_waves(GREENNESS, unit_vectors(lon, lat), np.zeros(1))
    return Ground(
        cos_sun=np.maximum(np.cos(np.deg2rad(sun_zenith)), 0.02),
        cloud=cloud_fraction(lon, lat, day),
        snow=snow_fraction(lon, lat, day),
        green=green,
        sea=sea(lon, lat),
    )


def radiance(band: str, at: Ground) -> Floats:
    """Radiance at the top of the atmosphere, mW m-2 sr-1 nm-1.

    E cos(sun) / pi * T * (path + (1 - cloud) * surface + cloud * 0.75), where the surface is water
    at sea and else snow * snow + (1 - snow) * (soil * (1 - green) + vegetation * green).
    """
    model = OLCI_BANDS[band]
    bare = model.soil * (1 - at.green) + model.vegetation * at.green
    surface = np.where(at.sea, model.water, at.snow * model.snow + (1 - at.snow) * bare)
    mixed = model.path + (1 - at.cloud) * surface + at.cloud * CLOUD_REFLECTANCE
    return model.irradiance * at.cos_sun / np.pi * model.transmission * mixed


def gas_column(gas: str, lon: Floats, lat: Floats, day: Floats) -> Floats:
    """Vertical column of a gas, mol m-2.

    With phi = latitude, lam = longitude, s = 2 pi (d - 80) / 365.25 and w = sin(2 pi d / 7):
        co   0.030 + 0.006 sin phi + 0.004 cos phi cos(2 lam + 1) + 0.002 cos s + 0.001 w
        no2  4e-5 + 1.5e-5 cos phi cos 2 lam + 1e-5 sin phi cos s + 3e-6 w
        o3   0.130 - 0.020 cos 2 phi + 0.010 sin phi sin s + 0.004 cos phi cos lam + 0.002 w
        so2  4e-5 + 1.2e-4 cos phi sin(2 lam) + 4e-5 sin 2 phi + 3e-5 w

    Raises:
        KeyError: `gas` is none of the four.
    """
    phi, lam = np.deg2rad(lat), np.deg2rad(lon)
    s, week = 2 * np.pi * (day - 80.0) / YEAR_DAYS, np.sin(2 * np.pi * day / 7.0)
    column: Floats
    if gas == "co":
        column = 0.030 + 0.006 * np.sin(phi) + 0.004 * np.cos(phi) * np.cos(2 * lam + 1)
        column = column + 0.002 * np.cos(s) + 0.001 * week
    elif gas == "no2":
        column = 4e-5 + 1.5e-5 * np.cos(phi) * np.cos(2 * lam)
        column = column + 1e-5 * np.sin(phi) * np.cos(s) + 3e-6 * week
    elif gas == "o3":
        column = 0.130 - 0.020 * np.cos(2 * phi) + 0.010 * np.sin(phi) * np.sin(s)
        column = column + 0.004 * np.cos(phi) * np.cos(lam) + 0.002 * week
    elif gas == "so2":
        column = 4e-5 + 1.2e-4 * np.cos(phi) * np.sin(2 * lam)
        column = column + 4e-5 * np.sin(2 * phi) + 3e-5 * week
    else:
        raise KeyError(f"there is no gas {gas!r}: expected co, no2, o3 or so2")
    return column


def is_saturated(lon: Floats, lat: Floats, day: Floats) -> Booleans:
    """Where OLCI's `SATURATED_BANDS` are at their largest value: waves(CLOUDS) > 0.7."""
    return plane_waves(CLOUDS, unit_vectors(lon, lat), day) > 0.7
