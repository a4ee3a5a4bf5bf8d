"""`adopt`: a Copernicus-Pretrain tree becomes a lake where it is."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stac_lake.cli import options

if TYPE_CHECKING:
    from stac_lake.harvest.adopt import AdoptReport

INCOMPLETE = 3
"""Exit code where some files could not be adopted."""
_EVERY_S = 5.0


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(adopt)


def adopt(
    tree: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder of s1_grd_utm, s2_toa_mix and so on.")
    ],
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Read all pixels: valid shares, statistics, checksums."),
    ] = False,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Processes; default is one per CPU.")
    ] = os.cpu_count() or 1,
    as_json: options.Json = False,
    lake: options.Lake = "./lake",
) -> None:
    """Catalogue a tree of GeoTIFFs in place: items, index and ledger; no pixel is copied.

    Only headers are read. Run again, it goes on where it stopped, and adds what is new. The files
    are read by rasterio, GDAL and odc-stac; for the loaders of this package, harvest.
    """
    from stac_lake.harvest.adopt import adopt as run

    started = said = time.monotonic()

    def line(report: AdoptReport) -> str:
        done = sum(report.counts.values())
        rate = done / max(time.monotonic() - started, 1e-9)
        states = ("stored", "skipped", "failed", "unnamed")
        parts = [f"{report.counts[state]} {state}" for state in states]
        return f"{', '.join(parts)} ({rate:.0f} files/s)"

    def progress(report: AdoptReport) -> None:
        nonlocal said
        if time.monotonic() - said > _EVERY_S:
            said = time.monotonic()
            typer.echo(line(report), err=True)

    report = run(tree, lake, measure=measure, workers=workers, progress=progress)
    for path, why in report.unnamed.items():
        typer.echo(f"left out: {path}: {why}", err=True)
    for why, count in report.reasons.most_common(10):
        typer.echo(f"failed: {count} × {why}", err=True)
    typer.echo(line(report), err=True)
    if as_json:
        counts = {name: report.counts[name] for name in ("stored", "skipped", "failed", "unnamed")}
        typer.echo(json.dumps({**counts, "reasons": dict(report.reasons)}))
    if report.counts["failed"] or report.counts["unnamed"]:
        raise typer.Exit(INCOMPLETE)
