"""The same API with links that a browser can follow, where the items' own lead into a store.

Every door of a lake hands out the same assets, whose hrefs are places in the bucket or on the disk.
A browser can open neither. So the API is mounted twice: as it is, and under ``/http/``, where only
links and hrefs differ. To add the second address to every document instead (the alternate
assets extension) would make documents depend on the server that was asked, and no browser of
catalogues reads its map from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urljoin

import attr
from fastapi import Request
from pydantic import BaseModel
from stac_fastapi.types.requests import get_base_url

from stac_lake.serve.client import LakeClient, uri_of


@attr.s
class HttpClient(LakeClient):
    """`LakeClient` whose items and Collections have addresses on this server."""

    def post_search(self, search_request: BaseModel, **kwargs: Any) -> Any:
        answer = super().post_search(search_request, **kwargs)
        return self._features(answer, kwargs["request"])

    def get_search(self, **kwargs: Any) -> Any:  # type: ignore[override]
        return self._features(super().get_search(**kwargs), kwargs["request"])

    def item_collection(  # type: ignore[override]
        self, collection_id: str, **kwargs: Any
    ) -> Any:
        answer = super().item_collection(collection_id, **kwargs)
        return self._features(answer, kwargs["request"])

    def get_item(self, item_id: str, collection_id: str, **kwargs: Any) -> Any:
        item = super().get_item(item_id, collection_id, **kwargs)
        return item_over_http(item, uri_of(self.index.objects.url), get_base_url(kwargs["request"]))

    def all_collections(self, **kwargs: Any) -> Any:
        base = get_base_url(kwargs["request"])
        answer = super().all_collections(**kwargs)
        found = [_with_picture(document, base) for document in answer["collections"]]
        return {**answer, "collections": found}

    def get_collection(self, collection_id: str, **kwargs: Any) -> Any:
        document = super().get_collection(collection_id, **kwargs)
        return _with_picture(document, get_base_url(kwargs["request"]))

    def _features(self, answer: dict[str, Any], request: Request) -> dict[str, Any]:
        lake, base = uri_of(self.index.objects.url), get_base_url(request)
        return {
            **answer,
            "features": [item_over_http(item, lake, base) for item in answer["features"]],
        }


def item_over_http(item: Mapping[str, Any], lake: str, base: str) -> dict[str, Any]:
    """An item with assets at ``/data/``, a picture at ``/preview/``, and no link into the store.

    Args:
        item: As the API gives it; a request for some fields may have left out parts.
        lake: Where it is stored, as a URI.
        base: Of the API that hands it out, with a slash at the end.
    """
    found = dict(item)
    site, store = urljoin(base, "../"), f"{lake}/"
    if "links" in item:
        reachable = ("http://", "https://")
        found["links"] = [link for link in item["links"] if link["href"].startswith(reachable)]
    if "assets" in item:
        found["assets"] = {
            name: {**asset, **_moved(asset.get("href"), store, site)}
            for name, asset in item["assets"].items()
        }
        if item.get("properties", {}).get("renders"):
            path = f"{quote(item['collection'])}/{quote(item['id'])}"
            found["assets"]["thumbnail"] = _picture(f"{site}preview/{path}.png")
    return found


def _moved(href: str | None, store: str, site: str) -> dict[str, str]:
    if href is None or not href.startswith(store):
        return {}
    # Keys have no character that a URL would encode.
    return {"href": f"{site}data/{href.removeprefix(store)}"}


def _with_picture(document: Mapping[str, Any], base: str) -> dict[str, Any]:
    path = f"preview/{quote(document['id'])}.png"
    picture = {"thumbnail": _picture(urljoin(base, f"../{path}"))}
    return {**document, "assets": {**document.get("assets", {}), **picture}}


def _picture(href: str) -> dict[str, Any]:
    return {"href": href, "type": "image/png", "title": "Preview", "roles": ["thumbnail"]}
