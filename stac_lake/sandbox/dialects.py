"""How the three STAC APIs differ: paging, counts, limits, errors and encodings.

Read off recorded requests and responses of Earth Search v1 (stac-server), the Planetary Computer
and CDSE (both stac-fastapi over pgstac).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import brotli  # type: ignore[import-untyped, unused-ignore]
from starlette.responses import PlainTextResponse, Response

from stac_lake.sandbox.documents.envelope import Document
from stac_lake.sandbox.query import Search, SearchError
from stac_lake.sandbox.search import selected

GEOJSON = "application/geo+json"
JSON = "application/json"
_SMALLEST_ENCODED = 1000  # bytes; shorter bodies were recorded without an encoding
_LAMBDA_LIMIT = 6 * 1024 * 1024  # bytes that AWS Lambda may return; Earth Search answers 502 above


@dataclass(frozen=True)
class Asked:
    """The request behind a page.

    Attributes:
        method: `GET` or `POST`.
        path: Path below the API's root, e.g. `/search`.
        parameters: Query parameters or body, as they were sent.
        api: Root of the API as the client sees it, without a slash at the end.
        accepts: `Accept-Encoding`.
    """

    method: str
    path: str
    parameters: Mapping[str, Any]
    api: str
    accepts: str = ""


@dataclass(frozen=True)
class Page:
    """Some consecutive items of an answer.

    Attributes:
        items: All items of the answer.
        start: Index of the page's first item.
        search: What was asked for.
        asked: The request.
        forced_next: Add a link to a next page though there is none.
    """

    items: Sequence[Document]
    start: int
    search: Search
    asked: Asked
    forced_next: bool = False

    @property
    def stop(self) -> int:
        return min(self.start + self.search.limit, len(self.items))

    @property
    def features(self) -> list[Document]:
        return [selected(item, self.search.fields) for item in self.items[self.start : self.stop]]


@dataclass(frozen=True)
class Dialect:
    """What one provider does in its own way.

    Attributes:
        provider: Its name in paths, configuration and faults.
        prefix: Path of its API on the stand-in.
        id: Id of its landing page.
        title: Title of its landing page.
        conforms_to: Conformance classes.
        default_limit: Items per page if the client names no limit.
        largest_limit: Most items per page.
        token: Parameter that carries the place of the next page.
        languages: Filter languages; none if `filter` is ignored.
        needs_collections: A search without `collections` is refused.
        charset: What is appended to JSON media types.
        encodings: Content encodings in order of preference.
        codes: Error codes of the JSON error bodies by status.
    """

    provider: str
    prefix: str
    id: str
    title: str
    conforms_to: tuple[str, ...]
    default_limit: int
    largest_limit: int
    token: str
    languages: tuple[str, ...]
    needs_collections: bool = False
    charset: str = ""
    encodings: tuple[str, ...] = ("gzip",)
    codes: Mapping[int, str] = field(default_factory=dict, hash=False)

    @property
    def is_pgstac(self) -> bool:
        return self.token == "token"

    def root(self, api: str) -> str:
        """Href of the landing page: pgstac's ends in a slash."""
        return f"{api}/" if self.is_pgstac else api

    def error(self, status: int, description: str) -> Response:
        """An error in the provider's words."""
        body = {"code": self.codes.get(status, "ServerError"), "description": description}
        return Response(json.dumps(body), status, media_type=JSON + self.charset)

    def missing(self, what: str, description: str) -> Response:
        """A 404; Earth Search does not say what is missing."""
        return self.error(404, f"{what} {description}" if self.is_pgstac else "Not Found")

    def reply(self, body: Document, media_type: str, asked: Asked) -> Response:
        """A JSON body, encoded if the client accepts one of the provider's encodings."""
        data = json.dumps(body).encode()
        if self.provider == "earth-search" and len(data) > _LAMBDA_LIMIT:
            return Response('{"message": "Internal server error"}', 502, media_type=JSON)
        headers = {}
        accepted = [part.split(";")[0].strip() for part in asked.accepts.split(",")]
        chosen = next((name for name in self.encodings if name in accepted), None)
        if chosen and len(data) >= _SMALLEST_ENCODED:
            data = brotli.compress(data, quality=4) if chosen == "br" else gzip.compress(data, 5)
            headers = {"Content-Encoding": chosen, "Vary": "Accept-Encoding"}
        return Response(data, headers=headers, media_type=media_type + self.charset)

    def start(self, items: Sequence[Document], token: str | None, limit: int) -> int:
        """Index of the page's first item.

        Raises:
            SearchError: The token was not made by this API.
        """
        if not token:
            return 0
        if self.is_pgstac:
            direction, _, rest = token.partition(":")
            collection, _, item_id = rest.partition(":")
        else:
            direction, (item_id, collection) = "next", [*token.rsplit(",", 2), "", ""][1:3]
        for index, item in enumerate(items):
            if item["id"] == item_id and item["collection"] == collection:
                return index + 1 if direction == "next" else max(index - limit, 0)
        raise SearchError(f"Invalid {self.token}: {token}")

    def page(self, page: Page) -> Document:
        """A FeatureCollection with its links."""
        features = page.features
        links = self._links(page)
        if self.is_pgstac:
            body: Document = {"type": "FeatureCollection", "links": links, "features": features}
            return body | ({"numberReturned": len(features)} if self.provider == "cdse" else {})
        counts = {"limit": page.search.limit, "matched": len(page.items), "returned": len(features)}
        return {
            "type": "FeatureCollection",
            "stac_version": "1.0.0",
            "stac_extensions": [],
            "context": counts,
            "numberMatched": len(page.items),
            "numberReturned": len(features),
            "features": features,
            "links": links,
        }

    def _links(self, page: Page) -> list[Document]:
        asked, links = page.asked, []
        last = page.items[page.stop - 1] if page.stop > page.start else None
        # stac-server cannot know that a page is the last one, and links an empty page behind it.
        more = page.stop < len(page.items) or not self.is_pgstac or page.forced_next
        if last is not None and more:
            links.append(self._turn(page, "next", last))
        if self.is_pgstac and page.start > 0 and page.stop > page.start:
            links.append(self._turn(page, "previous", page.items[page.start]))
        links.append({"rel": "root", "type": JSON, "href": self.root(asked.api)})
        itself = f"{asked.api}{asked.path}"
        parts = asked.path.split("/")
        if len(parts) > 2:  # /collections/{id}/items
            home = "/".join(parts[:3])
            if self.is_pgstac:
                links += [{"rel": "parent", "type": JSON, "href": asked.api + home}]
            links += [
                {"rel": "self", "type": GEOJSON, "href": itself},
                {"rel": "collection", "type": JSON, "href": asked.api + home},
            ]
        elif self.is_pgstac:
            query = f"?{urlencode(asked.parameters)}" if asked.method == "GET" else ""
            links.append({"rel": "self", "type": JSON, "href": itself + query})
        return links

    def _turn(self, page: Page, rel: str, item: Document) -> Document:
        """A link to the next or previous page."""
        asked = page.asked
        if self.is_pgstac:
            token = f"{rel[:4]}:{item['collection']}:{item['id']}"
        else:
            sorts = [item["properties"].get(name) for name, _ in page.search.sortby]
            values = sorts or [item["properties"]["datetime"]]
            token = ",".join(map(str, (*values, item["id"], item["collection"])))
        href = f"{asked.api}{asked.path}"
        parameters = {k: v for k, v in asked.parameters.items() if k != self.token}
        parameters[self.token] = token
        title = {} if self.is_pgstac else {"title": "Next page of Items"}
        if asked.method == "GET":
            link = {"rel": rel, **title, "method": "GET", "type": GEOJSON}
            return link | {"href": f"{href}?{urlencode(parameters)}"}
        merge = {} if self.is_pgstac else {"merge": False}
        link = {"rel": rel, **title, "type": GEOJSON, "method": "POST", "href": href}
        return link | merge | {"body": parameters}


