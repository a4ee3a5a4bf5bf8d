"""The parameters of a search, of a GET (text) or a POST (JSON)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stac_lake.sandbox import query as queries
from stac_lake.sandbox.dialects import Dialect
from stac_lake.sandbox.documents.envelope import Document
from stac_lake.sandbox.query import Search, SearchError


def parse(parameters: Mapping[str, Any], dialect: Dialect) -> Search:
    """Read the parameters of a search, of a GET (text) or a POST (JSON).

    Raises:
        SearchError: A parameter is not valid for this provider.
    """
    search = Search(
        collections=tuple(_listed(parameters.get("collections"))),
        ids=tuple(_listed(parameters.get("ids"))),
        sortby=tuple(_sortby(parameters.get("sortby"))),
        fields=_fields(parameters.get("fields")),
        limit=_limit(parameters.get("limit"), dialect),
        expression=_expression(parameters, dialect),
    )
    bbox, intersects = parameters.get("bbox"), _loaded(parameters.get("intersects"), "intersects")
    if bbox and intersects:
        raise SearchError("intersects and bbox parameters are mutually exclusive")
    if bbox:
        try:
            search = queries.with_bbox(search, [float(v) for v in _listed(bbox)])
        except (TypeError, ValueError) as error:
            raise SearchError(f"Invalid bbox: {error}") from None
    if intersects:
        search = queries.with_geometry(search, intersects)
    if parameters.get("datetime"):
        start, end = queries.interval(str(parameters["datetime"]))
        search = replace(search, start=start, end=end)
    return search


def _expression(parameters: Mapping[str, Any], dialect: Dialect) -> Document | None:
    query = _loaded(parameters.get("query"), "query")
    expression = queries.query_expression(query) if query else None
    text = parameters.get("filter")
    if not text or not dialect.languages:  # stac-server ignores what it does not know
        return expression
    default = "cql2-text" if isinstance(text, str) else "cql2-json"
    language = str(parameters.get("filter-lang") or parameters.get("filter_lang") or default)
    if language not in dialect.languages:
        raise SearchError(f"filter-lang {language} is not one of {list(dialect.languages)}")
    if language != "cql2-text":
        text = _loaded(text, "filter")
    return queries.both(expression, queries.parsed(text, language))


def _loaded(value: Any, name: str) -> Any:
    if not isinstance(value, str) or not value:
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise SearchError(f"Invalid {name}, must be JSON") from None


def _listed(value: Any) -> list[Any]:
    if not value:
        return []
    return value.split(",") if isinstance(value, str) else list(value)


def _limit(value: Any, dialect: Dialect) -> int:
    if value in (None, ""):
        return dialect.default_limit
    try:
        limit = int(value)
    except (TypeError, ValueError):
        raise SearchError(f"Invalid limit: {value}") from None
    if limit < 1:
        raise SearchError(f"Invalid limit, must be at least 1: {limit}")
    return min(limit, dialect.largest_limit)


def _sortby(value: Any) -> list[tuple[str, bool]]:
    if isinstance(value, str):
        terms = [term.strip() for term in value.split(",") if term.strip()]
        return [(term.lstrip("+- "), term.startswith("-")) for term in terms]
    try:
        return [(str(t["field"]), t.get("direction", "asc") == "desc") for t in value or []]
    except (AttributeError, KeyError, TypeError):
        raise SearchError("Invalid sortby, must be a list of field and direction") from None


def _fields(value: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if isinstance(value, str):
        terms = [term.strip() for term in value.split(",") if term.strip()]
        include = tuple(term.lstrip("+") for term in terms if not term.startswith("-"))
        return include, tuple(term[1:] for term in terms if term.startswith("-"))
    value = value or {}
    return tuple(value.get("include") or ()), tuple(value.get("exclude") or ())
