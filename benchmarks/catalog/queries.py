"""The same questions to every engine, in turn, warm; and to us alone, in a new process."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.catalog.asks import Ask, Engine, asks, loop, ours, scan, write_listing
from benchmarks.results import Result, rounded
from stac_lake.catalog.index import Index
from stac_lake.store.objects import Objects

COMMAND = "python -m benchmarks.catalog"
SEED = 7
WINDOWS = 20
US, SCAN, LOOP, RUSTAC = "ours", "a pyarrow scan", "a loop over the loaded JSON", "rustac"
RUSTAC_PYTHON = "STAC_LAKE_BENCH_RUSTAC"
"""Environment variable: a Python that has what ``peers.txt`` lists; else rustac is left out."""

_SLOW = 3
"""Questions of one kind to an engine that takes more than a second for each."""

_GOALS: dict[tuple[str, int], float] = {
    ("one id", 100_000): 10,
    ("one id", 1_000_000): 10,
    ("one id", 5_000_000): 10,
    ("aligned over the whole lake", 1_000_000): 250,
    ("aligned over the whole lake", 5_000_000): 1000,
}
"""p50 in milliseconds by question and number of items."""

_PARTIAL = {LOOP}
"""Engines whose answer is less than ours: ids alone, of what was loaded before."""


@dataclass
class Lake:
    """One lake with its engines.

    Attributes:
        items: How many.
        index: Ours.
        engines: By name, ours first.
        taken: (question, engine) → milliseconds of each answer.
    """

    items: int
    index: Index
    engines: dict[str, Engine]
    taken: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.items:,} items"


def run(places: dict[int, Path], work: Path) -> list[Result]:
    """Ask lakes of several sizes, made by `benchmarks.catalog.lakes`, question by question in turn.

    Raises:
        RuntimeError: two engines gave different answers.
    """
    results: list[Result] = []
    with _opened(places, work, results) as lakes:
        rounds = [(lake, asks(lake.index, WINDOWS, SEED)) for lake in lakes]
        for question in rounds[0][1]:
            for number in range(len(rounds[0][1][question])):
                for lake, asked in rounds:
                    _ask_all(lake, question, asked[question][number])
        for lake in lakes:
            for question in rounds[0][1]:
                results += _figures(lake, question)
        for smaller, larger in pairwise(lakes):
            results += [_growth(smaller, larger, question) for question in rounds[0][1]]
    return results


@contextmanager
def _opened(places: dict[int, Path], work: Path, results: list[Result]) -> Iterator[list[Lake]]:
    """Lakes with all their engines; what opening takes goes into the results."""
    lakes, peers = [], []
    try:
        for items, place in places.items():
            index = Index(Objects.open(str(place)))
            began = time.perf_counter()
            index.load()
            took = time.perf_counter() - began
            name = f"{items:,} items"
            results += [
                Result(f"{name}: rows brought into memory, once per version", took, "s", COMMAND),
                Result(f"{name}: memory that they take", _held(index) / items, "B/item", COMMAND),
            ]
            listing = work / f"{items}.json"
            write_listing(index, listing)
            began = time.perf_counter()
            looped = loop(listing)
            took = time.perf_counter() - began
            results.append(Result(f"{name}: {LOOP}, to load it", took, "s", COMMAND))
            listing.unlink()
            engines = {US: ours(index), SCAN: scan(index), LOOP: looped}
            if os.environ.get(RUSTAC_PYTHON):
                peers.append(Rustac(place, work / "extensions"))
                engines[RUSTAC] = peers[-1]
            lakes.append(Lake(items, index, engines))
        yield lakes
    finally:
        for peer in peers:
            peer.close()


def _held(index: Index) -> float:
    """Bytes that DuckDB holds, by its own count."""
    sql = "SELECT sum(memory_usage_bytes) FROM duckdb_memory() WHERE tag <> 'ALLOCATOR'"
    return float(index.connection().execute(sql).fetchall()[0][0])


class Rustac:
    """rustac in a process and environment of its own; its own clock counts."""

    def __init__(self, place: Path, extensions: Path) -> None:
        script = Path(__file__).with_name("rustac_peer.py")
        files = f"{place}/index/*.parquet"
        self._process = subprocess.Popen(
            [os.environ[RUSTAC_PYTHON], str(script), files, str(extensions)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ms = 0.0
        self._read()

    def __call__(self, ask: Ask) -> list[str]:
        assert self._process.stdin is not None
        self._process.stdin.write(ask.text + "\n")
        self._process.stdin.flush()
        reply = self._read()
        self.ms = reply["ms"]
        ids: list[str] = reply["ids"]
        return ids

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("rustac ended")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        assert self._process.stdout is not None
        self._process.stdout.close()


def _ask_all(lake: Lake, question: str, ask: Ask) -> None:
    """One question to each engine of one lake; their answers must be the same."""
    found: dict[str, list[str]] = {}
    for name, engine in lake.engines.items():
        taken = lake.taken.setdefault((question, name), [])
        paging_or_none = ask.kind == "page" and name in {SCAN, LOOP}
        slow = len(taken) >= _SLOW and statistics.median(taken) > 1000
        if paging_or_none or slow or (ask.kind == "aligned" and name == RUSTAC):
            continue
        began = time.perf_counter()
        found[name] = engine(ask)
        took = 1e3 * (time.perf_counter() - began)
        taken.append(engine.ms if isinstance(engine, Rustac) else took)
    for name, ids in found.items():
        # The order of a page counts, and a loop knows boxes alone, which meet more.
        if name == LOOP and ask.kind == "window":
            same = set(found[US]) <= set(ids)
        else:
            same = ids == found[US] if ask.kind == "page" else set(ids) == set(found[US])
        if not same or len(ids) != len(set(ids)):
            raise RuntimeError(f"{lake.name}, {question}: {name} answers {ask} otherwise than we")


def _figures(lake: Lake, question: str) -> list[Result]:
    """p50 with the peers' and a goal, and p95."""
    # The first question of a kind opens files and the like: it is not counted.
    warm = {name: lake.taken.get((question, name), [])[1:] for name in lake.engines}
    middle = {name: statistics.median(times) for name, times in warm.items() if times}
    mine = middle.pop(US)
    against = ", ".join(
        f"{name} {rounded(ms):g} ms" + (" (ids alone)" if name in _PARTIAL else "")
        for name, ms in middle.items()
    )
    alike = [ms for name, ms in middle.items() if name not in _PARTIAL]
    most = _GOALS.get((question, lake.items))
    goals = (["ahead of the scan and of rustac" if RUSTAC in middle else "ahead of the scan"]
             if alike else [])  # fmt: skip
    goals += [f"< {most:g} ms"] if most else []
    met = all(mine < ms for ms in alike) and (most is None or mine < most)
    name = f"{lake.name}, {question}"
    return [
        Result(
            f"{name}: p50", mine, "ms", COMMAND, against, " and ".join(goals),
            met if goals else None,
        ),
        Result(f"{name}: p95", float(np.percentile(warm[US], 95)), "ms", COMMAND),
    ]  # fmt: skip


