"""Programs in processes of their own, and what they cost; the sandbox among them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from stac_lake.sandbox.config import default_cache

KEYS = {"CDSE_S3_ACCESS_KEY": "sandbox", "CDSE_S3_SECRET_KEY": "sandbox"}
"""The sandbox's published test keys: they open nothing but the sandbox."""


@dataclass(frozen=True)
class Cost:
    """What one run of a program took.

    Attributes:
        wall_s: From start to end of the process, imports included.
        cpu_s: User and system time of all its threads.
        rss_mb: Its peak memory.
        requests: That the sandbox answered meanwhile.
        mb: Body bytes that it sent, in megabytes.
        output: What the program wrote on stdout.
    """

    wall_s: float
    cpu_s: float
    rss_mb: float
    requests: float
    mb: float
    output: str = field(default="", repr=False)


def medians(costs: Sequence[Cost]) -> Cost:
    """Each figure's median of several runs."""
    names = ("wall_s", "cpu_s", "rss_mb", "requests", "mb")
    return Cost(**{name: median(getattr(cost, name) for cost in costs) for name in names})


class Sandbox:
    """A running stand-in of the providers.

    Attributes:
        url: Its root.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def json(self, path: str, method: str = "GET") -> Any:
        """A document of it."""
        request = urllib.request.Request(f"{self.url}{path}", method=method)
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)

    def run(self, arguments: Sequence[str]) -> Cost:
        """Run a Python program (arguments after ``python``) and count its traffic.

        Raises:
            RuntimeError: it failed; the message ends with what it wrote.
        """
        self.json("/_sandbox/reset", "POST")
        cost = run(arguments)
        stats = self.json("/_sandbox/stats")
        return Cost(
            cost.wall_s, cost.cpu_s, cost.rss_mb, stats["requests"], stats["bytes"] / 1e6,
            cost.output,
        )  # fmt: skip


def run(arguments: Sequence[str]) -> Cost:
    """Run a Python program to its end.

    Raises:
        RuntimeError: it failed; the message ends with what it wrote.
    """
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **KEYS},
        text=True,
    )
    assert process.stdout is not None
    output = process.stdout.read()
    # `wait4` gives the costs of this child alone; `getrusage` would add up all children so far.
    _, status, usage = os.wait4(process.pid, 0)
    process.stdout.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with {process.returncode}:\n{output}")
    return Cost(
        wall_s=time.monotonic() - began,
        cpu_s=usage.ru_utime + usage.ru_stime,
        rss_mb=usage.ru_maxrss / 1024,
        requests=0,
        mb=0,
        output=output,
    )


@contextmanager
def sandbox(delay_ms: float = 0) -> Iterator[Sandbox]:
    """The sandbox in another process.

    Args:
        delay_ms: Latency of every request.

    Raises:
        RuntimeError: it did not start.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--port", str(port), "--cache", str(default_cache()), "--delay-ms", str(delay_ms)]
    command = [sys.executable, "-c", "from stac_lake.cli import main; main()", "sandbox", *options]
    log = Path(default_cache()).with_suffix(".log")
    with log.open("wb") as sink, subprocess.Popen(command, stdout=sink, stderr=sink) as process:
        found = Sandbox(f"http://127.0.0.1:{port}")
        try:
            _wait(found, process)
            yield found
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait(found: Sandbox, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        try:
            found.json("/_sandbox/stats")
            return
        except OSError as error:
            if process.poll() is not None:
                raise RuntimeError("the sandbox did not start") from error
            time.sleep(0.1)
    raise RuntimeError("the sandbox did not answer for 30 seconds")
