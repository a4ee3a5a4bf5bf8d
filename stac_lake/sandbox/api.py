"""The STAC API routes, once for all three dialects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stac_lake.sandbox.catalog import Catalog
from stac_lake.sandbox.dialects import GEOJSON, JSON, Asked, Dialect, Page, no_collections
from stac_lake.sandbox.documents.collections import collection_document, queryables
from stac_lake.sandbox.documents.envelope import Document
from stac_lake.sandbox.documents.planetary_computer_s2 import older_twin
from stac_lake.sandbox.faults import FaultPlan
from stac_lake.sandbox.parameters import parse
from stac_lake.sandbox.query import SearchError
from stac_lake.sandbox.search import answer

_COLLECTIONS_PER_PAGE = 200  # at CDSE, the only provider that pages them


class StacApi:
    """One provider's STAC API.

    Args:
        dialect: How it speaks.
        catalog: What it holds.
        faults: What goes wrong.
    """

    def __init__(self, dialect: Dialect, catalog: Catalog, faults: FaultPlan) -> None:
        self._dialect = dialect
        self._catalog = catalog
        self._faults = faults

    def routes(self) -> list[Route]:
        prefix = self._dialect.prefix
        collection = f"{prefix}/collections/{{collection}}"
        return [
            Route(prefix, self._landing),
            Route(f"{prefix}/", self._landing),
            Route(f"{prefix}/conformance", self._conformance),
            Route(f"{prefix}/search", self._search, methods=["GET", "POST"]),
            Route(f"{prefix}/collections", self._collections),
            Route(collection, self._collection),
            Route(f"{collection}/items", self._items),
            Route(f"{collection}/items/{{item}}", self._item),
            Route(f"{prefix}/queryables", self._queryables),
            Route(f"{collection}/queryables", self._queryables),
        ]

    def _asked(self, request: Request, parameters: Mapping[str, Any]) -> Asked:
        origin = f"{request.url.scheme}://{request.headers.get('host', request.url.netloc)}"
        return Asked(
            request.method,
            request.url.path.removeprefix(self._dialect.prefix),
            parameters,
            origin + self._dialect.prefix,
            request.headers.get("accept-encoding", ""),
        )

    def _landing(self, request: Request) -> Response:
        dialect, asked = self._dialect, self._asked(request, request.query_params)
        api, root = asked.api, self._dialect.root(asked.api)
        links = [
            {"rel": "self", "type": JSON, "href": root},
            {"rel": "root", "type": JSON, "href": root},
            {"rel": "conformance", "type": JSON, "href": f"{api}/conformance"},
            {"rel": "data", "type": JSON, "href": f"{api}/collections"},
            *(
                {"rel": "search", "type": GEOJSON, "href": f"{api}/search", "method": method}
                for method in ("GET", "POST")
            ),
        ]
        if dialect.provider != "cdse":  # whose landing page lists no children
            links += [
                {"rel": "child", "type": JSON, "href": f"{api}/collections/{h.collection}"}
                for h in self._catalog.listed(dialect.provider)
            ]
        body = {
            "type": "Catalog",
            "id": dialect.id,
            "title": dialect.title,
            "description": "A local stand-in over generated scenes.",
            "stac_version": "1.0.0",
            "conformsTo": list(dialect.conforms_to),
            "links": links,
        }
        return dialect.reply(body, JSON, asked)

    def _conformance(self, request: Request) -> Response:
        body = {"conformsTo": list(self._dialect.conforms_to)}
        return self._dialect.reply(body, JSON, self._asked(request, request.query_params))

    def _collections(self, request: Request) -> Response:
        dialect, asked = self._dialect, self._asked(request, request.query_params)
        api, root = asked.api, self._dialect.root(asked.api)
        documents = [
            collection_document(h, api, root) for h in self._catalog.listed(dialect.provider)
        ]
        links = [
            {"rel": "root", "type": JSON, "href": root},
            {"rel": "self", "type": JSON, "href": f"{api}/collections"},
        ]
        if dialect.provider == "cdse":
            limit = min(int(asked.parameters.get("limit", _COLLECTIONS_PER_PAGE)), 200)
            offset = int(asked.parameters.get("offset", 0))
            if offset + limit < len(documents):
                href = f"{api}/collections?limit={limit}&offset={offset + limit}"
                links.append({"rel": "next", "type": JSON, "method": "GET", "href": href})
            documents = documents[offset : offset + limit]
        return dialect.reply({"collections": documents, "links": links}, JSON, asked)

    def _collection(self, request: Request) -> Response:
        dialect, asked = self._dialect, self._asked(request, request.query_params)
        name = request.path_params["collection"]
        for holding in self._catalog.listed(dialect.provider):
            if holding.collection == name:
                document = collection_document(holding, asked.api, dialect.root(asked.api))
                return dialect.reply(document, JSON, asked)
        return dialect.missing(f"Collection {name}", "does not exist.")

    def _queryables(self, request: Request) -> Response:
        asked = self._asked(request, request.query_params)
        name = request.path_params.get("collection")
        body = queryables(f"{asked.api}{asked.path}", name)
        return self._dialect.reply(body, "application/schema+json", asked)

    def _item(self, request: Request) -> Response:
        dialect, asked = self._dialect, self._asked(request, request.query_params)
        name, item_id = request.path_params["collection"], request.path_params["item"]
        try:
            self._catalog.holding(dialect.provider, name)
        except KeyError:
            return dialect.missing(f"Collection {name}", "does not exist.")
        try:
            item = self._catalog.item(dialect.provider, name, item_id, asked.api)
        except KeyError:
            return dialect.missing(f"Item {item_id} in Collection {name}", "does not exist.")
        return dialect.reply(item, GEOJSON, asked)

    def _items(self, request: Request) -> Response:
        name = request.path_params["collection"]
        try:
            self._catalog.holding(self._dialect.provider, name)
        except KeyError:
            return self._dialect.missing(f"Collection {name}", "does not exist.")
        parameters = dict(request.query_params)
        return self._answer(request, parameters, {**parameters, "collections": name})

    async def _search(self, request: Request) -> Response:
        if request.method == "GET":
            parameters: Any = dict(request.query_params)
        else:
            try:
                parameters = json.loads(await request.body() or b"{}")
            except ValueError:
                return self._dialect.error(400, "Invalid JSON in the request's body")
            if not isinstance(parameters, dict):
                return self._dialect.error(400, "The request's body must be an object")
        if self._dialect.needs_collections and not parameters.get("collections"):
            return no_collections()
        return await run_in_threadpool(self._answer, request, parameters, parameters)

    def _answer(
        self, request: Request, sent: Mapping[str, Any], parameters: Mapping[str, Any]
    ) -> Response:
        """One page of a search; `sent` is what goes into the links, `parameters` what is meant."""
        dialect, asked = self._dialect, self._asked(request, sent)
        try:
            search = parse(parameters, dialect)
            items = answer(self._catalog, dialect.provider, search, asked.api)
            items = self._reprocessed(request, items)
            start = dialect.start(items, parameters.get(dialect.token), search.limit)
        except SearchError as error:
            return dialect.error(400, str(error))
        page = Page(items, start, search, asked)
        if page.stop == len(items) and self._fires(request, "empty_last_page"):
            page = replace(page, forced_next=True)
        body = dialect.page(page)
        if body["features"] and self._fires(request, "duplicates"):
            again = items[start - 1] if start else body["features"][-1]
            body["features"] = [again, *body["features"]]
        return dialect.reply(body, GEOJSON, asked)

    def _fires(self, request: Request, kind: str) -> bool:
        path, method = request.url.path, request.method
        return self._faults.take((kind,), self._dialect.provider, path, method) is not None

    def _reprocessed(self, request: Request, items: list[Document]) -> list[Document]:
        """Each Sentinel-2 item of the Planetary Computer twice, the second time as once processed.

        The older twin has another id and an older baseline; it is put behind the newer one.
        """
        if self._dialect.provider != "planetary-computer" or not items:
            return items
        if not self._fires(request, "two_baselines"):
            return items
        result = []
        for item in items:
            result.append(item)
            twin = older_twin(item)
            if twin is not None:
                api = item["links"][0]["href"].split("/collections/")[0]
                provider, name = self._dialect.provider, item["collection"]
                result.append(self._catalog.item(provider, name, twin, api))
        return result
