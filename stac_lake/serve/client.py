"""The STAC API's answers: thin, all logic is in the searches that it asks."""

from __future__ import annotations

from typing import Any

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
from stac_lake.serve.collection_search import search_collections
from stac_lake.serve.fields import select, split_signs
from stac_lake.serve.requests import collections_of, parameters_of, search_of

_JSON = "application/json"
_GEOJSON = "application/geo+json"


@attr.s
class LakeClient(BaseCoreClient):
    """Answers from an index.

    Items are the stored documents with absolute asset hrefs, the same as from `Lake.search`, but
    for where they are found: their links lead into this API, as OGC API Features asks, the stored
    document is their `canonical` link, and what is on the disk has a ``file://`` URI.

    Attributes:
        index: What is asked.
        version: Of the index; None follows the newest.
    """

    index: Index = attr.ib(kw_only=True)
    version: int | None = attr.ib(kw_only=True, default=None)

    def landing_page(self, **kwargs: Any) -> Any:
        page: Any = super().landing_page(**kwargs)
        base = get_base_url(kwargs["request"])
        return {**page, "links": [*page["links"], _queryables(f"{base}queryables")]}

    def post_search(self, search_request: BaseModel, **kwargs: Any) -> Any:
        body = parameters_of(search_request)
        fields = body.get("fields") or {}
        include = set(fields.get("include") or ()), set(fields.get("exclude") or ())
        page = search(self.index, search_of(body, version=self.version))
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
        return _item_collection(page, base, include, _links(base, "search", page, following))

    # The parameters of the next two are those of the request models in `serve.app`.
    def get_search(self, **kwargs: Any) -> Any:  # type: ignore[override]
        request: Request = kwargs.pop("request")
        return self._get(request, kwargs, "search", search_of(kwargs, version=self.version))

    def item_collection(  # type: ignore[override]
        self, collection_id: str, **kwargs: Any
    ) -> Any:
        request: Request = kwargs.pop("request")
        path = f"collections/{collection_id}/items"
        wanted = search_of(kwargs, collections=[collection_id], version=self.version)
        answer = self._get(request, kwargs, path, wanted)
        if not answer["numberMatched"]:
            self._collection(collection_id, request)  # none that match, or no such cell
        return answer

    def get_item(self, item_id: str, collection_id: str, **kwargs: Any) -> Any:
        wanted = Search(ids=[item_id], collections=[collection_id], limit=1, version=self.version)
        page = search(self.index, wanted)
        if not page.items:
            raise NotFoundError(f"no item {item_id!r} in collection {collection_id!r}")
        return _placed(page.items[0], get_base_url(kwargs["request"]))

    def all_collections(self, **kwargs: Any) -> Any:
        request: Request = kwargs.pop("request")
        base = get_base_url(request)
        page = search_collections(self.index, collections_of(kwargs), self.version)
        links = [
            {"rel": "root", "type": _JSON, "href": base},
            {"rel": "self", "type": _JSON, "href": f"{base}collections"},
            _queryables(f"{base}collections-queryables"),
        ]
        if page.next:
            href = str(request.url.include_query_params(token=page.next))
            links.append({"rel": "next", "type": _JSON, "method": "GET", "href": href})
        documents = [_linked(document, base) for document in page.collections]
        answer = {
            "collections": _selected(documents, split_signs(kwargs.get("fields") or ())),
            "links": links,
            "numberMatched": page.matched,
            "numberReturned": len(documents),
        }
        if page.not_counted:
            # Nobody should take a count of L1C for one of all Sentinel-2.
            answer["lake:not_counted"] = list(page.not_counted)
        if page.not_applied:
            answer["lake:not_applied"] = list(page.not_applied)
        return answer

    def get_collection(self, collection_id: str, **kwargs: Any) -> Any:
        return self._collection(collection_id, kwargs["request"])

    def _collection(self, collection_id: str, request: Request) -> dict[str, Any]:
        found = cell_collections(self.index, [_cell(collection_id)], self.version)
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
        return _item_collection(page, base, fields, _links(base, path, page, following))


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
        {"rel": "root", "type": _JSON, "href": base, "title": "stac-lake"},
        {"rel": "parent", "type": _JSON, "href": base, "title": "stac-lake"},
        {"rel": "self", "type": _JSON, "href": here, "title": document["title"]},
        {"rel": "items", "type": _GEOJSON, "href": f"{here}/items", "title": "Items"},
        _queryables(f"{here}/queryables"),
    ]
    return {**document, "links": [*links, *kept]}


def _queryables(href: str) -> dict[str, Any]:
    rel = "http://www.opengis.net/def/rel/ogc/1.0/queryables"
    return {"rel": rel, "type": "application/schema+json", "href": href, "title": "Queryables"}


def _selected(
    documents: list[dict[str, Any]], fields: tuple[set[str], set[str]]
) -> list[dict[str, Any]]:
    return [select(one, *fields) for one in documents] if any(fields) else documents


def _placed(item: dict[str, Any], base: str) -> dict[str, Any]:
    """An Item with the API's links in place of the static catalogue's."""
    cell = f"{base}collections/{item['collection']}"
    links = [
        {"rel": "root", "type": _JSON, "href": base},
        {"rel": "parent", "type": _JSON, "href": cell},
        {"rel": "collection", "type": _JSON, "href": cell},
        {"rel": "self", "type": _GEOJSON, "href": f"{cell}/items/{item['id']}"},
    ]
    replaced = {link["rel"] for link in links}
    stored = [{**k, "rel": "canonical"} for k in item["links"] if k["rel"] == "self"]
    kept = [link for link in item["links"] if link["rel"] not in replaced]
    assets = {
        name: {**asset, "href": uri_of(asset["href"])} for name, asset in item["assets"].items()
    }
    around = [{**link, "href": uri_of(link["href"])} for link in (*stored, *kept)]
    return {**item, "links": [*links, *around], "assets": assets}


def uri_of(place: str) -> str:
    """A place as a URI: readers would take a bare path for one on the server that names it.

    Nothing is escaped, since GDAL and rasterio do not undo it.
    """
    return f"file://{place}" if place.startswith("/") else place


def _links(base: str, path: str, page: Page, following: dict[str, Any]) -> list[dict[str, Any]]:
    links: list[dict[str, Any]] = [
        {"rel": "root", "type": _JSON, "href": base},
        {"rel": "self", "type": _GEOJSON, "href": f"{base}{path}"},
    ]
    return [*links, following] if page.next else links


def _item_collection(
    page: Page, base: str, fields: tuple[set[str], set[str]], links: list[dict[str, Any]]
) -> dict[str, Any]:
    items = _selected([_placed(item, base) for item in page.items], fields)
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
