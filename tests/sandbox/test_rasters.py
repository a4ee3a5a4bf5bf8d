"""Generated COGs and JPEG 2000 files, as other readers see them, against docs/sandbox.md."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from async_tiff import TIFF
from obstore.store import HTTPStore
from rasterio.windows import Window
from rio_cogeo import cog_validate

from stac_lake.sandbox import cog, s2
from stac_lake.sandbox.scene import Blob, SandboxScene
from tests.sandbox.formulas import B04, Land
from tests.sandbox.rasters import CELL, GDAL, SUMMER, Shelf, agrees, centres, range_server


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiles")


@pytest.fixture(scope="module")
def l2a() -> SandboxScene:
    """A scene at the edge of the swath, with clouds."""
    found = s2.scenes("s2-l2a", CELL, *SUMMER)
    return next(s for s in found if s.facts["nodata_pct"] > 5 and s.facts["cloud_pct"] > 5)


@pytest.fixture(scope="module")
def shelf() -> Iterator[Shelf]:
    with range_server() as shelf:
        yield shelf


def test_l2a_cog_over_http_is_the_documented_field(
    l2a: SandboxScene, cache: Path, shelf: Shelf
) -> None:
    url = shelf.put("B04.tif", s2.blob(l2a, "B04", cache=cache, full=False))
    shelf.asked.clear()
    with rasterio.Env(**GDAL), rasterio.open(f"/vsicurl/{url}") as source:
        assert source.shape == (10980, 10980)
        assert source.block_shapes == [(1024, 1024)]
        assert source.overviews(1) == [2, 4, 8, 16, 32]
        assert (source.nodata, source.dtypes[0]) == (0, "uint16")
        assert source.crs.to_epsg() == l2a.facts["epsg"]
        assert (source.transform.c, source.transform.f) == l2a.facts["origin"]
        seen = 0
        for column, row in ((2500, 3500), (9000, 5000)):
            window = Window(column, row, 264, 264)
            pixels = source.read(1, window=window)
            x, y = centres(source, window)
            if pixels.all():
                agrees(pixels, Land(l2a, x, y).numbers(B04, 10) + 1000, 1)
                seen += 1
        assert seen
    assert sum(stop - start for start, stop in shelf.asked) < source.width**2 / 4
    with rasterio.Env(**GDAL):
        assert cog_validate(f"/vsicurl/{url}", strict=True, quiet=True) == (True, [], [])


def test_three_readers_and_the_overviews_agree(
    l2a: SandboxScene, cache: Path, shelf: Shelf
) -> None:
    blob = s2.blob(l2a, "B01", cache=cache, full=False)
    path = cache / "B01.tif"
    path.write_bytes(blob.read(0, blob.size))
    assert cog_validate(path, strict=True, quiet=True) == (True, [], [])
    with rasterio.open(path) as source:
        pixels = source.read(1)
    assert np.array_equal(tifffile.imread(path, level=0), pixels)
    assert np.array_equal(asyncio.run(_async_tile(shelf, blob, 0)), pixels[:1024, :1024])
    with rasterio.open(path, overview_level=0) as half:
        assert half.shape == (915, 915)
        coarse = half.read(1)
    assert np.array_equal(asyncio.run(_async_tile(shelf, blob, 1))[:915, :915], coarse)
    seen = (coarse > 0) & (pixels[::2, ::2] > 0)
    assert np.corrcoef(coarse[seen], pixels[::2, ::2][seen])[0, 1] > 0.95
    inside = 100 * (pixels > 0).mean()
    assert inside == pytest.approx(100 - l2a.facts["nodata_pct"], abs=0.1)


async def _async_tile(shelf: Shelf, blob: Blob, level: int) -> Any:
    shelf.put("tile.tif", blob)
    store = HTTPStore.from_url(shelf.url, client_options={"allow_http": True})
    tiff = await TIFF.open("tile.tif", store=store)
    tile = await tiff.fetch_tile(0, 0, level)
    return np.asarray(await tile.decode()).reshape(1024, 1024)


def test_scl_agrees_with_the_page_and_with_the_cloud_cover(
    l2a: SandboxScene, cache: Path, shelf: Shelf
) -> None:
    url = shelf.put("SCL.tif", s2.blob(l2a, "SCL", cache=cache, full=False))
    window = Window(2000, 2000, 900, 900)
    with rasterio.Env(**GDAL), rasterio.open(f"/vsicurl/{url}") as source:
        scl = source.read(1, window=window)
        expected = Land(l2a, *centres(source, window)).classes()
    assert (scl == np.where(scl > 0, expected, 0)).mean() > 0.9995
    with rasterio.Env(**GDAL), rasterio.open(f"/vsicurl/{url}", overview_level=1) as source:
        scl = source.read(1)
    assert set(np.unique(scl)) <= {0, 3, 4, 5, 6, 8, 9, 10, 11}
    cloud = 100 * np.isin(scl, (8, 9, 10)).sum() / (scl > 0).sum()
    assert cloud == pytest.approx(l2a.facts["cloud_pct"], abs=1.5)


def test_some_scenes_claim_no_cloud_and_have_some(cache: Path) -> None:
    claimed = [s for s in s2.scenes("s2-l2a", CELL, *SUMMER) if s.facts["cloud_pct"] == 0]
    year = (datetime(2021, 1, 1, tzinfo=UTC), datetime(2021, 12, 31, tzinfo=UTC))
    claimed = [s for s in s2.scenes("s2-l2a", CELL, *year) if s.facts["cloud_pct"] == 0]
    cloudy = 0
    for scene in claimed:
        left, top = scene.facts["origin"]
        steps = np.linspace(0, 109_800, 60)
        x, y = np.meshgrid(left + steps, top - steps)
        cloudy += bool((Land(scene, x, y).cloud > 0).mean() > 0.05)
    assert cloudy >= 2


def test_offset_follows_provider_and_baseline(l2a: SandboxScene, cache: Path) -> None:
    def first(scene: SandboxScene) -> Any:
        blob = s2.blob(scene, "B04", cache=cache, full=False)
        assert isinstance(blob, cog.LazyCog)
        return blob.tile(0, 3 * 11 + 3).astype(int)

    old = s2.scene("s2-l2a", re.sub(r"_N\d{4}_", "_N0212_", l2a.id))
    esa, shifted, before = first(l2a), first(s2.offset_applied(l2a)), first(old)
    assert (esa > 0).any()
    assert np.array_equal(np.where(esa > 0, esa - 1000, 0), shifted)
    assert np.array_equal(shifted, before)
    assert (old.facts["baseline"], old.id[:38]) == ("02.12", l2a.id[:28] + "0212" + l2a.id[32:38])
