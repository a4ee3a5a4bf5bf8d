"""Collections of cells, made from the index on request."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from stac_lake.catalog.collection import ItemLine, build_collection
from stac_lake.catalog.index import Index
from stac_lake.grid import Cell
from stac_lake.recipe import products
from stac_lake.store import keys

if TYPE_CHECKING:
    import duckdb

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
    lines = item_lines(cursor, [row[0] for row in cells])
    return [_collection(index, Cell(row[0]), lines[row[0]]) for row in cells]


def item_lines(
    cursor: duckdb.DuckDBPyConnection, cells: Sequence[int]
) -> dict[int, list[ItemLine]]:
    """What the Collections of some cells say of their items; cells without items are left out."""
    rows = cursor.execute(
        'SELECT cell, id, version, epoch_us(time), epoch_us(time_end), "proj:epsg", platform, '
        '"eo:cloud_cover", "lake:valid_pct" FROM items WHERE cell IN (SELECT unnest($cells))',
        {"cells": list(cells)},
    ).fetchall()
    lines: dict[int, list[ItemLine]] = {}
    for cell, item, number, start, end, *rest in rows:
        line = ItemLine(item, number, moment_of(start), moment_of(end), *rest)
        lines.setdefault(cell, []).append(line)
    return lines


def moment_of(microseconds: int) -> datetime:
    """The UTC moment that DuckDB's `epoch_us` gives; a TIMESTAMPTZ itself needs pytz."""
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
