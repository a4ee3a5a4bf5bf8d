"""One unit of work: measure, choose, cut, commit. What shares a scene or a granule is one task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from itertools import groupby

from stac_lake import __version__
from stac_lake.catalog.commit import commit
from stac_lake.catalog.index import IndexRow
from stac_lake.catalog.item import ItemFacts
from stac_lake.errors import PixelError, StacLakeError, UpstreamError
from stac_lake.harvest.choose import Choice, choose, is_composite, opened
from stac_lake.pixels.cog import encode_cog
from stac_lake.pixels.operators import Operator, operator_for
from stac_lake.quality.measure import measure_chip
from stac_lake.recipe import Column, Product
from stac_lake.store.objects import Objects
from stac_lake.types import (
    Chip,
    Measure,
    Outcome,
    PlanRow,
    Scene,
    Source,
    State,
)
from stac_lake.upstream.upstream import Upstream


@dataclass(frozen=True)
class Task:
    """Plan rows that share scenes.

    Attributes:
        key: For progress and logs.
        product: The effective product.
        rows: With candidates (a composite may have none: open sea).
        refresh: Make new versions of what is stored with the same digest.
    """

    key: str
    product: Product = field(hash=False)
    rows: tuple[PlanRow, ...] = field(hash=False)
    refresh: bool = False


@dataclass(frozen=True)
class Context:
    """Where a worker reads and writes; small, so that it can travel to another machine.

    Credentials are not in here: each worker takes them from its own environment.
    """

    lake: str
    stand_in: str | None = None


@dataclass(frozen=True)
class Done:
    """What comes back from a task: kilobytes, never pixels."""

    outcomes: tuple[Outcome, ...]
    rows: tuple[IndexRow, ...]
    traffic: dict[str, int]


def tasks(product: Product, rows: Iterable[PlanRow], *, refresh: bool = False) -> Iterator[Task]:
    """Group rows of one product by what they share.

    Patches by cell and slot; granules of OLCI by block and slot, of Sentinel-5P by slot alone; the
    DEM by block.
    """

    def key(row: PlanRow) -> tuple[str, ...]:
        block = "{}-{}".format(*row.slot.cell.block)
        if product.values.operator == "elevation":
            return (block,)
        if product.values.operator == "column":
            return (row.slot.name,)
        return (f"{row.slot.cell.id:07d}" if row.slot.patch else block, row.slot.name)

    for parts, group in groupby(sorted(rows, key=lambda row: (key(row), row.slot)), key=key):
        yield Task("_".join((product.id, *parts)), product, tuple(group), refresh)


@lru_cache(maxsize=4)
def _resources(context: Context) -> tuple[Objects, Upstream]:
    return Objects.open(context.lake), Upstream(stand_in=context.stand_in)


def run_task(task: Task, context: Context) -> Done:
    """Execute a task. Failures of a slot are outcomes, not exceptions.

    Raises:
        StoreError: the lake itself cannot be written; nothing is half-visible.
    """
    objects, upstream = _resources(context)
    before = upstream.traffic
    work = _Work(task, objects, operator_of(task, upstream.source))
    if is_composite(task.product):
        work.composite()
    else:
        work.choose_and_cut()
    after = upstream.traffic
    return Done(
        tuple(work.outcomes),
        tuple(work.rows),
        {name: after[name] - before.get(name, 0) for name in after},
    )


def operator_of(task: Task, source: Source) -> Operator:
    """The operator that makes a task's pixels, with the terrain of all its rows."""
    terrain = {scene.id: scene for row in task.rows for scene in row.terrain}
    return operator_for(task.product, source, tuple(terrain.values()))


def measure_rows(task: Task, operator: Operator) -> dict[str, dict[str, Measure]]:
    """Masks of all candidates of all rows: row's item id → scene id → measure."""
    wanted: dict[str, Scene] = {}
    for row in task.rows:
        for scene in opened(task.product, row):
            wanted.setdefault(scene.id, scene)
    scenes = list(wanted.values())
    grids = [task.product.grid_of(row.slot) for row in task.rows]
    table = operator.measure(scenes, grids)
    by_row: dict[str, dict[str, Measure]] = {row.slot.id: {} for row in task.rows}
    for scene, line in zip(scenes, table, strict=True):
        for row, measure in zip(task.rows, line, strict=True):
            if scene in row.candidates:
                by_row[row.slot.id][scene.id] = measure
    return by_row


