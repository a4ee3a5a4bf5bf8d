"""What the sandbox's pixels must be, computed again from docs/sandbox.md and docs/sandbox-swath.md.

Positions are recomputed with pyproj at pixel centres, never taken from the code under test.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from pyproj import Transformer

from tests.sandbox.formulas import EPOCH, height, noise, season, unit, wave

_PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8")
EARTH_KM = 6371.0088
DAY0 = datetime(2021, 1, 1, tzinfo=UTC)

Field = Callable[[Any, Any], Any]
"""Values at coordinates x, y of a chip's CRS."""


def centres(transform: Any, shape: tuple[int, int]) -> tuple[Any, Any]:
    """X and y of the centres of a raster's pixels, (row, column) each."""
    columns, rows = np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5
    return np.meshgrid(transform.c + transform.a * columns, transform.f + transform.e * rows)


def displacement(
    data: Any, field: Field, transform: Any, where: Any, every: int = 1
) -> tuple[float, float]:
    """By how many pixels data lie east and south of where a field says they are.

    Least squares of the first-order displacement, with an offset: the gradient method of image
    registration (Lucas and Kanade 1981), at every n-th pixel.
    """
    data, where = data[::every, ::every], where[::every, ::every]
    x, y = (
        axis[::every, ::every]
        for axis in centres(transform, (len(data) * every, len(data[0]) * every))
    )
    dx, dy = transform.a / 2, transform.e / 2
    middle = field(x, y)
    east = field(x + dx, y) - field(x - dx, y)
    south = field(x, y + dy) - field(x, y - dy)
    terms = np.stack([east[where], south[where], np.ones(int(where.sum()))], axis=-1)
    found, *_ = np.linalg.lstsq(terms, (data - middle)[where], rcond=None)
    return -float(found[0]), -float(found[1])


def moved(x: Any, y: Any, source: int, target: int) -> tuple[Any, Any]:
    """Coordinates in another CRS."""
    if source == target:
        return x, y
    return Transformer.from_crs(source, target, always_xy=True).transform(x, y)


def utc(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)


@cache
def sea_boxes() -> list[tuple[float, ...]]:
    found = re.findall(r"\((−?\d+), (−?\d+), (−?\d+), (−?\d+)\)", _PAGE.split("## Open sea")[1])
    return [tuple(float(number.replace("−", "-")) for number in one) for one in found]


def is_sea(lon: Any, lat: Any) -> Any:
    lon = (lon + 180) % 360 - 180
    return np.any(
        [(lon >= w) & (lon < e) & (lat >= s) & (lat < n) for w, s, e, n in sea_boxes()], axis=0
    )


# Sentinel-2


@cache
def band(name: str) -> dict[str, float]:
    """A row of the page's table of bands."""
    names = ("index", "m", "soil", "vegetation", "water", "snow", "cloud", "path")
    row = re.search(rf"^\| {name} \|(.*)\|$", _PAGE, re.MULTILINE)
    assert row
    return dict(zip(names, (float(cell) for cell in row[1].split("|")), strict=True))


