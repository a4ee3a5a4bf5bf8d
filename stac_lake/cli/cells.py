"""`cells`: which cells have what."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stac_lake.cli import options
from stac_lake.types import iso

if TYPE_CHECKING:
    from stac_lake.catalog.cell_search import CellCount

EMPTY = 4
"""Exit code of a question to which there is no answer, as `query` has it."""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(cells)


def cells(
    union: Annotated[
        bool, typer.Option("--union", help="Cells that have any item; the default.")
    ] = False,
    aligned: Annotated[
        bool, typer.Option("--aligned", help="Cells that have every modality of the recipe.")
    ] = False,
    accept: Annotated[
        str | None,
        typer.Option(
            "--accept", help="Products that count, too: s2-l2a,s1-rtc.", metavar="PRODUCT,…"
        ),
    ] = None,
    without: Annotated[
        str | None,
        typer.Option("--except", help="Modalities that --aligned may lack.", metavar="MODALITY,…"),
    ] = None,
    having: Annotated[
        str | None,
        typer.Option("--having", help='CQL2 over counts: "s3 >= 8 AND s2 >= 4 AND paired >= 1".'),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option("--where", help='CQL2 over items, before counting: "eo:cloud_cover < 10".'),
    ] = None,
    grid: options.Grid = None,
    bbox: options.Box = None,
    when: options.When = None,
    recipe: options.RecipeName = "copernicus-pretrain",
    count: Annotated[bool, typer.Option("--count", help="Print only how many there are.")] = False,
    as_json: options.Json = False,
    at: options.At = None,
    lake: options.Lake = "./lake",
) -> None:
    """Cells by what they hold; ids by default, one a line.

    Slots are counted, not files: s2 is how many slots of its series the best patch of the cell has.
    """
    if union and aligned:
        raise typer.BadParameter("--union and --aligned exclude each other")
    answer = options.opened(lake, at).cells(
        aligned=aligned,
        accept=options.listed(accept),
        without=options.listed(without),
        having=having,
        where=where,
        ids=[cell.collection_id for cell in options.cells_from(grid)] or None,
        bbox=options.numbers(bbox),
        datetime=when,
        recipe=recipe,
    )
    if answer.not_counted:
        names = ",".join(answer.not_counted)
        typer.echo(f"not counted: {names} (add --accept {names})", err=True)
    if answer.not_applied:
        names = ", ".join(answer.not_applied)
        typer.echo(f"--where is not defined for, and nothing counted of: {names}", err=True)
    if count:
        typer.echo(len(answer.cells))
    else:
        for one in answer.cells:
            typer.echo(json.dumps(_document(one)) if as_json else f"{one.cell.id}")
    if not answer.cells:
        raise typer.Exit(EMPTY)


def _document(one: CellCount) -> dict[str, Any]:
    return {
        "cell": one.cell.id,
        "collection": one.cell.collection_id,
        "items": one.items,
        **one.slots,
        "patches": one.patches,
        "paired": one.paired,
        "complete": one.complete,
        "start": iso(one.start),
        "end": iso(one.end),
    }
