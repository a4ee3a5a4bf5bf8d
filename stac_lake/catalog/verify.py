"""Checking a lake: does every item have its asset, whole, and does the index say the same?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from stac_lake.catalog.commit import parse_item
from stac_lake.catalog.index import Index
from stac_lake.catalog.item import asset_key_of
from stac_lake.catalog.rows import is_retired, newest
from stac_lake.errors import GridError, InvalidItem, KeyMissing
from stac_lake.grid import Cell
from stac_lake.store import keys
from stac_lake.store.objects import Objects
from stac_lake.types import Slot


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        problem: asset_missing, asset_size, asset_checksum, item_invalid, item_missing,
            not_in_index or index_differs.
        item: Item id, as far as it is known.
        key: The object in question.
        detail: What was found and what was expected, and what to do.
    """

    problem: str
    item: str
    key: str
    detail: str


def verify(objects: Objects, index: Index, cells: Iterable[Cell] | None = None) -> list[Finding]:
    """Check the current version of every item: existence, size, checksum, and its index row.

    Every asset is read whole. Assets that no item names are left over from attempts that did not
    finish, and are no fault.

    Args:
        objects: The lake.
        index: Its index.
        cells: Only these; None checks the whole lake.

    Raises:
        StoreUnavailable: nothing can be said.
    """
    only = None if cells is None else sorted(set(cells))
    places = [keys.CELLS] if only is None else [keys.cell_prefix(cell) for cell in only]
    sizes = {info.key: info.size for place in places for info in objects.list(place)}
    found = [pair for key in sizes if (pair := keys.parse_item_key(key))]
    current = newest(found)
    indexed = _indexed(index, only)

    def check(pair: tuple[str, int]) -> list[Finding]:
        item, version = pair
        return list(_check_item(objects, item, version, sizes, indexed.get(item)))

    with ThreadPoolExecutor(8) as pool:
        findings = [one for many in pool.map(check, sorted(current.items())) for one in many]
    for item in sorted(indexed.keys() - current.keys()):
        detail = "the index names it, the lake lacks it: rebuild the index"
        findings.append(Finding("item_missing", item, _key(item, indexed[item][0]), detail))
    return findings


def _check_item(
    objects: Objects,
    item: str,
    version: int,
    sizes: dict[str, int],
    row: tuple[int, bool, str] | None,
) -> Iterator[Finding]:
    try:
        key = keys.item_key(Slot.from_id(item), version)
        text = objects.get(key).decode()
        document = parse_item(text.encode(), key)
        if document.get("id") != item:
            raise InvalidItem(f"the item calls itself {document.get('id')!r}", key=key)
        asset = document["assets"]["data"]
        asset_key = asset_key_of(document)
        expected = (asset["file:size"], asset["file:checksum"])
    except (GridError, InvalidItem, KeyMissing, KeyError, TypeError, ValueError) as error:
        yield Finding("item_invalid", item, f"{item}/{version}.json", f"not an item: {error}")
        return
    if not is_retired(document):
        yield from _check_asset(objects, item, asset_key, sizes.get(asset_key), expected)
    if row is None or row[0] < version:
        detail = f"version {version} is stored, the index has {row[0] if row else 'none'}: "
        yield Finding("not_in_index", item, key, detail + "harvest the cell again to add it")
    elif row[0] > version or row[2] != text or row[1] != is_retired(document):
        detail = f"the index has another version {row[0]} than the lake: rebuild the index"
        yield Finding("index_differs", item, key, detail)


def _check_asset(
    objects: Objects, item: str, key: str, size: int | None, expected: tuple[Any, Any]
) -> Iterator[Finding]:
    redo = "harvest the slot again with --refresh"
    if size is None:
        yield Finding("asset_missing", item, key, f"the asset is not there: {redo}")
    elif size != expected[0]:
        detail = f"{size} bytes instead of {expected[0]}: {redo}"
        yield Finding("asset_size", item, key, detail)
    else:
        found = "1220" + hashlib.sha256(objects.get(key)).hexdigest()
        if found != expected[1]:
            detail = f"checksum {found} instead of {expected[1]}: {redo}"
            yield Finding("asset_checksum", item, key, detail)


def _indexed(index: Index, cells: Sequence[Cell] | None) -> dict[str, tuple[int, bool, str]]:
    """What the index holds of every item: id → (newest version, retired, document)."""
    where, values = "", []
    if cells is not None:
        where, values = "WHERE cell IN (SELECT unnest(?))", [[cell.id for cell in cells]]
    rows = (
        index.connection()
        .execute(
            "SELECT id, version, retired, item FROM versions "
            f"{where} QUALIFY row_number() OVER (PARTITION BY id ORDER BY version DESC) = 1",
            values,
        )
        .fetchall()
    )
    return {item: (version, retired, text) for item, version, retired, text in rows}


def _key(item: str, version: int) -> str:
    return keys.item_key(Slot.from_id(item), version)
