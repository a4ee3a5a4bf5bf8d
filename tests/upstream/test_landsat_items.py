"""Recorded Landsat items, and the sun over every recorded optical scene."""

from __future__ import annotations

import copy
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from shapely.geometry import shape

from stac_lake.grid import patch_at
from stac_lake.recipe import product, products
from stac_lake.types import Scene, patch_grid
from stac_lake.upstream import newest, read_item
from tests.conftest import SHARED

LANDSAT = product("landsat-c2-l2")
(SOURCE,) = LANDSAT.sources


def _recorded(provider: str, collection: str) -> list[Path]:
    if SHARED is None:
        return []
    folder = SHARED / "upstream" / provider / "items" / collection
    return sorted(folder.glob("*.json"))


ITEMS = [json.loads(p.read_text()) for p in _recorded("planetary-computer", "landsat-c2-l2")]
TIER_1 = [document for document in ITEMS if document["id"].endswith("T1")]


def _name(document: dict[str, Any]) -> str:
    return str(document["id"])


@pytest.mark.parametrize("document", TIER_1, ids=_name)
def test_a_recorded_landsat_item(document: dict[str, Any]) -> None:
    scene = read_item(document, LANDSAT, SOURCE)
    assert isinstance(scene, Scene), scene
    satellite, _, path_row, day, _, _ = document["id"].split("_")
    assert scene.acquisition == f"{satellite.lower()}-{path_row}-{day}"
    assert scene.properties["platform"] in LANDSAT.platform_ids
    assert scene.dn_offset is None
    # Pixel centres on multiples of 30 m: where the product's chips lie, in both hemispheres.
    red = scene.assets["red"]
    assert red.transform is not None
    assert red.epsg is not None
    assert (red.transform[2] % 30, red.transform[5] % 30) == LANDSAT.lattice_origin_m
    lon, lat = shape(scene.footprint).centroid.coords[0]
    grid = patch_grid(patch_at(lon, lat), LANDSAT.pixels, LANDSAT.gsd_m, LANDSAT.lattice_origin_m)
    assert (grid.epsg - red.epsg) in ({0} if lat >= 0 else {100})
    steps = (grid.transform[2] - red.transform[2]) / 30, (grid.transform[5] - red.transform[5]) / 30
    south = 1e7 / 30 if lat < 0 else 0
    assert steps[0] == round(steps[0])
    assert steps[1] - south == pytest.approx(round(steps[1] - south), abs=1e-6)
    published = document["assets"]["red"]["raster:bands"][0]
    (band,) = (band for band in LANDSAT.bands if band.name == "red")
    assert (published["scale"], published["offset"]) == (band.scale, band.offset)


@pytest.mark.parametrize("document", TIER_1, ids=_name)
def test_flags_mean_what_the_item_says(document: dict[str, Any]) -> None:
    """The tables of the YAML against the item's own classification:bitfields."""
    mask, (more,) = LANDSAT.values.masks[0], LANDSAT.values.more_flags
    said = {
        field["offset"]: field["name"]
        for field in document["assets"]["qa_pixel"]["classification:bitfields"]
    }
    names = {"fill": "unobserved", "cloud_shadow": "shadow"}
    assert mask.bits == {
        bit: names.get(said[bit], said[bit])
        for bit in said
        if said[bit] in {"fill", "cirrus", "cloud", "cloud_shadow", "snow", "water"}
    }
    saturated = {
        field["offset"]: field["name"]
        for field in document["assets"]["qa_radsat"]["classification:bitfields"]
    }
    meant = {bit: "saturated" for bit, name in saturated.items() if name in
             {f"band{n}" for n in range(1, 8)}}  # fmt: skip
    occluded = {bit: "invalid" for bit, name in saturated.items() if name == "occlusion"}
    assert more.bits == meant | occluded


