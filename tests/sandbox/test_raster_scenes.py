"""Where and when the sandbox has raster scenes, and that neighbouring ones fit together."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window
from shapely.geometry import box, shape

from stac_lake.sandbox import dem, fields, s1, s2
from stac_lake.sandbox.scene import SandboxScene
from tests.conftest import SHARED
from tests.sandbox.rasters import CELL, POLAR, SUMMER

YEAR = (datetime(2021, 9, 21, tzinfo=UTC), datetime(2022, 9, 15, tzinfo=UTC))
FIJI = (179.9, -17.0, -179.9, -16.8)


def test_dem_tiles_over_a_box_and_the_missing_ones() -> None:
    names = [s.id[22:33] for s in dem.scenes("dem-glo30", CELL, *SUMMER)]
    assert names == ["N43_00_W096", "N43_00_W097", "N44_00_W096", "N44_00_W097"]
    assert not dem.scenes("dem-glo30", (-150.1, -0.1, -149.9, 0.1), *SUMMER)
    gap = (44.2, 40.2, 44.4, 40.4)
    assert not dem.scenes("dem-glo30", gap, *SUMMER)
    assert len(dem.scenes("dem-glo90", gap, *SUMMER)) == 1
    with pytest.raises(KeyError):
        dem.scene("dem-glo30", dem.MISSING_GLO30)
    for kind in ("dem-glo30", "dem-glo90"):
        over = dem.scenes(kind, (179.5, 67.2, -179.5, 67.4), *SUMMER)
        assert [s.id[29:33] for s in over] == ["E179", "W180"]


@pytest.mark.parametrize("bbox", [CELL, POLAR, FIJI, (128.375, 67.125, 128.625, 67.375)])
@pytest.mark.parametrize(("product", "kind"), [(s2, "s2-l2a"), (s2, "s2-l1c"), (s1, "s1-rtc")])
def test_scenes_are_found_again_and_touch_the_box(
    product: Any, kind: str, bbox: tuple[float, ...]
) -> None:
    found = product.scenes(kind, bbox, *YEAR)
    assert bool(found) == (kind != "s1-rtc" or bbox != POLAR)
    west, south, east, north = bbox
    boxes = (
        [box(*bbox)]
        if west < east
        else [box(west, south, 180, north), box(-180, south, east, north)]
    )
    for scene in found:
        footprint = shape(scene.footprint)
        assert footprint.is_valid
        assert any(footprint.intersects(part) for part in boxes)
        assert YEAR[0] <= scene.start <= scene.stop <= YEAR[1]
        again = product.scene(kind, scene.id)
        assert again == scene
        assert again.facts == scene.facts
    assert found == sorted(found, key=lambda s: (s.start, s.id))
    middle = YEAR[0] + timedelta(days=180)
    split = [
        *product.scenes(kind, bbox, YEAR[0], middle),
        *product.scenes(kind, bbox, middle, YEAR[1]),
    ]
    assert {s.id for s in split} == {s.id for s in found}


def test_no_scene_in_the_polar_night_nor_in_the_open_sea() -> None:
    assert not s2.scenes("s2-l2a", POLAR, *SUMMER)
    sea = (-150.1, -0.1, -149.9, 0.1)
    assert not s2.scenes("s2-l2a", sea, *SUMMER)
    assert not s1.scenes("s1-rtc", sea, *SUMMER)
    polar = s1.scenes("s1-grd", POLAR, *SUMMER)
    assert {s.facts["polarizations"] for s in polar} == {("HH",), ("HH", "HV")}
    assert {s.facts["mode"] for s in polar} == {"IW", "EW"}


def test_neighbours_agree_where_they_overlap(tmp_path: Path) -> None:
    """Two tiles of one zone and datatake, 9.8 km of overlap, both in the swath there."""
    found = s2.scenes("s2-l2a", (-94.2, 43.2, -93.8, 43.4), *SUMMER)
    by_take: dict[str, list[SandboxScene]] = {}
    for scene in found:
        by_take.setdefault(scene.facts["datatake_id"], []).append(scene)
    pair = next(
        (a, b)
        for group in by_take.values()
        for a in group
        for b in group
        if b.facts["origin"][0] > a.facts["origin"][0]
        and a.facts["origin"][1] == b.facts["origin"][1]
    )
    windows = []
    for scene in pair:
        blob = s2.blob(scene, "B01", cache=tmp_path, full=False)
        path = tmp_path / f"{scene.id}.tif"
        path.write_bytes(blob.read(0, blob.size))
        left = pair[1].facts["origin"][0]
        with rasterio.open(path) as source:
            windows.append(
                source.read(1, window=Window((left - source.transform.c) / 60, 0, 160, 1830))
            )
    both = (windows[0] > 0) & (windows[1] > 0)
    assert both.any()
    assert np.array_equal(windows[0][both], windows[1][both])


@pytest.mark.parametrize("area", fields.SEA if SHARED else [])
def test_no_land_of_natural_earth_lies_in_the_open_sea(area: tuple[int, int, int, int]) -> None:
    assert SHARED
    land = json.loads((SHARED / "upstream/data/natural_earth/ne_110m_land.geojson").read_text())
    assert not any(shape(one["geometry"]).intersects(box(*area)) for one in land["features"])
