"""What a lake may lose: assets and data files that no retained version of the index refers to.

    retained    every version of the index since the cutoff, and the one that was the newest then
    needed      what the items of a retained version name, and what is younger than `GRACE`

Item documents are never deleted: they are small, and tell where the pixels once came from.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from stac_lake.catalog.commit import GRACE
from stac_lake.catalog.index import Index
from stac_lake.errors import CatalogError
from stac_lake.grid import Cell
from stac_lake.store import keys
from stac_lake.store.objects import ObjectInfo, Objects

KEEP = timedelta(days=30)
"""How long versions of the index are retained if nobody says otherwise."""

_ASSET = re.compile(r"cells/[^/]+/[^/]+/(\d{7})/assets/[^/]+/(\d{8}T\d{6}Z)-[0-9a-f]{16}/[^/]+")
_DATA_FILE = re.compile(rf"{keys.INDEX}(\d{{8}}T\d{{6}}Z)-[0-9a-f]{{16}}\.parquet")


def garbage(
    objects: Objects, index: Index, *, keep: timedelta = KEEP, now: datetime | None = None
) -> Iterator[ObjectInfo]:
    """Objects that may be deleted.

    Every cell is reconciled first, so that no item is overlooked that a killed harvest has left out
    of the index.

    Args:
        objects: The lake.
        index: Its index.
        keep: How long versions of the index are retained; the newest always is.
        now: For tests.

    Raises:
        InvalidItem: an item cannot be read, and so nobody knows what it names.
        StoreUnavailable.
    """
    moment = now or datetime.now(UTC)
    oldest = _oldest_retained(index, moment - keep)
    yield from _data_files(objects, index, oldest, moment - max(keep, GRACE))
    found: dict[str, list[tuple[Cell, ObjectInfo]]] = defaultdict(list)
    block = ""
    for info in objects.list(keys.CELLS):
        match = _ASSET.fullmatch(info.key)
        if not match or _moment(match[2]) > moment - GRACE:
            continue
        cell = Cell(int(match[1]))
        if keys.large_block(cell) != block and found.get(block):
            yield from _unneeded(index, oldest, found.pop(block))
        block = keys.large_block(cell)
        found[block].append((cell, info))
    for rest in found.values():
        yield from _unneeded(index, oldest, rest)


def collect(objects: Objects, index: Index, *, keep: timedelta = KEEP) -> tuple[int, int]:
    """Delete what `garbage` finds; returns how many objects, and bytes."""
    count = size = 0
    for info in list(garbage(objects, index, keep=keep)):
        objects.delete(info.key)
        count, size = count + 1, size + info.size
    return count, size


def _oldest_retained(index: Index, cutoff: datetime) -> int | None:
    """The version that was the newest at the cutoff, or the first one whose files are there."""
    try:
        return index.log.version_at(cutoff)
    except CatalogError:
        entries = index.log.entries()
        return entries[-1].version if entries else None


def _data_files(
    objects: Objects, index: Index, oldest: int | None, cutoff: datetime
) -> Iterator[ObjectInfo]:
    """Data files that were written before the cutoff and are not in a retained version.

    A file that was in a version between the oldest retained and the newest, but in neither, was
    written after the cutoff.
    """
    needed = set(index.files(oldest)) | set(index.files()) if oldest is not None else set()
    for info in objects.list(keys.INDEX):
        match = _DATA_FILE.fullmatch(info.key)
        if match and _moment(match[1]) < cutoff and info.key[len(keys.INDEX) :] not in needed:
            yield info


def _unneeded(
    index: Index, oldest: int | None, assets: list[tuple[Cell, ObjectInfo]]
) -> Iterator[ObjectInfo]:
    cells = sorted({cell for cell, _ in assets})
    index.reconcile(cells)
    ids = [cell.id for cell in cells]
    select = "SELECT id, version, json_extract_string(item, '$.assets.data.href') FROM {} "
    where = "WHERE cell IN (SELECT unnest(?))"
    every = index.connection().execute(select.format("versions") + where, [ids]).fetchall()
    needed = {row[2] for row in every}
    if oldest is not None:
        then = index.connection(oldest)
        shown = then.execute(select.format("items") + where, [ids]).fetchall()
        known = then.execute(select.format("versions") + where, [ids]).fetchall()
        superseded = {row[:2] for row in known} - {row[:2] for row in shown}
        needed = {row[2] for row in every if row[:2] not in superseded} | {r[2] for r in shown}
    tails = {_tail(href) for href in needed if href}
    for _, info in assets:
        if _tail(info.key) not in tails:
            yield info


def _tail(path: str) -> str:
    """Item id, attempt and name of an asset, which no two assets share."""
    return "/".join(path.split("/")[-3:])


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
