"""Pixels of an item by its stored tile index: no header is read, and no GDAL is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from stac_lake.catalog.item import asset_key_of
from stac_lake.errors import BadRaster, KeyMissing
from stac_lake.loaders.forked import in_forked_process, read_range
from stac_lake.store import keys
from stac_lake.types import Slot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stac_lake.store.objects import Objects

_PREDICTORS = {1, 2, 3}  # TIFF tag 317: none, horizontal differencing, floating point


@dataclass(frozen=True, slots=True)
class Tiles:
    """Where the pixels of one item lie in the lake, and how they are packed.

    Attributes:
        item: Its id.
        key: Of the asset.
        dtype: Of all bands.
        shape: (bands, rows, columns).
        tile: (rows, columns) of one tile.
        offsets: Of the tiles in the file, row by row.
        byte_counts: Of the tiles.
        predictor: TIFF tag 317: 1, 2 or 3.
    """

    item: str
    key: str
    dtype: str
    shape: tuple[int, int, int]
    tile: tuple[int, int]
    offsets: tuple[int, ...]
    byte_counts: tuple[int, ...]
    predictor: int

    @classmethod
    def of(cls, item: Mapping[str, Any], url: str) -> Tiles:
        """The tiles of an item.

        Args:
            item: An Item document, resolved or as stored.
            url: `Objects.url` of its lake.

        Raises:
            BadRaster: the item has no tile index, or one of another kind, or lies elsewhere.
        """
        asset = item["assets"]["data"]
        layout = asset.get("lake:layout", {})
        try:
            kind = layout["compression"], layout["interleave"]
            rows, columns = item["properties"]["proj:shape"]
            height, width = layout["tile"]
            made = cls(
                item["id"],
                asset_key(item, url),
                asset["bands"][0]["data_type"],
                (len(asset["bands"]), rows, columns),
                (height, width),
                tuple(layout["offsets"]),
                tuple(layout["byte_counts"]),
                layout["predictor"],
            )
        except KeyError as error:
            raise BadRaster(
                f"the item has no {error} to find its tiles by: harvest it again", item=item["id"]
            ) from error
        wanted = -(-rows // height) * -(-columns // width)
        if kind != ("zstd", "pixel") or made.predictor not in _PREDICTORS:
            raise BadRaster(f"the layout {layout} is not read here: use rasterio", item=item["id"])
        if not len(made.offsets) == len(made.byte_counts) == wanted:
            raise BadRaster(f"the tile index has not {wanted} tiles", item=item["id"])
        return made


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
        StoreUnavailable: the store failed.
    """
    return read_tiles(objects, Tiles.of(item, objects.url))


def read_tiles(objects: Objects, tiles: Tiles) -> NDArray[Any]:
    """All bands of the image that some tiles make; result and errors as of `read_chip`."""
    start = min(tiles.offsets)
    stop = max(o + n for o, n in zip(tiles.offsets, tiles.byte_counts, strict=True))
    data = _range(objects, tiles.key, start, stop)
    bands, rows, columns = tiles.shape
    height, width = tiles.tile
    across = -(-columns // width)
    image = np.empty(tiles.shape, tiles.dtype)
    for number, (offset, count) in enumerate(zip(tiles.offsets, tiles.byte_counts, strict=True)):
        packed = data[offset - start : offset - start + count]
        try:
            tile = _tile(packed, (height, width, bands), tiles)
        except OSError as error:  # pyarrow's, of bytes that are not zstd or of another size
            raise BadRaster(
                f"the asset does not decode: {error}; `stac-lake verify` tells more",
                item=tiles.item,
            ) from error
        top, left = number // across * height, number % across * width
        part = tile[: rows - top, : columns - left].transpose(2, 0, 1)
        image[:, top : top + height, left : left + width] = part
    return image


def asset_key(item: Mapping[str, Any], url: str) -> str:
    """The key of an item's asset in its own lake.

    Args:
        item: An Item document, resolved or as stored.
        url: `Objects.url` of the lake.

    Raises:
        BadRaster: the href does not lie in the lake, or not among the cell's assets.
        InvalidItem: the same of an item as stored.
    """
    # The API names a file on the disk by its URI.
    href: str = item["assets"]["data"]["href"].removeprefix("file://")
    if "://" not in href and not href.startswith("/"):
        return asset_key_of(item)
    root = url.rstrip("/") + "/"
    key = href.removeprefix(root)
    if key == href:
        raise BadRaster(f"{href} is not in the lake {url}: open the lake it belongs to")
    if not key.startswith(f"{keys.cell_prefix(Slot.from_id(item['id']).cell)}assets/"):
        raise BadRaster(f"{href} is not among the assets of its cell", item=item["id"])
    return key


def _range(objects: Objects, key: str, start: int, stop: int) -> bytes:
    path = objects.local_path(key)
    if path is None:
        read = read_range if in_forked_process() else type(objects).get_range
        return read(objects, key, start, stop)
    # A plain read: it is the fastest there is, and safe in forked workers.
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(stop - start)
    except FileNotFoundError as error:
        raise KeyMissing("no such object", key=key, lake=objects.url) from error


def _tile(packed: bytes, shape: tuple[int, int, int], tiles: Tiles) -> NDArray[Any]:
    """One tile (row, column, band): zstd, then the predictor undone.

    Sources: TIFF 6.0 §14; Adobe Photoshop TIFF Technical Note 3 for floating point, where each row
    is stored as planes of bytes, most significant first, and differenced over the bands.
    """
    dtype = np.dtype(tiles.dtype)
    height, width, bands = shape
    size = height * width * bands * dtype.itemsize
    raw = pa.Codec("zstd").decompress(packed, decompressed_size=size)
    if tiles.predictor == 3:
        bytewise = np.frombuffer(raw, np.uint8).reshape(height, width * dtype.itemsize, bands)
        planes = np.cumsum(bytewise, axis=1, dtype=np.uint8)
        planes = planes.reshape(height, dtype.itemsize, width * bands)
        # Put together by shifts, four times as fast as by transposing bytes.
        bits = planes[:, 0].astype(f"u{dtype.itemsize}")
        for plane in range(1, dtype.itemsize):
            bits <<= np.array(8, bits.dtype)
            bits |= planes[:, plane]
        return bits.view(dtype).reshape(shape)
    differences = np.frombuffer(raw, dtype).reshape(shape)
    if tiles.predictor == 1:
        return differences
    total: NDArray[Any] = np.cumsum(differences, axis=1, dtype=dtype)
    return total
