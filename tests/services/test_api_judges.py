"""The field's own readers judge the sandbox's documents and COGs: stac-validator and rio-cogeo.

stac-validator's schemas are the recorded ones, so that nothing is asked of the network; where they
are absent, its tests have no cases.
"""

from __future__ import annotations

import json
import warnings
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pystac_client
import pytest
import rasterio
import requests
from rio_cogeo import cog_info, cog_validate

from stac_lake.sandbox.holdings import catalog

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it announces a new name of its package
    from stac_validator.validate import StacValidate

SHARED = Path(__file__).parents[3] / "shared"
PREFIX = {
    "earth-search": "/earth-search/v1",
    "planetary-computer": "/planetary-computer/api/stac/v1",
    "cdse": "/cdse/v1",
}
HELD = [
    (provider, holding.collection)
    for provider in PREFIX
    for holding in catalog().collections(provider)
    if holding.kind != "none"  # those only make CDSE's list long
]
SCHEMAS = (SHARED / "schemas").is_dir()
CELL = [-96.125, 43.875, -95.875, 44.125]
EXTENSIONS = "https://stac-extensions.github.io"
CORE = "https://schemas.stacspec.org"

PLATFORMS = ("aws-s3", "custom-s3", "ms-azure")
UNRECORDED = {
    f"{EXTENSIONS}/alternate-assets/v1.2.0/schema.json",
    f"{EXTENSIONS}/authentication/v1.1.0/schema.json",
    f"{EXTENSIONS}/classification/v2.0.0/schema.json",
    f"{EXTENSIONS}/mgrs/v1.0.0/schema.json",
    f"{EXTENSIONS}/product/v0.1.0/schema.json",
    f"{EXTENSIONS}/product/v1.0.0/schema.json",
    f"{EXTENSIONS}/sentinel-2/v1.0.0/schema.json",
    "https://cs-si.github.io/eopf-stac-extension/v1.2.0/schema.json",
    *(f"{EXTENSIONS}/storage/v2.0.0/platforms/{name}.json" for name in PLATFORMS),
    "https://proj.org/schemas/v0.2/projjson.schema.json",
    "https://proj.org/schemas/v0.5/projjson.schema.json",
    "https://proj.org/schemas/v0.7/projjson.schema.json",
}
"""Schemas that are NOT checked, because nobody recorded them: whatever they ask is allowed."""

# GDAL would ask for sidecar files while it holds the lock that the server's thread needs.
GDAL = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "CPL_VSIL_CURL_USE_HEAD": "NO"}


def first_item(origin: str, provider: str, collection: str) -> dict[str, Any]:
    """An item as pystac-client finds it, as it was sent."""
    client = pystac_client.Client.open(origin + PREFIX[provider])
    asked: dict[str, Any] = {"collections": [collection], "bbox": CELL, "max_items": 1}
    if collection.endswith("rpro"):
        asked["datetime"] = "2021-07-01T00:00:00Z/2021-07-31T00:00:00Z"
    elif not collection.startswith("cop-dem"):
        asked["datetime"] = "2022-07-01T00:00:00Z/2022-09-30T00:00:00Z"
    return next(iter(client.search(**asked).items_as_dicts()))


