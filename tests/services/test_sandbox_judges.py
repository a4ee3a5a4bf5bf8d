"""The field's own readers judge the sandbox's swath files: HARP the S5P ones, eopf the OLCI ones.

Needs Debian's package `harp` and an environment of its own with `eopf` (its dependencies do not go
with ours), whose interpreter is `$EOPF_PYTHON` or `.venv-eopf/bin/python`. A judge that is missing
is a failure.
"""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import h5py
import harp
import numpy as np
import pytest
import shapely

from stac_lake.sandbox import olci, s5p
from stac_lake.sandbox.olci_files import FILES
from stac_lake.sandbox.orbits import passes
from stac_lake.sandbox.s5p_file import HALF_SWATH_KM, Granule, granule_bytes
from stac_lake.sandbox.swath_fields import days, gas_column
from stac_lake.sandbox.swaths import Swath

CELL = (-96.125, 43.875, -95.875, 44.125)
ROOT = Path(__file__).parents[2]


def _close_granule(gas: str) -> Granule:
    """Two minutes of an orbit over the cell in pixels of 7 km, the size of real ones."""
    window = (datetime(2021, 3, 1, tzinfo=UTC), datetime(2021, 3, 31, tzinfo=UTC))
    scene = s5p.scenes(f"s5p-{gas}", CELL, *window)[-1]
    orbit = scene.facts["orbit"]
    flights = passes("S5P", CELL, scene.start, scene.stop, HALF_SWATH_KM)
    over = next(one for one in flights if one.absolute_orbit == orbit)
    half = timedelta(seconds=60)
    swath = Swath("S5P", over.mid - half, over.mid + half, 110, 360, HALF_SWATH_KM)
    return Granule(gas, scene.id, orbit, "RPRO", "020400", over.mid, 1.0, swath)


@pytest.mark.parametrize("gas", sorted(harp.NAMES))
def test_harp_bins_a_cell_to_the_analytic_field(gas: str, tmp_path: Path) -> None:
    granule = _close_granule(gas)
    path = tmp_path / f"{granule.name}.nc"
    path.write_bytes(granule_bytes(granule))
    # Clouds hide pixels at random places: open the threshold, so that the whole cell is covered.
    with h5py.File(path, "r+") as file:
        qa = file["PRODUCT/qa_value"]
        qa[...] = np.where(qa[...] > 0, 100, 0)
    binned = harp.bin_spatial(gas, path, tmp_path / "out.nc", "2,43.875,0.25,2,-96.125,0.25")
    name = harp.NAMES[gas]
    assert binned[name].attrs["units"] == "mol/m^2"
    value = float(binned[name].values.squeeze())
    middle = days(granule.swath.row_times(np.array([granule.swath.rows / 2])))
    expected = float(gas_column(gas, np.array([-96.0]), np.array([44.0]), middle)[0])
    assert abs(value / expected - 1) < 2e-3, f"{value} against {expected}"


@pytest.mark.parametrize("gas", sorted(harp.NAMES))
def test_harp_and_shapely_agree_on_a_thin_granule(gas: str, tmp_path: Path) -> None:
    """HARP's area-weighted means of whole served files, against polygons cut with shapely."""
    window = (datetime(2021, 3, 1, tzinfo=UTC), datetime(2021, 3, 31, tzinfo=UTC))
    scene = next(
        one
        for one in s5p.scenes(f"s5p-{gas}", CELL, *window)
        if one.facts["processor_version"] == "020400"
    )
    path = tmp_path / f"{scene.id}.nc"
    blob = s5p.blob(scene, "netcdf", cache=tmp_path / "cache", full=False)
    path.write_bytes(blob.read(0, blob.size))
    binned = harp.bin_spatial(gas, path, tmp_path / "out.nc", "6,20,4,8,-110,4")
    told = binned[harp.NAMES[gas]].values.squeeze()
    with h5py.File(path) as file:
        product = file["PRODUCT"]
        variables = [key for key in product if key.endswith(("column", "column_corrected"))]
        column = product[max(variables, key=len)][0].ravel()
        limit = {"co": 49, "no2": 75}.get(gas, 50)
        good = (product["qa_value"][0].ravel() > limit) & (column < 1e30)
        places = product["SUPPORT_DATA/GEOLOCATIONS"]
        lon = places["longitude_bounds"][0].reshape(-1, 4).astype(float)
        lat = places["latitude_bounds"][0].reshape(-1, 4).astype(float)
    near = good & (np.ptp(lon, axis=1) < 90)
    pixels = shapely.polygons(np.stack([lon, lat], axis=-1)[near])
    compared = 0
    for row, south in enumerate(binned["latitude"].values - 2):
        for place, west in enumerate(binned["longitude"].values - 2):
            area = shapely.area(
                shapely.intersection(pixels, shapely.box(west, south, west + 4, south + 4))
            )
            if area.sum() > 0.01:
                mean = (area * column[near]).sum() / area.sum()
                assert abs(told[row, place] - mean) < 0.02 * np.abs(column[near]).max()
                compared += 1
            elif area.sum() == 0:
                assert np.isnan(told[row, place])
    assert compared > 5


