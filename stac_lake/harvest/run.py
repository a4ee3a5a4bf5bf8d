"""Plan, run and record: the harvest of many cells on dask."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from stac_lake.catalog.commit import stored
from stac_lake.catalog.compact import compact, is_scattered
from stac_lake.catalog.index import Index, IndexRow
from stac_lake.catalog.publish import publish
from stac_lake.grid import Cell
from stac_lake.harvest.cluster import Submit, cluster
from stac_lake.harvest.failover import Lost, Place, count_once, place_of, together
from stac_lake.harvest.ledger import Entry, Ledger
from stac_lake.harvest.plan import Known, Plan, plan_block, waves
from stac_lake.harvest.task import Context, Task, tasks
from stac_lake.recipe import Recipe, Series, known, product
from stac_lake.store.objects import Objects
from stac_lake.types import Outcome, PlanRow, Slot
from stac_lake.upstream.upstream import Upstream

COMMIT_EVERY_S = 30.0
"""Finished items become visible in the index at least this often."""

Listener = Callable[[str, dict[str, Any]], None]
"""Called with an event (`planned`, `done`, `committed`, `published`) and its figures."""


@dataclass
class Report:
    """How a harvest ended.

    Attributes:
        outcomes: One per slot.
        traffic: Requests and bytes of all tasks and searches.
        version: Index version at the end.
    """

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    traffic: Counter[str] = field(default_factory=Counter)
    version: int | None = None

    def counts(self) -> dict[str, Any]:
        """``{"stored": n, "skipped": n, "empty": n, "failed": n, "products": {id: the four}}``."""
        total = dict.fromkeys(("stored", "skipped", "empty", "failed"), 0)
        per_product: dict[str, dict[str, int]] = {}
        for slot, outcome in self.outcomes.items():
            name = Slot.from_id(slot).product
            line = per_product.setdefault(name, dict.fromkeys(total, 0))
            line[outcome.state] += 1
            total[outcome.state] += 1
        return {**total, "products": dict(sorted(per_product.items()))}


class Harvest:
    """A harvest of some cells into one lake.

    Args:
        context: Lake and stand-in.
        recipe: What to harvest.
        workers: Threads, when no scheduler is given.
        scheduler: Address of a running dask cluster; None runs threads in this process.
        listen: Receives progress.
    """

    def __init__(
        self,
        context: Context,
        recipe: Recipe,
        *,
        workers: int | None = None,
        scheduler: str | None = None,
        listen: Listener = lambda event, figures: None,
    ) -> None:
        self.context = context
        self.recipe = recipe
        self.workers = workers or min(8, 2 * (os.cpu_count() or 1))
        self.scheduler = scheduler
        self.listen = listen
        self.objects = Objects.open(context.lake)
        self.index = Index(self.objects)
        self.ledger = Ledger(self.objects)
        self.upstream = Upstream(stand_in=context.stand_in)

    def plan(
        self, cells: Iterable[Cell], *, refresh: bool = False, retry: bool = False
    ) -> Iterator[tuple[Series, Plan]]:
        """Plans of all blocks and series; asks upstream, writes nothing."""
        for block, several in waves(self._series(), cells):
            have = self._known(block, refresh=refresh, retry=retry)
            for series in several:
                yield series, plan_block(self.recipe, series, block, self.upstream, have)

    def run(self, cells: Iterable[Cell], *, refresh: bool = False, retry: bool = False) -> Report:
        """Harvest cells: reconcile, plan, work, commit, publish.

        An interrupted run leaves a lake that verifies; what was finished is recorded, and the next
        run takes up the rest.

        Raises:
            StoreError: the lake cannot be read or written.
        """
        report = Report()
        touched = sorted(set(cells))
        self.index.reconcile(touched)
        with cluster(self.context, workers=self.workers, scheduler=self.scheduler) as submit:
            for block, several in waves(self._series(), touched):
                run = _Run(submit, report, self.ledger.read(block), refresh)
                have = self._known(block, run.last, refresh=refresh, retry=retry)
                pending: list[tuple[Series, PlanRow]] = []
                for series in several:
                    found = plan_block(self.recipe, series, block, self.upstream, have)
                    self._settle(found, run)
                    pending += [(series, row) for row in found.rows if _is_work(row)]
                self.listen("planned", {"block": block, "slots": len(pending)})
                self._fail_over(run, self._work(run, pending))
        report.traffic.update(self.upstream.traffic)
        if is_scattered(self.index):
            compact(self.index)
        publish(self.objects, self.index, touched)
        report.version = self.index.version
        self.listen("published", {"version": report.version})
        return report

    def run_rows(self, rows: Sequence[PlanRow], *, refresh: bool = False) -> Report:
        """Execute stored plan rows, without any search; what is stored already is skipped.

        Raises:
            ConfigError: a row is of a product that the recipe has not.
            StoreError: the lake cannot be read or written.
        """
        report = Report()
        cells = sorted({row.slot.cell for row in rows})
        self.index.reconcile(cells)
        last = self.ledger.read(cells)
        have = {
            slot: key for cell in cells for slot, (_, key) in stored(self.objects, cell).items()
        }
        by_product = {name: series for series in self._series() for name in series.products}
        with cluster(self.context, workers=self.workers, scheduler=self.scheduler) as submit:
            run = _Run(submit, report, last, refresh)
            pending = []
            for row in rows:
                series = known(row.slot.product, by_product, "product of the recipe")
                if have.get(row.slot.id) == row.digest and not refresh:
                    report.outcomes[row.slot.id] = Outcome(row.slot.id, "skipped", row.digest)
                elif _is_work(row):
                    pending.append((series, row))
                else:
                    self._settle(Plan((row,), ()), run)
            self._work(run, pending)
        report.traffic.update(self.upstream.traffic)
        publish(self.objects, self.index, cells)
        report.version = self.index.version
        return report

    def _series(self) -> list[Series]:
        return [series for series in self.recipe.series if series.products]

    def _known(
        self,
        block: Sequence[Cell],
        last: dict[str, Entry] | None = None,
        *,
        refresh: bool,
        retry: bool,
    ) -> Known:
        have = {
            slot: key for cell in block for slot, (_, key) in stored(self.objects, cell).items()
        }
        entries = self.ledger.read(block) if last is None else last
        tried = {slot: entry.outcome for slot, entry in entries.items()}
        return Known(have, tried, refresh=refresh, retry=retry)

    def _settle(self, found: Plan, run: _Run) -> None:
        """Record what needs no work: skipped before any search, or nothing to be had."""
        outcomes = list(found.settled)
        self.ledger.write(found.passed, run.last, datetime.now(UTC))
        for row in found.rows:
            if not _is_work(row):
                reason = row.reason or "no_scene"
                unreachable = reason.startswith("unreachable")
                if unreachable:
                    reason += ": " + "; ".join(row.providers_failed.values())
                outcomes.append(
                    Outcome(row.slot.id, "failed" if unreachable else "empty", row.digest, reason)
                )
        self._record(outcomes, run)

    def _record(self, outcomes: Sequence[Outcome], run: _Run) -> None:
        self.ledger.write(outcomes, run.last, datetime.now(UTC))
        run.report.outcomes |= {outcome.slot: outcome for outcome in outcomes}

    def _work(
        self, run: _Run, pending: Sequence[tuple[Series, PlanRow]]
    ) -> list[tuple[Series, PlanRow]]:
        """Run the tasks of some rows; returns the rows that failed on a provider."""
        jobs = _tasks(pending, run.refresh)
        rows: list[IndexRow] = []
        outcomes: list[Outcome] = []
        clock = time.monotonic()

        def flush() -> None:
            nonlocal clock
            if rows:
                version = self.index.append(rows)
                self.listen("committed", {"items": len(rows), "version": version})
            self._record(outcomes, run)
            rows.clear()
            outcomes.clear()
            clock = time.monotonic()

        try:
            for task, done in run.submit(jobs):
                rows += done.rows
                outcomes += done.outcomes
                run.report.traffic.update(done.traffic)
                self.listen("done", {"task": task.key, "outcomes": done.outcomes, "of": len(jobs)})
                if time.monotonic() - clock > COMMIT_EVERY_S:
                    flush()
        finally:
            # Also on Ctrl-C: what is finished must be visible, and must not be done again.
            flush()
        ended = [run.report.outcomes.get(row.slot.id) for _, row in pending]
        if any(outcome and outcome.state == "skipped" for outcome in ended):
            # Another harvester stored it, or an earlier attempt at the task that did not come back.
            self.index.reconcile({row.slot.cell for _, row in pending})
        return [
            (series, row)
            for series, row in pending
            if (outcome := run.report.outcomes.get(row.slot.id)) is not None
            and outcome.state == "failed"
            and row.candidates
        ]

    def _fail_over(self, run: _Run, failed: Sequence[tuple[Series, PlanRow]]) -> None:
        """Plan failed rows again without the providers whose files could not be read."""
        tried: dict[Place, list[str]] = {}
        while failed:
            again: list[tuple[Series, PlanRow]] = []
            ended = run.report.outcomes
            lost = [Lost(one, row, ended[row.slot.id].reason or "") for one, row in failed]
            cells = sorted({row.slot.cell for _, row in failed})
            have = self._known(cells, run.last, refresh=run.refresh, retry=True)
            for group in together(lost):
                series, without = group[0].series, group[0].asked
                plan = plan_block(self.recipe, series, cells, self.upstream, have, without=without)
                places = {one.place: one for one in group}
                for row in plan.rows:
                    if row.candidates and (one := places.get(place_of(series, row))):
                        again.append((series, one.by(row)))
            for series, row in (*failed, *again):
                tried.setdefault(place_of(series, row), []).append(row.slot.id)
            failed = self._work(run, again)
        for slots in tried.values():
            count_once(run.report.outcomes, slots)


@dataclass(frozen=True)
class _Run:
    """What the steps of one run share.

    Attributes:
        submit: Runs tasks.
        report: Grows as tasks end.
        last: The ledger's last entries of the cells at hand; grows as well.
        refresh: Make new versions of what is stored.
    """

    submit: Submit
    report: Report
    last: dict[str, Entry]
    refresh: bool


def _is_work(row: PlanRow) -> bool:
    """Rows without a reason are cut; a DEM row without a tile is open sea, which is stored, too."""
    return row.reason is None


def _tasks(pending: Sequence[tuple[Series, PlanRow]], refresh: bool) -> list[Task]:
    groups: dict[tuple[str, str], list[PlanRow]] = {}
    effective = {}
    for series, row in pending:
        key = (series.modality, row.slot.product)
        effective[key] = series.effective(product(row.slot.product))
        groups.setdefault(key, []).append(row)
    return [
        task
        for key, rows in groups.items()
        for task in tasks(effective[key], rows, refresh=refresh)
    ]
