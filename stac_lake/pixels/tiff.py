"""Tile engine for tiled single-band GeoTIFFs: each tile is fetched once and decoded once.

async-tiff parses headers and decodes (in Rust, without the GIL); the bytes come from `Source`, all
tiles of a read in one call. Multi-band files are left to GDAL: async-tiff 0.7.2 misreads planar
ones with a horizontal predictor, and says nothing.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import async_tiff
import numpy as np
from async_tiff.enums import Compression, PlanarConfiguration, SampleFormat
from numpy.typing import NDArray

from stac_lake.errors import BadRaster, StacLakeError
from stac_lake.pixels.ranges import BLOCK, Ranges
from stac_lake.pixels.raster import PIXELS, Level, Window, checked_size
from stac_lake.pixels.tiff_directories import MAX_TAG_BYTES, checked_directories
from stac_lake.types import Affine6, Asset, Source

_KINDS = {SampleFormat.Uint: "u", SampleFormat.Int: "i", SampleFormat.Float: "f"}
_DECODED = {
    Compression.Uncompressed,
    Compression.LZW,
    Compression.Deflate,
    Compression.OldDeflate,
    Compression.ZSTD,
}
_MAX_HEADER = 4 << 20
"""Directories behind this, as in files that are no COG, are left to GDAL: async-tiff reads all
bytes up to them."""
_TILES_AT_ONCE = 32
"""Decoded tiles held at a time: 64 MiB of 1024² uint16."""
_POINT = 2  # GeoTIFF 1.1, GTRasterTypeGeoKey: RasterPixelIsPoint
_UNKNOWN_EPSG = {0, 32767}

T = TypeVar("T")
Tile = tuple[int, int]


class TiledTiff:
    """An opened tiled GeoTIFF of one band; a `Raster`."""

    def __init__(
        self,
        source: Source,
        ranges: Ranges,
        tiff: async_tiff.TIFF,
        store: _Store,
        georeferenced: bool,
    ) -> None:
        self.asset = ranges.asset
        self._source = source
        self._store = store
        self._lock = threading.Lock()
        full, *others = tiff.ifds
        overviews = [i for i in others if (i.new_subfile_type or 0) & 5 == 1]  # 4 marks a mask
        overviews.sort(key=lambda ifd: -ifd.image_width)
        self._ifds = [full, *overviews]
        transform = _transform(full, self.asset) if georeferenced else PIXELS
        top = Level((full.image_height, full.image_width), transform)
        self.levels = [top, *(top.coarser((i.image_height, i.image_width)) for i in overviews)]
        self.dtype = np.dtype(f"{_KINDS[full.sample_format[0]]}{full.bits_per_sample[0] // 8}")
        self.nodata = float(full.gdal_nodata.strip("\0 ")) if full.gdal_nodata else None
        self.epsg = _epsg(full, self.asset) if georeferenced else 0
        self._tables = [
            self._table(i, level, ranges.size)
            for i, level in zip(self._ifds, self.levels, strict=True)
        ]

    def _table(self, ifd: Any, level: Level, size: int) -> NDArray[np.int64]:
        """Offset and byte count of each tile, (tile, 2), checked against the file's size."""
        height, width = ifd.tile_height, ifd.tile_width
        checked_size(self.asset, level.shape, height * width * self.dtype.itemsize)
        tiles = math.ceil(level.shape[0] / height) * math.ceil(level.shape[1] / width)
        offsets, counts = ifd.tile_offsets or [], ifd.tile_byte_counts or []
        if not len(offsets) == len(counts) == tiles:
            raise self._bad(f"{tiles} tiles expected, the header lists {len(offsets)}")
        table = np.array([offsets, counts], dtype=np.uint64).astype(np.int64).T
        if (table < 0).any() or (table.sum(axis=1) > size).any():
            raise self._bad(f"the header points beyond the end of the file ({size} bytes)")
        return table

    def read(self, windows: Sequence[Window], fill: float, level: int = 0) -> list[NDArray[Any]]:
        """See `Raster.read`; tiles that several windows touch are read once."""
        ifd: Any = self._ifds[level]
        table, shape = self._tables[level], self.levels[level].shape
        size = (ifd.tile_height, ifd.tile_width)
        across = math.ceil(shape[1] / size[1])
        out = [np.full((1, w.rows, w.columns), fill, self.dtype) for w in windows]
        touched: dict[Tile, list[int]] = {}
        for number, window in enumerate(windows):
            for tile in _tiles(window, shape, size):
                touched.setdefault(tile, []).append(number)
        # In file order, so that neighbours share a request.
        order = sorted(touched, key=lambda tile: int(table[tile[0] * across + tile[1], 0]))
        for start in range(0, len(order), _TILES_AT_ONCE):
            batch = order[start : start + _TILES_AT_ONCE]
            spans = {tile: table[tile[0] * across + tile[1]] for tile in batch}
            for tile, pixels in self._decoded(ifd, spans):
                for number in touched[tile]:
                    corner = (tile[0] * size[0], tile[1] * size[1])
                    inside = pixels[: shape[0] - corner[0], : shape[1] - corner[1]]
                    _scatter(inside, corner, windows[number], out[number][0])
        return out

    def _decoded(
        self, ifd: Any, spans: dict[Tile, NDArray[np.int64]]
    ) -> list[tuple[Tile, NDArray[Any]]]:
        raw = ifd.tile_height * ifd.tile_width * self.dtype.itemsize
        for tile, (_, count) in spans.items():
            if count > 2 * raw + 4096:
                raise self._bad(f"tile {tile} claims {count} bytes for {raw}")
        # GDAL writes tiles of nodata only as holes of 0 bytes.
        holes = [tile for tile, (_, count) in spans.items() if count == 0]
        full = [tile for tile in spans if tile not in holes]
        ranges = [(int(o), int(o + n)) for o, n in (spans[tile] for tile in full)]
        pieces = self._source.read_ranges(self.asset, ranges) if ranges else []
        with self._lock:
            self._store.pieces = dict(zip(ranges, pieces, strict=True))
            try:
                arrays = _run(_decode(ifd, full))
            except StacLakeError:
                raise
            except Exception as error:  # async-tiff raises ValueError, IndexError and its own
                raise self._bad(f"a tile cannot be decoded: {error}") from error
            finally:
                self._store.pieces = {}
        empty = np.full((ifd.tile_height, ifd.tile_width), self.nodata or 0, self.dtype)
        for array in arrays:
            if array.dtype != self.dtype:
                raise self._bad(f"a tile has {array.dtype} pixels, the header says {self.dtype}")
        return [*zip(full, arrays, strict=True), *((tile, empty) for tile in holes)]

    def _bad(self, message: str) -> BadRaster:
        return BadRaster(message, asset=self.asset.href)


