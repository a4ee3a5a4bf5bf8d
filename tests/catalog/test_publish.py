from __future__ import annotations

import json
import posixpath
from typing import TYPE_CHECKING, Any

import pytest
import stac_schemas
from made_items import DATA, FARM, ICE, PRODUCTS, facts, slot_of

from stac_lake.catalog.commit import commit, retire
from stac_lake.catalog.index import Index, IndexRow
from stac_lake.catalog.publish import publish
from stac_lake.catalog.schema import LAKE_SCHEMA
from stac_lake.grid import Cell, cell_at
from stac_lake.store import keys
from stac_lake.store.objects import Objects

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3_fixtures import S3Server

pytest_plugins = ("s3_fixtures",)

FIJI = cell_at(180, -17)


def fill(url: str) -> tuple[Objects, Index]:
    objects = Objects.open(url)
    index = Index(objects)
    slots = [*map(slot_of, PRODUCTS), slot_of("dem-glo30", ICE), slot_of("dem-glo30", FIJI)]
    done = [commit(objects, facts(slot), DATA) for slot in slots]
    index.append([IndexRow(one.document, one.version) for one in done])
    return objects, index


def read(objects: Objects, key: str) -> dict[str, Any]:
    return dict(json.loads(objects.get(key)))


def test_every_item_is_reached_from_the_root(lake_url: str) -> None:
    objects, index = fill(lake_url)
    assert publish(objects, index) == 1 + 1 + 3 + 3 + 3
    seen: list[str] = []

    def walk(key: str) -> None:
        document = read(objects, key)
        base = posixpath.dirname(key)
        for link in document["links"]:
            target = posixpath.normpath(posixpath.join(base, link["href"]))
            if link["rel"] == "child":
                walk(target)
            elif link["rel"] == "item":
                seen.append(read(objects, target)["id"])
            elif link["rel"] in {"root", "parent", "describedby"}:
                assert objects.size(target) is not None

    walk(keys.ROOT_CATALOG)
    listed = index.connection().execute("SELECT id FROM items").fetchall()
    assert sorted(seen) == sorted(row[0] for row in listed)


def test_documents_follow_the_schemas(tmp_path: Any) -> None:
    objects, index = fill(str(tmp_path))
    publish(objects, index)
    for info in objects.list("cells/"):
        if info.key.endswith(("collection.json", "catalog.json")):
            kind = info.key.rsplit("/", 1)[1].removesuffix(".json")
            uri = f"{stac_schemas.CORE}/{kind}-spec/json-schema/{kind}.json"
            document = read(objects, info.key)
            assert stac_schemas.problems(document, uri) == []
            if kind == "collection":
                assert stac_schemas.problems(document, LAKE_SCHEMA) == []
    uri = f"{stac_schemas.CORE}/catalog-spec/json-schema/catalog.json"
    assert stac_schemas.problems(read(objects, keys.ROOT_CATALOG), uri) == []


def test_what_a_collection_says(tmp_path: Any) -> None:
    objects, index = fill(str(tmp_path))
    publish(objects, index)
    found = read(objects, keys.collection_key(FARM))
    assert found["id"] == "era5-0772176"
    assert found["extent"]["spatial"]["bbox"] == [[-96.125, 43.875, -95.875, 44.125]]
    assert found["extent"]["temporal"]["interval"] == [
        ["2021-03-01T00:00:00.000Z", "2021-04-22T00:00:00.000Z"]
    ]
    assert found["lake:counts"]["s2-l2a"] == {"items": 1, "patches": 1, "slots": {"winter": 1}}
    assert found["lake:counts"]["s5p-co"] == {"items": 1, "patches": 0, "slots": {"2021-03": 1}}
    assert found["summaries"]["eo:cloud_cover"] == {"minimum": 2.5, "maximum": 2.5}
    assert found["summaries"]["lake:modality"] == sorted(
        ["s1", "s2", "s3", "co", "no2", "o3", "so2", "dem", "landsat"]
    )
    red = found["summaries"]["lake:bands"]["s2-l1c"][3]
    assert (red["name"], red["statistics"]["mean"], red["statistics"]["stddev"]) == ("B04", 4.25, 2)
    fiji = read(objects, keys.collection_key(FIJI))["extent"]["spatial"]["bbox"][0]
    assert (fiji[0], fiji[2]) == (179.875, -179.875)


def test_nothing_changed_nothing_written(s3: S3Server, make_bucket: Callable[[], str]) -> None:
    objects, index = fill(make_bucket())
    publish(objects, index)
    s3.requests.clear()
    assert publish(objects, index) == 0
    assert s3.requests["PUT"] == s3.requests["POST"] == s3.requests["DELETE"] == 0


def test_only_what_changed_is_written(tmp_path: Any) -> None:
    objects, index = fill(str(tmp_path))
    publish(objects, index)
    again = commit(objects, facts(slot_of("s2-l2a"), digest="e" * 16), DATA)
    index.append([IndexRow(again.document, again.version)])
    assert publish(objects, index, [FARM]) == 1
    hrefs = [link["href"] for link in read(objects, keys.collection_key(FARM))["links"]]
    assert any(href.endswith("/2.json") for href in hrefs)
    assert publish(objects, index) == 0


def test_a_cell_that_lost_its_items_loses_its_collection(tmp_path: Any) -> None:
    objects, index = fill(str(tmp_path))
    publish(objects, index)
    stone = retire(objects, slot_of("dem-glo30", ICE))
    assert stone is not None
    index.append([IndexRow(stone.document, stone.version)])
    publish(objects, index, [ICE])
    assert objects.size(keys.collection_key(ICE)) is None
    children = [x for x in read(objects, keys.ROOT_CATALOG)["links"] if x["rel"] == "child"]
    assert len(children) == 2


@pytest.mark.parametrize("cells", [None, [Cell(5)]])
def test_an_empty_lake(tmp_path: Any, cells: list[Cell] | None) -> None:
    objects = Objects.open(str(tmp_path / "lake"))
    publish(objects, Index(objects), cells)
    assert objects.size(keys.collection_key(Cell(5))) is None
