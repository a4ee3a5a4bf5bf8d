"""L1C, RTC and DEM files of the sandbox, as other readers see them, against docs/sandbox.md."""

from __future__ import annotations

import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from pyproj import Transformer
from rasterio.windows import Window
from rio_cogeo import cog_validate
from shapely.geometry import Point, shape

from stac_lake.sandbox import cog, dem, jp2, s1, s2
from stac_lake.sandbox.scene import SandboxScene
from tests.conftest import SHARED
from tests.sandbox.formulas import B04, B10, Land, gamma0, height
from tests.sandbox.rasters import (
    CELL,
    GDAL,
    SUMMER,
    Shelf,
    agrees,
    centres,
    range_server,
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiles")


@pytest.fixture(scope="module")
def shelf() -> Iterator[Shelf]:
    with range_server() as shelf:
        yield shelf


@pytest.fixture(scope="module")
def l1c() -> SandboxScene:
    found = s2.scenes("s2-l1c", CELL, *SUMMER)
    return next(s for s in found if s.facts["nodata_pct"] > 5 and s.facts["cloud_pct"] > 5)


@pytest.fixture(scope="module")
def slice_() -> SandboxScene:
    return s1.scenes("s1-rtc", CELL, *SUMMER)[0]


def test_l1c_window_over_http_is_the_documented_field(
    l1c: SandboxScene, cache: Path, shelf: Shelf
) -> None:
    blob = s2.blob(l1c, "B04", cache=cache, full=False)
    url = shelf.put("B04.jp2", blob)
    shelf.asked.clear()
    with rasterio.Env(**GDAL), rasterio.open(f"/vsicurl/{url}") as source:
        assert (source.driver, source.shape) == ("JP2OpenJPEG", (10980, 10980))
        assert source.crs.to_epsg() == l1c.facts["epsg"]
        assert (source.transform.c, source.transform.f) == l1c.facts["origin"]
        window = Window(5000, 5000, 264, 264)
        pixels = source.read(1, window=window)
        expected = Land(l1c, *centres(source, window)).numbers(B04 | {"path": 0.03}, 10) + 1000
    agrees(pixels, np.where(pixels > 0, expected, 0), 1)
    assert pixels.any()
    # One to four tiles hold the pixels; GDAL finds them by TLM and reads ahead a little.
    assert len(list(cache.rglob("B04.jp2/*.j2k"))) <= 16


def test_transplanted_tiles_make_one_exact_image(l1c: SandboxScene, cache: Path) -> None:
    """All four tiles, two of them cut by the edge: cirrus band and the three-band mask."""
    images = {}
    for name in ("B10", "MSK_CLASSI_B00"):
        blob = s2.blob(l1c, name, cache=cache, full=False)
        path = cache / f"{name}.jp2"
        path.write_bytes(blob.read(0, blob.size))
        with rasterio.open(path) as source:
            images[name] = source.read()
            x, y = centres(source, Window(0, 0, 1830, 1830))
    cirrus, mask = images["B10"][0], images["MSK_CLASSI_B00"]
    land, seen = Land(l1c, x, y), images["B10"][0] > 0
    agrees(cirrus, np.where(seen, land.numbers(B10, 60) + 1000, 0), 1)
    snow = land.snow & ~land.water & (land.cloud == 0)
    opaque, thin = land.cloud >= 0.3, (land.cloud > 0) & (land.cloud < 0.3)
    for band, expected in zip(mask, (opaque, thin, snow), strict=True):
        assert (band == np.where(seen, expected, 0)).mean() > 0.9995
    assert cirrus[seen & (land.cloud == 0)].max() < 1050
    assert cirrus[seen & (land.cloud == 1)].min() > 1200
    assert 100 * (~seen).mean() == pytest.approx(l1c.facts["nodata_pct"], abs=0.1)


def test_l1c_metadata_files(l1c: SandboxScene, cache: Path) -> None:
    def tree(name: str) -> Any:
        blob = s2.blob(l1c, name, cache=cache, full=False)
        return ElementTree.fromstring(blob.read(0, blob.size))

    product, tile = tree("MTD_MSIL1C.xml"), tree("MTD_TL.xml")
    assert [e.text for e in product.iter("RADIO_ADD_OFFSET")] == ["-1000"] * 13
    assert product.findtext(".//PRODUCT_URI") == f"{l1c.id}.SAFE"
    assert product.findtext(".//PROCESSING_BASELINE") == l1c.facts["baseline"]
    assert tile.findtext(".//HORIZONTAL_CS_CODE") == f"EPSG:{l1c.facts['epsg']}"
    zenith = float(tile.findtext(".//Mean_Sun_Angle/ZENITH_ANGLE"))
    assert zenith == pytest.approx(90 - l1c.facts["sun_elevation"])
    old = s2.scene("s2-l1c", l1c.id.replace("_N0500_", "_N0300_"))
    text = s2.blob(old, "MTD_MSIL1C.xml", cache=cache, full=False).read(0, 10**6)
    assert b"RADIO_ADD_OFFSET" not in text
    with pytest.raises(KeyError):
        s2.blob(l1c, "SCL", cache=cache, full=False)


@pytest.mark.parametrize("name", ["vv", "vh"])
def test_rtc_over_http_is_the_documented_field(
    name: str, slice_: SandboxScene, cache: Path, shelf: Shelf
) -> None:
    url = shelf.put(f"{name}.tif", s1.blob(slice_, name, cache=cache, full=False))
    with rasterio.Env(**GDAL), rasterio.open(f"/vsicurl/{url}") as source:
        assert (source.nodata, source.dtypes[0]) == (-32768, "float32")
        assert source.block_shapes == [(512, 512)]
        assert source.transform.c % 10 == source.transform.f % 10 == 0
        middle = Window(source.width // 2, source.height // 2, 264, 264)
        pixels = source.read(1, window=middle)
        agrees(pixels, gamma0(slice_, name == "vh", *centres(source, middle)), 2**-16)
        corner = source.read(1, window=Window(0, 0, 64, 64))
        assert (corner == -32768).all()
        assert cog_validate(f"/vsicurl/{url}", strict=True, quiet=True) == (True, [], [])
    with rasterio.Env(**GDAL), rasterio.open(f"/vsicurl/{url}", overview_level=4) as source:
        coarse = source.read(1)
        x, y = centres(source, Window(0, 0, source.width, source.height))
        to_lonlat = Transformer.from_crs(source.crs, 4326, always_xy=True)
    footprint = shape(slice_.footprint)
    rng = np.random.default_rng(1)
    for row, column in zip(*(rng.integers(0, n, 300) for n in coarse.shape), strict=True):
        point = Point(to_lonlat.transform(x[row, column], y[row, column]))
        if footprint.exterior.distance(point) > 0.01:
            assert footprint.contains(point) == (coarse[row, column] > 0)


def test_dem_is_the_documented_field_half_a_pixel_off_the_degree(cache: Path) -> None:
    scene = dem.scene("dem-glo90", "Copernicus_DSM_COG_30_N66_00_E128_00_DEM")
    blob = dem.blob(scene, "data", cache=cache, full=False)
    path = cache / "dem.tif"
    path.write_bytes(blob.read(0, blob.size))
    assert cog_validate(path, strict=True, quiet=True) == (True, [], [])
    with rasterio.open(path) as source:
        assert source.tags()["AREA_OR_POINT"] == "Point"
        assert (source.dtypes[0], source.nodata, source.shape) == ("float32", None, (1200, 600))
        assert source.transform.c == pytest.approx(128 - 0.5 / 600, abs=1e-12)
        assert source.transform.f == pytest.approx(67 + 0.5 / 1200, abs=1e-12)
        pixels = source.read(1)
        lon, lat = centres(source, Window(0, 0, 600, 1200))
    agrees(pixels, height(lon, lat), 1 / 64)
    assert 0 < pixels.min() < pixels.max() < 3000


REAL = [
    ("cop_dem_glo30_full/Copernicus_DSM_COG_10_N00_00_E006_00_DEM.tif", "dem-glo30"),
    ("cop_dem_glo90_full/Copernicus_DSM_COG_30_S90_00_W164_00_DEM.tif", "dem-glo90"),
]


@pytest.mark.parametrize(("name", "kind"), REAL if SHARED else [])
def test_dem_grid_is_that_of_a_real_tile(name: str, kind: str) -> None:
    assert SHARED
    with rasterio.open(SHARED / "upstream/data" / name) as real:
        facts = dem.scene(kind, Path(name).stem).facts
        assert facts["shape"] == real.shape
        assert facts["transform"] == pytest.approx(tuple(real.transform)[:6], abs=1e-12)


# (south, columns of GLO-30): Copernicus DEM Product Handbook 5.0, and recorded items.
@pytest.mark.parametrize(
    ("south", "columns"),
    [(0, 3600), (49, 3600), (50, 2400), (-50, 3600), (-51, 2400), (69, 1800), (70, 1200),
     (80, 720), (-85, 720), (-86, 360), (-90, 360)],
)  # fmt: skip
def test_dem_columns(south: int, columns: int) -> None:
    assert dem.columns("dem-glo30", south) == columns
    assert dem.columns("dem-glo90", south) == columns // 3


def test_bytes_are_the_same_in_another_process(
    l1c: SandboxScene, cache: Path, tmp_path: Path
) -> None:
    blob = s2.blob(l1c, "B01", cache=cache, full=False)
    code = (
        "import sys, zlib; from pathlib import Path; from stac_lake.sandbox import s2\n"
        f"scene, cache = s2.scene('s2-l1c', {l1c.id!r}), Path({str(tmp_path)!r})\n"
        "b = s2.blob(scene, 'B01', cache=cache, full=False)\n"
        "print(b.etag, b.size, zlib.crc32(b.read(0, b.size)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    assert run.stdout.split() == [
        blob.etag,
        str(blob.size),
        str(zlib.crc32(blob.read(0, blob.size))),
    ]


def test_ranges_are_cuts_of_the_whole(slice_: SandboxScene, l1c: SandboxScene, cache: Path) -> None:
    rng = np.random.default_rng(3)
    for blob in (
        s2.blob(l1c, "MSK_CLASSI_B00", cache=cache, full=False),
        dem.blob(
            dem.scene("dem-glo90", "Copernicus_DSM_COG_30_S86_00_W164_00_DEM"),
            "data", cache=cache, full=False,
        ),
    ):  # fmt: skip
        whole = blob.read(0, blob.size)
        assert len(whole) == blob.size
        for start, stop in np.sort(rng.integers(0, blob.size + 1, (40, 2))).tolist():
            assert blob.read(start, stop) == whole[start:stop]
        assert blob.read(blob.size - 1, blob.size + 99) == whole[-1:]


@pytest.mark.parametrize("gap", [*range(1, 70), 5000, 5001, 70_003])
def test_zlib_streams_are_filled_up_exactly(gap: int) -> None:
    pixels = (np.arange(256 * 256) % 251).astype(np.uint16).reshape(256, 256)
    stream = cog.compressed(pixels, 1)
    if gap < 29:  # some small gaps cannot be made of 5 and 6 bytes; none may come out wrong
        try:
            data = cog.padded(stream, len(stream) + gap)
        except ValueError:
            return
    else:
        data = cog.padded(stream, len(stream) + gap)
    assert len(data) == len(stream) + gap
    assert zlib.decompress(data) == pixels.tobytes()


@pytest.mark.parametrize("gap", [0, 7, 8, 65_537, 65_538, 65_543, 65_544, 200_000])
def test_tile_parts_are_filled_up_exactly(gap: int) -> None:
    part = bytes(12) + b"\xff\x93" + b"pixels"
    body = len(part) - 12  # without its SOT
    data = jp2.filled(part, body + gap)
    assert len(data) == body + gap
    assert data.endswith(b"\xff\x93pixels")
    at = 0
    while data[at : at + 2] == b"\xff\x64":
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    assert data[at : at + 2] == b"\xff\x93"
    with pytest.raises(ValueError, match="does not fit"):
        jp2.filled(part, body - 1)
