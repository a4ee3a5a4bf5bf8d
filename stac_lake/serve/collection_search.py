"""Collection search: cells by place, time, words and counts, a page at a time.

Which cells there are is asked of `stac_lake.catalog.cell_search`, so that the API, the command line
and `Lake.cells` count alike. Order is total (the cell id breaks ties), and a token holds the index
version of the first page: who pages sees one state of the lake, whatever is harvested meanwhile.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from stac_lake import recipe
from stac_lake.catalog.cell_search import CellCount, CellSearch, count_cells, search_cells
from stac_lake.catalog.cells import cell_collections
from stac_lake.catalog.index import Index
from stac_lake.catalog.paging import Token
from stac_lake.errors import QueryError
from stac_lake.quality.filter import CELL_KINDS, parse, properties_of, property_name
from stac_lake.quality.spatial import box_geometry

_COUNTS = frozenset(name for name, kind in CELL_KINDS.items() if kind == "integer")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_Key = tuple[int, ...]


@dataclass(frozen=True)
class CollectionSearch:
    """What is asked for.

    Attributes:
        cells: Which cells; its `after`, `limit` and `version` are set by the page.
        sortby: Names out of `CELL_KINDS`, descending with a leading `-`; default is the id.
        limit: Collections per page.
        token: Where the page starts: `CollectionPage.next` of the page before.
    """

    cells: CellSearch
    sortby: Sequence[str] = ()
    limit: int = 100
    token: str | None = None


@dataclass(frozen=True)
class CollectionPage:
    """One page of an answer.

    Attributes:
        collections: STAC Collections.
        next: Token of the page after, None on the last.
        matched: Collections of all pages, counted with the first.
        not_counted: Products of the lake that were not accepted, where counts were asked for.
        not_applied: Products of which nothing was counted because they lack a property that
            `where` asks for.
    """

    collections: list[dict[str, Any]]
    next: str | None
    matched: int
    not_counted: tuple[str, ...] = ()
    not_applied: tuple[str, ...] = ()


def search_collections(
    index: Index, wanted: CollectionSearch, version: int | None = None
) -> CollectionPage:
    """One page of Collections.

    Args:
        index: What is asked.
        wanted: What for.
        version: Of the index, where there is no token; None is the newest.

    Raises:
        QueryError: a filter, box, time, sort key or token is not valid.
        ConfigError: there is no such product or modality.
    """
    if wanted.limit < 1:
        raise QueryError(f"limit {wanted.limit}: expected at least 1")
    keys = _keys(wanted.sortby)
    digest = _digest(wanted)
    token = None if wanted.token is None else _token(wanted.token, digest, len(keys))
    number = token.version if token else index.version if version is None else version
    cells = _counting(index, replace(wanted.cells, version=number), wanted.sortby)
    last = tuple(token.last) if token else None
    if _by_id(wanted.sortby):
        after = -1 if last is None else last[0]
        answer = search_cells(index, replace(cells, after=after, limit=wanted.limit + 1))
        found = answer.cells
    else:
        answer = search_cells(index, cells)
        found = sorted(answer.cells, key=lambda one: _place(one, keys))
        found = [one for one in found if last is None or _place(one, keys) > last]
    shown = found[: wanted.limit]
    if token:
        matched = token.matched
    else:
        # An answer of one page is counted already.
        matched = len(found) if len(found) <= wanted.limit else count_cells(index, cells)
    following = None
    if len(found) > wanted.limit:
        # More cells than one page mean that the index has a version.
        following = Token(digest, number or 0, matched, _place(shown[-1], keys)).encoded
    documents = cell_collections(index, [one.cell for one in shown], number)
    return CollectionPage(documents, following, matched, answer.not_counted, answer.not_applied)


def _counting(index: Index, cells: CellSearch, sortby: Sequence[str]) -> CellSearch:
    """A search that lets every product count where nothing depends on what counts.

    Without this, a plain list of Collections would lack the cells that hold only substitutes.
    """
    asked = set(map(_bare, sortby))
    if cells.having is not None:
        asked |= properties_of(parse(cells.having, CELL_KINDS))
    if asked & _COUNTS or cells.aligned or cells.accept or cells.without or cells.where is not None:
        return cells
    rows = index.connection(cells.version).execute("SELECT product FROM products").fetchall()
    known = recipe.products()
    return replace(cells, accept=tuple(sorted(row[0] for row in rows if row[0] in known)))


def _digest(wanted: CollectionSearch) -> str:
    """Identity of the query that a token belongs to."""
    cells = wanted.cells
    text = json.dumps(
        [
            "collections",
            None if cells.having is None else parse(cells.having, CELL_KINDS),
            None if cells.where is None else parse(cells.where),
            None if cells.bbox is None else box_geometry(cells.bbox).wkt,
            [cells.datetime, cells.aligned, sorted(cells.accept), sorted(cells.without)],
            [key.lstrip("+") for key in wanted.sortby],
        ],
        sort_keys=True,
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _token(text: str, digest: str, keys: int) -> Token:
    token = Token.read(text, digest)
    whole = all(type(value) is int and abs(value) < 2**63 for value in token.last)
    if len(token.last) != keys or not whole:
        raise QueryError("the page token is not one of this lake")
    return token


def _bare(key: str) -> str:
    return property_name(key.lstrip("+-"), CELL_KINDS)


def _by_id(sortby: Sequence[str]) -> bool:
    return not sortby or (_bare(sortby[0]) == "id" and not sortby[0].startswith("-"))


def _keys(sortby: Sequence[str]) -> list[tuple[int, Callable[[CellCount], int]]]:
    """Sign and value of each sort key; all values are integers, and the cell id is the last."""
    keys: list[tuple[int, Callable[[CellCount], int]]] = []
    for text in () if _by_id(sortby) else sortby:
        name = _bare(text)
        if CELL_KINDS[name] == "geometry":
            raise QueryError(f"cannot sort by {name}: it is a geometry")
        keys.append((-1 if text.startswith("-") else 1, _value_of(name)))
    return [*keys, (1, _value_of("id"))]


def _place(one: CellCount, keys: Sequence[tuple[int, Callable[[CellCount], int]]]) -> _Key:
    return tuple(sign * value(one) for sign, value in keys)


def _value_of(name: str) -> Callable[[CellCount], int]:
    """How to read a sortable name out of a count; times in microseconds."""
    if name == "id":
        return lambda one: one.cell.id
    if name == "datetime":
        return lambda one: (one.start - _EPOCH) // timedelta(microseconds=1)
    if name in {"items", "patches", "paired"}:
        return lambda one: int(getattr(one, name))
    if name.endswith("_complete"):
        modality = name.removesuffix("_complete")
        return lambda one: one.complete[modality]
    return lambda one: one.slots[name]
