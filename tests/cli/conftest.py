"""The stand-in and the small recipe of the harvest's tests, and the program in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from stac_lake.cli.main import run
from tests.harvest import small
from tests.harvest.conftest import (
    _no_look_outside,
    arm,
    disk,
    keys,
    origin,
    quick,
    recipe_file,
    sandbox,
)

__all__ = [
    "_no_look_outside", "arm", "disk", "keys", "origin", "quick", "recipe_file", "sandbox",
]  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """What a command line left behind."""

    code: int
    out: str
    err: str


Program = Callable[..., Ended]


@pytest.fixture
def stac_lake(capsys: pytest.CaptureFixture[str]) -> Program:
    """Runs one command line."""

    def program(*arguments: str) -> Ended:
        capsys.readouterr()
        code = run(list(arguments))
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Ended(code, captured.out, captured.err)

    return program


@pytest.fixture(scope="module")
def filled(origin: str, recipe_file: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A lake with two items of Sentinel-1 and the heights; not to be changed."""
    lake = str(tmp_path_factory.mktemp("filled") / "lake")
    small.run(lake, origin, recipe_file, "s1-rtc", "dem-glo30")
    return lake
