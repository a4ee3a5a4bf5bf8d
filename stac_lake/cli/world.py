"""`map`: where a lake's cells are, as pictures and a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stac_lake.cli import options


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("map")(world)


def world(
    out: Annotated[Path, typer.Option("--out", help="Folder for the page and pictures.")] = Path(
        "map"
    ),
    accept: Annotated[
        str | None,
        typer.Option(
            "--accept", help="Products that count, too: s2-l2a,s1-rtc.", metavar="PRODUCT,…"
        ),
    ] = None,
    recipe: options.RecipeName = "copernicus-pretrain",
    at: options.At = None,
    lake: options.Lake = "./lake",
) -> None:
    """World maps of coverage and histograms of series: PNG files, and one HTML page."""
    from stac_lake.atlas.coverage import coverage
    from stac_lake.errors import ConfigError

    try:
        from stac_lake.atlas.page import write_map
    except ModuleNotFoundError as error:
        raise ConfigError(f"map needs {error.name}: pip install 'stac-lake[plot]'") from error

    opened = options.opened(lake, at)
    found = coverage(opened, accept=options.listed(accept), recipe=recipe)
    if found.not_counted:
        names = ",".join(found.not_counted)
        typer.echo(f"not counted: {names} (add --accept {names})", err=True)
    for path in write_map(found, out, opened.index.objects.url):
        typer.echo(path)
