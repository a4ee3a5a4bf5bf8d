"""STAC API parameters, GET and POST, as one `Search`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import attr
from fastapi import Query
from pydantic import BaseModel, Field, model_validator
from stac_fastapi.extensions.filter.request import FilterExtensionPostRequest, FilterLang
from stac_fastapi.types.search import APIRequest, BaseSearchPostRequest, Limit

from stac_lake.catalog.search import Search
from stac_lake.errors import QueryError
from stac_lake.quality.filter import parse

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
    """The search body; what is no JSON object is the caller's error."""

    @model_validator(mode="before")
    @classmethod
    def _is_object(cls, values: Any) -> Any:
        # stac-pydantic's own check takes an object for granted and fails on bytes, which is what a
        # body without a JSON content type arrives as.
        if not isinstance(values, Mapping):
            raise ValueError("expected a JSON object with Content-Type: application/json")
        return values


class FilterPost(FilterExtensionPostRequest):
    """The filter extension's body, with text allowed as it is in GET."""

    filter_expr: dict[str, Any] | str | None = Field(  # type: ignore[assignment]
        None, alias="filter"
    )
    filter_lang: FilterLang | None = Field(  # type: ignore[assignment]
        None, alias="filter-lang"
    )


@attr.s
class CollectionsGet(APIRequest):
    """Paging of ``GET /collections``."""

    limit: Annotated[Limit | None, Query(description="Collections per page")] = attr.ib(default=100)
    token: Annotated[str | None, Query()] = attr.ib(default=None)


def search_of(parameters: Mapping[str, Any], **fixed: Any) -> Search:
    """A search out of parsed parameters of either method.

    Args:
        parameters: As stac-fastapi hands them over; absent ones are None.
        **fixed: What the path says already (``collections=``).

    Raises:
        QueryError: a parameter is malformed, or asks for what is not supported.
    """
    crs = parameters.get("filter_crs") or ""
    if crs and not crs.endswith(("CRS84", "4326")):
        raise QueryError(f"filter-crs {crs!r} is not supported: use CRS84")
    intersects = parameters.get("intersects")
    return Search(
        **{
            "collections": parameters.get("collections"),
            "ids": parameters.get("ids"),
            "bbox": parameters.get("bbox"),
            "intersects": _json(intersects, "intersects"),
            "datetime": parameters.get("datetime"),
            "filter": _filter(parameters.get("filter_expr"), parameters.get("query")),
            "sortby": [_sort_key(entry) for entry in parameters.get("sortby") or ()],
            "limit": parameters.get("limit") or 10,
            "token": parameters.get("token"),
        }
        | fixed
    )


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


def _sort_key(entry: str | Mapping[str, Any]) -> str:
    if isinstance(entry, str):
        # A plus sign in a query string arrives as a space.
        return entry.strip()
    return ("-" if entry.get("direction") == "desc" else "") + str(entry.get("field"))


def _filter(text_or_json: Any, query: Any) -> Any:
    """CQL2 of the filter and the query extension together."""
    conditions = [parse(text_or_json)] if text_or_json else []
    for name, comparisons in (_json(query, "query") or {}).items():
        if not isinstance(comparisons, Mapping):
            raise QueryError(f"query of {name}: expected an object of operators")
        conditions += [_comparison(name, op, value) for op, value in comparisons.items()]
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
