"""`stats`: mean, spread, quantiles and histograms of a query's valid pixels."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stac_lake.cli import options

if TYPE_CHECKING:
    from stac_lake.atlas.statistics import BandStatistics, ProductStatistics

EMPTY = 4
"""Exit code of a question to which there is no answer, as `query` has it."""
WORTH_A_PROCESS = 500
"""Items that take as long to read as a process takes to start."""
INCOMPLETE = 3
"""Exit code where some items could not be read."""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(stats)


def stats(
    filter_text: Annotated[
        str | None, typer.Argument(metavar="[CQL2]", help='For example "eo:cloud_cover < 10".')
    ] = None,
    product: options.Products = None,
    grid: options.Grid = None,
    bbox: options.Box = None,
    when: options.When = None,
    by_area: Annotated[
        bool,
        typer.Option("--by-area", help="Weigh each pixel by the area of its cell, not by 1."),
    ] = False,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Processes; default is one per CPU.")
    ] = os.cpu_count() or 1,
    as_json: options.Json = False,
    at: options.At = None,
    lake: options.Lake = "./lake",
) -> None:
    """Statistics of the valid pixels of all items that match, by product and band.

    Every asset is read. With --json also histograms, one product a line.
    """
    from stac_lake.atlas.statistics import pixel_statistics

    found = options.opened(lake, at).search(
        filter_text,
        products=product,
        cells=options.cells_from(grid) or None,
        bbox=options.numbers(bbox),
        datetime=when,
    )
    matched = found.matched()
    if found.not_applied:
        names = ", ".join(found.not_applied)
        typer.echo(f"filter not defined for, and nothing read of: {names}", err=True)
    if not matched:
        raise typer.Exit(EMPTY)
    step = max(1, matched // 20)
    said = 0

    def progress(done: int) -> None:
        nonlocal said
        if done - said >= step or done == matched:
            said = done
            typer.echo(f"{done} of {matched} items read", err=True)

    answer = pixel_statistics(
        found,
        weight="cell-area" if by_area else "pixel",
        workers=min(workers, 1 + matched // WORTH_A_PROCESS),
        progress=progress,
    )
    if as_json:
        for one in answer.products:
            typer.echo(json.dumps(_document(one, by_area)))
    else:
        typer.echo("\n".join(_table(answer.products)))
    for item, why in answer.unread.items():
        typer.echo(f"not read: {item}: {why}", err=True)
    if answer.unread:
        raise typer.Exit(INCOMPLETE)


def _table(products: Iterable[ProductStatistics]) -> list[str]:
    head = ["product", "band", "pixels", "mean", "std", "min"]
    head += [*(f"q{100 * share:g}" for share in _shares()), "max", "unit"]
    rows = [head]
    for one in products:
        for band in one.bands:
            rows.append([one.product, band.name, str(band.moments.count), *_numbers(band)])
    widths = [max(len(row[place]) for row in rows) for place in range(len(head))]
    left = {0, 1, len(head) - 1}
    return [
        "  ".join(
            text.ljust(width) if place in left else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _shares() -> tuple[float, ...]:
    from stac_lake.atlas.statistics import SHARES

    return SHARES


def _numbers(band: BandStatistics) -> list[str]:
    moments = band.moments
    unit = band.unit or ""
    if band.scale:
        unit = f"{band.scale:g}" if unit in {"", "1"} else f"{band.scale:g} {unit}"
    if not moments.count:
        return [*["-"] * (4 + len(_shares())), unit]
    values = [moments.mean, moments.stddev, moments.minimum, *band.quantiles.values()]
    return [*(f"{value:.6g}" for value in (*values, moments.maximum)), unit]


def _document(one: ProductStatistics, by_area: bool) -> dict[str, Any]:
    return {
        "product": one.product,
        "items": one.items,
        "weight": "cell-area-km2" if by_area else "pixel",
        "bands": [_band(band) for band in one.bands],
    }


def _band(band: BandStatistics) -> dict[str, Any]:
    moments = band.moments
    found: dict[str, Any] = {"name": band.name, "unit": band.unit, "scale": band.scale}
    found = {name: value for name, value in found.items() if value is not None}
    found |= {"valid_pixels": moments.count, "weight": moments.weight}
    if not moments.count:
        return found
    return found | {
        "statistics": {
            "minimum": moments.minimum,
            "maximum": moments.maximum,
            "mean": moments.mean,
            "stddev": moments.stddev,
        },
        "quantiles": {f"{share:g}": value for share, value in band.quantiles.items()},
        "quantile_relative_error": band.quantile_error,
        # As the raster extension has it.
        "histogram": {
            "count": len(band.buckets),
            "min": moments.minimum,
            "max": moments.maximum,
            "buckets": list(band.buckets),
        },
    }
