"""Pixels of the sandbox's GRD images: backscatter by place, point targets, noise, 16 bits.

Positions are worked out on every fourth (IW) or second (EW) pixel and interpolated by cubics,
which is within 0.02 pixel of the exact ones where the ground is seen once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from stac_lake.sandbox.ellipsoid import to_ecef
from stac_lake.sandbox.fields import noise, season
from stac_lake.sandbox.s1_frame import Frame
from stac_lake.sandbox.s1_radiometry import Radiometry
from stac_lake.sandbox.s1_terrain import ground, surface
from stac_lake.sandbox.sphere import Floats, wrap

Wave = tuple[float, float, float, float, float]
"""amplitude, wavelengths along the earth-centred axes x, y, z in metres, phase in turns."""
Block = NDArray[np.float32]

SCENERY: tuple[Wave, ...] = (
    (0.35, 41_000, 53_000, 47_000, 0.1),
    (0.25, -37_000, 43_000, -61_000, 0.4),
    (0.15, 9_100, -7_300, 11_000, 0.7),
    (0.10, -8_300, -9_700, 7_900, 0.2),
    (0.10, 1_900, 2_300, -1_700, 0.5),
    (0.05, -1_300, 1_500, 1_100, 0.9),
)
VOLUME: tuple[Wave, ...] = ((0.6, 17_000, -19_000, 13_000, 0.3), (0.4, -2_900, 2_300, 3_100, 0.6))
# Corner reflectors: offset in lon and lat from the whole quarter degrees, radar cross section in
# square metres for equal polarisations (a tenth of it for crossed ones).
TARGETS = ((0.006, 0.004, 20_000.0), (-0.007, -0.006, 5_000.0))
SPREAD = 0.9  # standard deviation of a target's Gaussian, pixels
_STEP = {"IW": 4, "EW": 2}
_REACH = 8  # pixels around a target that it is painted on


@dataclass(frozen=True)
class Image:
    """One measurement of a GRD product.

    Attributes:
        radiometry: Its tables and its geometry.
        time: The slice's start.
    """

    radiometry: Radiometry
    time: datetime

    @property
    def _frame(self) -> Frame:
        return self.radiometry.frame

    def paint(self, x: Floats, y: Floats, resolution: float) -> NDArray[Any]:
        """Digital numbers of a block; x to the right, y upwards from the image's upper left corner.

        Args:
            x: Pixel centres, in pixels of the full image.
            y: The same, negative.
            resolution: Width of a pixel of the level, in pixels of the full image.
        """
        line, sample = -y - 0.5, x - 0.5
        mode = self._frame.mode
        inner_line, inner_sample = (
            np.clip(line, 0, mode.lines - 1),
            np.clip(sample, 0, mode.samples - 1),
        )
        power = self._scenery(inner_line, inner_sample)
        if resolution == 1:
            self._add_targets(power, line, sample)
        gain, thermal = self.radiometry.gain_and_noise(inner_line, inner_sample)
        numbers = np.clip(np.rint(np.sqrt(power * gain + thermal)), 1, 65_535).astype(np.uint16)
        rubbish = np.maximum(noise(x, -y, resolution, 128, 4), 9) - 9
        return np.where(self.radiometry.valid(line, sample), numbers, rubbish.astype(np.uint16))

    def _scenery(self, line: Floats, sample: Floats) -> Block:
        """σ0 without targets, (line, sample)."""
        step = _STEP[self._frame.mode.name]
        down, rows = _nodes(line, step)
        across, columns = _nodes(sample, step)
        place = _on_ellipsoid(self._frame, down, across)
        origin = place[place.shape[0] // 2, place.shape[1] // 2]
        local = [
            _weighted(
                _weighted((place[..., k] - origin[k]).astype(np.float32), *rows).T, *columns
            ).T
            for k in range(3)
        ]
        decibel = -10 + 3 * _waves(SCENERY, local, origin)
        decibel += np.float32(0.5 * season(self.time, False))
        if self.radiometry.cross:
            decibel += -7 + np.float32(1.5) * _waves(VOLUME, local, origin)
        power: Block = np.exp(decibel * np.float32(math.log(10) / 10))
        return power

    def _add_targets(self, power: Block, line: Floats, sample: Floats) -> None:
        """Add the reflectors whose responses reach into a block."""
        spacing = self._frame.mode.spacing
        share = 0.1 if self.radiometry.cross else 1.0
        for row, column, section in self._targets(line, sample):
            peak = share * section / (2 * math.pi * SPREAD**2 * spacing**2)
            across = np.exp(-((sample - column) ** 2) / (2 * SPREAD**2))
            across[np.abs(sample - column) > _REACH] = 0
            down = np.exp(-((line - row) ** 2) / (2 * SPREAD**2))
            down[np.abs(line - row) > _REACH] = 0
            power += (peak * down[:, None] * across[None, :]).astype(np.float32)

    def _targets(self, line: Floats, sample: Floats) -> list[tuple[float, float, float]]:
        """Line, sample and cross section of the reflectors in and around a block."""
        ends = np.meshgrid(line[[0, -1]], sample[[0, -1]], indexing="ij")
        around = [self._frame.meet(*ends, height) for height in (-200.0, 3100.0)]
        lon = np.concatenate([part[0].ravel() for part in around])
        lat = np.concatenate([part[1].ravel() for part in around])
        lon = lon[0] + wrap(lon - lon[0])
        found = []
        for east, north, section in TARGETS:
            places = np.meshgrid(
                np.arange(np.floor(lon.min() * 4), np.ceil(lon.max() * 4) + 1) / 4 + east,
                np.arange(np.floor(lat.min() * 4), np.ceil(lat.max() * 4) + 1) / 4 + north,
            )
            x, y = (axis.ravel() for axis in places)
            rows, columns = self._frame.image_of(x, y, surface(x, y))
            near = (rows > line[0] - _REACH) & (rows < line[-1] + _REACH)
            near &= (columns > sample[0] - _REACH) & (columns < sample[-1] + _REACH)
            found += [
                (float(r), float(c), section)
                for r, c in zip(rows[near], columns[near], strict=True)
            ]
        return found


def _nodes(pixels: Floats, step: int) -> tuple[Floats, tuple[NDArray[np.int64], Block]]:
    """Positions around a row of pixels, `step` pixels apart, and how to interpolate from them.

    Returns:
        Node positions; the first of four nodes of each pixel; Lagrange's weights, (4, pixel).
    """
    stride = step * max(float(pixels[-1] - pixels[0]) / max(pixels.size - 1, 1), 1e-6)
    count = int(np.ceil((pixels[-1] - pixels[0]) / stride)) + 4
    nodes = pixels[0] + stride * (np.arange(count) - 1)
    place = (pixels - nodes[0]) / stride
    first = np.clip(np.floor(place).astype(np.int64) - 1, 0, count - 4)
    t = place - first - 1
    weights = np.stack(
        [
            -t * (t - 1) * (t - 2) / 6,
            (t + 1) * (t - 1) * (t - 2) / 2,
            -(t + 1) * t * (t - 2) / 2,
            (t + 1) * t * (t - 1) / 6,
        ]
    )
    return nodes, (first, weights.astype(np.float32))


def _weighted(values: Block, first: NDArray[np.int64], weights: Block) -> Block:
    """Interpolate along the first axis, as `_nodes` says."""
    total: Block = values[first] * weights[0][:, None]
    for k in range(1, 4):
        total += values[first + k] * weights[k][:, None]
    return total


def _on_ellipsoid(frame: Frame, down: Floats, across: Floats) -> Floats:
    """What pixels show, moved down to the ellipsoid: earth-centred metres, (down, across, 3)."""
    records = frame.record(down)
    slant = {
        n: frame.slant_range(down[records == n][:1], across) for n in np.unique(records).tolist()
    }
    ends = (min(s.min() for s in slant.values()), max(s.max() for s in slant.values()))
    size = max(down[-1] - down[0], across[-1] - across[0]) * frame.mode.spacing
    degree = 4 if size < 30e3 else 9
    nodes = np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))
    inverse = np.linalg.inv(chebyshev.chebvander(nodes, degree))
    half_line, half_range = (down[-1] - down[0]) / 2 + 1, (ends[1] - ends[0]) / 2 + 1
    middle_line, middle_range = (down[-1] + down[0]) / 2, (ends[1] + ends[0]) / 2
    line, reach = np.meshgrid(
        middle_line + half_line * nodes, middle_range + half_range * nodes, indexing="ij"
    )
    cubics = frame.cubic_at(frame.zero_doppler(line, reach), reach)
    fitted = [np.einsum("ai,pij,bj->pab", inverse, one, inverse) for one in cubics]
    parts = []
    for number, ranges in slant.items():
        rows = chebyshev.chebvander((down[records == number] - middle_line) / half_line, degree)
        columns = chebyshev.chebvander((ranges - middle_range) / half_range, degree)
        parts.append(
            [np.einsum("ra,pab,cb->prc", rows, one, columns, optimize=True) for one in fitted]
        )
    lon, lat = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
    x, y, _ = ground(lon, lat)
    return to_ecef(x, y, 0.0)


def _waves(terms: tuple[Wave, ...], local: list[Block], origin: Floats) -> Block:
    """Σ a · sin 2π(x/Lx + y/Ly + z/Lz + p) at places relative to an origin."""
    total: Block = np.zeros_like(local[0])
    for amplitude, *lengths, phase in terms:
        turns = np.full_like(
            total, (phase + sum(o / n for o, n in zip(origin, lengths, strict=True))) % 1.0
        )
        for axis, length in zip(local, lengths, strict=True):
            turns += axis * np.float32(1 / length)
        turns *= np.float32(2 * np.pi)
        total += np.float32(amplitude) * np.sin(turns, out=turns)
    return total
