"""A remote file read piece by piece: a bounded block cache over `Source.read_ranges`."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict

from stac_lake.errors import BadRaster, StacLakeError
from stac_lake.types import Asset, Source

BLOCK = 1 << 15
"""Bytes of a block: holds the header of most COGs, so that opening one is one request."""
_MAX_RUN = 8
"""Blocks that a sequential reader gets ahead of itself at most: 256 KiB."""
_MAX_BLOCKS = 512
"""Blocks kept: 16 MiB."""


class Ranges:
    """Random access to an asset through a cache of blocks. Thread-safe.

    Attributes:
        asset: What is read.
        size: Bytes of the file.
        failure: The first error that the source raised. GDAL turns it into one of its own, or into
            a short read, so the reader has to look here afterwards.
    """

    def __init__(self, source: Source, asset: Asset) -> None:
        self.asset = asset
        self.size = source.size(asset)
        self.failure: StacLakeError | None = None
        self._source = source
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._last = -1
        self._run = 1
        self._lock = threading.Lock()

    def at(self, start: int, stop: int) -> bytes:
        """Bytes of the half-open range [start, stop).

        Raises:
            BadRaster: the range is not inside the file.
        """
        if not 0 <= start <= stop <= self.size:
            raise BadRaster(
                f"the file points to bytes {start}-{stop}, but has {self.size}",
                asset=self.asset.href,
            )
        if start == stop:
            return b""
        first, last = start // BLOCK, (stop - 1) // BLOCK
        with self._lock:
            held = {n: self._blocks[n] for n in range(first, last + 1) if n in self._blocks}
            held |= self._fetch([n for n in range(first, last + 1) if n not in held])
        joined = b"".join(held[n] for n in range(first, last + 1))
        return joined[start - first * BLOCK : stop - first * BLOCK]

    def _fetch(self, missing: list[int]) -> dict[int, bytes]:
        if not missing:
            return {}
        blocks = -(-self.size // BLOCK)
        self._run = min(self._run * 2, _MAX_RUN) if missing[0] == self._last + 1 else 1
        ahead = range(missing[-1] + 1, min(missing[-1] + self._run, blocks))
        wanted = missing + [n for n in ahead if n not in self._blocks]
        runs: list[list[int]] = []
        for number in wanted:
            if runs and runs[-1][1] == number:
                runs[-1][1] += 1
            else:
                runs.append([number, number + 1])
        spans = [(first * BLOCK, min(stop * BLOCK, self.size)) for first, stop in runs]
        try:
            pieces = self._source.read_ranges(self.asset, spans)
        except StacLakeError as error:
            self.failure = self.failure or error
            raise
        found = {
            first + i: piece[i * BLOCK : (i + 1) * BLOCK]
            for (first, stop), piece in zip(runs, pieces, strict=True)
            for i in range(stop - first)
        }
        self._blocks.update(found)
        while len(self._blocks) > _MAX_BLOCKS:
            self._blocks.popitem(last=False)
        self._last = wanted[-1]
        return found


class RangeCursor(io.RawIOBase):
    """A read-only, seekable file object over `Ranges`; GDAL opens several on one cache."""

    def __init__(self, ranges: Ranges) -> None:
        super().__init__()
        self._ranges = ranges
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to `offset` from the start, the position or the end; returns the new position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._ranges.size}
        self._position = max(0, base[whence] + offset)
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; b"" at the end, and after a failure that `Ranges.failure` holds."""
        stop = self._ranges.size if size < 0 else self._position + size
        stop = min(stop, self._ranges.size)
        if self._position >= stop:
            return b""
        try:
            data = self._ranges.at(self._position, stop)
        except StacLakeError:
            return b""
        self._position += len(data)
        return data
