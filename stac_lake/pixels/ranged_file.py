"""A read-only file object over a `Source`, for parsers that want to seek."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from stac_lake.errors import BadRaster, StacLakeError
from stac_lake.types import Asset, Source

WHOLE_FILE = 8 << 20
"""Files up to this size are read in one request."""
BLOCK = 256 << 10
BLOCKS_KEPT = 64
HEAD_BLOCKS = 4
"""Fetched with the last block before anybody asks: most metadata is at the ends of a file."""


class RangedFile(io.RawIOBase):
    """A file in at most `BLOCKS_KEPT` blocks, or whole where it is small.

    Attributes:
        size: Bytes.
        failure: The last error of the source, for callers whose parser swallows it.

    Args:
        source: Where bytes come from.
        asset: Which file.

    Raises:
        BadRaster: the file has not the announced size.
    """

    def __init__(self, source: Source, asset: Asset) -> None:
        super().__init__()
        self._source = source
        self._asset = asset
        self._position = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self.failure: StacLakeError | None = None
        self.size = source.size(asset)
        self._whole: bytes | None = None
        if self.size <= WHOLE_FILE:
            self._whole = source.read(asset)
            if len(self._whole) != self.size:
                raise BadRaster("the file has another size than announced", asset=asset.href)
        else:
            last = (self.size - 1) // BLOCK
            self._fetch(sorted({*range(HEAD_BLOCKS), last}))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = origin + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        stop = min(self._position + len(view), self.size)
        start = min(self._position, stop)
        try:
            view[: stop - start] = self._cached(start, stop)
        except StacLakeError as error:  # parsers would report it as a corrupt file
            self.failure = error
            raise OSError(str(error)) from error
        self._position = stop
        return stop - start

    def ranges(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Half-open byte ranges, past the cache."""
        if self._whole is not None:
            return [self._whole[start:stop] for start, stop in ranges]
        return self._source.read_ranges(self._asset, ranges) if ranges else []

    def _cached(self, start: int, stop: int) -> bytes:
        if self._whole is not None:
            return self._whole[start:stop]
        if start == stop:
            return b""
        parts = []
        # Block by block, so that a read larger than the cache cannot evict what it still needs.
        for index in range(start // BLOCK, (stop - 1) // BLOCK + 1):
            if index not in self._blocks:
                self._fetch([index])
            self._blocks.move_to_end(index)
            origin = index * BLOCK
            parts.append(self._blocks[index][max(start - origin, 0) : stop - origin])
        return b"".join(parts)

    def _fetch(self, indexes: Sequence[int]) -> None:
        spans = [(i * BLOCK, min((i + 1) * BLOCK, self.size)) for i in indexes]
        found = self._source.read_ranges(self._asset, spans)
        self._blocks.update(zip(indexes, found, strict=True))
        while len(self._blocks) > BLOCKS_KEPT:
            self._blocks.popitem(last=False)
