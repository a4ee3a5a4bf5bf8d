"""JPEG 2000 files whose tiles are encoded when they are read.

The file has the boxes of a Sentinel-2 image (ISO/IEC 15444-1 Annex I; georeference as GeoJP2 and
GMLJP2) and one codestream of 1024 × 1024 tiles, lossless. Each tile is encoded alone by OpenJPEG
and its tile-part transplanted: the tile index in its SOT marker is rewritten, and COM markers in
the tile-part header fill it up to a slot of fixed size. That is exact because tiles begin at
multiples of 1024, where the wavelet's phases, precincts and code-blocks of a tile coincide with
those of an image that begins at 0. A slot begins at a multiple of 32 KiB and with 32 KiB that do
not depend on pixels, so that a reader that hops from one SOT to the next, in blocks of up to that
size, makes no tile but those that it decodes. Marker names and layouts: ISO/IEC 15444-1 Annex A.
"""

from __future__ import annotations

import hashlib
import re
import struct
import warnings
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile
from rasterio.transform import Affine

from stac_lake.sandbox.cog import Painter, RasterSpec
from stac_lake.sandbox.slots import REVISION, stored

_BLOCK = 1024
_LEAD = 1 << 15
_SOC, _EOC = b"\xff\x4f", b"\xff\xd9"
_SIZ, _COD, _QCD, _COM, _TLM, _SOT = 0xFF51, 0xFF52, 0xFF5C, 0xFF64, 0xFF55, 0xFF90
_SOT_BYTES = 12
_LOSSLESS = {
    "driver": "JP2OpenJPEG",
    "QUALITY": "100",
    "REVERSIBLE": "YES",
    "RESOLUTIONS": "6",
    "BLOCKXSIZE": str(_BLOCK),
    "BLOCKYSIZE": str(_BLOCK),
    "YCC": "NO",
}


