"""The STAC API's answers: thin, all logic is in `stac_lake.catalog.search`."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import attr
from fastapi import Request
from pydantic import BaseModel
from stac_fastapi.types.core import BaseCoreClient
from stac_fastapi.types.errors import NotFoundError
from stac_fastapi.types.requests import get_base_url

from stac_lake.catalog.cells import cell_collections
from stac_lake.catalog.index import Index
from stac_lake.catalog.search import Page, Search, search
from stac_lake.errors import GridError
from stac_lake.grid import Cell
from stac_lake.serve.fields import select, split_signs
from stac_lake.serve.requests import parameters_of, search_of

_JSON = "application/json"
_GEOJSON = "application/geo+json"


@attr.s
class LakeClient(BaseCoreClient):
    """Answers from an index.

    Items are the stored documents with absolute asset hrefs, the same as from `Lake.search`: their
    links lead into the static catalogue, and the links around them into this API.
    """

    index: Index = attr.ib(kw_only=True)

    def post_search(self, search_request: BaseModel, **kwargs: Any) -> Any:
        body = parameters_of(search_request)
        fields = body.get("fields") or {}
        include = set(fields.get("include") or ()), set(fields.get("exclude") or ())
        page = search(self.index, search_of(body))
        request: Request = kwargs["request"]
        base = get_base_url(request)
        sent = search_request.model_dump(mode="json", exclude_unset=True, by_alias=True)
        following = {
            "rel": "next",
            "type": _GEOJSON,
            "method": "POST",
            "href": f"{base}search",
            "body": {**sent, "token": page.next},
            "merge": False,
        }
        return _item_collection(page, include, _links(base, f"{base}search", page, following))

    # The parameters of the next two are those of the request models in `serve.app`.
    def get_search(self, **kwargs: Any) -> Any:  # type: ignore[override]
        request: Request = kwargs.pop("request")
        return self._get(request, kwargs, "search", search_of(kwargs))

    def item_collection(  # type: ignore[override]
        self, collection_id: str, **kwargs: Any
    ) -> Any:
        request: Request = kwargs.pop("request")
        self._collection(collection_id, request)
        path = f"collections/{collection_id}/items"
        return self._get(request, kwargs, path, search_of(kwargs, collections=[collection_id]))

    def get_item(self, item_id: str, collection_id: str, **_kwargs: Any) -> Any:
        page = search(self.index, Search(ids=[item_id], collections=[collection_id], limit=1))
        if not page.items:
            raise NotFoundError(f"no item {item_id!r} in collection {collection_id!r}")
        return page.items[0]

    def all_collections(self, **kwargs: Any) -> Any:
        request: Request = kwargs["request"]
        base = get_base_url(request)
        limit = kwargs.get("limit") or 100
        token = kwargs.get("token")
        after = _cell(token).id if token else -1
        found = cell_collections(self.index, after=after, limit=limit + 1)
        links = [
            {"rel": "root", "type": _JSON, "href": base},
            {"rel": "self", "type": _JSON, "href": f"{base}collections"},
        ]
        if len(found) > limit:
            query = urlencode({"limit": limit, "token": found[limit - 1]["id"]})
            following = f"{base}collections?{query}"
            links.append({"rel": "next", "type": _JSON, "method": "GET", "href": following})
        shown = [_linked(document, base) for document in found[:limit]]
        return {"collections": shown, "links": links, "numberReturned": len(shown)}

    def get_collection(self, collection_id: str, **kwargs: Any) -> Any:
        return self._collection(collection_id, kwargs["request"])

    def _collection(self, collection_id: str, request: Request) -> dict[str, Any]:
        cell = _cell(collection_id)
        found = cell_collections(self.index, after=cell.id - 1, limit=1)
        if not found or found[0]["id"] != collection_id:
            raise NotFoundError(f"no collection {collection_id!r}: the lake has no items there")
        return _linked(found[0], get_base_url(request))

    def _get(
        self, request: Request, parameters: dict[str, Any], path: str, wanted: Search
    ) -> dict[str, Any]:
        page = search(self.index, wanted)
        base = get_base_url(request)
        href = str(request.url.include_query_params(token=page.next or ""))
        following = {"rel": "next", "type": _GEOJSON, "method": "GET", "href": href}
        fields = split_signs(parameters.get("fields") or ())
        return _item_collection(page, fields, _links(base, f"{base}{path}", page, following))


def _cell(collection_id: str) -> Cell:
    try:
        return Cell.from_code(collection_id)
    except GridError as error:
        raise NotFoundError(f"no collection {collection_id!r}: {error}") from error


def _linked(document: dict[str, Any], base: str) -> dict[str, Any]:
    """A Collection with the API's links in place of the static catalogue's."""
    here = f"{base}collections/{document['id']}"
    kept = [link for link in document["links"] if link["rel"] in {"license", "about", "cite-as"}]
    links = [
        {"rel": "root", "type": _JSON, "href": base},
        {"rel": "parent", "type": _JSON, "href": base},
        {"rel": "self", "type": _JSON, "href": here},
        {"rel": "items", "type": _GEOJSON, "href": f"{here}/items"},
        {
            "rel": "http://www.opengis.net/def/rel/ogc/1.0/queryables",
            "type": "application/schema+json",
            "href": f"{here}/queryables",
        },
    ]
    return {**document, "links": [*links, *kept]}


def _links(base: str, here: str, page: Page, following: dict[str, Any]) -> list[dict[str, Any]]:
    links: list[dict[str, Any]] = [
        {"rel": "root", "type": _JSON, "href": base},
        {"rel": "self", "type": _GEOJSON, "href": here},
    ]
    return [*links, following] if page.next else links


def _item_collection(
    page: Page, fields: tuple[set[str], set[str]], links: list[dict[str, Any]]
) -> dict[str, Any]:
    include, exclude = fields
    items = page.items
    if include or exclude:
        items = [select(item, include, exclude) for item in items]
    answer: dict[str, Any] = {
        "type": "FeatureCollection",
        "features": items,
        "links": links,
        "numberMatched": page.matched,
        "numberReturned": len(items),
    }
    if page.not_applied:
        # Nobody should take a filter on cloud for a choice of a whole dataset.
        answer["lake:not_applied"] = list(page.not_applied)
    return answer
