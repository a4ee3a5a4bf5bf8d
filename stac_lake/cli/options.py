"""Options that several commands share, and what they mean."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stac_lake.errors import ConfigError, GridError
from stac_lake.grid import Cell, cells_over, parse_cells

if TYPE_CHECKING:
    from stac_lake.lake import Lake as OpenLake

Lake = Annotated[
    str,
    typer.Option(
        "--lake", envvar="STAC_LAKE_URL", help="Directory or s3://bucket/prefix of the lake."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Grid = Annotated[
    list[str] | None,
    typer.Option("--grid", help="Cell ids or codes: 123456 or 123456,ERA5-0772176; repeatable."),
]
Range = Annotated[
    str | None, typer.Option("--range", help="Half-open range of cell ids, A:B.", metavar="A:B")
]
Aoi = Annotated[
    Path | None, typer.Option("--aoi", help="GeoJSON file: all cells that it meets, in degrees.")
]
RecipeName = Annotated[str, typer.Option("--recipe", help="Id of a recipe, or a YAML file.")]
Products = Annotated[
    list[str] | None, typer.Option("--product", help="Only these products; repeatable.")
]
Box = Annotated[str | None, typer.Option("--bbox", help="West,south,east,north in degrees.")]
When = Annotated[str | None, typer.Option("--datetime", help="Moment or interval a/b.")]
At = Annotated[
    int | None, typer.Option("--at", min=0, help="The lake as of this version (`stac-lake log`).")
]
Upstream = Annotated[
    str | None,
    typer.Option(
        "--upstream",
        help="Stand-in for all providers: the URL of `stac-lake sandbox`.",
        metavar="URL",
    ),
]


def cells_from(
    grid: Sequence[str] | None, ids: str | None = None, aoi: Path | None = None
) -> list[Cell]:
    """The cells of --grid, --range and --aoi together, in order.

    Raises:
        GridError: an id, range or area is not valid.
        ConfigError: the AOI file cannot be read.
    """
    cells = {cell for text in grid or () for cell in parse_cells(text)}
    if ids is not None:
        first, colon, last = ids.partition(":")
        if not (colon and first.isdigit() and last.isdigit() and int(first) < int(last)):
            raise GridError(f"--range {ids!r} is not A:B with A < B")
        cells |= {Cell(number) for number in range(int(first), int(last))}
    if aoi is not None:
        cells |= set(_cells_of_file(aoi))
    return sorted(cells)


def opened(url: str, at: int | None) -> OpenLake:
    """The lake of --lake and --at, with a word on stderr if there is nothing in it.

    Raises:
        ConfigError: the URL is not a place for a lake.
    """
    from stac_lake.lake import open_lake

    lake = open_lake(url)
    if lake.index.version is None:
        typer.echo(f"nothing has been stored in {url} yet: is --lake right?", err=True)
    return lake if at is None else lake.at(at)


def listed(text: str | None) -> tuple[str, ...]:
    """The parts of a list with commas."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def numbers(text: str | None) -> list[float] | None:
    """The numbers of a box.

    Raises:
        typer.BadParameter: one of them is none.
    """
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not west,south,east,north") from error


def _cells_of_file(path: Path) -> list[Cell]:
    from shapely.errors import ShapelyError
    from shapely.geometry import shape
    from shapely.ops import unary_union

    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        parts = document.get("features", [document])
        return cells_over(unary_union([shape(part.get("geometry", part)) for part in parts]))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, AttributeError, TypeError, ShapelyError) as error:
        raise ConfigError(f"{path} is not GeoJSON: {error}") from error
