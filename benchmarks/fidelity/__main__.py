"""``python -m benchmarks.fidelity [product …]``: all products without a name."""

from __future__ import annotations

import argparse
import sys

from benchmarks.fidelity.bench import Bench
from benchmarks.fidelity.catalogue import rows
from benchmarks.fidelity.report import counts, load, merged, save
from benchmarks.fidelity.run import Result, run


def main() -> int:
    """Compare, mutate, and write ``docs/fidelity.json`` and ``docs/fidelity.md``.

    Returns:
        Exit code: 1 if a row that was run is not met or stays green.
    """
    every = rows()
    products = list(dict.fromkeys(row.product for row in every))
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fidelity", description=__doc__)
    parser.add_argument("products", nargs="*", choices=[*products, []], help="default: all")
    wanted = parser.parse_args().products or products
    results: list[Result] = []
    with Bench() as bench:
        for row in every:
            if row.product in wanted:
                found = list(run(row, bench))
                results += found
                verdict = counts([result.document for result in found])
                print(f"{row.product} · {row.place} · {row.reference}: {verdict}", flush=True)
    save(merged(results, wanted, load()))
    return int(any(r.met is not None and not (r.met and r.mutation_caught) for r in results))


if __name__ == "__main__":
    sys.exit(main())
