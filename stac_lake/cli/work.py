"""`plan`, `harvest`, `status` and `retry`."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stac_lake.cli import options
from stac_lake.errors import ConfigError, GridError

if TYPE_CHECKING:
    from stac_lake.grid import Cell
    from stac_lake.harvest.run import Harvest, Report
    from stac_lake.recipe import Recipe
    from stac_lake.types import PlanRow

Patches = Annotated[
    int | None, typer.Option("--patches", min=1, help="That many patches per cell, spread evenly.")
]
Scheduler = Annotated[
    str | None, typer.Option("--scheduler", help="Address of a running dask scheduler.")
]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Threads on this machine.")]
Refresh = Annotated[bool, typer.Option("--refresh", help="New versions of what is stored.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(plan)
    app.command()(harvest)
    app.command()(status)
    app.command()(retry)


def plan(
    grid: options.Grid = None,
    ids: options.Range = None,
    aoi: options.Aoi = None,
    recipe: options.RecipeName = "copernicus-pretrain",
    product: options.Products = None,
    patches: Patches = None,
    lake: options.Lake = "./lake",
    upstream: options.Upstream = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the plan, one row a line.")
    ] = None,
    lock: Annotated[
        bool, typer.Option("--lock", help="Read masks and keep one candidate a slot.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """What a harvest would do. Writes nothing to the lake."""
    from stac_lake.harvest.estimate import estimate
    from stac_lake.harvest.lock import lock_rows
    from stac_lake.harvest.planfile import row_to_json

    cells = _need_cells(grid, ids, aoi)
    job = _harvest(lake, upstream, _recipe(recipe, product, patches))
    rows: list[PlanRow] = []
    settled = 0
    for _, block in job.plan(cells):
        rows += block.rows
        settled += len(block.settled)
    if lock:
        rows = lock_rows(job, rows)
    if out:
        out.write_text("".join(row_to_json(row) + "\n" for row in rows), encoding="utf-8")
    summary = estimate(job.recipe, rows, settled)
    if as_json:
        typer.echo(json.dumps(summary))
        return
    for row in rows:
        what = row.reason or f"{len(row.candidates)} candidates"
        typer.echo(f"{row.slot.id}\t{what}")
    typer.echo("  ".join(f"{name} {value}" for name, value in summary.items()), err=True)


def harvest(
    grid: options.Grid = None,
    ids: options.Range = None,
    aoi: options.Aoi = None,
    recipe: options.RecipeName = "copernicus-pretrain",
    product: options.Products = None,
    patches: Patches = None,
    lake: options.Lake = "./lake",
    upstream: options.Upstream = None,
    scheduler: Scheduler = None,
    workers: Workers = None,
    plan_file: Annotated[
        Path | None, typer.Option("--plan", help="Execute a plan that `plan --out` wrote.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan only; write nothing.")] = False,
    refresh: Refresh = False,
    require: Annotated[
        bool, typer.Option("--require", help="Exit with 5 if any slot lacks credentials.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Harvest cells into the lake; what is there already is skipped."""
    if dry_run:
        plan(grid, ids, aoi, recipe, product, patches, lake, upstream, as_json=as_json)
        return
    job = _harvest(lake, upstream, _recipe(recipe, product, patches), scheduler, workers)
    if plan_file:
        from stac_lake.harvest.planfile import row_from_json

        try:
            lines = plan_file.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise ConfigError(f"cannot read {plan_file}: {error.strerror}") from error
        report = job.run_rows([row_from_json(line) for line in lines], refresh=refresh)
    else:
        report = job.run(_need_cells(grid, ids, aoi), refresh=refresh)
    _finish(report, as_json=as_json, require=require)


def retry(
    grid: options.Grid = None,
    ids: options.Range = None,
    aoi: options.Aoi = None,
    recipe: options.RecipeName = "copernicus-pretrain",
    product: options.Products = None,
    patches: Patches = None,
    lake: options.Lake = "./lake",
    upstream: options.Upstream = None,
    scheduler: Scheduler = None,
    workers: Workers = None,
    as_json: options.Json = False,
) -> None:
    """Look again for what failed or was not found; without cells, for all of the ledger."""
    from stac_lake.types import Slot

    job = _harvest(lake, upstream, _recipe(recipe, product, patches), scheduler, workers)
    cells = options.cells_from(grid, ids, aoi)
    if not cells:
        entries = job.ledger.read()
        cells = sorted(
            {Slot.from_id(s).cell for s, e in entries.items() if e.outcome.state != "stored"}
        )
    if not cells:
        typer.echo("nothing to retry: the ledger has no empty or failed slot", err=True)
        raise typer.Exit(4)
    _finish(job.run(cells, retry=True), as_json=as_json, require=False)


