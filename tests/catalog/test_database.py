"""The same answers from memory as from the data files, loaded on request or by being asked."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from made_items import ATTEMPT, ICE, facts, slot_of

from stac_lake.catalog import database
from stac_lake.catalog.index import OPEN_VERSIONS, Index, IndexRow
from stac_lake.catalog.item import build_item
from stac_lake.catalog.search import Search, search
from stac_lake.store.objects import Objects

if TYPE_CHECKING:
    from pathlib import Path

SLOTS = [slot_of("s2-l2a"), slot_of("s5p-co"), slot_of("dem-glo30", ICE)]


def _row(number: int, version: int) -> IndexRow:
    return IndexRow(build_item(facts(SLOTS[number]), ATTEMPT, version), version)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """The first item replaced, the second retired, the third added twice by two writers."""
    made = Index(Objects.open(str(tmp_path)))
    made.append([_row(0, 1), _row(1, 1), _row(2, 1)])
    stone = _row(1, 2)
    stone.document["properties"]["deprecated"] = True
    made.append([_row(0, 2), stone])
    made.append([_row(2, 1)])
    return made


def _rows(index: Index, view: str) -> list[tuple[Any, ...]]:
    sql = f"SELECT id, version, cell, epoch_us(time), bbox::VARCHAR FROM {view} ORDER BY id"
    return index.connection().execute(sql).fetchall()


def test_loaded_rows_are_the_current_ones(index: Index) -> None:
    expected = _rows(index, "items")
    assert [(row[0], row[1]) for row in expected] == [(SLOTS[2].id, 1), (SLOTS[0].id, 2)]
    index.load()
    index.load()
    assert _rows(index, "places") == _rows(index, "items") == expected


def test_searches_answer_from_memory_as_from_files(index: Index) -> None:
    asked = [
        Search(),
        Search(sortby=["-eo:cloud_cover"]),
        Search(ids=[slot.id for slot in SLOTS]),
        Search(collections=[SLOTS[0].cell.collection_id, "era5-1", "nowhere"]),
        Search(bbox=SLOTS[0].cell.bbox, datetime="2020-01-01T00:00:00Z/.."),
        Search(filter='"lake:product" = \'s2-l2a\' OR "proj:epsg" IS NULL'),
    ]
    before = [search(index, wanted) for wanted in asked]
    index.load()
    assert [search(index, wanted) for wanted in asked] == before
    assert any(page.items for page in before)


def test_what_is_appended_later_is_another_version(index: Index) -> None:
    index.load()
    before = index.version
    index.append([_row(1, 3)])
    assert {row[0] for row in _rows(index, "places")} == {slot.id for slot in SLOTS}
    assert search(index, Search(version=before)).matched == 2
    assert search(index, Search()).matched == 3


def test_a_version_asked_for_repeatedly_is_loaded(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOAD_ROWS", range(1, 100))
    expected = _rows(index, "items")
    for _ in range(database.LOAD_AFTER):
        index.connection().close()
    for thread in threading.enumerate():
        if thread.name == "stac-lake-index":
            thread.join()
    plan = index.connection().execute("EXPLAIN SELECT id FROM places").fetchall()
    assert "READ_PARQUET" not in str(plan).upper()
    assert _rows(index, "places") == expected


def test_the_version_asked_for_last_stays_open(index: Index) -> None:
    index.load(0)
    kept = index.connection(0)
    for _ in range(OPEN_VERSIONS):
        index.connection(0)
        index.append([_row(1, 3)])
        index.connection()
    assert kept.execute("SELECT count(*) FROM places").fetchall() == [(3,)]
    plan = index.connection(0).execute("EXPLAIN SELECT id FROM places").fetchall()
    assert "READ_PARQUET" not in str(plan).upper()
