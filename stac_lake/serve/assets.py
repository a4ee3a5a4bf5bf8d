"""COGs of a lake over HTTP, by range: what a map in a browser reads, which has no keys to a bucket.

Only what an item names is handed out, whole or in part: the key must be, letter by letter, that of
an asset in the index. Keys are never reused, so that an answer may be kept for good.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from pathlib import PurePosixPath

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from stac_lake.catalog.index import Index
from stac_lake.catalog.item import COG_TYPE, asset_key_of
from stac_lake.errors import GridError, InvalidItem, KeyMissing
from stac_lake.types import Slot

CHUNK = 1 << 20
"""Bytes that are fetched from the store at a time: most crops are one chunk."""

_KNOWN = 8192
"""Keys whose size is remembered; a map asks for one file some ten times."""

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Assets:
    """Answers GET and HEAD for keys of COGs.

    Args:
        index: Which keys there are, and the store.
        version: Of the index; None follows the newest.
    """

    def __init__(self, index: Index, version: int | None = None) -> None:
        self._index = index
        self._version = version
        self._size = lru_cache(_KNOWN)(self._find)

    def answer(self, request: Request) -> Response:
        """The object, or the one range of it that is asked for.

        Raises:
            HTTPException: 404, no item has such an asset, or its object is gone; 416, the range
                begins behind the end.
            StoreUnavailable.
        """
        key = request.path_params["key"]
        size = self._size(key)
        etag = f'"{PurePosixPath(key).stem}"'
        headers = {
            "ETag": etag,
            "Accept-Ranges": "bytes",
            "Cache-Control": "public, max-age=31536000, immutable",
            "Content-Type": COG_TYPE,
        }
        if etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        status, span = 200, (0, size)
        asked = request.headers.get("range")
        if asked and request.headers.get("if-range", etag) == etag:
            part = span_of(asked, size)
            if part:
                status, span = 206, part
                headers["Content-Range"] = f"bytes {span[0]}-{span[1] - 1}/{size}"
        headers["Content-Length"] = str(span[1] - span[0])
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers)
        return StreamingResponse(self._read(key, *span), status, headers)

    def _read(self, key: str, start: int, stop: int) -> Iterator[bytes]:
        """The bytes, the first of them fetched already: a missing object has no 200 before it."""
        objects = self._index.objects
        parts = (
            objects.get_range(key, at, min(at + CHUNK, stop)) for at in range(start, stop, CHUNK)
        )
        try:
            return chain([next(parts, b"")], parts)
        except KeyMissing as error:
            raise HTTPException(404, str(error)) from error

    def _find(self, key: str) -> int:
        """Size of an asset of an item."""
        size = self._index.objects.size(key) if self._is_named(key) else None
        if size is None:
            raise HTTPException(404, f"no item of the lake has the asset {key!r}")
        return size

    def _is_named(self, key: str) -> bool:
        """Whether a version of an item, superseded ones included, has the asset."""
        try:
            slot = Slot.from_id(PurePosixPath(key).parts[-3])
        except (GridError, IndexError):
            return False
        rows = (
            self._index.connection(self._version)
            .execute("SELECT item FROM versions WHERE cell = ? AND id = ?", [slot.cell.id, slot.id])
            .fetchall()
        )
        return any(key == _key_of(text) for (text,) in rows)


def span_of(header: str, size: int) -> tuple[int, int] | None:
    """Start and stop of the bytes that a Range header asks for.

    RFC 9110, section 14: a header that is not understood is ignored, and several ranges may be.

    Args:
        header: Its value.
        size: Bytes of the object, at least one.

    Returns:
        None if the whole object is the answer.

    Raises:
        HTTPException: 416, no byte of the object is in the range.
    """
    match = _RANGE.fullmatch(header.strip())
    if not match or match[1] == match[2] == "":
        return None
    if match[1] == "":
        start, stop = max(size - int(match[2]), 0), size
    else:
        start = int(match[1])
        stop = min(int(match[2]) + 1, size) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
    if start >= size or start >= stop:
        raise HTTPException(
            416, f"the object has {size} bytes", headers={"Content-Range": f"bytes */{size}"}
        )
    return start, stop


def _key_of(text: str) -> str | None:
    """Key of a stored item's asset, None if it lies elsewhere."""
    try:
        return asset_key_of(json.loads(text))
    except InvalidItem:
        return None
