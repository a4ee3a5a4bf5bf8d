"""What can be asked for, as JSON Schema."""

from __future__ import annotations

from typing import Any

import attr
from stac_fastapi.extensions.filter.client import BaseFiltersClient

from stac_lake.quality.properties import PROPERTIES, Kind

_TYPES: dict[Kind, dict[str, Any]] = {
    "string": {"type": "string"},
    "number": {"type": "number"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "datetime": {"type": "string", "format": "date-time"},
    "string[]": {"type": "array", "items": {"type": "string"}},
}


@attr.s
class Queryables(BaseFiltersClient):
    """The property dictionary; the same for every cell."""

    def get_queryables(self, collection_id: str | None = None, **kwargs: Any) -> dict[str, Any]:
        properties: dict[str, Any] = {
            "id": {"type": "string", "description": "item id"},
            "collection": {"type": "string", "description": "collection id, one per cell"},
            "geometry": {"$ref": "https://geojson.org/schema/Geometry.json"},
        }
        for entry in PROPERTIES:
            about: dict[str, Any] = {**_TYPES[entry.kind], "description": entry.description}
            if entry.unit:
                about["unit"] = entry.unit
            properties[entry.name] = about
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": str(kwargs["request"].url),
            "type": "object",
            "title": f"Queryables of {collection_id or 'the lake'}",
            "properties": properties,
            "additionalProperties": False,
        }
