"""Adding items: documents to rows to committed files, by one writer and by four at once."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.made_items import documents
from benchmarks.results import Result
from stac_lake.catalog.index import Index, IndexRow
from stac_lake.store.objects import Objects

COMMAND = "python -m benchmarks.catalog"
ITEMS, PER_COMMIT = 10_000, 5_000
WRITERS, COMMITS, ROWS = 4, 10, 100

_WRITER = """
import sys
from benchmarks.made_items import documents
from stac_lake.catalog.index import Index, IndexRow
from stac_lake.store.objects import Objects
url, number, commits, rows = sys.argv[1], *map(int, sys.argv[2:])
made = [item for items in documents(commits * rows, seed=number) for item in items]
index = Index(Objects.open(url))
print(flush=True)
sys.stdin.readline()
for n in range(commits):
    index.append([IndexRow(item, number) for item in made[n * rows : (n + 1) * rows]])
"""


def run(work: Path) -> list[Result]:
    """Items a second of one writer, commits a second of four.

    Raises:
        RuntimeError: a row was lost or doubled.
    """
    return [_ingest(work / "ingest"), _together(work / "together")]


def _ingest(place: Path) -> Result:
    items = [item for made in documents(ITEMS) for item in made]
    index = Index(Objects.open(str(place)))
    began = time.perf_counter()
    for first in range(0, ITEMS, PER_COMMIT):
        index.append([IndexRow(item, 1) for item in items[first : first + PER_COMMIT]])
    rate = ITEMS / (time.perf_counter() - began)
    return Result(f"append, {PER_COMMIT:,} items a commit", rate, "items/s", COMMAND)


def _together(place: Path) -> Result:
    program = [sys.executable, "-c", _WRITER, str(place)]
    writers = [
        subprocess.Popen(
            [*program, str(number + 1), str(COMMITS), str(ROWS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(WRITERS)
    ]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()
    began = time.perf_counter()
    for writer in writers:
        writer.communicate("\n")
    took = time.perf_counter() - began
    rows = sum(Index(Objects.open(str(place))).log.files().values())
    if any(writer.returncode for writer in writers) or rows != WRITERS * COMMITS * ROWS:
        raise RuntimeError(f"{WRITERS} writers left {rows} rows")
    name = f"{WRITERS} writers at once, {ROWS} items a commit, none lost"
    return Result(name, WRITERS * COMMITS / took, "commits/s", COMMAND)
