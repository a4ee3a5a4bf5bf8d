"""A small GRD SAFE product on an analytic orbit, imaged forward by brute force.

The satellite flies a circle in inertial space over a turning Earth; zero Doppler is found by
bisection, ground range by spherical trigonometry. Nothing here is shared with what is tested.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from pyproj import Transformer
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.io import MemoryFile
from scipy.optimize import brentq

LIGHT = 299_792_458.0
START = np.datetime64("2021-06-01T17:00:00.123456", "ns")
_TURN = 7.2921159e-5
_RADIUS, _RATE, _TILT = 7_070_000.0, 2 * np.pi / 5925.0, np.radians(98.18)
_TO_SPACE = Transformer.from_crs(4979, 4978, always_xy=True)


def in_space(lon, lat, height) -> np.ndarray:
    """Earth-fixed coordinates by PROJ's cart operation, which needs no grid."""
    return np.stack(_TO_SPACE.transform(lon, lat, height), axis=-1)


@dataclass(frozen=True)
class Product:
    """An image of `lines` × `samples` whose near edge's middle sees (lon, lat).

    Attributes:
        line_s: Seconds between lines.
        pixel_m: Metres between samples.
        stretch: Change of the ground range per second and metre, so that polynomials differ.
    """

    lon: float = 10.3
    lat: float = 45.6
    lines: int = 900
    samples: int = 1000
    line_s: float = 1.5e-3
    pixel_m: float = 10.0
    stretch: float = 2e-5
    near: float = 805_000.0
    mode: str = "IW"
    bounds: Sequence[tuple[int, int, int, int]] = ()
    denoised: bool = False
    calibration: Callable = field(default=lambda line, pixel: 650 - 0.05 * pixel + 0.01 * line)
    noise: Callable = field(
        default=lambda line, pixel: np.where(pixel < 500, 2300 - 1.2 * pixel, 900 + 0.5 * pixel)
    )
    scallop: Callable = field(
        default=lambda line, pixel: np.where(
            pixel < 500, 1 + 0.1 * np.sin(line / 90), 1.05 + 0.0002 * line
        )
    )

    @cached_property
    def _turned(self) -> tuple[float, float]:
        """Argument of latitude and node so that mid-image sees (lon, lat) at the near edge."""
        middle = self.lines * self.line_s / 2
        target = in_space(self.lon, self.lat, 0.0)

        def miss(argument: float, node: float) -> tuple[float, float]:
            position, velocity = _circle(middle, argument, node)
            sight = target - position
            side = np.dot(np.cross(position, velocity), sight)  # negative to the right
            return float(np.dot(sight, velocity)), float(np.linalg.norm(sight)) * np.sign(-side)

        argument, node = np.radians(self.lat), np.radians(self.lon)
        for _ in range(50):
            argument = brentq(lambda a, n=node: miss(a, n)[0], argument - 0.2, argument + 0.2)
            node = brentq(lambda n, a=argument: miss(a, n)[1] - self.near, node - 0.3, node + 0.3)
        return argument, node

    def position(self, time: float) -> np.ndarray:
        return _circle(time, *self._turned)[0]

    def velocity(self, time: float) -> np.ndarray:
        return _circle(time, *self._turned)[1]

    def seen(self, lon: float, lat: float, height: float) -> tuple[float, float, float, float]:
        """Line, pixel, time and slant range of one place, by bisection."""
        place = in_space(lon, lat, height)
        time = brentq(
            lambda t: np.dot(place - self.position(t), self.velocity(t)), -20, 20, xtol=1e-12
        )
        slant = float(np.linalg.norm(self.position(time) - place))
        line = (time - self._bistatic(slant)) / self.line_s
        return line, self.ground(time, slant) / self.pixel_m, time, slant

    def ground(self, time: float, slant: float) -> float:
        """Ground range on a sphere, growing by `stretch` as time goes."""
        low, high = np.linalg.norm(self.position(0)), 6_368_000.0

        def centre(r: float) -> float:
            return float(np.arccos((low**2 + high**2 - r**2) / (2 * low * high)))

        return high * (centre(slant) - centre(self.near)) * (1 + self.stretch * time)

    def _bistatic(self, slant: float) -> float:
        return (slant - self.near - 3000.0) / LIGHT

    def _slant(self, line: float, pixel: float) -> tuple[float, float]:
        """Time and slant range of a pixel."""
        slant = self.near
        for _ in range(5):
            time = line * self.line_s + self._bistatic(slant)
            slant = brentq(
                lambda r, t=time: self.ground(t, r) - pixel * self.pixel_m,
                self.near - 5e3,
                self.near + 5e5,
                xtol=1e-7,
            )
        return line * self.line_s + self._bistatic(slant), slant

    def annotation(self) -> bytes:
        orbit = "".join(
            f"<orbit><time>{_utc(t)}</time><frame>Earth Fixed</frame>"
            f"{_xyz('position', self.position(t))}{_xyz('velocity', self.velocity(t))}</orbit>"
            for t in np.arange(-60.0, 70.0, 10.0)
        )
        conversions = "".join(self._conversion(t) for t in np.arange(-1.0, 4.0))
        points = "".join(
            self._point(line, pixel)
            for line in np.linspace(0, self.lines - 1, 5).astype(int)
            for pixel in np.linspace(0, self.samples - 1, 6).astype(int)
        )
        merges = "".join(
            f"<swathMerge><swathBoundsList><swathBounds><firstAzimuthLine>{a}</firstAzimuthLine>"
            f"<firstRangeSample>{c}</firstRangeSample><lastAzimuthLine>{b}</lastAzimuthLine>"
            f"<lastRangeSample>{d}</lastRangeSample></swathBounds></swathBoundsList></swathMerge>"
            for a, b, c, d in self.bounds
        )
        return (
            "<product><adsHeader><productType>GRD</productType></adsHeader>"
            f"<generalAnnotation><orbitList>{orbit}</orbitList></generalAnnotation>"
            "<imageAnnotation><imageInformation>"
            f"<productFirstLineUtcTime>{_utc(0)}</productFirstLineUtcTime>"
            f"<rangePixelSpacing>{self.pixel_m}</rangePixelSpacing>"
            f"<azimuthTimeInterval>{self.line_s!r}</azimuthTimeInterval>"
            f"<numberOfSamples>{self.samples}</numberOfSamples>"
            f"<numberOfLines>{self.lines}</numberOfLines></imageInformation>"
            "<processingInformation><thermalNoiseCorrectionPerformed>"
            f"{str(self.denoised).lower()}</thermalNoiseCorrectionPerformed>"
            "</processingInformation></imageAnnotation>"
            "<geolocationGrid><geolocationGridPointList>"
            f"{points}</geolocationGridPointList></geolocationGrid>"
            "<coordinateConversion><coordinateConversionList>"
            f"{conversions}</coordinateConversionList></coordinateConversion>"
            f"<swathMerging><swathMergeList>{merges}</swathMergeList></swathMerging></product>"
        ).encode()

    def _conversion(self, time: float) -> str:
        scale = 5e4
        slant = self.near + np.linspace(-4000.0, 40 * self.samples, 60)
        ground = [self.ground(time, r) for r in slant]
        fit = np.polynomial.polynomial.polyfit((slant - self.near) / scale, ground, 8)
        numbers = " ".join(repr(float(c / scale**n)) for n, c in enumerate(fit))
        back = np.polynomial.polynomial.polyfit(np.array(ground) / scale, slant, 8)
        inverse = " ".join(repr(float(c / scale**n)) for n, c in enumerate(back))
        return (
            f"<coordinateConversion><azimuthTime>{_utc(time)}</azimuthTime><sr0>{self.near}</sr0>"
            f"<srgrCoefficients>{numbers}</srgrCoefficients><gr0>0</gr0>"
            f"<grsrCoefficients>{inverse}</grsrCoefficients></coordinateConversion>"
        )

    def _point(self, line: int, pixel: int) -> str:
        time, slant = self._slant(line, pixel)
        return (
            f"<geolocationGridPoint><azimuthTime>{_utc(time)}</azimuthTime>"
            f"<slantRangeTime>{2 * slant / LIGHT!r}</slantRangeTime>"
            f"<line>{line}</line><pixel>{pixel}</pixel></geolocationGridPoint>"
        )

    def calibration_file(self) -> bytes:
        vectors = ""
        for number, line in enumerate((0, 400, self.lines - 1)):
            pixels = np.arange(0, self.samples, 40 - number)  # each vector has its own points
            pixels = np.unique([*pixels, self.samples - 1])
            values = self.calibration(line, pixels)
            vectors += (
                f"<calibrationVector><line>{line}</line>{_list('pixel', pixels)}"
                f"{_list('sigmaNought', values)}</calibrationVector>"
            )
        body = f"<calibrationVectorList>{vectors}</calibrationVectorList>"
        return f"<calibration>{body}</calibration>".encode()

    def noise_file(self, *, old: bool = False, scale: float = 1.0) -> bytes:
        names = ("noiseVector", "noiseLut") if old else ("noiseRangeVector", "noiseRangeLut")
        pixels = np.unique([*np.arange(0, self.samples, 40), 499, 500, self.samples - 1])
        vectors = "".join(
            f"<{names[0]}><line>{line}</line>{_list('pixel', pixels)}"
            f"{_list(names[1], scale * self.noise(line, pixels))}</{names[0]}>"
            for line in (0, 450, self.lines - 1)
        )
        body = f"<{names[0]}List>{vectors}</{names[0]}List>"
        if not old:
            blocks = "".join(
                self._block(first, last) for first, last in ((0, 499), (500, self.samples - 1))
            )
            body += f"<noiseAzimuthVectorList>{blocks}</noiseAzimuthVectorList>"
        return f"<noise>{body}</noise>".encode()

    def _block(self, first: int, last: int) -> str:
        lines = np.unique([*np.arange(0, self.lines, 10), self.lines - 1])
        return (
            "<noiseAzimuthVector><firstAzimuthLine>0</firstAzimuthLine>"
            f"<firstRangeSample>{first}</firstRangeSample>"
            f"<lastAzimuthLine>{self.lines - 1}</lastAzimuthLine>"
            f"<lastRangeSample>{last}</lastRangeSample>{_list('line', lines)}"
            f"{_list('noiseAzimuthLut', self.scallop(lines, first))}</noiseAzimuthVector>"
        )

    def image(self, power: np.ndarray, *, noisy: bool = True, driver: str = "GTiff") -> bytes:
        """The digital numbers of a field of linear σ0, as a TIFF with ground control points."""
        line, pixel = np.mgrid[: self.lines, : self.samples].astype(float)
        square = power * self.calibration(line, pixel) ** 2
        if noisy:
            square = square + self.noise(line, pixel) * self.scallop(line, pixel)
        return tiff(np.rint(np.sqrt(np.maximum(square, 0))).astype(np.uint16), self, driver)


