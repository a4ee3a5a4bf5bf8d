"""Putting a lake right after `verify`, as far as that needs nobody from outside.

Documents come back from the index's copy, or lie aside under ``damaged/``; damaged assets are
replaced by an older version of the same recipe, or their item is retired; index rows are written
anew. Everything is create-only but what replaces a damaged document, and can be done twice.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from stac_lake.catalog.commit import parse_item
from stac_lake.catalog.damage import diagnose
from stac_lake.catalog.index import Index, IndexRow, quoted
from stac_lake.catalog.indexed import IndexedVersion, copy_in_index
from stac_lake.catalog.item import retired
from stac_lake.catalog.promise import Promise, parse_version, read_asset
from stac_lake.catalog.rows import SCHEMA, encode_document, is_retired, sort_table, table_of
from stac_lake.catalog.verify import Finding
from stac_lake.errors import CommitConflict, GridError, InvalidItem, KeyMissing
from stac_lake.grid import Cell
from stac_lake.store import keys
from stac_lake.store.objects import Objects
from stac_lake.types import Slot, iso

ASIDE = "damaged/"
"""Where documents go that are none: nothing is lost by a repair."""

REWRITES = 3
"""Times that index files are read again because a compaction has replaced them."""

Action = Literal["restored", "requeued", "reindexed", "set_aside", "deleted", "none", "failed"]


@dataclass(frozen=True)
class Mended:
    """What was done about a finding.

    Attributes:
        action: restored, requeued (gone until the next harvest makes it again), reindexed,
            set_aside, deleted, none (somebody else has put it right) or failed.
        said: The same in words.
        row: A new version of the item that the index has to learn of.
    """

    action: Action
    said: str
    row: IndexRow | None = None


def mend_document(objects: Objects, index: Index | None, finding: Finding) -> Mended:
    """Restore a missing or broken document from the index, else do without it.

    Args:
        objects: The lake.
        index: Its index; None if that cannot be read.
        finding: About the document.

    Raises:
        CommitConflict, StoreUnavailable.
    """
    copy = _indexed(index, finding) if index else None
    if copy is not None:
        _keep(objects, finding.key)
        objects.put(finding.key, encode_document(copy))
        return Mended("restored", "the document is back, from the copy in the index")
    if finding.problem == "item_missing" and index:
        replace_rows(index, (), dropped=[(finding.item, finding.version)])
        return Mended("requeued", "the copy in the index was broken, too; it has been dropped")
    set_aside(objects, finding.key)
    return Mended("requeued", f"no copy was found; what was there is now {ASIDE}{finding.key}")


def mend_misplaced(objects: Objects, finding: Finding) -> Mended:
    """Move a document to where it belongs, if nothing is there; else set it aside."""
    try:
        document = parse_item(objects.get(finding.key), finding.key)
        slot, version = Slot.from_id(document["id"]), int(document["properties"]["version"])
        own = keys.item_key(slot, version)
        parse_version(encode_document(document), own, version)
    except KeyMissing:
        return Mended("none", "it is gone already")
    except (InvalidItem, GridError, KeyError, TypeError, ValueError):
        own = None
    moved = own is not None and objects.put_new(own, objects.get(finding.key))
    set_aside(objects, finding.key)
    if moved:
        return Mended("restored", f"it is now {own}", IndexRow(document, version))
    return Mended("set_aside", f"it is now {ASIDE}{finding.key}")


def set_aside(objects: Objects, key: str) -> None:
    """Move an object out of the way of readers."""
    _keep(objects, key)
    objects.delete(key)


def mend_asset(objects: Objects, finding: Finding) -> Mended:
    """Follow a damaged item by an older version whose asset is whole, or else by a tombstone.

    The older version must be of the same recipe. The damaged asset stays where it is, until garbage
    collection. Adopted files are left to their owner.

    Raises:
        StoreUnavailable.
        InvalidItem: the item cannot be read: its document has to be mended first.
    """
    slot, version = Slot.from_id(finding.item), finding.version
    current = _read(objects, slot, version)
    if Promise.of(current).is_adopted:
        # A tree that is not mounted must not empty the lake.
        return Mended("failed", "the lake does not own the file: put it right, or adopt it again")
    older = _whole_before(objects, slot, current, version)
    now = datetime.now(UTC)
    if older:
        document = _again(older, version + 1, now)
        done = Mended(
            "restored",
            f"version {older['properties']['version']} has come back as version {version + 1}",
            IndexRow(document, version + 1),
        )
    else:
        document = retired(current, version + 1, now)
        said = f"retired as version {version + 1}; the next harvest makes it again"
        done = Mended("requeued", said, IndexRow(document, version + 1))
    if objects.put_new(keys.item_key(slot, version + 1), encode_document(document)):
        return done
    return Mended("none", f"version {version + 1} is there already")


def reindex(objects: Objects, index: Index, findings: Sequence[Finding]) -> list[Mended | None]:
    """Make the index say what the bucket says of some items.

    Returns:
        One result for each; None where the document makes no row of the index.

    Raises:
        CommitConflict: compactions were faster three times.
        StoreUnavailable.
    """

    def row_of(finding: Finding) -> IndexRow | None:
        slot = Slot.from_id(finding.item)
        try:
            row = IndexRow(_read(objects, slot, finding.version), finding.version)
            table_of([row])
        except (InvalidItem, KeyMissing):
            return None
        return row

    with ThreadPoolExecutor(16) as pool:
        rows = list(pool.map(row_of, findings))
    known: dict[str, list[IndexRow]] = {"not_in_index": [], "index_differs": []}
    for finding, row in zip(findings, rows, strict=True):
        if row:
            known[finding.problem].append(row)
    index.append(known["not_in_index"])
    replace_rows(index, known["index_differs"])
    done = Mended("reindexed", "the index says what the bucket says")
    return [done if row else None for row in rows]


def replace_rows(
    index: Index, rows: Sequence[IndexRow], dropped: Collection[tuple[str, int]] = ()
) -> None:
    """Write the data files anew that hold some versions of items.

    Appending would not do: of two rows of one version the one that was there first counts.

    Args:
        index: The index.
        rows: What it has to say of these versions instead.
        dropped: Versions, as (item id, version), that it must not name any more.

    Raises:
        CommitConflict: compactions were faster three times.
        StoreUnavailable.
    """
    fresh = {(row.document["id"], row.version): row for row in rows}
    for attempt in range(REWRITES if fresh or dropped else 0):
        try:
            _replace(index, fresh, {*fresh, *dropped})
        except CommitConflict:
            if attempt == REWRITES - 1:
                raise
        else:
            return


def _replace(
    index: Index, rows: Mapping[tuple[str, int], IndexRow], gone: Collection[tuple[str, int]]
) -> None:
    connection = index.connection()
    columns = ", ".join(quoted(name) for name in SCHEMA.names)
    found = connection.execute(
        "SELECT DISTINCT filename FROM versions WHERE id IN (SELECT unnest(?))",
        [sorted({item for item, _ in gone})],
    ).fetchall()
    added, removed = [], []
    left = dict(rows)
    for (path,) in found:
        read = f"SELECT {columns} FROM versions WHERE filename = ?"
        whole: pa.Table = connection.sql(read, params=[path]).to_arrow_table()
        pairs = list(zip(whole["id"].to_pylist(), whole["version"].to_pylist(), strict=True))
        wrong = [pair in gone for pair in pairs]
        if not any(wrong):
            continue
        kept = whole.cast(SCHEMA).filter(pa.array([not one for one in wrong]))
        fresh = [left.pop(pair) for pair in dict.fromkeys(pairs) if pair in left]
        merged = sort_table(pa.concat_tables([kept, table_of(fresh)]))
        if len(merged):
            added.append(index.data.put(merged))
        removed.append(Path(path).name)
    if removed:
        index.log.commit(added, "repair", removed)
    index.append(list(left.values()))


def _indexed(index: Index, finding: Finding) -> dict[str, Any] | None:
    """The index's copy of a version, if it is a document of that item."""
    try:
        cell: Cell = Slot.from_id(finding.item).cell
    except GridError:
        return None
    found = (
        index.connection()
        .execute(
            "SELECT version, retired, item FROM versions WHERE cell = ? AND id = ? AND version = ?",
            [cell.id, finding.item, finding.version],
        )
        .fetchone()
    )
    return copy_in_index(IndexedVersion(*found), finding.key) if found else None