def status(
    grid: options.Grid = None,
    lake: options.Lake = "./lake",
    as_json: options.Json = False,
) -> None:
    """What was tried, and how it ended, by product and reason."""
    from stac_lake.harvest.ledger import Ledger
    from stac_lake.store.objects import Objects
    from stac_lake.types import Slot

    entries = Ledger(Objects.open(lake)).read(options.cells_from(grid) or None)
    if not entries:
        typer.echo(f"the ledger of {lake} has nothing on that", err=True)
        raise typer.Exit(4)
    counts = Counter(
        (Slot.from_id(slot).product, e.outcome.state, e.outcome.reason or "")
        for slot, e in entries.items()
    )
    if as_json:
        for slot in sorted(entries):
            entry = entries[slot]
            line: dict[str, object] = {"slot": slot, "at": entry.at, "state": entry.outcome.state}
            line |= {"reason": entry.outcome.reason, "scene": entry.outcome.scene}
            line |= {"provider": entry.outcome.provider, "losers": entry.outcome.losers}
            typer.echo(json.dumps(line))
        return
    for (name, state, reason), number in sorted(counts.items()):
        typer.echo(f"{name}\t{state}\t{number}\t{reason}".rstrip())


def _recipe(name: str, products: list[str] | None, patches: int | None) -> Recipe:
    from stac_lake.harvest.plan import select
    from stac_lake.recipe import UniformPatches
    from stac_lake.recipe import recipe as load_recipe

    loaded = select(load_recipe(name), products or ())
    if patches:
        loaded = loaded.model_copy(update={"patches": UniformPatches(uniform=patches)})
    return loaded


def _need_cells(grid: list[str] | None, ids: str | None, aoi: Path | None) -> list[Cell]:
    cells = options.cells_from(grid, ids, aoi)
    if not cells:
        raise GridError(
            "no cell given: use --grid, --range or --aoi (`stac-lake grid find LON LAT`)"
        )
    return cells


def _harvest(
    lake: str,
    upstream: str | None,
    recipe: Recipe,
    scheduler: str | None = None,
    workers: int | None = None,
) -> Harvest:
    from stac_lake.harvest.progress import Progress
    from stac_lake.harvest.run import Harvest
    from stac_lake.harvest.task import Context

    listen = Progress(sys.stderr)
    return Harvest(
        Context(lake, upstream), recipe, workers=workers, scheduler=scheduler, listen=listen
    )


def _finish(report: Report, *, as_json: bool, require: bool) -> None:
    """Print the counts and leave with the exit code that they mean."""
    counts = report.counts()
    if as_json:
        typer.echo(json.dumps(counts))
    else:
        _print_counts(counts)
    outcomes = report.outcomes.values()
    for cause, number in Counter(o.reason for o in outcomes if o.state == "failed").items():
        typer.echo(f"{number} failed: {cause}; `stac-lake retry` takes them up", err=True)
    lacking = [o for o in outcomes if (o.reason or "").startswith("credentials_missing")]
    for cause, number in Counter(o.reason for o in lacking).items():
        typer.echo(f"{number} empty: {cause}: set the variable and run again", err=True)
    if lacking and (require or len(lacking) == len(report.outcomes)):
        raise typer.Exit(5)
    if counts["failed"]:
        raise typer.Exit(3)
    if not report.outcomes:
        raise typer.Exit(4)


def _print_counts(counts: dict[str, Any]) -> None:
    states = ("stored", "skipped", "empty", "failed")
    typer.echo(f"{'product':<14}" + "".join(f"{state:>9}" for state in states))
    for name, line in [*counts["products"].items(), ("all", counts)]:
        typer.echo(f"{name:<14}" + "".join(f"{line[state]:>9}" for state in states))
