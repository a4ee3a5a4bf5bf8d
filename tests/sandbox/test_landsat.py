"""Landsat scenes of the sandbox: framed and timed as recorded ones, painted as documented."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from pyproj import Transformer
from rasterio.windows import Window
from rio_cogeo import cog_validate
from shapely.geometry import Point, box, shape

from stac_lake.sandbox import landsat
from stac_lake.sandbox.scene import SandboxScene
from tests.conftest import SHARED
from tests.sandbox.landsat_formulas import Oli
from tests.sandbox.rasters import CELL, GDAL, Shelf, agrees, centres, range_server

KIND = "landsat-c2-l2"
YEAR = (datetime(2021, 9, 21, tzinfo=UTC), datetime(2022, 9, 15, tzinfo=UTC))
SYDNEY = (150.6, -34.1, 150.9, -33.8)
RECORDED = (
    sorted((SHARED / "upstream/planetary-computer/items" / KIND).glob("*.json")) if SHARED else []
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiles")


@pytest.fixture(scope="module")
def shelf() -> Iterator[Shelf]:
    with range_server() as shelf:
        yield shelf


def cloudy(bbox: tuple[float, float, float, float]) -> SandboxScene:
    """A scene with a part of each, clear and cloud, and with a temperature."""
    found = landsat.scenes(KIND, bbox, *YEAR)
    return next(
        s for s in found if 20 < s.facts["cloud_pct"] < 80 and s.facts["correction"] == "L2SP"
    )


@pytest.mark.parametrize("path", RECORDED, ids=lambda p: p.stem)
def test_recorded_scenes_are_taken_then_and_there(path: Path) -> None:
    """Platform, path, row and second; footprint, zone and lattice."""
    recorded = json.loads(path.read_text())
    facts = recorded["properties"]
    time = datetime.fromisoformat(facts["datetime"].replace("Z", "+00:00"))
    whole = shape(recorded["geometry"])
    around = landsat.scenes(
        KIND, whole.bounds, time - timedelta(minutes=5), time + timedelta(minutes=5)
    )
    platform = f"{int(facts['platform'][-1]):02d}"
    key = (platform, int(facts["landsat:wrs_path"]), int(facts["landsat:wrs_row"]))
    (found,) = (s for s in around if (s.id[2:4], s.facts["path"], s.facts["row"]) == key)
    assert abs(found.start - time) < timedelta(seconds=30)
    ours = shape(found.footprint)
    assert ours.intersection(whole).area / ours.union(whole).area > 0.94
    frame = found.facts["frame"]
    assert frame.epsg == facts["proj:epsg"]
    _, _, x, _, _, y = facts["proj:transform"]
    corner, theirs = frame.origin, (x, y)
    assert [edge % 300 for edge in corner] == [edge % 300 for edge in theirs]
    # From the first pixel's centre to the last one's: whole multiples of 300 m, too.
    assert [(side - 1) % 10 for side in (*frame.shape, *facts["proj:shape"])] == [0] * 4


@pytest.mark.parametrize(
    ("bbox", "some"),
    [
        (CELL, True),
        (SYDNEY, True),
        ((179.9, -17.0, -179.9, -16.8), True),
        ((128.375, 67.125, 128.625, 67.375), True),
        ((83.875, -68.875, 84.125, -68.625), False),  # the Antarctic
        ((-150.1, -0.1, -149.9, 0.1), False),  # open sea
    ],
)
def test_scenes_are_found_again_and_touch_the_box(bbox: tuple[float, ...], some: bool) -> None:
    found = landsat.scenes(KIND, (bbox[0], bbox[1], bbox[2], bbox[3]), *YEAR)
    assert bool(found) == some
    west, south, east, north = bbox
    boxes = (
        [box(*bbox)]
        if west < east
        else [box(west, south, 180, north), box(-180, south, east, north)]
    )
    for scene in found[::5]:
        footprint = shape(scene.footprint)
        assert footprint.is_valid
        assert any(footprint.intersects(part) for part in boxes)
        assert YEAR[0] <= scene.start <= scene.stop <= YEAR[1]
        for name in (scene.id, landsat.item_id(scene)):
            again = landsat.scene(KIND, name)
            assert again == scene
            assert again.facts == scene.facts
    assert found == sorted(found, key=lambda s: (s.start, s.id))
    middle = YEAR[0] + timedelta(days=180)
    halves = [(YEAR[0], middle), (middle, YEAR[1])]
    split = [s for half in halves for s in landsat.scenes(KIND, (west, south, east, north), *half)]
    assert {s.id for s in split} == {s.id for s in found}


def test_every_path_and_row_comes_again_after_sixteen_days() -> None:
    found = landsat.scenes(KIND, CELL, *YEAR)
    assert {(s.facts["path"], s.facts["row"]) for s in found} == {
        (28, 29), (28, 30), (29, 29), (29, 30)
    }  # fmt: skip
    for platform in ("08", "09"):
        own = [s for s in found if s.id[2:4] == platform and s.id[10:16] == "029029"]
        days = {b.start - a.start for a, b in itertools.pairwise(own)}
        assert {round(gap / timedelta(days=16), 5) for gap in days} == {1}
    with pytest.raises(KeyError):
        landsat.scene(KIND, "LC08_L2SP_029029_20220604_20220610_02_T1")
    with pytest.raises(KeyError):
        landsat.scene(KIND, "LE07_L2SP_029029_20220604_20220610_02_T1")


@pytest.mark.parametrize("bbox", [CELL, SYDNEY], ids=["north", "south"])
def test_rasters_are_the_documented_fields(
    bbox: tuple[float, float, float, float], cache: Path, shelf: Shelf
) -> None:
    """Reflectance, temperature and both masks over the same window, as GDAL reads them."""
    scene = cloudy(bbox)
    read = {}
    for name in ("red", "swir22", "lwir11", "qa_pixel", "qa_radsat"):
        url = shelf.put(
            f"{scene.id}-{name}.tif", landsat.blob(scene, name, cache=cache, full=False)
        )
        with rasterio.Env(**GDAL), rasterio.open(f"/vsicurl/{url}") as source:
            assert source.tags()["AREA_OR_POINT"] == "Point"
            assert source.crs.to_epsg() == scene.facts["frame"].epsg < 32700
            # The tag says the first pixel's centre; GDAL's transform is of its corner.
            assert (source.transform.c % 300, source.transform.f % 300) == (285, 15)
            assert source.dtypes == ("uint16",)
            assert source.block_shapes == [(256, 256)]
            window = Window(source.width // 2 - 500, source.height // 2, 1000, 700)
            read[name] = source.read(1, window=window)
            x, y = centres(source, window)
            nodata = {"qa_pixel": 1, "qa_radsat": None}.get(name, 0)
            assert source.nodata == nodata
            corner = source.read(1, window=Window(0, 0, 64, 64))
            assert (corner == (nodata or 0)).all()
    truth = Oli(scene.id, landsat.scene(KIND, scene.id).facts["row"], x, y)
    for name in ("red", "swir22"):
        agrees(read[name], truth.numbers(name), 1)
    agrees(read["lwir11"], truth.temperature(), 1)
    assert (read["qa_pixel"] == truth.quality()).mean() > 0.999
    assert (read["qa_radsat"] == truth.saturation()).mean() > 0.9999
    flags = np.bitwise_or.reduce(read["qa_pixel"], axis=None)
    assert flags & 0b1101_1110 == 0b1101_1110
    assert 0 < (read["qa_radsat"] > 0).mean() < 0.01


def test_file_is_a_cog_and_ends_at_the_footprint(cache: Path, shelf: Shelf) -> None:
    scene = cloudy(SYDNEY)
    url = shelf.put("nir08.tif", landsat.blob(scene, "nir08", cache=cache, full=False))
    with rasterio.Env(**GDAL):
        assert cog_validate(f"/vsicurl/{url}", strict=True, quiet=True) == (True, [], [])
        with rasterio.open(f"/vsicurl/{url}", overview_level=3) as source:
            coarse = source.read(1)
            x, y = centres(source, Window(0, 0, source.width, source.height))
            to_lonlat = Transformer.from_crs(source.crs, 4326, always_xy=True)
    footprint = shape(scene.footprint)
    rng = np.random.default_rng(1)
    for row, column in zip(*(rng.integers(0, n, 300) for n in coarse.shape), strict=True):
        point = Point(to_lonlat.transform(x[row, column], y[row, column]))
        if footprint.exterior.distance(point) > 0.02:
            assert footprint.contains(point) == (coarse[row, column] > 0)


def test_scenes_without_temperature_have_no_such_file(cache: Path) -> None:
    found: list[Any] = landsat.scenes(KIND, (-100, 40, -90, 48), YEAR[0], YEAR[0] + timedelta(16))
    without = next(s for s in found if s.facts["correction"] == "L2SR")
    assert landsat.blob(without, "red", cache=cache, full=False).size > 1e6
    for name in ("lwir11", "qa_aerosol"):
        with pytest.raises(KeyError):
            landsat.blob(without, name, cache=cache, full=False)
    shares = [sum(s.facts[key] == value for s in found) / len(found) for key, value in (
        ("tier", "T2"), ("correction", "L2SR"),
    )]  # fmt: skip
    assert all(0.02 < share < 0.25 for share in shares)