class LazyJp2:
    """A JPEG 2000 file over an analytic field; a `Blob`.

    Args:
        spec: The raster; its predictor and nodata do not apply, its slot is the share of a tile's
            uncompressed bytes as for a COG.
        paint: Samples the field, to (y, x) or (band, y, x).
        key: Path-like name that is unique for the content.
        cache: Directory for encoded tiles.
        bands: Number of components.
    """

    media_type = "image/jp2"

    def __init__(
        self, spec: RasterSpec, paint: Painter, key: str, cache: Path, bands: int = 1
    ) -> None:
        self.spec = spec
        self._paint = paint
        self._key = f"{REVISION}/{key}.jp2"
        self._cache = cache
        self._bands = bands
        rows, columns = spec.shape
        self._grid = (-(-rows // _BLOCK), -(-columns // _BLOCK))
        self._count = self._grid[0] * self._grid[1]
        raw = _BLOCK**2 * bands * np.dtype(spec.dtype).itemsize
        self._slot = -(-int(raw * spec.slot) // _LEAD) * _LEAD + _LEAD
        self._head = self._header()

    @property
    def size(self) -> int:
        """Length of the file in bytes."""
        return len(self._head) + self._count * self._slot + len(_EOC)

    @cached_property
    def etag(self) -> str:
        """Strong entity tag from the header and the content's key."""
        content = self._key.encode() + self._head
        return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes of the half-open range `[start, stop)`; tiles are encoded as needed."""
        stop = min(stop, self.size)
        parts = [self._head[start:stop]]
        base = len(self._head)
        end = base + self._count * self._slot
        first, last = max(start, base) - base, min(stop, end) - base
        if first < last:
            for index in range(first // self._slot, -(-last // self._slot)):
                offset = base + index * self._slot
                begin, finish = max(start - offset, 0), stop - offset
                if finish <= _LEAD:
                    parts.append(_lead(index, self._slot)[begin:finish])
                else:
                    parts.append(self._slot_bytes(index)[begin:finish])
        if stop > max(start, end):
            parts.append(_EOC[max(start - end, 0) : stop - end])
        return b"".join(parts)

    def _slot_bytes(self, index: int) -> bytes:
        return _lead(index, self._slot) + filled(self._tile_part(index), self._slot - _LEAD)

    def _tile_part(self, index: int) -> bytes:
        path = self._cache / self._key / f"{index}.j2k"
        return stored(path, lambda: self._encoded(index))

    def _encoded(self, index: int) -> bytes:
        """The tile's only tile-part, SOT to its last byte, as tile 0 of its own image."""
        spec = self.spec
        row, column = (n * _BLOCK for n in divmod(index, self._grid[1]))
        rows, columns = min(_BLOCK, spec.shape[0] - row), min(_BLOCK, spec.shape[1] - column)
        x = spec.origin[0] + (column + np.arange(columns, dtype=np.float64) + 0.5) * spec.pixel[0]
        y = spec.origin[1] - (row + np.arange(rows, dtype=np.float64) + 0.5) * spec.pixel[1]
        pixels = self._paint(x, y, spec.pixel[0]).astype(spec.dtype, copy=False)
        codestream = _encode(pixels.reshape(self._bands, rows, columns))
        markers, start = _main_header(codestream)
        if any(markers[code] != self._coding[code] for code in (_COD, _QCD)):
            raise ValueError(f"tile {index} of {self._key} was encoded with other parameters")
        return codestream[start : -len(_EOC)]

    @cached_property
    def _coding(self) -> dict[int, bytes]:
        """COD, QCD and the other marker segments that the encoder writes for this kind of tile."""
        return dict(_coding(self.spec.dtype, self._bands))

    def _header(self) -> bytes:
        rows, columns = self.spec.shape
        siz = struct.pack(">HIIIIIIIIH", 0, columns, rows, 0, 0, _BLOCK, _BLOCK, 0, 0, self._bands)
        depth = np.dtype(self.spec.dtype).itemsize * 8 - 1
        lengths = b"".join(struct.pack(">HI", i, self._slot) for i in range(self._count))
        main = (
            _SOC
            + _segment(_SIZ, siz + bytes([depth, 1, 1]) * self._bands)
            + _segment(_COD, self._coding[_COD])
            + _segment(_QCD, self._coding[_QCD])
            + _segment(_TLM, b"\x00\x60" + lengths)  # 2-byte tile indexes, 4-byte lengths
        )
        boxes = _boxes(self.spec, self._bands)
        # Up to a multiple of 32 KiB, and by at least the shortest comment.
        main += _comments(7 + -(len(boxes) + 8 + len(main) + 7) % _LEAD)
        codestream = len(main) + self._count * self._slot + len(_EOC)
        return boxes + struct.pack(">I4s", codestream + 8, b"jp2c") + main


def _lead(index: int, slot: int) -> bytes:
    """What every slot begins with: the tile's SOT, and a comment that ends at 32 KiB."""
    sot = struct.pack(">HHHIBB", _SOT, 10, index, slot, 0, 1)
    return sot + _comments(_LEAD - len(sot))


def filled(tile_part: bytes, size: int) -> bytes:
    """A tile-part without its SOT, with comments before it that fill it up to `size` bytes.

    Raises:
        ValueError: The tile-part does not fit.
    """
    body = tile_part[_SOT_BYTES:]
    if size < len(body):
        raise ValueError(f"a tile-part of {len(body)} bytes does not fit into {size}")
    return _comments(size - len(body)) + body


def _comments(gap: int) -> bytes:
    """COM segments of together `gap` bytes.

    Raises:
        ValueError: The gap is shorter than the shortest segment, 7 bytes, but not zero.
    """
    padding = bytearray()
    while gap:
        # The longest COM segment has 65537 bytes; never leave a rest of 1 to 6.
        size = gap if gap <= 65_537 else 65_537 if gap - 65_537 >= 7 else 60_000
        if size < 7:
            raise ValueError(f"a gap of {size} bytes cannot be filled")
        padding += _segment(_COM, b"\0\0" + b"\0" * (size - 6))
        gap -= size
    return bytes(padding)


def _segment(code: int, data: bytes) -> bytes:
    return struct.pack(">HH", code, len(data) + 2) + data


def _encode(pixels: NDArray[Any], **extra: Any) -> bytes:
    """A lossless codestream (or file, with `CODEC="JP2"`) of (band, y, x)."""
    bands, rows, columns = pixels.shape
    profile = {"CODEC": "J2K", "width": columns, "height": rows, "count": bands} | extra
    with warnings.catch_warnings(), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(dtype=pixels.dtype, **(_LOSSLESS | profile)) as target:
            target.write(pixels)
        return bytes(memory.read())


@lru_cache(maxsize=8)
def _coding(dtype: str, bands: int) -> tuple[tuple[int, bytes], ...]:
    markers, _ = _main_header(_encode(np.zeros((bands, _BLOCK, _BLOCK), dtype)))
    return tuple(markers.items())


def _main_header(codestream: bytes) -> tuple[dict[int, bytes], int]:
    """Marker segments of a main header by code, and the offset of the first tile-part."""
    markers: dict[int, bytes] = {}
    at = len(_SOC)
    while True:
        code, length = struct.unpack_from(">HH", codestream, at)
        if code == _SOT:
            return markers, at
        markers[code] = codestream[at + 4 : at + 2 + length]
        at += 2 + length


@lru_cache(maxsize=64)
def _boxes(spec: RasterSpec, bands: int) -> bytes:
    """All boxes before the codestream's, as the JP2 driver writes them, for the full size."""
    rows, columns = spec.shape
    (x, y), (dx, dy) = spec.origin, spec.pixel
    sample = _encode(
        np.zeros((bands, 16, 16), spec.dtype),
        CODEC="JP2",
        RESOLUTIONS="1",
        GeoJP2="YES",
        GMLJP2="YES",
        crs=f"EPSG:{spec.epsg}",
        transform=Affine(dx, 0, x, 0, -dy, y),
    )
    out, at = b"", 0
    while True:
        length, kind = struct.unpack_from(">I4s", sample, at)
        if kind == b"jp2c":
            return out
        box = sample[at : at + length]
        if kind == b"jp2h":
            start = box.index(b"ihdr") + 4
            box = box[:start] + struct.pack(">II", rows, columns) + box[start + 8 :]
        elif kind == b"asoc":
            box = _gml_box(box, spec)
        out += box
        at += length


def _gml_box(box: bytes, spec: RasterSpec) -> bytes:
    """The GMLJP2 association box with the limits and the envelope of the full image."""
    rows, columns = spec.shape
    (x, y), (dx, dy) = spec.origin, spec.pixel
    start = box.index(b"<gml:FeatureCollection")
    text = box[start:].decode()
    for tag, pair in {
        "high": (columns - 1, rows - 1),
        "lowerCorner": (x, y - rows * dy),
        "upperCorner": (x + columns * dx, y),
    }.items():
        values = f"<gml:{tag}>{pair[0]:.0f} {pair[1]:.0f}</gml:{tag}>"
        text = re.sub(f"<gml:{tag}>[^<]*</gml:{tag}>", values, text)
    label = b"gml.data\0"
    outer = struct.pack(">I4s", 8 + len(label), b"lbl ") + label
    label = b"gml.root-instance\0"
    inner = struct.pack(">I4s", 8 + len(label), b"lbl ") + label
    inner += struct.pack(">I4s", 8 + len(text.encode()), b"xml ") + text.encode()
    outer += struct.pack(">I4s", 8 + len(inner), b"asoc") + inner
    return struct.pack(">I4s", 8 + len(outer), b"asoc") + outer
