"""What can be asked for, as JSON Schema."""

from __future__ import annotations

from typing import Any

import attr
from fastapi import FastAPI, Request
from stac_fastapi.api.models import EmptyRequest, JSONSchemaResponse
from stac_fastapi.api.routes import create_async_endpoint
from stac_fastapi.extensions.collection_search import CollectionSearchExtension
from stac_fastapi.extensions.filter.client import BaseFiltersClient

from stac_lake.quality.filter import CELL_KINDS
from stac_lake.quality.properties import PROPERTIES
from stac_lake.recipe import MODALITIES

_TYPES: dict[str, dict[str, Any]] = {
    "string": {"type": "string"},
    "number": {"type": "number"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "datetime": {"type": "string", "format": "date-time"},
    "string[]": {"type": "array", "items": {"type": "string"}},
    "geometry": {"$ref": "https://geojson.org/schema/Geometry.json"},
}

_OF_CELLS = {
    "id": "collection id, one per cell",
    "geometry": "the cell's outline",
    "datetime": "first moment of the cell's items",
    "items": "items that count",
    "patches": "patches that have any item",
    "paired": "patches whose Sentinel-1 and Sentinel-2 series are both complete",
    **{name: f"filled slots of {name}; of the patch that has most" for name in MODALITIES},
    **{f"{name}_complete": f"series of {name} that are complete" for name in MODALITIES},
}


@attr.s
class Queryables(BaseFiltersClient):
    """The property dictionary; the same for every cell."""

    def get_queryables(self, collection_id: str | None = None, **kwargs: Any) -> dict[str, Any]:
        properties: dict[str, Any] = {
            "id": {"type": "string", "description": "item id"},
            "collection": {"type": "string", "description": "collection id, one per cell"},
            "geometry": _TYPES["geometry"],
        }
        for entry in PROPERTIES:
            about: dict[str, Any] = {**_TYPES[entry.kind], "description": entry.description}
            if entry.unit:
                about["unit"] = entry.unit
            properties[entry.name] = about
        return _schema(
            kwargs["request"], f"Queryables of {collection_id or 'the lake'}", properties
        )


@attr.s
class CollectionSearch(CollectionSearchExtension):
    """Collection search, with a document of what it can ask for."""

    def register(self, app: FastAPI) -> None:
        app.add_api_route(
            name="Collection Search Queryables",
            path=f"{app.state.router_prefix}/collections-queryables",
            methods=["GET"],
            response_class=JSONSchemaResponse,
            endpoint=create_async_endpoint(cell_queryables, EmptyRequest),
            tags=["Collection Search Extension"],
        )


def cell_queryables(request: Request) -> dict[str, Any]:
    """What ``GET /collections`` can ask for: counts of slots, patches and complete series."""
    properties = {
        name: {**_TYPES[kind], "description": _OF_CELLS[name]} for name, kind in CELL_KINDS.items()
    }
    return _schema(request, "Queryables of Collections", properties)


def _schema(request: Request, title: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2019-09/schema",
        "$id": str(request.url),
        "type": "object",
        "title": title,
        "properties": properties,
        "additionalProperties": False,
    }
