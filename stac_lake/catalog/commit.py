"""How an item becomes part of a lake: one create-only PUT, after its asset is there and checked.

    1. An attempt id of its own: no two writers ever touch the same asset key.
    2. PUT the asset, and ask the store for its size.
    3. PUT items/<id>/<n>.json, create-only. This is the commit.

A writer that is killed before 3 leaves an asset that nobody names; one that is killed after it
leaves an item that is whole. Where the answer to 3 is lost or refused, the document that is there
tells by its attempt id whether it is this writer's own.
"""

from __future__ import annotations

import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from stac_lake.catalog.item import ItemFacts, asset_key_of, build_item, retired
from stac_lake.catalog.rows import encode_document, is_retired, newest
from stac_lake.errors import CommitConflict, InvalidItem, StoreUnavailable
from stac_lake.grid import Cell
from stac_lake.store import keys
from stac_lake.store.objects import Objects
from stac_lake.types import Slot

GRACE = timedelta(days=3)
"""Age below which an unreferenced asset belongs to an attempt that may still be running; whoever
collects garbage leaves younger ones alone."""

RIVALS = 100
"""Versions that other writers may add in front of one commit before it gives up."""


@dataclass(frozen=True)
class Committed:
    """What the lake holds after a commit.

    Attributes:
        version: Of the item.
        document: As it is stored.
        won: False if another writer had stored the same already, and theirs was kept.
    """

    version: int
    document: dict[str, Any]
    won: bool


def commit(objects: Objects, facts: ItemFacts, data: bytes, *, refresh: bool = False) -> Committed:
    """Store an item as its slot's next version.

    Where the current version has the same recipe digest, it is kept and nothing is written, so that
    a task that is run twice, or by two harvesters, makes one version.

    Args:
        objects: The lake.
        facts: What the item says; `facts.sha256` and `facts.size` are those of `data`.
        data: The COG.
        refresh: Write a new version even where the digest is the same.

    Raises:
        StoreUnavailable: the store failed; nothing is half-visible.
        CommitConflict: a hundred other versions came in between, or the attempt took days.
        InvalidItem: the facts do not make a valid item.
    """
    slot = facts.slot
    current = _current_version(objects, slot)
    if current and not refresh:
        theirs = read_item(objects, slot, current)
        if _same(theirs, facts):
            return Committed(current, theirs, won=False)
    started = datetime.now(UTC)
    attempt = new_attempt(started)
    # Built before anything is stored, so that facts that make no item leave nothing behind.
    build_item(facts, attempt, current + 1)
    _store_asset(objects, keys.asset_key(slot, attempt, facts.sha256), data, facts.size)
    for version in range(current + 1, current + 1 + RIVALS):
        document = build_item(facts, attempt, version)
        if datetime.now(UTC) - started > GRACE / 2:
            raise CommitConflict("the attempt took too long to be safe: run it again", item=slot.id)
        if objects.put_new(keys.item_key(slot, version), encode_document(document)):
            return Committed(version, document, won=True)
        theirs = read_item(objects, slot, version)
        if asset_key_of(theirs) == asset_key_of(document) and not is_retired(theirs):
            return Committed(version, theirs, won=True)
        if not refresh and _same(theirs, facts):
            return Committed(version, theirs, won=False)
    raise CommitConflict(f"{RIVALS} other versions came first: run it again", item=slot.id)


def retire(objects: Objects, slot: Slot, moment: datetime | None = None) -> Committed | None:
    """Retire an item by a tombstone; None if there is nothing to retire.

    Raises:
        StoreUnavailable, CommitConflict.
    """
    for _ in range(RIVALS):
        version = _current_version(objects, slot)
        current = read_item(objects, slot, version) if version else None
        if current is None or is_retired(current):
            return None
        stone = retired(current, version + 1, moment or datetime.now(UTC))
        if objects.put_new(keys.item_key(slot, version + 1), encode_document(stone)):
            return Committed(version + 1, stone, won=True)
    raise CommitConflict(f"{RIVALS} other versions came first: run it again", item=slot.id)


def stored(objects: Objects, cell: Cell) -> dict[str, tuple[int, str]]:
    """What a cell holds: item id → (current version, recipe digest); retired items are left out.

    Raises:
        InvalidItem, StoreUnavailable.
    """
    listed = (keys.parse_item_key(info.key) for info in objects.list(keys.items_prefix(cell)))
    current = newest([pair for pair in listed if pair])

    def digest(pair: tuple[str, int]) -> str | None:
        document = read_item(objects, Slot.from_id(pair[0]), pair[1])
        return None if is_retired(document) else document["properties"]["lake:recipe_digest"]

    with ThreadPoolExecutor(16) as pool:
        digests = list(pool.map(digest, current.items()))
    return {
        item: (version, found)
        for (item, version), found in zip(current.items(), digests, strict=True)
        if found is not None
    }


def read_item(objects: Objects, slot: Slot, version: int) -> dict[str, Any]:
    """One stored version of an item.

    Raises:
        KeyMissing, StoreUnavailable.
        InvalidItem: what is stored is not an Item.
    """
    key = keys.item_key(slot, version)
    return parse_item(objects.get(key), key)


def parse_item(data: bytes, key: str) -> dict[str, Any]:
    """A stored document, checked for what every step relies on.

    Raises:
        InvalidItem: it is not JSON, or not an Item with properties and an id.
    """
    try:
        document = json.loads(data)
    except ValueError as error:
        raise InvalidItem(f"the stored item is not JSON: {error}", key=key) from error
    if not isinstance(document, dict) or not isinstance(document.get("properties"), dict):
        raise InvalidItem("the stored document is not a STAC Item", key=key)
    return document


def new_attempt(moment: datetime) -> str:
    """An attempt id: when it began, and 64 random bits."""
    return f"{moment:%Y%m%dT%H%M%SZ}-{secrets.token_hex(8)}"


def _current_version(objects: Objects, slot: Slot) -> int:
    listed = (keys.parse_item_key(info.key) for info in objects.list(keys.versions_prefix(slot)))
    return max((pair[1] for pair in listed if pair), default=0)


def _same(theirs: dict[str, Any], facts: ItemFacts) -> bool:
    return not is_retired(theirs) and theirs["properties"]["lake:recipe_digest"] == facts.digest


def _store_asset(objects: Objects, key: str, data: bytes, size: int) -> None:
    """PUT an asset and make sure that the store has all of it."""
    objects.put_new(key, data)
    found = objects.size(key)
    if found != size or size != len(data):
        raise StoreUnavailable(
            f"the stored asset has {found} bytes instead of {size}: run it again", key=key
        )
