"""Writing the projections of the index: Collections, the static catalogue, the lake's schema."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stac_lake.catalog.cells import item_bands, item_lines
from stac_lake.catalog.collection import build_catalogs, build_collection
from stac_lake.catalog.index import Index
from stac_lake.catalog.schema import lake_schema
from stac_lake.errors import KeyMissing
from stac_lake.grid import Cell
from stac_lake.recipe import products
from stac_lake.store import keys
from stac_lake.store.objects import Objects


def publish(objects: Objects, index: Index, cells: Iterable[Cell] | None = None) -> int:
    """Write what changed; returns how many objects were written or deleted.

    Args:
        objects: The lake.
        index: Its index.
        cells: Whose Collections may have changed; None looks at all.

    Raises:
        StoreUnavailable.
    """
    rows = index.connection().execute("SELECT DISTINCT cell FROM items").fetchall()
    present = {Cell(row[0]) for row in rows}
    wanted = present if cells is None else set(cells)
    if not present and not wanted:
        return 0
    cursor, ids = index.connection(), [cell.id for cell in wanted & present]
    lines, bands = item_lines(cursor, ids), item_bands(cursor, ids)
    documents: dict[str, dict[str, Any]] = {
        keys.collection_key(Cell(cell)): build_collection(
            Cell(cell), items, products(), bands[cell]
        )
        for cell, items in lines.items()
    }
    blocks = {keys.small_block(cell) for cell in wanted}
    above = build_catalogs(present)
    for cell in present if cells is None else {c for c in present if keys.small_block(c) in blocks}:
        for key in (keys.small_catalog_key(cell), keys.large_catalog_key(cell)):
            documents[key] = above[key]
    documents |= {keys.ROOT_CATALOG: above[keys.ROOT_CATALOG], keys.SCHEMA: lake_schema()}
    gone = [keys.collection_key(cell) for cell in wanted - present]
    with ThreadPoolExecutor(16) as pool:
        written = pool.map(lambda pair: _write(objects, *pair), sorted(documents.items()))
        deleted = pool.map(lambda key: _delete(objects, key), gone)
        return sum(written) + sum(deleted)


def _write(objects: Objects, key: str, document: dict[str, Any]) -> bool:
    data = json.dumps(document, ensure_ascii=False, indent=1).encode()
    try:
        if objects.get(key) == data:
            return False
    except KeyMissing:
        pass
    objects.put(key, data)
    return True


def _delete(objects: Objects, key: str) -> bool:
    if objects.size(key) is None:
        return False
    objects.delete(key)
    return True
