"""A STAC API on a real port."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import uvicorn

from stac_lake.catalog.index import Index
from stac_lake.serve.app import make_app


@contextmanager
def _served(index: Index) -> Iterator[str]:
    config = uvicorn.Config(make_app(index), host="127.0.0.1", port=0, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="session")
def served() -> Callable[[Index], AbstractContextManager[str]]:
    """A call serves an index, as long as its context lasts, and gives the URL."""
    return _served
