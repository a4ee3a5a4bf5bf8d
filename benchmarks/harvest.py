"""The harvest of one cell from the warm sandbox, and its peer, odc-stac, for the same crops."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from benchmarks.crops import PRODUCTS, differing, jobs
from benchmarks.processes import Cost, Sandbox, medians, sandbox
from benchmarks.results import Result, rounded

CELL = "772176"
REPEATS = 3
MEMORY_GOAL_MB = 2000
COMMAND = "python -m benchmarks harvest"

_PROGRAM = ("-c", "from stac_lake.cli import main; main()")
_CROPS = [part for name in PRODUCTS for part in ("--product", name)]


def harvest(upstream: Sandbox, lake: Path, *options: str) -> Cost:
    """Harvest the cell into a fresh lake.

    Raises:
        RuntimeError: it failed, or a slot did.
    """
    shutil.rmtree(lake, ignore_errors=True)
    place = ("--lake", str(lake), "--upstream", upstream.url)
    cost = upstream.run([*_PROGRAM, "harvest", *place, "--json", *(options or _cell())])
    end = cost.output[cost.output.rindex('{"stored": ', 0, cost.output.index('"products"')) :]
    report, _ = json.JSONDecoder().raw_decode(end)
    if report["failed"] or not report["stored"]:
        raise RuntimeError(f"the harvest has failed slots: {report}")
    return cost


def run(work: Path) -> list[Result]:
    """Measure.

    Args:
        work: A folder on disk; ``work/lake`` is a lake of all eight modalities afterwards.
    """
    locked, told, out = work / "plan.jsonl", work / "jobs.json", work / "odc"
    with sandbox() as upstream:
        # Not measured: the sandbox makes its scenes, and the peer learns what to cut.
        harvest(upstream, work / "lake")
        harvest(upstream, work / "crops", *_cell(), *_CROPS)
        place = ("--lake", str(work / "none"), "--upstream", upstream.url, "--out", str(locked))
        upstream.run([*_PROGRAM, "plan", *_cell(), *_CROPS, *place, "--lock"])
        told.write_text(json.dumps([asdict(job) for job in jobs(work / "crops", upstream)]))
        program = ["-m", "benchmarks.crops_by_odc", upstream.url, str(told), str(out)]

        def peer() -> Cost:
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            return upstream.run(program)

        costs = _alternating(
            {
                "whole": lambda: harvest(upstream, work / "lake"),
                "crops": lambda: harvest(upstream, work / "crops", *_cell(), *_CROPS),
                "cut": lambda: harvest(upstream, work / "cut", "--plan", str(locked)),
                "peer": peer,
            }
        )
    if wrong := differing(work / "cut", out):
        raise RuntimeError(f"our crops and the peer's differ in {wrong}")
    return _whole(costs["whole"]) + _against(costs)


def _cell() -> tuple[str, ...]:
    return ("--grid", CELL, "--patches", "4")


def _alternating(runs: dict[str, Callable[[], Cost]]) -> dict[str, Cost]:
    """Medians of some runs, taken in turn, so that a busy minute falls on all of them."""
    costs: dict[str, list[Cost]] = defaultdict(list)
    for _ in range(REPEATS):
        for name, measured in runs.items():
            costs[name].append(measured())
    return {name: medians(found) for name, found in costs.items()}


def _whole(cost: Cost) -> list[Result]:
    name = f"harvest of cell {CELL}, 4 patches, 8 modalities"
    peak = cost.rss_mb < MEMORY_GOAL_MB
    return [
        Result(f"{name}: wall", cost.wall_s, "s", COMMAND),
        Result(f"{name}: CPU of the harvester", cost.cpu_s, "s", COMMAND),
        Result(f"{name}: requests", cost.requests, "", COMMAND),
        Result(f"{name}: received", cost.mb, "MB", COMMAND),
        Result(f"{name}: peak memory", cost.rss_mb, "MB", COMMAND, "", "< 2 GB", peak),
    ]


def _against(costs: dict[str, Cost]) -> list[Result]:
    """Ours against the peer: with search and choice, and with the scenes told as they are to it."""
    peer = costs["peer"]
    results = []
    for key, what in (
        ("cut", "S2 L2A and S1 RTC crops of a locked plan"),
        ("crops", "the same with search, masks of all candidates and choice"),
    ):
        ours = costs[key]
        for name, unit, one, other in (
            ("wall", "s", ours.wall_s, peer.wall_s),
            ("CPU", "s", ours.cpu_s, peer.cpu_s),
            ("requests", "", ours.requests, peer.requests),
            ("received", "MB", ours.mb, peer.mb),
            ("peak memory", "MB", ours.rss_mb, peer.rss_mb),
        ):
            against = (
                f"odc.stac.load per patch and GDAL's COG driver: {rounded(other):g} {unit}".rstrip()
                + f" (ours is {one / other:.2f} of it)"
            )
            goal, met = ("no more than the peer's", one <= other) if key == "cut" else ("", None)
            results.append(Result(f"{what}: {name}", one, unit, COMMAND, against, goal, met))
    return results