class Land:
    """One Sentinel-2 L1C scene.

    Args:
        name: ESA product name: platform and start of the datatake are in it.
        epsg: Of the scene's tile.
    """

    def __init__(self, name: str, epsg: int) -> None:
        self.take = utc(name.split("_")[2])
        self.t = (self.take - EPOCH).total_seconds()
        self.theta = -0.25 + 1.1 * unit("cloud", name[:3], self.take.isoformat())
        self.epsg = epsg
        self.south = epsg > 32700
        self.season = season(self.take) * (-1 if self.south else 1)

    def pixel(self, x: Any, y: Any, size: float) -> tuple[Any, Any]:
        """Centres of the scene's pixels under points."""
        rest = 40 if self.south else 0
        return (
            np.floor(x / size) * size + size / 2,
            rest - np.floor((rest - y) / size) * size - size / 2,
        )

    def cloud(self, x: Any, y: Any) -> Any:
        drifted = wave("CLOUDS", x - 7 * self.t, y + 3 * self.t)
        return np.clip((drifted - self.theta) / 0.12, 0, 1)

    def masks(self, x: Any, y: Any) -> dict[str, Any]:
        """Cloud, cirrus and snow, as the L1C mask has them at pixel centres."""
        cloud = self.cloud(x, y)
        return {
            "cloud": cloud >= 0.3,
            "cirrus": (cloud > 0) & (cloud < 0.3),
            "snow": self._snow(x, y) & ~self._water(x, y) & (cloud == 0),
        }

    def _water(self, x: Any, y: Any) -> Any:
        return wave("LAKES", x, y) > 0.45

    def _snow(self, x: Any, y: Any) -> Any:
        degrees = np.abs(y - (1e7 if self.south else 0)) / 111_000
        return wave("SNOW", x, y) < (degrees - 52) / 10 - 1.2 * self.season

    def reflectance(self, name: str, x: Any, y: Any) -> Any:
        """At the top of the atmosphere, × 10000, without noise."""
        is_ = band(name)
        green = np.clip(0.5 + 0.15 * self.season + 0.4 * wave("SURFACE", x, y), 0, 1)
        rho = is_["soil"] + (is_["vegetation"] - is_["soil"]) * green
        rho = np.where(self._snow(x, y), is_["snow"], rho)
        rho = np.where(self._water(x, y), is_["water"], rho)
        rho = rho * (1 + 0.03 * wave("TEXTURE", x, y))
        cloud = self.cloud(x, y)
        shadow = (self.cloud(x + 600, y - 800) >= 0.3) & (cloud == 0)
        rho = rho * np.where(shadow, 0.55, 1)
        rho = rho + cloud * (is_["cloud"] - rho)
        return 1e4 * (0.92 * rho + is_["path"])

    def numbers(self, name: str, x: Any, y: Any) -> Any:
        """Digital numbers without offset, at the centres of the scene's pixels."""
        is_ = band(name)
        grain = noise(x, y, is_["m"], 3, int(is_["index"]))
        return np.maximum(1, np.rint(self.reflectance(name, x, y)) + grain)


# Sentinel-1


def power(start: datetime, cross: bool, x: Any, y: Any) -> Any:
    """γ0 of a slice at the centres of its pixels."""
    channel = 64 + 2 * (start - EPOCH).days + cross
    grain = 0.85 + 0.3 * noise(x, y, 10, 6, channel) / 63
    value = 10 ** (backscatter(start, cross, x, y) / 10) * grain
    return np.maximum(1, np.rint(2**16 * value)) / 2**16


def backscatter(start: datetime, cross: bool, x: Any, y: Any) -> Any:
    """Its decibel, without noise."""
    decibel = -10 + 3 * wave("BACKSCATTER", x, y) + 0.5 * season(start)
    return decibel - 7 + 1.5 * wave("CROSS_POL", x, y) if cross else decibel


def bilinear(values: Field, x: Any, y: Any, step: float) -> Any:
    """A lattice of pixel centres at odd multiples of half a step, interpolated to points."""
    left, low = np.floor(x / step - 0.5), np.floor(y / step - 0.5)
    right, up = x / step - 0.5 - left, y / step - 0.5 - low
    total = 0.0
    for i, across in ((0, 1 - right), (1, right)):
        for j, down in ((0, 1 - up), (1, up)):
            total = total + across * down * values((left + i + 0.5) * step, (low + j + 0.5) * step)
    return total


# Sentinel-1 GRD: waves along the axes of the earth-centred frame (a, Lx, Ly, Lz in metres, turns).
SCENERY = (
    (0.35, 41_000, 53_000, 47_000, 0.1),
    (0.25, -37_000, 43_000, -61_000, 0.4),
    (0.15, 9_100, -7_300, 11_000, 0.7),
    (0.10, -8_300, -9_700, 7_900, 0.2),
    (0.10, 1_900, 2_300, -1_700, 0.5),
    (0.05, -1_300, 1_500, 1_100, 0.9),
)
VOLUME = ((0.6, 17_000, -19_000, 13_000, 0.3), (0.4, -2_900, 2_300, 3_100, 0.6))
TARGETS = ((0.006, 0.004), (-0.007, -0.006))
"""Corner reflectors, in degrees east and north of all whole quarter degrees."""


