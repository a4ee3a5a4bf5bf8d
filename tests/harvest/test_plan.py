"""Which product and which scenes a slot gets; what is not asked again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from shapely.geometry import box, mapping

from stac_lake.errors import ConfigError, ProviderUnavailable
from stac_lake.grid import Bounds, Cell, cell_at, patch_at
from stac_lake.harvest.choose import choose
from stac_lake.harvest.plan import (
    Known,
    Plan,
    plan_block,
    select,
    waves,
)
from stac_lake.harvest.planfile import row_from_json, row_to_json
from stac_lake.recipe import Product, SourceCollection, product, recipe
from stac_lake.types import Asset, Measure, Outcome, PlanRow, Scene, Window

RECIPE = recipe("copernicus-pretrain")
CELL = Cell(772176)
EVERYWHERE = json.loads(json.dumps(mapping(box(-180, -90, 180, 90))))


def scene(
    identifier: str, when: str, cloud: float = 5.0, epsg: int = 32615, **changes: Any
) -> Scene:
    moment = datetime.fromisoformat(when).replace(tzinfo=UTC)
    made = Scene(
        id=identifier, product="s2-l2a", provider="earth-search", collection="c", start=moment,
        end=moment, footprint=EVERYWHERE, assets={"B02": Asset("B02", "h", "earth-search", epsg)},
        acquisition=identifier, version="05.00", href="h", dn_offset=1000,
        properties={"eo:cloud_cover": cloud},
    )  # fmt: skip
    return replace(made, **changes)


@dataclass
class Shelf:
    """An upstream that holds a list of scenes per collection; counts what it is asked."""

    scenes: dict[str, list[Scene]] = field(default_factory=dict)
    keys: bool = True
    down: frozenset[str] = frozenset()
    asked: list[str] = field(default_factory=list)

    def missing_credentials(self, provider: str) -> str | None:
        return "CDSE_S3_ACCESS_KEY" if provider == "cdse" and not self.keys else None

    def search(
        self, product: Product, source: SourceCollection, boxes: Sequence[Bounds],
        windows: Sequence[Window], *, max_cloud_pct: float | None = None, limit: int | None = None,
    ) -> list[Scene]:  # fmt: skip
        self.asked.append(source.collection)
        if source.provider in self.down:
            raise ProviderUnavailable("503 after 5 tries", provider=source.provider)
        return [
            s
            for s in self.scenes.get(source.collection, [])
            if not windows or any(s.start in window for window in windows)
            if max_cloud_pct is None or s.properties["eo:cloud_cover"] <= max_cloud_pct
        ][:limit]


def plan(shelf: Shelf, modality: str, known: Known | None = None, cell: Cell = CELL) -> Plan:
    series = next(s for s in RECIPE.series if s.modality == modality)
    return plan_block(RECIPE, series, [cell], shelf, known or Known())


def by_slot(found: Plan) -> dict[str, PlanRow]:
    return {f"{row.slot.product} {row.slot.name}": row for row in found.rows}


def test_candidates_are_ordered_by_cloud_then_time() -> None:
    held = [
        scene("cloudy", "2022-06-21T12:00", cloud=19),
        scene("far", "2022-07-20T12:00", cloud=1),
        scene("near", "2021-06-22T12:00", cloud=1),
        scene("too-cloudy", "2022-06-21T12:00", cloud=21),
        scene("out-of-window", "2022-08-01T12:00", cloud=0),
        scene("foreign", "2022-06-21T12:00", cloud=0, epsg=32614),
    ]
    rows = by_slot(plan(Shelf({"sentinel-2-l1c": held}), "s2"))
    assert [s.id for s in rows["s2-l1c summer"].candidates] == ["near", "far", "cloudy"]
    assert rows["s2-l1c winter"].reason == "no_scene"


def test_foreign_grids_serve_only_where_no_native_one_does() -> None:
    shelf = Shelf({"sentinel-2-l1c": [scene("foreign", "2022-06-21T12:00", epsg=32614)]})
    assert [s.id for s in by_slot(plan(shelf, "s2"))["s2-l1c summer"].candidates] == ["foreign"]


def test_at_most_eight_candidates() -> None:
    held = [scene(f"s{i:02d}", "2022-06-21T12:00", cloud=i) for i in range(12)]
    row = by_slot(plan(Shelf({"sentinel-2-l1c": held}), "s2"))["s2-l1c summer"]
    assert [s.id for s in row.candidates] == [f"s{i:02d}" for i in range(8)]


def test_without_keys_l1c_becomes_l2a_under_its_own_id() -> None:
    held = [scene("a", "2022-06-21T12:00")]
    shelf = Shelf({"sentinel-2-c1-l2a": held, "sentinel-2-l1c": held}, keys=False)
    rows = by_slot(plan(shelf, "s2"))
    assert rows["s2-l2a summer"].candidates
    # What L2A does not have either stays under the product that was wanted, with what is missing.
    assert rows["s2-l1c winter"].reason == "credentials_missing(CDSE_S3_ACCESS_KEY)"
    assert "sentinel-2-l1c" not in shelf.asked


def test_reasons() -> None:
    elsewhere = dict(mapping(box(0, 0, 1, 1)))
    held = [
        scene("elsewhere", "2022-06-21T12:00", footprint=elsewhere),
        scene("overcast", "2022-03-20T12:00", cloud=90),
    ]
    rows = by_slot(plan(Shelf({"sentinel-2-l1c": held}), "s2"))
    assert rows["s2-l1c summer"].reason == "not_covered"
    assert rows["s2-l1c spring"].reason == "all_cloud"
    assert rows["s2-l1c winter"].reason == "no_scene"
    only_overcast = by_slot(plan(Shelf({"sentinel-2-l2a": held[1:]}, keys=False), "s2"))
    assert only_overcast["s2-l1c spring"].reason == "credentials_missing(CDSE_S3_ACCESS_KEY)"
    l2a = select(RECIPE, ["s2-l2a"])
    series = next(s for s in l2a.series if s.modality == "s2")
    found = plan_block(l2a, series, [CELL], Shelf({"sentinel-2-l2a": held[1:]}), Known())
    assert by_slot(found)["s2-l2a spring"].reason == "all_cloud"


def test_polar_cell_asks_for_the_year_and_records_the_night() -> None:
    rows = by_slot(plan(Shelf(), "s2", cell=Cell(123456)))
    assert rows["s2-l1c summer"].reason == "polar_night"
    assert rows["s2-l1c y2021"].reason == "no_scene"
    radar = by_slot(plan(Shelf(), "s1", cell=Cell(123456)))
    assert {name: row.reason for name, row in radar.items()} == {
        f"s1-grd {slot}": "no_scene" for slot in ("winter", "autumn", "y2021", "spring")
    }


def test_failover_is_recorded_and_unreachable_is_not_empty() -> None:
    held = [scene("a", "2022-06-21T12:00", provider="planetary-computer")]
    shelf = Shelf({"sentinel-2-l2a": held}, keys=False, down=frozenset({"earth-search"}))
    rows = by_slot(plan(shelf, "s2"))
    assert rows["s2-l2a summer"].candidates[0].provider == "planetary-computer"
    assert "503" in rows["s2-l2a summer"].providers_failed["earth-search"]
    alone = select(RECIPE, ["s2-l2a"])
    series = next(s for s in alone.series if s.modality == "s2")
    found = plan_block(alone, series, [CELL], shelf, Known())
    assert by_slot(found)["s2-l2a winter"].reason == "unreachable(earth-search)"


def test_stored_slots_are_skipped_before_any_search() -> None:
    shelf = Shelf({"sentinel-2-l1c": [scene("a", "2022-06-21T12:00")]})
    first = plan(shelf, "s2")
    stored = {row.slot.id: row.digest for row in first.rows}
    shelf.asked.clear()
    again = plan(shelf, "s2", Known(stored))
    assert not again.rows
    assert {o.state for o in again.settled} == {"skipped"}
    assert shelf.asked == []
    other = plan(shelf, "s2", Known(dict.fromkeys(stored, "another digest")))
    assert len(other.rows) == 4
    fresh = plan(shelf, "s2", Known(stored, refresh=True))
    assert len(fresh.rows) == 4


def test_an_empty_slot_is_not_searched_again() -> None:
    shelf = Shelf()
    tried = {
        r.slot.id: Outcome(r.slot.id, "empty", r.digest, r.reason) for r in plan(shelf, "s2").rows
    }
    shelf.asked.clear()
    again = plan(shelf, "s2", Known({}, tried))
    assert [o.reason for o in again.settled] == ["no_scene"] * 4
    assert shelf.asked == []
    assert len(plan(shelf, "s2", Known({}, tried, retry=True)).rows) == 4
    failed = {slot: replace(outcome, state="failed") for slot, outcome in tried.items()}
    assert len(plan(shelf, "s2", Known({}, failed)).rows) == 4


def test_a_credential_that_is_there_now_opens_the_slot() -> None:
    without = Shelf(keys=False)
    rows = plan(without, "s3").rows
    assert {row.reason for row in rows} == {"credentials_missing(CDSE_S3_ACCESS_KEY)"}
    tried = {r.slot.id: Outcome(r.slot.id, "empty", r.digest, r.reason) for r in rows}
    assert not plan(without, "s3", Known({}, tried)).rows
    assert len(plan(Shelf(), "s3", Known({}, tried)).rows) == 8


def test_the_better_product_is_made_when_its_keys_arrive() -> None:
    held = [scene("a", "2022-06-21T12:00")]
    both = {"sentinel-2-c1-l2a": held, "sentinel-2-l1c": held}
    stored = {r.slot.id: r.digest for r in plan(Shelf(both, keys=False), "s2").rows}
    kept = plan(Shelf(both, keys=False), "s2", Known(stored))
    assert {o.slot.split("_")[0] for o in kept.settled if o.state == "skipped"} >= {"s2-l2a"}
    assert "s2-l1c summer" in by_slot(plan(Shelf(both), "s2", Known(stored)))


def test_a_product_searched_in_vain_is_not_searched_again_where_another_serves() -> None:
    shelf = Shelf({"sentinel-2-c1-l2a": [scene("a", "2022-06-21T12:00")]})
    first = plan(shelf, "s2")
    assert [(o.slot.split("_")[0], o.reason) for o in first.passed] == [("s2-l1c", "no_scene")]
    stored = {r.slot.id: r.digest for r in first.rows if r.candidates}
    empty = [Outcome(r.slot.id, "empty", r.digest, r.reason) for r in first.rows if r.reason]
    tried = {o.slot: o for o in (*first.passed, *empty)}
    shelf.asked.clear()
    again = plan(shelf, "s2", Known(stored, tried))
    assert sorted(o.state for o in again.settled) == ["empty", "empty", "empty", "skipped"]
    assert shelf.asked == []
    plan(shelf, "s2", Known(stored, tried, retry=True))
    assert "sentinel-2-l1c" in shelf.asked


def test_sea_is_a_plan_row_without_candidates() -> None:
    rows = by_slot(plan(Shelf(), "dem", cell=cell_at(-150, 0)))
    assert rows["dem-glo30 static"].reason is None
    assert rows["dem-glo30 static"].candidates == ()


def test_glo90_is_asked_only_for_missing_tiles() -> None:
    def tile(lon: int, lat: int, name: str) -> Scene:
        area = dict(mapping(box(lon, lat, lon + 1, lat + 1)))
        return scene(f"{name}{lon}{lat}", "2021-04-22T00:00", product="dem-glo30", footprint=area)

    cell = cell_at(10.0, 45.5)  # spans 9.875 … 10.125
    fine, coarse = [tile(9, 45, "f")], [tile(9, 45, "c"), tile(10, 45, "c")]
    shelf = Shelf({"cop-dem-glo-30": fine, "cop-dem-glo-90": coarse})
    row = by_slot(plan(shelf, "dem", cell=cell))["dem-glo30 static"]
    assert [s.id for s in row.candidates] == ["f945", "c1045"]
    whole = Shelf({"cop-dem-glo-30": [tile(9, 45, "f"), tile(10, 45, "f")]})
    plan(whole, "dem", cell=cell)
    assert whole.asked == ["cop-dem-glo-30"]


def test_reprocessed_gas_is_asked_before_the_switch_and_operational_after() -> None:
    shelf = Shelf()
    plan(shelf, "no2")
    assert shelf.asked == ["sentinel-5p-l2-no2-rpro"]


def test_rows_survive_a_file() -> None:
    shelf = Shelf({"sentinel-2-l1c": [scene("a", "2022-06-21T12:00")]})
    for row in plan(shelf, "s2").rows:
        assert row_from_json(row_to_json(row)) == row
        assert row_from_json(row_to_json(row)).candidates == row.candidates
    with pytest.raises(ConfigError, match="not a plan row"):
        row_from_json("{}")


def test_select_keeps_the_paired_series() -> None:
    with pytest.raises(ConfigError, match="unknown product"):
        select(RECIPE, ["s1-rtd"])
    only = select(RECIPE, ["s1-rtc"])
    series = next(s for s in only.series if s.modality == "s1")
    found = plan_block(only, series, [CELL], Shelf(), Known())
    assert {row.slot.name for row in found.rows} == {"winter", "autumn", "summer", "spring"}


def test_waves_are_blocks_but_of_columns_thirty_degrees() -> None:
    cells = [Cell(i) for i in range(1440 * 12)]
    several = [series for series in RECIPE.series if series.modality in {"s2", "no2", "so2"}]
    found = list(waves(several, reversed(cells)))
    for modality, most in (("s2", 100), ("no2", 1440), ("so2", 1440)):
        groups = [group for group, kept in found if modality in {s.modality for s in kept}]
        assert sorted(cell for group in groups for cell in group) == cells
        assert max(len(group) for group in groups) == most
    assert len(found) == 144 * 2 + 12 * 2  # blocks in two rows, and two gases of twelve folders


def test_one_block_is_one_wave() -> None:
    several = list(RECIPE.series)
    assert list(waves(several, [CELL, Cell(CELL.id + 1)])) == [([CELL, Cell(CELL.id + 1)], several)]


ROW = PlanRow(
    replace(plan(Shelf(), "s2").rows[0].slot, patch=patch_at(-96, 44)),
    (), "d", tuple(scene(n, "2022-06-21T12:00") for n in "abcd"),
)  # fmt: skip


def test_choose_takes_the_least_crop_cloud_of_those_that_see_all() -> None:
    measures = {
        "a": Measure("a", 100, cloud_pct=30),
        "b": Measure("b", 99.9, cloud_pct=0),
        "c": Measure("c", 100, cloud_pct=2),
        "d": Measure("d", 0, error="503"),
    }
    choice = choose(product("s2-l1c"), ROW, measures)
    assert [s.id for s in choice.scenes] == ["c", "a"]
    assert choice.losers["b"].startswith("not_covered")
    assert choice.losers["d"] == "503"
    assert "30.00 %" in choice.losers["a"]


def test_choose_ties_keep_the_plan_order() -> None:
    measures = {n: Measure(n, 100, cloud_pct=1) for n in "dcba"}
    assert [s.id for s in choose(product("s2-l1c"), ROW, measures).scenes] == list("abcd")


@pytest.mark.parametrize(
    ("measures", "reason"),
    [
        ([Measure(n, 50) for n in "abcd"], "not_covered"),
        ([Measure(n, 100, cloud_pct=100) for n in "abcd"], "all_cloud"),
    ],
)
def test_choose_names_why_nothing_is_left(measures: list[Measure], reason: str) -> None:
    choice = choose(product("s2-l1c"), ROW, {m.scene: m for m in measures})
    assert choice.reason == reason
    assert set(choice.losers) == set("abcd")


def test_olci_needs_sun() -> None:
    row = replace(ROW, candidates=ROW.candidates[:2])
    measures = {
        "a": Measure("a", 100, bright_pct=0, sun_zenith_deg=80),
        "b": Measure("b", 100, bright_pct=60, sun_zenith_deg=60),
    }
    choice = choose(product("s3-olci-efr"), row, measures)
    assert [s.id for s in choice.scenes] == ["b"]
    assert "80.0" in choice.losers["a"]


def test_windows_are_half_open() -> None:
    window = Window(datetime(2021, 1, 1, tzinfo=UTC), datetime(2021, 2, 1, tzinfo=UTC))
    assert window.start in window
    assert window.end not in window
    assert window.last == window.end - timedelta(milliseconds=1)
