"""The formulas of docs/sandbox.md, written down a second time from the page, in float64."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import Any

import numpy as np

from stac_lake.sandbox.scene import SandboxScene

EPOCH = datetime(2015, 1, 1, tzinfo=UTC)
WAVES = {
    "SURFACE": "(0.5, 37000, 0.1, 29000, 0.3) (0.3, 7300, 0.7, 9100, 0.2) "
    "(0.2, 1900, 0.4, 2300, 0.9)",
    "TEXTURE": "(0.6, 610, 0.2, 530, 0.6) (0.4, 310, 0.5, 270, 0.1)",
    "LAKES": "(0.6, 11000, 0.3, 13000, 0.8) (0.4, 4100, 0.6, 3700, 0.4)",
    "SNOW": "(0.6, 19000, 0.9, 17000, 0.5) (0.4, 3300, 0.2, 4300, 0.7)",
    "CLOUDS": "(0.5, 61000, 0, 53000, 0.5) (0.3, 23000, 0.3, 19000, 0.1) "
    "(0.2, 7900, 0.8, 6700, 0.6)",
    "BACKSCATTER": "(0.5, 31000, 0.6, 41000, 0.2) (0.3, 5900, 0.1, 6100, 0.4) "
    "(0.2, 730, 0.8, 690, 0.3)",
    "CROSS_POL": "(0.6, 17000, 0.4, 13000, 0.9) (0.4, 1700, 0.7, 2100, 0.5)",
}
B04 = {"index": 3, "soil": 0.18, "vegetation": 0.05, "water": 0.03, "snow": 0.87, "cloud": 0.76}
B10 = {"index": 10, "soil": 0.001, "vegetation": 0.001, "water": 0.001, "snow": 0.001}
B10 |= {"cloud": 0.03, "path": 0.0}


def wave(name: str, x: Any, y: Any) -> Any:
    total = 0.0
    for term in re.findall(r"\(([^)]*)\)", WAVES[name]):
        a, lx, px, ly, py = (float(v) for v in term.split(","))
        total = total + a * np.sin(2 * np.pi * (x / lx + px)) * np.sin(2 * np.pi * (y / ly + py))
    return total


def noise(x: Any, y: Any, r: float, bits: int, channel: int) -> Any:
    i, j = np.floor(x / r).astype(np.int64), np.floor(y / r).astype(np.int64)
    m = 0xFFFFFFFF
    h = (i * 0x9E3779B1 & m) ^ (j * 0x85EBCA77 & m) ^ (channel * 0xC2B2AE3D & m)
    h ^= h >> 15
    return (h * 0x2C1B3C6D & m) >> (32 - bits)


def season(time: datetime) -> float:
    return float(np.cos(2 * np.pi * ((time - EPOCH).total_seconds() / 86400 - 196) / 365.25))


def unit(*parts: object) -> float:
    text = "|".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") / 2**64


class Land:
    """The northern Sentinel-2 formulas at points x, y of one scene."""

    def __init__(self, scene: SandboxScene, x: Any, y: Any) -> None:
        take = datetime.strptime(scene.id.split("_")[2], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        t = (take - EPOCH).total_seconds()
        theta = -0.25 + 1.1 * unit("cloud", scene.id[:3], take.isoformat())
        self.x, self.y = x, y
        self.cloud = np.clip((wave("CLOUDS", x - 7 * t, y + 3 * t) - theta) / 0.12, 0, 1)
        thrown = wave("CLOUDS", x + 600 - 7 * t, y - 800 + 3 * t)
        self.shadow = np.clip((thrown - theta) / 0.12, 0, 1) >= 0.3
        self.water = wave("LAKES", x, y) > 0.45
        self.snow = wave("SNOW", x, y) < (y / 111_000 - 52) / 10 - 1.2 * season(take)
        self.green = np.clip(0.5 + 0.15 * season(take) + 0.4 * wave("SURFACE", x, y), 0, 1)

    def numbers(self, band: dict[str, float], r: float) -> Any:
        rho = band["soil"] + (band["vegetation"] - band["soil"]) * self.green
        rho = np.where(self.water, band["water"], np.where(self.snow, band["snow"], rho))
        rho = rho * (1 + 0.03 * wave("TEXTURE", self.x, self.y))
        rho = rho * np.where(self.shadow & (self.cloud == 0), 0.55, 1)
        rho = rho + self.cloud * (band["cloud"] - rho)
        if "path" in band:
            rho = 0.92 * rho + band["path"]
        return np.maximum(1, np.rint(1e4 * rho) + noise(self.x, self.y, r, 3, int(band["index"])))

    def classes(self) -> Any:
        scl = np.where(self.green > 0.5, 4, 5)
        for where, value in (
            (self.snow, 11), (self.water, 6), (self.shadow, 3), (self.cloud > 0, 10),
            (self.cloud >= 0.3, 8), (self.cloud >= 0.7, 9),
        ):  # fmt: skip
            scl = np.where(where, value, scl)
        return scl


def gamma0(scene: SandboxScene, cross: bool, x: Any, y: Any) -> Any:
    decibel = -10 + 3 * wave("BACKSCATTER", x, y) + 0.5 * season(scene.start)
    if cross:
        decibel = decibel - 7 + 1.5 * wave("CROSS_POL", x, y)
    channel = 64 + 2 * (scene.start - EPOCH).days + cross
    power = 10 ** (decibel / 10) * (0.85 + 0.3 * noise(x, y, 10, 6, channel) / 63)
    return np.maximum(1, np.rint(2**16 * power)) / 2**16


def height(lon: Any, lat: Any) -> Any:
    terms = ((800, 97, 2.9), (400, 590, 0.47), (180, 4337, 0.071), (20, 27691, 0.011))
    total = 1500.0
    for k, (a, m, length) in enumerate(terms):
        total = total + a * np.sin(np.radians(m * lon) + k) * np.sin(2 * np.pi * lat / length)
    return np.rint(64 * total) / 64
