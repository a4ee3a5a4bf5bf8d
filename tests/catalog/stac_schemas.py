"""JSON Schemas without a network: pystac's core, the recorded extensions, the lake's own."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator, FormatChecker
from referencing import Registry, Resource
from referencing.exceptions import NoSuchResource

from stac_lake.catalog.schema import LAKE_SCHEMA, lake_schema

SHARED = Path(__file__).parents[3] / "shared"
"""Recorded extension schemas; where the folder is absent, only core and lake are checked."""

CORE = "https://schemas.stacspec.org/v1.1.0"


@cache
def _documents() -> dict[str, Any]:
    packaged = files("pystac") / "validation" / "jsonschemas"
    found: dict[str, Any] = {LAKE_SCHEMA: lake_schema()}
    for folder in ("stac-spec/v1.1.0", "geojson"):
        for path in (packaged / folder).iterdir():
            schema = json.loads(path.read_text())
            # The packaged common.json misspells its own $id: the file's name decides.
            found[f"{schema['$id'].rpartition('/')[0]}/{path.name}"] = schema
    for path in sorted(SHARED.glob("schemas/*/*/schema.json")):
        extension, version = path.parts[-3:-1]
        uri = f"https://stac-extensions.github.io/{extension}/{version}/schema.json"
        found[uri] = json.loads(path.read_text())
    return found


def _retrieve(uri: str) -> Any:
    try:
        return Resource.from_contents(_documents()[uri.rstrip("#")])
    except KeyError as error:
        raise NoSuchResource(ref=uri) from error


def known(uri: str) -> bool:
    return uri in _documents()


def problems(document: dict[str, Any], uri: str) -> list[str]:
    """What a document breaks in a schema."""
    validator = Draft7Validator(
        _documents()[uri], registry=Registry(retrieve=_retrieve), format_checker=FormatChecker()
    )
    return [f"{'/'.join(map(str, e.path))}: {e.message}" for e in validator.iter_errors(document)]