def _read(objects: Objects, slot: Slot, version: int) -> dict[str, Any]:
    key = keys.item_key(slot, version)
    return parse_version(objects.get(key), key, version)


def _whole_before(
    objects: Objects, slot: Slot, current: Mapping[str, Any], version: int
) -> dict[str, Any] | None:
    """The newest older version of the same recipe with another asset, read whole and found good."""
    digest = current["properties"]["lake:recipe_digest"]
    tried = {Promise.of(current).key}
    for number in range(version - 1, 0, -1):
        try:
            document = _read(objects, slot, number)
            promise = Promise.of(document)
            same = document["properties"]["lake:recipe_digest"] == digest
            if is_retired(document) or not same or promise.key in tried:
                continue
            tried.add(promise.key)
            if diagnose(read_asset(objects, promise), promise, {}) is None:
                return document
        except (InvalidItem, KeyMissing):
            continue
    return None


def _again(document: dict[str, Any], version: int, moment: datetime) -> dict[str, Any]:
    """An older version as a newer one."""
    changed = retired(document, version, moment)
    properties = {**changed["properties"], "created": iso(moment)}
    del properties["deprecated"]
    return {**changed, "properties": properties}


def _keep(objects: Objects, key: str) -> None:
    try:
        objects.put(ASIDE + key, objects.get(key))
    except KeyMissing:
        return
