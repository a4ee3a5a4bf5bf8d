"""NetCDF-4 files read in ranges: HDF5 says where the bytes are; we fetch, bound and decode them.

h5py only parses metadata, through a read-only block cache over a `Source`. Chunks are fetched in
one coalesced request for all windows that are wanted, and inflated here: with a bound on the size,
which HDF5's own deflate filter lacks, and outside h5py's global lock.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from stac_lake.errors import AssetMissing, BadRaster, StacLakeError, UntrustedSource
from stac_lake.pixels.hdf5_chunks import Box, Chunking, scatter
from stac_lake.pixels.ranged_file import RangedFile
from stac_lake.types import Asset, Source

MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_ARRAY_BYTES = 512 << 20
"""A full OLCI band is 40 MB, the corners of a full TROPOMI granule are 30 MB."""
MAX_ATTRIBUTE_BYTES = 64 << 10
DEFAULT_FILL = {"f4": 9.969209968386869e36, "f8": 9.969209968386869e36}
"""NC_FILL_FLOAT and NC_FILL_DOUBLE: what netCDF writes where nothing was written."""


class Granule:
    """One NetCDF-4 file, open; close it, or use it in a `with` statement.

    Args:
        source: Where bytes come from.
        asset: Which file.
        item: Named in errors.

    Raises:
        BadRaster: the file is not HDF5, or is corrupt.
        UntrustedSource: it refers to other files, needs filter plugins, or declares huge arrays.
        AssetMissing: a variable is not there.
    """

    def __init__(self, source: Source, asset: Asset, item: str) -> None:
        self._where = {"item": item, "asset": asset.key}
        self._blocks = RangedFile(source, asset)
        start = self._blocks.read(len(MAGIC))
        if start != MAGIC:
            raise BadRaster(
                f"the file is no NetCDF-4: it begins with {start!r}; try another candidate",
                **self._where,
            )
        with self._parsing():
            self._file = h5py.File(self._blocks, "r")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the file go."""
        self._file.close()

    def has(self, path: str) -> bool:
        """Whether there is such a variable."""
        try:
            self.shape(path)
        except AssetMissing:
            return False
        return True

    def shape(self, path: str) -> tuple[int, ...]:
        """Shape of a variable, such as ``PRODUCT/latitude``."""
        with self._parsing():
            return tuple(int(n) for n in self._variable(path).shape)

    def attribute(self, path: str, name: str) -> float | str | None:
        """A scalar attribute of a variable, or of the file (path ``""``); None if there is none."""
        with self._parsing():
            owner = self._variable(path) if path else self._file
            if name not in owner.attrs:
                return None
            handle = owner.attrs.get_id(name)
            if math.prod(handle.shape) != 1 or handle.get_storage_size() > MAX_ATTRIBUTE_BYTES:
                return None
            value = np.asarray(owner.attrs[name]).reshape(-1)[0]
            if isinstance(value, bytes):
                return value.decode("utf-8", "replace")
            return str(value) if isinstance(value, str) else float(value)

    def number(self, path: str, name: str) -> float | None:
        """A numeric attribute; None if there is none, or if it is text."""
        value = self.attribute(path, name)
        return None if isinstance(value, str) else value

    def flags(self, path: str) -> dict[str, int]:
        """``flag_meanings`` → ``flag_masks`` of a variable; empty if it does not say."""
        meanings = self.attribute(path, "flag_meanings")
        with self._parsing():
            attrs = self._variable(path).attrs
            if not isinstance(meanings, str) or "flag_masks" not in attrs:
                return {}
            if attrs.get_id("flag_masks").get_storage_size() > MAX_ATTRIBUTE_BYTES:
                return {}
            masks = [int(mask) for mask in np.ravel(attrs["flag_masks"])]
            return dict(zip(meanings.split(), masks, strict=True))

    def values(self, path: str, boxes: Sequence[Box] | None = None) -> list[NDArray[np.float64]]:
        """Physical values, as CF says: fill → NaN, then ``scale_factor`` and ``add_offset``.

        Args:
            path: Variable.
            boxes: Windows; None is the whole array.

        Returns:
            One array per window.
        """
        scale = self.number(path, "scale_factor")
        offset = self.number(path, "add_offset")
        fill = self.number(path, "_FillValue")
        found = []
        for raw in self.raw(path, boxes):
            missing = DEFAULT_FILL.get(raw.dtype.str[1:]) if fill is None else fill
            out = raw.astype(np.float64)
            if missing is not None:
                out[raw == np.asarray(missing).astype(raw.dtype)] = np.nan
            if scale is not None:
                out *= scale
            if offset is not None:
                out += offset
            found.append(out)
        return found

    def raw(self, path: str, boxes: Sequence[Box] | None = None) -> list[NDArray[Any]]:
        """Numbers as they are stored; all windows share one request.

        Args:
            path: Variable.
            boxes: Windows; None is the whole array.

        Returns:
            One array per window, in the variable's dtype.
        """
        with self._parsing():
            variable = self._variable(path)
            shape, dtype = tuple(variable.shape), variable.dtype
            layout = variable.id.get_create_plist().get_layout()
            boxes = [tuple((0, n) for n in shape)] if boxes is None else boxes
            self._check(path, shape, dtype, boxes)
            chunking = Chunking.of(variable) if layout == h5py.h5d.CHUNKED else None
            out = [np.full([b - a for a, b in box], variable.fillvalue, dtype) for box in boxes]
            if layout == h5py.h5d.COMPACT:  # it is in the header, at most 64 kB
                whole = np.asarray(variable[...])
                return [whole[tuple(slice(a, b) for a, b in box)].copy() for box in boxes]
            if chunking is None:
                offset = variable.id.get_offset()
                if offset is not None:
                    self._read_contiguous(offset, shape, boxes, out)
                return out
            chunks = chunking.touched(variable, boxes, self._blocks.size)
        stored = self._blocks.ranges([(c.start, c.stop) for c in chunks])
        with self._parsing():
            for chunk, data in zip(chunks, stored, strict=True):
                array = chunking.decode(data, chunk.mask)
                for box, window in zip(boxes, out, strict=True):
                    scatter(array, chunk.origin, box, window)
        return out

    def _variable(self, path: str) -> Any:
        """A dataset whose bytes are in this file: only hard links are followed."""
        node: Any = self._file
        for part in path.split("/"):
            link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
            if link is None:
                raise AssetMissing(f"the file has no variable {path}")
            if not isinstance(link, h5py.HardLink):
                raise UntrustedSource(f"{path} is a link to another place")
            node = node[part]
        if not isinstance(node, h5py.Dataset):
            raise AssetMissing(f"{path} is no variable")
        plist = node.id.get_create_plist()
        if plist.get_layout() == h5py.h5d.VIRTUAL or plist.get_external_count():
            raise UntrustedSource(f"{path} keeps its data in other files")
        return node

    def _check(
        self, path: str, shape: tuple[int, ...], dtype: np.dtype[Any], boxes: Sequence[Box]
    ) -> None:
        """Refuse what is no array of numbers, lies outside, or is too large, before allocating."""
        if dtype.kind not in "iuf":
            raise BadRaster(f"{path} is of type {dtype}, not numeric")
        for box in boxes:
            if len(box) != len(shape) or any(
                not 0 <= a <= b <= n for (a, b), n in zip(box, shape, strict=True)
            ):
                raise BadRaster(f"{path} has the shape {shape}: there is no window {box}")
        size = sum(math.prod(b - a for a, b in box) for box in boxes) * dtype.itemsize
        if size > MAX_ARRAY_BYTES:
            raise UntrustedSource(f"{path} declares {size} bytes")

    def _read_contiguous(
        self, offset: int, shape: tuple[int, ...], boxes: Sequence[Box], out: list[NDArray[Any]]
    ) -> None:
        """Fill the windows of an array that is stored in one piece."""
        filled = [(box, window) for box, window in zip(boxes, out, strict=True) if window.size]
        spans = []
        for box, window in filled:
            first = int(np.ravel_multi_index([a for a, _ in box], shape))
            last = int(np.ravel_multi_index([b - 1 for _, b in box], shape))
            item = window.dtype.itemsize
            spans.append((offset + first * item, offset + (last + 1) * item))
            if spans[-1][1] > self._blocks.size or spans[-1][1] - spans[-1][0] > MAX_ARRAY_BYTES:
                raise BadRaster("an array lies outside the file")
        for (box, window), data in zip(filled, self._blocks.ranges(spans), strict=True):
            index = np.ravel_multi_index(np.ix_(*(range(a, b) for a, b in box)), shape)
            window[...] = np.frombuffer(data, window.dtype)[index - index.flat[0]]

    @contextmanager
    def _parsing(self) -> Iterator[None]:
        """Errors of HDF5 → BadRaster; the source's stay what they are; all say which file."""
        try:
            yield
        except StacLakeError as error:
            error.context = {**self._where, **error.context}
            raise
        except Exception as error:
            if self._blocks.failure is not None:
                failure, self._blocks.failure = self._blocks.failure, None
                raise failure from error
            raise BadRaster(
                f"the file cannot be read as NetCDF-4: {error}; try another candidate",
                **self._where,
            ) from error
