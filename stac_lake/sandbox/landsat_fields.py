"""The fields of docs/sandbox.md as Landsat's sensors see and its masks describe them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stac_lake.sandbox.fields import S2_BANDS, TEXTURE, Axis, Optics, noise, reflectance, waves

SCALE, OFFSET = 0.0000275, -0.2  # of reflectance (USGS, LSDS-1619)
KELVIN_SCALE, KELVIN_OFFSET = 0.00341802, 149.0  # of surface temperature
OLI_BANDS = {
    "coastal": "B01",
    "blue": "B02",
    "green": "B03",
    "red": "B04",
    "nir08": "B8A",
    "swir16": "B11",
    "swir22": "B12",
}
"""Asset → the Sentinel-2 band whose surface reflectances it has."""
DILATION = 0.03
"""A pixel is in the margin of a cloud where the cloud field is this little under its edge."""
THIN, THICK = 0.3, 0.7  # opacity at which cirrus becomes cloud, and at which it may saturate
FILL = 1  # QA_PIXEL outside the image

CLEAR_BITS = 0b0101_0101_0000_0000
"""All four confidences (bits 8 to 15, two each) low."""


def reflectance_numbers(optics: Optics, asset: str, x: Axis, y: Axis, size: float) -> NDArray[Any]:
    """round((ρ + 0.2) / 0.0000275) + noise of 0 … 7, as (y, x) of uint16."""
    model = S2_BANDS[OLI_BANDS[asset]]
    value = reflectance(optics, OLI_BANDS[asset], x, y)
    number = np.rint((value - np.float32(OFFSET)) / np.float32(SCALE)).astype(np.int32)
    number += noise(x, y, size, model.index, 3).astype(np.int32)
    numbers: NDArray[np.uint16] = np.clip(number, 1, 65535).astype(np.uint16)
    return numbers


def temperature_numbers(optics: Optics, x: Axis, y: Axis) -> NDArray[Any]:
    """Surface temperature: 301 K of bare ground down to 289 K of vegetation, cloud at 235 K."""
    kelvin = 301 - np.float32(12) * optics.greenness(x, y)
    np.putmask(kelvin, optics.snow(x, y), np.float32(268))
    np.putmask(kelvin, optics.water(x, y), np.float32(284))
    kelvin += optics.cloud(x, y) * (np.float32(235) - kelvin)
    number = np.rint((kelvin - np.float32(KELVIN_OFFSET)) / np.float32(KELVIN_SCALE))
    numbers: NDArray[np.uint16] = number.astype(np.uint16)
    return numbers


@dataclass(frozen=True)
class _Sky:
    """What QA_PIXEL says of cloud, each (y, x) of bool."""

    cloud: NDArray[np.bool_]
    cirrus: NDArray[np.bool_]
    margin: NDArray[np.bool_]
    shadow: NDArray[np.bool_]


def _sky(optics: Optics, x: Axis, y: Axis) -> _Sky:
    opacity = optics.cloud(x, y)
    wider = dataclasses.replace(optics, cloud_threshold=optics.cloud_threshold - DILATION)
    return _Sky(
        opacity >= THIN,
        (opacity > 0) & (opacity < THIN),
        (opacity == 0) & (wider.cloud(x, y) > 0),
        (opacity == 0) & optics.shadow(x, y),
    )


def pixel_quality(optics: Optics, x: Axis, y: Axis) -> NDArray[Any]:
    """QA_PIXEL inside the image (LSDS-1619, table 6-3), as (y, x) of uint16."""
    sky = _sky(optics, x, y)
    water = optics.water(x, y) & ~sky.cloud
    snow = optics.snow(x, y) & ~optics.water(x, y) & ~sky.cloud & ~sky.cirrus
    bits = np.full(water.shape, CLEAR_BITS, np.uint16)
    # What is found has its flag, and a confidence of 3 (high) for 1 (low).
    for found, flag in (
        (sky.margin, 1 << 1),
        (sky.cirrus, 1 << 2 | 2 << 14),
        (sky.cloud, 1 << 3 | 2 << 8),
        (sky.shadow, 1 << 4 | 2 << 10),
        (snow, 1 << 5 | 2 << 12),
        (~(sky.cloud | sky.margin), 1 << 6),
        (water, 1 << 7),
    ):
        bits[found] |= np.uint16(flag)
    return bits


def saturation(optics: Optics, x: Axis, y: Axis, size: float) -> NDArray[Any]:
    """QA_RADSAT inside the image: rare saturation under thick cloud, and hidden slopes."""
    thick = (optics.cloud(x, y) >= THICK) & (noise(x, y, size, 77, 10) == 0)
    hidden = waves(TEXTURE, x, y) < -0.9
    bits = np.where(thick, np.uint16(0b111_1111), np.uint16(0))
    return bits | np.where(hidden, np.uint16(1 << 11), np.uint16(0))
