"""Everything that happens to a request outside its route: counting, slowness and faults."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stac_lake.sandbox.config import SandboxConfig
from stac_lake.sandbox.faults import BEFORE, BODY, Fault, FaultPlan

_PROVIDERS = ("earth-search", "planetary-computer", "cdse")
_SLICE = 1 << 16  # bytes sent between two pauses of a limited connection


class Stats:
    """Requests and body bytes by route class; safe to use from many threads."""

    def __init__(self) -> None:
        self._requests: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, route: str, size: int) -> None:
        with self._lock:
            self._requests[route] += 1
            self._bytes[route] += size

    def clear(self) -> None:
        with self._lock:
            self._requests.clear()
            self._bytes.clear()

    def report(self) -> dict[str, Any]:
        """Totals, and the same by `provider/class`."""
        with self._lock:
            routes = {
                route: {"requests": count, "bytes": self._bytes[route]}
                for route, count in sorted(self._requests.items())
            }
            return {
                "requests": self._requests.total(),
                "bytes": self._bytes.total(),
                "routes": routes,
            }


def route_class(path: str) -> tuple[str | None, str]:
    """Provider and class of a path: search, items, collections, api, token, asset or control."""
    parts = path.strip("/").split("/")
    provider = parts[0] if parts[0] in _PROVIDERS else None
    if provider is None:
        return None, "control"
    if "blob" in parts[1:2] or "s3" in parts[1:2]:
        return provider, "asset"
    if "token" in parts:
        return provider, "token"
    if parts[-1] == "search":
        return provider, "search"
    if "items" in parts:
        return provider, "items"
    return provider, "collections" if "collections" in parts else "api"


class Traffic:
    """ASGI layer around the application.

    Args:
        app: The application.
        config: Delay and bandwidth.
        faults: The armed faults.
        stats: What is counted into.
    """

    def __init__(
        self, app: ASGIApp, config: SandboxConfig, faults: FaultPlan, stats: Stats
    ) -> None:
        self._app = app
        self._config = config
        self._faults = faults
        self._stats = stats

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        provider, kind = route_class(scope["path"])
        if kind == "control":
            await self._app(scope, receive, send)
            return
        if self._config.delay_s:
            await asyncio.sleep(self._config.delay_s)
        outlet = _Outlet(send, self._config.bandwidth)
        before = self._faults.take(BEFORE, provider, scope["path"], scope["method"])
        try:
            if before is not None:
                await (await _instead(before, scope))(scope, receive, outlet.send)
                return
            if kind == "asset":
                outlet.fault = self._faults.take(BODY, provider, scope["path"], scope["method"])
            await self._app(scope, receive, outlet.send)
        finally:
            self._stats.add(f"{provider}/{kind}", outlet.sent)


async def _instead(fault: Fault, scope: Scope) -> Response:
    """What is answered in place of the route."""
    if fault.kind == "too_many_requests":
        headers = {"Retry-After": str(fault.retry_after_s)}
        return JSONResponse({"detail": "Too many requests"}, 429, headers=headers)
    if fault.kind == "unavailable":
        headers = {"Retry-After": str(fault.retry_after_s)} if fault.retry_after_s else {}
        return PlainTextResponse("Service Unavailable", 503, headers=headers)
    if fault.kind == "gateway_timeout":
        await asyncio.sleep(fault.wait_s)
        text = "The request exceeded the maximum allowed time, please try again."
        return PlainTextResponse(text, 504)
    if fault.kind == "unprocessable":
        return PlainTextResponse("collection is required", 422)
    if fault.kind == "redirect":
        return RedirectResponse(fault.location + scope["path"], 302)
    return Response(
        '<?xml version="1.0" encoding="UTF-8"?><Error><Code>NoSuchKey</Code>'
        "<Message>The specified key does not exist.</Message></Error>",
        404,
        media_type="application/xml",
    )


class ConnectionCut(Exception):  # noqa: N818 - what happens, on purpose
    """The response ends in the middle of its body on purpose; the server closes the connection."""


class _Outlet:
    """Sends a response on, counted, slowed down and damaged as asked."""

    def __init__(self, send: Send, bandwidth: int | None) -> None:
        self._send = send
        self._bandwidth = bandwidth
        self._length = 0
        self._seen = 0
        self.fault: Fault | None = None
        self.sent = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message = self._started(message)
        elif message["type"] == "http.response.body" and message.get("body"):
            message = await self._damaged(message)
            message = await self._slowed(message)
            self.sent += len(message.get("body", b""))
        await self._send(message)

    def _started(self, message: Message) -> Message:
        headers = [(k.lower(), v) for k, v in message["headers"]]
        self._length = int(dict(headers).get(b"content-length", b"0"))
        if message["status"] >= 300 or not self._length:
            self.fault = None  # there is no file in this answer to damage
        if self.fault is None or self.fault.kind != "truncated":
            return message
        short = str(self._cut()).encode()
        headers = [(k, short if k == b"content-length" else v) for k, v in headers]
        return {**message, "headers": headers}

    def _cut(self) -> int:
        assert self.fault is not None
        return min(int(self._length * self.fault.position), self._length - 1)

    async def _damaged(self, message: Message) -> Message:
        body: bytes = message["body"]
        begin, self._seen = self._seen, self._seen + len(body)
        if self.fault is None:
            return message
        place = self._cut() - begin
        if self.fault.kind == "flipped_byte":
            if 0 <= place < len(body):
                body = body[:place] + bytes([body[place] ^ 0xFF]) + body[place + 1 :]
            return {**message, "body": body}
        if self.fault.kind == "short_connection" and place < len(body):
            await self._send({**message, "body": body[: max(place, 0)], "more_body": True})
            self.sent += max(place, 0)
            raise ConnectionCut(f"cut after {self._cut()} of {self._length} bytes")
        return {**message, "body": body[: max(place, 0)]}

    async def _slowed(self, message: Message) -> Message:
        """Send all but the last slice here, with pauses."""
        body: bytes = message["body"]
        if not self._bandwidth:
            return message
        while len(body) > _SLICE:
            await self._send({"type": message["type"], "body": body[:_SLICE], "more_body": True})
            self.sent += _SLICE
            body = body[_SLICE:]
            await asyncio.sleep(_SLICE / self._bandwidth)
        await asyncio.sleep(len(body) / self._bandwidth)
        return {**message, "body": body}
