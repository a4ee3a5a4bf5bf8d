"""Calibration and thermal noise of the sandbox's GRD products, and the extent of their swaths.

The look-up tables are the truth: an image is made with what its annotation says, interpolated
bilinearly between the vectors' nodes.

    A_σ = A_β / √sin θ,  A_γ = A_β / √tan θ       θ at the ellipsoid, per line and sample
    η   = NESZ(swath, sample) · A_σ² · (1 + 0.01 sin 2π t/11) · scalloping(swath, line)
    DN² = σ0 · A_σ² + η
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from stac_lake.sandbox.ellipsoid import normal, to_ecef
from stac_lake.sandbox.s1_frame import Frame
from stac_lake.sandbox.sphere import Floats

Ints = NDArray[np.int64]

BETA = {"IW": 474.0, "EW": 318.0}  # A_β, of the size of recorded ones
DIGITAL = 402.0  # the `dn` table, constant
NESZ_DB = {"co": -25.0, "cross": -29.0}  # middle of a sub-swath
NESZ_EDGE_DB = 4.0  # more at its edges
SCALLOP = 0.15
_VECTOR_S = 1.0  # between calibration or noise vectors
_PIXELS, _LINES = 40, 10  # steps of the nodes in range and of the azimuth noise


@dataclass(frozen=True)
class Block:
    """A rectangle of valid pixels of a sub-swath; both ends belong to it."""

    first_line: int
    first_sample: int
    last_line: int
    last_sample: int


@dataclass(frozen=True)
class Radiometry:
    """Look-up tables of one image.

    Attributes:
        frame: Its geometry.
        cross: Cross-polarised: HV or VH.
        first: No slice goes before: the sub-swaths begin one after the other.
        last: No slice follows: they end one after the other.
    """

    frame: Frame
    cross: bool
    first: bool
    last: bool

    @property
    def swaths(self) -> tuple[str, ...]:
        """Names of the sub-swaths from near to far."""
        mode = self.frame.mode
        return tuple(f"{mode.name}{number + 1}" for number in range(mode.swaths))

    @cached_property
    def seams(self) -> tuple[int, ...]:
        """First samples of the sub-swaths, and the number of samples."""
        mode = self.frame.mode
        return tuple(mode.samples * number // mode.swaths for number in range(mode.swaths + 1))

    def blocks(self, swath: int) -> tuple[Block, ...]:
        """The valid part of a sub-swath: the image's near and far edge are slanted, in steps."""
        mode, step = self.frame.mode, round(3_000 / self.frame.mode.spacing)
        top = step * swath if self.first else 0
        bottom = mode.lines - 1 - (step * (mode.swaths - 1 - swath) if self.last else 0)
        left, right = self.seams[swath], self.seams[swath + 1] - 1
        if 0 < swath < mode.swaths - 1:
            return (Block(top, left, bottom, right),)
        parts = np.linspace(top, bottom + 1, 6).astype(int).tolist()
        near = [left + (20 + 15 * n if swath == 0 else 0) for n in range(5)]
        far = [right - (20 + 15 * (4 - n) if swath == mode.swaths - 1 else 0) for n in range(5)]
        return tuple(Block(parts[n], near[n], parts[n + 1] - 1, far[n]) for n in range(5))

    def valid(self, line: Floats, sample: Floats) -> NDArray[np.bool_]:
        """Whether pixels lie within a sub-swath; line (n), sample (m), result (n, m)."""
        held = np.zeros((line.size, sample.size), dtype=bool)
        for swath in range(self.frame.mode.swaths):
            for block in self.blocks(swath):
                down = (line >= block.first_line - 0.5) & (line < block.last_line + 0.5)
                across = (sample >= block.first_sample - 0.5) & (sample < block.last_sample + 0.5)
                held |= down[:, None] & across[None, :]
        return held

    @cached_property
    def vectors(self) -> Ints:
        """Lines of the calibration and noise vectors."""
        mode = self.frame.mode
        lines = np.arange(0, mode.lines - 1, _VECTOR_S / mode.interval)
        return np.append(np.rint(lines), mode.lines - 1).astype(np.int64)

    @cached_property
    def nodes(self) -> Ints:
        """Samples of the tables' nodes: every 40, and both sides of each seam."""
        samples = self.frame.mode.samples
        seams = [edge - back for edge in self.seams[1:] for back in (1, 0)]
        nodes = np.union1d(np.arange(0, samples, _PIXELS), seams)
        return nodes[nodes < samples].astype(np.int64)

    @cached_property
    def incidence(self) -> Floats:
        """Radians at the ellipsoid, (vector, node)."""
        coarse = np.linspace(0, self.frame.mode.samples - 1, 41)
        line, sample = np.meshgrid(self.vectors.astype(float), coarse, indexing="ij")
        theta = incidence(self.frame, line, sample, *self.frame.meet(line, sample, 0.0), 0.0)
        return np.stack([np.interp(self.nodes, coarse, row) for row in theta])

    @property
    def beta(self) -> float:
        """A_β, the same everywhere."""
        return BETA[self.frame.mode.name]

    @cached_property
    def sigma(self) -> Floats:
        """A_σ, (vector, node)."""
        amplitude: Floats = self.beta / np.sqrt(np.sin(self.incidence))
        return amplitude

    @cached_property
    def gamma(self) -> Floats:
        """A_γ, (vector, node)."""
        amplitude: Floats = self.beta / np.sqrt(np.tan(self.incidence))
        return amplitude

    @cached_property
    def noise_range(self) -> Floats:
        """Noise in digital numbers squared before scalloping, (vector, node)."""
        swath = np.searchsorted(np.array(self.seams[1:-1]), self.nodes, side="right")
        edges = np.array(self.seams, dtype=float)
        low, high = edges[swath], edges[swath + 1] - 1.0
        place: Floats = 2 * (self.nodes.astype(np.float64) - low) / (high - low) - 1
        level: Floats = NESZ_DB["cross" if self.cross else "co"] + NESZ_EDGE_DB * place**2
        seconds = self.vectors.astype(np.float64) * self.frame.mode.interval
        drift = 1 + 0.01 * np.sin(2 * np.pi * seconds / 11)
        power: Floats = drift[:, None] * np.power(10.0, level / 10) * self.sigma**2
        return power

    @cached_property
    def azimuth_lines(self) -> Ints:
        """Lines of the azimuth noise vectors' nodes."""
        last = self.frame.mode.lines - 1
        return np.union1d(np.arange(0, last, _LINES), [last]).astype(np.int64)

    def scalloping(self, swath: int) -> Floats:
        """Factors of a sub-swath's azimuth noise: 1 in a burst's middle, more at its ends."""
        mode = self.frame.mode
        burst = (
            self.azimuth_lines.astype(np.float64) * mode.interval / mode.burst_s
            + swath / mode.swaths
        )
        factor: Floats = 1 + SCALLOP * (2 * (burst % 1.0) - 1) ** 2
        return factor

    def gain_and_noise(self, line: Floats, sample: Floats) -> tuple[Floats, Floats]:
        """A_σ² and η at lines (n) and samples (m), each (n, m)."""
        gain = self._bilinear(self.sigma, line, sample) ** 2
        power = self._bilinear(self.noise_range, line, sample)
        swath = np.searchsorted(np.array(self.seams[1:-1]), sample, side="right")
        for number in np.unique(swath).tolist():
            factor = np.interp(line, self.azimuth_lines, self.scalloping(number))
            power[:, swath == number] *= factor[:, None]
        return gain, power

    def _bilinear(self, table: Floats, line: Floats, sample: Floats) -> Floats:
        place = np.clip(np.interp(line, self.vectors, np.arange(self.vectors.size)), 0, None)
        low = np.minimum(place.astype(int), self.vectors.size - 2)
        used = np.arange(low.min(), low.max() + 2)
        rows = np.stack([np.interp(sample, self.nodes, table[number]) for number in used])
        share = (place - low)[:, None]
        between: Floats = rows[low - used[0]] * (1 - share) + rows[low - used[0] + 1] * share
        return between


@lru_cache(maxsize=64)
def radiometry_of(frame: Frame, cross: bool, first: bool, last: bool) -> Radiometry:
    """The tables of an image; they are kept."""
    return Radiometry(frame, cross, first, last)


def incidence(
    frame: Frame, line: Floats, sample: Floats, lon: Floats, lat: Floats, height: Floats | float
) -> Floats:
    """Radians between the ellipsoid's normal and the line of sight, at places seen in pixels."""
    position, _ = frame.arc.states(frame.zero_doppler(line, frame.slant_range(line, sample)))
    sight = position - to_ecef(lon, lat, height)
    cosine = (sight * normal(lon, lat)).sum(-1) / np.linalg.norm(sight, axis=-1)
    angle: Floats = np.arccos(cosine)
    return angle
