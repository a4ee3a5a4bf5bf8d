"""`sandbox`, `demo` and `doctor`: what helps before and beside the work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from stac_lake.cli import options


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(sandbox)
    app.command()(demo)
    app.command()(doctor)


def sandbox(
    port: Annotated[int, typer.Option("--port", help="Port to listen on.")] = 8765,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Where made scenes are kept between runs.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Swath granules in real size.")] = False,
    delay_ms: Annotated[float, typer.Option("--delay-ms", min=0, help="Latency per request.")] = 0,
    bandwidth_mb: Annotated[
        float | None, typer.Option("--bandwidth-mb", min=0.1, help="MB/s per connection.")
    ] = None,
) -> None:
    """A local stand-in of the three public STAC APIs: `harvest --upstream http://127.0.0.1:PORT`."""
    from stac_lake.sandbox.config import SandboxConfig, default_cache
    from stac_lake.sandbox.server import run

    typer.echo(
        f"stand-in at http://127.0.0.1:{port} (both keys of CDSE are the word sandbox)",
        err=True,
    )
    config = SandboxConfig(
        port=port,
        cache=cache or default_cache(),
        full=full,
        delay_s=delay_ms / 1000,
        bandwidth=int(bandwidth_mb * 1e6) if bandwidth_mb else None,
    )
    run(config)


def demo(
    out: Annotated[
        Path, typer.Option("--out", help="Where the demo's lake and picture go.")
    ] = Path("demo"),
) -> None:
    """Two cells from the sandbox into a lake, a query, and a picture; no network, no account."""
    from stac_lake.demo import run

    run(out)


def doctor(
    upstream: options.Upstream = None,
    lake: options.Lake = "./lake",
    as_json: options.Json = False,
) -> None:
    """Check the lake, the providers and the credentials; secrets are never shown."""
    from stac_lake.doctor import check

    lines = check(lake, upstream)
    for line in lines:
        typer.echo(
            json.dumps(line) if as_json else f"{line['ok']!s:<6}{line['what']}: {line['detail']}"
        )
    if not all(line["ok"] for line in lines):
        raise typer.Exit(1)
