"""What a STAC search asks for, read from its parameters.

The `query` extension is translated into CQL2, so that one evaluator serves both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import cql2
import shapely
from shapely.geometry import shape

from stac_lake.sandbox.catalog import FIRST, LAST, Bbox
from stac_lake.sandbox.documents.envelope import Document, as_time

_COMPARISONS = {
    "eq": "=",
    "neq": "<>",
    "ne": "<>",
    "lt": "<",
    "lte": "<=",
    "le": "<=",
    "gt": ">",
    "gte": ">=",
    "ge": ">=",
}
_PATTERNS = {"startsWith": "{}%", "endsWith": "%{}", "contains": "%{}%"}


class SearchError(ValueError):
    """The request is not a valid search; its text says why."""


@dataclass(frozen=True)
class Search:
    """A parsed search.

    Attributes:
        collections: Ids, empty for all.
        ids: Item ids, empty for all.
        boxes: Areas as west, south, east, north; empty if none was given.
        area: The same area exactly, or None.
        start: First moment.
        end: Last moment.
        expression: CQL2 JSON, or None.
        sortby: (property, descending) in order of precedence.
        fields: Included and excluded member names, dots between levels.
        limit: Items per page.
    """

    collections: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    boxes: tuple[Bbox, ...] = ()
    area: shapely.Geometry | None = field(default=None, compare=False)
    start: datetime = FIRST
    end: datetime = LAST
    expression: Document | None = None
    sortby: tuple[tuple[str, bool], ...] = ()
    fields: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    limit: int = 10


def interval(text: str) -> tuple[datetime, datetime]:
    """A `datetime` parameter: one moment, or `a/b` with `..` or nothing for an open end.

    Raises:
        SearchError: It is neither.
    """
    parts = text.split("/")
    if len(parts) > 2 or parts in (["..", ".."], ["", ""]):
        raise SearchError(f"Invalid datetime range: {text}")
    try:
        moments = [None if part in ("", "..") else as_time(part) for part in parts]
    except ValueError:
        raise SearchError(f"Invalid datetime, must be RFC 3339: {text}") from None
    first, last = moments[0], moments[-1]
    start, end = first or FIRST, last or LAST
    if start > end:
        raise SearchError(f"Invalid datetime range, begins after its end: {text}")
    return start, end


def boxes_of(bbox: Sequence[float]) -> tuple[Bbox, ...]:
    """The boxes of a `bbox` parameter with 4 or 6 numbers, split at the antimeridian.

    Raises:
        SearchError: The numbers are not a box.
    """
    if len(bbox) not in (4, 6):
        raise SearchError(f"Invalid bbox, must have 4 or 6 numbers: {list(bbox)}")
    west, south, east, north = bbox if len(bbox) == 4 else (*bbox[:2], *bbox[3:5])
    if south > north or not all(-90 <= v <= 90 for v in (south, north)):
        raise SearchError(f"Invalid bbox, latitudes must rise within -90 and 90: {list(bbox)}")
    if not all(-180 <= v <= 180 for v in (west, east)):
        raise SearchError(f"Invalid bbox, longitudes must be within -180 and 180: {list(bbox)}")
    if west <= east:
        return ((west, south, east, north),)
    return ((west, south, 180.0, north), (-180.0, south, east, north))


def with_bbox(search: Search, bbox: Sequence[float]) -> Search:
    """Set the area of a `bbox` parameter."""
    boxes = boxes_of(bbox)
    return replace(search, boxes=boxes, area=shapely.union_all([shapely.box(*b) for b in boxes]))


def with_geometry(search: Search, geometry: Mapping[str, Any]) -> Search:
    """Set the area of an `intersects` parameter.

    Raises:
        SearchError: It is not a valid GeoJSON geometry.
    """
    try:
        area = shape(geometry)
    except (AttributeError, KeyError, TypeError, ValueError, shapely.errors.ShapelyError):
        raise SearchError("Invalid intersects, must be a GeoJSON geometry") from None
    if area.is_empty or not area.is_valid:
        raise SearchError("Invalid intersects, the geometry is empty or not valid")
    west, south, east, north = area.bounds
    return replace(search, boxes=boxes_of((west, south, east, north)), area=area)


def query_expression(query: Mapping[str, Mapping[str, Any]]) -> Document | None:
    """The `query` extension as CQL2 JSON.

    Raises:
        SearchError: An operator is unknown.
    """
    terms: list[Document] = []
    for name, operations in query.items():
        if not isinstance(operations, Mapping):
            raise SearchError(f"Invalid query for {name}: must be an object of operators")
        target = {"property": name.removeprefix("properties.")}
        for operator, value in operations.items():
            if operator in _COMPARISONS:
                terms.append({"op": _COMPARISONS[operator], "args": [target, value]})
            elif operator in _PATTERNS:
                pattern = _PATTERNS[operator].format(value)
                terms.append({"op": "like", "args": [target, pattern]})
            elif operator == "in":
                terms.append({"op": "in", "args": [target, list(value)]})
            else:
                raise SearchError(f"Unknown query operator {operator!r} for {name}")
    return both(*terms)


def both(*expressions: Document | None) -> Document | None:
    """All of the given CQL2 expressions together."""
    terms = [expression for expression in expressions if expression is not None]
    if len(terms) < 2:
        return terms[0] if terms else None
    return {"op": "and", "args": terms}


def parsed(text: str | Document, language: str) -> Document:
    """A `filter` parameter as CQL2 JSON.

    Raises:
        SearchError: It is not CQL2.
    """
    try:
        if isinstance(text, str) and language == "cql2-text":
            expression = cql2.parse_text(text)
        else:
            expression = cql2.Expr(text)
        result: Document = expression.to_json()
    except Exception as error:  # cql2 raises bare Exception for bad JSON
        raise SearchError(f"Invalid filter: {error}") from None
    return result
