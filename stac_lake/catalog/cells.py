"""Collections of cells, made from the index on request."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from stac_lake.catalog.collection import ItemLine, build_collection
from stac_lake.catalog.index import Index
from stac_lake.catalog.stats import band_summaries
from stac_lake.grid import Cell
from stac_lake.recipe import products
from stac_lake.store import keys

if TYPE_CHECKING:
    import duckdb

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def cell_collections(
    index: Index, cells: Sequence[Cell], version: int | None = None
) -> list[dict[str, Any]]:
    """Collections of some cells, in their order, hrefs absolute; cells without items are left out.

    Args:
        index: What is asked.
        cells: Which ones.
        version: Of the index, None is the newest.
    """
    cursor, ids = index.connection(version), [cell.id for cell in cells]
    lines, bands = item_lines(cursor, ids), item_bands(cursor, ids)
    return [
        _collection(index, build_collection(cell, lines[cell.id], products(), bands[cell.id]), cell)
        for cell in cells
        if cell.id in lines
    ]


def item_lines(
    cursor: duckdb.DuckDBPyConnection, cells: Sequence[int]
) -> dict[int, list[ItemLine]]:
    """What the Collections of some cells say of their items; cells without items are left out."""
    rows = cursor.execute(
        'SELECT cell, id, version, epoch_us(time), epoch_us(time_end), "proj:epsg", platform, '
        '"eo:cloud_cover", "lake:valid_pct" FROM places WHERE cell IN (SELECT unnest($cells))',
        {"cells": list(cells)},
    ).fetchall()
    lines: dict[int, list[ItemLine]] = {}
    for cell, item, number, start, end, *rest in rows:
        line = ItemLine(item, number, moment_of(start), moment_of(end), *rest)
        lines.setdefault(cell, []).append(line)
    return lines


def item_bands(cursor: duckdb.DuckDBPyConnection, cells: Sequence[int]) -> dict[int, Any]:
    """Statistics of the bands of some cells, pooled from what their items state."""
    rows = cursor.execute(
        "SELECT cell, item FROM items WHERE cell IN (SELECT unnest($cells)) ORDER BY id",
        {"cells": list(cells)},
    ).fetchall()
    found: dict[int, list[dict[str, Any]]] = {}
    for cell, item in rows:
        found.setdefault(cell, []).append(json.loads(item))
    return {cell: band_summaries(items) for cell, items in found.items()}


def moment_of(microseconds: int) -> datetime:
    """The UTC moment that DuckDB's `epoch_us` gives; a TIMESTAMPTZ itself needs pytz."""
    return _EPOCH + timedelta(microseconds=microseconds)


def _collection(index: Index, document: dict[str, Any], cell: Cell) -> dict[str, Any]:
    """A Collection with absolute links."""
    base = posixpath.dirname(keys.collection_key(cell))
    links = []
    for link in document["links"]:
        href = link["href"]
        if "://" not in href:
            href = f"{index.objects.url}/{posixpath.normpath(posixpath.join(base, href))}"
        links.append({**link, "href": href})
    own = f"{index.objects.url}/{keys.collection_key(cell)}"
    return {**document, "links": [{"rel": "self", "href": own, "type": "application/json"}, *links]}
