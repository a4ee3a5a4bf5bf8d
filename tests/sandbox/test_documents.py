"""The stand-in's documents against the recorded ones, and its hrefs against its files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pystac
import pystac.validation
import pytest
import requests
from jsonschema import Draft7Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from stac_lake.sandbox.catalog import Holding
from stac_lake.sandbox.holdings import catalog, product_of
from tests.conftest import SHARED

CELL = [-96.125, 43.875, -95.875, 44.125]
PREFIX = {
    "earth-search": "/earth-search/v1",
    "planetary-computer": "/planetary-computer/api/stac/v1",
    "cdse": "/cdse/v1",
}
# Keys that only some upstream items have, or that would be untrue here: sizes and checksums of
# files that are made on request, texts.
_UNSTATED = {"file:size", "file:checksum", "description"}
RECORDED = (
    sorted(
        folder
        for provider in PREFIX
        for folder in (SHARED / "upstream" / provider / "items").iterdir()
        if folder.name.startswith(("sentinel-1", "sentinel-2-l", "sentinel-2-c1", "cop-dem"))
        or folder.match("planetary-computer/items/landsat-c2-l2")
    )
    if SHARED
    else []
)
TEMPLATES = (
    [
        SHARED / "upstream" / "cdse" / "synthetic_templates" / f"{name}.json"
        for name in ("sentinel-3-olci-1-efr-ntc", "sentinel-5p-l2-no2-offl", "sentinel-1-grd")
    ]
    if SHARED
    else []
)


def first_item(origin: str, provider: str, collection: str) -> Any:
    body: dict[str, Any] = {"collections": [collection], "bbox": CELL, "limit": 1}
    if not collection.startswith("cop-dem"):
        body["datetime"] = "2022-07-01T00:00:00Z/2022-09-30T00:00:00Z"
    if collection.endswith("rpro"):
        body["datetime"] = "2021-07-01T00:00:00Z/2021-07-31T00:00:00Z"
    response = requests.post(f"{origin}{PREFIX[provider]}/search", json=body, timeout=60)
    return response.json()["features"][0]


def shapes(item: Any) -> dict[str, set[str]]:
    """Everything about an item that is a name."""
    return {
        "members": set(item) - {"_SYNTHETIC"},
        "properties": set(item["properties"]),
        "assets": set(item["assets"]),
        "extensions": set(item["stac_extensions"]),
        "links": {link["rel"] for link in item["links"]},
        "version": {item["stac_version"]},
        **{f"asset {key}": set(asset) - _UNSTATED for key, asset in item["assets"].items()},
    }


@pytest.mark.parametrize("folder", RECORDED, ids=lambda f: f"{f.parent.parent.name}-{f.name}")
def test_names_are_those_of_recorded_items(sandbox: str, folder: Path) -> None:
    """Ours are in between: what all recorded items have, and nothing that none has."""
    recorded = [shapes(json.loads(file.read_text())) for file in folder.glob("*.json")]
    ours = shapes(first_item(sandbox, folder.parent.parent.name, folder.name))
    # Radar assets depend on the polarisation that was flown.
    for name in ours:
        known = [shape[name] for shape in recorded if name in shape]
        if not known:
            continue
        assert set.intersection(*known) <= ours[name] <= set.union(*known), name
    keys = set.union(*(shape["assets"] for shape in recorded))
    assert ours["assets"] <= keys


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda p: p.stem)
def test_names_are_those_of_cdse_collections(sandbox: str, path: Path) -> None:
    """CDSE's swath items were not recorded; the templates come from its Collections."""
    template = json.loads(path.read_text())
    ours = first_item(sandbox, "cdse", template["collection"])
    collection = path.parent.parent / "collections" / f"{template['collection']}.json"
    described = set(json.loads(collection.read_text())["item_assets"])
    assert set(template["assets"]) <= set(ours["assets"]) <= described
    for key, asset in template["assets"].items():
        assert ours["assets"][key]["type"] == asset["type"]
        assert set(asset) - _UNSTATED <= set(ours["assets"][key])
    mine, theirs = ours["properties"], template["properties"]
    names = {"platform", "constellation", "instruments", "product:type", "gsd", "proj:code"}
    assert {k: type(v) for k, v in mine.items() if k in names} == {
        k: type(v) for k, v in theirs.items() if k in names and k in mine
    }
    assert set(ours["stac_extensions"]) <= set(template["stac_extensions"])
    folder = template["assets"][next(iter(template["assets"]))]["href"].split("/")[:6]
    assert next(iter(ours["assets"].values()))["href"].split("/")[:6] == folder


