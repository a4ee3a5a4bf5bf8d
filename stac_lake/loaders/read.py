"""Pixels of an item by its stored tile index: no header is read, and no GDAL is needed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np

from stac_lake.errors import BadRaster

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stac_lake.store.objects import Objects


def read_chip(objects: Objects, item: Mapping[str, Any]) -> NDArray[Any]:
    """All bands of an item.

    Args:
        objects: The lake's store.
        item: An Item document of the lake, resolved or as stored.

    Returns:
        (band, y, x) in the file's dtype, `qa` included.

    Raises:
        BadRaster: the bytes do not decode to what the item promises.
        KeyMissing: the asset is gone.
    """
    asset = item["assets"]["data"]
    layout = asset["lake:layout"]
    key = asset_key(objects, asset["href"])
    start = min(layout["offsets"])
    stop = max(o + n for o, n in zip(layout["offsets"], layout["byte_counts"], strict=True))
    data = _range(objects, key, start, stop)
    dtype = np.dtype(asset["bands"][0]["data_type"])
    rows, columns = item["properties"]["proj:shape"]
    try:
        return _decode(data, start, layout, (rows, columns, len(asset["bands"])), dtype)
    except (ValueError, RuntimeError) as error:
        raise BadRaster(
            f"the asset does not decode: {error}; `stac-lake verify` tells more", item=item["id"]
        ) from error


def asset_key(objects: Objects, href: str) -> str:
    """The key of a resolved asset href in its own lake.

    Raises:
        BadRaster: the href does not lie in the lake.
    """
    root = objects.url.rstrip("/") + "/"
    if not href.startswith(root):
        raise BadRaster(f"{href} is not in the lake {objects.url}: open the lake it belongs to")
    return href[len(root) :]


def _range(objects: Objects, key: str, start: int, stop: int) -> bytes:
    path = objects.local_path(key)
    if path is None:
        return objects.get_range(key, start, stop)
    # A plain read: it is the fastest there is, and safe in forked workers.
    with Path(path).open("rb") as file:
        file.seek(start)
        return file.read(stop - start)


def _decode(
    data: bytes,
    origin: int,
    layout: Mapping[str, Any],
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
) -> NDArray[Any]:
    """Undo zstd and the TIFF predictor (TIFF 6.0 §14; Adobe Photoshop TIFF technical note 3)."""
    rows, columns, bands = shape
    height, width = layout["tile"]
    across = -(-columns // width)
    out = np.empty((bands, rows, columns), dtype)
    spans = zip(layout["offsets"], layout["byte_counts"], strict=True)
    for number, (offset, count) in enumerate(spans):
        packed = data[offset - origin : offset - origin + count]
        raw = imagecodecs.zstd_decode(packed, out=height * width * bands * dtype.itemsize)
        if layout["predictor"] == 3:
            tile = np.frombuffer(raw, np.uint8).view(dtype).reshape(height, width, bands)
            tile = imagecodecs.floatpred_decode(tile, axis=-2, dist=1)
        else:
            tile = np.frombuffer(raw, dtype).reshape(height, width, bands)
            tile = np.cumsum(tile, axis=1, dtype=dtype)
        top, left = number // across * height, number % across * width
        part = tile[: rows - top, : columns - left].transpose(2, 0, 1)
        out[:, top : top + height, left : left + width] = part
    return out
