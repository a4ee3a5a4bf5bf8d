"""The chain of image directories of a TIFF, walked and bounded before a parser is let on it."""

from __future__ import annotations

import struct

from stac_lake.errors import BadRaster
from stac_lake.pixels.ranges import Ranges

MAX_TAG_BYTES = 32 << 20
"""Of one field: tile tables of 2 million tiles."""
_MAX_IFDS = 64
_TYPE_BYTES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
"""Bytes of each TIFF field type (TIFF 6.0, section 2; BigTIFF adds 16-18)."""


def checked_directories(ranges: Ranges) -> int:
    """Walk the chain of image directories: async-tiff 0.7.2 follows a loop for ever.

    Returns:
        The offset behind the last directory.

    Raises:
        BadRaster: the chain is broken, has a loop or too many links, or a field is too large.
    """
    bad = BadRaster("the TIFF directories are corrupt", asset=ranges.asset.href)
    if ranges.size < 16:
        raise bad
    head = ranges.at(0, 16)
    big = head[2] == 43
    (offset,) = struct.unpack_from("<Q" if big else "<I", head, 8 if big else 4)
    count_format, entry, link = ("<Q", 20, "<Q") if big else ("<H", 12, "<I")
    seen: set[int] = set()
    end = 0
    while offset:
        if offset in seen or len(seen) == _MAX_IFDS:
            raise bad
        seen.add(offset)
        start = offset + struct.calcsize(count_format)
        (fields,) = struct.unpack(count_format, ranges.at(offset, start))
        if not 0 < fields < 4096:
            raise bad
        stop = start + fields * entry
        body = ranges.at(start, stop)
        for position in range(0, len(body), entry):
            kind, count = struct.unpack_from("<HQ" if big else "<HI", body, position + 2)
            if count * _TYPE_BYTES.get(kind, 1) > MAX_TAG_BYTES:
                raise bad
        (offset,) = struct.unpack(link, ranges.at(stop, stop + struct.calcsize(link)))
        end = max(end, stop)
    return end
