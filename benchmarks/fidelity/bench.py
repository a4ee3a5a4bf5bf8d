"""What rows share: the stand-in of the providers, a folder, and the meter of time and memory."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

from benchmarks.processes import KEYS
from stac_lake.sandbox.config import SandboxConfig
from stac_lake.sandbox.server import serve_apart

T = TypeVar("T")

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_LIBC = ctypes.CDLL(None)


class Bench:
    """One run's workplace; time and memory are those of what was `made` since `reset`.

    Attributes:
        seconds: Of all crops.
        crops: How many.
        peak_mb: Greatest growth of the process during one call; None where the system does not say.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.kept: dict[Any, Any] = {}
        self.reset()

    def __enter__(self) -> Bench:
        self._stack.enter_context(patch.dict(os.environ, KEYS))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def reset(self) -> None:
        """Begin to count anew."""
        self.seconds, self.crops = 0.0, 0
        self.peak_mb: float | None = None

    @cached_property
    def origin(self) -> str:
        """URL of the stand-in, in a process of its own: its memory and cores are not ours."""
        return self._stack.enter_context(serve_apart(SandboxConfig()))

    @cached_property
    def folder(self) -> Path:
        """For files that a reference needs on disk."""
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="fidelity-")))

    def once(self, key: Any, make: Callable[[], T]) -> T:
        """What several comparisons share and no mutation concerns, made the first time."""
        if key not in self.kept:
            self.kept[key] = make()
        found: T = self.kept[key]
        return found

    def made(self, make: Callable[[], T], crops: int = 1) -> T:
        """Make crops, and count what they cost."""
        before = _memory_mb(reset=True)
        began = time.perf_counter()
        result = make()
        self.seconds += time.perf_counter() - began
        self.crops += crops
        after = _memory_mb()
        if before is not None and after is not None:
            self.peak_mb = max(self.peak_mb or 0.0, after - before)
        return result


def _memory_mb(*, reset: bool = False) -> float | None:
    """High-water mark of this process; lowered to what it holds now where `reset` (Linux)."""
    if not (_CLEAR.exists() and _STATUS.exists()):
        return None
    if reset:
        gc.collect()
        # What is free, but kept by the allocator, would be used again without a trace.
        if hasattr(_LIBC, "malloc_trim"):
            _LIBC.malloc_trim(0)
        _CLEAR.write_text("5", encoding="ascii")
    (found,) = re.findall(r"VmHWM:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"))
    return int(found) / 1024
