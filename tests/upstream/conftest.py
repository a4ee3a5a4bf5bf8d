"""A small real HTTP server whose answers a test writes, and the recorded documents."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from stac_lake.upstream import Patience, Upstream

DATA = Path(__file__).parent / "data"
QUICK = Patience(attempts=3, backoff_s=0.001, longest_s=0.01, connect_s=5, read_s=5, deadline_s=20)


def recorded(name: str) -> dict[str, Any]:
    """One of the recorded documents in `data`."""
    document: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text())
    return document


@dataclass
class Heard:
    """A request that arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    client: tuple[str, int]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    """What is sent back; `sent` is how much of the body really leaves before the hang-up."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    sent: int | None = None
    pause_s: float = 0.0


def page(features: list[Any], **more: Any) -> Answer:
    """A FeatureCollection."""
    document = {"type": "FeatureCollection", "features": features, "links": [], **more}
    return Answer(json.dumps(document).encode(), headers={"Content-Type": "application/geo+json"})


class Server:
    """HTTP on loopback; `reply` decides, `heard` remembers."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.reply: Callable[[Heard], Answer] = lambda heard: Answer(status=404)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                length = int(self.headers.get("Content-Length") or 0)
                heard = Heard(
                    self.command,
                    parts.path,
                    {k: v[0] for k, v in parse_qs(parts.query).items()},
                    {k.lower(): v for k, v in self.headers.items()},
                    self.rfile.read(length),
                    self.client_address,
                )
                outer.heard.append(heard)
                self._send(outer.reply(heard))

            do_POST = do_HEAD = do_GET  # noqa: N815

            def _send(self, answer: Answer) -> None:
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in answer.headers:
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                body = answer.body if answer.sent is None else answer.body[: answer.sent]
                for at in range(0, len(body), 1 if answer.pause_s else 1 << 20):
                    self.wfile.write(body[at : at + (1 if answer.pause_s else 1 << 20)])
                    time.sleep(answer.pause_s)
                if answer.sent is not None:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)

            def log_message(self, *args: Any) -> None:
                """Silent."""

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: Any) -> None:
                """A client that hangs up is what some tests want."""

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture
def canary() -> Iterator[Server]:
    """A second server that nobody may talk to."""
    running = Server()
    yield running
    running.close()


@pytest.fixture
def upstream(server: Server) -> Upstream:
    """All providers behind `server`, with the stand-in's published keys and little patience."""
    keys = {"CDSE_S3_ACCESS_KEY": "sandbox", "CDSE_S3_SECRET_KEY": "sandbox"}
    return Upstream(stand_in=server.url, environ=keys, patience=QUICK)


def ranged(data: bytes, heard: Heard, etag: str = '"1"') -> Answer:
    """A file's answer to a ranged GET as S3 and Azure give it (RFC 9110, 14)."""
    first, last = heard.headers["range"].removeprefix("bytes=").split("-")
    start, stop = int(first), min(int(last) + 1, len(data))
    if heard.headers.get("if-match", etag) != etag:
        return Answer(status=412)
    if start >= len(data):
        return Answer(status=416, headers={"Content-Range": f"bytes */{len(data)}"})
    headers = {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}", "ETag": etag}
    return Answer(data[start:stop], 206, headers)
