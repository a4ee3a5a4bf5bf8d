"""The STAC API over HTTP: eight clients on loopback that each send one request after the other."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.catalog.asks import CLOUD, FIRST, LAST, Ask, asks
from benchmarks.catalog.lakes import await_reply
from benchmarks.results import Result
from stac_lake.catalog.index import Index
from stac_lake.grid import Cell
from stac_lake.store.objects import Objects

COMMAND = "python -m benchmarks.catalog"
CLIENTS = 8
SECONDS = 30
GROWTH = 1.1
"""What the server's memory may be in the second half of the load, over that in the first."""

_SERVER = """
import sys, uvicorn
from stac_lake.serve.app import make_app
uvicorn.run(make_app(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
"""


def run(place: Path, items: int, seconds: float = SECONDS) -> list[Result]:
    """Requests a second, p50 and p99, and memory over time.

    Raises:
        RuntimeError: an answer was not 200, or the server did not start.
    """
    index = Index(Objects.open(str(place)))
    paths = [_path(ask) for some in asks(index, 50, 11).values() for ask in some]
    wanted = [path for path in paths if path]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([sys.executable, "-c", _SERVER, str(place), str(port)]) as server:
        try:
            await_reply(f"http://127.0.0.1:{port}/")
            _load(port, wanted, seconds)
            halves, taken = [], []
            for _ in range(2):
                held: list[float] = []
                taken += _load(port, wanted, seconds / 2, lambda into=held: into.append(
                    _memory(server.pid)
                ))  # fmt: skip
                halves.append(median(held))
        finally:
            server.terminate()
    name = f"API, {items:,} items, {CLIENTS} clients, items, cells and windows in turn"
    return [
        Result(f"{name}: rate", len(taken) / seconds, "requests/s", COMMAND),
        Result(f"{name}: p50", float(np.percentile(taken, 50)), "ms", COMMAND),
        Result(f"{name}: p99", float(np.percentile(taken, 99)), "ms", COMMAND),
        Result(
            f"{name}: memory, second half over first", halves[1] / halves[0], "×", COMMAND,
            f"{halves[0]:.0f} MB in the first", f"≤ {GROWTH}", halves[1] <= GROWTH * halves[0],
        ),
    ]  # fmt: skip


def _path(ask: Ask) -> str:
    if ask.kind == "id":
        return f"/collections/era5-{ask.id.split('_')[1]}/items/{ask.id}"
    if ask.kind == "cell":
        return f"/collections/{Cell(ask.cell).collection_id}/items?limit=10"
    if ask.kind == "window":
        box = ",".join(map(str, ask.box))
        return (
            f"/search?bbox={box}&datetime={FIRST}/{LAST}&limit=10"
            f"&filter-lang=cql2-text&filter=eo:cloud_cover%3C{CLOUD}"
        )
    return ""


def _load(
    port: int, paths: list[str], seconds: float, watch: Callable[[], None] = lambda: None
) -> list[float]:
    """Milliseconds of every answer; `watch` is called twice a second meanwhile."""
    taken: list[float] = []
    wrong: list[str] = []
    end = time.perf_counter() + seconds

    def client(number: int) -> None:
        rng = np.random.default_rng(number)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while time.perf_counter() < end and not wrong:
            path = paths[int(rng.integers(len(paths)))]
            began = time.perf_counter()
            connection.request("GET", path)
            reply = connection.getresponse()
            reply.read()
            taken.append(1e3 * (time.perf_counter() - began))
            if reply.status != 200:
                wrong.append(f"{path}: {reply.status}")
        connection.close()

    clients = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for one in clients:
        one.start()
    while time.perf_counter() < end and not wrong:
        time.sleep(0.5)
        watch()
    for one in clients:
        one.join()
    if wrong:
        raise RuntimeError(wrong[0])
    return taken


def _memory(pid: int) -> float:
    """Resident megabytes."""
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
