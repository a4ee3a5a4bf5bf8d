"""Checking a lake, cell by cell: its documents, its assets, and whether the index says the same.

    listing ─► a batch of whole cells ─► index rows of these cells ─► findings
                                           └► documents and assets, as far as they must be read

Nothing is written. Memory holds one batch, however large the lake is.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Literal

from stac_lake.catalog.commit import GRACE, parse_item
from stac_lake.catalog.damage import diagnose, header_differs
from stac_lake.catalog.doubtful import is_doubtful
from stac_lake.catalog.holdings import Holdings, holdings
from stac_lake.catalog.index import Index
from stac_lake.catalog.indexed import Indexed, IndexedItems, IndexedVersion, copy_in_index
from stac_lake.catalog.promise import Promise, adopted_size, parse_version, read_asset
from stac_lake.catalog.rows import is_retired
from stac_lake.errors import InvalidItem, KeyMissing
from stac_lake.grid import Cell
from stac_lake.store import keys
from stac_lake.store.objects import ObjectInfo, Objects
from stac_lake.types import Slot

Depth = Literal["listing", "header", "pixels"]
"""How far assets are looked at: existence and size; their first bytes as well; every pixel."""

THREADS = 32
"""Requests at a time: waiting for them is what takes time."""

_ASSET = re.compile(r".*/assets/([^/]+)/((\d{8}T\d{6}Z)-[0-9a-f]{16}/([0-9a-f]{16})\.tif)")
_CELLS_AT_ONCE = 200

Listener = Callable[[int, int], None]
"""Called after each batch with the number of cells and of items that it held."""


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        problem: Stable name; `docs/verify.md` says what each means.
        item: Item id, as far as it is known.
        key: The object in question.
        detail: What was found and what was expected, and what to do.
        version: Of the item; 0 where that is not known.
        is_waiting: Whether a harvest that still runs may explain it, so that it is no fault yet.
    """

    problem: str
    item: str
    key: str
    detail: str
    version: int = 0
    is_waiting: bool = False


def verify(
    objects: Objects,
    index: Index,
    cells: Iterable[Cell] | None = None,
    *,
    depth: Depth = "listing",
    listen: Listener = lambda cells, items: None,
) -> Iterator[Finding]:
    """Check the current version of every item, its asset, and its index row.

    A document is read where the index lacks it or has it in another size; with depth ``pixels``
    every one is. An asset that looks wrong is read whole, whatever the depth, so that its problem
    gets the right name. The lake may be written to at the same time.

    Args:
        objects: The lake.
        index: Its index; what is the newest version now is compared.
        cells: Only these; None checks the whole lake.
        depth: How far assets are looked at.
        listen: Receives progress.

    Raises:
        StoreUnavailable: nothing more can be said.
    """
    only = None if cells is None else sorted(set(cells))
    check = _Check(objects, index, depth)
    yield from check.index_damage()
    left = check.cells(only)
    with ThreadPoolExecutor(THREADS) as pool:
        for batch in holdings(objects, only):
            yield from check.batch(pool, batch)
            left.difference_update(one.cell for one in batch if one.cell)
            listen(len(batch), sum(len(one.documents) for one in batch))
        rest = iter(sorted(left))
        while gone := [Holdings(c, keys.cell_prefix(c)) for c in islice(rest, _CELLS_AT_ONCE)]:
            yield from check.batch(pool, gone)


