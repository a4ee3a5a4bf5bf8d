"""Item search over the index: one code path for `lake.search`, `lake.client` and the STAC API.

A page is found in two steps: places and sort keys of the rows that match, in order, then the
documents of those rows alone. Order is total (the id breaks ties), and a token holds the index
version of the first page and the sort key of the last row: who pages sees one state of the lake,
each item once, whatever is harvested meanwhile.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import duckdb
from duckdb.func import PythonUDFType
from duckdb.sqltypes import BLOB, BOOLEAN

from stac_lake.catalog.item import resolve
from stac_lake.catalog.paging import Key, Token, order_of
from stac_lake.errors import GridError, QueryError
from stac_lake.grid import Cell
from stac_lake.quality.filter import Filter, not_applied, parse
from stac_lake.quality.spatial import SpatialTest, box_geometry, geometry_of
from stac_lake.quality.sql import Bindings, condition
from stac_lake.quality.temporal import TIME_END, TIME_START, moments
from stac_lake.types import Slot

if TYPE_CHECKING:
    from stac_lake.catalog.index import Index

MAX_LIMIT = 10_000
"""Items of one page; as in the STAC API, a larger limit is cut to it."""


@dataclass(frozen=True)
class Search:
    """What is asked for; all conditions must hold, None asks for nothing.

    Attributes:
        collections: Collection ids (cells).
        ids: Item ids.
        bbox: 4 or 6 numbers in degrees; west > east crosses the antimeridian.
        intersects: GeoJSON geometry in degrees.
        datetime: RFC 3339 moment or closed interval, ends may be `..`; composites overlap it.
        filter: CQL2 text or JSON, or one per product.
        products: Product ids.
        sortby: Properties, descending with a leading `-`; default is cell, time, id.
        limit: Items per page.
        token: Where the page starts: `Page.next` of the page before.
        version: Of the index; None is the newest, or that of the token.
    """

    collections: Sequence[str] | None = None
    ids: Sequence[str] | None = None
    bbox: Sequence[float] | None = None
    intersects: Mapping[str, Any] | None = None
    datetime: str | None = None
    filter: Filter | None = None
    products: Sequence[str] | None = None
    sortby: Sequence[str] = ()
    limit: int = 100
    token: str | None = None
    version: int | None = None


@dataclass(frozen=True)
class Page:
    """One page of an answer.

    Attributes:
        items: STAC Items, hrefs absolute.
        next: Token of the page after, None on the last.
        matched: Items of all pages, counted with the first.
        not_applied: Products of the lake that have no items here because they lack a property
            that the filter asks for.
    """

    items: list[dict[str, Any]]
    next: str | None
    matched: int
    not_applied: tuple[str, ...]


@dataclass
class _Query:
    """A search made ready: condition, parameters, order and identity."""

    tree: Any
    keys: list[Key]
    digest: str
    bindings: Bindings = field(default_factory=Bindings)
    where: str = "TRUE"


def search(index: Index, wanted: Search) -> Page:
    """One page of items.

    Raises:
        QueryError: the filter, a geometry, time, sort key or token is not valid.
    """
    query = _prepare(wanted)
    limit = min(wanted.limit, MAX_LIMIT)
    if limit < 1:
        raise QueryError(f"limit {wanted.limit}: expected at least 1")
    token = Token.read(wanted.token, query.digest) if wanted.token is not None else None
    version = token.version if token else _version(index, wanted)
    with cursor_with(index, version, query.bindings) as cursor:
        try:
            rows = _rows(cursor, query, token.last if token else None, limit + 1)
        except (ValueError, duckdb.DataError, duckdb.ProgrammingError) as error:
            if token is None:
                raise
            # Its digest is right, but what it holds is no sort key of this query: it was made up.
            raise QueryError("the page token is not one of this lake") from error
        if token:
            matched = token.matched
        else:
            # An answer of one page is counted already.
            matched = len(rows) if len(rows) <= limit else _count(cursor, query)
        documents = index.data.documents([(row[0], row[1]) for row in rows[:limit]])
        silent = _silent_products(cursor, wanted, query.tree)
    items = [resolve(json.loads(text), index.objects.url) for text in documents]
    if len(rows) <= limit:
        return Page(items, None, matched, silent)
    # More rows than one page mean that the index has a version.
    after = Token(query.digest, version or 0, matched, tuple(rows[limit - 1][2:]))
    return Page(items, after.encoded, matched, silent)


def count(index: Index, wanted: Search) -> int:
    """How many items match; limit and token are ignored.

    Raises:
        QueryError: as `search`.
    """
    query = _prepare(wanted)
    with cursor_with(index, _version(index, wanted), query.bindings) as cursor:
        return _count(cursor, query)


def _version(index: Index, wanted: Search) -> int | None:
    return index.version if wanted.version is None else wanted.version


def _prepare(wanted: Search) -> _Query:
    if wanted.bbox is not None and wanted.intersects is not None:
        raise QueryError("bbox and intersects exclude each other")
    tree = parse(wanted.filter) if wanted.filter is not None else None
    query = _Query(tree, order_of(wanted.sortby), _digest(wanted, tree))
    bindings = query.bindings
    parts: list[str] = []
    if wanted.collections is not None:
        places = sorted({cell for cell in map(_cell_named, wanted.collections) if cell is not None})
        parts.append(_one_of("cell", places, bindings))
    if wanted.ids is not None:
        # The cell in an id lets DuckDB skip all row groups of other cells, and CASE the ids of the
        # others that are left, which take longer to unpack than all else.
        cells = sorted({cell for cell in map(_cell_of, wanted.ids) if cell is not None})
        near = _one_of("cell", cells, bindings)
        named = _one_of("id", wanted.ids, bindings)
        parts += [near, f"CASE WHEN {near} THEN {named} ELSE FALSE END"]
    if wanted.products is not None:
        parts.append(_one_of("lake:product", wanted.products, bindings))
    parts += place_and_time(wanted.bbox, wanted.datetime, bindings)
    if wanted.intersects is not None:
        area = geometry_of(wanted.intersects)
        parts.append(bindings.spatial(SpatialTest.of("s_intersects", area)))
    if tree is not None:
        parts.append(condition(tree, bindings))
    query.where = " AND ".join(parts) or "TRUE"
    return query


def place_and_time(bbox: Sequence[float] | None, when: str | None, bindings: Bindings) -> list[str]:
    """Conditions of a box and of a time, as the STAC API has them.

    Raises:
        QueryError: the box or the time is not valid.
    """
    parts = []
    if bbox is not None:
        parts.append(bindings.spatial(SpatialTest.of("s_intersects", box_geometry(bbox))))
    if when is not None:
        start, end = _interval(when)
        parts += [f"{TIME_START} <= {bindings.bind(end)}"] if end else []
        parts += [f"{TIME_END} >= {bindings.bind(start)}"] if start else []
    return parts


def _cell_of(item_id: str) -> int | None:
    try:
        return Slot.from_id(item_id).cell.id
    except GridError:
        return None


def _cell_named(collection: str) -> int | None:
    try:
        cell = Cell.from_code(collection)
    except GridError:
        return None
    return cell.id if cell.collection_id == collection else None


def _one_of(name: str, values: Sequence[Any], bindings: Bindings) -> str:
    if not values:
        return "FALSE"
    return f'"{name}" IN ({", ".join(bindings.bind(value) for value in values)})'


def _interval(text: str) -> tuple[datetime | None, datetime | None]:
    """Closed ends of an API datetime; None is open."""
    ends = text.split("/")
    if len(ends) > 2:
        raise QueryError(f"datetime {text!r}: expected one moment, or two with a slash between")
    first, last = ends[0], ends[-1]
    start = None if first in {"", ".."} else moments(first)[0]
    end = None if last in {"", ".."} else moments(last)[1]
    if start is None and end is None:
        raise QueryError(f"datetime {text!r}: at least one end must be given")
    if start and end and start > end:
        raise QueryError(f"datetime {text!r}: the start is after the end")
    return start, end


def _digest(wanted: Search, tree: Any) -> str:
    """Identity of the query that a token belongs to, the same from every door."""
    geometry = geometry_of(wanted.intersects).wkt if wanted.intersects is not None else None
    box = box_geometry(wanted.bbox).wkt if wanted.bbox is not None else None
    lists = [
        sorted(values) if values is not None else None
        for values in (wanted.collections, wanted.ids, wanted.products)
    ]
    order = [text.replace("properties.", "").lstrip("+") for text in wanted.sortby]
    text = json.dumps([lists, box, geometry, wanted.datetime, tree, order], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def cursor_with(
    index: Index, version: int | None, bindings: Bindings
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A cursor on one version of the index, with the query's spatial tests."""
    cursor = index.connection(version)
    registered: list[str] = []
    try:
        for name, test in bindings.tests.items():
            cursor.create_function(name, test, [BLOB], BOOLEAN, type=PythonUDFType.ARROW)
            registered.append(name)
        yield cursor
    except duckdb.DataError as error:
        raise QueryError(f"the query cannot be computed: {error}") from error
    finally:
        for name in registered:
            cursor.remove_function(name)
        cursor.close()


