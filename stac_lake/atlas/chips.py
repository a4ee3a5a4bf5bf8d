"""Pixels of any item of a lake, and which of them count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from stac_lake.errors import BadRaster
from stac_lake.loaders.read import read_chip
from stac_lake.quality.valid import valid_mask
from stac_lake.recipe import COMPANIONS, Product

if TYPE_CHECKING:
    from stac_lake.store.objects import Objects


def read_values(objects: Objects, item: Mapping[str, Any]) -> NDArray[Any]:
    """All bands (band, y, x) of an item; through GDAL where it has no tile index.

    Raises:
        BadRaster, KeyMissing, InvalidItem, StoreUnavailable: as `stac_lake.loaders.read.read_chip`.
    """
    asset = item["assets"]["data"]
    if "lake:layout" in asset:
        return read_chip(objects, item)
    try:
        with rasterio.open(asset["href"], driver="GTiff") as dataset:
            data: NDArray[Any] = dataset.read()
    except RasterioError as error:
        raise BadRaster(f"the file cannot be read: {error}", item=item["id"]) from error
    if len(data) != len(asset["bands"]):
        raise BadRaster(f"{len(data)} bands instead of {len(asset['bands'])}", item=item["id"])
    return data


def usable_values(
    made: Product, item: Mapping[str, Any], data: NDArray[Any]
) -> dict[str, NDArray[Any]]:
    """Band → its usable pixels (one axis), as an item's own statistics count them.

    Args:
        made: Product of the item.
        item: The document.
        data: (band, y, x), all bands of the item.
    """
    names = [band["name"] for band in item["assets"]["data"]["bands"]]
    own = made.with_bands(names)
    told = set(names) & {"qa", "n_orbits"}
    # Files from elsewhere have no flags: what is not nodata has to do.
    valid = valid_mask(own, data) if told else np.ones(data.shape[1:], bool)
    values = data.astype(made.dtype, copy=False)
    found = {}
    for name, band in zip(names, values, strict=True):
        if name not in COMPANIONS:
            known = np.isfinite(band) if band.dtype.kind == "f" else band != made.nodata
            found[name] = band[valid & known]
    return found
