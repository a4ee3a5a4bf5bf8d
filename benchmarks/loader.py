"""Training samples per second of one process: a patch with four dates of S1 and of S2."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import rasterio

from benchmarks.harvest import harvest
from benchmarks.processes import sandbox
from benchmarks.results import Result, rounded
from stac_lake.lake import open_lake
from stac_lake.loaders.dataset import LakeDataset

SECONDS = 3.0
REPEATS = 3
COMMAND = "python -m benchmarks loader"
FILTER = "lake:modality IN ('s1', 's2')"
TUNED = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": False,
    "GDAL_NUM_THREADS": 1,
    "GDAL_CACHEMAX": 256,
}


def run(work: Path) -> list[Result]:
    """Measure on the lake that the harvest left below `work`, or on a new one."""
    lake = work / "lake"
    if not lake.exists():
        with sandbox() as upstream:
            harvest(upstream, lake)
    opened = open_lake(lake)
    dataset = LakeDataset(opened, FILTER, unit="patch", missing="drop")
    hrefs = {item["id"]: item["assets"]["data"]["href"] for item in opened.search(FILTER)}
    paths = []
    arrays = work / "arrays"
    arrays.mkdir(exist_ok=True)
    for number in range(len(dataset)):
        sample = dataset[number]
        ids = {name: sample[name]["item"] for name in ("s1", "s2")}
        paths.append({name: [hrefs[i] for i in found if i] for name, found in ids.items()})
        for name, found in paths[-1].items():
            np.save(arrays / f"{number}-{name}.npy", _stacked(found))
    rates = _rates(
        {
            "ours": dataset.__getitem__,
            "rasterio": lambda n: {name: _stacked(found) for name, found in paths[n].items()},
            "npy": lambda n: [np.load(arrays / f"{n}-{name}.npy") for name in ("s1", "s2")],
        },
        len(dataset),
    )
    against = (
        f"rasterio reads of the same files into the same arrays, no masks and no metadata: "
        f"{rounded(rates['rasterio']):g}; the floor, np.load of them: {rounded(rates['npy']):g}"
    )
    return [
        Result(
            "loader, one process, files in the page cache: a patch with 4 dates of S1 and S2",
            rates["ours"], "samples/s", COMMAND, against, "faster than rasterio",
            rates["ours"] > rates["rasterio"],
        )
    ]  # fmt: skip


def _stacked(hrefs: list[str]) -> Any:
    """(time, band, y, x) by rasterio."""
    chips = []
    with rasterio.Env(**TUNED):
        for href in hrefs:
            with rasterio.open(href) as dataset:
                chips.append(dataset.read())
    return np.stack(chips)


def _rates(readers: dict[str, Callable[[int], Any]], samples: int) -> dict[str, float]:
    """Medians of samples per second, the readers in turn."""
    found: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(REPEATS):
        for name, read in readers.items():
            began, count = time.perf_counter(), 0
            while time.perf_counter() - began < SECONDS:
                read(count % samples)
                count += 1
            found[name].append(count / (time.perf_counter() - began))
    return {name: median(rates) for name, rates in found.items()}
