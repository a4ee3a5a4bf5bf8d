"""What an Item says of its asset: what every check of the file is made against."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from stac_lake.catalog.commit import parse_item
from stac_lake.catalog.item import asset_key_of
from stac_lake.catalog.pretrain_tree import PROVIDER
from stac_lake.errors import ConfigError, InvalidItem, KeyMissing
from stac_lake.recipe import Product, product
from stac_lake.store import keys
from stac_lake.store.objects import Objects
from stac_lake.types import PixelGrid, Slot

HEADER_BYTES = 1 << 14
"""Read from a file whose item does not say how long its header is."""

MULTIHASH_SHA256 = "1220"
"""0x12 is SHA-256, 0x20 its length in bytes (multiformats' multihash)."""


@dataclass(frozen=True)
class Promise:
    """What an Item says of its asset.

    Attributes:
        item: Item id.
        key: Of the asset; of an adopted file, its path or URL.
        is_adopted: Whether the file lies where it was before the lake, which does not own it.
        size: Bytes.
        sha256: Hexadecimal; None of an adopted file that was not read.
        grid: Where the pixels lie.
        dtype: Of all bands.
        bands: Names in file order.
        statistics: Per band, as in the Item; empty where it says none.
        offsets: Added to each band after scaling; Sentinel-2 has one only where its radiometric
            offset was kept on purpose.
        layout: `lake:layout`.
        properties: Of the Item.
    """

    item: str
    key: str
    is_adopted: bool
    size: int
    sha256: str | None
    grid: PixelGrid
    dtype: str
    bands: tuple[str, ...]
    statistics: tuple[Mapping[str, float], ...]
    offsets: tuple[float, ...]
    layout: Mapping[str, Any]
    properties: Mapping[str, Any]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Promise:
        """Raises InvalidItem where the document does not say what it must."""
        try:
            asset, properties = document["assets"]["data"], document["properties"]
            is_adopted = properties.get("lake:provider") == PROVIDER
            checksum = asset.get("file:checksum") if is_adopted else asset["file:checksum"]
            raster = asset["raster:bands"]
            rows, columns = properties["proj:shape"]
            a, b, c, d, e, f = properties["proj:transform"][:6]
            if checksum is not None and not checksum.startswith(MULTIHASH_SHA256):
                raise InvalidItem(f"file:checksum {checksum!r} is not SHA-256")
            return cls(
                item=document["id"],
                key=_path_of(document) if is_adopted else asset_key_of(document),
                is_adopted=is_adopted,
                size=int(asset["file:size"]),
                sha256=checksum and checksum.removeprefix(MULTIHASH_SHA256),
                grid=PixelGrid(int(properties["proj:epsg"]), (a, b, c, d, e, f), (rows, columns)),
                dtype=raster[0]["data_type"],
                bands=tuple(band["name"] for band in asset["bands"]),
                statistics=tuple(band.get("statistics", {}) for band in raster),
                offsets=tuple(band.get("offset", 0.0) for band in raster),
                layout=asset.get("lake:layout", {}),
                properties=properties,
            )
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise InvalidItem(
                f"it does not describe an asset: {type(error).__name__} {error}",
                item=document.get("id"),
            ) from error

    @property
    def header_bytes(self) -> int:
        """How much of the file's beginning holds its directories."""
        return max(1, min(int(self.layout.get("header_size", HEADER_BYTES)), self.size, 1 << 20))

    def product(self) -> Product | None:
        """Whose rules hold for the pixels; None if this release does not know it."""
        return _product(str(self.properties.get("lake:product")), self.bands)


def read_asset(objects: Objects, promise: Promise, stop: int | None = None) -> bytes:
    """A file, or the bytes before `stop`.

    Raises:
        KeyMissing: it is not there, or no file.
        StoreUnavailable.
    """
    if not promise.is_adopted:
        if stop is None:
            return objects.get(promise.key)
        return objects.get_range(promise.key, 0, stop)
    path = Path(objects.url, promise.key)
    try:
        if not path.is_file():
            raise KeyMissing("no such file", key=promise.key)
        with path.open("rb") as file:
            return file.read(-1 if stop is None else stop)
    except OSError as error:
        raise KeyMissing(f"it cannot be read: {error.strerror}", key=promise.key) from error


def adopted_size(objects: Objects, promise: Promise) -> int | None:
    """Size of an adopted file in bytes, None where there is none."""
    path = Path(objects.url, promise.key)
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def _path_of(document: Mapping[str, Any]) -> str:
    """Where an adopted file is: an absolute path, or one relative to the lake."""
    href: str = document["assets"]["data"]["href"]
    folder = keys.versions_prefix(Slot.from_id(document["id"]))
    return posixpath.normpath(posixpath.join(folder, href.removeprefix("file://")))


@lru_cache(maxsize=256)
def _product(name: str, bands: tuple[str, ...]) -> Product | None:
    try:
        return product(name).with_bands(bands)
    except ConfigError:
        return None


def parse_version(data: bytes, key: str, version: int) -> dict[str, Any]:
    """A stored version of an item, checked for all that a reader relies on.

    Args:
        data: The document.
        key: Where it lies.
        version: As its key says.

    Raises:
        InvalidItem: it is something else, or says that it is another item or version.
    """
    document = parse_item(data, key)
    pair = keys.parse_item_key(key)
    told = (document.get("id"), document["properties"].get("version"))
    if pair is None or told != (pair[0], str(version)):
        raise InvalidItem(f"the document calls itself {told[0]!r} version {told[1]!r}", key=key)
    Promise.of(document)
    return document