_EOPF = """
import json, logging, sys, warnings
warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
import numpy as np
from eopf.common.constants import OpeningMode
from eopf.store.safe import EOSafeStore
with EOSafeStore(sys.argv[1]).open(mode=OpeningMode.OPEN) as store:
    product = store.load()
    told = {}
    for name in ("measurements/oa01_radiance", "measurements/oa17_radiance",
                 "conditions/geometry/sza", "quality/quality_flags"):
        values = np.asarray(product[name].data)
        told[name] = [values.shape, float(np.nanmean(values)), float(np.isnan(values).mean())
                      if values.dtype.kind == "f" else int((values >> 25 & 1).sum())]
    place = product["measurements/oa01_radiance"].coords
    told["place"] = [float(np.asarray(place[key].data)[7, 9]) for key in ("longitude", "latitude")]
    classes = product.attrs["stac_discovery"]["properties"]["classification:classes"]
    told["bright"] = [one["percentage"] for one in classes if one["name"] == "bright"]
print("JSON" + json.dumps(told))
"""


def _eopf_python() -> str:
    python = Path(os.environ.get("EOPF_PYTHON", ROOT / ".venv-eopf/bin/python"))
    assert python.exists(), (
        f"{python} is missing: make an environment with eopf, or set EOPF_PYTHON"
    )
    return str(python)


def test_eopf_opens_an_olci_frame(tmp_path: Path) -> None:
    window = (datetime(2021, 6, 1, tzinfo=UTC), datetime(2021, 7, 1, tzinfo=UTC))
    frame = olci.scenes("s3-olci-efr", CELL, *window)[0]
    safe = tmp_path / f"{frame.id}.SEN3"
    safe.mkdir()
    for name in (*FILES, "xfdumanifest.xml"):
        blob = olci.blob(frame, name, cache=tmp_path / "cache", full=False)
        (safe / name).write_bytes(blob.read(0, blob.size))
    command = [_eopf_python(), "-c", _EOPF, str(safe)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    told = json.loads(run.stdout.split("JSON")[-1])
    with h5py.File(safe / "qualityFlags.nc") as file:
        flags = file["quality_flags"][...]
    invalid = (flags >> 25) & 1 == 1
    for band in ("Oa01", "Oa17"):
        with h5py.File(safe / f"{band}_radiance.nc") as file:
            stored = file[f"{band}_radiance"]
            scale, offset = (float(stored.attrs[k][0]) for k in ("scale_factor", "add_offset"))
            mean = (stored[...][~invalid] * scale + offset).mean()
        shape, value, missing = told[f"measurements/{band.lower()}_radiance"]
        assert shape == [300, 300]
        assert abs(value / mean - 1) < 1e-4
        assert abs(missing - invalid.mean()) < 1e-9
    assert told["quality/quality_flags"][2] == int(invalid.sum())
    assert abs(90 - told["conditions/geometry/sza"][1] - frame.facts["sun_elevation"]) < 1.5
    with h5py.File(safe / "geo_coordinates.nc") as file:
        place = [float(file[key][7, 9]) * 1e-6 for key in ("longitude", "latitude")]
    assert np.allclose(told["place"], place, atol=1e-9)
    assert told["bright"] == [frame.facts["bright_pct"]]