def tiff(dn: np.ndarray, at: Product, driver: str = "GTiff") -> bytes:
    tiled = {"tiled": True, "blockxsize": 256, "blockysize": 256}
    layout = {
        "COG": {"driver": "COG", "blocksize": 256, "overview_resampling": "rms"},
        "GTiff": {"driver": "GTiff", **tiled},
        "strips": {"driver": "GTiff", "blockysize": 8},
    }[driver]
    points = [
        GroundControlPoint(row, column, at.lon + column * 1e-4, at.lat - row * 1e-4, 0.0)
        for row in (0, at.lines - 1)
        for column in (0, at.samples - 1)
    ]
    with MemoryFile() as memory:
        with memory.open(
            count=1,
            height=dn.shape[0],
            width=dn.shape[1],
            dtype=dn.dtype,
            nodata=0,
            compress="zstd",
            gcps=points,
            crs=CRS.from_epsg(4326),
            **layout,
        ) as dataset:
            dataset.write(dn[None])
        return bytes(memory.getbuffer())


def _circle(time: float, argument: float, node: float) -> tuple[np.ndarray, np.ndarray]:
    u = argument + _RATE * time
    flat = np.array([np.cos(u), np.sin(u) * np.cos(_TILT), np.sin(u) * np.sin(_TILT)])
    along = _RATE * np.array([-np.sin(u), np.cos(u) * np.cos(_TILT), np.cos(u) * np.sin(_TILT)])
    w = node - _TURN * time
    turn = np.array([[np.cos(w), -np.sin(w), 0], [np.sin(w), np.cos(w), 0], [0, 0, 1]])
    spin = -_TURN * np.array([[-np.sin(w), -np.cos(w), 0], [np.cos(w), -np.sin(w), 0], [0, 0, 0]])
    return _RADIUS * turn @ flat, _RADIUS * (turn @ along + spin @ flat)


def _utc(time: float) -> str:
    return str(START + np.timedelta64(round(time * 1e9), "ns"))


def _xyz(name: str, vector: np.ndarray) -> str:
    parts = "".join(f"<{a}>{float(v)!r}</{a}>" for a, v in zip("xyz", vector, strict=True))
    return f"<{name}>{parts}</{name}>"


def _list(name: str, values: np.ndarray) -> str:
    return f"<{name}>{' '.join(repr(float(v)) for v in np.atleast_1d(values))}</{name}>"
