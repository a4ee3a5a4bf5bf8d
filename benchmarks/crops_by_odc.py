"""The peer of the harvest: the same crops by `odc.stac.load` per patch and GDAL's COG driver.

A program of its own, so that its memory and time are its own:
``python -m benchmarks.crops_by_odc URL JOBS OUT``. It is told which scenes to cut, so it neither
searches nor chooses, and it writes neither items nor an index.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import odc.stac
import pystac
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from stac_lake.recipe import providers
from stac_lake.upstream.http import Http
from stac_lake.upstream.pace import Patience
from stac_lake.upstream.signing import signer_for
from stac_lake.upstream.standin import Routes

THREADS = 8
"""As many as our harvest takes on two cores at most; four made it slower."""

TUNED: dict[str, Any] = {
    "GDAL_INGESTED_BYTES_AT_OPEN": 32768,
    "GDAL_HTTP_MULTIPLEX": "YES",
    "GDAL_HTTP_VERSION": "2",
    "CPL_VSIL_CURL_USE_HEAD": "NO",
    "CPL_VSIL_CURL_CHUNK_SIZE": 65536,
    "VSI_CACHE": True,
    "VSI_CACHE_SIZE": 5_000_000,
    "GDAL_CACHEMAX": 256,
}
"""Beside ``cloud_defaults``, which turn directory listings off and merge ranges."""


def main(url: str, jobs: Path, out: Path) -> None:
    """Cut and write all jobs.

    Args:
        url: The stand-in of the providers.
        jobs: JSON list of `benchmarks.crops.Job` as dicts.
        out: Folder for the COGs, one per slot.
    """
    odc.stac.configure_rio(cloud_defaults=True, **TUNED)
    signers = {name: _readable(name, url) for name in providers()}
    for job in json.loads(jobs.read_text(encoding="utf-8")):
        _cut(job, signers[job["provider"]], out)


def _readable(provider: str, url: str) -> Callable[[str], str]:
    """From a published href of a provider to a URL of the stand-in, signed."""
    rules, http = providers()[provider], Http(Routes(url), Patience())
    signer = signer_for(rules, http, {})
    return lambda href: http.routes.route(signer.sign(href).url, rules)


def _cut(job: dict[str, Any], readable: Callable[[str], str], out: Path) -> None:
    """One patch: all its scenes in one load, then one COG each."""
    geobox = GeoBox(job["shape"], Affine(*job["transform"]), f"EPSG:{job['epsg']}")
    items = [pystac.Item.from_dict(document) for document in job["items"]]
    loaded = odc.stac.load(
        items,
        bands=job["bands"],
        geobox=geobox,
        groupby="id",
        pool=THREADS,
        patch_url=readable,
        fail_on_error=True,
    )
    # In the order of time, as odc-stac puts them.
    ordered = sorted(zip(items, job["slots"], strict=True), key=lambda pair: _moment(pair[0]))
    for number, (_, slot) in enumerate(ordered):
        bands = [loaded[band].isel(time=number).values for band in job["bands"]]
        _write(out / f"{slot}.tif", bands, geobox)


def _moment(item: pystac.Item) -> float:
    moment = item.datetime or item.common_metadata.start_datetime
    assert moment is not None
    return moment.timestamp()


def _write(path: Path, bands: Sequence[Any], geobox: GeoBox) -> None:
    data = np.stack(bands)
    with rasterio.open(
        path,
        "w",
        driver="COG",
        count=len(data),
        height=data.shape[1],
        width=data.shape[2],
        dtype=data.dtype,
        crs=str(geobox.crs),
        transform=geobox.affine,
        compress="ZSTD",
        level=1,
        predictor="YES",
        blocksize=272,
        overviews="NONE",
    ) as dataset:
        dataset.write(data)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