def sigma0(start: datetime, cross: bool, x: Any, y: Any, epsg: int) -> Any:
    """Its decibel, of the ground moved down to the ellipsoid, without reflectors."""
    geocentric = Transformer.from_crs(4979, 4978, always_xy=True)
    lon, lat = moved(x, y, epsg, 4326)
    place = geocentric.transform(lon, lat, np.zeros_like(lon))

    def waves(terms: Any) -> Any:
        return sum(
            a * np.sin(2 * np.pi * (place[0] / lx + place[1] / ly + place[2] / lz + phase))
            for a, lx, ly, lz, phase in terms
        )

    decibel = -10 + 3 * waves(SCENERY) + 0.5 * season(start)
    return decibel - 7 + 1.5 * waves(VOLUME) if cross else decibel


def near_reflector(x: Any, y: Any, epsg: int) -> Any:
    """Where a reflector is within 150 m, along both axes."""
    lon, lat = moved(x, y, epsg, 4326)
    width = 111_320 * np.cos(np.radians(lat))
    return np.any(
        [
            (np.abs((lon - east + 0.125) % 0.25 - 0.125) * width < 150)
            & (np.abs((lat - north + 0.125) % 0.25 - 0.125) * 111_320 < 150)
            for east, north in TARGETS
        ],
        axis=0,
    )


# Copernicus DEM

_HEIGHT = ((800, 97, 2.9), (400, 590, 0.47), (180, 4337, 0.071), (20, 27691, 0.011))


def height_error(lat: float) -> float:
    """Most that heights may differ from the formula between the pixels of GLO-30, metres.

    The remainder of linear interpolation, step²/8 times the second derivative, of each wave along
    each axis, and half of the 1/64 m that heights are rounded to.
    """
    limits = {50: 1, 60: 1.5, 70: 2, 80: 3, 85: 5, 90: 10}
    wide = next(factor for limit, factor in limits.items() if abs(lat) <= limit)
    across, down = np.radians(wide / 3600), 2 * np.pi / 3600
    bends = sum(a * ((m * across) ** 2 + (down / length) ** 2) for a, m, length in _HEIGHT)
    return bends / 8 + 1 / 128


def heights(lon: Any, lat: Any) -> Any:
    return height(lon, lat)


# Swaths

CLOUDS = (
    (0.40, 2500, (0.80, 0.36, 0.48), 0.3, 1.7),
    (0.30, 1400, (-0.48, 0.80, 0.36), 1.1, 2.9),
    (0.25, 900, (0.36, -0.48, 0.80), 2.3, 4.3),
    (0.10, 110, (0.60, 0.64, -0.48), 4.0, 7.1),
)
GREENNESS = (
    (0.5, 700, (0.48, 0.60, 0.64), 0.7, 0),
    (0.3, 95, (0.64, -0.48, 0.60), 1.9, 0),
    (0.2, 41, (-0.60, 0.64, 0.48), 3.1, 0),
)
# E, path, soil, vegetation, water, snow, T: of the table OLCI_BANDS.
OLCI_BANDS = {
    "Oa01": (1500, 0.160, 0.060, 0.030, 0.050, 0.90, 1.00),
    "Oa08": (1530, 0.028, 0.200, 0.045, 0.012, 0.91, 0.99),
    "Oa17": (970, 0.011, 0.290, 0.400, 0.005, 0.85, 0.99),
}


def vectors(lon: Any, lat: Any) -> Any:
    phi, lam = np.radians(lat), np.radians(lon)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], -1)


def plane_waves(rows: Any, lon: Any, lat: Any, day: Any) -> Any:
    p = vectors(lon, lat)
    return sum(
        a * np.sin(2 * np.pi * EARTH_KM / km * (p @ np.array(v)) + phase + drift * day)
        for a, km, v, phase, drift in rows
    )


def cloud_fraction(lon: Any, lat: Any, day: Any) -> Any:
    return np.clip(0.5 + 1.5 * (plane_waves(CLOUDS, lon, lat, day) - 0.15), 0, 1)