def _growth(smaller: Lake, larger: Lake, question: str) -> Result:
    """How much more the same question takes of the larger lake."""
    ratio = statistics.median(larger.taken[question, US][1:]) / statistics.median(
        smaller.taken[question, US][1:]
    )
    times = larger.items / smaller.items
    name = f"{question}: time at {larger.items:,} over time at {smaller.items:,}"
    within = {10.0: 3.0}.get(times)
    goal, met = (f"≤ {within:g}", ratio <= within) if within else ("", None)
    return Result(name, ratio, "×", COMMAND, "", goal, met)


_NEW = """
import sys, time
began = time.perf_counter()
from pathlib import Path
from stac_lake.lake import open_lake
lake = open_lake(sys.argv[1], cache=Path(sys.argv[3]) if len(sys.argv) > 3 else None)
assert [item["id"] for item in lake.search(ids=[sys.argv[2]])] == [sys.argv[2]]
print(1e3 * (time.perf_counter() - began))
"""


def in_new_process(url: str, item: str, *cache: str) -> float:
    """Milliseconds from the first import to the first item, in a process of its own."""
    command = [sys.executable, "-c", _NEW, url, item, *cache]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


_LOADED = """
import sys
from stac_lake.lake import open_lake
open_lake(sys.argv[1]).index.load()
lines = open("/proc/self/status").read().splitlines()
print(*(float(line.split()[1]) / 1024 for name in ("VmRSS", "VmHWM") for line in lines
        if line.startswith(name)))
"""


def memory(places: dict[int, Path]) -> list[Result]:
    """Resident memory of a process that has loaded a lake, imports and buffers included."""
    results = []
    for items, place in places.items():
        command = [sys.executable, "-c", _LOADED, str(place)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        resident, peak = map(float, done.stdout.split())
        against = f"its peak while it loads {rounded(peak):g} MB"
        name = f"{items:,} items: resident memory of a process that has loaded them"
        results.append(Result(name, resident, "MB", COMMAND, against))
    return results


def new_process(places: dict[int, Path], times: int = 5) -> list[Result]:
    """The first answer of a program that has just started; the page cache is warm."""
    results = []
    floor = _median(_import_alone, range(times))
    for items, place in places.items():
        index = Index(Objects.open(str(place)))
        ids = [ask.id for ask in asks(index, times, SEED + 1)["one id"]]
        taken = _median(lambda one, url=str(place): in_new_process(url, one), ids)
        against = f"the imports alone {rounded(floor):g} ms"
        name = f"{items:,} items, one id in a new process: p50"
        results.append(Result(name, taken, "ms", COMMAND, against))
    return results


def _import_alone(_number: int) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import stac_lake.lake"], check=True)
    return 1e3 * (time.perf_counter() - began)


def _median(measure: Callable[[Any], float], over: Sequence[Any]) -> float:
    return statistics.median(measure(one) for one in over)
