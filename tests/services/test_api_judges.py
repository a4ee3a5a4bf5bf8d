"""The field's own readers judge the sandbox's documents and COGs, and the API of a lake.

stac-validator and stac-api-validator have the recorded schemas, so that nothing is asked of the
network; where these are absent, their tests have no cases.

stac-api-validator 0.6.8 runs in an environment of its own. Its checks that run here: Core (landing
page, conformance, links, service description), Collections, Features (items, single item, pages),
Item Search (ids, collections, boxes of 4 and 6 numbers, datetimes, intersects with every geometry
type, limits, pages, GET and POST), Sort, Query, Fields, and Filter (queryables, basic CQL2 and
advanced comparisons as text and JSON); every Collection and Item that it opens is validated against
core, extension and `lake:` schemas, and linted by stac-check. It has no checks for collection
search, for Sort, Query and Fields of Features, and asks for spatial and temporal filters only under
the names that drafts of CQL2 gave these classes.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pystac_client
import pytest
import rasterio
import requests
from api_lake import CELL as JUDGED_CELL
from api_lake import judged_lake
from rio_cogeo import cog_info, cog_validate

from stac_lake.catalog.schema import LAKE_SCHEMA, lake_schema
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
    f"{EXTENSIONS}/scientific/v1.0.0/schema.json",
    f"{EXTENSIONS}/sentinel-2/v1.0.0/schema.json",
    "https://cs-si.github.io/eopf-stac-extension/v1.2.0/schema.json",
    "https://landsat.usgs.gov/stac/landsat-extension/v1.1.1/schema.json",
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
    own = tmp_path_factory.mktemp("schemas") / "lake.json"
    own.write_text(json.dumps(lake_schema()))
    found[LAKE_SCHEMA] = str(own)
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


VALIDATOR = Path(__file__).parents[2] / ".venv-api-validator" / "bin" / "python"
AREA = {
    "type": "Polygon",
    "coordinates": [[[20, 20], [21, 20], [21, 21], [20, 21], [20, 20]]],
}
OPTIONS = {
    "collection": JUDGED_CELL.collection_id,
    "geometry": json.dumps(AREA),
    "fields-nested-property": "properties.eo:cloud_cover",
    "query-comparison-field": "eo:cloud_cover",
    **dict.fromkeys([f"query-{op}-value" for op in ("eq", "neq", "lt", "lte", "gt", "gte")], "20"),
    "query-substring-field": "lake:slot",
    "query-starts-with-value": "win",
    "query-ends-with-value": "ter",
    "query-contains-value": "int",
    "query-in-field": "lake:baseline",
    "query-in-values": "1,4",
}


@dataclass(frozen=True)
class Verdict:
    """What stac-api-validator says.

    Attributes:
        text: All of it.
        errors: Its errors.
        warnings: Its warnings.
        schemas: URLs of the schemas that it has asked for.
        refused: URLs that it has asked for in vain.
    """

    text: str
    errors: list[str]
    warnings: list[str]
    schemas: set[str]
    refused: set[str]


@contextmanager
def lake_server(folder: Path) -> Iterator[str]:
    """The program serving a lake."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    stac_lake = Path(sys.executable).with_name("stac-lake")
    words = [stac_lake, "serve", "--lake", folder, "--port", str(port)]
    with subprocess.Popen(words) as program:
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(600):
                assert program.poll() is None
                try:
                    requests.get(f"{url}/conformance", timeout=5).raise_for_status()
                    break
                except requests.ConnectionError:
                    time.sleep(0.1)
            yield url
        finally:
            program.terminate()


