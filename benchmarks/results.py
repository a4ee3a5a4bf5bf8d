"""Figures as one JSON file, and the same as a Markdown table."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
TABLE = HERE / "README.md"
README = HERE.parent / "README.md"
BEGIN, END = "<!-- figures: written by `make bench` -->", "<!-- end of figures -->"

_INTRO = """# Benchmarks

`make bench` writes this page and `results.json`. Upstream is the sandbox in another process on
the same cores, its cache warm; the lake is on disk; ours and the peers' runs alternate, and each
figure is the median of its repetitions. {machine}.
"""


@dataclass(frozen=True)
class Result:
    """One figure.

    Attributes:
        name: What was measured.
        figure: The median.
        unit: Of the figure.
        against: The peer's figure in the same run, with its name; empty if there is none.
        goal: What the figure should be; empty if it is only shown.
        met: Whether it is; None without a goal.
        command: What measures it again.
    """

    name: str
    figure: float
    unit: str
    command: str
    against: str = ""
    goal: str = ""
    met: bool | None = None


def rounded(value: float) -> float:
    """Three significant digits, and no digits behind the point of what is larger."""
    return round(value) if abs(value) >= 100 else float(f"{value:.3g}")


def save(results: Iterable[Result], path: Path = RESULTS) -> list[dict[str, Any]]:
    """Put results into the file; those of the same command are replaced, the others stay."""
    fresh = [{**asdict(result), "figure": rounded(result.figure)} for result in results]
    commands = {entry["command"] for entry in fresh}
    kept = [entry for entry in load(path) if entry["command"] not in commands]
    entries = sorted([*kept, *fresh], key=lambda entry: entry["command"])
    path.write_text(json.dumps(entries, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return entries


def load(path: Path = RESULTS) -> list[dict[str, Any]]:
    """The entries of the file, none if there is no file."""
    entries: list[dict[str, Any]] = json.loads(path.read_text("utf-8")) if path.exists() else []
    return entries


def table(entries: Sequence[dict[str, Any]]) -> str:
    """The entries as a Markdown table."""
    lines = ["| what | figure | against | goal | command |", "|---|---|---|---|---|"]
    for entry in entries:
        goal = entry["goal"]
        if entry["met"] is not None:
            goal += ": met" if entry["met"] else ": **not met**"
        lines.append(
            f"| {entry['name']} | {entry['figure']:g} {entry['unit']} | {entry['against']} "
            f"| {goal} | `{entry['command']}` |"
        )
    return "\n".join(lines) + "\n"


def headlines(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the README quotes: figures that have a goal, met or not, and how long things take."""
    return [entry for entry in entries if entry["goal"] or entry["name"].endswith(": wall")]


def write_table(entries: Sequence[dict[str, Any]]) -> None:
    """Write the page of this folder, with the machine that the figures hold for, and the README."""
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    quoted = table(headlines(entries))
    README.write_text(f"{before}{BEGIN}\n{quoted}{END}{after}", encoding="utf-8")
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}"
    TABLE.write_text(_INTRO.format(machine=machine) + "\n" + table(entries), encoding="utf-8")
