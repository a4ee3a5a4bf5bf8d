"""Cloud-optimised GeoTIFFs whose bytes are computed when they are read.

The layout of the file is fixed beforehand: header, all IFDs, then the tiles of the overviews
(smallest first) and of the full image, each in a slot of one size. Only when a range request
touches a slot is its field sampled, compressed and kept on disk. The zlib stream (RFC 1950, 1951)
is filled up to its slot with empty deflate blocks, which every decoder skips, so that the file is
an ordinary COG for all readers.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stac_lake.sandbox.geokeys import Tag, Tie, affine, control_points, long, short, text
from stac_lake.sandbox.slots import REVISION, stored

COG_MEDIA_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"

_STORED = b"\x00\x00\x00\xff\xff"  # empty stored block, from a byte boundary: 5 bytes
_FIXED_STORED = b"\x02\x00\x00\x00\xff\xff"  # empty fixed-Huffman block, then the same: 6 bytes
_LAST = b"\x01\x00\x00\xff\xff"  # empty stored block that ends the stream

Axis = NDArray[np.float64]
Painter = Callable[[Axis, Axis, float], NDArray[Any]]
"""Samples a field: pixel centres x, y in CRS units and the pixel width, to a block (y, x)."""


@dataclass(frozen=True)
class RasterSpec:
    """What is fixed about a raster before any pixel is computed.

    Attributes:
        epsg: CRS; 4326 or a projected one in metres.
        origin: x and y of the upper-left pixel's outer corner.
        pixel: Width and height of a pixel, both positive; rows go south.
        shape: (rows, columns).
        dtype: "uint8", "uint16" or "float32".
        nodata: Text of the nodata tag, or None for no tag.
        block: Width and height of a tile.
        predictor: TIFF predictor: 1, 2 (integers) or 3 (floating point).
        slot: Bytes kept for a tile of the full image over its uncompressed bytes.
        overview_slot: The same of the overviews, whose coarsely sampled waves look like noise.
        point: Write AREA_OR_POINT=Point (the tiepoint is then the first pixel's centre).
        ties: Ground control points; then the file has these, and no CRS and affine grid.
    """

    epsg: int
    origin: tuple[float, float]
    pixel: tuple[float, float]
    shape: tuple[int, int]
    dtype: str
    nodata: str | None
    block: int = 1024
    predictor: int = 2
    slot: float = 0.5
    overview_slot: float = 0.85
    point: bool = False
    ties: tuple[Tie, ...] = ()


@dataclass(frozen=True)
class Level:
    """The full image or one overview."""

    shape: tuple[int, int]
    grid: tuple[int, int]
    slot: int
    start: int

    @property
    def count(self) -> int:
        """Number of tiles."""
        return self.grid[0] * self.grid[1]

    @property
    def stop(self) -> int:
        """Offset in the file of the first byte after the level's tiles."""
        return self.start + self.count * self.slot


class LazyCog:
    """A COG over an analytic field; a `Blob`.

    Args:
        spec: The raster.
        paint: Samples the field.
        key: Path-like name that is unique for the content, e.g. `s2-l2a/<id>/B04`.
        cache: Directory for computed tiles; it is made when needed.
    """

    media_type = COG_MEDIA_TYPE

    def __init__(self, spec: RasterSpec, paint: Painter, key: str, cache: Path) -> None:
        self.spec = spec
        self._paint = paint
        self._key = f"{REVISION}/{key}"
        self._cache = cache
        shapes = [spec.shape]
        while max(shapes[-1]) > 512:
            rows, columns = shapes[-1]
            shapes.append((-(-rows // 2), -(-columns // 2)))
        size = len(_header(spec, _levels(spec, shapes, 0)))
        self.levels = _levels(spec, shapes, size)
        self._head = _header(spec, self.levels)

    @property
    def size(self) -> int:
        """Length of the file in bytes."""
        return self.levels[0].stop

    @cached_property
    def etag(self) -> str:
        """Strong entity tag from the header and the content's key."""
        return (
            f'"{hashlib.md5(self._key.encode() + self._head, usedforsecurity=False).hexdigest()}"'
        )

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes of the half-open range `[start, stop)`; tiles are computed as needed."""
        stop = min(stop, self.size)
        parts = [self._head[start:stop]] if start < len(self._head) else []
        for number, level, index in self._touched(start, stop):
            offset = level.start + index * level.slot
            data = self._slot_bytes(number, level, index)
            parts.append(data[max(start - offset, 0) : stop - offset])
        return b"".join(parts)

    def _touched(self, start: int, stop: int) -> Iterator[tuple[int, Level, int]]:
        for number in range(len(self.levels) - 1, -1, -1):  # in the order of the file
            level = self.levels[number]
            first = max(start, level.start) - level.start
            last = min(stop, level.stop) - level.start
            if first < last:
                for index in range(first // level.slot, -(-last // level.slot)):
                    yield number, level, index

    def _slot_bytes(self, number: int, level: Level, index: int) -> bytes:
        path = self._cache / self._key / f"{number}-{index}.z"
        stream = stored(path, lambda: compressed(self.tile(number, index), self.spec.predictor))
        return padded(stream, level.slot)

    def tile(self, number: int, index: int) -> NDArray[Any]:
        """Pixels of one tile, (block, block): level `number` (0 is the full image), row-major."""
        spec, level = self.spec, self.levels[number]
        row, column = divmod(index, level.grid[1])
        step_x = spec.pixel[0] * spec.shape[1] / level.shape[1]
        step_y = spec.pixel[1] * spec.shape[0] / level.shape[0]
        steps = np.arange(spec.block, dtype=np.float64) + 0.5
        x = spec.origin[0] + (column * spec.block + steps) * step_x
        y = spec.origin[1] - (row * spec.block + steps) * step_y
        pixels = self._paint(x, y, step_x)
        return pixels.astype(spec.dtype, copy=False)


def compressed(pixels: NDArray[Any], predictor: int) -> bytes:
    """One tile after its predictor as an open zlib stream and its Adler-32 (see `padded`)."""
    raw = predicted(pixels, predictor)
    stream = zlib.compressobj(1)
    body = stream.compress(raw) + stream.flush(zlib.Z_FULL_FLUSH)
    return body + struct.pack(">I", zlib.adler32(raw))


def padded(stream: bytes, slot: int) -> bytes:
    """Close a stream of `compressed` with empty blocks so that it is `slot` bytes long.

    Raises:
        ValueError: The tile does not fit into its slot.
    """
    gap = slot - len(stream) - len(_LAST)
    sixes = gap % 5
    fives = (gap - 6 * sixes) // 5
    if gap < 0 or fives < 0:
        raise ValueError(f"a tile of {len(stream)} bytes does not fit into its slot of {slot}")
    return stream[:-4] + _FIXED_STORED * sixes + _STORED * fives + _LAST + stream[-4:]


def predicted(pixels: NDArray[Any], predictor: int) -> bytes:
    """Bytes of a tile after TIFF's predictor 1 (none), 2 (horizontal) or 3 (floating point)."""
    if predictor == 1:
        return pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    if predictor == 2:
        out = pixels.copy()
        out[:, 1:] -= pixels[:, :-1]
        return out.astype(out.dtype.newbyteorder("<")).tobytes()
    rows = pixels.shape[0]
    # Adobe's TIFF Technical Note 3: a row's bytes by significance, then their differences.
    planes = pixels.astype(">f4").view(np.uint8).reshape(rows, -1, 4).transpose(0, 2, 1)
    flat = np.ascontiguousarray(planes).reshape(rows, -1)
    out = flat.copy()
    out[:, 1:] -= flat[:, :-1]
    return out.tobytes()


def _levels(spec: RasterSpec, shapes: list[tuple[int, int]], header: int) -> tuple[Level, ...]:
    raw = spec.block**2 * np.dtype(spec.dtype).itemsize
    start, found = -(-header // 16) * 16, []
    for rows, columns in reversed(shapes):
        grid = (-(-rows // spec.block), -(-columns // spec.block))
        share = spec.slot if (rows, columns) == spec.shape else spec.overview_slot
        found.append(Level((rows, columns), grid, int(raw * share) // 16 * 16, start))
        start = found[-1].stop
    return tuple(reversed(found))


def _header(spec: RasterSpec, levels: tuple[Level, ...]) -> bytes:
    """Classic little-endian TIFF header and the IFDs of all levels, the full image first."""
    out = bytearray(struct.pack("<2sHI", b"II", 42, 8))
    for number, level in enumerate(levels):
        tags = _tags(spec, level, overview=number > 0)
        at = len(out)
        extra = at + 2 + 12 * len(tags) + 4
        entries, tail = bytearray(struct.pack("<H", len(tags))), bytearray()
        for code, kind, count, data in tags:
            if len(data) <= 4:
                value = data.ljust(4, b"\0")
            else:
                value = struct.pack("<I", extra + len(tail))
                tail += data + b"\0" * (-len(data) % 8)
            entries += struct.pack("<HHI", code, kind, count) + value
        end = extra + len(tail)
        following = end if number + 1 < len(levels) else 0
        out += entries + struct.pack("<I", following) + tail
    return bytes(out).ljust(-(-len(out) // 16) * 16, b"\0")


def _tags(spec: RasterSpec, level: Level, overview: bool) -> list[Tag]:
    """(code, type, count, bytes) of an IFD, sorted by code."""
    dtype = np.dtype(spec.dtype)
    offsets = [level.start + i * level.slot for i in range(level.count)]
    tags = [
        long(256, level.shape[1]),
        long(257, level.shape[0]),
        short(258, dtype.itemsize * 8),
        short(259, 8),  # Adobe deflate
        short(262, 1),  # min is black
        short(277, 1),
        short(284, 1),
        short(317, spec.predictor),
        short(322, spec.block),
        short(323, spec.block),
        long(324, *offsets),
        long(325, *[level.slot] * level.count),
        short(339, 3 if dtype.kind == "f" else 1),
    ]
    if overview:
        tags.append(long(254, 1))
    else:
        tags += (
            control_points(spec.ties)
            if spec.ties
            else affine(spec.epsg, spec.origin, spec.pixel, point=spec.point)
        )
        metadata = (
            '<GDALMetadata>\n  <Item name="OVR_RESAMPLING_ALG">NEAREST</Item>\n</GDALMetadata>\n'
        )
        tags.append(text(42112, metadata))
    if spec.nodata is not None:
        tags.append(text(42113, spec.nodata))
    return sorted(tags)
