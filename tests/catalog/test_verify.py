from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_items import DATA, FARM, ICE, facts, slot_of

from stac_lake.catalog.commit import commit, new_attempt, retire
from stac_lake.catalog.index import Index, IndexRow
from stac_lake.catalog.item import asset_key_of, build_item
from stac_lake.catalog.rows import encode_document
from stac_lake.catalog.verify import verify
from stac_lake.store import keys
from stac_lake.store.objects import Objects

pytest_plugins = ("s3_fixtures",)

SLOT = slot_of("s2-l2a")


@pytest.fixture
def lake(tmp_path: Path) -> tuple[Objects, Index, dict[str, Any]]:
    objects = Objects.open(str(tmp_path / "lake"))
    index = Index(objects)
    done = commit(objects, facts(SLOT), DATA)
    index.append([IndexRow(done.document, done.version)])
    return objects, index, done.document


def problems(objects: Objects, index: Index) -> list[str]:
    return [finding.problem for finding in verify(objects, index)]


def test_a_whole_lake(lake_url: str) -> None:
    objects = Objects.open(lake_url)
    index = Index(objects)
    assert problems(objects, index) == []
    done = commit(objects, facts(SLOT), DATA)
    assert problems(objects, index) == ["not_in_index"]
    index.append([IndexRow(done.document, done.version)])
    assert problems(objects, index) == []
    objects.put_new(keys.asset_key(SLOT, "20200101T000000Z-0123456789abcdef", "0" * 64), b"orphan")
    assert problems(objects, index) == []


def test_what_can_happen_to_an_asset(lake: tuple[Objects, Index, dict[str, Any]]) -> None:
    objects, index, document = lake
    key = asset_key_of(document)
    objects.put(key, DATA[:-1] + b"!")
    assert problems(objects, index) == ["asset_checksum"]
    objects.put(key, DATA[:-1])
    assert problems(objects, index) == ["asset_size"]
    objects.delete(key)
    found = verify(objects, index)
    assert [finding.problem for finding in found] == ["asset_missing"]
    assert found[0].item == SLOT.id
    assert found[0].key == key
    assert verify(objects, index, [ICE]) == []
    assert len(verify(objects, index, [FARM])) == 1


def test_the_naive_order_is_found_out(tmp_path: Path) -> None:
    """An item before its asset, as a writer without the protocol would leave it when killed."""
    objects = Objects.open(str(tmp_path))
    document = build_item(facts(SLOT), new_attempt(facts(SLOT).created), 1)
    objects.put_new(keys.item_key(SLOT, 1), encode_document(document))
    assert problems(objects, Index(objects)) == ["asset_missing", "not_in_index"]


@pytest.mark.parametrize(
    "data", [b"", b"{half", b"[]", b"{}", b'{"properties": {}, "id": "other"}']
)
def test_a_broken_item(lake: tuple[Objects, Index, dict[str, Any]], data: bytes) -> None:
    objects, index, _ = lake
    objects.put(keys.item_key(SLOT, 1), data)
    assert problems(objects, index) == ["item_invalid"]


def test_an_item_that_points_elsewhere(lake: tuple[Objects, Index, dict[str, Any]]) -> None:
    objects, index, document = lake
    document["assets"]["data"]["href"] = "../../../../../../../../etc/passwd"
    objects.put(keys.item_key(SLOT, 1), encode_document(document))
    assert problems(objects, index) == ["item_invalid"]


def test_the_index_is_compared(lake: tuple[Objects, Index, dict[str, Any]]) -> None:
    objects, index, document = lake
    document["properties"]["eo:cloud_cover"] = 99.0
    objects.put(keys.item_key(SLOT, 1), encode_document(document))
    assert problems(objects, index) == ["index_differs"]
    objects.delete(keys.item_key(SLOT, 1))
    assert problems(objects, index) == ["item_missing"]


def test_a_retired_item_needs_no_asset(lake: tuple[Objects, Index, dict[str, Any]]) -> None:
    objects, index, document = lake
    stone = retire(objects, SLOT)
    assert stone is not None
    index.append([IndexRow(stone.document, stone.version)])
    objects.delete(asset_key_of(document))
    assert problems(objects, index) == []
