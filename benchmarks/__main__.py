"""``python -m benchmarks [harvest] [loader]``: all of them without a name."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks import harvest, loader
from benchmarks.results import load, save, table, write_table

PARTS = {"harvest": harvest.run, "loader": loader.run}


def main() -> None:
    """Measure, and write ``results.json`` and the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    wanted = parser.parse_args().parts or list(PARTS)
    with tempfile.TemporaryDirectory(prefix="stac-lake-bench-") as folder:
        for name, measure in PARTS.items():
            if name in wanted:
                print(f"{name} …", flush=True)
                write_table(save(measure(Path(folder))))
    print(table(load()))


if __name__ == "__main__":
    main()
