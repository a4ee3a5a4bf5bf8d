"""HTTP without a network: `requests` mounted on an ASGI application in the same process."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import requests
from anyio.from_thread import start_blocking_portal
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Scope


class AsgiAdapter(BaseAdapter):
    """Answers the requests of a `requests.Session` from an ASGI application.

    Each request has an event loop in a thread of its own, so that this works in a notebook, where
    the caller's thread has a running loop already.
    """

    def __init__(self, app: ASGIApp) -> None:
        super().__init__()
        self.app = app

    def send(
        self, request: requests.PreparedRequest, *_args: Any, **_kwargs: Any
    ) -> requests.Response:
        body = request.body or b""
        sent = body.encode() if isinstance(body, str) else body
        answer: dict[str, Any] = {"status": 500, "headers": [], "body": bytearray()}

        async def receive() -> Message:
            return {"type": "http.request", "body": sent, "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer["status"], answer["headers"] = message["status"], message["headers"]
            else:
                answer["body"] += message.get("body", b"")

        with start_blocking_portal() as portal:
            portal.call(self.app, _scope(request), receive, send)
        return _response(request, answer)

    def close(self) -> None:
        """Nothing is held open between requests."""


def _scope(request: requests.PreparedRequest) -> Scope:
    parts = urlsplit(request.url or "")
    host = parts.hostname or "lake"
    # Uncompressed: the bytes do not leave the process.
    headers = CaseInsensitiveDict(request.headers)
    headers.update({"host": parts.netloc, "accept-encoding": "identity"})
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": parts.scheme,
        "path": unquote(parts.path) or "/",
        "raw_path": (parts.path or "/").encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "headers": [(_bytes(k).lower(), _bytes(v)) for k, v in headers.items()],
        "client": ("in-process", 0),
        "server": (host, parts.port or 80),
    }


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


def _response(request: requests.PreparedRequest, answer: Mapping[str, Any]) -> requests.Response:
    response = requests.Response()
    response.status_code = answer["status"]
    response.headers = CaseInsensitiveDict(
        (key.decode("latin-1"), value.decode("latin-1")) for key, value in answer["headers"]
    )
    response.raw = io.BytesIO(bytes(answer["body"]))
    response.url = request.url or ""
    response.request = request
    response.encoding = "utf-8"
    return response
