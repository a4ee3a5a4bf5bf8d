"""Computed pieces of the sandbox's files, kept on disk, each made once by one thread at a time."""

from __future__ import annotations

import os
import tempfile
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

REVISION = 1  # step when fields or layouts change: cached pieces and ETags hang on it
_LOCKS = tuple(threading.Lock() for _ in range(64))


def stored(path: Path, make: Callable[[], bytes]) -> bytes:
    """The content of a cache file, made first if it is not there.

    Processes may share the directory: a file appears whole or not at all.
    """
    with _LOCKS[zlib.crc32(str(path).encode()) % len(_LOCKS)]:
        try:
            return path.read_bytes()
        except FileNotFoundError:
            data = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".part-")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).replace(path)
        return data
