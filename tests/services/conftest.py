"""Services of the second tier: a missing one is a failure, never a skip."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ceph import Ceph, ceph

from stac_lake.sandbox.server import SandboxConfig, serve

_BUCKETS = itertools.count()


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ceph]:
    """Ceph's S3 gateway; one for all tests."""
    with ceph(tmp_path_factory.mktemp("ceph")) as running:
        yield running


@pytest.fixture
def on_gateway(gateway: Ceph, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ceph:
    """Points this process and its children at the gateway, with an empty cache of the index."""
    for name, value in gateway.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return gateway


@pytest.fixture(scope="session")
def make_lake(gateway: Ceph) -> Callable[[], str]:
    """A call makes a bucket and returns the URL of a lake in it."""

    def make() -> str:
        bucket = f"bucket-{next(_BUCKETS)}"
        gateway.client().create_bucket(Bucket=bucket)
        return f"s3://{bucket}/lake"

    return make


@pytest.fixture(scope="session")
def origin() -> Iterator[str]:
    """The stand-in of the providers, with the cache that all runs share."""
    with serve(SandboxConfig()) as url:
        yield url
