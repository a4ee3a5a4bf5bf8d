"""Providers that do not answer, files that are damaged, tokens that have expired."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from stac_lake.harvest.failover import count_once
from stac_lake.types import Outcome
from tests.harvest import small
from tests.harvest.small import DEM, L1C, L2A, NO2, RTC, RTC_SPRING

pytestmark = pytest.mark.usefixtures("quick")
Arm = Callable[..., None]


def properties(lake: str, slot: str) -> dict[str, Any]:
    found: dict[str, Any] = small.item(lake, slot)["properties"]
    return found


@pytest.mark.parametrize(
    "path", ["/earth-search/v1/search", "/earth-search/s3/"], ids=["search", "files"]
)
def test_the_next_provider_serves_and_the_item_says_so(
    sandbox: str, arm: Arm, recipe_file: str, disk: str, path: str
) -> None:
    arm(kind="unavailable", path=path)
    report = small.run(disk, sandbox, recipe_file, "s2-l2a")
    assert small.states(report) == {L2A: "stored"}
    assert report.outcomes[L2A].provider == "planetary-computer"
    stored = properties(disk, L2A)
    assert stored["lake:provider"] == "planetary-computer"
    assert stored["lake:failed_over_from"] == ["earth-search"]
    assert report.counts()["failed"] == 0
    assert small.problems(disk) == []


def test_heights_come_from_the_next_provider(
    sandbox: str, arm: Arm, recipe_file: str, disk: str
) -> None:
    arm(kind="unavailable", path="/earth-search/s3/")
    assert small.states(small.run(disk, sandbox, recipe_file, "dem-glo30")) == {DEM: "stored"}
    assert properties(disk, DEM)["lake:failed_over_from"] == ["earth-search"]


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("path", ["/cdse/v1/search", "/cdse/s3/"], ids=["search", "files"])
def test_the_next_product_of_the_series_counts_once(
    sandbox: str, arm: Arm, recipe_file: str, disk: str, path: str
) -> None:
    arm(kind="unavailable", path=path)
    report = small.run(disk, sandbox, recipe_file, "s2-l1c", "s2-l2a")
    assert small.states(report) == {L2A: "stored"}
    assert report.counts() == {
        "stored": 1, "skipped": 0, "empty": 0, "failed": 0,
        "products": {"s2-l2a": {"stored": 1, "skipped": 0, "empty": 0, "failed": 0}},
    }  # fmt: skip
    assert properties(disk, L2A)["lake:failed_over_from"] == ["cdse"]
    # Nothing got better: nothing is written.
    before = small.snapshot(disk)
    again = small.run(disk, sandbox, recipe_file, "s2-l1c", "s2-l2a")
    assert small.states(again) == {L2A: "skipped"}
    assert small.snapshot(disk) == before


@pytest.mark.usefixtures("keys")
def test_when_nobody_can_serve_the_first_choice_is_failed(
    sandbox: str, arm: Arm, recipe_file: str, disk: str
) -> None:
    arm(kind="unavailable", path="/(s3|blob)/")
    report = small.run(disk, sandbox, recipe_file, "s2-l1c", "s2-l2a")
    assert small.states(report) == {L1C: "failed"}
    assert "503" in (report.outcomes[L1C].reason or "")
    assert small.items(disk) == {}
    requests.post(f"{sandbox}/_sandbox/reset", timeout=30)
    assert small.states(small.run(disk, sandbox, recipe_file, "s2-l1c", "s2-l2a")) == {
        L1C: "stored"
    }


def best_scene(sandbox: str, recipe_file: str, tmp_path: Path) -> tuple[str, str]:
    """Of two candidates of Sentinel-1: the one that an undisturbed harvest takes, and the other."""
    report = small.run(str(tmp_path / "undisturbed"), sandbox, recipe_file, "s1-rtc")
    outcome = report.outcomes[RTC]
    assert outcome.scene
    (other,) = outcome.losers
    return outcome.scene, other


# A byte in the middle of an answer belongs to a compressed tile; one that no decoder minds is
# possible, so the header (the first bytes of the file) is hit.
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "truncated"},
        {"kind": "short_connection"},
        {"kind": "missing_asset"},
        {"kind": "unavailable"},
        {"kind": "flipped_byte", "position": 0.0},
    ],
    ids=lambda fault: str(fault["kind"]),
)
def test_a_damaged_scene_loses_to_the_next(
    sandbox: str, arm: Arm, recipe_file: str, disk: str, tmp_path: Path, fault: dict[str, Any]
) -> None:
    best, other = best_scene(sandbox, recipe_file, tmp_path)
    arm(path=f"/blob/.*{best.removesuffix('_rtc')}", **fault)
    report = small.run(disk, sandbox, recipe_file, "s1-rtc")
    assert small.states(report) == {RTC: "stored", RTC_SPRING: "stored"}
    assert report.outcomes[RTC].scene == other
    assert report.outcomes[RTC].losers[best]
    ledger = small.job(disk, sandbox, recipe_file).ledger.read()
    assert ledger[RTC].outcome.losers == report.outcomes[RTC].losers
    assert properties(disk, RTC)["lake:upstream_id"] == other
    assert small.problems(disk) == []


def test_a_flipped_byte_of_the_pixels_is_seen(
    sandbox: str, arm: Arm, recipe_file: str, disk: str, tmp_path: Path
) -> None:
    """Checksums of deflate see it while bands are cut, after the mask had been read well."""
    taken = small.run(str(tmp_path / "undisturbed"), sandbox, recipe_file, "s2-l2a").outcomes[L2A]
    assert taken.scene
    (other,) = taken.losers
    tile = taken.scene.split("_")[2][:8]
    day = f"{int(tile[:4])}/{int(tile[4:6])}/"
    arm(kind="flipped_byte", path=f"/earth-search/s3/.*{day}.*{tile}.*/B04.tif", position=0.02)
    outcome = small.run(disk, sandbox, recipe_file, "s2-l2a").outcomes[L2A]
    assert (outcome.state, outcome.scene) == ("stored", other)
    assert "BadRaster" in outcome.losers[taken.scene]


def test_expired_tokens_are_renewed(sandbox: str, arm: Arm, recipe_file: str, disk: str) -> None:
    arm(kind="expired_sas", times=2)
    report = small.run(disk, sandbox, recipe_file, "s1-rtc")
    assert small.states(report) == {RTC: "stored", RTC_SPRING: "stored"}
    (fault,) = requests.get(f"{sandbox}/_sandbox/faults", timeout=30).json()["faults"]
    assert fault["fired"] >= 1


@pytest.mark.usefixtures("keys")
def test_an_unreachable_provider_fails_and_is_retried(
    sandbox: str, arm: Arm, recipe_file: str, disk: str
) -> None:
    arm(kind="unavailable", path="/cdse/")
    report = small.run(disk, sandbox, recipe_file, "s5p-no2")
    assert small.states(report) == {NO2: "failed"}
    assert "unreachable(cdse)" in (report.outcomes[NO2].reason or "")
    assert "503" in (report.outcomes[NO2].reason or "")
    requests.post(f"{sandbox}/_sandbox/reset", timeout=30)
    assert small.states(small.run(disk, sandbox, recipe_file, "s5p-no2")) == {NO2: "stored"}


@pytest.mark.usefixtures("keys")
def test_a_mean_does_without_a_granule_that_is_gone(
    sandbox: str, arm: Arm, recipe_file: str, disk: str, tmp_path: Path
) -> None:
    whole = str(tmp_path / "whole")
    small.run(whole, sandbox, recipe_file, "s5p-no2")
    links = [k["title"] for k in small.item(whole, NO2)["links"] if k["rel"] == "derived_from"]
    assert len(links) > 1
    arm(kind="missing_asset", path=f"/cdse/s3/.*{links[0]}")
    report = small.run(disk, sandbox, recipe_file, "s5p-no2")
    assert small.states(report) == {NO2: "stored"}
    assert "AssetMissing" in report.outcomes[NO2].losers[links[0]]
    assert properties(disk, NO2)["lake:upstream_count"] == len(links) - 1


def outcome(slot: str, state: Any) -> Outcome:
    return Outcome(slot, state, "d")


@pytest.mark.parametrize(
    ("states", "kept"),
    [
        (["failed", "stored"], "b"),
        (["failed", "failed"], "a"),
        (["failed", "empty"], "a"),
        (["failed", "failed", "skipped"], "c"),
    ],
)
def test_one_outcome_per_place(states: list[str], kept: str) -> None:
    slots = ["a", "b", "c"][: len(states)]
    outcomes = {s: outcome(s, state) for s, state in zip(slots, states, strict=True)}
    count_once(outcomes, [*slots, slots[-1]])
    assert set(outcomes) == {kept}
