"""Numbers out of chips: what the item says about its pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stac_lake.quality.properties import BY_NAME
from stac_lake.quality.valid import UNUSABLE, qa_flags, valid_mask
from stac_lake.recipe import Optical, Product
from stac_lake.types import Chip, Qa

SNOWY_PCT = 10.0
"""Snow cover from which on the classifiers' confusion of snow and cloud matters for a chip."""

_SHARES = {
    "eo:cloud_cover": Qa.CLOUD | Qa.CIRRUS,
    "lake:shadow_pct": Qa.SHADOW,
    "lake:snow_pct": Qa.SNOW,
    "lake:water_pct": Qa.WATER,
    "lake:saturated_pct": UNUSABLE,
    "lake:floored_pct": Qa.FLOORED,
    "lake:noise_floor_pct": Qa.FLOORED,
    "lake:bright_pct": Qa.BRIGHT,
    "lake:glint_pct": Qa.SUN_GLINT,
    "lake:sea_filled_pct": Qa.SEA_FILLED,
}
"""Property → flags any of which counts, as a share of the observed pixels."""
_BY_MASK = Qa.CLOUD | Qa.CIRRUS | Qa.SHADOW | Qa.SNOW | Qa.WATER
"""Flags of optical imagery that only its mask can tell: what it cannot, is left out."""


def measure_chip(product: Product, chip: Chip) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """Shares of the chip's pixels, and statistics of its bands.

    Args:
        product: Says which properties the modality defines.
        chip: With qa, or n_orbits, among its bands.

    Returns:
        Item properties: ``lake:valid_pct`` and ``lake:nodata_pct`` of all pixels, the others of the
        observed pixels (absent if there are none); and per band, in file order, ``minimum``,
        ``maximum``, ``mean``, ``stddev`` over its valid pixels and ``valid_percent`` of all pixels.
        A band without valid pixels has the last only, and `qa` none. No value is NaN.
    """
    valid = valid_mask(product, chip.data)
    properties: dict[str, Any] = {"lake:valid_pct": percent(valid)}
    if product.qa_band is not None:
        flags = qa_flags(product, chip.data)
        properties |= _shares(product, chip, flags)
    else:
        properties["lake:nodata_pct"] = percent(~valid)
    bands = [
        {} if name == "qa" else statistics(band, valid & _has_value(band, product.nodata))
        for name, band in zip(chip.bands, chip.data, strict=True)
    ]
    return properties, bands


def _shares(product: Product, chip: Chip, flags: NDArray[np.uint16]) -> dict[str, Any]:
    observed = (flags & Qa.OBSERVED) != 0
    shares: dict[str, Any] = {"lake:nodata_pct": percent(~observed)}
    if not observed.any():
        return shares
    untold = _untold(product, chip)
    for name, bits in _SHARES.items():
        if product.modality in BY_NAME[name].modalities and bits & ~untold:
            shares[name] = percent((flags[observed] & bits) != 0)
    if {"eo:cloud_cover", "lake:snow_pct"} <= set(shares):
        low = shares["lake:snow_pct"] >= SNOWY_PCT
        shares["lake:cloud_confidence"] = "low" if low else "normal"
    return shares


def _untold(product: Product, chip: Chip) -> Qa:
    """Flags that a chip's mask, named by `lake:cloud_source`, cannot tell."""
    if not isinstance(product.values, Optical):
        return Qa(0)
    used = chip.properties.get("lake:cloud_source")
    told = next((mask.tells for mask in product.values.masks if mask.source == used), Qa(0))
    return _BY_MASK & ~told


def percent(mask: NDArray[np.bool_]) -> float:
    """Share of True in per cent; six decimals tell one pixel of 960²."""
    return round(100.0 * float(np.count_nonzero(mask)) / mask.size, 6)


def _has_value(band: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    return np.isfinite(band) if band.dtype.kind == "f" else np.asarray(band != nodata)


def statistics(band: NDArray[Any], usable: NDArray[np.bool_]) -> dict[str, float]:
    """Minimum, maximum, mean, standard deviation and share of a band's usable pixels.

    Args:
        band: (y, x).
        usable: (y, x), True where a pixel counts.

    Returns:
        ``minimum``, ``maximum``, ``mean``, ``stddev`` in the band's unit, absent if no pixel
        counts, and ``valid_percent`` of all pixels.
    """
    share = {"valid_percent": percent(usable)}
    if not usable.any():
        return share
    values = band[usable].astype(np.float64)
    return {
        "minimum": float(values.min()),
        "maximum": float(values.max()),
        "mean": float(values.mean()),
        "stddev": float(values.std()),
        **share,
    }
