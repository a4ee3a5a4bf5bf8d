"""Questions about cells, against a count of slots by hand."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lake_items import Spec, document
from shapely.geometry import box, mapping, shape

from stac_lake.catalog.cell_search import CellSearch, count_cells, search_cells
from stac_lake.catalog.index import Index, IndexRow
from stac_lake.errors import ConfigError, QueryError
from stac_lake.grid import Cell, cell_at, patch_at
from stac_lake.recipe import product
from stac_lake.store.objects import Objects

SEASONS = ("winter", "autumn", "summer", "spring")
CELLS = [cell_at(lon, lat) for lon in (-180.0, -60.25, 12.5, 179.75) for lat in (-16.75, 0.25, 51)]
SERIES = {
    "s1-grd": SEASONS,
    "s1-rtc": SEASONS,
    "s2-l1c": SEASONS,
    "s2-l2a": SEASONS,
    "s3-olci-efr": tuple(f"b{n}" for n in range(1, 9)),
    **{f"s5p-{gas}": tuple(f"2021-{m:02d}" for m in range(1, 13)) for gas in ("co", "no2", "o3")},
    "s5p-so2": tuple(f"2021-{m:02d}" for m in range(1, 13)),
    "dem-glo30": ("static",),
}
FIRST = {"s1-grd", "s2-l1c", "s3-olci-efr", "s5p-co", "s5p-no2", "s5p-o3", "s5p-so2", "dem-glo30"}
LENGTH = {"s1": 4, "s2": 4, "s3": 8, "co": 12, "no2": 12, "o3": 12, "so2": 12, "dem": 1}


def made_up() -> list[Spec]:
    """Cells from full to nearly empty: two patches with the series of each at random."""
    chance = random.Random(7)
    specs = []
    for number, cell in enumerate(CELLS):
        share = 1.0 if number < 3 else chance.uniform(0.2, 1.0)
        patches = [patch_at(cell.lon, cell.lat), patch_at(cell.lon + 0.06, cell.lat + 0.06)]
        for name, slots in SERIES.items():
            if number > 2 and chance.random() < 0.25:
                continue
            modality = product(name).modality
            for patch in patches if modality in {"s1", "s2"} else [None]:
                for month, slot in enumerate(slots):
                    if chance.random() > share:
                        continue
                    when = datetime(2021, 1 + month, 2, tzinfo=UTC)
                    values: dict[str, Any] = {"lake:valid_pct": 100.0}
                    if modality == "s2":
                        values["eo:cloud_cover"] = float(chance.randrange(0, 20))
                    end = when + timedelta(days=20) if name.startswith("s5p") else None
                    specs.append(Spec(name, cell, slot, when, values, patch, end=end))
    return specs


SPECS = made_up()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    made = Index(Objects.open(str(tmp_path_factory.mktemp("cells"))))
    made.append([IndexRow(document(spec), 1) for spec in SPECS[::2]])
    made.append([IndexRow(document(spec), 1) for spec in SPECS[1::2]])
    return made


def by_hand(specs: list[Spec], accepted: set[str]) -> dict[Cell, dict[str, int]]:
    """Counts of a cell: most slots of one patch, complete series, pairs, patches, items."""
    filled: dict[Cell, dict[tuple[str, Any], set[str]]] = defaultdict(lambda: defaultdict(set))
    items: dict[Cell, int] = defaultdict(int)
    for spec in specs:
        if spec.product in accepted:
            filled[spec.cell][product(spec.product).modality, spec.patch].add(spec.name)
            items[spec.cell] += 1
    counts = {}
    for cell, series in filled.items():
        line = dict.fromkeys(LENGTH, 0) | {f"{m}_complete": 0 for m in LENGTH}
        for (modality, _), slots in series.items():
            line[modality] = max(line[modality], len(slots))
            line[f"{modality}_complete"] += len(slots) == LENGTH[modality]
        patches = {patch for _, patch in series if patch}
        line["patches"] = len(patches)
        line["paired"] = sum(
            all(len(series.get((m, patch), ())) == 4 for m in ("s1", "s2")) for patch in patches
        )
        line["items"] = items[cell]
        counts[cell] = line
    return counts


@pytest.mark.parametrize("accept", [(), ("s1-rtc",), ("s2-l2a", "s1-rtc")])
def test_counts_are_those_by_hand(index: Index, accept: tuple[str, ...]) -> None:
    answer = search_cells(index, CellSearch(accept=accept))
    expected = by_hand(SPECS, FIRST | set(accept))
    assert [one.cell for one in answer.cells] == sorted(expected)
    for one in answer.cells:
        found = dict(one.slots) | {f"{m}_complete": n for m, n in one.complete.items()}
        found |= {"patches": one.patches, "paired": one.paired, "items": one.items}
        assert {name: found[name] for name in expected[one.cell]} == expected[one.cell]
    assert set(answer.not_counted) == {"s1-rtc", "s2-l2a"} - set(accept)


@pytest.mark.parametrize("accept", [(), ("s2-l2a", "s1-rtc")])
@pytest.mark.parametrize("without", [(), ("s3",), ("s1", "so2")])
def test_aligned_has_every_modality_but_those_left_out(
    index: Index, accept: tuple[str, ...], without: tuple[str, ...]
) -> None:
    wanted = CellSearch(aligned=True, accept=accept, without=without)
    counts = by_hand(SPECS, FIRST | set(accept))
    expected = [c for c, n in counts.items() if all(n[m] for m in LENGTH if m not in without)]
    assert [one.cell for one in search_cells(index, wanted).cells] == sorted(expected)
    assert count_cells(index, wanted) == len(expected)
    assert 0 < len(expected) < len(counts)


def test_having_compares_counts(index: Index) -> None:
    having = "s3 >= 6 AND s2 >= 4 AND (paired >= 1 OR co_complete = 1)"
    expected = [
        cell
        for cell, n in by_hand(SPECS, FIRST).items()
        if n["s3"] >= 6 and n["s2"] >= 4 and (n["paired"] >= 1 or n["co_complete"] == 1)
    ]
    answer = search_cells(index, CellSearch(having=having))
    assert [one.cell for one in answer.cells] == sorted(expected)
    assert expected


def test_where_counts_only_items_that_match(index: Index) -> None:
    wanted = CellSearch(where="eo:cloud_cover < 10", accept=("s2-l2a",), having="s2 >= 3")
    clear = [s for s in SPECS if s.properties.get("eo:cloud_cover", 100) < 10]
    expected = [c for c, n in by_hand(clear, FIRST | {"s2-l2a"}).items() if n["s2"] >= 3]
    answer = search_cells(index, wanted)
    assert [one.cell for one in answer.cells] == sorted(expected)
    assert set(answer.not_applied) == FIRST - {"s2-l1c"}


def test_a_filter_per_product_leaves_the_others_counted(index: Index) -> None:
    answer = search_cells(index, CellSearch(where={"s2-l1c": "eo:cloud_cover < 10"}))
    kept = [s for s in SPECS if s.product != "s2-l1c" or s.properties["eo:cloud_cover"] < 10]
    expected = by_hand(kept, FIRST)
    assert {one.cell: one.items for one in answer.cells} == {
        cell: n["items"] for cell, n in expected.items()
    }
    assert answer.not_applied == ()


def test_four_patches_on_one_date_are_no_series(tmp_path: Any) -> None:
    cell = cell_at(10, 50)
    corners = [(9.95, 49.95), (10.05, 49.95), (9.95, 50.05), (10.05, 50.05)]
    moment = datetime(2021, 7, 1, tzinfo=UTC)
    made = Index(Objects.open(str(tmp_path)))
    made.append(
        [
            IndexRow(document(Spec("s2-l1c", cell, "summer", moment, {}, patch_at(*corner))), 1)
            for corner in corners
        ]
    )
    (one,) = search_cells(made, CellSearch()).cells
    assert (one.items, one.patches, one.slots["s2"], one.complete["s2"]) == (4, 4, 1, 0)
    assert not search_cells(made, CellSearch(having="s2 >= 4")).cells


def test_place_and_time(index: Index) -> None:
    area = [179.8, -20, -179.9, 60]  # over the antimeridian
    parts = [box(179.8, -20, 180, 60), box(-180, -20, -179.9, 60)]
    expected = sorted(
        cell for cell in CELLS if any(shape(cell.footprint).intersects(part) for part in parts)
    )
    assert [c.cell for c in search_cells(index, CellSearch(bbox=area)).cells] == expected
    assert len(expected) == 6
    within = {"op": "s_intersects", "args": [{"property": "geometry"}, mapping(parts[1])]}
    found = search_cells(index, CellSearch(having=within)).cells
    assert [c.cell for c in found] == sorted(
        cell for cell in CELLS if shape(cell.footprint).intersects(parts[1])
    )
    late = search_cells(index, CellSearch(datetime="2021-12-10/..")).cells
    months = {s.cell for s in SPECS if s.name == "2021-12" and s.product in FIRST}
    assert {one.cell for one in late} == months


def test_pages_by_cell(index: Index) -> None:
    every = [one.cell for one in search_cells(index, CellSearch()).cells]
    found: list[Cell] = []
    while True:
        after = found[-1].id if found else -1
        page = search_cells(index, CellSearch(after=after, limit=5)).cells
        found += [one.cell for one in page]
        if len(page) < 5:
            break
    assert found == every
    assert count_cells(index, CellSearch(after=every[3].id, limit=2)) == len(every)


def test_as_of_a_version(index: Index) -> None:
    answer = search_cells(index, CellSearch(version=0))
    assert {one.cell: one.items for one in answer.cells} == {
        cell: n["items"] for cell, n in by_hand(SPECS[::2], FIRST).items()
    }


def test_an_empty_lake_has_no_cells(tmp_path: Any) -> None:
    index = Index(Objects.open(str(tmp_path)))
    assert search_cells(index, CellSearch()).cells == []
    assert count_cells(index, CellSearch(aligned=True)) == 0


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        ({"having": "s4 > 1"}, QueryError),
        ({"having": "eo:cloud_cover > 1"}, QueryError),
        ({"having": "s2 > 'x'"}, QueryError),
        ({"having": "s2; DROP TABLE series"}, QueryError),
        ({"where": "s2 >= 4"}, QueryError),
        ({"accept": ("s2-l3",)}, ConfigError),
        ({"aligned": True, "without": ("s9",)}, ConfigError),
        ({"bbox": [0, 0, 1]}, QueryError),
    ],
)
def test_what_is_wrong_is_refused(
    index: Index, wanted: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        search_cells(index, CellSearch(**wanted))
