"""Histograms that can be merged without loss: exact for integers, of known resolution for floats.

A uint16 is its own bin. A float32 belongs to the bin of its leading 20 bits (sign, exponent and 11
bits of the mantissa), taken in the order of the numbers: bins are 2⁻¹¹ of a power of two wide, so
that the middle of a bin is off by at most 2⁻¹² (0.025 %) of any number in it, whatever the range:
0.003 dB at −12 dB, 0.25 m at 1,000 m. No range has to be known before, and two histograms of any
data have the same bins.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

DROPPED_BITS = 12
"""Low bits of a float32 that a bin does not tell apart."""

RELATIVE_ERROR = 2.0 ** -(24 - DROPPED_BITS)
"""Of a quantile of normal float32 numbers, at most; uint16 numbers have none."""


@dataclass(eq=False)
class Histogram:
    """How much weight lies in which bin.

    Attributes:
        dtype: Of the numbers: ``uint16`` or ``float32``.
        first: Number of the bin of `weights[0]`.
        weights: Of a gapless run of bins; empty before anything was added.
    """

    dtype: str
    first: int = 0
    weights: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def add(self, values: NDArray[Any], weight: float = 1.0) -> None:
        """Count numbers; none may be NaN.

        Args:
            values: Any shape, of `dtype`.
            weight: Of each.
        """
        if not values.size:
            return
        bins = bins_of(values.ravel())
        first = int(bins.min())
        # Sums of whole numbers under 2⁵³ are exact in float64.
        self._add(first, np.bincount(bins - first) * weight)

    def merge(self, other: Histogram) -> None:
        """Add what another histogram of the same type has counted."""
        if other.weights.size:
            self._add(other.first, other.weights)

    @property
    def bins(self) -> NDArray[np.int64]:
        """Numbers of the bins of `weights`."""
        return np.arange(self.first, self.first + self.weights.size)

    @property
    def centres(self) -> NDArray[np.float64]:
        """What a number in each bin of `weights` is taken for."""
        if self.dtype == "uint16":
            return self.bins.astype(np.float64)
        step = 1 << DROPPED_BITS
        low = _float_of(self.bins * step)
        # The bins of infinities and NaN end the scale, and hold nothing.
        with np.errstate(invalid="ignore"):
            return (low + _float_of(self.bins * step + step - 1)) / 2

    def quantiles(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """The least numbers up to which at least these shares of the weight lie.

        This is numpy's ``inverted_cdf``, weighted; floats are the middles of their bins.

        Args:
            shares: In [0, 1].
        """
        sums = np.cumsum(self.weights)
        # The last sum stands for all: rounding of weights must not lead beyond the end.
        places = np.searchsorted(sums, shares * sums[-1] * (1 - 1e-12), side="left")
        filled = np.flatnonzero(self.weights)
        places = np.clip(places, filled[0], filled[-1])
        found: NDArray[np.float64] = self.centres[places]
        return found

    def buckets(self, minimum: float, maximum: float, count: int) -> NDArray[np.float64]:
        """Weights in equally wide buckets from `minimum` to `maximum`, both included."""
        inside = np.clip(self.centres, minimum, maximum)
        found: NDArray[np.float64]
        found, _ = np.histogram(inside, count, (minimum, maximum), weights=self.weights)
        return found

    def _add(self, first: int, weights: NDArray[Any]) -> None:
        if not self.weights.size:
            self.first, self.weights = first, weights.astype(np.float64)
            return
        low = min(self.first, first)
        high = max(self.first + self.weights.size, first + weights.size)
        if high - low > self.weights.size:
            wider = np.zeros(high - low)
            wider[self.first - low :][: self.weights.size] = self.weights
            self.first, self.weights = low, wider
        self.weights[first - self.first :][: weights.size] += weights


def bins_of(values: NDArray[Any]) -> NDArray[np.int64]:
    """Number of the bin that each number belongs to, in the order of the numbers."""
    if values.dtype == np.uint16:
        return values.astype(np.int64)
    bits = np.ascontiguousarray(values, np.float32).view(np.int32).astype(np.int64)
    # Negative floats sort backwards by their bits; −0 and 0 are neighbours.
    ordered = np.where(bits < 0, -(bits & 0x7FFFFFFF) - 1, bits)
    return ordered >> DROPPED_BITS


def _float_of(ordered: NDArray[np.int64]) -> NDArray[np.float64]:
    """The float32 numbers that `bins_of` has put in order, before the low bits were dropped."""
    bits = np.where(ordered < 0, (-ordered - 1) | 0x80000000, ordered)
    return bits.astype(np.uint32).view(np.float32).astype(np.float64)
