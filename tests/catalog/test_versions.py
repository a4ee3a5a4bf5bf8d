"""Versions of the index: the log, compaction beside writers, and what garbage collection leaves."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from made_items import ATTEMPT, ICE, facts, slot_of

import stac_lake.catalog.compact as compact_module
from stac_lake.catalog.commit import commit, retire
from stac_lake.catalog.compact import compact, is_scattered
from stac_lake.catalog.garbage import collect, garbage
from stac_lake.catalog.index import Index, IndexRow
from stac_lake.catalog.item import build_item
from stac_lake.catalog.rows import morton
from stac_lake.catalog.search import Search, search
from stac_lake.errors import CatalogError, CommitConflict, KeyMissing
from stac_lake.store import keys
from stac_lake.store.objects import Objects
from stac_lake.types import Slot

pytest_plugins = ("s3_fixtures",)

LATER = timedelta(days=400)


def slots(count: int) -> list[Slot]:
    return [replace(slot_of("s5p-co", cell), name=f"n{n}") for n in range(count) for cell in (ICE,)]


def rows_of(made: list[Slot], version: int = 1) -> list[IndexRow]:
    return [IndexRow(build_item(facts(slot), ATTEMPT, version), version) for slot in made]


def answer(index: Index, version: int | None = None) -> list[dict[str, Any]]:
    return search(index, Search(limit=1000, version=version)).items


def history(index: Index) -> list[tuple[str, int]]:
    found = index.connection().execute("SELECT id, version FROM versions").fetchall()
    return sorted(found)


def test_the_log_tells_each_commit(lake_url: str) -> None:
    index = Index(Objects.open(lake_url))
    assert index.log.entries() == []
    index.append(rows_of(slots(3)))
    index.append(rows_of(slots(1), 2))
    compact(index)
    told = [
        (e.version, e.operation, e.rows, e.files_added, e.files_removed)
        for e in index.log.entries()
    ]
    assert told == [(2, "compact", 4, 1, 2), (1, "append", 1, 1, 0), (0, "append", 3, 1, 0)]
    newest, *_, first = index.log.entries()
    assert len(index.log.entries(limit=1)) == 1
    assert index.log.version_at(newest.time) == 2
    assert index.log.version_at(first.time) == 0
    with pytest.raises(CatalogError, match="no version from"):
        index.log.version_at(first.time - timedelta(seconds=1))


def test_compaction_changes_no_answer_of_any_version(lake_url: str) -> None:
    index = Index(Objects.open(lake_url))
    made = slots(6)
    for slot in made:
        index.append(rows_of([slot]))
    index.append(rows_of(made[:2], 2))
    index.append(rows_of(made[:2], 2))  # the same rows again, as two harvesters would
    stone = build_item(facts(made[5]), ATTEMPT, 2)
    stone["properties"]["deprecated"] = True
    index.append([IndexRow(stone, 2)])
    before = {version: answer(index, version) for version in range(9)}
    rows = history(index)
    assert compact(index) == 9
    assert len(index.files()) == 1
    again = Index(index.objects)
    assert answer(again) == before[8]
    assert {version: answer(again, version) for version in range(9)} == before
    assert history(again) == sorted(set(rows))
    assert compact(again) == 0


def test_a_compacted_file_is_sorted_geoparquet(tmp_path: Path) -> None:
    index = Index(Objects.open(str(tmp_path)))
    for slot in [slot_of("dem-glo30", ICE), slot_of("s2-l2a"), slot_of("dem-glo30")]:
        index.append(rows_of([slot]))
    compact(index)
    (name,) = index.files()
    path = tmp_path / "index" / name
    geo = json.loads(pq.read_schema(path).metadata[b"geo"])
    assert geo["columns"]["geometry"]["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]
    rows = pq.read_table(path, columns=["cell", "time", "id"]).to_pylist()
    order = [(morton(row["cell"]), row["time"], row["id"]) for row in rows]
    assert order == sorted(order)


def test_appends_go_on_beside_compaction(lake_url: str) -> None:
    index = Index(Objects.open(lake_url))
    many = 12
    stop = threading.Event()
    failures: list[BaseException] = []

    def append(writer: int) -> None:
        try:
            own = Index(Objects.open(lake_url))
            for number in range(many):
                own.append(rows_of([replace(slot_of("s5p-co"), name=f"w{writer}n{number}")]))
        except BaseException as error:
            failures.append(error)

    def keep_compacting() -> None:
        own = Index(Objects.open(lake_url))
        while not stop.is_set():
            try:
                compact(own)
            except CommitConflict:
                continue
            except BaseException as error:
                failures.append(error)
                return

    writers = [threading.Thread(target=append, args=(n,)) for n in range(2)]
    compactors = [threading.Thread(target=keep_compacting) for _ in range(2)]
    for thread in (*writers, *compactors):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in compactors:
        thread.join()
    assert failures == []
    expected = {f"w{writer}n{number}" for writer in range(2) for number in range(many)}
    found = [item["properties"]["lake:slot"] for item in answer(index)]
    assert sorted(found) == sorted(expected)
    assert any(entry.operation == "compact" for entry in index.log.entries())


def test_large_files_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compact_module, "SMALL_ROWS", 3)
    monkeypatch.setattr(compact_module, "MAX_ROWS", 4)
    monkeypatch.setattr(compact_module, "MANY", 3)
    index = Index(Objects.open(str(tmp_path)))
    made = slots(13)
    for start, stop in ((0, 5), (5, 7), (7, 9), (9, 11), (11, 12)):
        index.append(rows_of(made[start:stop]))
    assert is_scattered(index)
    large = [name for name, rows in index.log.files().items() if rows == 5]
    assert compact(index) == 4
    assert sorted(index.log.files().values()) == [3, 4, 5]
    assert set(large) <= set(index.files())
    assert not is_scattered(index)
    assert len(answer(index)) == 12


def put(objects: Objects, slot: Slot, data: bytes, digest: str) -> str:
    """Commit an item; returns the key of its asset."""
    made = facts(slot, data=data, digest=digest)
    done = commit(objects, made, data)
    return next(
        info.key
        for info in objects.list(keys.cell_prefix(slot.cell))
        if "/assets/" in info.key and info.key.endswith(f"{made.sha256[:16]}.tif") and done.won
    )


def test_garbage_is_what_no_retained_version_names(lake_url: str) -> None:
    objects = Objects.open(lake_url)
    index = Index(objects)
    one, other, gone = slots(3)
    old = put(objects, one, b"first", "a" * 16)
    index.reconcile([ICE])
    new = put(objects, one, b"second", "b" * 16)
    kept = put(objects, other, b"kept", "a" * 16)
    retired = put(objects, gone, b"gone", "a" * 16)
    index.reconcile([ICE])
    retire(objects, gone)
    index.reconcile([ICE])
    compact(index)
    young = f"{keys.cell_prefix(ICE)}assets/{one.id}/{ATTEMPT}/{'0' * 16}.tif"
    orphan = young.replace("20260102T030405Z", "20200102T030405Z")
    objects.put_new(orphan, b"of an attempt that died")
    young = young.replace(ATTEMPT, f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{'0' * 16}")
    objects.put_new(young, b"of an attempt that runs")

    def found(**options: Any) -> set[str]:
        return {info.key for info in garbage(objects, index, **options)}

    # Everything of an item is retained with the versions that show it.
    assert found() == {orphan}
    # Much later, only the newest version is.
    assert found(now=datetime.now(UTC) + LATER) == {
        orphan, young, old, retired,
        *(keys.INDEX + name for v in range(3) for name in index.files(v)),
    }  # fmt: skip
    count, size = collect(objects, index)
    assert (count, size) == (1, len(b"of an attempt that died"))
    for key in (old, new, kept, retired, young):
        assert objects.get(key)
    with pytest.raises(KeyMissing):
        objects.get(orphan)


def test_a_pinned_version_gives_the_same_bytes(lake_url: str) -> None:
    objects = Objects.open(lake_url)
    index = Index(objects)
    slot = slots(1)[0]
    put(objects, slot, b"first", "a" * 16)
    index.reconcile([ICE])
    pinned = index.version
    before = answer(index, pinned)
    put(objects, slot, b"second", "b" * 16)
    index.reconcile([ICE])
    compact(index)
    collect(objects, index)
    again = Index(Objects.open(lake_url))
    assert answer(again, pinned) == before
    assert answer(again) != before
    (item,) = before
    key = item["assets"]["data"]["href"].removeprefix(again.objects.url + "/")
    assert again.objects.get(key) == b"first"


def test_items_that_the_index_has_not_heard_of_are_kept(tmp_path: Path) -> None:
    objects = Objects.open(str(tmp_path))
    index = Index(objects)
    index.append(rows_of([slot_of("dem-glo30")]))
    asset = put(objects, slots(1)[0], b"of a harvest that was killed", "a" * 16)
    found = {info.key for info in garbage(objects, index, now=datetime.now(UTC) + LATER)}
    assert asset not in found
