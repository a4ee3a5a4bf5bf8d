"""The bands of an item's COG, in the three spellings that readers ask for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from stac_lake.recipe import Band, Product
from stac_lake.types import Qa

_OPTICAL = {"s2", "s3", "landsat"}
"""Modalities whose bands are described by a wavelength in the eo extension."""

_QA_BITS: dict[str, Qa] = {
    "s1": Qa.OBSERVED | Qa.FLOORED,
    "s2": Qa.OBSERVED
    | Qa.CLOUD
    | Qa.CIRRUS
    | Qa.SHADOW
    | Qa.SNOW
    | Qa.WATER
    | Qa.SATURATED
    | Qa.FLOORED,
    "s3": Qa.OBSERVED
    | Qa.WATER
    | Qa.SATURATED
    | Qa.BRIGHT
    | Qa.SUN_GLINT
    | Qa.INVALID
    | Qa.DUPLICATED,
    "dem": Qa.OBSERVED | Qa.SEA_FILLED,
    "landsat": Qa.OBSERVED
    | Qa.CLOUD
    | Qa.CIRRUS
    | Qa.SHADOW
    | Qa.SNOW
    | Qa.WATER
    | Qa.SATURATED
    | Qa.INVALID,
}
"""Bits that a modality's `qa` band can have."""

_QA_TEXT = {
    Qa.OBSERVED: "the sensor has seen the pixel",
    Qa.CLOUD: "cloud",
    Qa.CIRRUS: "thin cirrus",
    Qa.SHADOW: "cloud shadow",
    Qa.SNOW: "snow or ice",
    Qa.WATER: "water",
    Qa.SATURATED: "saturated or defective",
    Qa.FLOORED: "value floored at the least one that is stored",
    Qa.SEA_FILLED: "no tile here: sea at 0 m",
    Qa.BRIGHT: "bright: cloud, snow or glint",
    Qa.SUN_GLINT: "sun-glint risk",
    Qa.INVALID: "marked invalid upstream",
    Qa.DUPLICATED: "copy of a neighbour, made by the upstream resampling",
}


def stac_band(
    product: Product, band: Band, numbers: Mapping[str, Any], more: Mapping[str, Any]
) -> dict[str, Any]:
    """The band as STAC 1.1 says it.

    Args:
        product: Whose band it is.
        band: From the product.
        numbers: Statistics over the valid pixels; empty where there are none.
        more: Further keys.
    """
    optical = product.modality in _OPTICAL
    found = {
        "name": band.name,
        "description": band.description or None,
        "data_type": product.dtype,
        "nodata": _nodata(product, band),
        "unit": band.unit,
        "gsd": band.gsd_m,
        "statistics": dict(numbers) or None,
        "eo:common_name": band.common_name,
        "eo:center_wavelength": _micrometres(band.wavelength_nm) if optical else None,
        "eo:full_width_half_max": _micrometres(band.width_nm) if optical else None,
        "classification:bitfields": bitfields(product, band),
        # raster 2.0 spellings do not belong beside raster 1.1; `raster_band` says them its way.
        **{name: value for name, value in more.items() if not name.startswith("raster:")},
    }
    return {name: value for name, value in found.items() if value is not None}


def eo_band(product: Product, band: Band) -> dict[str, Any]:
    """The band as eo 1.1 says it; odc-stac and stackstac take names from here."""
    optical = product.modality in _OPTICAL
    found = {
        "name": band.name,
        "common_name": band.common_name,
        "description": band.description or None,
        "center_wavelength": _micrometres(band.wavelength_nm) if optical else None,
        "full_width_half_max": _micrometres(band.width_nm) if optical else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def raster_band(
    product: Product, band: Band, numbers: Mapping[str, Any], more: Mapping[str, Any]
) -> dict[str, Any]:
    """The band as raster 1.1 says it; arguments as of `stac_band`."""
    found = {
        "data_type": product.dtype,
        "nodata": _nodata(product, band),
        "unit": band.unit,
        "scale": band.scale,
        "offset": more.get("raster:offset", band.offset) or None,
        "sampling": "area",
        "spatial_resolution": band.gsd_m,
        "statistics": dict(numbers) or None,
        "classification:bitfields": bitfields(product, band),
    }
    return {name: value for name, value in found.items() if value is not None}


def bitfields(product: Product, band: Band) -> list[dict[str, Any]] | None:
    """What the bits of a `qa` band mean; None for every other band."""
    if band.name != "qa":
        return None
    return [
        {
            "name": (flag.name or "").lower(),
            "description": _QA_TEXT[flag],
            "offset": flag.bit_length() - 1,
            "length": 1,
            "classes": [
                {"value": 0, "description": "no"},
                {"value": 1, "description": "yes"},
            ],
        }
        for flag in _QA_BITS[product.modality]
    ]


def _nodata(product: Product, band: Band) -> float | int | str:
    if band.name == "qa":
        # No bit set: not observed. The file has one nodata tag for all bands, NaN in float files.
        return 0
    if math.isnan(product.nodata):
        return "nan"
    return int(product.nodata) if product.nodata.is_integer() else product.nodata


def _micrometres(nanometres: float | None) -> float | None:
    return None if nanometres is None else round(nanometres / 1000, 9)
