"""Stored numbers as reflectances, by what each item says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stac_lake.errors import BadRaster
from stac_lake.pixels.swath import Target
from stac_lake.recipe import Product, Radiance
from stac_lake.types import PixelGrid

Units = Literal["stored", "reflectance"]

LEAST_COSINE = 0.01
"""Of the sun's zenith angle: lower than half a degree above the horizon nothing is divided by it.
OLCI chips have at least cos 75° in their middle."""


@dataclass(frozen=True, slots=True)
class Reflectance:
    """How the numbers of one item become reflectance: (value · scale + offset) / cos θ of the sun.

    Attributes:
        scale: Per band.
        offset: Per band.
        grid: Where the pixels lie, if the cosine has still to be applied; else None.
        sun: Elevation and azimuth (clockwise from north) in the grid's centre, degrees.
    """

    scale: tuple[float, ...]
    offset: tuple[float, ...]
    grid: PixelGrid | None = None
    sun: tuple[float, float] = (90.0, 0.0)

    @classmethod
    def of(cls, product: Product, item: Mapping[str, Any]) -> Reflectance:
        """By the metadata of an Item document of a product that `has_reflectance`.

        Radiances L become π L / (F₀ cos θ), with the solar flux F₀ of the item's bands, which is
        that of the day; numbers with a scale are multiplied by it, and their offset is added.

        Args:
            product: Whose item it is.
            item: The document.

        Raises:
            BadRaster: the item of a radiance lacks solar flux or sun.
        """
        asset, properties = item["assets"]["data"], item["properties"]
        bands = [band.name for band in product.value_bands]
        if isinstance(product.values, Radiance):
            said = {band["name"]: band for band in asset["bands"]}
            try:
                scale = tuple(np.pi / said[name]["solar_flux"] for name in bands)
                sun = properties["view:sun_elevation"], properties["view:sun_azimuth"]
            except KeyError as error:
                raise BadRaster(
                    f"the item has no {error}, which reflectance needs: harvest it again, "
                    "or use units='stored'",
                    item=item["id"],
                ) from error
            return cls(scale, (0.0,) * len(scale), _grid(properties), sun)
        names = [band["name"] for band in asset["bands"]]
        rules = dict(zip(names, asset["raster:bands"], strict=True))
        return cls(
            tuple(rules[name].get("scale", 1.0) for name in bands),
            tuple(rules[name].get("offset", 0.0) for name in bands),
        )

    def apply(self, data: NDArray[Any], nodata: float) -> NDArray[np.float32]:
        """(band, y, x) to float32; nodata and what is not finite becomes 0."""
        shape = (-1, 1, 1)
        scaled = data.astype(np.float64) * np.reshape(self.scale, shape)
        scaled += np.reshape(self.offset, shape)
        if self.grid is not None:
            scaled /= sun_cosine(self.grid, *self.sun)
        scaled[~np.isfinite(scaled) | (data == nodata)] = 0
        out: NDArray[np.float32] = scaled.astype(np.float32)
        return out


def has_reflectance(product: Product) -> bool:
    """Whether the values are reflectances, or can become some: not radar, gases, heights."""
    return isinstance(product.values, Radiance) or any(band.scale for band in product.value_bands)


def sun_cosine(grid: PixelGrid, elevation_deg: float, azimuth_deg: float) -> NDArray[np.float64]:
    """Cosine of the sun's zenith angle at each pixel, from where the sun stands in the middle.

    The sun's rays are parallel, so that its direction in the grid's centre holds for all pixels,
    and only their verticals differ. Left out is that the lines of a scene are not seen at the same
    moment: four seconds for 28 km of OLCI.

    Args:
        grid: Where the pixels lie.
        elevation_deg: Of the sun's centre at the centre of the grid.
        azimuth_deg: Clockwise from north, there.

    Returns:
        (y, x), NaN where the sun is under half a degree.
    """
    target = _target(grid)
    elevation, azimuth = np.radians(elevation_deg), np.radians(azimuth_deg)
    level = np.sin(azimuth) * target.plane.east + np.cos(azimuth) * target.plane.north
    sun = np.cos(elevation) * level + np.sin(elevation) * target.plane.centre
    cosine: NDArray[np.float64] = target.vectors @ sun
    return np.where(cosine > LEAST_COSINE, cosine, np.nan)


# The images of a series share one grid, and a projected one takes milliseconds.
_target = lru_cache(maxsize=32)(Target.of)


def _grid(properties: Mapping[str, Any]) -> PixelGrid:
    rows, columns = properties["proj:shape"]
    a, b, c, d, e, f = properties["proj:transform"][:6]
    return PixelGrid(properties["proj:epsg"], (a, b, c, d, e, f), (rows, columns))
