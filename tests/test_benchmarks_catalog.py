"""The figures of the catalogue, their page, and the items that they are measured on."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.catalog.__main__ import FIGURES, PAGE, page
from benchmarks.catalog.asks import asks, loop, ours, scan, write_listing
from benchmarks.catalog.items import tables
from benchmarks.results import load, table
from stac_lake.catalog.index import Index
from stac_lake.catalog.rows import SCHEMA, IndexRow, table_of
from stac_lake.store.objects import Objects

ITEMS = 1500


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    made = Index(Objects.open(str(tmp_path_factory.mktemp("lake"))))
    for part in tables(ITEMS, rows=1000):
        made.log.commit([made.data.put(part)], "append")
    return made


def test_every_figure_has_what_a_reader_needs() -> None:
    entries = load(FIGURES)
    assert entries
    for entry in entries:
        assert set(entry) == {"name", "figure", "unit", "against", "goal", "met", "command"}
        assert entry["figure"] > 0
        assert entry["unit"]
        assert entry["command"] == "python -m benchmarks.catalog"
        assert (entry["met"] is None) == (entry["goal"] == "")
    assert len({entry["name"] for entry in entries}) == len(entries)


def test_the_page_says_what_the_figures_say() -> None:
    entries = load(FIGURES)
    text = PAGE.read_text(encoding="utf-8")
    assert text.endswith("\n\n" + table(entries))
    assert text.splitlines()[0] == page(entries).splitlines()[0]
    assert "make bench-catalog" in text


def test_made_columns_are_those_of_the_made_documents() -> None:
    (made,) = tables(700, rows=700)
    assert made.schema.equals(SCHEMA)
    documents = [json.loads(text) for text in made["item"].to_pylist()]
    expected = table_of([IndexRow(document, 1) for document in documents])
    assert made.drop_columns(["item"]).equals(expected.drop_columns(["item"]))
    assert len(set(made["id"].to_pylist())) == 700


def test_made_items_are_skewed_and_some_cells_lack_a_modality() -> None:
    made = pa.concat_tables(tables(6400))
    assert len(made) == 6400
    years = [moment.year for moment in made["datetime"].to_pylist() if moment]
    assert years.count(2022) > years.count(2020)
    clouds = [cloud for cloud in made["eo:cloud_cover"].to_pylist() if cloud is not None]
    assert sum(cloud < 10 for cloud in clouds) > len(clouds) / 2
    have: dict[int, set[str]] = {}
    for cell, product in zip(
        made["cell"].to_pylist(), made["lake:product"].to_pylist(), strict=True
    ):
        have.setdefault(cell, set()).add(product)
    assert 0 < sum(len(found) < 8 for found in have.values()) < len(have) / 2


@pytest.mark.parametrize("loaded", [False, True], ids=["on disk", "in memory"])
def test_all_engines_answer_alike(index: Index, tmp_path: Path, loaded: bool) -> None:
    asked = Index(index.objects)
    if loaded:
        asked.load()
    write_listing(asked, tmp_path / "listing.json")
    engines = [scan(asked), loop(tmp_path / "listing.json")]
    mine = ours(asked)
    answered = 0
    for name, some in asks(asked, 6, 1).items():
        for ask in some:
            found = mine(ask)
            answered += len(found)
            if ask.kind == "page":
                continue
            for engine in engines:
                assert set(found) == set(engine(ask)), name
    assert answered


def test_a_page_in_the_middle_follows_the_pages_before(index: Index) -> None:
    questions = asks(index, 1, 1)
    middle = questions["page N/2, 100 items in order"][0]
    keys = pa.concat_tables(
        [
            pq.read_table(path, columns=["cell", "time", "id"])
            for path in index.data.paths(index.files())
        ]
    )
    order = sorted(zip(*(keys[name].to_pylist() for name in keys.column_names), strict=True))
    assert middle.offset == ITEMS // 2
    assert ours(index)(middle) == [key[2] for key in order[middle.offset : middle.offset + 100]]