class _Work:
    """The state of one running task."""

    def __init__(self, task: Task, objects: Objects, operator: Operator) -> None:
        self.task = task
        self.objects = objects
        self.operator = operator
        self.outcomes: list[Outcome] = []
        self.rows: list[IndexRow] = []

    def composite(self) -> None:
        """Cut every row from all its scenes at once.

        A mean over orbits does without a granule that is corrupt or gone, and the ledger names it.
        A mosaic of heights does not: the hole would be taken for sea.
        """
        every = {scene.id: scene for row in self.task.rows for scene in row.candidates}
        losers: dict[str, str] = {}
        while True:
            rows = dict.fromkeys(self.task.rows, losers)
            try:
                self._cut_all(list(every.values()), rows)
            except (UpstreamError, PixelError) as error:
                broken = _scene_at_fault(error, every.values())
                spare = isinstance(self.task.product.values, Column) and not error.retryable
                if spare and broken and len(every) > 1:
                    losers[broken] = f"{type(error).__name__}: {error}"
                    del every[broken]
                    continue
                for row in rows:
                    self._record(row, "failed", f"{type(error).__name__}: {error}", losers)
            return

    def choose_and_cut(self) -> None:
        """Cut each row from its best scene; where that scene is broken, from the next."""
        measures = measure_rows(self.task, self.operator)
        open_rows: dict[PlanRow, Choice] = {}
        for row in self.task.rows:
            choice = choose(self.task.product, row, measures[row.slot.id])
            broken = [m.error for m in measures[row.slot.id].values() if m.error]
            if choice.scenes:
                open_rows[row] = choice
            elif broken:
                # A mask that could not be read is not "looked for and not found".
                self._record(row, "failed", broken[0], choice.losers)
            else:
                self._record(row, "empty", choice.reason, choice.losers)
        while open_rows:
            open_rows = self._cut_best(open_rows)

    def _cut_best(self, open_rows: Mapping[PlanRow, Choice]) -> dict[PlanRow, Choice]:
        """Cut every row from its first scene; returns the rows that have to try their next one."""
        again: dict[PlanRow, Choice] = {}

        def first(row: PlanRow) -> str:
            return open_rows[row].scenes[0].id

        for scene_id, group in groupby(sorted(open_rows, key=first), key=first):
            rows = {row: open_rows[row].losers for row in group}
            scene = open_rows[next(iter(rows))].scenes[0]
            for row, why in self._cut([scene], rows):
                losers = {**rows[row], scene_id: why}
                if rest := open_rows[row].scenes[1:]:
                    again[row] = Choice(rest, losers)
                else:
                    self._record(row, "failed", why, losers)
        return again

    def _cut(
        self, scenes: Sequence[Scene], rows: Mapping[PlanRow, dict[str, str]]
    ) -> list[tuple[PlanRow, str]]:
        """Cut and store rows from scenes; returns the rows that broke, with the cause.

        Args:
            scenes: What to cut from.
            rows: Row → the candidates that were not taken, with the reason.
        """
        try:
            self._cut_all(scenes, rows)
        except (UpstreamError, PixelError) as error:
            return [(row, f"{type(error).__name__}: {error}") for row in rows]
        return []

    def _cut_all(self, scenes: Sequence[Scene], rows: Mapping[PlanRow, dict[str, str]]) -> None:
        grids = [self.task.product.grid_of(row.slot) for row in rows]
        chips = self.operator.cut(scenes, grids)
        for (row, losers), chip in zip(rows.items(), chips, strict=True):
            if isinstance(chip, str):
                self._record(row, "empty", chip, losers)
            else:
                used = {scene.id for scene in chip.scenes}
                self._store(row, chip, {s: why for s, why in losers.items() if s not in used})

    def _store(self, row: PlanRow, chip: Chip, losers: dict[str, str]) -> None:
        product = self.task.product.with_bands(chip.bands)
        properties, bands = measure_chip(product, chip)
        cog = encode_cog(chip, product)
        facts = ItemFacts(
            slot=row.slot,
            product=product,
            windows=row.windows,
            grid=chip.grid,
            scenes=chip.scenes,
            properties={**chip.properties, **properties},
            bands=tuple(bands),
            band_metadata=chip.band_metadata,
            size=len(cog.data),
            sha256=cog.sha256,
            layout=cog.layout,
            digest=row.digest,
            created=datetime.now(UTC),
            software=__version__,
            failed_over_from=tuple(sorted(row.providers_failed)),
        )
        done = commit(self.objects, facts, cog.data, refresh=self.task.refresh)
        first = chip.scenes[0] if chip.scenes else None
        if done.won:
            self.rows.append(IndexRow(done.document, done.version))
        self.outcomes.append(
            Outcome(
                row.slot.id,
                "stored" if done.won else "skipped",
                row.digest,
                scene=first.id if first else None,
                provider=first.provider if first else None,
                losers={**row.superseded, **losers},
                version=done.version,
            )
        )

    def _record(
        self, row: PlanRow, state: State, reason: str | None, losers: dict[str, str]
    ) -> None:
        self.outcomes.append(
            Outcome(row.slot.id, state, row.digest, reason, losers={**row.superseded, **losers})
        )


def _scene_at_fault(error: StacLakeError, scenes: Iterable[Scene]) -> str | None:
    """Id of the scene that an error names, itself or by one of its files."""
    named = (error.context.get("item"), error.context.get("asset"))
    for scene in scenes:
        if {scene.id, *(asset.href for asset in scene.assets.values())} & set(named):
            return scene.id
    return None
