"""What can be wrong with an asset, seen from what its item promises.

`header_differs` looks at the first bytes of a file and only says that something is wrong;
`diagnose` reads all of it, and says what by one name.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rasterio import Env
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader, MemoryFile

from stac_lake.catalog.doubtful import Damage, contradicting_pixels, empty_pixels
from stac_lake.catalog.promise import Promise

SNAP = 1e-9
"""Relative difference of affine coefficients that went through a file's doubles."""

_ENV = {"GDAL_NUM_THREADS": 1, "GDAL_PAM_ENABLED": False}


def header_differs(header: bytes, promise: Promise) -> bool:
    """Whether a file begins otherwise than its item says: shape, type, place, or tiles.

    Args:
        header: At least the first `Promise.header_bytes` of the file, if it has as many.
        promise: Of its item.
    """
    try:
        with _opened(header) as file:
            differences = (_shape(file, promise), _place(file, promise), _tiles(file, promise))
            return any(differences)
    except (RasterioError, NotGeoreferencedWarning):
        return True


def diagnose(data: bytes, promise: Promise, others: Mapping[str, str]) -> Damage | None:
    """Read a whole file and say what is wrong with it, if anything is.

    Args:
        data: The file.
        promise: Of its item.
        others: First 16 digits of the SHA-256 of other assets → item id; tells exchanged files.
    """
    found = hashlib.sha256(data).hexdigest()
    whole = promise.sha256 in (None, found)
    if not whole and (owner := others.get(found[:16])):
        return Damage("asset_swapped", f"it holds the pixels of {owner}")
    size = f"{len(data)} bytes instead of {promise.size}"
    cut = Damage("asset_truncated", size)
    is_short = len(data) < promise.size
    layout = None
    try:
        with _opened(data) as file:
            if text := _shape(file, promise):
                return Damage("asset_shape", text)
            if text := _place(file, promise):
                return Damage("asset_crs", text)
            layout = _tiles(file, promise)
            if is_short and not layout:
                return cut
            pixels = file.read()
    except (RasterioError, NotGeoreferencedWarning) as error:
        if is_short:
            return cut
        if whole or len(data) != promise.size or layout is None:
            return Damage("asset_undecodable", f"no GeoTIFF that can be read: {_line(error)}")
        return Damage("asset_checksum", _checksum(found, promise))
    if damage := empty_pixels(pixels, promise):
        return damage
    if len(data) != promise.size:
        return Damage("asset_checksum", size)
    if not whole:
        return Damage("asset_checksum", _checksum(found, promise))
    if layout:
        return Damage("layout_differs", layout)
    return contradicting_pixels(pixels, promise)


@contextmanager
def _opened(data: bytes) -> Iterator[DatasetReader]:
    if not data:
        raise RasterioError("the file is empty")
    with Env(**_ENV), MemoryFile(data) as memory, memory.open(driver="GTiff") as file:
        yield file


def _shape(file: DatasetReader, promise: Promise) -> str:
    found = (file.count, *file.shape)
    wanted = (len(promise.bands), *promise.grid.shape)
    if found != wanted:
        return f"(bands, rows, columns) are {found} instead of {wanted}"
    if set(file.dtypes) != {promise.dtype}:
        return f"the type is {', '.join(sorted(set(file.dtypes)))} instead of {promise.dtype}"
    return ""


def _place(file: DatasetReader, promise: Promise) -> str:
    epsg = file.crs.to_epsg() if file.crs else None
    if epsg != promise.grid.epsg:
        return f"the CRS is EPSG:{epsg} instead of EPSG:{promise.grid.epsg}"
    found = tuple(file.transform)[:6]
    pairs = zip(found, promise.grid.transform, strict=True)
    if not all(math.isclose(a, b, rel_tol=SNAP, abs_tol=1e-12) for a, b in pairs):
        return f"the transform is {found} instead of {promise.grid.transform}"
    return ""


def _tiles(file: DatasetReader, promise: Promise) -> str:
    """Where the tiles lie, if not where `lake:layout` says: a loader reads by that alone."""
    if not {"tile", "offsets", "byte_counts"} <= promise.layout.keys():
        return ""
    height, width = file.block_shapes[0]
    if [height, width] != list(promise.layout["tile"]):
        return f"tiles are {height} × {width} instead of {promise.layout['tile']}"
    across, down = -(-file.width // width), -(-file.height // height)
    for name, tag in (("offsets", "OFFSET"), ("byte_counts", "SIZE")):
        found = [
            int(file.get_tag_item(f"BLOCK_{tag}_{column}_{row}", "TIFF", bidx=1) or 0)
            for row in range(down)
            for column in range(across)
        ]
        if found != list(promise.layout[name]):
            return f"lake:layout's {name} are not those of the file"
    return ""


def _checksum(found: str, promise: Promise) -> str:
    return f"SHA-256 {found[:16]}… instead of {(promise.sha256 or '')[:16]}…"


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