@pytest.mark.skipif(not ITEMS, reason="shared/ is absent: recorded Landsat items are NOT checked")
def test_temperature_is_asked_for_only_where_it_is_wanted() -> None:
    reflectance = next(d for d in TIER_1 if "L2SR" in d["id"])
    warm = LANDSAT.with_bands([*LANDSAT.band_names, "lwir11"])
    assert isinstance(read_item(reflectance, LANDSAT, SOURCE), Scene)
    assert read_item(reflectance, warm, SOURCE) == "no asset 'lwir11'"
    both = next(d for d in TIER_1 if "L2SP" in d["id"])
    scene = read_item(both, warm, SOURCE)
    assert isinstance(scene, Scene)
    assert scene.assets["lwir11"].href.endswith("_ST_B10.TIF")


@pytest.mark.skipif(not ITEMS, reason="shared/ is absent: recorded Landsat items are NOT checked")
def test_final_calibration_replaces_real_time() -> None:
    document = TIER_1[0]
    early = json.loads(json.dumps(document).replace("_02_T1", "_02_RT"))
    early["id"] = "early"
    early["properties"]["landsat:collection_category"] = "T1"
    scenes = [read_item(d, LANDSAT, SOURCE) for d in (early, document)]
    kept, losers = newest(scene for scene in scenes if isinstance(scene, Scene))
    assert [scene.id for scene in kept] == [document["id"]]
    assert list(losers) == ["early"]


@pytest.mark.skipif(not ITEMS, reason="shared/ is absent: recorded Landsat items are NOT checked")
def test_what_is_no_landsat_is_refused() -> None:
    document = copy.deepcopy(TIER_1[0])
    document["id"] = "x"
    for asset in document["assets"].values():
        asset["href"] = "https://landsateuwest.blob.core.windows.net/x.tif"
    assert read_item(document, LANDSAT, SOURCE) == "names no Landsat level 2 product"


def _sun(lon: float, lat: float, moment: datetime) -> tuple[float, float]:
    """Elevation and azimuth of the sun in degrees (Astronomical Almanac, low precision: 0.1°)."""
    days = (moment - datetime(2000, 1, 1, 12, tzinfo=UTC)).total_seconds() / 86400
    anomaly = math.radians(357.528 + 0.9856003 * days)
    longitude = math.radians(
        280.460 + 0.9856474 * days + 1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly)
    )
    tilt = math.radians(23.439 - 0.0000004 * days)
    ascension = math.atan2(math.cos(tilt) * math.sin(longitude), math.cos(longitude))
    declination = math.asin(math.sin(tilt) * math.sin(longitude))
    hour = math.radians((18.697374558 + 24.06570982441908 * days) * 15 + lon) - ascension
    phi = math.radians(lat)
    up = math.sin(phi) * math.sin(declination)
    up += math.cos(phi) * math.cos(declination) * math.cos(hour)
    east = -math.cos(declination) * math.sin(hour)
    north = math.sin(declination) * math.cos(phi)
    north -= math.cos(declination) * math.sin(phi) * math.cos(hour)
    return math.degrees(math.asin(up)), math.degrees(math.atan2(east, north)) % 360


SUNLIT = [
    pytest.param(json.loads(path.read_text()), item, source, id=f"{source.provider}-{path.stem}")
    for item in products().values()
    if item.values.operator == "optical"
    for source in item.sources
    for path in _recorded(source.provider, source.collection)
]


@pytest.mark.parametrize(("document", "item", "source"), SUNLIT)
def test_the_sun_stands_where_the_item_carries_it(document: Any, item: Any, source: Any) -> None:
    scene = read_item(document, item, source)
    if isinstance(scene, str):
        return  # refused, see test_recorded
    # Not where the tile was seen, but where the datatake began, up to minutes before: the sun moves
    # by a quarter of a degree in each.
    lon, lat = shape(scene.footprint).centroid.coords[0]
    elevation, azimuth = _sun(lon, lat, scene.middle)
    assert scene.properties["view:sun_elevation"] == pytest.approx(elevation, abs=4)
    apart = (scene.properties["view:sun_azimuth"] - azimuth + 180) % 360 - 180
    assert abs(apart) * math.cos(math.radians(elevation)) < 4
