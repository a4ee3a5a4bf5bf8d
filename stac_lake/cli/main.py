"""The commands put together, and errors turned into one line and an exit code."""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import typer

from stac_lake import __version__
from stac_lake.cli import (
    adopt,
    catalogue,
    cells,
    export,
    grid,
    index,
    local,
    stats,
    work,
    world,
)
from stac_lake.errors import (
    ConfigError,
    CredentialsMissing,
    GridError,
    QueryError,
    StacLakeError,
)

INTERRUPTED = 130
"""128 + SIGINT, as shells count it."""

app = typer.Typer(
    name="stac-lake",
    help="Build a training lake of Sentinel crops on the ERA5 grid.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: half the start-up time, and readable in a log
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(grid.app, name="grid")
work.register(app)
catalogue.register(app)
cells.register(app)
index.register(app)
stats.register(app)
world.register(app)
export.register(app)
adopt.register(app)
local.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stac-lake {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Log every request and task on stderr.")
    ] = False,
) -> None:
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )


def main() -> None:
    """Entry point of `stac-lake`."""
    code = run(sys.argv[1:])
    if code == INTERRUPTED:
        # A thread that waits for a provider would hold up the end for minutes. Dropping it is safe:
        # nothing of an item is visible before its last write.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    try:
        app(args=arguments, prog_name="stac-lake")
    except SystemExit as stop:
        # Usage errors and --help end here, with their message already written.
        code = int(stop.code or 0)
        if code == INTERRUPTED:
            _say("interrupted: what was finished is kept; run the same command again to go on")
        return code
    except (ConfigError, GridError, QueryError) as error:
        _say(f"error: {error}")
        return 2
    except CredentialsMissing as error:
        _say(f"error: {error}")
        return 5
    except StacLakeError as error:
        _say(f"error: {error}")
        return 1
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr)
