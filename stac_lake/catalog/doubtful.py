"""What can be wrong with the pixels of an asset that is a whole file: empty, odd, or not as told.

`is_doubtful` guesses it from the item's own figures, without reading anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stac_lake.catalog.promise import Promise
from stac_lake.quality.measure import measure_chip
from stac_lake.quality.valid import qa_flags
from stac_lake.recipe import Optical, Product
from stac_lake.types import Chip, Qa

SAME = 1e-6
"""Relative difference of two sums of the same numbers in another order, in float64, with room."""

OFFSET_SHARE = 0.9
"""Of the radiometric offset: less sensor noise and overcorrection, dark surfaces lie above it only
if the offset is still in (the same 900 as `offset.check.above` of Sentinel-2 L2A)."""

DARK_PIXELS = 50
"""With fewer pixels that should be dark, nothing is decided (`offset.check.min_pixels`)."""

_UNSEEN = Qa.CLOUD | Qa.CIRRUS | Qa.SNOW


@dataclass(frozen=True)
class Damage:
    """One thing that is wrong.

    Attributes:
        problem: Stable name; `docs/verify.md` lists them.
        detail: What was found, and what was promised.
    """

    problem: str
    detail: str


def is_doubtful(promise: Promise) -> bool:
    """Whether the item's own figures make its pixels worth reading. Reads nothing.

    All of them nodata, every band constant, or Sentinel-2 with nothing darker than the offset.
    """
    if promise.properties.get("lake:nodata_pct", 0) >= 100:
        return True
    made = promise.product()
    if made is None:
        return False
    said = dict(zip(promise.bands, promise.statistics, strict=False))
    ranges = [
        (numbers["minimum"], numbers["maximum"])
        for band in made.value_bands
        if {"minimum", "maximum"} <= (numbers := said.get(band.name, {})).keys()
    ]
    if ranges and _should_vary(made) and all(low == high for low, high in ranges):
        return True
    return _may_hold_offset(promise, made, said)


def empty_pixels(pixels: NDArray[Any], promise: Promise) -> Damage | None:
    """All nodata, or all constant in every band that holds values.

    Args:
        pixels: (band, y, x), all bands.
        promise: Of the item.
    """
    made = promise.product()
    if made is None:
        return None
    observed = np.ones(pixels.shape[1:], bool)
    if made.qa_band is not None:
        observed = (qa_flags(made, pixels) & Qa.OBSERVED) != 0
    ranges = []
    for band in made.value_bands:
        values = pixels[promise.bands.index(band.name)][observed]
        values = values[np.isfinite(values) & (values != made.nodata)]
        if values.size:
            ranges.append((values.min(), values.max(), values.size))
    if not ranges:
        return Damage("asset_nodata", "no pixel has a value")
    many = max(size for _, _, size in ranges) > 1
    if _should_vary(made) and many and all(low == high for low, high, _ in ranges):
        return Damage("asset_constant", f"every band has one value: {ranges[0][0]} in the first")
    return None


def _should_vary(made: Product) -> bool:
    """Lakes and the sea are flat in the elevation model, and one footprint may cover a cell."""
    return made.values.operator not in {"elevation", "column"}


def contradicting_pixels(pixels: NDArray[Any], promise: Promise) -> Damage | None:
    """Sentinel-2's offset, and the statistics that the item says, against the pixels.

    Args:
        pixels: (band, y, x), all bands.
        promise: Of the item.
    """
    made = promise.product()
    if made is None or not {"qa", "n_orbits"} & set(promise.bands):
        # An adopted file: nobody has said which of its pixels are valid.
        return None
    if text := _offset_left_in(pixels, promise, made):
        return Damage("offset_left_in", text)
    chip = Chip(promise.grid, promise.bands, pixels, (), dict(promise.properties))
    shares, bands = measure_chip(made, chip)
    for name, figure in shares.items():
        said = promise.properties.get(name, figure)
        if isinstance(figure, float) and not _alike(said, figure):
            return Damage("statistics_differ", f"{name} is {figure} and the item says {said}")
    for name, numbers, told in zip(promise.bands, bands, promise.statistics, strict=False):
        for key, figure in numbers.items():
            if key in told and not _alike(told[key], figure):
                text = f"{key} of {name} is {figure} and the item says {told[key]}"
                return Damage("statistics_differ", text)
    return None


def _alike(one: Any, other: float) -> bool:
    number = isinstance(one, int | float)
    return number and math.isclose(one, other, rel_tol=SAME, abs_tol=1e-12)


def _offset_left_in(pixels: NDArray[Any], promise: Promise, made: Product) -> str:
    """Why Sentinel-2 still seems to hold the radiometric offset; empty if it does not, or is told.

    Level 1C: water vapour absorbs at 1.375 µm, so that band B10 sees neither ground nor low cloud
    (Gao, Goetz and Wiscombe 1993, Geophys. Res. Lett. 20, 301-304): without the offset of +1000
    (ESA, processing baseline 04.00) its mean over clear land and water is near 0. Cloud and snow
    are left out, as high cloud and high snow do shine in it. Level 2A has no such band: there the
    darkest hundredth of shadow and water in band B12 decides, as when a scene is harvested, and
    only where nothing was subtracted (sun glint is bright).
    """
    rule = made.values.offset if isinstance(made.values, Optical) else None
    if rule is None or any(promise.offsets):
        return ""
    above = OFFSET_SHARE * rule.dn
    flags = qa_flags(made, pixels)
    clear = ((flags & Qa.OBSERVED) != 0) & ((flags & (_UNSEEN | Qa.SATURATED | Qa.INVALID)) == 0)
    if "B10" in promise.bands:
        cirrus = pixels[promise.bands.index("B10")][clear]
        if cirrus.size < DARK_PIXELS or cirrus.mean() < above:
            return ""
        return f"the mean of the cirrus band B10 over clear pixels is {cirrus.mean():.0f}"
    if "B12" not in promise.bands or promise.properties.get("lake:dn_offset"):
        return ""
    dark = pixels[promise.bands.index("B12")][clear & ((flags & (Qa.SHADOW | Qa.WATER)) != 0)]
    if dark.size < DARK_PIXELS or np.percentile(dark, 1) < above:
        return ""
    return f"the darkest hundredth of shadow and water in B12 is {np.percentile(dark, 1):.0f}"


def _may_hold_offset(
    promise: Promise, made: Product, said: Mapping[str, Mapping[str, float]]
) -> bool:
    """What `_offset_left_in` would need to be true, by the item's figures over all valid pixels."""
    rule = made.values.offset if isinstance(made.values, Optical) else None
    if rule is None or any(promise.offsets):
        return False
    above = OFFSET_SHARE * rule.dn
    if "B10" in said:
        return said["B10"].get("mean", 0.0) >= above
    share = sum(promise.properties.get(f"lake:{name}_pct", 0.0) for name in ("shadow", "water"))
    subtracted = promise.properties.get("lake:dn_offset")
    return share > 0 and not subtracted and said.get("B12", {}).get("minimum", 0.0) >= above
