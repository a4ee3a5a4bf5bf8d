"""Fixtures around `pixel_files`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from pixel_files import FileSource, encode, scene_of

from stac_lake.types import Scene


@pytest.fixture
def file_source() -> Callable[[Mapping[str, bytes]], FileSource]:
    return FileSource


@pytest.fixture
def tif() -> Callable[..., bytes]:
    return encode


@pytest.fixture
def make_scene() -> Callable[..., Scene]:
    return scene_of
