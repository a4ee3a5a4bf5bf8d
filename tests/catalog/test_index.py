from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import crash
import duckdb
import pyarrow.parquet as pq
import pytest
from made_items import ATTEMPT, DATA, FARM, ICE, facts, slot_of

from stac_lake.catalog.commit import commit, retire
from stac_lake.catalog.datafiles import DataFiles
from stac_lake.catalog.index import Index, IndexRow
from stac_lake.catalog.item import build_item
from stac_lake.catalog.rows import SCHEMA, geoparquet, morton, table_of
from stac_lake.errors import CatalogError, InvalidItem
from stac_lake.grid import Cell, cell_at
from stac_lake.store.objects import Objects
from stac_lake.types import Slot

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ("s3_fixtures",)

SLOTS = [slot_of("s2-l2a"), slot_of("s5p-co"), slot_of("dem-glo30", ICE)]


def rows_of(slots: list[Slot], version: int = 1) -> list[IndexRow]:
    return [IndexRow(build_item(facts(slot), ATTEMPT, version), version) for slot in slots]


def current(index: Index, version: int | None = None) -> dict[str, int]:
    found = index.connection(version).execute("SELECT id, version FROM items").fetchall()
    assert len(found) == len(dict(found)), "an item is there twice"
    return dict(found)


def test_an_empty_lake_has_the_columns_and_no_rows(lake_url: str) -> None:
    index = Index(Objects.open(lake_url))
    assert index.version is None
    assert index.files() == []
    assert current(index) == {}
    names = [row[0] for row in index.connection().execute("DESCRIBE items").fetchall()]
    assert set(SCHEMA.names) <= set(names)
    assert index.append([]) is None
    assert list(index.objects.list("")) == []


def test_versions_supersede_and_tombstones_retire(lake_url: str) -> None:
    index = Index(Objects.open(lake_url))
    first = index.append(rows_of(SLOTS))
    assert current(index) == {slot.id: 1 for slot in SLOTS}
    stone = build_item(facts(SLOTS[1]), ATTEMPT, 2)
    stone["properties"]["deprecated"] = True
    second = index.append([*rows_of(SLOTS[:1], 2), IndexRow(stone, 2), *rows_of(SLOTS[2:])])
    assert current(index) == {SLOTS[0].id: 2, SLOTS[2].id: 1}
    assert current(index, first) == {slot.id: 1 for slot in SLOTS}
    assert index.version == second
    with pytest.raises(CatalogError, match="no version 99"):
        index.connection(99)


def test_the_item_is_the_stored_document(lake_url: str) -> None:
    objects = Objects.open(lake_url)
    done = commit(objects, facts(SLOTS[0]), DATA)
    index = Index(objects)
    index.append([IndexRow(done.document, done.version)])
    text = index.connection().execute("SELECT item FROM items").fetchall()[0][0]
    stored = next(info.key for info in objects.list("cells/") if "/items/" in info.key)
    assert text.encode() == objects.get(stored)


def test_columns_can_be_asked_for(tmp_path: Path) -> None:
    index = Index(Objects.open(str(tmp_path)))
    index.append(rows_of(SLOTS))
    found = index.connection().execute(
        'SELECT id FROM items WHERE "eo:cloud_cover" < ? AND "time" >= ?::TIMESTAMPTZ '
        "AND list_contains(instruments, 'msi')",
        [3, "2021-03-04T00:00:00Z"],
    )
    assert found.fetchall() == [(SLOTS[0].id,)]
    span = index.connection().execute(
        'SELECT epoch_ms("time"), epoch_ms(time_end) FROM items WHERE "lake:product" = $p',
        {"p": "s5p-co"},
    )
    assert span.fetchall() == [(1614556800000, 1617235199999)]


def test_a_connection_reads_nothing_else(tmp_path: Path) -> None:
    index = Index(Objects.open(str(tmp_path / "lake")))
    index.append(rows_of(SLOTS))
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    cursor = index.connection()
    for text in (
        f"SELECT * FROM read_csv('{secret}')",
        f"COPY (SELECT 1) TO '{tmp_path}/out.csv'",
        f"ATTACH '{tmp_path}/other.db'",
        "SET enable_external_access = true",
        "INSTALL spatial",
    ):
        with pytest.raises(duckdb.Error):
            cursor.execute(text)


