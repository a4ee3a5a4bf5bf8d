"""`log`, `gc`, `index compact` and `index rebuild`: the versions of a lake and their upkeep."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from stac_lake.cli import options
from stac_lake.types import iso

app = typer.Typer(help="Upkeep of the index.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    """Add the commands to the program."""
    parent.command()(log)
    parent.command()(gc)
    app.command()(compact)
    app.command()(rebuild)
    parent.add_typer(app, name="index")


def log(
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Only the newest so many.")
    ] = None,
    as_json: options.Json = False,
    lake: options.Lake = "./lake",
) -> None:
    """Versions of the lake, newest first; `--at VERSION` of other commands takes them."""
    from stac_lake.catalog.log import CommitLog
    from stac_lake.store.objects import Objects

    for entry in CommitLog(Objects.open(lake)).entries(limit):
        if as_json:
            typer.echo(json.dumps({**asdict(entry), "time": iso(entry.time)}))
        else:
            files = f"+{entry.files_added} -{entry.files_removed} files"
            typer.echo(
                f"{entry.version:6d}  {iso(entry.time)}  {entry.operation:8s}"
                f"{entry.rows:10,d} rows  {files}"
            )


def gc(
    keep: Annotated[
        float, typer.Option("--keep", min=0, help="Days for which versions stay readable.")
    ] = 30,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be deleted, and delete nothing.")
    ] = False,
    lake: options.Lake = "./lake",
) -> None:
    """Delete what no retained version refers to, and what dead attempts have left."""
    from stac_lake.catalog import garbage
    from stac_lake.catalog.index import Index
    from stac_lake.store.objects import Objects

    objects = Objects.open(lake)
    index, span = Index(objects), timedelta(days=keep)
    if dry_run:
        for info in garbage.garbage(objects, index, keep=span):
            typer.echo(f"{info.size}\t{info.key}")
        return
    count, size = garbage.collect(objects, index, keep=span)
    typer.echo(f"{count} objects deleted, {size / 1e6:,.1f} MB", err=True)


def compact(lake: options.Lake = "./lake") -> None:
    """Merge small data files; every version stays readable."""
    from stac_lake.catalog.compact import compact as merge
    from stac_lake.catalog.index import Index
    from stac_lake.store.objects import Objects

    index = Index(Objects.open(lake))
    replaced = merge(index)
    typer.echo(f"{replaced} files merged; version {index.version}", err=True)


def rebuild(lake: options.Lake = "./lake") -> None:
    """Make the index anew from the items in the bucket: the present, not the history."""
    from stac_lake.catalog.index import Index
    from stac_lake.store.objects import Objects

    index = Index(Objects.open(lake))
    found = index.rebuild()
    typer.echo(f"{found} items; version {index.version}", err=True)
