"""STAC API parameters, GET and POST, as a `Search` or a `CollectionSearch`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import attr
from fastapi import Query
from pydantic import BaseModel, Field, model_validator
from stac_fastapi.extensions.collection_search.request import BaseCollectionSearchGetRequest
from stac_fastapi.extensions.fields.request import FieldsExtensionGetRequest
from stac_fastapi.extensions.filter.request import (
    FilterExtensionGetRequest,
    FilterExtensionPostRequest,
    FilterLang,
)
from stac_fastapi.extensions.free_text.request import FreeTextExtensionGetRequest
from stac_fastapi.extensions.query.request import QueryExtensionGetRequest
from stac_fastapi.extensions.sort.request import SortExtensionGetRequest
from stac_fastapi.types.search import BaseSearchPostRequest, Limit

from stac_lake.catalog.cell_search import CellSearch
from stac_lake.catalog.search import Search
from stac_lake.errors import QueryError
from stac_lake.quality.filter import CELL_KINDS, KINDS, parse
from stac_lake.serve.collection_search import CollectionSearch
from stac_lake.serve.free_text import free_text

MAX_LIMIT = 1000
"""Items or Collections of one page, about 10 MB of JSON; a larger limit is cut to it."""

_QUERY_OPERATORS = {
    "eq": "=",
    "neq": "<>",
    "lt": "<",
    "lte": "<=",
    "gt": ">",
    "gte": ">=",
    "in": "in",
}
_QUERY_PATTERNS = {"startsWith": "{}%", "endsWith": "%{}", "contains": "%{}%"}


class SearchPost(BaseSearchPostRequest):
    """The search body; what is no JSON object is the caller's error.

    One collection or id may stand for a list of one.
    """

    @model_validator(mode="before")
    @classmethod
    def _is_object(cls, values: Any) -> Any:
        # stac-pydantic's own check takes an object for granted and fails on bytes, which is what a
        # body without a JSON content type arrives as.
        if not isinstance(values, Mapping):
            raise ValueError("expected a JSON object with Content-Type: application/json")
        if "fields" in values and values["fields"] is None:
            raise ValueError("fields: expected an object, not null")
        single = {
            name: [values[name]]
            for name in ("collections", "ids")
            if isinstance(values.get(name), str)
        }
        return {**values, **single}


class FilterPost(FilterExtensionPostRequest):
    """The filter extension's body, with text allowed as it is in GET."""

    filter_expr: dict[str, Any] | str | None = Field(  # type: ignore[assignment]
        None, alias="filter"
    )
    filter_lang: FilterLang | None = Field(  # type: ignore[assignment]
        None, alias="filter-lang"
    )


@attr.s
class CollectionsGet(
    BaseCollectionSearchGetRequest,
    FilterExtensionGetRequest,
    SortExtensionGetRequest,
    FieldsExtensionGetRequest,
    QueryExtensionGetRequest,
    FreeTextExtensionGetRequest,
):
    """``GET /collections``: collection search, and which items count (`aligned`, `where` …)."""

    limit: Annotated[Limit | None, Query(description="Collections per page")] = attr.ib(default=100)
    token: Annotated[str | None, Query(description="Where the page starts")] = attr.ib(default=None)
    aligned: Annotated[
        bool | None, Query(description="Only cells that have every modality of the recipe")
    ] = attr.ib(default=None)
    accept: Annotated[
        str | None,
        Query(description="Products that count beside the recipe's first: s2-l2a,s1-rtc"),
    ] = attr.ib(default=None)
    without: Annotated[
        str | None, Query(alias="except", description="Modalities that aligned may lack: s3,so2")
    ] = attr.ib(default=None)
    where: Annotated[
        str | None,
        Query(description="CQL2 (text or JSON) over items: only those that match are counted"),
    ] = attr.ib(default=None)


