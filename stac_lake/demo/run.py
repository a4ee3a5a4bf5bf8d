"""What `stac-lake demo` does, step by step, and what it says meanwhile."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

from stac_lake.demo.contact_sheet import draw
from stac_lake.grid import Cell
from stac_lake.harvest.run import Harvest, Report
from stac_lake.harvest.task import Context
from stac_lake.lake import open_lake
from stac_lake.recipe import UniformPatches, recipe
from stac_lake.sandbox.config import SandboxConfig
from stac_lake.sandbox.server import serve_apart
from stac_lake.types import Slot

PLAINS = Cell(772176)
"""96° W 44° N: all eight modalities; four patches."""
POLAR = Cell(123456)
"""84° E 68.75° S, on the Antarctic ice: a winter without sun, and no Sentinel-1 RTC."""

QUERY = "eo:cloud_cover < 10 AND lake:valid_pct >= 95"


def run(out: Path) -> None:
    """Harvest two cells from the sandbox into ``out/lake`` and draw ``out/contact-sheet.png``.

    Raises:
        StoreError: `out` cannot be written.
    """
    from stac_lake.harvest.progress import Progress

    began = time.monotonic()
    lake_path = out / "lake"
    if lake_path.exists():
        shutil.rmtree(lake_path)
    # The sandbox's published test keys: they open nothing but the sandbox.
    os.environ["CDSE_S3_ACCESS_KEY"] = os.environ["CDSE_S3_SECRET_KEY"] = "sandbox"
    base = recipe("copernicus-pretrain")
    four = base.model_copy(update={"patches": UniformPatches(uniform=4)})
    with serve_apart(SandboxConfig(cache=out / "sandbox")) as url:
        _say(f"sandbox of Earth Search, Planetary Computer and CDSE at {url}")
        reports = []
        for cell, chosen in ((PLAINS, four), (POLAR, base)):
            _say(
                f"\nharvest of {cell.code}, {abs(cell.lon)}° {'E' if cell.lon > 0 else 'W'} "
                f"{abs(cell.lat)}° {'N' if cell.lat > 0 else 'S'}"
            )
            job = Harvest(Context(str(lake_path), url), chosen, listen=Progress(sys.stderr))
            reports.append((cell, job.run([cell])))
    for cell, report in reports:
        _tell(cell, report)
    _query(str(lake_path))
    sheet = out / "contact-sheet.png"
    draw(open_lake(str(lake_path)), [PLAINS, POLAR], sheet)
    _next(lake_path, sheet, time.monotonic() - began)


def _tell(cell: Cell, report: Report) -> None:
    """What was stored, and what was looked for and not found, and why."""
    counts = report.counts()
    print(
        f"\n{cell.code}: {counts['stored']} items stored, {counts['empty']} slots empty, "
        f"{counts['failed']} failed"
    )
    for name, line in counts["products"].items():
        print(f"  {name:<12} {line['stored']:>3} stored {line['empty']:>3} empty")
    missing = Counter(
        (outcome.reason, Slot.from_id(slot).product, Slot.from_id(slot).name)
        for slot, outcome in report.outcomes.items()
        if outcome.state in {"empty", "failed"}
    )
    if missing:
        print("  looked for and not found:")
    for (reason, name, slot), number in sorted(missing.items(), key=str):
        print(f"    {name:<12} {slot:<8} {reason}" + (f" ({number} patches)" if number > 1 else ""))


def _query(lake: str) -> None:
    client = open_lake(lake).client()
    search = client.search(filter=QUERY, filter_lang="cql2-text")
    items = list(search.items())
    print(f"\npystac-client, filter {QUERY!r}: {len(items)} items")
    for item in items[:3]:
        print(f"  {item.id}  cloud {item.properties['eo:cloud_cover']:.1f} %")


def _next(lake: Path, sheet: Path, seconds: float) -> None:
    size = sum(path.stat().st_size for path in lake.rglob("*") if path.is_file())
    print(f"\n{seconds:.0f} s, {size / 1e6:.0f} MB in {lake}; the picture: {sheet}")
    print("\nWhat to type next:")
    for line in (
        f'stac-lake query "{QUERY}" --lake {lake}',
        f"stac-lake status --lake {lake}",
        f"stac-lake verify --lake {lake}",
        f"stac-lake serve --lake {lake}      # then pystac_client.Client.open('http://127.0.0.1:8080')",
        "stac-lake harvest --grid 772176 --product s2-l2a --product dem-glo30   # the live APIs",
    ):
        print(f"  {line}")


def _say(line: str) -> None:
    print(line, file=sys.stderr)
