"""The core is light: what is imported to say hello, and to print help."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"torch", "dask", "distributed", "fastapi", "stac_fastapi", "duckdb", "deltalake"}
HEAVY |= {"rasterio", "xarray", "matplotlib", "odc", "moto"}

HELP = """
import sys
from stac_lake.cli.main import run
assert run(["--help"]) == 0
"""
TELL = "import sys; print('\\n'.join(name.partition('.')[0] for name in sys.modules))"


@pytest.mark.parametrize("program", ["import stac_lake", HELP], ids=["import", "help"])
def test_no_heavy_imports(program: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", f"{program}\n{TELL}"], capture_output=True, text=True, check=True
    )
    assert HEAVY & set(ended.stdout.split()) == set()