class _Store:
    """What async-tiff reads from (obspec's async half): the header's cache, then fetched tiles."""

    def __init__(self, ranges: Ranges) -> None:
        self._ranges = ranges
        self.pieces: dict[tuple[int, int], bytes] = {}

    async def get_range_async(
        self, path: str, *, start: int, end: int | None = None, length: int | None = None
    ) -> bytes:
        """One half-open range; `path` is always the one asset."""
        stop = start + (length or 0) if end is None else end
        found = self.pieces.get((start, stop))
        if found is not None:
            return found
        stop = min(stop, self._ranges.size)  # read-ahead may overrun
        if stop - start > MAX_TAG_BYTES:
            raise BadRaster("a header field is larger than 32 MiB", asset=self._ranges.asset.href)
        return await asyncio.to_thread(self._ranges.at, start, stop)

    async def get_ranges_async(
        self,
        path: str,
        *,
        starts: Sequence[int],
        ends: Sequence[int] | None = None,
        lengths: Sequence[int] | None = None,
    ) -> list[bytes]:
        """Several ranges, in the order asked."""
        stops = ends or [s + n for s, n in zip(starts, lengths or [], strict=True)]
        return [
            await self.get_range_async(path, start=a, end=b)
            for a, b in zip(starts, stops, strict=True)
        ]


def open_tiled(source: Source, ranges: Ranges, *, georeferenced: bool = True) -> TiledTiff | None:
    """Open a tiled single-band GeoTIFF; None for TIFFs of a layout that GDAL has to read.

    Without `georeferenced` it is opened in pixel coordinates, and needs no affine.

    Raises:
        BadRaster: the header is corrupt, or declares what the file cannot hold.
        UpstreamError: it could not be read.
    """
    if ranges.at(0, 2) != b"II":
        return None
    if checked_directories(ranges) > _MAX_HEADER:
        return None
    store = _Store(ranges)
    try:
        tiff = _run(_open(store, min(BLOCK, ranges.size)))
        if not _is_ours(tiff, georeferenced):
            return None
    except Exception as error:  # async-tiff wraps what its store raises
        raise ranges.failure or BadRaster(
            f"the TIFF header cannot be parsed: {error}", asset=ranges.asset.href
        ) from error
    return TiledTiff(source, ranges, tiff, store, georeferenced)


