"""Landsat's formulas of docs/sandbox.md, written down a second time from the page, in float64."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from tests.sandbox.formulas import EPOCH, noise, season, unit, wave

NODES = {
    "LC08": datetime(2022, 1, 15, 14, 24, 17, tzinfo=UTC),
    "LC09": datetime(2022, 1, 7, 14, 24, 20, tzinfo=UTC),
}
# index, soil, vegetation, water, snow, cloud
BANDS = {
    "coastal": (0, 0.07, 0.03, 0.05, 0.86, 0.70),
    "blue": (1, 0.09, 0.04, 0.05, 0.88, 0.72),
    "green": (2, 0.13, 0.08, 0.05, 0.89, 0.74),
    "red": (3, 0.18, 0.05, 0.03, 0.87, 0.76),
    "nir08": (8, 0.30, 0.38, 0.02, 0.74, 0.77),
    "swir16": (11, 0.36, 0.20, 0.01, 0.08, 0.55),
    "swir22": (12, 0.30, 0.11, 0.01, 0.06, 0.45),
}


def node_of(name: str) -> datetime:
    """When the pass of a product name is at its descending node."""
    platform, path, row, day = name[:4], int(name[10:13]), int(name[13:16]), name[17:25]
    orbit = timedelta(days=16) / 233
    passed = NODES[platform] + timedelta(days=16) * (102 * path % 233) / 233
    late = orbit * (row - 60) / 248
    date = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
    cycles = round((date + timedelta(hours=12) - passed - late) / timedelta(days=16))
    return passed + timedelta(days=16) * cycles


class Oli:
    """One scene at points.

    Args:
        name: Its product name.
        row: Of WRS-2: 61 and more are in the south.
        x: Easting in the image's zone, metres.
        y: Northing in the image's zone: negative in the south.
    """

    def __init__(self, name: str, row: int, x: Any, y: Any) -> None:
        node = node_of(name).replace(microsecond=0)
        south = row > 60
        self.x, self.y = x, y + (1e7 if south else 0)
        self.t = (node - EPOCH).total_seconds()
        self.theta = -0.25 + 1.1 * unit("cloud", name[:4], node.isoformat())
        self.alpha = self.opacity(0, 0, self.theta)
        self.thrown = (self.opacity(600, -800, self.theta) >= 0.3) & (self.alpha == 0)
        self.water = wave("LAKES", self.x, self.y) > 0.45
        s = season(node) * (-1 if south else 1)
        degrees = np.abs(self.y - (1e7 if south else 0)) / 111_000
        self.snow = wave("SNOW", self.x, self.y) < (degrees - 52) / 10 - 1.2 * s
        self.green = np.clip(0.5 + 0.15 * s + 0.4 * wave("SURFACE", self.x, self.y), 0, 1)

    def opacity(self, dx: float, dy: float, theta: float) -> Any:
        clouds = wave("CLOUDS", self.x + dx - 7 * self.t, self.y + dy + 3 * self.t)
        return np.clip((clouds - theta) / 0.12, 0, 1)

    def reflectance(self, band: str) -> Any:
        _, soil, vegetation, water, snow, cloud = BANDS[band]
        rho = soil + (vegetation - soil) * self.green
        rho = np.where(self.water, water, np.where(self.snow, snow, rho))
        rho = rho * (1 + 0.03 * wave("TEXTURE", self.x, self.y))
        rho = rho * np.where(self.thrown, 0.55, 1)
        return rho + self.alpha * (cloud - rho)

    def numbers(self, band: str) -> Any:
        grain = noise(self.x, self.y, 30, 3, BANDS[band][0])
        return np.rint((self.reflectance(band) + 0.2) / 0.0000275) + grain

    def temperature(self) -> Any:
        kelvin = 301 - 12 * self.green
        kelvin = np.where(self.water, 284, np.where(self.snow, 268, kelvin))
        return np.rint((kelvin + self.alpha * (235 - kelvin) - 149) / 0.00341802)

    def quality(self) -> Any:
        cloud, thin = self.alpha >= 0.3, (self.alpha > 0) & (self.alpha < 0.3)
        margin = (self.alpha == 0) & (self.opacity(0, 0, self.theta - 0.03) > 0)
        snow = self.snow & ~self.water & (self.alpha == 0)
        value = np.full(cloud.shape, 21760)
        for where, bits in (
            (margin, (1,)), (thin, (2, 15)), (cloud, (3, 9)), (self.thrown, (4, 11)),
            (snow, (5, 13)), (~margin & ~cloud, (6,)), (self.water & ~cloud, (7,)),
        ):  # fmt: skip
            value = value | np.where(where, sum(1 << bit for bit in bits), 0)
        return value

    def saturation(self) -> Any:
        thick = (self.alpha >= 0.7) & (noise(self.x, self.y, 30, 10, 77) == 0)
        hidden = wave("TEXTURE", self.x, self.y) < -0.9
        return np.where(thick, 127, 0) | np.where(hidden, 2048, 0)
