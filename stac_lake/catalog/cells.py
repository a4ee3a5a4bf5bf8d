"""Collections of cells, made from the index on request."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from stac_lake.catalog.collection import ItemLine, build_collection
from stac_lake.catalog.index import Index
from stac_lake.grid import Cell
from stac_lake.recipe import products
from stac_lake.store import keys

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def cell_collections(
    index: Index, *, after: int = -1, limit: int, version: int | None = None
) -> list[dict[str, Any]]:
    """Collections of the cells that have items, in id order, hrefs absolute.

    Args:
        index: What is asked.
        after: Cell ids up to this one are left out.
        limit: How many at most.
        version: Of the index, None is the newest.
    """
    cursor = index.connection(version)
    cells = cursor.execute(
        "SELECT DISTINCT cell FROM items WHERE cell > $after ORDER BY cell LIMIT $limit",
        {"after": after, "limit": limit},
    ).fetchall()
    rows = cursor.execute(
        'SELECT cell, id, version, epoch_us(time), epoch_us(time_end), "proj:epsg", platform, '
        '"eo:cloud_cover", "lake:valid_pct" FROM items WHERE cell IN (SELECT unnest($cells))',
        {"cells": [row[0] for row in cells]},
    ).fetchall()
    lines: dict[int, list[ItemLine]] = {row[0]: [] for row in cells}
    for cell, item, number, start, end, *rest in rows:
        lines[cell].append(ItemLine(item, number, _moment(start), _moment(end), *rest))
    return [_collection(index, Cell(cell), found) for cell, found in lines.items()]


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _collection(index: Index, cell: Cell, lines: Sequence[ItemLine]) -> dict[str, Any]:
    document = build_collection(cell, lines, products())
    base = posixpath.dirname(keys.collection_key(cell))
    links = []
    for link in document["links"]:
        href = link["href"]
        if "://" not in href:
            href = f"{index.objects.url}/{posixpath.normpath(posixpath.join(base, href))}"
        links.append({**link, "href": href})
    own = f"{index.objects.url}/{keys.collection_key(cell)}"
    return {**document, "links": [{"rel": "self", "href": own, "type": "application/json"}, *links]}
