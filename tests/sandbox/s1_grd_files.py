"""A GRD product of the sandbox on disk, and what its documents say, read without our code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from pyproj import Transformer

from stac_lake.sandbox import s1, s1_grd
from stac_lake.sandbox.cog import LazyCog
from stac_lake.sandbox.scene import SandboxScene

LIGHT = 299_792_458.0
ECEF = Transformer.from_crs(4979, 4978, always_xy=True)
# docs/sandbox.md, typed again.
SCENERY = (
    "(0.35, 41000, 53000, 47000, 0.1) (0.25, -37000, 43000, -61000, 0.4) "
    "(0.15, 9100, -7300, 11000, 0.7) (0.10, -8300, -9700, 7900, 0.2) "
    "(0.10, 1900, 2300, -1700, 0.5) (0.05, -1300, 1500, 1100, 0.9)"
)
VOLUME = "(0.6, 17000, -19000, 13000, 0.3) (0.4, -2900, 2300, 3100, 0.6)"


def waves(terms: str, lon: Any, lat: Any) -> Any:
    x, y, z = ECEF.transform(lon, lat, np.zeros_like(lon))
    total = 0.0
    for term in re.findall(r"\(([^)]*)\)", terms):
        a, lx, ly, lz, p = (float(v) for v in term.split(","))
        total = total + a * np.sin(2 * np.pi * (x / lx + y / ly + z / lz + p))
    return total


def decibel(time: datetime, cross: bool, lon: Any, lat: Any) -> Any:
    """σ0 of the scenery, dB."""
    days = (time - datetime(2015, 1, 1, tzinfo=UTC)).total_seconds() / 86400
    value = -10 + 3 * waves(SCENERY, lon, lat) + 0.5 * np.cos(2 * np.pi * (days - 196) / 365.25)
    return value - 7 + 1.5 * waves(VOLUME, lon, lat) if cross else value


@dataclass
class Product:
    """One product.

    Attributes:
        scene: It.
        folder: Its `.SAFE` folder, without measurements.
        cache: Where the sandbox keeps what it computes.
    """

    scene: SandboxScene
    folder: Path
    cache: Path

    def group(self, polarization: str, name: str) -> str:
        return f"{self.scene.facts['mode']}/{polarization.upper()}/{name}"

    def document(self, kind: str, polarization: str) -> ElementTree.Element:
        path = s1_grd.paths(self.scene, "")[f"{kind}-{polarization}"]
        return ElementTree.parse(self.folder / path).getroot()

    def cog(self, polarization: str) -> LazyCog:
        blob = s1.blob(self.scene, polarization, cache=self.cache, full=False)
        assert isinstance(blob, LazyCog)
        return blob

    def window(self, polarization: str, line: int, sample: int, size: int) -> Any:
        """Digital numbers of a square whose upper left pixel is (line, sample)."""
        cog = self.cog(polarization)
        block = cog.spec.block
        rows = range(line // block, (line + size - 1) // block + 1)
        columns = range(sample // block, (sample + size - 1) // block + 1)
        wide = cog.levels[0].grid[1]
        tiles = [[cog.tile(0, r * wide + c) for c in columns] for r in rows]
        top, left = line - rows[0] * block, sample - columns[0] * block
        return np.block(tiles)[top : top + size, left : left + size].astype(float)


def written(scene: SandboxScene, folder: Path) -> Product:
    """Write a product's documents as its manifest places them."""
    product = Product(scene, folder / f"{scene.id}.SAFE", folder / "cache")
    for name, path in s1_grd.paths(scene, "").items():
        if not path.startswith("measurement"):
            blob = s1.blob(scene, name, cache=product.cache, full=False)
            (product.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (product.folder / path).write_bytes(blob.read(0, blob.size))
    return product


class RangeDoppler:
    """Line and pixel of places, from an annotation alone, by root finding."""

    def __init__(self, root: ElementTree.Element) -> None:
        self.epoch = np.datetime64(root.findtext(".//productFirstLineUtcTime"))
        orbit = list(root.iter("orbit"))
        seconds = [self.seconds(one.findtext("time")) for one in orbit]
        places = [[float(one.findtext(f"position/{k}") or "") for k in "xyz"] for one in orbit]
        self.track = np.polynomial.Polynomial
        self.axes = [self.track.fit(seconds, axis, 11) for axis in np.array(places).T]
        self.interval = float(root.findtext(".//azimuthTimeInterval") or "")
        records = list(root.iter("coordinateConversion"))[1:]
        self.times = np.array([self.seconds(one.findtext("azimuthTime")) for one in records])
        self.slant = np.array(
            [(one.findtext("grsrCoefficients") or "").split() for one in records], dtype=float
        )
        self.spacing = float(root.findtext(".//rangePixelSpacing") or "")
        samples = int(root.findtext(".//numberOfSamples") or "")
        middle = self.slant[len(records) // 2]
        ends = np.polynomial.polynomial.polyval([0, (samples - 1) * self.spacing], middle)
        self.delay = ends.mean() / LIGHT

    def seconds(self, text: str | None) -> float:
        return float((np.datetime64(text or "") - self.epoch) / np.timedelta64(1, "us")) / 1e6

    def closest(self, place: Any) -> tuple[float, float]:
        """Seconds after the first line, and metres, by bisection of the closest approach."""

        def rate(t: float) -> float:
            return sum(2 * (a(t) - p) * a.deriv()(t) for a, p in zip(self.axes, place, strict=True))

        low, high = -60.0, 80.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if rate(middle) < 0 else (low, middle)
        gap = [a(low) - p for a, p in zip(self.axes, place, strict=True)]
        return low, float(np.linalg.norm(gap))

    def pixel(self, lon: float, lat: float, height: float) -> tuple[float, float, float, float]:
        """Line, pixel, zero Doppler seconds and slant range of a place."""
        seconds, slant = self.closest(ECEF.transform(lon, lat, height))
        line_time = seconds - (slant / LIGHT - self.delay)
        record = self.slant[np.abs(self.times - line_time).argmin()]
        low, high = -5e3, 5e5
        for _ in range(60):
            middle = (low + high) / 2
            near = np.polynomial.polynomial.polyval(middle, record) < slant
            low, high = (middle, high) if near else (low, middle)
        return line_time / self.interval, low / self.spacing, seconds, slant
