"""`plan --lock`: run measure and choose, and keep one candidate per slot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stac_lake.harvest.choose import choose, is_composite
from stac_lake.harvest.run import Harvest
from stac_lake.harvest.task import measure_rows, operator_of, tasks
from stac_lake.recipe import Product, product
from stac_lake.types import PlanRow


def lock_rows(job: Harvest, rows: Sequence[PlanRow]) -> list[PlanRow]:
    """Rows with the one scene that a harvest would cut today, or the reason why there is none.

    Composites keep all their granules: the mean of a month has no single source.
    """
    effective: dict[str, Product] = {
        name: series.effective(product(name))
        for series in job.recipe.series
        for name in series.products
    }
    locked = {row.slot.id: row for row in rows}
    for name in sorted({row.slot.product for row in rows}):
        item = effective[name]
        if is_composite(item):
            continue
        work = [row for row in rows if row.slot.product == name and row.reason is None]
        for task in tasks(item, work):
            measures = measure_rows(task, operator_of(task, job.upstream.source))
            for row in task.rows:
                choice = choose(item, row, measures[row.slot.id])
                locked[row.slot.id] = replace(
                    row, candidates=choice.scenes[:1], reason=choice.reason
                )
    return [locked[row.slot.id] for row in rows]
