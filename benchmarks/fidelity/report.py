"""Results as ``docs/fidelity.json``, and the same as ``docs/fidelity.md``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.fidelity.run import Result

DOCS = Path(__file__).parents[2] / "docs"
FIGURES = DOCS / "fidelity.json"
PAGE = DOCS / "fidelity.md"
PROSE = Path(__file__).parent / "reading.md"
"""How to read the table; written by hand."""

Entry = dict[str, Any]
_HEADINGS = ("place", "reference", "truth", "measure", "error", "at most",
             "under mutation", "counts", "s", "MB")  # fmt: skip


def merged(
    results: Iterable[Result], products: Sequence[str], known: Sequence[Entry]
) -> list[Entry]:
    """Fresh entries of some products in place of their old ones; the others stay.

    Args:
        results: Of these products.
        products: All that were asked for.
        known: Entries of the file.
    """
    fresh = [result.document for result in results]
    order = list(dict.fromkeys(entry["product"] for entry in (*known, *fresh)))
    kept = [entry for entry in known if entry["product"] not in products]
    return sorted([*kept, *fresh], key=lambda entry: order.index(entry["product"]))


def save(entries: Sequence[Entry], figures: Path = FIGURES, page_at: Path = PAGE) -> None:
    """Write both files."""
    figures.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    page_at.write_text(page(entries), encoding="utf-8")


def load(path: Path = FIGURES) -> list[Entry]:
    """Entries of the file, none if there is no file."""
    found: list[Entry] = json.loads(path.read_text("utf-8")) if path.exists() else []
    return found


def page(entries: Sequence[Entry]) -> str:
    """Prose, the sum, and one table per product."""
    tables = [
        f"## {product}\n\n{_table(list(group))}"
        for product, group in groupby(entries, key=lambda entry: entry["product"])
    ]
    prose = PROSE.read_text(encoding="utf-8").strip()
    return "\n".join([f"{prose}\n", f"{_sum(entries)}\n", *tables])


def counts(lines: Sequence[Entry]) -> str:
    """Whether a measure says something: met, and red under every mutation."""
    if any(line["met"] is None for line in lines):
        return f"not run: needs {lines[0]['needs']}"
    if not all(line["met"] for line in lines):
        return "**no: not met**"
    green = [line["mutation"] for line in lines if not line["mutation_caught"]]
    return f"**no: green under {', '.join(green)}**" if green else "yes"


def _measures(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Entries by measure: one for each mutation."""
    keys = ("product", "place", "reference", "measure")
    return [list(g) for _, g in groupby(entries, key=lambda e: tuple(e[key] for key in keys))]


def _sum(entries: Sequence[Entry]) -> str:
    verdicts = [(lines[0]["truth"], counts(lines)) for lines in _measures(entries)]
    good = [truth for truth, verdict in verdicts if verdict == "yes"]
    by_truth = ", ".join(
        f"{good.count(truth)} {truth}" for truth in ("real", "third-party", "analytic", "sandbox")
    )
    runs = sum(entry["met"] is not None for entry in entries)
    caught = sum(bool(entry["mutation_caught"]) for entry in entries)
    return (
        f"{len(good)} of {len(verdicts)} measures count ({by_truth}); "
        f"{caught} of {runs} mutations are caught."
    )


def _table(entries: Sequence[Entry]) -> str:
    lines = [f"| {' | '.join(_HEADINGS)} |", "|" + "---|" * len(_HEADINGS)]
    before: tuple[str, str] | None = None
    for group in _measures(entries):
        first = group[0]
        where = (first["place"], first["reference"])
        told = where == before
        before = where
        cells = [
            "" if told else first["place"],
            "" if told else first["reference"],
            "" if told else first["truth"],
            first["measure"],
            _error(first),
            f"{first['tolerance']:g}",
            ", ".join(f"{line['mutation']} {_number(line['mutated_figure'])}" for line in group),
            counts(group),
            "" if told else _number(first["seconds"]),
            "" if told else _number(first["peak_mb"]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _error(entry: Entry) -> str:
    if entry["figure"] is None:
        return "–"
    shown = f"{entry['figure']:g} {entry['unit']}"
    if entry["rmse"] is not None:
        shown += f" (bias {entry['bias']:.2g}, RMSE {entry['rmse']:.2g})"
    return shown


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
