"""The index: adding 100,000 items, and two queries that answer with whole documents."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds

from benchmarks.made_items import SEED, documents
from benchmarks.results import Result, rounded
from stac_lake.catalog.index import Index, IndexRow
from stac_lake.grid import Cell
from stac_lake.lake import Lake
from stac_lake.store.objects import Objects

ITEMS = 100_000
PER_COMMIT = 10_000
QUERIES = 30
COMMAND = "python -m benchmarks index"
FIRST, LAST, CLOUD = "2022-05-01T00:00:00Z", "2022-08-31T00:00:00Z", 10.0


@dataclass(frozen=True)
class Ask:
    """One query; without a box it is for all items of the cell.

    Attributes:
        cell: Where.
        box: West, south, east, north; then also clear, and of the summer of 2022.
    """

    cell: Cell
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class Loaded:
    """An item as a dict in memory, of which a loop looks at these."""

    id: str
    collection: str
    bbox: list[float]
    moment: datetime | None
    cloud: float | None


def run(work: Path, items: int = ITEMS) -> list[Result]:
    """Measure, in a fresh lake below `work` that holds an index alone."""
    place = work / "index"
    shutil.rmtree(place, ignore_errors=True)
    index = Index(Objects.open(str(place)))
    seconds, loaded = _append(index, items)
    size = sum(path.stat().st_size for path in place.rglob("*.parquet"))
    lake = Lake(index)
    files = ds.dataset([str(place / "index" / name) for name in index.files()])
    rng = np.random.default_rng(SEED)
    cells = [
        Cell(int(c)) for c in rng.choice(sorted({int(i.collection[5:]) for i in loaded}), QUERIES)
    ]
    answers: dict[str, Callable[[Ask], list[str]]] = {
        "lake.search": lambda ask: _ours(lake, ask),
        "a pyarrow scan of the same GeoParquet": lambda ask: _scanned(files, ask),
        "a loop over items in memory, which returns ids alone": lambda ask: _looped(loaded, ask),
    }
    name = f"index of {items:,} items"
    results = [
        Result(f"{name}: append, {PER_COMMIT:,} a commit", items / seconds, "items/s", COMMAND),
        Result(f"{name}: size", size / items, "B/item", COMMAND),
    ]
    boxed = [Ask(c, (c.lon - 1, c.lat - 1, c.lon + 1, c.lat + 1)) for c in cells]
    for what, asks in (
        ("one cell", [Ask(cell) for cell in cells]),
        ("2° box, four months, cloud < 10", boxed),
    ):
        results += _compared(f"{name}, {what}", answers, asks)
    return results


def _append(index: Index, count: int) -> tuple[float, list[Loaded]]:
    """Fill the index; returns the seconds that the appends took."""
    seconds, loaded, batch = 0.0, [], []
    for made in documents(count):
        batch += made
        loaded += [_loaded(item) for item in made]
        if len(batch) >= PER_COMMIT or len(loaded) == count:
            began = time.perf_counter()
            index.append([IndexRow(item, 1) for item in batch])
            seconds += time.perf_counter() - began
            batch = []
    return seconds, loaded


def _loaded(item: dict[str, Any]) -> Loaded:
    found = item["properties"]
    moment = found["datetime"] and datetime.fromisoformat(found["datetime"])
    cloud = found.get("eo:cloud_cover")
    return Loaded(item["id"], item["collection"], item["bbox"], moment, cloud)


def _compared(
    name: str, answers: dict[str, Callable[[Ask], list[str]]], asks: Iterable[Ask]
) -> list[Result]:
    """p50 and p95 of ours, the engines asked in turn; the answers must agree.

    Raises:
        RuntimeError: they do not.
    """
    taken: dict[str, list[float]] = {engine: [] for engine in answers}
    for number, ask in enumerate(asks):
        found: dict[str, set[str]] = {}
        for engine, answer in answers.items():
            began = time.perf_counter()
            found[engine] = set(answer(ask))
            if number:  # the first query of a process opens files: it is not counted
                taken[engine].append(1e3 * (time.perf_counter() - began))
        ours, *others = found.values()
        # The others compare boxes; ours tests the footprint, which may miss a box that they hit.
        if any(not ours <= other for other in others):
            raise RuntimeError(f"{name}: the answers to {ask} differ")
    middle = {engine: float(np.median(times)) for engine, times in taken.items()}
    mine, *rest = middle
    against = ", ".join(f"{engine} {rounded(middle[engine]):g} ms" for engine in rest)
    return [
        Result(
            f"{name}: p50", middle[mine], "ms", COMMAND, against, "faster than the scan",
            middle[mine] < middle[rest[0]],
        ),
        Result(f"{name}: p95", float(np.percentile(taken[mine], 95)), "ms", COMMAND),
    ]  # fmt: skip


def _ours(lake: Lake, ask: Ask) -> list[str]:
    if ask.box is None:
        return [item["id"] for item in lake.search(cells=[ask.cell])]
    found = lake.search(f"eo:cloud_cover < {CLOUD}", bbox=ask.box, datetime=f"{FIRST}/{LAST}")
    return [item["id"] for item in found]


def _scanned(files: ds.Dataset, ask: Ask) -> list[str]:
    if ask.box is None:
        where = ds.field("collection") == ask.cell.collection_id
    else:
        west, south, east, north = ask.box
        where = (
            (ds.field("eo:cloud_cover") < CLOUD)
            & (ds.field("time") <= datetime.fromisoformat(LAST))
            & (ds.field("time_end") >= datetime.fromisoformat(FIRST))
            & (ds.field("bbox", "xmin") <= east)
            & (ds.field("bbox", "xmax") >= west)
            & (ds.field("bbox", "ymin") <= north)
            & (ds.field("bbox", "ymax") >= south)
        )
    table = files.to_table(columns=["item"], filter=where)
    return [json.loads(text)["id"] for text in table["item"].to_pylist()]


def _looped(items: list[Loaded], ask: Ask) -> list[str]:
    if ask.box is None:
        return [item.id for item in items if item.collection == ask.cell.collection_id]
    west, south, east, north = ask.box
    first, last = datetime.fromisoformat(FIRST), datetime.fromisoformat(LAST)
    return [
        item.id
        for item in items
        if item.cloud is not None
        and item.cloud < CLOUD
        and item.moment is not None
        and first <= item.moment <= last
        and item.bbox[0] <= east
        and item.bbox[2] >= west
        and item.bbox[1] <= north
        and item.bbox[3] >= south
    ]
