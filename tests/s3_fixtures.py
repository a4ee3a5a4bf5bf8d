"""An S3 server in this process that counts requests and can lose replies, and lakes on it.

Test modules take them by ``pytest_plugins = ("s3_fixtures",)``.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

_BUCKETS = itertools.count()


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        pass


@dataclass
class S3Server:
    """moto behind a counter.

    Attributes:
        url: Endpoint.
        requests: Method → how many.
        lose: Asked with method and path; True lets the server act and drops its answer (as 500).
    """

    url: str = ""
    requests: Counter[str] = field(default_factory=Counter)
    lose: Callable[[str, str], bool] = lambda method, path: False

    def __post_init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        with self._lock:
            self.requests[method] += 1
            lost = self.lose(method, path)
        if not lost:
            return self._app(environ, start_response)
        list(self._app(environ, lambda *_: None))
        start_response("500 Internal Server Error", [("Content-Length", "0")])
        return []


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A server on a free port of the loopback."""
    app = S3Server()
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    app.url = f"http://127.0.0.1:{server.port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield app
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """The server; one for all tests."""
    with s3_server() as running:
        yield running


@pytest.fixture
def make_bucket(s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], str]:
    """Points this process at the server; a call makes a bucket and returns a lake's URL in it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    s3.lose = lambda method, path: False

    def make() -> str:
        bucket = f"bucket-{next(_BUCKETS)}"
        boto3.client("s3").create_bucket(Bucket=bucket)
        return f"s3://{bucket}/lake"

    return make


@pytest.fixture(params=["disk", "s3"])
def lake_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A lake that does not exist yet, on disk and on S3."""
    if request.param == "disk":
        return str(tmp_path / "my lake ü")
    return str(request.getfixturevalue("make_bucket")())
