"""The exact ledger of a polar cell, and the ledger's and the plan's lines in files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stac_lake.harvest.ledger import Ledger
from stac_lake.harvest.plan import select
from stac_lake.harvest.planfile import row_from_json, row_to_json
from stac_lake.harvest.run import Harvest
from stac_lake.harvest.task import Context
from stac_lake.recipe import Recipe, recipe
from stac_lake.store.objects import Objects
from stac_lake.types import Asset, Outcome, PlanRow, Scene, Slot, Window
from tests.harvest import small
from tests.harvest.small import POLAR

GOLDEN = Path(__file__).parents[1] / "golden"
PATCH = "32745-037740-237190"
MONTHS = [f"2021-{month:02d}" for month in range(1, 13)]
FULL = recipe("copernicus-pretrain")
PRODUCTS = ("s2-l1c", "s2-l2a", "s1-grd", "s1-rtc", "s3-olci-efr", "s5p-no2")

S2 = {
    f"s2-l1c_0123456_{PATCH}_winter": "stored",
    f"s2-l1c_0123456_{PATCH}_autumn": "stored",
    f"s2-l1c_0123456_{PATCH}_summer": "empty: polar_night",
    f"s2-l1c_0123456_{PATCH}_y2021": "stored",
    f"s2-l1c_0123456_{PATCH}_spring": "stored",
}
S1 = {
    # Summer is not asked for: y2021 takes its place for both sensors of the patch.
    f"s1-grd_0123456_{PATCH}_{name}": "stored"
    for name in ("winter", "autumn", "y2021", "spring")
}
S3 = {f"s3-olci-efr_0123456_b{n}": "empty: no_scene" if n == 4 else "stored" for n in range(1, 9)}
NO2 = {
    f"s5p-no2_0123456_{month}": {"2021-06": "empty: polar_night"}.get(
        month,
        # The sun is under 10° and every pixel's qa below the threshold, but there are granules.
        "empty: not_covered" if month in {"2021-04", "2021-05", "2021-07", "2021-08"} else "stored",
    )
    for month in MONTHS
}


CANDIDATES = {"s2": 2, "s3": 3}
"""As few as fill every slot that more would fill: the same ledger at a third of the expense."""


def few() -> Recipe:
    """The published recipe with fewer candidates per slot."""
    kept = select(FULL, PRODUCTS)
    series = tuple(
        s.model_copy(update={"max_candidates": CANDIDATES.get(s.modality, s.max_candidates)})
        for s in kept.series
    )
    return kept.model_copy(update={"series": series})


@pytest.fixture(scope="module")
def polar(origin: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harvest]:
    lake = str(tmp_path_factory.mktemp("polar") / "lake")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in small.KEYS.items():
            patch.setenv(name, value)
        harvest = Harvest(Context(lake, origin), few(), workers=4)
        harvest.run([POLAR])
        yield harvest


def told(state: str, reason: str | None) -> str:
    return f"{state}: {reason}" if reason else state


def test_the_ledger_of_the_polar_cell(polar: Harvest) -> None:
    found = {
        slot: told(entry.outcome.state, entry.outcome.reason)
        for slot, entry in polar.ledger.read([POLAR]).items()
    }
    assert found == S2 | S1 | S3 | NO2


def test_what_is_stored_is_what_the_ledger_says(polar: Harvest) -> None:
    wanted = {slot for slot, state in (S2 | S1 | S3 | NO2).items() if state == "stored"}
    documents = small.items(polar.objects.url)
    assert set(documents) == {f"{slot}/1" for slot in wanted}
    entries = polar.ledger.read([POLAR])
    for slot in wanted:
        outcome = entries[slot].outcome
        properties = documents[f"{slot}/1"]["properties"]
        assert outcome.scene == properties["lake:upstream_id"]
        assert (outcome.provider, outcome.version) == (properties["lake:provider"], 1)
        assert outcome.digest == properties["lake:recipe_digest"]
    annual = documents[f"s2-l1c_0123456_{PATCH}_y2021/1"]["properties"]
    assert "2020-09-21" <= annual["datetime"] < "2021-09-16"
    assert small.problems(polar.objects.url) == []


def test_a_second_run_settles_all_without_a_line(polar: Harvest) -> None:
    before = small.snapshot(polar.objects.url)
    report = polar.run([POLAR])
    counts = report.counts()
    states = list((S2 | S1 | S3 | NO2).values())
    assert counts["skipped"] == states.count("stored")
    assert counts["empty"] == len(states) - states.count("stored")
    assert (counts["stored"], counts["failed"]) == (0, 0)
    assert small.snapshot(polar.objects.url) == before


def test_the_whole_recipe_plans_the_same_slots(sandbox: str, disk: str, keys: None) -> None:
    """With all its candidates and gases: what needs no pixels to be known."""
    harvest = Harvest(Context(disk, sandbox), FULL)
    rows = [row for _, block in harvest.plan([POLAR]) for row in block.rows]
    reasons = {row.slot.id: row.reason for row in rows}
    gases = {
        slot.replace("no2", gas): state
        for gas in ("co", "no2", "o3", "so2")
        for slot, state in NO2.items()
    }
    expected = S2 | S1 | S3 | gases | {"dem-glo30_0123456_static": "stored"}
    assert set(reasons) == set(expected)
    by_pixels = {"stored": None, "empty: not_covered": None}
    assert reasons == {
        slot: by_pixels.get(state, state.removeprefix("empty: "))
        for slot, state in expected.items()
    }
    seasons = [row for row in rows if row.slot.product == "s2-l1c" and row.reason is None]
    assert all(1 <= len(row.candidates) <= 8 for row in seasons)
    assert not Path(disk).exists()  # a plan writes nothing


def golden_row() -> PlanRow:
    moment = datetime(2021, 6, 21, 17, 29, 6, 24000, tzinfo=UTC)
    grid = {"epsg": 32615, "transform": (10.0, 0.0, 199980.0, 0.0, -10.0, 4900020.0)}
    scene = Scene(
        id="S2A_T15TTJ_20210621T172906_L2A",
        product="s2-l2a",
        provider="earth-search",
        collection="sentinel-2-c1-l2a",
        start=moment,
        end=moment,
        footprint={"type": "Point", "coordinates": [-96.0, 44.0]},
        assets={
            "B04": Asset("B04", "https://example.org/B04.tif", "earth-search",
                         shape=(10980, 10980), **grid)  # type: ignore[arg-type]
        },
        acquisition="s2a-20210621T172906-15TTJ",
        version="05.00",
        href="https://example.org/item.json",
        dn_offset=1000,
        properties={"eo:cloud_cover": 12.5, "platform": "sentinel-2a"},
    )  # fmt: skip
    return PlanRow(
        slot=Slot.from_id(small.L2A),
        windows=(Window(datetime(2021, 5, 22, tzinfo=UTC), datetime(2021, 7, 21, tzinfo=UTC)),),
        digest="0123456789abcdef",
        candidates=(scene,),
        superseded={"S2A_older": "superseded by S2A_T15TTJ_20210621T172906_L2A"},
        providers_failed={"cdse": "503 after 5 tries"},
    )


def check_golden(name: str, document: Any) -> None:
    """Compare with the committed text; ``UPDATE_GOLDEN=1`` writes it."""
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    assert json.loads(path.read_text()) == document


def test_golden_plan_row() -> None:
    row = golden_row()
    line = row_to_json(row)
    check_golden("plan-row.json", json.loads(line))
    again = row_from_json(line)
    assert again == row
    assert again.candidates[0].assets == row.candidates[0].assets
    assert again.candidates[0].footprint == row.candidates[0].footprint
    assert (again.superseded, again.providers_failed) == (row.superseded, row.providers_failed)


def test_golden_ledger_row(disk: str) -> None:
    outcome = Outcome(
        small.L2A, "stored", "0123456789abcdef", scene="S2A_T15TTJ_20210621T172906_L2A",
        provider="earth-search", losers={"S2B": "not_covered: 61.00 % observed"}, version=1,
    )  # fmt: skip
    ledger = Ledger(Objects.open(disk))
    moment = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    last: dict[str, Any] = {}
    assert ledger.write([outcome], last, moment) == 1
    (path,) = Path(disk, "ledger/n42.5_w097.5/0772176").iterdir()
    (line,) = path.read_text().splitlines()
    check_golden("ledger-row.json", json.loads(line))
    read = ledger.read()
    assert read == last
    assert read[small.L2A].outcome.losers == outcome.losers
    # The same again, or skipped, is no news; another outcome is.
    assert ledger.write([outcome, replace(outcome, state="skipped")], read, moment) == 0
    later = replace(outcome, state="failed", reason="503", version=None)
    assert ledger.write([later], read, moment.replace(year=2027)) == 1
    assert ledger.read()[small.L2A].outcome == later
