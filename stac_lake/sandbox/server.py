"""The sandbox as a server: the three providers, their files, and the controls, on one port."""

from __future__ import annotations

import json
import logging
import multiprocessing
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stac_lake.sandbox.api import StacApi
from stac_lake.sandbox.assets import Assets
from stac_lake.sandbox.config import SandboxConfig
from stac_lake.sandbox.dialects import DIALECTS
from stac_lake.sandbox.faults import Fault, FaultPlan
from stac_lake.sandbox.holdings import catalog
from stac_lake.sandbox.traffic import ConnectionCut, Stats, Traffic

__all__ = ["SandboxConfig", "make_app", "run", "serve", "serve_apart"]

_START_TIMEOUT_S = 30.0


def make_app(config: SandboxConfig) -> Starlette:
    """The application without a server.

    Args:
        config: Its settings.
    """
    faults, stats = FaultPlan(), Stats()
    faults.arm(*config.faults)
    holdings = catalog()
    routes = _controls(faults, stats)
    for dialect in DIALECTS:
        routes += StacApi(dialect, holdings, faults).routes()
    routes += Assets(holdings, config, faults).routes()
    middleware = [Middleware(Traffic, config=config, faults=faults, stats=stats)]
    app = Starlette(routes=routes, middleware=middleware)
    app.router.redirect_slashes = False
    return app


def _controls(faults: FaultPlan, stats: Stats) -> list[Route]:
    async def read_stats(request: Request) -> Response:
        return JSONResponse(stats.report())

    async def reset(request: Request) -> Response:
        stats.clear()
        faults.clear()
        return JSONResponse(stats.report())

    async def list_faults(request: Request) -> Response:
        return JSONResponse({"faults": faults.report()})

    async def arm(request: Request) -> Response:
        try:
            plan = json.loads(await request.body())
            listed = plan.get("faults", [plan]) if isinstance(plan, dict) else plan
            faults.arm(*[Fault.parse(fault) for fault in listed])
        except (AttributeError, TypeError, ValueError) as error:
            return JSONResponse({"detail": f"not a fault plan: {error}"}, 400)
        return JSONResponse({"faults": faults.report()}, 201)

    return [
        Route("/_sandbox/stats", read_stats),
        Route("/_sandbox/reset", reset, methods=["POST"]),
        Route("/_sandbox/faults", list_faults),
        Route("/_sandbox/faults", arm, methods=["POST"]),
    ]


def _is_unplanned(record: logging.LogRecord) -> bool:
    """Whether a logged exception is something else than a connection that was cut on purpose."""
    return not (record.exc_info and isinstance(record.exc_info[1], ConnectionCut))


def _server(config: SandboxConfig, level: str) -> uvicorn.Server:
    logging.getLogger("uvicorn.error").addFilter(_is_unplanned)
    settings = uvicorn.Config(
        make_app(config),
        host=config.host,
        port=config.port,
        log_level=level,
        access_log=False,
        lifespan="off",
        server_header=False,
    )
    return uvicorn.Server(settings)


def run(config: SandboxConfig) -> None:
    """Serve until interrupted."""
    _server(config, "info").run()


@contextmanager
def serve(config: SandboxConfig) -> Iterator[str]:
    """Serve in a thread of this process while the context lasts.

    GDAL asks for sidecar files while it holds the interpreter's lock, and would wait for this very
    thread: read over HTTP from another process, or set ``GDAL_DISABLE_READDIR_ON_OPEN=EMPTY_DIR``.

    Yields:
        The server's origin, e.g. `http://127.0.0.1:40123`.

    Raises:
        RuntimeError: The server did not start.
    """
    listener = socket.create_server((config.host, config.port))
    port = listener.getsockname()[1]
    server = _server(config, "error")
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    started = threading.Event()
    for _ in range(int(_START_TIMEOUT_S / 0.01)):
        if server.started or not thread.is_alive():
            break
        started.wait(0.01)
    if not server.started:
        listener.close()
        raise RuntimeError(f"the sandbox did not start on {config.host}:{port}")
    try:
        yield f"http://{config.host}:{port}"
    finally:
        server.should_exit = True
        server.force_exit = True  # a slow or hanging answer must not hold up the end
        thread.join(timeout=_START_TIMEOUT_S)
        listener.close()


@contextmanager
def serve_apart(config: SandboxConfig) -> Iterator[str]:
    """Serve from a process of its own, so that making scenes takes no time from who reads them.

    Yields:
        The server's origin.

    Raises:
        RuntimeError: The server did not start.
    """
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve_until_closed, args=(config, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(_START_TIMEOUT_S):
            raise RuntimeError("the sandbox did not start in time")
        try:
            yield ours.recv()
        except EOFError as error:
            raise RuntimeError("the sandbox did not start: see above") from error
    finally:
        ours.close()
        process.join(timeout=_START_TIMEOUT_S)


def _serve_until_closed(config: SandboxConfig, pipe: Connection) -> None:
    # Ctrl-C reaches the whole group; the parent decides when the sandbox ends, by closing the pipe.
    with suppress(KeyboardInterrupt), serve(config) as origin:
        pipe.send(origin)
        with suppress(EOFError):
            pipe.recv()
