"""The small recipe of the harvest's tests, and how they run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stac_lake.catalog.index import Index
from stac_lake.catalog.verify import verify
from stac_lake.grid import Cell
from stac_lake.harvest.plan import select
from stac_lake.harvest.run import Harvest, Report
from stac_lake.harvest.task import Context
from stac_lake.recipe import recipe
from stac_lake.store.objects import Objects
from stac_lake.upstream.pace import Patience

CELL = Cell(772176)
POLAR = Cell(123456)
PATCH = "32615-025818-487758"
QUICK = Patience(attempts=3, backoff_s=0.001, longest_s=0.01, connect_s=5, read_s=30)
KEYS = {"CDSE_S3_ACCESS_KEY": "sandbox", "CDSE_S3_SECRET_KEY": "sandbox"}

RECIPE = """\
id: small
title: Small
description: One slot of each product, with few scenes to choose from.
series:
  - modality: s2
    products: [s2-l1c, s2-l2a]
    max_scene_cloud_pct: 20
    windows:
      summer: [[2021-07-09, 2021-07-18]]
  - modality: s1
    products: [s1-grd, s1-rtc]
    windows:
      summer: [[2021-06-01, 2021-06-12]]
      spring: [[2021-05-12, 2021-05-13]]
  - modality: s3
    products: [s3-olci-efr]
    windows:
      b1: [[2021-07-01, 2021-07-04]]
  - modality: no2
    products: [s5p-no2]
    windows:
      "2021-03": [[2021-03-01, 2021-04-01]]
  - modality: dem
    products: [dem-glo30]
    windows:
      static: [[2021-04-22, 2021-04-23]]
"""
L2A = f"s2-l2a_0772176_{PATCH}_summer"
L1C = f"s2-l1c_0772176_{PATCH}_summer"
RTC = f"s1-rtc_0772176_{PATCH}_summer"
RTC_SPRING = f"s1-rtc_0772176_{PATCH}_spring"
OLCI = "s3-olci-efr_0772176_b1"
NO2 = "s5p-no2_0772176_2021-03"
DEM = "dem-glo30_0772176_static"


def write_recipe(folder: Path, *, insert: tuple[str, str] | None = None) -> str:
    """Write the recipe; `insert` is a line's beginning and what to put on a line before it."""
    text = RECIPE
    if insert:
        assert text.count(insert[0]) == 1
        text = text.replace(insert[0], f"{insert[1]}\n    {insert[0]}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "small.yaml"
    path.write_text(text)
    return str(path)


def job(lake: str, upstream: str | None, name: str, products: Sequence[str] = ()) -> Harvest:
    """A harvest of a lake by a recipe, of some of its products."""
    return Harvest(Context(lake, upstream), select(recipe(name), products), workers=4)


def run(lake: str, upstream: str | None, name: str, *products: str, **options: Any) -> Report:
    """Harvest the small cell."""
    return job(lake, upstream, name, products).run([CELL], **options)


def states(report: Report) -> dict[str, str]:
    """Slot → state."""
    return {slot: outcome.state for slot, outcome in report.outcomes.items()}


def items(lake: str) -> dict[str, dict[str, Any]]:
    """All stored versions by ``id/version``, straight from the lake's directory."""
    found = sorted(Path(lake).glob("cells/*/*/*/items/*/*.json"))
    return {f"{path.parent.name}/{path.stem}": json.loads(path.read_text()) for path in found}


def item(lake: str, slot: str, version: int = 1) -> dict[str, Any]:
    """One stored item."""
    return items(lake)[f"{slot}/{version}"]


def tif(lake: str, slot: str, version: int = 1) -> Path:
    """Where an item's pixels are."""
    (folder,) = Path(lake).glob(f"cells/*/*/*/items/{slot}")
    return (folder / item(lake, slot, version)["assets"]["data"]["href"]).resolve()


def problems(lake: str) -> list[str]:
    """What `verify` finds."""
    objects = Objects.open(lake)
    found = verify(objects, Index(objects), depth="pixels")
    return [f"{one.problem} {one.item}" for one in found]


def snapshot(lake: str) -> dict[str, tuple[int, int]]:
    """Every file of a lake on disk: its size and when it was last written."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in Path(lake).rglob("*")
        if path.is_file()
    }


def command(*arguments: str) -> list[str]:
    """The program, as another process."""
    return [sys.executable, "-c", "from stac_lake.cli import main; main()", *arguments]


def environment(**changes: str) -> dict[str, str]:
    """An environment for another process: no keys but the given ones."""
    dropped = {*KEYS, "STAC_LAKE_URL", "AWS_PROFILE"}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return kept | changes


def execute(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return subprocess.run(
        command(*arguments),
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
