"""`query`, `publish` and `serve`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from stac_lake.cli import options, verify


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(query)
    verify.register(app)
    app.command()(publish)
    app.command()(serve)


def query(
    filter_text: Annotated[
        str | None,
        typer.Argument(
            metavar="[CQL2]", help='For example "eo:cloud_cover < 10 AND lake:valid_pct >= 95".'
        ),
    ] = None,
    product: options.Products = None,
    grid: options.Grid = None,
    bbox: options.Box = None,
    when: options.When = None,
    sortby: Annotated[
        str | None, typer.Option("--sortby", help="For example -eo:cloud_cover,id.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="At most so many items.")
    ] = None,
    count: Annotated[bool, typer.Option("--count", help="Print only how many match.")] = False,
    geojson: Annotated[
        bool, typer.Option("--geojson", help="Print one FeatureCollection.")
    ] = False,
    as_json: options.Json = False,
    at: options.At = None,
    lake: options.Lake = "./lake",
) -> None:
    """Items of the lake by quality, place and time; ids by default, one a line."""
    found = options.opened(lake, at).search(
        filter_text,
        products=product,
        cells=options.cells_from(grid) or None,
        bbox=options.numbers(bbox),
        datetime=when,
        sortby=sortby,
        max_items=limit,
    )
    if found.not_applied:
        typer.echo(
            f"filter not defined for, and nothing returned of: {', '.join(found.not_applied)}",
            err=True,
        )
    matched = found.matched()
    if count:
        typer.echo(matched)
    elif geojson:
        features = list(found)
        typer.echo(json.dumps({"type": "FeatureCollection", "features": features}))
    else:
        for item in found:
            typer.echo(json.dumps(item) if as_json else item["id"])
    if not matched:
        raise typer.Exit(4)


def publish(
    grid: options.Grid = None,
    lake: options.Lake = "./lake",
) -> None:
    """Write the static catalogue and the Collections from the index."""
    from stac_lake.catalog.index import Index
    from stac_lake.catalog.publish import publish as write
    from stac_lake.store.objects import Objects

    objects = Objects.open(lake)
    written = write(objects, Index(objects), options.cells_from(grid) or None)
    typer.echo(f"{written} documents written", err=True)


def serve(
    lake: options.Lake = "./lake",
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen on.")] = 8080,
    browser: Annotated[
        Path | None,
        typer.Option(
            "--browser",
            metavar="DIR",
            help="A build of STAC Browser; by default that of make browser.",
        ),
    ] = None,
) -> None:
    """Answer the STAC API over the lake, with previews, COGs and STAC Browser beside it."""
    from stac_lake.serve.browser import find_browser
    from stac_lake.serve.site import run

    at = f"http://{host}:{port}/"
    found = "" if find_browser(browser) else " (not built yet: make browser)"
    typer.echo(f"STAC API of {lake} at {at}, over HTTP alone at {at}http/", err=True)
    typer.echo(f"STAC Browser at {at}browser/{found} (Ctrl-C stops it)", err=True)
    run(lake, host=host, port=port, browser=browser)