def _is_ours(tiff: async_tiff.TIFF, georeferenced: bool) -> bool:
    """Whether the full image is of the kind that async-tiff was checked to decode right."""
    ifd = tiff.ifds[0]
    return bool(
        ifd.samples_per_pixel == 1
        and ifd.tile_width
        and ifd.tile_height
        and ifd.planar_configuration in (PlanarConfiguration.Chunky, PlanarConfiguration.Planar)
        and ifd.compression in _DECODED
        and ifd.sample_format[0] in _KINDS
        and ifd.bits_per_sample[0] in (8, 16, 32, 64)
        and ifd.orientation in (None, 1)
        and (not georeferenced or _has_affine(ifd))
    )


def _has_affine(ifd: Any) -> bool:
    return ifd.geo_key_directory is not None and bool(
        ifd.model_pixel_scale or ifd.model_transformation
    )


def _transform(ifd: Any, asset: Asset) -> Affine6:
    """Corner-based affine of the full image (GeoTIFF 1.1, section B.6)."""
    if ifd.model_transformation:
        a, b, _, c, d, e, _, f = ifd.model_transformation[:8]
    else:
        column, row, _, x, y, _ = ifd.model_tiepoint[:6]
        a, b, d, e = ifd.model_pixel_scale[0], 0.0, 0.0, -ifd.model_pixel_scale[1]
        c, f = x - column * a, y - row * e
    if ifd.geo_key_directory.raster_type == _POINT:
        c, f = c - a / 2 - b / 2, f - d / 2 - e / 2
    if b or d or not (a > 0 > e) or not math.isfinite(a + c + e + f):
        raise BadRaster("the image is rotated or not north-up", asset=asset.href)
    return (a, 0.0, c, 0.0, e, f)


def _epsg(ifd: Any, asset: Asset) -> int:
    keys = ifd.geo_key_directory
    code = keys.projected_type if keys.model_type == 1 else keys.geographic_type
    if code is not None and code not in _UNKNOWN_EPSG:
        return int(code)
    if asset.epsg is not None:
        return asset.epsg
    raise BadRaster("neither the file nor its item says which CRS it is in", asset=asset.href)


def _tiles(window: Window, shape: tuple[int, int], tile: tuple[int, int]) -> list[Tile]:
    """(row, column) of the tiles that a window touches."""
    top, left = max(window.row, 0), max(window.column, 0)
    bottom = min(window.row + window.rows, shape[0])
    right = min(window.column + window.columns, shape[1])
    if top >= bottom or left >= right:
        return []
    return [
        (row, column)
        for row in range(top // tile[0], (bottom - 1) // tile[0] + 1)
        for column in range(left // tile[1], (right - 1) // tile[1] + 1)
    ]


def _scatter(
    pixels: NDArray[Any], corner: tuple[int, int], window: Window, out: NDArray[Any]
) -> None:
    """Copy the part of a block of pixels, whose corner is given, that lies in a window."""
    row, column = corner
    top, left = max(row, window.row), max(column, window.column)
    bottom = min(row + pixels.shape[0], window.row + window.rows)
    right = min(column + pixels.shape[1], window.column + window.columns)
    part = pixels[top - row : bottom - row, left - column : right - column]
    out[top - window.row : bottom - window.row, left - window.column : right - window.column] = part


async def _open(store: _Store, prefetch: int) -> async_tiff.TIFF:
    return await async_tiff.TIFF.open("raster", store=store, prefetch=prefetch)


async def _decode(ifd: Any, tiles: list[Tile]) -> list[NDArray[Any]]:
    fetched = await ifd.fetch_tiles([(column, row) for row, column in tiles])
    # All are awaited even if one fails: their threads would report to a loop that is closed. The
    # order is the one asked for; decode() consumes a tile, so its coordinates are gone then.
    decoded = await asyncio.gather(*(tile.decode() for tile in fetched), return_exceptions=True)
    for result in decoded:
        if isinstance(result, BaseException):
            raise result
    # (row, column, 1) of chunky files, (1, row, column) of planar ones.
    return [np.asarray(array).reshape(ifd.tile_height, ifd.tile_width) for array in decoded]


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a loop of this thread's own."""
    return asyncio.run(work)
