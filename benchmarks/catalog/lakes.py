"""Lakes that hold an index alone, on disk and on an S3 server in another process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3

from benchmarks.catalog.items import tables
from benchmarks.catalog.queries import COMMAND, SEED, in_new_process
from benchmarks.results import Result
from stac_lake.catalog.index import Index
from stac_lake.store.objects import Objects


def fill(place: Path, items: int) -> list[Result]:
    """Make a lake of so many items, as a compaction leaves it, if it is not there."""
    index = Index(Objects.open(str(place)))
    if sum(index.log.files().values()) != items:
        for table in tables(items):
            index.log.commit([index.data.put(table)], "append")
    size = sum(path.stat().st_size for path in (place / "index").glob("*.parquet"))
    return [Result(f"{items:,} items: data files", size / items, "B/item", COMMAND)]


def on_s3(place: Path, items: int, work: Path, times: int = 3) -> list[Result]:
    """The first answer of a new process from a copy of a lake on S3, its cache cold and warm."""
    local = Index(Objects.open(str(place)))
    from benchmarks.catalog.asks import asks

    ids = [ask.id for ask in asks(local, times, SEED + 2)["one id"]]
    with s3_server() as endpoint:
        client = boto3.client("s3", endpoint_url=endpoint)
        client.create_bucket(Bucket="bench")
        for path in (place / "index").rglob("*"):
            if path.is_file():
                client.upload_file(str(path), "bench", f"lake/{path.relative_to(place)}")
        cold, warm = [], []
        for number, item in enumerate(ids):
            cache = str(work / f"cache-{number}")
            cold.append(in_new_process("s3://bench/lake", item, cache))
            warm.append(in_new_process("s3://bench/lake", item, cache))
    name = f"{items:,} items on S3 (moto), one id in a new process"
    return [
        Result(f"{name}, cache cold: p50", sorted(cold)[times // 2], "ms", COMMAND),
        Result(f"{name}, cache warm: p50", sorted(warm)[times // 2], "ms", COMMAND),
    ]


@contextmanager
def s3_server() -> Iterator[str]:
    """An S3 server on loopback; the environment names it while it runs."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    changed = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    program = f"from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])"
    quiet = subprocess.DEVNULL
    with subprocess.Popen([sys.executable, "-c", program], stdout=quiet, stderr=quiet) as process:
        try:
            await_reply(f"{endpoint}/moto-api/")
            yield endpoint
        finally:
            process.terminate()
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name)
                else:
                    os.environ[name] = value


def await_reply(url: str) -> None:
    """Wait until a server answers.

    Raises:
        RuntimeError: it did not for a minute.
    """
    for _ in range(300):
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"no answer from {url}")
