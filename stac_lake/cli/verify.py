"""`verify`: what is wrong with a lake, and putting it right."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from stac_lake.cli import options

if TYPE_CHECKING:
    from stac_lake.catalog.mend import Mended
    from stac_lake.catalog.verify import Finding

QUIET_S = 30.0
"""A log gets a line of progress at most this often; a terminal every second."""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(verify)


def verify(
    grid: options.Grid = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every pixel; else only the files' first bytes.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Put right what is found, or queue it for a harvest.")
    ] = False,
    as_json: options.Json = False,
    lake: options.Lake = "./lake",
) -> None:
    """Find damaged assets and items, and where index and bucket differ; exit code 3 if any is."""
    from stac_lake.catalog.index import Index
    from stac_lake.catalog.verify import verify as check
    from stac_lake.harvest.repair import repair as mend
    from stac_lake.store.objects import Objects

    # What a damaged file makes GDAL say, a finding says in one line.
    logging.getLogger("rasterio").setLevel(logging.CRITICAL)
    objects = Objects.open(lake)
    index = Index(objects)
    actions: Counter[str] = Counter()
    waiting = 0
    with _progress() as progress:
        findings = check(
            objects,
            index,
            options.cells_from(grid) or None,
            depth="pixels" if deep else "header",
            listen=progress.advance,
        )
        if repair:
            for done in mend(objects, index, findings):
                actions[done.mended.action] += 1
                progress.clear()
                _print(done.finding, done.mended, as_json=as_json)
        else:
            for finding in findings:
                if finding.is_waiting:
                    waiting += 1
                    continue
                actions["found"] += 1
                progress.clear()
                _print(finding, None, as_json=as_json)
    _finish(actions, waiting)


def _print(finding: Finding, mended: Mended | None, *, as_json: bool) -> None:
    line: dict[str, object] = {
        "problem": finding.problem,
        "item": finding.item,
        "version": finding.version,
        "key": finding.key,
        "detail": finding.detail,
    }
    if mended:
        line |= {"action": mended.action, "done": mended.said}
    typer.echo(json.dumps(line) if as_json else "\t".join(str(value) for value in line.values()))


def _finish(actions: Counter[str], waiting: int) -> None:
    """Say how it is, and leave with 3 while anything is wrong."""
    if waiting:
        typer.echo(
            f"{waiting} whole items are not in the index yet: the next harvest of their cells, or "
            "--repair, adds them",
            err=True,
        )
    if actions["found"]:
        typer.echo(f"{actions['found']} problems; --repair puts them right", err=True)
        raise typer.Exit(3)
    if actions:
        counts = ", ".join(f"{n} {action}" for action, n in sorted(actions.items()))
        typer.echo(f"{actions.total()} problems: {counts}", err=True)
    if actions["requeued"]:
        typer.echo(
            f"{actions['requeued']} items were retired: `stac-lake retry`, or the next harvest of "
            "their cells, makes them again",
            err=True,
        )
    if actions["failed"]:
        raise typer.Exit(3)
    typer.echo("the lake is whole" if not actions else "what the lake has is whole", err=True)


class _Progress:
    """One line on stderr that counts cells and items."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._pause = 1.0 if self._is_terminal else QUIET_S
        self._began = self._spoke = time.monotonic()
        self._cells = self._items = 0
        self._is_shown = False

    def advance(self, cells: int, items: int) -> None:
        """Count a batch."""
        self._cells += cells
        self._items += items
        now = time.monotonic()
        if now - self._spoke < self._pause:
            return
        self._spoke = now
        line = f"checked {self._cells:,} cells, {self._items:,} items, {now - self._began:.0f} s"
        self.clear()
        typer.echo(line, err=True, nl=not self._is_terminal)
        self._is_shown = self._is_terminal

    def clear(self) -> None:
        """Make room for another line."""
        if self._is_shown:
            typer.echo("\r\x1b[2K", err=True, nl=False)
            self._is_shown = False


@contextmanager
def _progress() -> Iterator[_Progress]:
    shown = _Progress()
    try:
        yield shown
    finally:
        shown.clear()
