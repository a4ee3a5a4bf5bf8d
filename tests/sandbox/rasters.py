"""What the raster tests share: a plain range server, pixel centres, and what counts as equal."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from rasterio.windows import Window

from stac_lake.sandbox.scene import Blob

CELL = (-96.125, 43.875, -95.875, 44.125)
POLAR = (83.875, -68.875, 84.125, -68.625)
SUMMER = (datetime(2021, 5, 22, tzinfo=UTC), datetime(2021, 7, 20, 23, 59, tzinfo=UTC))
GDAL = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "CPL_VSIL_CURL_CHUNK_SIZE": 65536}


@dataclass
class Shelf:
    """A server of blobs in ranges."""

    url: str
    blobs: dict[str, Blob] = field(default_factory=dict)
    asked: list[tuple[int, int]] = field(default_factory=list)

    def put(self, name: str, blob: Blob) -> str:
        self.blobs[name] = blob
        return f"{self.url}/{name}"


def centres(source: Any, window: Window) -> tuple[Any, Any]:
    columns = window.col_off + np.arange(window.width) + 0.5
    rows = window.row_off + np.arange(window.height) + 0.5
    a, _, c, _, e, f = source.transform[:6]
    return np.meshgrid(c + a * columns, f + e * rows)


def agrees(pixels: Any, expected: Any, step: float) -> None:
    """At most one step off, and that seldom: float32 against float64, and edges of classes."""
    off = np.abs(pixels.astype(np.float64) - expected)
    assert (off <= step).mean() > 0.9995
    assert (off == 0).mean() > 0.98


@contextmanager
def range_server() -> Iterator[Shelf]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            blob = shelf.blobs.get(self.path.lstrip("/"))
            if blob is None:
                self.send_error(404)
                return
            start, stop = 0, blob.size
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if asked:
                start, stop = int(asked[1]), min(int(asked[2] or stop - 1) + 1, stop)
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(stop - start))
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", blob.etag)
            self.send_header("Last-Modified", "Fri, 01 Jan 2021 00:00:00 GMT")
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{blob.size}")
            self.end_headers()
            if self.command == "GET":
                shelf.asked.append((start, stop))
                self.wfile.write(blob.read(start, stop))

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    shelf = Shelf(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield shelf
    finally:
        server.shutdown()
        server.server_close()
