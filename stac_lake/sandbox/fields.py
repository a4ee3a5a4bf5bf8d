"""The analytic fields that the raster scenes sample; docs/sandbox.md has the formulas for tests.

Fields of Sentinel-2 and Sentinel-1 are functions of UTM easting x and northing y in metres (of the
scene's own zone) and of time; heights are functions of longitude and latitude. Every smooth field
is a sum of products of a function of x and one of y, which makes a block of pixels cheap. They are
summed term by term, not by a matrix product: BLAS threads cost more here than they save, and its
sums depend on the machine. Arithmetic is float64 for the one-dimensional factors and float32 for
the blocks of Sentinel-1 and 2.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Axis = NDArray[np.float64]
Wave = tuple[float, float, float, float, float]
"""amplitude, wavelength in x, phase in x (turns), wavelength in y, phase in y (turns)."""

EPOCH = datetime(2015, 1, 1, tzinfo=UTC)

SURFACE: tuple[Wave, ...] = (
    (0.5, 37_000, 0.1, 29_000, 0.3),
    (0.3, 7_300, 0.7, 9_100, 0.2),
    (0.2, 1_900, 0.4, 2_300, 0.9),
)
TEXTURE: tuple[Wave, ...] = ((0.6, 610, 0.2, 530, 0.6), (0.4, 310, 0.5, 270, 0.1))
LAKES: tuple[Wave, ...] = ((0.6, 11_000, 0.3, 13_000, 0.8), (0.4, 4_100, 0.6, 3_700, 0.4))
SNOW: tuple[Wave, ...] = ((0.6, 19_000, 0.9, 17_000, 0.5), (0.4, 3_300, 0.2, 4_300, 0.7))
CLOUDS: tuple[Wave, ...] = (
    (0.5, 61_000, 0.0, 53_000, 0.5),
    (0.3, 23_000, 0.3, 19_000, 0.1),
    (0.2, 7_900, 0.8, 6_700, 0.6),
)
BACKSCATTER: tuple[Wave, ...] = (
    (0.5, 31_000, 0.6, 41_000, 0.2),
    (0.3, 5_900, 0.1, 6_100, 0.4),
    (0.2, 730, 0.8, 690, 0.3),
)
CROSS_POL: tuple[Wave, ...] = ((0.6, 17_000, 0.4, 13_000, 0.9), (0.4, 1_700, 0.7, 2_100, 0.5))
# Metres, waves in 360 degrees of longitude, degrees of latitude in a wave.
RELIEF = ((800.0, 97, 2.9), (400.0, 590, 0.47), (180.0, 4337, 0.071), (20.0, 27691, 0.011))
RELIEF_MEAN = 1500.0

TEXTURE_SHARE = 0.03
LAKE_LEVEL = 0.45
CLOUD_EDGE = 0.12
CLOUD_DRIFT = (7.0, -3.0)  # m/s, east and north
SHADOW_SHIFT = (600.0, -800.0)  # from a shadow to the cloud that throws it, metres
SHADOW_FACTOR = 0.55

# Open ocean in whole degrees (west, south, east, north): no scene and no DEM tile lies inside.
# Everything else counts as land, so that every cell with a coast can be harvested.
SEA: tuple[tuple[int, int, int, int], ...] = (
    (-170, -12, -130, 15), (-165, 24, -150, 50), (-150, -60, -85, -5), (-130, 5, -120, 30),
    (-120, -5, -95, 10), (-50, 5, -20, 14), (-60, 22, -30, 40), (-45, 40, -15, 50),
    (-25, -50, 5, 0), (-35, -55, -10, -40), (5, -58, 12, -40), (58, -60, 68, -50),
    (60, -45, 95, -10), (75, -58, 110, -35), (82, -10, 93, 5), (155, 20, 180, 48),
    (-180, 28, -165, 48), (-180, -62, -60, -60), (20, -62, 180, -60),
)  # fmt: skip


@dataclass(frozen=True)
class BandModel:
    """Reflectances of one Sentinel-2 band over the pure surfaces, and what the air adds at L1C."""

    resolution: int
    soil: float
    vegetation: float
    water: float
    snow: float
    cloud: float
    path: float
    index: int


S2_BANDS: Mapping[str, BandModel] = {
    "B01": BandModel(60, 0.07, 0.03, 0.05, 0.86, 0.70, 0.100, 0),
    "B02": BandModel(10, 0.09, 0.04, 0.05, 0.88, 0.72, 0.075, 1),
    "B03": BandModel(10, 0.13, 0.08, 0.05, 0.89, 0.74, 0.045, 2),
    "B04": BandModel(10, 0.18, 0.05, 0.03, 0.87, 0.76, 0.030, 3),
    "B05": BandModel(20, 0.21, 0.12, 0.03, 0.84, 0.77, 0.025, 4),
    "B06": BandModel(20, 0.24, 0.26, 0.02, 0.82, 0.78, 0.020, 5),
    "B07": BandModel(20, 0.26, 0.32, 0.02, 0.80, 0.78, 0.018, 6),
    "B08": BandModel(10, 0.28, 0.36, 0.02, 0.78, 0.78, 0.015, 7),
    "B8A": BandModel(20, 0.30, 0.38, 0.02, 0.74, 0.77, 0.012, 8),
    "B09": BandModel(60, 0.15, 0.18, 0.01, 0.40, 0.45, 0.005, 9),
    "B10": BandModel(60, 0.001, 0.001, 0.001, 0.001, 0.03, 0.0, 10),
    "B11": BandModel(20, 0.36, 0.20, 0.01, 0.08, 0.55, 0.004, 11),
    "B12": BandModel(20, 0.30, 0.11, 0.01, 0.06, 0.45, 0.002, 12),
}


def unit_hash(*parts: object) -> float:
    """A number in [0, 1) that depends on `parts` alone: BLAKE2b-64 of their text joined by `|`."""
    text = "|".join(str(part) for part in parts).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") / 2**64


def waves(terms: Sequence[Wave], x: Axis, y: Axis) -> Floats:
    """Σ a · sin 2π(x/Lx + φx) · sin 2π(y/Ly + φy) at all pairs, as (y, x)."""
    total: Floats = np.zeros((y.size, x.size), np.float32)
    for a, lx, px, ly, py in terms:
        across = np.sin(2 * np.pi * (x / lx + px)).astype(np.float32)
        down = a * np.sin(2 * np.pi * (y / ly + py))
        total += down.astype(np.float32)[:, None] * across[None, :]
    return total


def noise(x: Axis, y: Axis, resolution: float, channel: int, bits: int) -> NDArray[np.uint32]:
    """Integer noise of 0 … 2^bits - 1 from the pixel's place, as (y, x).

    i = floor(x / resolution), j = floor(y / resolution); a 32-bit mix of both and of `channel`.
    """
    column = np.floor(x / resolution).astype(np.int64).astype(np.uint32) * np.uint32(0x9E3779B1)
    row = np.floor(y / resolution).astype(np.int64).astype(np.uint32) * np.uint32(0x85EBCA77)
    row ^= np.uint32(channel * 0xC2B2AE3D & 0xFFFFFFFF)
    mixed = row[:, None] ^ column[None, :]
    mixed ^= mixed >> np.uint32(15)
    mixed *= np.uint32(0x2C1B3C6D)
    mixed >>= np.uint32(32 - bits)
    return mixed


def season(day: datetime, south: bool) -> float:
    """Cos of the time of year: 1 in mid-July in the north and in mid-January in the south."""
    value = math.cos(2 * math.pi * ((day - EPOCH).total_seconds() / 86400 - 196) / 365.25)
    return -value if south else value


@dataclass(frozen=True)
class Optics:
    """What the sky and the land look like in one Sentinel-2 datatake.

    Attributes:
        time: Start of the datatake, UTC: one for all its tiles, so that overlaps agree.
        cloud_threshold: Clouds stand where the cloud field exceeds this.
        south: The scene's CRS is that of a southern zone (the equator has northing 1e7 m).
        top: Seen from the top of the atmosphere (L1C), not from its bottom (L2A).
    """

    time: datetime
    cloud_threshold: float
    south: bool
    top: bool

    def cloud(self, x: Axis, y: Axis) -> Floats:
        """Opacity of cloud in [0, 1], as (y, x)."""
        seconds = (self.time - EPOCH).total_seconds()
        drifted = waves(CLOUDS, x - CLOUD_DRIFT[0] * seconds, y - CLOUD_DRIFT[1] * seconds)
        opacity: Floats = np.clip((drifted - self.cloud_threshold) / CLOUD_EDGE, 0, 1)
        return opacity

    def shadow(self, x: Axis, y: Axis) -> NDArray[np.bool_]:
        """Where a cloud of opacity 0.3 and more throws its shadow, as (y, x)."""
        dx, dy = SHADOW_SHIFT
        thrown: NDArray[np.bool_] = self.cloud(x + dx, y + dy) >= 0.3
        return thrown

    def water(self, x: Axis, y: Axis) -> NDArray[np.bool_]:
        """Lakes, as (y, x)."""
        return waves(LAKES, x, y) > LAKE_LEVEL

    def snow(self, x: Axis, y: Axis) -> NDArray[np.bool_]:
        """Snow on land: none at low latitudes, everywhere at high ones, more in winter."""
        degrees = np.abs(y - (1e7 if self.south else 0.0)) / 111_000
        level = (degrees - 52) / 10 - 1.2 * season(self.time, self.south)
        return waves(SNOW, x, y) < level.astype(np.float32)[:, None]

    def greenness(self, x: Axis, y: Axis) -> Floats:
        """Share of vegetation in [0, 1], as (y, x); above 0.5 counts as vegetation."""
        shift = 0.5 + 0.15 * season(self.time, self.south)
        share: Floats = np.clip(shift + 0.4 * waves(SURFACE, x, y), 0, 1)
        return share


def reflectance(optics: Optics, band: str, x: Axis, y: Axis) -> Floats:
    """Reflectance of one band, at the bottom or the top of the atmosphere, as (y, x)."""
    model = S2_BANDS[band]
    green = optics.greenness(x, y)
    value = model.soil + np.float32(model.vegetation - model.soil) * green
    np.putmask(value, optics.snow(x, y), model.snow)
    np.putmask(value, optics.water(x, y), model.water)
    value *= 1 + np.float32(TEXTURE_SHARE) * waves(TEXTURE, x, y)
    if optics.cloud_threshold < 1:  # the cloud field stays within ±1
        cloud = optics.cloud(x, y)
        value *= np.where(optics.shadow(x, y) & (cloud == 0), np.float32(SHADOW_FACTOR), 1)
        value += cloud * (np.float32(model.cloud) - value)
    if optics.top:
        value = np.float32(0.92) * value + np.float32(model.path)
    return value


def digital_numbers(
    optics: Optics, band: str, x: Axis, y: Axis, resolution: float
) -> NDArray[np.uint16]:
    """max(1, round(10000 ρ) + noise of 0 … 7), without any offset, as (y, x)."""
    value = np.rint(reflectance(optics, band, x, y) * np.float32(10_000)).astype(np.int32)
    value += noise(x, y, resolution, S2_BANDS[band].index, 3).astype(np.int32)
    numbers: NDArray[np.uint16] = np.maximum(value, 1).astype(np.uint16)
    return numbers


def scene_classes(optics: Optics, x: Axis, y: Axis) -> NDArray[np.uint8]:
    """Sen2Cor's scene classification: 3 4 5 6 8 9 10 11, as (y, x)."""
    cloud = optics.cloud(x, y)
    classes = np.where(optics.greenness(x, y) > 0.5, 4, 5).astype(np.uint8)
    classes[optics.snow(x, y)] = 11
    classes[optics.water(x, y)] = 6
    classes[optics.shadow(x, y)] = 3
    classes[cloud > 0] = 10
    classes[cloud >= 0.3] = 8
    classes[cloud >= 0.7] = 9
    return classes


