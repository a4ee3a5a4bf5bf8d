"""Progress: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

QUIET_S = 5.0
"""A log gets a line at most this often."""


class Progress:
    """Listens to a harvest and writes to a stream."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream)
        self._counts: Counter[str] = Counter()
        self._spoke = 0.0
        self._bar: Bar | None = None
        self._task: Any = None
        self._done = 0

    def __call__(self, event: str, figures: dict[str, Any]) -> None:
        if event == "planned":
            self._say(
                f"planned block {figures['block'][0].code} …: {figures['slots']} slots to make"
            )
            self._done = 0
        elif event == "done":
            self._advance(figures)
        elif event == "committed":
            self._say(f"committed {figures['items']} items as index version {figures['version']}")
        elif event == "published":
            self._close()
            self._say(f"published the static catalogue at index version {figures['version']}")

    def _advance(self, figures: dict[str, Any]) -> None:
        self._counts.update(outcome.state for outcome in figures["outcomes"])
        self._done += 1
        summary = ", ".join(f"{n} {state}" for state, n in sorted(self._counts.items()))
        if self._console.is_terminal:
            if self._bar is None:
                self._bar = Bar(
                    TextColumn("harvest"),
                    BarColumn(),
                    MofNCompleteColumn(),
                    TextColumn("tasks"),
                    TimeElapsedColumn(),
                    TextColumn("{task.description}"),
                    console=self._console,
                )
                self._bar.start()
                self._task = self._bar.add_task(summary, total=figures["of"])
            self._bar.update(
                self._task, completed=self._done, total=figures["of"], description=summary
            )
        elif time.monotonic() - self._spoke > QUIET_S or self._done == figures["of"]:
            self._spoke = time.monotonic()
            self._say(f"{self._done}/{figures['of']} tasks, last {figures['task']}: {summary}")

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
