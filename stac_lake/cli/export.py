"""`export`: a lake in the forms that others read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from stac_lake.cli import options

EMPTY = 4
"""Exit code of a question to which there is no answer, as `query` has it."""


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    group = typer.Typer(help="Write the lake in the forms that others read.", no_args_is_help=True)
    group.command()(fnames)
    group.callback()(_export)
    app.add_typer(group, name="export")


def _export() -> None:
    """Write the lake in the forms that others read."""


def fnames(
    out: Annotated[Path, typer.Option("--out", help="Folder for the three files.")],
    accept: Annotated[
        str | None,
        typer.Option(
            "--accept", help="Products that count, too: s2-l2a,s1-rtc.", metavar="PRODUCT,…"
        ),
    ] = None,
    as_json: options.Json = False,
    at: options.At = None,
    lake: options.Lake = "./lake",
) -> None:
    """The JSON indexes of Copernicus-Pretrain: all cells, union, and joint (aligned)."""
    from stac_lake.catalog.export import export_fnames

    done = export_fnames(
        options.opened(lake, at).index, out, accept=options.listed(accept), version=at
    )
    if as_json:
        typer.echo(json.dumps({"cells": done.cells, "files": done.files}))
    else:
        for name, cells in done.cells.items():
            typer.echo(f"{out / name}.json.gz\t{cells} cells")
    if not sum(done.files.values()):
        typer.echo("no item counts: see --accept", err=True)
        raise typer.Exit(EMPTY)
