"""What the sandbox's product modules and its HTTP side tell each other: a scene and its files.

A scene is one upstream product: a Sentinel-2 tile, an RTC slice, a swath granule, a DEM tile. It
is plain frozen data, and its pixels exist only as :class:`Blob` objects, which answer byte ranges.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol


class Blob(Protocol):
    """A file that can be read in ranges.

    Attributes:
        size: Length in bytes.
        etag: Strong entity tag, in its double quotes.
        media_type: The Content-Type under which the file is served.
    """

    @property
    def size(self) -> int: ...

    @property
    def etag(self) -> str: ...

    @property
    def media_type(self) -> str: ...

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes of the half-open range ``[start, stop)``; safe from many threads."""
        ...


@dataclass(frozen=True)
class BytesBlob:
    """A file that is held in memory.

    Attributes:
        data: The whole file.
        media_type: The Content-Type under which it is served.
    """

    data: bytes = field(repr=False)
    media_type: str

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self.data)

    @cached_property
    def etag(self) -> str:
        """Strong entity tag: the MD5 of the content, as S3 gives it for a single-part upload."""
        return f'"{hashlib.md5(self.data, usedforsecurity=False).hexdigest()}"'

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes of the half-open range ``[start, stop)``."""
        return self.data[start:stop]


@dataclass(frozen=True)
class SandboxScene:
    """One upstream product that the sandbox holds.

    Attributes:
        kind: ``s2-l1c``, ``s2-l2a``, ``s1-rtc``, ``s1-grd``, ``s3-olci-efr``, ``s5p-co``,
            ``s5p-no2``, ``s5p-o3``, ``s5p-so2``, ``dem-glo30``, ``dem-glo90`` or ``landsat-c2-l2``.
        id: The agency's product name without its ``.SAFE``, ``.SEN3`` or ``.nc``, or the DEM tile's
            name.
        start: First line of the acquisition, aware, UTC.
        stop: Last line of the acquisition, aware, UTC; equal to ``start`` where there is one time.
        footprint: GeoJSON Polygon, or MultiPolygon where it is split at the antimeridian,
            in degrees (lon, lat).
        facts: What the catalogue documents state about the scene; its keys depend on the kind.
    """

    kind: str
    id: str
    start: datetime
    stop: datetime
    footprint: dict[str, Any] = field(hash=False, compare=False)
    facts: Mapping[str, Any] = field(hash=False, compare=False, repr=False)
