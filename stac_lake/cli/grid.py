"""`stac-lake grid`: cells by id and by place."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from stac_lake.cli import options
from stac_lake.grid import Cell, cell_at, parse_cells

app = typer.Typer(
    help="The ERA5 0.25° grid: cells by id and by place.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def show(
    cells: Annotated[str, typer.Argument(help="Cell ids or codes, comma-separated.")],
    as_json: options.Json = False,
) -> None:
    """Centre, bounds and code of cells."""
    _print(list(parse_cells(cells)), as_json=as_json)


@app.command(context_settings={"ignore_unknown_options": True})
def find(
    lon: Annotated[float, typer.Argument(help="Longitude in degrees; wraps.")],
    lat: Annotated[float, typer.Argument(help="Latitude in degrees.")],
    as_json: options.Json = False,
) -> None:
    """The cell that a point belongs to."""
    _print([cell_at(lon, lat)], as_json=as_json)


def _print(cells: list[Cell], *, as_json: bool) -> None:
    for cell in cells:
        facts = {
            "id": cell.id,
            "lon": cell.lon,
            "lat": cell.lat,
            "bounds": list(cell.bounds),
            "code": cell.code,
            "collection": cell.collection_id,
        }
        if as_json:
            typer.echo(json.dumps(facts))
        else:
            typer.echo("  ".join(f"{name} {value}" for name, value in facts.items()))
