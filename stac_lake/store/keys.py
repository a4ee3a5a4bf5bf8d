"""Where things are in a lake: every key, built only from checked parts.

    catalog.json
    cells/{30° block}/catalog.json
    cells/{30° block}/{2.5° block}/catalog.json
    cells/{30° block}/{2.5° block}/{cell}/collection.json
                                         /items/{item id}/{version}.json
                                         /assets/{item id}/{attempt}/{sha16}.tif
    ledger/{2.5° block}/{cell}/…
    index/…

A block is named by its south-west cell: ``n30_w120``, ``n42.5_w097.5``. Names stay free of plus
signs and per cent signs, which clients of S3 encode differently.
"""

from __future__ import annotations

import re

from stac_lake.errors import GridError
from stac_lake.grid import Cell
from stac_lake.types import Slot

ROOT_CATALOG = "catalog.json"
CELLS = "cells/"
INDEX = "index/"
SCHEMA = "schemas/lake.json"

_ITEM_KEY = re.compile(r"cells/[^/]+/[^/]+/(\d{7})/items/([^/]+)/([1-9]\d*)\.json")


def small_block(cell: Cell) -> str:
    """Name of the cell's 2.5° block: ``n42.5_w097.5``; at most 10 × 10 cells."""
    row, column = cell.block
    lat, lon = row * 2.5 - 90, column * 2.5 - 180
    return f"{_degrees(lat, 'n', 's', 4)}_{_degrees(lon, 'e', 'w', 5)}"


def large_block(cell: Cell) -> str:
    """Name of the cell's 30° block: ``n30_w120``; at most 12 × 12 small blocks."""
    row, column = cell.block
    lat, lon = row // 12 * 30 - 90, column // 12 * 30 - 180
    return f"{'s' if lat < 0 else 'n'}{abs(lat):02d}_{'w' if lon < 0 else 'e'}{abs(lon):03d}"


def _degrees(value: float, positive: str, negative: str, width: int) -> str:
    return f"{negative if value < 0 else positive}{abs(value):0{width}.1f}"


def cell_prefix(cell: Cell) -> str:
    """Folder of everything that belongs to a cell, with the final slash."""
    return f"{CELLS}{large_block(cell)}/{small_block(cell)}/{cell.id:07d}/"


def items_prefix(cell: Cell) -> str:
    """Folder of a cell's items."""
    return f"{cell_prefix(cell)}items/"


def versions_prefix(slot: Slot) -> str:
    """Folder of the versions of one item."""
    return f"{items_prefix(slot.cell)}{_item_id(slot)}/"


def item_key(slot: Slot, version: int) -> str:
    """Key of one version of an item.

    Raises:
        GridError: the version is not positive, or the slot's parts are not fit for a key.
    """
    if version < 1:
        raise GridError(f"version {version} of an item does not exist", item=slot.id)
    return f"{versions_prefix(slot)}{version}.json"


def asset_key(slot: Slot, attempt: str, sha256: str) -> str:
    """Key of an item's COG: never shared between attempts, never used twice.

    Raises:
        GridError: attempt or hash are not what they should be.
    """
    if not re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{16}", attempt):
        raise GridError(f"{attempt!r} is not an attempt id", item=slot.id)
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise GridError(f"{sha256!r} is not a SHA-256", item=slot.id)
    return f"{cell_prefix(slot.cell)}assets/{_item_id(slot)}/{attempt}/{sha256[:16]}.tif"


def parse_item_key(key: str) -> tuple[str, int] | None:
    """(item id, version) of an item's key; None for every other key."""
    match = _ITEM_KEY.fullmatch(key)
    return (match[2], int(match[3])) if match else None


def collection_key(cell: Cell) -> str:
    """The cell's Collection."""
    return f"{cell_prefix(cell)}collection.json"


def small_catalog_key(cell: Cell) -> str:
    """The Catalog of the cell's 2.5° block."""
    return f"{CELLS}{large_block(cell)}/{small_block(cell)}/catalog.json"


def large_catalog_key(cell: Cell) -> str:
    """The Catalog of the cell's 30° block."""
    return f"{CELLS}{large_block(cell)}/catalog.json"


def ledger_prefix(cell: Cell) -> str:
    """Folder of what was tried for a cell, with the final slash."""
    return f"ledger/{small_block(cell)}/{cell.id:07d}/"


def _item_id(slot: Slot) -> str:
    """The item id, proven to be one path segment that parses back to the slot."""
    if Slot.from_id(slot.id) != slot:
        raise GridError(f"{slot.id!r} does not name its slot unambiguously")
    return slot.id
