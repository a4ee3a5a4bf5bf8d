"""The geometry of a ground-range image: which place a pixel shows, and which pixel shows a place.

Pixel (line, sample) lies at the slant range that the conversion record nearest to its line's time
gives for its ground range, and at zero Doppler time

    t = line · Δt + (R − R₀) / c

after the product's first line, R₀ being the middle of the slant ranges: the processor corrects the
bistatic delay for the middle of the swath only, which the time in each point of a real product's
geolocation grid shows. The place is where the circle of that range in the plane of zero Doppler,
to the right of flight, meets the ground.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from stac_lake.sandbox.ellipsoid import from_ecef, normal, to_ecef
from stac_lake.sandbox.s1_arc import Arc
from stac_lake.sandbox.s1_terrain import HALF, MIDDLE
from stac_lake.sandbox.sphere import Floats, wrap

SPEED_OF_LIGHT = 299_792_458.0  # m/s
SLICE_S = 25
RECORDS = 28  # conversion records, a second apart, as in a product of 25 s
FIRST_RECORD_S = -1.3  # after the first line
DRIFT_M = 0.2  # by which the far slant range of a record differs from that of the one before
_HEIGHTS = np.cos(np.pi * (np.arange(4) + 0.5) / 4)  # Chebyshev nodes of [-1, 1]
_TO_CUBIC = np.linalg.inv(np.vander(_HEIGHTS, 4, increasing=True))


@dataclass(frozen=True)
class Mode:
    """An acquisition mode with its product.

    Attributes:
        name: `IW` or `EW`.
        spacing: Ground range and azimuth spacing, metres.
        lines: Lines of a slice, both ends' times included.
        samples: Ground-range samples.
        near_km: Ground distance of sample 0 from the ground track.
        swaths: Number of sub-swaths, each as wide as the others.
        burst_s: Period of the scalloping, seconds.
        degree: Of the polynomials between slant and ground range: EW's nearer edge bends more.
    """

    name: str
    spacing: float
    lines: int
    samples: int
    near_km: float
    swaths: int
    burst_s: float
    degree: int

    @property
    def interval(self) -> float:
        """Seconds between lines."""
        return SLICE_S / (self.lines - 1)


MODES = {
    "IW": Mode("IW", 10.0, 16_705, 25_200, 349.0, 3, 2.758, 8),
    "EW": Mode("EW", 40.0, 4_177, 10_500, 214.0, 5, 3.04, 12),
}


@dataclass(frozen=True)
class Frame:
    """Where the pixels of one slice lie.

    Attributes:
        platform: `S1A` or `S1B`.
        mode: Sets the grid.
        start: Zero Doppler time of the first line, aware.
    """

    platform: str
    mode: Mode
    start: datetime

    @cached_property
    def arc(self) -> Arc:
        """The orbit; its second 0 is the first line."""
        return Arc(self.platform, self.start)

    @cached_property
    def to_slant(self) -> Floats:
        """Coefficients of slant range by ground range, (record, power)."""
        ranges, distance = self._section()
        by_distance = CubicSpline(distance, ranges)
        metres = self._span()
        near = self.mode.near_km * 1e3
        base = Polynomial.fit(metres, by_distance(metres + near), self.mode.degree).convert().coef
        records = np.tile(base.astype(np.float64), (RECORDS, 1))
        length = self.mode.samples * self.mode.spacing
        records[:, 1] += DRIFT_M * (np.arange(RECORDS) - (RECORDS - 1) / 2) / length
        return records

    @cached_property
    def to_ground(self) -> Floats:
        """Coefficients of ground range by slant range beyond a record's first, (record, power)."""
        metres = self._span()
        fits = [
            Polynomial.fit(Polynomial(one)(metres) - one[0], metres, self.mode.degree)
            .convert()
            .coef
            for one in self.to_slant
        ]
        return np.array(fits)

    def _span(self) -> Floats:
        length = self.mode.samples * self.mode.spacing
        return np.linspace(-0.01 * length, 1.01 * length, 500)

    def _section(self) -> tuple[Floats, Floats]:
        """Slant ranges, and ground distances from the nadir, at the slice's middle."""
        seconds = np.array(SLICE_S / 2)
        position, _ = self.arc.states(seconds)
        lon, lat, altitude = from_ecef(position)
        ranges = float(altitude) + np.geomspace(3e3, 5e5, 400)  # from 60 km off
        place = to_ecef(*self._meet(np.full(ranges.shape, SLICE_S / 2), ranges, 0.0), 0.0)
        steps = np.linalg.norm(np.diff(place, axis=0), axis=-1)
        first = float(np.linalg.norm(place[0] - to_ecef(lon, lat, 0.0)))
        return ranges, first + np.concatenate([[0.0], np.cumsum(steps)])

    @cached_property
    def middle_range(self) -> float:
        """R₀, metres."""
        slant = np.polynomial.polynomial.polyval(
            np.array([0.0, (self.mode.samples - 1) * self.mode.spacing]),
            self.to_slant[RECORDS // 2],
        )
        return float(slant.mean())

    def record(self, line: Floats) -> NDArray[np.int64]:
        """Number of the conversion record that is nearest in time."""
        seconds = line * self.mode.interval - FIRST_RECORD_S
        return np.clip(np.rint(seconds), 0, RECORDS - 1).astype(np.int64)

    def slant_range(self, line: Floats, sample: Floats) -> Floats:
        """Metres; the arguments broadcast."""
        ground = np.asarray(sample * self.mode.spacing)
        coefficients = self.to_slant[self.record(np.asarray(line))]
        total = np.zeros(np.broadcast_shapes(np.shape(line), ground.shape))
        for power in range(self.mode.degree, -1, -1):
            total = total * ground + coefficients[..., power]
        return total

    def zero_doppler(self, line: Floats, slant: Floats) -> Floats:
        """Seconds after the first line."""
        return line * self.mode.interval + (slant - self.middle_range) / SPEED_OF_LIGHT

    def meet(self, line: Floats, sample: Floats, height: float) -> tuple[Floats, Floats]:
        """Lon and lat of pixels at a height above the ellipsoid; the arguments broadcast."""
        slant = self.slant_range(line, sample)
        return self._meet(self.zero_doppler(line, slant), slant, height)

    def _meet(
        self, seconds: Floats, slant: Floats, height: Floats | float
    ) -> tuple[Floats, Floats]:
        """Newton's iteration for the look angle at which the circle of a range has a height."""
        position, velocity = self.arc.states(seconds)
        ahead = velocity / np.linalg.norm(velocity, axis=-1, keepdims=True)
        down = -position + (position * ahead).sum(-1, keepdims=True) * ahead
        down /= np.linalg.norm(down, axis=-1, keepdims=True)
        right = np.cross(down, ahead)
        radius = np.linalg.norm(position, axis=-1)
        earth = radius - from_ecef(position)[2] + height
        cosine = (radius**2 + slant**2 - earth**2) / (2 * radius * slant)
        look = np.arccos(np.clip(cosine, -1.0, 1.0 - 1e-9))
        reach = slant[..., None]
        for _ in range(5):  # quadratic, from some hundred metres
            sine, cosine = np.sin(look)[..., None], np.cos(look)[..., None]
            lon, lat, found = from_ecef(position + reach * (cosine * down + sine * right))
            rise = (reach * (cosine * right - sine * down) * normal(lon, lat)).sum(-1)
            look = look - (found - height) / rise
        return lon, lat

    def cubic(self, line: Floats, sample: Floats) -> tuple[Floats, Floats]:
        """Lon and lat of pixels as cubics of height, (power, ...); see `s1_terrain.ground`."""
        slant = self.slant_range(line, sample)
        return self.cubic_at(self.zero_doppler(line, slant), slant)

    def cubic_at(self, seconds: Floats, slant: Floats) -> tuple[Floats, Floats]:
        """As `cubic`, by zero Doppler time and slant range. Lon is not wrapped."""
        heights = (MIDDLE + HALF * _HEIGHTS).reshape(-1, *[1] * seconds.ndim)
        lon, lat = self._meet(seconds, slant, heights)
        lon = lon.flat[0] + wrap(lon - lon.flat[0])
        return np.tensordot(_TO_CUBIC, lon, 1), np.tensordot(_TO_CUBIC, lat, 1)

    def image_of(self, lon: Floats, lat: Floats, height: Floats) -> tuple[Floats, Floats]:
        """Line and sample, as fractions, of places in degrees and metres above the ellipsoid."""
        seconds, slant = self.arc.closest(to_ecef(lon, lat, height), SLICE_S / 2)
        line = (seconds - (slant - self.middle_range) / SPEED_OF_LIGHT) / self.mode.interval
        sample = np.full(np.shape(slant), self.mode.samples / 2)
        for _ in range(8):
            step = self.slant_range(line, sample + 0.5) - self.slant_range(line, sample - 0.5)
            sample = sample - (self.slant_range(line, sample) - slant) / step
        return line, sample


@lru_cache(maxsize=64)
def frame_of(platform: str, mode: str, start: datetime) -> Frame:
    """The frame of a slice; it keeps what it has worked out."""
    return Frame(platform, MODES[mode], start)