def search_of(parameters: Mapping[str, Any], **fixed: Any) -> Search:
    """A search out of parsed parameters of either method.

    Args:
        parameters: As stac-fastapi hands them over; absent ones are None.
        **fixed: What the path says already (``collections=``), and the index version.

    Raises:
        QueryError: a parameter is malformed, or asks for what is not supported.
    """
    _check_crs(parameters)
    intersects = parameters.get("intersects")
    return Search(
        **{
            "collections": parameters.get("collections"),
            "ids": parameters.get("ids"),
            "bbox": parameters.get("bbox"),
            "intersects": _json(intersects, "intersects"),
            "datetime": parameters.get("datetime"),
            "filter": _filter(parameters, KINDS),
            "sortby": _sort_keys(parameters.get("sortby")),
            "limit": min(parameters.get("limit") or 10, MAX_LIMIT),
            "token": parameters.get("token"),
        }
        | fixed
    )


def collections_of(parameters: Mapping[str, Any]) -> CollectionSearch:
    """A collection search out of the parameters of ``GET /collections``.

    Raises:
        QueryError: a parameter is malformed, or asks for what is not supported.
    """
    _check_crs(parameters)
    having = _filter(parameters, CELL_KINDS)
    if terms := parameters.get("q"):
        spoken = free_text(terms)
        having = spoken if having is None else {"op": "and", "args": [having, spoken]}
    cells = CellSearch(
        aligned=bool(parameters.get("aligned")),
        accept=_listed(parameters.get("accept")),
        without=_listed(parameters.get("without")),
        having=having,
        where=parameters.get("where") or None,
        bbox=parameters.get("bbox"),
        datetime=parameters.get("datetime"),
    )
    limit = min(parameters.get("limit") or 100, MAX_LIMIT)
    keys = _sort_keys(parameters.get("sortby"))
    return CollectionSearch(cells, keys, limit, parameters.get("token"))


def parameters_of(body: BaseModel) -> dict[str, Any]:
    """A POST body under the names that the GET parameters have."""
    return body.model_dump(mode="json", exclude_unset=True)


def _json(value: Any, name: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise QueryError(f"{name} is not JSON: {error}") from error


def _check_crs(parameters: Mapping[str, Any]) -> None:
    crs = parameters.get("filter_crs") or ""
    if crs and not crs.endswith(("CRS84", "4326")):
        raise QueryError(f"filter-crs {crs!r} is not supported: use CRS84")


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(name for name in map(str.strip, (text or "").split(",")) if name)


def _sort_keys(entries: Sequence[str | Mapping[str, Any]] | None) -> list[str]:
    """Sort keys; what is named again has no say any more, and is left out."""
    keys: dict[str, str] = {}
    for entry in entries or ():
        if isinstance(entry, str):
            # A plus sign in a query string arrives as a space.
            key = entry.strip()
        else:
            key = ("-" if entry.get("direction") == "desc" else "") + str(entry.get("field"))
        keys.setdefault(key.lstrip("+-").removeprefix("properties."), key)
    return list(keys.values())


def _filter(parameters: Mapping[str, Any], kinds: Mapping[str, str]) -> Any:
    """CQL2 of the filter and the query extension together, over the names in `kinds`."""
    text_or_json, query = parameters.get("filter_expr"), parameters.get("query")
    conditions = [parse(text_or_json, kinds)] if text_or_json else []
    comparisons = _json(query, "query") or {}
    if not isinstance(comparisons, Mapping):
        raise QueryError("query: expected an object of properties")
    for name, wanted in comparisons.items():
        if not isinstance(wanted, Mapping):
            raise QueryError(f"query of {name}: expected an object of operators")
        conditions += [_comparison(name, op, value) for op, value in wanted.items()]
    if len(conditions) < 2:
        return conditions[0] if conditions else None
    return {"op": "and", "args": conditions}


def _comparison(name: str, operator: str, value: Any) -> dict[str, Any]:
    target = {"property": name}
    if operator in _QUERY_PATTERNS:
        escaped = str(value).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return {"op": "like", "args": [target, _QUERY_PATTERNS[operator].format(escaped)]}
    if operator not in _QUERY_OPERATORS:
        known = ", ".join([*_QUERY_OPERATORS, *_QUERY_PATTERNS])
        raise QueryError(f"query of {name}: unknown operator {operator!r}; known are {known}")
    return {"op": _QUERY_OPERATORS[operator], "args": [target, value]}
