"""What may be absent: recorded files of real instruments, and other programs."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pixel_files


def is_here(needs: str) -> bool:
    """Whether what a row needs is on this machine.

    Args:
        needs: Of a `Row`: ``shared``, ``sarsen`` or ``harp``; empty is nothing.
    """
    found = {
        "": True,
        "shared": pixel_files.RECORDED is not None,
        "sarsen": pixel_files.RECORDED is not None and bool(importlib.util.find_spec("sarsen")),
        "harp": shutil.which("harpconvert") is not None,
    }
    return found[needs]


def recorded(pattern: str) -> Path:
    """The one recorded file whose path below the recordings fits a pattern."""
    assert pixel_files.RECORDED
    (found,) = Path(pixel_files.RECORDED).glob(pattern)
    return found