def _count(cursor: duckdb.DuckDBPyConnection, query: _Query) -> int:
    sql = f"SELECT count(*) FROM places WHERE {query.where}"
    # All of it: a cursor with an unfinished result cannot drop the spatial tests.
    ((found,),) = cursor.execute(sql, query.bindings.used_in(sql)).fetchall()
    return int(found)


def _rows(
    cursor: duckdb.DuckDBPyConnection, query: _Query, last: Sequence[Any] | None, limit: int
) -> list[tuple[Any, ...]]:
    """(filename, file_row_number, sort key …) of the next rows in order."""
    where = query.where
    bindings = Bindings(dict(query.bindings.values))
    if last is not None:
        behind = "FALSE"
        for key, value in reversed(list(zip(query.keys, last, strict=True))):
            behind = key.after(value, bindings, behind)
        where = f"({where}) AND {behind}"
    keys = ", ".join(key.sql for key in query.keys)
    order = ", ".join(key.order for key in query.keys)
    sql = (
        f"SELECT filename, file_row_number, {keys} FROM places WHERE {where} "
        f"ORDER BY {order} LIMIT {limit}"
    )
    return cursor.execute(sql, bindings.used_in(sql)).fetchall()


def _silent_products(
    cursor: duckdb.DuckDBPyConnection, wanted: Search, tree: Any
) -> tuple[str, ...]:
    if tree is None:
        return ()
    if wanted.products is not None:
        return not_applied(tree, wanted.products)
    rows = cursor.execute("SELECT product FROM products").fetchall()
    return not_applied(tree, [row[0] for row in rows])
