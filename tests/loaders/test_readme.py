"""The README's code runs, and its commands exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import training_lake
from numpy.typing import NDArray
from typer.testing import CliRunner

from stac_lake.cli.main import app
from stac_lake.types import Qa, Slot

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def with_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a lake where the demo leaves one; its Sentinel-2 crops have a clear sky."""
    made = training_lake.pixels

    def clear(slot: Slot) -> NDArray[Any]:
        data = made(slot)
        if slot.product == "s2-l1c":
            data = np.maximum(data, 1)
            data[-1] = Qa.OBSERVED
        return data

    monkeypatch.setattr(training_lake, "pixels", clear)
    training_lake.make(str(tmp_path / "demo" / "lake"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
@pytest.mark.filterwarnings("ignore:The 'shapely.ops.transform:DeprecationWarning")
@pytest.mark.usefixtures("with_demo")
def test_python_blocks_run(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 3
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    said = capsys.readouterr().out
    # The same filter through pystac-client and in Python: the ids, and how many they are.
    ids = re.findall(r"s2-l1c_0772176_[\w-]+", said)
    assert ids
    assert f"{len(ids)} items" in said
    assert "264, 264" in said


@pytest.mark.usefixtures("with_demo")
def test_commands_are_real() -> None:
    lines = re.findall(r"^    (stac-lake .*?)(?:\s+#.*)?$", README.read_text("utf-8"), re.MULTILINE)
    assert any(line.startswith("stac-lake query") for line in lines)
    for line in lines:
        words = shlex.split(line)[1:]
        if words[0] == "query":
            answer = CliRunner().invoke(app, words)
            assert answer.exit_code == 0, answer.output
            assert answer.stdout.startswith("s2-l1c_0772176_")
        else:
            told = CliRunner().invoke(app, [words[0], "--help"]).output
            assert all(word in told for word in words if word.startswith("--"))