@pytest.fixture(scope="session")
def schema_map(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """URL of a schema → file: recorded ones, and of STAC 1.1 what pystac brings along."""
    found = {}
    for path in (SHARED / "schemas").glob("*/*/schema*.json"):
        found[f"{EXTENSIONS}/{path.relative_to(SHARED / 'schemas').as_posix()}"] = str(path)
    core = SHARED / "schemas" / "core"
    for path in core.rglob("*.json"):
        found[f"{CORE}/{path.relative_to(core).as_posix()}"] = str(path)
    packaged = files("pystac") / "validation" / "jsonschemas"
    for entry in (packaged / "stac-spec/v1.1.0").iterdir():
        folder = json.loads(entry.read_text())["$id"].rpartition("/")[0]
        found[f"{folder}/{entry.name}"] = str(entry)
    for entry in (packaged / "geojson").iterdir():
        found[f"https://geojson.org/schema/{entry.name}"] = str(entry)
    free = tmp_path_factory.mktemp("schemas") / "all.json"
    free.write_text('{"$schema": "http://json-schema.org/draft-07/schema#"}')
    return found | dict.fromkeys(UNRECORDED, str(free))


def judge(document: dict[str, Any], schema_map: dict[str, str]) -> None:
    validator = StacValidate(schema_map=dict(schema_map))
    told = validator.validate_dict(document)
    first = validator.message[0]
    assert told, f"{first.get('failed_schema')}: {first.get('error_message')}"
    assert first["valid_stac"] is True


@pytest.mark.parametrize(("provider", "collection"), HELD if SCHEMAS else [])
def test_stac_validator_accepts_items(
    origin: str, schema_map: dict[str, str], provider: str, collection: str
) -> None:
    judge(first_item(origin, provider, collection), schema_map)


@pytest.mark.parametrize(("provider", "collection"), HELD if SCHEMAS else [])
def test_stac_validator_accepts_collections(
    origin: str, schema_map: dict[str, str], provider: str, collection: str
) -> None:
    url = f"{origin}{PREFIX[provider]}/collections/{collection}"
    judge(requests.get(url, timeout=60).json(), schema_map)


@pytest.mark.parametrize("provider", list(PREFIX) if SCHEMAS else [])
def test_stac_validator_accepts_landing_pages(
    origin: str, schema_map: dict[str, str], provider: str
) -> None:
    page = requests.get(origin + PREFIX[provider], timeout=60).json()
    judge(page, schema_map)


def test_the_judge_refuses_what_is_wrong(origin: str, schema_map: dict[str, str]) -> None:
    """Else all the above would mean nothing."""
    if not SCHEMAS:
        return
    item = first_item(origin, "earth-search", "sentinel-2-l2a")
    item["properties"]["eo:cloud_cover"] = "many"
    assert not StacValidate(schema_map=dict(schema_map)).validate_dict(item)


def served(origin: str, provider: str, href: str) -> str:
    """Where the stand-in serves a file: docs/sandbox.md, "Files"."""
    parts = urlsplit(href)
    host = parts.netloc
    if provider == "planetary-computer":
        account = host.removesuffix(".blob.core.windows.net")
        container = parts.path.split("/")[1]
        token = requests.get(
            f"{origin}/planetary-computer/api/sas/v1/token/{account}/{container}", timeout=30
        ).json()["token"]
        return f"{origin}/planetary-computer/blob/{account}{parts.path}?{token}"
    if parts.scheme == "s3":
        host += ".s3.eu-central-1.amazonaws.com"
    return f"{origin}/earth-search/s3/{host}{parts.path}"


@pytest.mark.parametrize(
    ("provider", "collection", "asset"),
    [
        ("earth-search", "sentinel-2-l2a", "red"),
        ("earth-search", "sentinel-2-l2a", "scl"),
        ("earth-search", "sentinel-2-c1-l2a", "nir"),
        ("earth-search", "cop-dem-glo-30", "data"),
        ("planetary-computer", "sentinel-2-l2a", "B11"),
        ("planetary-computer", "sentinel-1-rtc", "vv"),
        ("planetary-computer", "cop-dem-glo-30", "data"),
        ("planetary-computer", "cop-dem-glo-90", "data"),
    ],
)
def test_rio_cogeo_accepts_cogs_over_http(
    origin: str, provider: str, collection: str, asset: str
) -> None:
    item = first_item(origin, provider, collection)
    path = "/vsicurl/" + served(origin, provider, item["assets"][asset]["href"])
    valid, errors, warnings = cog_validate(path, strict=True, config=GDAL, quiet=True)
    assert (valid, errors, warnings) == (True, [], [])
    told = cog_info(path, config=GDAL)
    assert told.COG
    assert told.Compression == "DEFLATE"
    if collection.startswith("sentinel-2"):
        assert {ifd.Blocksize for ifd in told.IFD[:2]} == {(1024, 1024)}
        assert [ifd.Decimation for ifd in told.IFD[1:3]] == [2, 4]
    with rasterio.Env(**GDAL), rasterio.open(path) as source:
        shape = item["properties"].get("proj:shape") or item["assets"][asset].get("proj:shape")
        if shape:
            assert list(source.shape) == list(shape)
