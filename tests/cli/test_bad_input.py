"""What users and machines do wrong: one clear message, the right exit code, no debris."""

from __future__ import annotations

import json
import resource
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Ended, Program
from tests.harvest import small
from tests.harvest.small import DEM, L2A, RTC, RTC_SPRING

NOWHERE = "http://127.0.0.1:9"


def one_line(ended: Ended) -> str:
    """The message: the last line, and no traceback before it."""
    assert "Traceback" not in ended.err
    return ended.err.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["harvest", "--grid", "2000000"], "2000000"),
        (["harvest", "--grid", "-1"], "-1"),
        (["harvest", "--grid", "abc"], "abc"),
        (["grid", "show", "2000000"], "2000000"),
        (["harvest", "--range", "5:2"], "5:2"),
        (["harvest", "--aoi", "none.geojson"], "none.geojson"),
        (["harvest"], "no cell given"),
        (["harvest", "--grid", "1", "--recipe", "copernicus-pretrian"], "copernicus-pretrain"),
        (["harvest", "--grid", "1", "--recipe", "none.yaml"], "none.yaml"),
        (["harvest", "--grid", "1", "--product", "s2-l2b"], "s2-l2a"),
        (["harvest", "--grid", "1", "--upstream", "ftp://x"], "ftp://x"),
        (["harvest", "--grid", "1", "--lake", "ftp://x"], "ftp://x"),
        (["plan", "--grid", "1", "--patches", "0"], "patches"),
        (["query", "nonsense = 1"], "nonsense"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)
def test_usage_errors_end_with_2(
    stac_lake: Program, arguments: list[str], told: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = stac_lake(*arguments)
    assert ended.code == 2
    assert told in ended.err
    assert ended.out == ""
    assert not (tmp_path / "lake").exists()


def harvest(lake: str, origin: str, recipe_file: str, *products: str) -> list[str]:
    chosen = [part for name in products for part in ("--product", name)]
    place = ["--grid", "772176", "--lake", lake, "--upstream", origin]
    return ["harvest", *place, "--recipe", recipe_file, "--json", *chosen]


def test_an_unwritable_lake(
    stac_lake: Program, origin: str, recipe_file: str, tmp_path: Path
) -> None:
    """A lake below a file, as permissions do not stop root."""
    (tmp_path / "file").write_text("")
    lake = str(tmp_path / "file" / "lake")
    ended = stac_lake(*harvest(lake, origin, recipe_file, "dem-glo30"))
    assert ended.code == 1
    assert lake in one_line(ended)
    assert one_line(ended).startswith("error: ")


def test_an_unreachable_upstream(
    stac_lake: Program, quick: None, recipe_file: str, disk: str
) -> None:
    ended = stac_lake(*harvest(disk, NOWHERE, recipe_file, "s1-rtc"))
    assert ended.code == 3
    assert json.loads(ended.out)["failed"] == 2
    assert "unreachable(planetary-computer)" in one_line(ended)
    assert "stac-lake retry" in one_line(ended)
    assert small.items(disk) == {}


def test_missing_credentials_are_a_reason_not_an_error(
    stac_lake: Program, origin: str, recipe_file: str, disk: str
) -> None:
    chosen = harvest(disk, origin, recipe_file, "dem-glo30", "s5p-no2", "s2-l1c", "s2-l2a")
    ended = stac_lake(*chosen)
    assert ended.code == 0
    counts = json.loads(ended.out)["products"]
    assert counts["s5p-no2"]["empty"] == 1
    assert counts["s2-l2a"]["stored"] == 1  # L2A takes the place of L1C
    assert "s2-l1c" not in counts
    assert "credentials_missing(CDSE_S3_ACCESS_KEY)" in ended.err
    assert stac_lake(*chosen, "--require").code == 5
    assert set(small.items(disk)) == {f"{DEM}/1", f"{L2A}/1"}


def test_nothing_can_be_served_without_credentials(
    stac_lake: Program, origin: str, recipe_file: str, disk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = harvest(disk, origin, recipe_file, "s5p-no2")
    ended = stac_lake(*chosen)
    assert ended.code == 5
    assert "CDSE_S3_ACCESS_KEY" in one_line(ended)
    for name, value in small.KEYS.items():
        monkeypatch.setenv(name, value)
    assert json.loads(stac_lake(*chosen).out)["stored"] == 1  # the keys are there: asked again


@pytest.mark.usefixtures("quick")
def test_a_corrupt_scene(
    stac_lake: Program, sandbox: str, arm: Any, recipe_file: str, disk: str
) -> None:
    """The only scene of a slot is damaged: the slot fails by name, the other one is stored."""
    arm(kind="flipped_byte", path="/blob/.*20210512T", position=0.0)
    ended = stac_lake(*harvest(disk, sandbox, recipe_file, "s1-rtc"))
    assert ended.code == 3
    counts = json.loads(ended.out)
    assert (counts["stored"], counts["failed"]) == (1, 1)
    assert "BadRaster" in ended.err
    assert "20210512T" in ended.err
    assert set(small.items(disk)) == {f"{RTC}/1"}
    assert len(list(Path(disk).rglob("*.tif"))) == 1
    told = stac_lake("status", "--lake", disk, "--json")
    failed = {
        line["slot"] for s in told.out.splitlines() if (line := json.loads(s))["state"] == "failed"
    }
    assert failed == {RTC_SPRING}


def test_a_full_disk(origin: str, recipe_file: str, disk: str) -> None:
    """No file of the process may grow beyond 300 kB: what a full disk does to the heights."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    ended = subprocess.run(
        small.command(*harvest(disk, origin, recipe_file, "dem-glo30")),
        env=small.environment(),
        preexec_fn=limited,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    message = ended.stderr.strip().splitlines()[-1]
    assert message.startswith("error: ")
    assert DEM in message
    assert small.items(disk) == {}
    assert not list(Path(disk).rglob("*.tif"))
    report = small.run(disk, origin, recipe_file, "dem-glo30")
    assert small.states(report) == {DEM: "stored"}
    assert small.problems(disk) == []
