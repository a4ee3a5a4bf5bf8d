"""Bounds on what a request may send."""

from __future__ import annotations

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 4 * 2**20
"""Bytes of a request body: a search with a polygon of 100,000 vertices."""


class BodyLimit:
    """Refuses larger bodies before they are in memory.

    Args:
        app: What answers.
        most: Bytes.
    """

    def __init__(self, app: ASGIApp, most: int = MAX_BODY) -> None:
        self.app = app
        self.most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        told = Headers(scope=scope).get("content-length", "0")
        if told.isdecimal() and int(told) > self.most:
            await JSONResponse(self._refusal(), 413)(scope, receive, send)
            return
        seen = 0

        async def bounded() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.most:
                raise HTTPException(413, self._refusal()["description"])
            return message

        await self.app(scope, bounded, send)

    def _refusal(self) -> dict[str, str]:
        return {
            "code": "ContentTooLarge",
            "description": f"a request may have at most {self.most} bytes",
        }
