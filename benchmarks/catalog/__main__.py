"""``python -m benchmarks.catalog``: writes ``benchmarks/catalog.json`` and its page.

rustac is asked, too, where ``STAC_LAKE_BENCH_RUSTAC`` names a Python with what ``peers.txt`` lists.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.catalog import lakes, queries, service, writing
from benchmarks.results import HERE, load, save, table

FIGURES = HERE / "catalog.json"
PAGE = HERE.parent / "docs" / "benchmarks-catalog.md"

_INTRO = """# Benchmarks of the catalogue

`make bench-catalog` writes this page and `benchmarks/catalog.json`. The items are made: about 64
of a cell with whole documents of 8.5 kB on average, times skewed to the newest year, clouds to
clear and overcast, one cell in five without one modality. All engines read the same GeoParquet on
disk, page cache warm, are asked the same question in turn, and must give the same answer; cells,
windows and ids are drawn from the whole lake, windows centred on cells that have items. Ours and
the scan parse whole documents; rustac builds items of the columns; the loop has everything in
memory already, compares boxes, and answers with ids alone, so that it is shown but is no peer. The
first question of each kind is not counted. Memory per item is by DuckDB's own count. {machine}.

"""


def page(entries: Sequence[dict[str, Any]]) -> str:
    """The page of the figures."""
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}"
    return _INTRO.format(machine=machine) + table(entries)


def main() -> None:
    """Measure, and write the figures and the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.catalog", description=__doc__)
    parser.add_argument("--long", action="store_true", help="5 million items, too")
    parser.add_argument("--items", type=int, nargs="*", help="sizes in place of the usual")
    parser.add_argument("--work", type=Path, help="folder to keep the lakes in")
    chosen = parser.parse_args()
    sizes = chosen.items or [100_000, 1_000_000, *([5_000_000] if chosen.long else [])]
    with tempfile.TemporaryDirectory(prefix="stac-lake-bench-") as temporary:
        work = Path(temporary)
        places = {size: (chosen.work or work) / f"lake-{size}" for size in sizes}
        results = []
        for size, place in places.items():
            print(f"{size:,} items …", flush=True)
            results += lakes.fill(place, size)
        print("queries …", flush=True)
        results += queries.run(places, work)
        results += queries.new_process(places)
        results += queries.memory(places)
        print("S3, writers, API …", flush=True)
        results += lakes.on_s3(places[sizes[0]], sizes[0], work)
        results += writing.run(work)
        results += service.run(places[sizes[-1]], sizes[-1])
    entries = save(results, FIGURES)
    PAGE.write_text(page(entries), encoding="utf-8")
    print(table(load(FIGURES)))


if __name__ == "__main__":
    main()