def seen_at(name: str, lon: Any, lat: Any) -> Any:
    """Days since 2021 at which the line of an OLCI frame through points was seen.

    A point lies on the great circle that leaves the track at a right angle: there, the track's
    direction is square to it.
    """
    fields = name.split("_")
    start = utc(fields[7])
    node = start - timedelta(seconds=int(fields[13]))
    offset = (start - node).total_seconds() + np.arange(-20.0, 201.0, 4.0)

    def track(seconds: Any) -> Any:
        u = 2 * np.pi * 385 / 27 * seconds / 86400
        hours = (node - node.replace(hour=0, minute=0, second=0)).total_seconds() / 3600
        tilt = np.radians(98.65)
        turned = 15 * (22 - hours - seconds / 3600)
        east = np.degrees(np.arctan2(np.cos(tilt) * np.sin(u), np.cos(u)))
        return vectors(turned + east, np.degrees(np.arcsin(np.sin(tilt) * np.sin(u))))

    ahead = track(offset + 0.5) - track(offset - 0.5)
    along = vectors(lon, lat) @ ahead.T
    later = np.argmax(along <= 0, axis=-1)
    assert (later > 0).all()
    before, after = (
        np.take_along_axis(along, index[..., None], -1)[..., 0] for index in (later - 1, later)
    )
    seconds = offset[later - 1] + 4.0 * before / (before - after)
    return (node - DAY0).total_seconds() / 86400 + seconds / 86400


def sun_cosine(lon: Any, lat: Any, day: Any) -> Any:
    """Of the zenith angle, by the Astronomical Almanac's low-precision formulas."""
    n = day + (DAY0 - datetime(2000, 1, 1, 12, tzinfo=UTC)).total_seconds() / 86400
    anomaly = np.radians(357.528 + 0.9856003 * n)
    ecliptic = np.radians(
        280.460 + 0.9856474 * n + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly)
    )
    tilt = np.radians(23.439 - 4e-7 * n)
    declination = np.arcsin(np.sin(tilt) * np.sin(ecliptic))
    ascension = np.arctan2(np.cos(tilt) * np.sin(ecliptic), np.cos(ecliptic))
    turn = np.radians(15 * (18.697374558 + 24.06570982441908 * n) + lon) - ascension
    phi = np.radians(lat)
    return np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(turn)


def sun_distance(day: Any) -> Any:
    """In astronomical units, by the same source."""
    n = day + (DAY0 - datetime(2000, 1, 1, 12, tzinfo=UTC)).total_seconds() / 86400
    anomaly = np.radians(357.528 + 0.9856003 * n)
    return 1.00014 - 0.01671 * np.cos(anomaly) - 0.00014 * np.cos(2 * anomaly)


def radiance(name: str, band_name: str, lon: Any, lat: Any, sea: Any) -> Any:
    """Of an OLCI frame at points of land or sea, mW m-2 sr-1 nm-1."""
    solar, path, soil, plants, water, white, gases = OLCI_BANDS[band_name]
    day = seen_at(name, lon, lat)
    green = 0.5 + 0.5 * plane_waves(GREENNESS, lon, lat, 0)
    line = 55 - 13 * np.cos(2 * np.pi * (day - 15) / 365.25)
    snow = np.clip(np.where(lat >= 0, lat - line, -60 - lat) / 3, 0, 1)
    land = snow * white + (1 - snow) * (soil * (1 - green) + plants * green)
    surface = np.where(sea, water, land)
    cloud = cloud_fraction(lon, lat, day)
    light = solar * np.maximum(sun_cosine(lon, lat, day), 0.02) / np.pi * gases
    light = light / sun_distance(day) ** 2
    return light * (path + (1 - cloud) * surface + cloud * 0.75)


def nitrogen_dioxide(name: str, lon: Any, lat: Any) -> Any:
    """Column of one orbit at points, mol m-2, at the middle of its day side."""
    begin, end = (utc(part) for part in re.findall(r"\d{8}T\d{6}", name)[:2])
    day = (begin + (end - begin) / 2 - DAY0).total_seconds() / 86400
    phi, lam = np.radians(lat), np.radians(lon)
    return (
        4e-5
        + 1.5e-5 * np.cos(phi) * np.cos(2 * lam)
        + 1e-5 * np.sin(phi) * np.cos(2 * np.pi * (day - 80) / 365.25)
        + 3e-6 * np.sin(2 * np.pi * day / 7)
    )


def monthly_error(mean: Any, count: Any, orbits: list[Any]) -> Any:
    """How far a mean is from that of its best fitting choice of `count` of the orbits."""
    error = np.full(mean.shape, np.inf)
    for number in range(1, len(orbits) + 1):
        for chosen in combinations(orbits, number):
            near = np.abs(mean - np.mean(chosen, axis=0))
            error = np.where(count == number, np.minimum(error, near), error)
    return error[count > 0]