class _Check:
    """One run over a lake."""

    def __init__(self, objects: Objects, index: Index, depth: Depth) -> None:
        self._objects = objects
        # Before the bucket is listed, so that nothing seems to be lost from it.
        self._indexed = Indexed(index)
        self._told = False
        self._depth = depth
        self._old = datetime.now(UTC) - GRACE

    def cells(self, only: Sequence[Cell] | None) -> set[Cell]:
        """The cells of which the index has anything."""
        return self._indexed.cells(only)

    def index_damage(self) -> Iterator[Finding]:
        """The one finding about the index as a whole, once."""
        if self._indexed.damage and not self._told:
            self._told = True
            key, what = self._indexed.damage
            advice = "`verify --repair`, or `index rebuild`, makes it anew; it was not compared"
            yield Finding("index_damaged", "", key, f"{what}: {advice}")

    def batch(self, pool: Executor, batch: Sequence[Holdings]) -> Iterator[Finding]:
        """All that is wrong in some cells."""
        rows = self._indexed.items([one.cell for one in batch if one.cell])
        yield from self.index_damage()
        others = {
            match[4]: match[1]
            for one in batch
            for key in one.assets
            if (match := _ASSET.fullmatch(key))
        }
        by_cell: dict[int, set[str]] = defaultdict(set)
        for item in rows:
            by_cell[Slot.from_id(item).cell.id].add(item)
        jobs = [
            (one, item)
            for one in batch
            if one.cell
            for item in sorted(by_cell[one.cell.id] | one.documents.keys())
        ]

        def look(job: tuple[Holdings, str]) -> list[Finding]:
            one, item = job
            return list(self._item(one, item, rows.get(item, ()), others))

        for found in pool.map(look, jobs):
            yield from found
        for one in batch:
            for info in one.misplaced:
                detail = "no item of the lake belongs here: `verify --repair` sets it aside"
                yield Finding("item_misplaced", _name(info), info.key, detail)
        orphans = pool.map(lambda one: list(self._orphans(one, rows)), batch)
        for found in orphans:
            yield from found

    def _item(
        self, one: Holdings, item: str, rows: Sequence[IndexedVersion], others: Mapping[str, str]
    ) -> Iterator[Finding]:
        versions = one.documents.get(item, {})
        stored = max(versions, default=0)
        version = max(stored, rows[0].version if rows else 0)
        key = keys.item_key(Slot.from_id(item), version)
        row = rows[0] if rows and rows[0].version == version else None
        if version > stored:
            detail = "the index names it, the bucket lacks it: `verify --repair` puts it back"
            yield Finding("item_missing", item, key, detail, version)
            if copy_in_index(row, key) is None:
                return
        data = self._document(key, versions.get(version), row)
        try:
            document = parse_version(data, key, version)
        except InvalidItem as error:
            yield Finding("item_invalid", item, key, f"not an item: {error}", version)
            copy = copy_in_index(row, key)
            if copy is None:
                return
            document = copy
        else:
            if version == stored and not self._indexed.damage:
                young = versions[stored].modified > self._old
                yield from _compared(document, data, key, rows, is_young=young)
        if not is_retired(document):
            yield from self._asset(one, document, version, others)

    def _document(self, key: str, info: ObjectInfo | None, row: IndexedVersion | None) -> bytes:
        """What the bucket has, or the index if that is surely the same."""
        text = row.text.encode() if row else b""
        if info is None or (row and self._depth != "pixels" and info.size == len(text)):
            return text
        return self._objects.get(key)

    def _asset(
        self, one: Holdings, document: dict[str, Any], version: int, others: Mapping[str, str]
    ) -> Iterator[Finding]:
        promise = Promise.of(document)
        if promise.is_adopted:
            size = adopted_size(self._objects, promise)
        else:
            size = info.size if (info := one.assets.get(promise.key)) else None
        try:
            if size != promise.size or self._is_to_be_read(promise):
                damage = diagnose(read_asset(self._objects, promise), promise, others)
                if damage:
                    detail = f"{damage.detail}: {_redo(promise)}"
                    yield Finding(damage.problem, promise.item, promise.key, detail, version)
        except KeyMissing:
            detail = f"the asset is not there: {_redo(promise)}"
            yield Finding("asset_missing", promise.item, promise.key, detail, version)

    def _is_to_be_read(self, promise: Promise) -> bool:
        """Whether a file of the right size has to be read whole."""
        if self._depth == "pixels" or is_doubtful(promise):
            return True
        if self._depth == "listing":
            return False
        return header_differs(read_asset(self._objects, promise, promise.header_bytes), promise)

    def _orphans(self, one: Holdings, rows: IndexedItems) -> Iterator[Finding]:
        """Assets that no version of their item names, and that no running attempt can own."""
        for key in sorted(one.assets) if one.cell else ():
            match = _ASSET.fullmatch(key)
            if not match:
                continue
            began = datetime.strptime(match[3], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            if began < self._old and not self._is_named(one, match[1], match[2], rows):
                detail = f"no item names it since {began:%Y-%m-%d}: `gc` deletes it"
                yield Finding("asset_orphan", match[1], key, detail)

    def _is_named(self, one: Holdings, item: str, tail: str, rows: IndexedItems) -> bool:
        known = rows.get(item, ())
        if any(tail in row.text for row in known):
            return True
        unknown = one.documents.get(item, {}).keys() - {row.version for row in known}
        stored = (self._objects.get(one.documents[item][version].key) for version in unknown)
        # What cannot be read may name anything.
        return any(tail.encode() in data or not _is_readable(data) for data in stored)


def _redo(promise: Promise) -> str:
    if promise.is_adopted:
        return "the lake does not own the file: put it right, or adopt the tree again"
    return "`verify --repair`, or harvest the slot again with --refresh"


def _is_readable(data: bytes) -> bool:
    try:
        parse_item(data, "")
    except InvalidItem:
        return False
    return True


def _compared(
    document: Mapping[str, Any],
    data: bytes,
    key: str,
    rows: Sequence[IndexedVersion],
    *,
    is_young: bool,
) -> Iterator[Finding]:
    """Whether the index has the version that the bucket has, and the same of it."""
    item, version = document["id"], int(document["properties"]["version"])
    newest = rows[0] if rows else None
    if newest is None or newest.version < version:
        has = f"version {newest.version}" if newest else "none"
        detail = (
            f"version {version} is stored, the index has {has}: `verify --repair`, or the next "
            "harvest of the cell, adds it"
        )
        yield Finding("not_in_index", item, key, detail, version, is_young)
    elif newest.text.encode() != data or newest.retired != is_retired(document):
        detail = "the index says something else than the bucket: `verify --repair` corrects it"
        yield Finding("index_differs", item, key, detail, version)


def _name(info: ObjectInfo) -> str:
    pair = keys.parse_item_key(info.key)
    return pair[0] if pair else ""
