"""Swath granules as files: HDF5 bytes that do not depend on the clock, cached whole on disk."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import h5py
import numpy as np
from numpy.typing import NDArray

_EDITION = "2"  # part of the cache's path: raise it when the bytes of a granule change
_LOCKS: dict[Path, threading.Lock] = {}
_LOCKS_GUARD = threading.Lock()


class CachedFile:
    """A Blob that is made whole on first use and kept on disk under an atomic name.

    Args:
        path: Where the bytes are kept.
        media_type: Content-Type.
        make: Makes the whole file; called at most once per process at a time, and not at all
            when the file is there.
    """

    def __init__(self, path: Path, media_type: str, make: Callable[[], bytes]) -> None:
        self.media_type = media_type
        self._path = path
        self._make = make

    @property
    def size(self) -> int:
        """Length in bytes; makes the file."""
        return self._made().stat().st_size

    @property
    def etag(self) -> str:
        """Strong entity tag: the MD5 of the content; makes the file."""
        return _etag(self._made())

    def read(self, start: int, stop: int) -> bytes:
        """The bytes of the half-open range [start, stop)."""
        with self._made().open("rb") as file:
            file.seek(start)
            return file.read(max(stop - start, 0))

    def _made(self) -> Path:
        if self._path.exists():
            return self._path
        with _LOCKS_GUARD:
            lock = _LOCKS.setdefault(self._path, threading.Lock())
        with lock:
            if not self._path.exists():
                self._path.parent.mkdir(parents=True, exist_ok=True)
                part = self._path.with_name(f".{self._path.name}.{uuid4().hex}")
                part.write_bytes(self._make())
                part.replace(self._path)
        return self._path


@lru_cache(maxsize=4096)
def _etag(path: Path) -> str:
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    return f'"{digest}"'


def cache_path(cache: Path, kind: str, product: str, name: str, *, full: bool) -> Path:
    """Where a granule's file is kept."""
    return cache / f"{kind}-{_EDITION}" / ("full" if full else "thin") / product / name


def attribute(value: Any) -> Any:
    """A value as the products store it: text in fixed-length ASCII, numbers as arrays of one."""
    if isinstance(value, str):
        return np.bytes_(value or " ")
    return value if isinstance(value, np.ndarray) else np.array([value])


class Hdf5Writer:
    """Writes one netCDF-4 compatible HDF5 file in memory, the same bytes every time."""

    def __init__(self, attributes: Mapping[str, Any]) -> None:
        self._buffer = io.BytesIO()
        self._file = h5py.File(self._buffer, "w")
        self.annotate("/", attributes)

    def annotate(self, path: str, attributes: Mapping[str, Any]) -> None:
        """Sets attributes of a dimension or group; a group is made if it is not there."""
        node = self._file[path] if path in self._file else self._file.create_group(path)
        for name, value in attributes.items():
            node.attrs[name] = attribute(value)

    def dimension(self, path: str, size: int, values: NDArray[Any] | None = None) -> None:
        """A dimension, with its coordinate values if the product stores them."""
        if values is None:
            scale = self._file.create_dataset(path, shape=(size,), dtype=">f4")
            scale.make_scale(f"This is a netCDF dimension but not a netCDF variable. {size:10d}")
        else:
            scale = self._file.create_dataset(path, data=values)
            scale.make_scale(path.rsplit("/", 1)[-1])

    def variable(
        self,
        path: str,
        dimensions: Sequence[str],
        data: NDArray[Any],
        attributes: Mapping[str, Any],
    ) -> None:
        """A deflated variable on dimensions given by their paths."""
        chunks = tuple(min(size, 1024) for size in data.shape)
        node = self._file.create_dataset(
            path, data=data, chunks=chunks, compression="gzip", compression_opts=4, shuffle=True
        )
        for axis, dimension in enumerate(dimensions):
            node.dims[axis].attach_scale(self._file[dimension])
        for name, value in attributes.items():
            typed = np.array([value], data.dtype) if name in _OF_DATA_TYPE else attribute(value)
            node.attrs[name] = typed

    def close(self) -> bytes:
        """The whole file."""
        self._file.close()
        return self._buffer.getvalue()


_OF_DATA_TYPE = frozenset({"_FillValue", "valid_min", "valid_max"})
