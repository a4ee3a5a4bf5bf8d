"""The commands: what they print, where, and with which exit code they end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Program
from tests.harvest import small
from tests.harvest.small import DEM, NO2, RTC, RTC_SPRING

SLOTS = {RTC, RTC_SPRING, DEM}
FOUR = ("stored", "skipped", "empty", "failed")


def test_grid_show_and_find(stac_lake: Program) -> None:
    shown = stac_lake("grid", "show", "123456", "--json")
    assert shown.code == 0
    facts = json.loads(shown.out)
    assert (facts["lon"], facts["lat"]) == (84.0, -68.75)
    assert facts["bounds"] == [83.875, -68.875, 84.125, -68.625]
    assert facts["code"] == "ERA5-0123456"
    both = stac_lake("grid", "show", "123456,ERA5-0772176", "--json")
    assert [json.loads(line)["id"] for line in both.out.splitlines()] == [123456, 772176]
    found = stac_lake("grid", "find", "-96", "44", "--json")
    assert json.loads(found.out)["id"] == 772176
    assert "ERA5-0772176" in stac_lake("grid", "find", "--", "-96", "44").out


def test_harvest_json_ends_with_one_object(
    stac_lake: Program, origin: str, recipe_file: str, disk: str
) -> None:
    place = ("--grid", "772176", "--lake", disk, "--upstream", origin, "--recipe", recipe_file)
    ended = stac_lake("harvest", *place, "--product", "s1-rtc", "--product", "dem-glo30", "--json")
    assert ended.code == 0
    (line,) = ended.out.splitlines()
    report = json.loads(line)
    assert report == {
        "stored": 3, "skipped": 0, "empty": 0, "failed": 0,
        "products": {
            "dem-glo30": {"stored": 1, "skipped": 0, "empty": 0, "failed": 0},
            "s1-rtc": {"stored": 2, "skipped": 0, "empty": 0, "failed": 0},
        },
    }  # fmt: skip
    assert "published" in ended.err
    # The same as a table, in a run that changes nothing.
    table = stac_lake("harvest", *place, "--product", "s1-rtc", "--product", "dem-glo30")
    lines = [line.split() for line in table.out.splitlines()]
    assert lines[0] == ["product", *FOUR]
    assert lines[-1] == ["all", "0", "3", "0", "0"]
    fresh = stac_lake("harvest", *place, "--product", "dem-glo30", "--refresh", "--json")
    assert json.loads(fresh.out)["stored"] == 1
    assert set(small.items(disk)) == {f"{slot}/1" for slot in SLOTS} | {f"{DEM}/2"}


def test_dry_run_and_plan_write_nothing(
    stac_lake: Program, origin: str, recipe_file: str, disk: str, tmp_path: Path
) -> None:
    place = ("--grid", "772176", "--lake", disk, "--upstream", origin, "--recipe", recipe_file)
    dry = stac_lake("harvest", *place, "--product", "s1-rtc", "--dry-run", "--json")
    assert dry.code == 0
    summary = json.loads(dry.out)
    assert (summary["items"], summary["settled"], summary["empty"]) == (2, 0, 0)
    assert summary["scenes"] == 3
    listed = stac_lake("plan", *place, "--product", "s1-rtc")
    rows = dict(line.split("\t") for line in listed.out.splitlines())
    assert rows == {RTC: "2 candidates", RTC_SPRING: "1 candidates"}
    assert not Path(disk).exists()


def test_a_locked_plan_is_executed_as_it_is(
    stac_lake: Program, sandbox: str, arm: object, recipe_file: str, disk: str, tmp_path: Path
) -> None:
    out = tmp_path / "plan.jsonl"
    recipe = ("--recipe", recipe_file)
    place = ("--lake", disk, "--upstream", sandbox)
    chosen = ("--product", "s1-rtc", "--product", "dem-glo30")
    planned = stac_lake(
        "plan", "--grid", "772176", *recipe, *place, *chosen, "--out", str(out), "--lock"
    )
    assert planned.code == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert {row["slot"] for row in rows} == SLOTS
    assert {len(row["candidates"]) for row in rows if row["slot"] != DEM} == {1}
    locked = {row["slot"]: row["candidates"][0]["id"] for row in rows if row["slot"] != DEM}
    assert not Path(disk).exists()
    # No search is needed any more: with the API gone, the files are enough.
    arm(kind="unavailable", path="/search$")  # type: ignore[operator]
    ended = stac_lake("harvest", "--plan", str(out), *recipe, *place, "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["stored"] == 3
    for slot, scene in locked.items():
        assert small.item(disk, slot)["properties"]["lake:upstream_id"] == scene
    again = stac_lake("harvest", "--plan", str(out), *recipe, *place, "--json")
    assert json.loads(again.out)["skipped"] == 3
    fresh = stac_lake("harvest", "--plan", str(out), *recipe, *place, "--refresh", "--json")
    assert json.loads(fresh.out)["stored"] == 3


def test_plan_files_that_are_none(stac_lake: Program, disk: str, tmp_path: Path) -> None:
    missing = stac_lake("harvest", "--plan", str(tmp_path / "none.jsonl"), "--lake", disk)
    assert missing.code == 2
    assert "none.jsonl" in missing.err
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text('{"slot": "nonsense"}\n')
    ended = stac_lake("harvest", "--plan", str(wrong), "--lake", disk)
    assert ended.code == 2
    assert "not a plan row" in ended.err


def test_status_and_retry(
    stac_lake: Program, filled: str, disk: str, origin: str, recipe_file: str
) -> None:
    told = stac_lake("status", "--lake", filled)
    assert told.code == 0
    assert told.out.splitlines() == ["dem-glo30\tstored\t1", "s1-rtc\tstored\t2"]
    lines = [
        json.loads(s) for s in stac_lake("status", "--lake", filled, "--json").out.splitlines()
    ]
    assert {line["slot"] for line in lines} == SLOTS
    assert all(line["scene"] and line["provider"] for line in lines)
    nothing = stac_lake("status", "--lake", disk)
    assert nothing.code == 4
    again = stac_lake("retry", "--lake", filled, "--recipe", recipe_file)
    assert again.code == 4
    assert "nothing to retry" in again.err


@pytest.mark.usefixtures("quick", "keys")
def test_retry_takes_up_what_failed(
    stac_lake: Program, sandbox: str, arm: object, recipe_file: str, disk: str
) -> None:
    arm(kind="unavailable", path="/cdse/", times=3)  # type: ignore[operator]
    place = ("--lake", disk, "--upstream", sandbox, "--recipe", recipe_file)
    place = (*place, "--product", "s5p-no2")
    failed = stac_lake("harvest", "--grid", "772176", *place, "--json")
    assert failed.code == 3
    assert json.loads(failed.out)["failed"] == 1
    assert "503" in failed.err
    assert "stac-lake retry" in failed.err
    told = stac_lake("status", "--lake", disk)
    assert told.out.startswith("s5p-no2\tfailed\t1\tunreachable(cdse)")
    retried = stac_lake("retry", *place, "--json")
    assert retried.code == 0
    assert json.loads(retried.out)["stored"] == 1
    assert set(small.items(disk)) == {f"{NO2}/1"}


def test_query(stac_lake: Program, filled: str) -> None:
    place = ("--lake", filled)
    assert stac_lake("query", *place, "--count").out == "3\n"
    valid = ("query", "lake:valid_pct >= 95", "--grid", "772176")
    assert set(stac_lake(*valid, *place).out.split()) == SLOTS
    radar = stac_lake(*valid, "--product", "s1-rtc", *place, "--json").out.splitlines()
    assert {json.loads(line)["id"] for line in radar} == {RTC, RTC_SPRING}
    collected = json.loads(stac_lake("query", "--geojson", "--limit", "1", *place).out)
    assert (collected["type"], len(collected["features"])) == ("FeatureCollection", 1)
    none = stac_lake("query", "lake:valid_pct > 100", "--count", *place)
    assert (none.code, none.out) == (4, "0\n")
    clouds = stac_lake("query", "eo:cloud_cover < 10", "--count", *place)
    assert clouds.code == 4
    assert "dem-glo30" in clouds.err
    assert "s1-rtc" in clouds.err
    wrong = stac_lake("query", "eo:cloud_cover <", *place)
    assert wrong.code == 2
    assert stac_lake("query", "--bbox", "1,2,x", *place).code == 2


def test_verify(stac_lake: Program, origin: str, recipe_file: str, disk: str) -> None:
    small.run(disk, origin, recipe_file, "s1-rtc")
    good = stac_lake("verify", "--lake", disk)
    assert (good.code, good.out) == (0, "")
    path = small.tif(disk, RTC)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(data)
    bad = stac_lake("verify", "--deep", "--lake", disk, "--json")
    assert bad.code == 3
    (line,) = bad.out.splitlines()
    finding = json.loads(line)
    assert (finding["problem"], finding["item"]) == ("asset_checksum", RTC)
    assert "--refresh" in finding["detail"]


def test_publish_and_doctor(stac_lake: Program, filled: str, origin: str) -> None:
    assert stac_lake("publish", "--lake", filled).code == 0
    root = json.loads(Path(filled, "catalog.json").read_text())
    assert root["type"] == "Catalog"
    checked = stac_lake("doctor", "--lake", filled, "--upstream", origin, "--json")
    assert checked.code == 0
    lines = [json.loads(line) for line in checked.out.splitlines()]
    assert all(line["ok"] for line in lines)
    by_name = {line["what"]: line["detail"] for line in lines}
    for name in ("earth-search", "planetary-computer", "cdse"):
        assert "HTTP 200" in by_name[name]
    assert by_name["cdse keys"] == "CDSE_S3_ACCESS_KEY is not set"
    assert not Path(filled, "doctor").exists() or not any(Path(filled, "doctor").iterdir())


def test_doctor_names_what_is_wrong(stac_lake: Program, quick: None, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    checked = stac_lake(
        "doctor",
        "--lake",
        str(tmp_path / "file/lake"),
        "--upstream",
        "http://127.0.0.1:9",
        "--json",
    )
    assert checked.code == 1
    lines = [json.loads(line) for line in checked.out.splitlines()]
    wrong = {line["what"] for line in lines if not line["ok"]}
    assert {"earth-search", "planetary-computer", "cdse"} <= wrong
    assert any(what.startswith("lake ") for what in wrong)


def test_version_and_help(stac_lake: Program) -> None:
    from stac_lake import __version__

    assert stac_lake("--version").out == f"stac-lake {__version__}\n"
    told = stac_lake("--help")
    assert told.code == 0
    for command in (
        "grid", "plan", "harvest", "status", "retry", "query", "verify", "publish", "serve",
        "sandbox", "demo", "doctor",
    ):  # fmt: skip
        assert command in told.out