@pytest.mark.parametrize(
    ("provider", "collection", "pattern"),
    [
        ("earth-search", "sentinel-2-l2a", r"^S2[AB]_15TTJ_\d{8}_0_L2A$|^S2[AB]_14T\w\w_\d{8}_0"),
        ("earth-search", "sentinel-2-c1-l2a", r"^S2[AB]_T1[45]T\w\w_\d{8}T\d{6}_L2A$"),
        ("planetary-computer", "sentinel-2-l2a",
         r"^S2[AB]_MSIL2A_\d{8}T\d{6}_R\d{3}_T\w{5}_\d{8}T\d{6}$"),
        ("planetary-computer", "sentinel-1-rtc",
         r"^S1[AB]_IW_GRDH_1SDV_\d{8}T\d{6}_\d{8}T\d{6}_\d{6}_[0-9A-F]{6}_rtc$"),
        ("planetary-computer", "landsat-c2-l2", r"^LC0[89]_L2S[PR]_02[89]0(29|30)_\d{8}_02_T[12]$"),
        ("planetary-computer", "sentinel-5p-l2-netcdf",
         r"^S5P_L2_(CO|NO2|O3|SO2)_+\d{8}T\d{6}_\d{8}T\d{6}_\d{5}$"),
        ("cdse", "sentinel-2-l1c",
         r"^S2[AB]_MSIL1C_\d{8}T\d{6}_N\d{4}_R\d{3}_T\w{5}_\d{8}T\d{6}$"),
        ("cdse", "sentinel-1-grd", r"^S1[AB]_IW_GRDH_1SDV_.*_[0-9A-F]{4}_COG$"),
        ("cdse", "sentinel-3-olci-1-efr-ntc",
         r"^S3[AB]_OL_1_EFR____(\d{8}T\d{6}_){3}\d{4}_\d{3}_\d{3}_\d{4}_\w{3}_O_NT_\d{3}$"),
        ("cdse", "sentinel-5p-l2-so2-rpro",
         r"^S5P_RPRO_L2__SO2____\d{8}T\d{6}_\d{8}T\d{6}_\d{5}_03_\d{6}_\d{8}T\d{6}$"),
    ],
)  # fmt: skip
def test_id_forms(sandbox: str, provider: str, collection: str, pattern: str) -> None:
    assert re.match(pattern, first_item(sandbox, provider, collection)["id"])


def held() -> list[Holding]:
    """What is held, without the Collections that only make CDSE's list long."""
    return [h for p in PREFIX for h in catalog().collections(p) if h.kind != "none"]


def test_pystac_reads_all_items(sandbox: str) -> None:
    for holding in held():
        document = first_item(sandbox, holding.provider, holding.collection)
        item = pystac.Item.from_dict(document, preserve_dict=True, migrate=False)
        assert item.datetime is not None
        assert item.geometry is not None
        west, south, east, north = item.bbox or ()
        assert -180 <= west <= 180
        assert -90 <= south < north <= 90
        assert -180 <= east <= 180


def retrieve(uri: str) -> Resource[Any]:
    """A schema from the recorded ones; of those that were not recorded, one that allows all."""
    assert SHARED is not None
    for prefix, folder in (
        ("https://stac-extensions.github.io/", SHARED / "schemas"),
        ("https://schemas.stacspec.org/", SHARED / "schemas" / "core"),
    ):
        path = folder / uri.removeprefix(prefix).split("#")[0]
        if uri.startswith(prefix) and path.is_file():
            return Resource.from_contents(json.loads(path.read_text()))
    return DRAFT7.create_resource({})


@pytest.mark.parametrize("provider", list(PREFIX) if SHARED else [])
def test_items_fulfil_the_schemas(sandbox: str, provider: str) -> None:
    """Core (1.0.0 ones from the recorded schemas) and each extension that an item names."""
    registry: Registry[Any] = Registry(retrieve=retrieve)
    core = "https://schemas.stacspec.org/v1.0.0/item-spec/json-schema/item.json"
    for holding in held():
        if holding.provider != provider:
            continue
        item = first_item(sandbox, provider, holding.collection)
        schemas = [retrieve(uri).contents for uri in item["stac_extensions"]]
        if item["stac_version"] == "1.0.0":
            schemas.append(retrieve(core).contents)
        else:
            pystac.validation.validate_dict(item, extensions=[])
        for schema in schemas:
            validator = Draft7Validator(schema, registry=registry)
            errors = validator.iter_errors(item)
            assert [(schema.get("title"), error.message) for error in errors] == []


def test_every_file_of_every_holding_can_be_opened(tmp_path: Path, sandbox: str) -> None:
    """Each href of `files` leads back to its scene; its size is known before it is made."""
    seen = 0
    for holding in held():
        if holding.files is None:
            continue
        document = first_item(sandbox, holding.provider, holding.collection)
        try:
            scene = holding.find(document["id"])
        except KeyError:
            continue  # the part of Sentinel-5P with another gas
        listed = {asset["href"] for asset in document["assets"].values()}
        files = holding.files(scene)
        for href, served in files.items():
            # A fresh catalogue: nothing may depend on an earlier search.
            again = catalog().served(holding.provider, href)
            assert again is not None
            assert (again.scene.id, again.name) == (served.scene.id, served.name)
            product = product_of(served.scene.kind)
            if not served.scene.kind.startswith(("s3", "s5p")):  # those are made whole
                blob = product.blob(served.scene, served.name, cache=tmp_path, full=False)
                assert blob.size > 0
            seen += 1
        if not holding.collection.startswith("cop-dem"):  # whose items have s3 hrefs
            assert listed & set(files)
    assert seen > 100
