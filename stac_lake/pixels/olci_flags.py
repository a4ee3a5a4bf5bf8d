"""Quality flags of OLCI level 1B: which pixels of the swath are measurements, and of what.

Bits: `quality_flags` of the Sentinel-3 OLCI Level-1 product, bit 31 first: land, coastline, inland
water, tidal region, bright, straylight risk, invalid, cosmetic, duplicated, sun-glint risk,
dubious; then the saturation flags, which are looked up by name, as their places differ.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stac_lake.pixels.swath import Floats
from stac_lake.types import Qa

Booleans = NDArray[np.bool_]

LAND, BRIGHT, INVALID, SUN_GLINT = 1 << 31, 1 << 27, 1 << 25, 1 << 22
COPIED = 1 << 24 | 1 << 23
"""Cosmetic and duplicated: a pixel that had no measurement of its own shows a neighbour's."""
DUBIOUS = 1 << 21
"""Near a blooming or saturated one: the radiance may be wrong by an unknown amount."""
SATURATED = "saturated"
"""What the names of the saturation flags begin with, one per band or one for all."""


def qa_bits(word: NDArray[np.uint32], names: Mapping[str, int]) -> NDArray[np.int32]:
    """`Qa` of each pixel of the swath; an invalid pixel is not observed, a dubious one is.

    Args:
        word: `quality_flags`, (row, column).
        names: Flag → mask, as the file says.
    """
    saturated = sum({mask for name, mask in names.items() if name.startswith(SATURATED)})
    qa = np.zeros(word.shape, np.int32)
    seen = (word & INVALID) == 0
    for bit, mask in (
        (Qa.OBSERVED, seen),
        (Qa.WATER, seen & ((word & LAND) == 0)),
        (Qa.BRIGHT, (word & BRIGHT) != 0),
        (Qa.SUN_GLINT, (word & SUN_GLINT) != 0),
        (Qa.INVALID, (word & (INVALID | DUBIOUS)) != 0),
        (Qa.DUPLICATED, (word & COPIED) != 0),
        (Qa.SATURATED, (word & saturated) != 0),
    ):
        qa[mask] |= int(bit)
    return qa


def is_usable(qa: NDArray[np.int32]) -> Booleans:
    """What may be interpolated: observed, neither saturated nor invalid, as `valid` of a chip."""
    wanted, unwanted = int(Qa.OBSERVED), int(Qa.SATURATED | Qa.INVALID)
    return np.asarray((qa & (wanted | unwanted)) == wanted)


def bridged(data: Floats, copied: Booleans) -> Floats:
    """Copied pixels interpolated in their row between the real ones beside them.

    A copy repeats a neighbour's measurement, so that its value and, depending on the processor, its
    place are not its own. Where there is no real pixel on one side, it is kept.

    Args:
        data: (row, column), NaN where there is nothing to interpolate.
        copied: Likewise.
    """
    if not copied.any():
        return data
    columns = np.arange(data.shape[1])
    left = np.maximum.accumulate(np.where(copied, -1, columns), axis=1)
    right = np.where(copied, data.shape[1], columns)
    right = np.minimum.accumulate(right[:, ::-1], axis=1)[:, ::-1]
    row, column = np.nonzero(copied & (left >= 0) & (right < data.shape[1]))
    one, other = left[row, column], right[row, column]
    part = (column - one) / (other - one)
    value = data[row, one] * (1 - part) + data[row, other] * part
    out = data.copy()
    out[row, column] = np.where(np.isnan(value), data[row, column], value)
    return out
