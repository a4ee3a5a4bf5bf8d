"""`query`, `verify`, `publish` and `serve`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from stac_lake.cli import options


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(query)
    app.command()(verify)
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
    from stac_lake.lake import open_lake

    opened = open_lake(lake)
    found = (opened if at is None else opened.at(at)).search(
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


def verify(
    grid: options.Grid = None,
    lake: options.Lake = "./lake",
    as_json: options.Json = False,
) -> None:
    """Check that every item's asset exists and has its size and checksum, and the index."""
    from stac_lake.catalog.index import Index
    from stac_lake.catalog.verify import verify as check
    from stac_lake.store.objects import Objects

    objects = Objects.open(lake)
    findings = list(check(objects, Index(objects), options.cells_from(grid) or None))
    # An interrupted harvest leaves whole items that the index has not heard of: that is no damage.
    waiting = [one for one in findings if one.problem == "not_in_index"]
    findings = [one for one in findings if one.problem != "not_in_index"]
    for finding in findings:
        line = {
            "problem": finding.problem,
            "item": finding.item,
            "key": finding.key,
            "detail": finding.detail,
        }
        typer.echo(json.dumps(line) if as_json else "\t".join(str(v) for v in line.values()))
    if waiting:
        typer.echo(
            f"{len(waiting)} whole items are not in the index yet, {waiting[0].item} first: "
            "the next harvest of their cells adds them",
            err=True,
        )
    if findings:
        typer.echo(f"{len(findings)} problems", err=True)
        raise typer.Exit(3)
    typer.echo("the lake is whole", err=True)


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
) -> None:
    """Answer the STAC API over the lake, for example to pystac-client."""
    from stac_lake.serve.app import run

    typer.echo(f"STAC API of {lake} at http://{host}:{port} (Ctrl-C stops it)", err=True)
    run(lake, host=host, port=port)
