"""The bytes of HDF5 chunks: where they are, how their filters are undone, where they go."""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stac_lake.errors import BadRaster, UntrustedSource

Box = tuple[tuple[int, int], ...]
"""Half-open (start, stop) per dimension."""

MAX_CHUNK_BYTES = 128 << 20
MAX_CHUNKS = 1 << 18

DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3
"""HDF5 filter numbers; all others need plugins or have no bound, and are refused."""


@dataclass(frozen=True)
class Chunk:
    """Where the bytes of one chunk are.

    Attributes:
        origin: Index of its first element.
        mask: Bit i is set if filter i was skipped.
        start: First byte in the file.
        stop: Byte after the last.
    """

    origin: tuple[int, ...]
    mask: int
    start: int
    stop: int


@dataclass(frozen=True)
class Chunking:
    """How a dataset is cut and filtered.

    Attributes:
        shape: Of one chunk.
        dtype: Of an element.
        filters: (filter number, element size) in the order of writing.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    filters: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, dataset: Any) -> Chunking:
        """Of an h5py dataset with chunked layout.

        Raises:
            UntrustedSource: it needs a filter plugin, or declares huge chunks.
        """
        plist = dataset.id.get_create_plist()
        filters = []
        for i in range(plist.get_nfilters()):
            number, _, options, _ = plist.get_filter(i)
            if number not in (DEFLATE, SHUFFLE, FLETCHER32):
                raise UntrustedSource(f"{dataset.name} needs HDF5 filter {number}")
            filters.append((number, int(options[0]) if options else dataset.dtype.itemsize))
        found = cls(tuple(dataset.chunks), dataset.dtype, tuple(filters))
        if found.size > MAX_CHUNK_BYTES:
            raise UntrustedSource(f"{dataset.name} declares chunks of {found.size} bytes")
        return found

    @property
    def size(self) -> int:
        """Bytes of one chunk, unpacked."""
        return math.prod(self.shape) * self.dtype.itemsize

    def touched(self, dataset: Any, boxes: Sequence[Box], file_size: int) -> list[Chunk]:
        """The stored chunks that any of the windows touches, by place in the file.

        Raises:
            BadRaster: the chunks do not fit into the file.
            UntrustedSource: there are too many.
        """
        spans = [
            [
                range(a // n, (b - 1) // n + 1 if b > a else a // n)
                for (a, b), n in zip(box, self.shape, strict=True)
            ]
            for box in boxes
        ]
        if sum(math.prod(map(len, span)) for span in spans) > MAX_CHUNKS:
            raise UntrustedSource(f"{dataset.name} is cut into more than {MAX_CHUNKS} chunks")
        wanted = {index for span in spans for index in itertools.product(*span)}
        found: dict[tuple[int, ...], Chunk] = {}

        def collect(info: Any) -> None:
            origin = tuple(info.chunk_offset)
            index = tuple(o // n for o, n in zip(origin, self.shape, strict=True))
            if index in wanted:
                stop = info.byte_offset + info.size
                found[index] = Chunk(origin, info.filter_mask, info.byte_offset, stop)

        dataset.id.chunk_iter(collect)
        chunks = sorted(found.values(), key=lambda chunk: chunk.start)
        if any(not 0 <= c.start <= c.stop <= file_size for c in chunks):
            raise BadRaster(f"a chunk of {dataset.name} lies outside the file")
        if sum(c.stop - c.start for c in chunks) > file_size:
            raise BadRaster(f"the chunks of {dataset.name} overlap in the file")
        return chunks

    def decode(self, data: bytes, mask: int) -> NDArray[Any]:
        """Undo the filters of one chunk, the last one first.

        Args:
            data: As stored.
            mask: `Chunk.mask`.

        Returns:
            The chunk's elements, in its shape.

        Raises:
            BadRaster: wrong length or checksum.
        """
        for i, (number, option) in reversed(list(enumerate(self.filters))):
            if mask >> i & 1:
                continue
            if number == DEFLATE:
                data = _inflate(data, self.size)
            elif number == SHUFFLE:
                if option < 1 or len(data) % option:
                    raise BadRaster("a chunk has the wrong length")
                data = np.frombuffer(data, np.uint8).reshape(option, -1).T.tobytes()
            else:
                data, checksum = data[:-4], data[-4:]
                if fletcher32(data) != int.from_bytes(checksum, "little"):
                    raise BadRaster("a chunk has the wrong checksum")
        if len(data) != self.size:
            raise BadRaster("a chunk has the wrong length")
        return np.frombuffer(data, self.dtype).reshape(self.shape)


def _inflate(data: bytes, size: int) -> bytes:
    engine = zlib.decompressobj()
    try:
        # Four bytes more: the checksum, if it was taken before compression. One more: zlib marks
        # the end only when it is asked beyond it.
        plain = engine.decompress(data, size + 5)
    except zlib.error as error:
        raise BadRaster(f"a chunk does not inflate: {error}") from error
    if not engine.eof:
        raise BadRaster("a chunk is truncated, or inflates to more than it declares")
    return plain


def scatter(chunk: NDArray[Any], origin: tuple[int, ...], box: Box, window: NDArray[Any]) -> None:
    """Copy what a chunk and a window have in common into the window."""
    source, target = [], []
    for o, n, (a, b) in zip(origin, chunk.shape, box, strict=True):
        start, stop = max(o, a), min(o + n, b)
        if start >= stop:
            return
        source.append(slice(start - o, stop - o))
        target.append(slice(start - a, stop - a))
    window[tuple(target)] = chunk[tuple(source)]


def fletcher32(data: bytes) -> int:
    """HDF5's checksum: Fletcher over big-endian 16-bit words (an odd last byte is a high byte)."""
    words = np.frombuffer(data + b"\0" * (len(data) % 2), ">u2").astype(np.uint64)
    low = high = 0
    # Blocks of 2^15 words keep the weighted sums below 2^47.
    for start in range(0, len(words), 1 << 15):
        block = words[start : start + (1 << 15)]
        n = len(block)
        weights = np.arange(n, 0, -1, dtype=np.uint64)
        high = (high + n * low + int((weights * block).sum())) % 65535
        low = (low + int(block.sum())) % 65535
    # HDF5 folds carries: a sum of anything but zeros is 65535 where the remainder is 0.
    if words.any():
        low, high = low or 65535, high or 65535
    return high << 16 | low