def ask_validator(url: str, schemas: dict[str, str], folder: Path, *classes: str) -> Verdict:
    assert VALIDATOR.exists(), "run tests/services/install.sh judges"
    recorded = folder / "schemas.json"
    recorded.write_text(json.dumps(schemas))
    options = [word for key, value in OPTIONS.items() for word in (f"--{key}", value)]
    wanted = [word for name in classes for word in ("--conformance", name)]
    driver = Path(__file__).with_name("api_validator.py")
    ran = subprocess.run(
        [
            VALIDATOR,
            driver,
            recorded,
            "--root-url",
            url,
            "--validate-pagination",
            *options,
            *wanted,
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    # It ends with 0 after a crash, too: only what it says counts.
    assert "Failed." not in ran.stdout, ran.stdout
    told, _, errors = ran.stdout.partition("\nErrors:")
    assert errors, ran.stdout + ran.stderr
    _, _, warned = told.partition("\nWarnings:")
    return Verdict(
        ran.stdout,
        re.findall("^- (.*)", errors, re.MULTILINE),
        re.findall("^- (.*)", warned, re.MULTILINE),
        set(re.findall("^schema (.*)", ran.stderr, re.MULTILINE)),
        set(re.findall("^refused (.*)", ran.stderr, re.MULTILINE)),
    )


def checked(verdict: Verdict, *names: str) -> None:
    """The validator says of each class that it is at it, and every schema was there."""
    for name in names:
        assert f"Validating STAC API - {name}" in verdict.text
    assert verdict.refused == set()
    assert not verdict.schemas & UNRECORDED
    assert LAKE_SCHEMA in verdict.schemas
    assert f"{CORE}/v1.1.0/item-spec/json-schema/item.json" in verdict.schemas
    assert f"{CORE}/v1.1.0/collection-spec/json-schema/collection.json" in verdict.schemas
    assert sum(url.startswith(EXTENSIONS) for url in verdict.schemas) >= 5


@pytest.mark.parametrize("_", [0] if SCHEMAS else [])
def test_stac_api_validator_accepts_the_api(
    schema_map: dict[str, str], tmp_path: Path, _: int
) -> None:
    judged_lake(str(tmp_path / "lake"))
    classes = ["core", "collections", "features", "item-search"]
    classes += [f"item-search#{name}" for name in ("sort", "query")]
    with lake_server(tmp_path / "lake") as url:
        verdict = ask_validator(url, schema_map, tmp_path, *classes)
    assert verdict.errors == []
    assert re.search("^Errors: none$", verdict.text, re.MULTILINE)
    checked(verdict, "Core", "Collections", "Features", "Item Search")
    for name in ("Sort", "Query"):
        assert f"Item Search - {name} extension conformance class found" in verdict.text
    # stac-check's advice to have fewer properties is not followed: they are the index.
    assert all(re.search("You have \\d+ properties", one) for one in verdict.warnings)


DEVIATIONS = {
    # A property that the lake does not have is an error here, with the nearest name.
    r"'filter': \"mission LIKE 'sentinel%'\".* status code 400 instead of 200",
    r"'filter': \"mission NOT LIKE 'sentinel%'\".* status code 400 instead of 200",
    r'"filter": {"op": "like", "args": \[{"property": "mission"}.* status code 400 instead of 200',
    r'"filter": {"op": "not", .*{"property": "mission"}.* status code 400 instead of 200',
    # With an empty `include`, which pystac-client always sends, the rest is everything, not the
    # specification's default set: fields are hints, and GET and POST shall mean the same.
    r"{'exclude': \['geometry'\], 'include': \[\]}.*'properties.eo:cloud_cover', but should",
    r"{'exclude': \['geometry'\], 'include': None}.*'properties.eo:cloud_cover', but should",
}


@pytest.mark.parametrize("_", [0] if SCHEMAS else [])
def test_stac_api_validator_on_filter_and_fields(
    schema_map: dict[str, str], tmp_path: Path, _: int
) -> None:
    """What it minds is known by heart, and nothing else."""
    judged_lake(str(tmp_path / "lake"))
    with lake_server(tmp_path / "lake") as url:
        verdict = ask_validator(
            url, schema_map, tmp_path, "core", "features", "item-search", "filter",
            "item-search#fields",
        )  # fmt: skip
    known = {rule: [one for one in verdict.errors if re.search(rule, one)] for rule in DEVIATIONS}
    assert {len(found) for found in known.values()} == {1}, verdict.errors
    assert len(verdict.errors) == len(DEVIATIONS), verdict.errors
    filters = "Item Search - Filter Extension - "
    checked(verdict, "Features", *(filters + one for one in ("CQL2-Text", "CQL2-JSON", "Basic")))
    checked(verdict, f"{filters}Advanced Comparison Operators")
    extra = re.compile(r"You have \d+ properties|contained extra fields")
    assert all(extra.search(one) for one in verdict.warnings)


@pytest.mark.parametrize("_", [0] if SCHEMAS else [])
def test_stac_api_validator_refuses_what_is_wrong(
    schema_map: dict[str, str], tmp_path: Path, _: int
) -> None:
    judged_lake(str(tmp_path / "lake"), spoilt=True)
    with lake_server(tmp_path / "lake") as url:
        verdict = ask_validator(url, schema_map, tmp_path, "core", "features")
    assert any("failed stac-validator validation" in one for one in verdict.errors)
