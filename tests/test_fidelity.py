"""The page of fidelity says what its figures say, and its comparisons see what they claim to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.fidelity import catalogue, report, run
from benchmarks.fidelity.bench import Bench
from benchmarks.fidelity.rows import Row

ENTRIES = report.load()
REQUIRED = {
    "half-pixel shift",
    "row flip",
    "geoid off",
    "offset applied twice",
    "qa 0.5 for NO2",
    "footprint centres only",
    "month one day short",
    "σ0 for γ0",
}
PRODUCTS = {
    "s2-l1c", "s2-l2a", "landsat-c2-l2", "s1-grd", "s1-rtc", "s3-olci-efr",
    "s5p-co", "s5p-no2", "s5p-o3", "s5p-so2", "dem-glo30",
}  # fmt: skip


def test_the_page_agrees_with_the_figures() -> None:
    assert report.PAGE.read_text(encoding="utf-8") == report.page(ENTRIES)


def test_every_row_is_met_and_every_mutation_caught() -> None:
    for entry in ENTRIES:
        if entry["met"] is None:
            assert entry["needs"], entry
            continue
        assert entry["met"] is True, entry
        assert entry["figure"] <= entry["tolerance"], entry
        assert entry["mutation_caught"] is True, entry
        if entry["mutated_figure"] is not None:
            assert entry["mutated_figure"] > entry["tolerance"], entry


def test_all_products_and_mutations_are_there() -> None:
    caught = {entry["mutation"] for entry in ENTRIES if entry["mutation_caught"]}
    assert caught >= REQUIRED
    assert {entry["product"] for entry in ENTRIES} == PRODUCTS


def test_the_figures_are_of_today_s_rows() -> None:
    def key(entry: dict[str, Any]) -> tuple[str, ...]:
        names = ("product", "place", "reference", "truth", "measure", "tolerance", "mutation")
        return tuple(entry[name] for name in names)

    today = [
        (row.product, row.place, row.reference, row.truth, m.name, m.tolerance, mutation.name)
        for row in catalogue.rows()
        for m in row.measures
        for mutation in m.mutations
    ]
    assert [key(entry) for entry in ENTRIES] == today


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Bench() as made:
        yield made


def named(product: str, place: str, reference: str) -> Row:
    (found,) = (
        row
        for row in catalogue.rows()
        if (row.product, row.place) == (product, place) and reference in row.reference
    )
    return found


CHEAP = [
    ("s5p-no2", "equator", "equal-area"),
    ("s5p-no2", "mid-latitude", "4 orbits"),
    ("s5p-no2", "mid-latitude", "December"),
    ("s3-olci-efr", "67° N", "Newton"),
    ("s1-grd", "45.6° N, a scene simulated by bisection", "targets"),
]


@pytest.mark.parametrize("row", [named(*key) for key in CHEAP], ids=lambda row: row.reference[:24])
def test_a_row_goes_red_under_its_mutations(row: Row, bench: Bench) -> None:
    results = list(run.run(row, bench))
    assert {result.mutation for result in results} == {one.name for one in row.mutations}
    for result in results:
        assert result.met, result
        assert result.mutation_caught, result
    again = row.compare(bench)
    for measure in row.measures:
        assert again[measure.name].value <= measure.tolerance, "a mutation has stayed behind"


def test_what_stays_green_does_not_count() -> None:
    entry = {**ENTRIES[0], "mutation_caught": False}
    assert report.counts([entry]).startswith("**no: green under ")
    assert report.counts([{**entry, "met": False}]) == "**no: not met**"
    assert report.counts([{**entry, "met": None, "needs": "harp"}]) == "not run: needs harp"
    assert report.counts([ENTRIES[0]]) == "yes"


def test_a_row_without_what_it_needs_is_not_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "is_here", lambda needs: not needs)
    row = next(row for row in catalogue.rows() if row.needs == "harp")
    results = list(run.run(row, bench))
    assert results
    assert all((r.figure, r.met, r.mutation_caught) == (None, None, None) for r in results)
    line = report.page([result.document for result in results])
    assert "not run: needs harp" in line
