"""One running stand-in for all tests that speak HTTP to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from stac_lake.sandbox.server import SandboxConfig, serve


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    cache: Path = tmp_path_factory.mktemp("sandbox")
    with serve(SandboxConfig(cache=cache)) as url:
        yield url


@pytest.fixture
def sandbox(origin: str) -> Iterator[str]:
    """The stand-in without faults and with its counters at zero."""
    requests.post(f"{origin}/_sandbox/reset", timeout=30)
    yield origin
    requests.post(f"{origin}/_sandbox/reset", timeout=30)
