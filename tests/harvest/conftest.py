"""A stand-in of the providers, a small recipe, and the keys and patience of a test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from stac_lake.sandbox.config import SandboxConfig
from stac_lake.sandbox.server import serve
from stac_lake.upstream import upstream as facade
from tests.harvest.small import QUICK, write_recipe


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The stand-in; parts of scenes are made once for all workers of a run."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    with serve(SandboxConfig(cache=base / "sandbox-scenes")) as url:
        yield url


@pytest.fixture(scope="session", autouse=True)
def _no_look_outside() -> Iterator[None]:
    """dask names its in-process cluster after the address that leads to a public server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("distributed.comm.inproc.get_ip", lambda: "127.0.0.1")
        yield


@pytest.fixture
def sandbox(origin: str) -> Iterator[str]:
    """The stand-in without faults and with its counters at zero."""
    requests.post(f"{origin}/_sandbox/reset", timeout=30)
    yield origin
    requests.post(f"{origin}/_sandbox/reset", timeout=30)


@pytest.fixture
def arm(sandbox: str) -> Callable[..., None]:
    """Arms a fault of the stand-in; it stays armed for all requests unless told otherwise."""

    def arm_one(**fault: object) -> None:
        plan = {"times": -1, "retry_after_s": 0} | fault
        assert requests.post(f"{sandbox}/_sandbox/faults", json=plan, timeout=30).ok

    return arm_one


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of the small recipe, unchanged."""
    return write_recipe(tmp_path_factory.mktemp("recipe"))


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in's published keys."""
    monkeypatch.setenv("CDSE_S3_ACCESS_KEY", "sandbox")
    monkeypatch.setenv("CDSE_S3_SECRET_KEY", "sandbox")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that fail are repeated twice, and at once."""
    monkeypatch.setattr(facade, "Patience", lambda: QUICK)


@pytest.fixture
def disk(tmp_path: Path) -> str:
    """A lake on disk that does not exist yet."""
    return str(tmp_path / "lake")