def test_a_data_file_is_geoparquet(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    island = slot_of("dem-glo30", cell_at(180, -17))
    path.write_bytes(geoparquet(table_of(rows_of([*SLOTS, island]))))
    geo = json.loads(pq.read_schema(path).metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    column = geo["columns"][geo["primary_column"]]
    assert column["encoding"] == "WKB"
    assert column["geometry_types"] == ["MultiPolygon", "Polygon"]
    assert column["covering"]["bbox"]["ymax"] == ["bbox", "ymax"]
    box = {row["cell"]: row["bbox"] for row in pq.read_table(path).to_pylist()}[island.cell.id]
    assert box["xmin"] > box["xmax"]


def test_files_of_an_older_release_lack_columns(tmp_path: Path) -> None:
    index = Index(Objects.open(str(tmp_path)))
    old = table_of(rows_of(SLOTS[:1])).drop_columns(["lake:valid_pct", "instruments"])
    names = [name for name in SCHEMA.names if name in old.column_names]
    index.log.commit([index.data.put(old.select(names))], "append")
    found = index.connection().execute('SELECT "lake:valid_pct", instruments, id FROM items')
    assert found.fetchall() == [(None, None, SLOTS[0].id)]
    index.append(rows_of(SLOTS[1:]))
    found = index.connection().execute('SELECT count("lake:valid_pct"), count(*) FROM items')
    assert found.fetchall() == [(2, 3)]


def test_reconcile_adds_what_is_missing(lake_url: str) -> None:
    objects = Objects.open(lake_url)
    index = Index(objects)
    done = [commit(objects, facts(slot), DATA) for slot in SLOTS]
    index.append([IndexRow(done[0].document, 1)])
    assert index.reconcile([FARM]) == 1
    assert current(index) == {SLOTS[0].id: 1, SLOTS[1].id: 1}
    assert index.reconcile([FARM, ICE]) == 1
    version = index.version
    assert index.reconcile([FARM, ICE]) == 0
    assert index.version == version
    retire(objects, SLOTS[0])
    assert index.reconcile([FARM]) == 1
    assert SLOTS[0].id not in current(index)
    assert index.reconcile([FARM]) == 0


def test_rebuild_restores_the_present(lake_url: str) -> None:
    objects = Objects.open(lake_url)
    index = Index(objects)
    assert index.rebuild() == 0
    for digest in ("a" * 16, "b" * 16):
        commit(objects, facts(SLOTS[0], digest=digest), DATA)
    commit(objects, facts(SLOTS[2]), DATA)
    index.append(rows_of([slot_of("s5p-so2")]))
    before = index.version
    assert index.rebuild() == 2
    assert current(index) == {SLOTS[0].id: 2, SLOTS[2].id: 1}
    assert current(index, before) == {slot_of("s5p-so2").id: 1}


def at_once(what: str, url: str, writers: int) -> None:
    """Run so many writers in processes of their own; see `crash.main`."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", crash.__file__, what, url, str(writers)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        check=True,
    )
    assert json.loads(done.stdout) == [0] * writers


def test_writers_lose_nothing(lake_url: str) -> None:
    writers, commits = 4, 5
    at_once("append", lake_url, writers)
    index = Index(Objects.open(lake_url))
    assert len(current(index)) == writers * commits
    assert index.version == writers * commits - 1


def test_unconditional_writers_would_lose_some(lake_url: str) -> None:
    """The control: as many writers, once by create-only PUTs and once by PUTs that overwrite."""
    objects = Objects.open(lake_url)
    for what, lossless in (("log", True), ("overwrite", False)):
        at_once(what, lake_url, 4)
        bodies = {objects.get(info.key) for info in objects.list("log/")}
        assert (len(bodies) == 100) == lossless
        for info in list(objects.list("log/")):
            objects.delete(info.key)


def test_a_bad_document_adds_nothing(tmp_path: Path) -> None:
    index = Index(Objects.open(str(tmp_path)))
    bad = rows_of(SLOTS[:1])[0]
    del bad.document["geometry"]
    with pytest.raises(InvalidItem, match=SLOTS[0].id):
        index.append([*rows_of(SLOTS[1:]), bad])
    assert index.version is None


def test_it_pickles(lake_url: str) -> None:
    index = Index(Objects.open(lake_url))
    index.append(rows_of(SLOTS))
    assert current(pickle.loads(pickle.dumps(index))) == current(index)


def test_copies_of_an_s3_lake_are_bounded(make_bucket, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    objects = Objects.open(make_bucket())
    index = Index(objects, tmp_path / "copies")
    for slot in SLOTS:
        index.append(rows_of([slot]))
    files = DataFiles(objects, tmp_path / "copies", limit=1)
    names = index.files()
    for name in names:
        assert [path.rsplit("/", 1)[1] for path in files.paths([name])] == [name]
    assert [path.name for path in (tmp_path / "copies").iterdir()] == [name]
    assert len(current(index)) == 3


def test_morton_order_is_the_interleaving_of_bits() -> None:
    for cell in (0, 1, 1440, 772176, 721 * 1440 - 1):
        row, column = divmod(cell, 1440)
        bits = "".join(a + b for a, b in zip(f"{row:011b}", f"{column:011b}", strict=True))
        assert morton(cell) == int(bits, 2)


def test_rows_are_sorted_by_place_and_time() -> None:
    slots = [replace(slot_of("s5p-co", Cell(cell)), name="x") for cell in (1440, 0, 1441, 1)]
    ids = table_of(rows_of(slots))["cell"].to_pylist()
    assert ids == [0, 1, 1440, 1441]