def no_collections() -> Response:
    """The Planetary Computer's refusal of a search over all Collections."""
    return PlainTextResponse("collection is required", 422)


_STAC = "https://api.stacspec.org"
_OGC = "http://www.opengis.net/spec"

EARTH_SEARCH = Dialect(
    provider="earth-search",
    prefix="/earth-search/v1",
    id="earth-search-aws",
    title="Earth Search by Element 84",
    conforms_to=(
        *(f"{_STAC}/v1.0.0/{name}" for name in ("core", "collections", "ogcapi-features",
          "item-search", "ogcapi-features#fields", "ogcapi-features#sort", "ogcapi-features#query",
          "item-search#fields", "item-search#sort", "item-search#query")),
        *(f"{_OGC}/ogcapi-features-1/1.0/conf/{name}" for name in ("core", "oas30", "geojson")),
    ),
    default_limit=10,
    largest_limit=10_000,
    token="next",
    languages=(),
    charset="; charset=utf-8",
    codes={400: "BadRequest", 404: "NotFound"},
)  # fmt: skip
_PGSTAC_CODES = {400: "InvalidQueryParameter", 404: "NotFoundError"}
PLANETARY_COMPUTER = Dialect(
    provider="planetary-computer",
    prefix="/planetary-computer/api/stac/v1",
    id="microsoft-pc",
    title="Microsoft Planetary Computer STAC API",
    conforms_to=(
        *(f"{_OGC}/ogcapi-features-1/1.0/conf/{name}" for name in ("core", "geojson", "oas30")),
        *(f"{_STAC}/v1.0.0-beta.3/{name}" for name in ("core", "item-search", "item-search#filter",
          "item-search#filter:basic-spatial-operators",
          "item-search#filter:basic-temporal-operators", "item-search#filter:cql-json",
          "item-search#filter:filter", "item-search#filter:item-search-filter",
          "item-search/#fields", "item-search/#query", "item-search/#sort", "ogcapi-features")),
    ),
    default_limit=250,
    largest_limit=1000,
    token="token",
    languages=("cql2-json", "cql-json"),
    needs_collections=True,
    codes=_PGSTAC_CODES,
)  # fmt: skip
CDSE = Dialect(
    provider="cdse",
    prefix="/cdse/v1",
    id="cdse-stac",
    title="Copernicus Data Space Ecosystem (CDSE) asset-level STAC catalogue",
    conforms_to=(
        *(f"{_OGC}/cql2/1.0/conf/{name}" for name in ("basic-cql2", "cql2-json", "cql2-text")),
        *(f"{_OGC}/ogcapi-features-1/1.0/conf/{name}" for name in ("core", "geojson", "oas30")),
        *(f"{_OGC}/ogcapi-features-3/1.0/conf/{name}" for name in ("features-filter", "filter")),
        f"{_STAC}/v1.0.0-rc.2/item-search#filter",
        *(f"{_STAC}/v1.0.0/{name}" for name in ("collections", "core", "item-search",
          "item-search#fields", "item-search#query", "item-search#sort", "ogcapi-features",
          "ogcapi-features#fields", "ogcapi-features#query", "ogcapi-features#sort")),
    ),
    default_limit=10,
    largest_limit=1000,
    token="token",
    languages=("cql2-json", "cql2-text"),
    encodings=("br", "gzip"),
    codes=_PGSTAC_CODES,
)  # fmt: skip
DIALECTS = (EARTH_SEARCH, PLANETARY_COMPUTER, CDSE)