def mask_classes(optics: Optics, x: Axis, y: Axis) -> NDArray[np.uint8]:
    """L1C's classification mask: opaque cloud, cirrus, snow (0 or 1), as (3, y, x).

    It finds the clouds that `scene_classes` finds: opaque from 0.3 on, cirrus below.
    """
    cloud = optics.cloud(x, y)
    snow = optics.snow(x, y) & ~optics.water(x, y) & (cloud == 0)
    return np.stack([cloud >= 0.3, (cloud > 0) & (cloud < 0.3), snow]).astype(np.uint8)


def gamma0(time: datetime, polarisation: str, x: Axis, y: Axis, resolution: float) -> Floats:
    """γ0 as linear power on multiples of 2^-16, with multiplicative noise, as (y, x)."""
    decibel = -10 + 3 * waves(BACKSCATTER, x, y) + np.float32(0.5 * season(time, False))
    if polarisation == "vh":
        decibel += -7 + np.float32(1.5) * waves(CROSS_POL, x, y)
    day = int((time - EPOCH).total_seconds() // 86400)
    grain = noise(x, y, resolution, 64 + 2 * day + (polarisation == "vh"), 6)
    power = np.exp(decibel * np.float32(math.log(10) / 10)) * (0.85 + 0.3 / 63 * grain)
    stepped: Floats = (np.maximum(np.rint(power * 2**16), 1) / 2**16).astype(np.float32)
    return stepped


def height(lon: Axis, lat: Axis) -> Floats:
    """Height in metres above the geoid on multiples of 1/64 m, as (lat, lon); 100 to 2900 m.

    The wave numbers in longitude are whole, so that nothing jumps at the antimeridian.
    """
    total = np.full((lat.size, lon.size), RELIEF_MEAN)
    for k, (a, m, length) in enumerate(RELIEF):
        down = a * np.sin(2 * np.pi * lat / length)
        total += down[:, None] * np.sin(np.radians(m * lon) + k)[None, :]
    metres: Floats = (np.rint(total * 64) / 64).astype(np.float32)
    return metres


def is_sea(lon: float, lat: float) -> bool:
    """True inside one of the open-ocean boxes `SEA`."""
    lon = (lon + 180.0) % 360.0 - 180.0
    return any(w <= lon < e and s <= lat < n for w, s, e, n in SEA)
