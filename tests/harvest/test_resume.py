"""Runs that are killed, interrupted, repeated, doubled, refreshed or spread over processes."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from stac_lake.lake import open_lake
from tests.harvest import small
from tests.harvest.small import CELL, DEM, NO2, RTC, RTC_SPRING
from tests.s3_fixtures import S3Server

pytest_plugins = ("s3_fixtures",)

SLOTS = {RTC, RTC_SPRING, DEM}
PRODUCTS = ("s1-rtc", "dem-glo30")


def arguments(lake: str, origin: str, recipe_file: str) -> list[str]:
    """A harvest of three items."""
    chosen = [part for name in PRODUCTS for part in ("--product", name)]
    place = ["--grid", str(CELL.id), "--lake", lake, "--upstream", origin]
    return ["harvest", *place, "--recipe", recipe_file, "--workers", "3", *chosen]


def start(lake: str, origin: str, recipe_file: str, **changes: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        small.command(*arguments(lake, origin, recipe_file)),
        env=small.environment(**changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(lake: str, pattern: str, process: subprocess.Popen[str]) -> bool:
    """Wait until a file of that kind exists; False if the process ended before."""
    pause = threading.Event()
    while process.poll() is None:
        if any(Path(lake).glob(pattern)):
            return True
        pause.wait(0.002)
    return False


@pytest.mark.parametrize(
    "pattern",
    ["cells/**/*.tif*", "cells/**/items/*/*.json", "index/**/*", "ledger/**/*.jsonl"],
    ids=["asset", "item", "index", "ledger"],
)
def test_killed_at_a_moment(origin: str, recipe_file: str, disk: str, pattern: str) -> None:
    process = start(disk, origin, recipe_file)
    wait_for(disk, pattern, process)
    process.kill()
    process.communicate()
    assert process.returncode in {-signal.SIGKILL, 0}
    # What was committed is whole; only the index may not have heard of it yet.
    assert {problem.split()[0] for problem in small.problems(disk)} <= {"not_in_index"}
    assert small.execute("verify", "--lake", disk).returncode == 0
    report = small.run(disk, origin, recipe_file, *PRODUCTS)
    assert set(report.outcomes) == SLOTS
    assert set(small.states(report).values()) <= {"stored", "skipped"}
    assert small.problems(disk) == []
    assert set(small.items(disk)) == {f"{slot}/1" for slot in SLOTS}
    assert {item["id"] for item in open_lake(disk).search()} == SLOTS


def interrupt(process: subprocess.Popen[str]) -> str:
    """One Ctrl-C, which must be enough; returns stderr.

    The guard against a hang is shorter than the file that does not come, with its retries.
    """
    process.send_signal(signal.SIGINT)
    try:
        return process.communicate(timeout=100)[1]
    finally:
        process.kill()


def test_ctrl_c_ends_with_130_and_resumes(
    sandbox: str, arm: Callable[..., None], recipe_file: str, disk: str
) -> None:
    """Interrupted while the files of the heights do not come."""
    arm(kind="gateway_timeout", path="/earth-search/s3/", wait_s=60)
    process = start(disk, sandbox, recipe_file)
    assert wait_for(disk, "cells/**/items/s1-*/*.json", process)
    stderr = interrupt(process)
    assert process.returncode == 130
    assert "run the same command again" in stderr
    assert "Traceback" not in stderr
    assert small.execute("verify", "--lake", disk).returncode == 0
    requests.post(f"{sandbox}/_sandbox/reset", timeout=30)
    report = small.run(disk, sandbox, recipe_file, *PRODUCTS)
    assert set(report.outcomes) == SLOTS
    assert set(small.items(disk)) == {f"{slot}/1" for slot in SLOTS}
    assert small.problems(disk) == []


def test_two_harvesters_of_one_cell(
    origin: str, recipe_file: str, lake_url: str, s3: S3Server
) -> None:
    both = [start(lake_url, origin, recipe_file) for _ in range(2)]
    for process in both:
        _, stderr = process.communicate(timeout=300)
        assert process.returncode == 0, stderr
    assert small.problems(lake_url) == []
    found = list(open_lake(lake_url).search())
    assert sorted(item["id"] for item in found) == sorted(SLOTS)
    assert {item["properties"]["version"] for item in found} == {"1"}


def test_a_second_run_makes_no_puts(
    sandbox: str, recipe_file: str, make_bucket: Callable[[], str], s3: S3Server
) -> None:
    lake = make_bucket()
    assert set(small.run(lake, sandbox, recipe_file, *PRODUCTS).outcomes) == SLOTS
    assert s3.requests["PUT"] > 0
    requests.post(f"{sandbox}/_sandbox/reset", timeout=30)
    s3.requests.clear()
    report = small.run(lake, sandbox, recipe_file, *PRODUCTS)
    assert small.states(report) == dict.fromkeys(SLOTS, "skipped")
    assert {method for method, n in s3.requests.items() if n} <= {"GET", "HEAD"}
    assert requests.get(f"{sandbox}/_sandbox/stats", timeout=30).json()["requests"] == 0
    assert small.problems(lake) == []


def test_another_resampling_makes_new_versions(
    origin: str, recipe_file: str, disk: str, tmp_path: Path
) -> None:
    small.run(disk, origin, recipe_file, "dem-glo30")
    changed = small.write_recipe(tmp_path, insert=("products: [dem-glo30]", "resampling: nearest"))
    report = small.run(disk, origin, changed, "dem-glo30")
    assert small.states(report) == {DEM: "stored"}
    assert report.outcomes[DEM].version == 2
    first, second = (small.item(disk, DEM, version) for version in (1, 2))
    digests = {one["properties"]["lake:recipe_digest"] for one in (first, second)}
    assert len(digests) == 2
    assert (
        small.tif(disk, DEM, 1).read_bytes() != small.tif(disk, DEM, 2).read_bytes()
    )  # both are kept
    assert [item["properties"]["version"] for item in open_lake(disk).search()] == ["2"]
    again = small.run(disk, origin, changed, "dem-glo30")
    assert small.states(again) == {DEM: "skipped"}


def test_refresh_makes_new_versions_of_the_same(origin: str, recipe_file: str, disk: str) -> None:
    small.run(disk, origin, recipe_file, *PRODUCTS)
    report = small.run(disk, origin, recipe_file, *PRODUCTS, refresh=True)
    assert small.states(report) == dict.fromkeys(SLOTS, "stored")
    assert {outcome.version for outcome in report.outcomes.values()} == {2}
    assert set(small.items(disk)) == {f"{slot}/{n}" for slot in SLOTS for n in (1, 2)}
    for slot in SLOTS:
        assert small.tif(disk, slot, 1) != small.tif(disk, slot, 2)
        assert small.tif(disk, slot, 1).read_bytes() == small.tif(disk, slot, 2).read_bytes()
    assert small.problems(disk) == []
    after = small.run(disk, origin, recipe_file, *PRODUCTS)
    assert small.states(after) == dict.fromkeys(SLOTS, "skipped")


@pytest.mark.usefixtures("quick")
def test_refresh_fails_over(
    sandbox: str, arm: Callable[..., None], recipe_file: str, disk: str
) -> None:
    small.run(disk, sandbox, recipe_file, "dem-glo30")
    arm(kind="unavailable", path="/earth-search/s3/")
    report = small.run(disk, sandbox, recipe_file, "dem-glo30", refresh=True)
    assert small.states(report) == {DEM: "stored"}
    assert small.item(disk, DEM, 2)["properties"]["lake:failed_over_from"] == ["earth-search"]


def test_a_cluster_of_processes(
    origin: str, recipe_file: str, disk: str, keys: None, tmp_path: Path
) -> None:
    """Tasks and results travel, keys do not: each process has them in its environment."""
    from distributed import LocalCluster

    settings: dict[str, Any] = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, local_directory=str(tmp_path),
        **settings,
    ) as cluster:  # fmt: skip
        job = small.job(disk, origin, recipe_file, [*PRODUCTS, "s5p-no2"])
        job.scheduler = cluster.scheduler_address
        report = job.run([CELL])
    assert small.states(report) == dict.fromkeys({*SLOTS, NO2}, "stored")
    assert small.problems(disk) == []
