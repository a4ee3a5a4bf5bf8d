"""The JSON Schema of the lake's own properties, generated from the property dictionary."""

from __future__ import annotations

from typing import Any

from stac_lake.quality.properties import PROPERTIES, Kind, Property

LAKE_SCHEMA = "https://stac-lake.github.io/lake/v1.0.0/schema.json"
"""Identifier of the schema in `stac_extensions`; every published lake carries the text itself."""

REQUIRED = (
    "lake:product",
    "lake:modality",
    "lake:slot",
    "lake:valid_pct",
    "lake:recipe_digest",
    "lake:software",
    "lake:size_bytes",
)
"""What every item has, whatever the sensor."""

_TYPES: dict[Kind, dict[str, Any]] = {
    "string": {"type": "string", "minLength": 1},
    "number": {"type": "number"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "datetime": {"type": "string", "format": "date-time"},
    "string[]": {"type": "array", "items": {"type": "string"}},
}


def lake_schema() -> dict[str, Any]:
    """JSON Schema (draft 7) of Items and Collections of a lake."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": LAKE_SCHEMA,
        "title": "stac-lake",
        "description": "Crops of Sentinel products on the ERA5 grid, one COG per Item.",
        "type": "object",
        "required": ["type", "stac_extensions"],
        "properties": {
            "stac_extensions": {"type": "array", "contains": {"const": LAKE_SCHEMA}},
        },
        "oneOf": [_item(), _collection()],
        "definitions": {"fields": _fields(), "layout": _layout()},
    }


def _item() -> dict[str, Any]:
    return {
        "required": ["type", "properties", "assets"],
        "properties": {
            "type": {"const": "Feature"},
            "collection": {"type": "string", "pattern": "^era5-[0-9]{7}$"},
            "properties": {
                "allOf": [{"$ref": "#/definitions/fields"}, {"required": list(REQUIRED)}]
            },
            "assets": {
                "type": "object",
                "required": ["data"],
                "properties": {
                    "data": {
                        "required": ["lake:layout", "file:size", "file:checksum"],
                        "properties": {"lake:layout": {"$ref": "#/definitions/layout"}},
                    }
                },
            },
        },
    }


def _collection() -> dict[str, Any]:
    count = {"type": "integer", "minimum": 0}
    return {
        "required": ["type", "lake:counts"],
        "properties": {
            "type": {"const": "Collection"},
            "id": {"type": "string", "pattern": "^era5-[0-9]{7}$"},
            "lake:counts": {
                "description": "Current items by product.",
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "required": ["items", "patches", "slots"],
                    "properties": {
                        "items": count,
                        "patches": count,
                        "slots": {"type": "object", "additionalProperties": count},
                    },
                    "additionalProperties": False,
                },
            },
        },
    }


def _fields() -> dict[str, Any]:
    own = [entry for entry in PROPERTIES if entry.name.startswith("lake:")]
    return {
        "type": "object",
        "properties": {entry.name: _property(entry) for entry in own},
        "patternProperties": {"^(?!lake:)": {}},
        "additionalProperties": False,
    }


def _property(entry: Property) -> dict[str, Any]:
    unit = f" ({entry.unit})" if entry.unit else ""
    share = {"minimum": 0, "maximum": 100} if entry.unit == "%" else {}
    return {"description": f"{entry.description}{unit}", **_TYPES[entry.kind], **share}


def _layout() -> dict[str, Any]:
    """Where the tiles of the one COG lie, so that a loader needs no header."""
    counts = {"type": "array", "items": {"type": "integer", "minimum": 0}}
    pair = {
        "type": "array",
        "items": {"type": "integer", "minimum": 1},
        "minItems": 2,
        "maxItems": 2,
    }
    return {
        "type": "object",
        "required": ["tile", "offsets", "byte_counts", "interleave", "predictor", "compression"],
        "properties": {
            "tile": {"description": "Rows, columns of a tile.", **pair},
            "offsets": {"description": "First byte of every tile, row by row.", **counts},
            "byte_counts": {"description": "Bytes of every tile.", **counts},
            "interleave": {"enum": ["pixel", "band"]},
            "predictor": {"enum": [1, 2, 3]},
            "compression": {"type": "string"},
            "header_size": {"type": "integer", "minimum": 8},
        },
    }
