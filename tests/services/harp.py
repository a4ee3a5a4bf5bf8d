"""HARP 1.16, Debian's package `harp`: the tool behind the Earth Engine product of Sentinel-5P."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import xarray as xr

NAMES = {
    "co": "CO_column_number_density",
    "no2": "tropospheric_NO2_column_number_density",
    "o3": "O3_column_number_density",
    "so2": "SO2_column_number_density",
}
LIMITS = {"co": ">=50", "no2": ">75", "o3": ">50", "so2": ">50"}
"""Of `qa_value` in percent, as the product readmes say."""


def bin_spatial(gas: str, granule: Path, out: Path, edges: str, limit: str = "") -> xr.Dataset:
    """Run the chain behind the Earth Engine product on a grid of our own.

    Args:
        gas: Key of `NAMES`.
        granule: Level 2 file.
        out: File that is written.
        edges: Number of latitude edges, the first one, their step; the same of longitudes.
        limit: Comparison on `qa_value`; empty is that of `LIMITS`.
    """
    tool = shutil.which("harpconvert")
    assert tool, "harpconvert is missing: apt-get install harp"
    name = NAMES[gas]
    chain = (
        f"{name}_validity{limit or LIMITS[gas]};keep(latitude_bounds,longitude_bounds,{name});"
        f"bin_spatial({edges});derive(latitude {{latitude}});derive(longitude {{longitude}})"
    )
    options = ["-o", "co=corrected"] if gas == "co" else []
    command = [tool, *options, "-a", chain, str(granule), str(out)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    with xr.open_dataset(out, engine="scipy") as data:  # HARP writes netCDF-3
        return data.load()
