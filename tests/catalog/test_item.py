from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import shapely
import stac_schemas
from made_items import ATTEMPT, CREATED, DATA, FARM, PRODUCTS, facts, slot_of
from shapely.geometry import box, shape

from stac_lake import recipe
from stac_lake.catalog.item import asset_key_of, build_item, resolve, retired
from stac_lake.catalog.rows import SCHEMA, IndexRow, encode_document, table_of
from stac_lake.catalog.schema import LAKE_SCHEMA, lake_schema
from stac_lake.errors import InvalidItem
from stac_lake.grid import Cell, cell_at, patch_at, to_lonlat
from stac_lake.types import Qa, Slot, Window

GOLDEN = Path(__file__).parents[1] / "golden"


def item(product: str, version: int = 1, **changes: Any) -> dict[str, Any]:
    return build_item(facts(slot_of(product), **changes), ATTEMPT, version)


def _extension_cases() -> list[tuple[str, str]]:
    cases = [(product, uri) for product in PRODUCTS for uri in item(product)["stac_extensions"]]
    return [case for case in cases if stac_schemas.known(case[1])]


def check_golden(name: str, document: Any) -> None:
    """Compare with the committed text; ``UPDATE_GOLDEN=1`` writes it."""
    path = GOLDEN / name
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert json.loads(path.read_text(encoding="utf-8")) == json.loads(text)


@pytest.mark.parametrize("product", PRODUCTS)
def test_golden_item(product: str) -> None:
    check_golden(f"item-{product}.json", item(product))


def test_golden_schemas() -> None:
    check_golden("index-schema.json", {field.name: str(field.type) for field in SCHEMA})
    check_golden("lake-schema.json", lake_schema())


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("product", PRODUCTS)
def test_core_schema(product: str, version: int) -> None:
    made = item(product, version)
    uri = f"{stac_schemas.CORE}/item-spec/json-schema/item.json"
    assert stac_schemas.problems(made, uri) == []
    assert stac_schemas.problems(resolve(made, "s3://bucket/lake"), uri) == []
    assert stac_schemas.problems(retired(made, version + 1, CREATED), uri) == []


@pytest.mark.parametrize(("product", "uri"), _extension_cases())
def test_extension_schema(product: str, uri: str) -> None:
    assert stac_schemas.problems(item(product), uri) == []


def test_the_lake_schema_refuses_what_is_not_in_the_dictionary() -> None:
    made = item("s2-l2a")
    made["properties"]["lake:unheard_of"] = 1
    assert stac_schemas.problems(made, LAKE_SCHEMA)
    made = item("s2-l2a")
    del made["properties"]["lake:recipe_digest"]
    assert stac_schemas.problems(made, LAKE_SCHEMA)


def test_only_extensions_that_apply() -> None:
    def names(product: str) -> set[str]:
        return {uri.split("/")[3] for uri in item(product)["stac_extensions"]}

    common = {
        "eo", "file", "grid", "processing", "projection", "raster", "version", "lake", "render",
    }  # fmt: skip
    assert names("dem-glo30") == common | {"classification"}
    assert names("s5p-co") == common
    assert names("s2-l2a") == common | {"classification", "sat", "view"}
    assert names("s1-rtc") == common | {"classification", "sat", "view", "sar"}


def test_times() -> None:
    scene = item("s2-l2a")["properties"]
    assert scene["datetime"] == "2021-03-04T17:18:59.024Z"
    assert "start_datetime" not in scene
    assert item("s1-rtc")["properties"]["datetime"] == "2021-03-04T17:19:11.524Z"
    month = item("s5p-no2")["properties"]
    assert month["datetime"] is None
    assert month["start_datetime"] == "2021-03-01T00:00:00.000Z"
    assert month["end_datetime"] == "2021-03-31T23:59:59.999Z"
    assert item("dem-glo30")["properties"]["datetime"] == "2021-04-22T00:00:00.000Z"


def test_the_crop_is_not_the_scene() -> None:
    crop = item("s2-l2a")["properties"]
    assert crop["eo:cloud_cover"] == 2.5
    assert crop["lake:scene_cloud_cover_pct"] == 17.5
    unknown = {"lake:valid_pct": 100.0}
    assert "eo:cloud_cover" not in item("s2-l2a", properties=unknown)["properties"]


def test_a_composite_names_all_scenes_and_no_single_orbit() -> None:
    made = item("s5p-co")
    derived = [link["title"] for link in made["links"] if link["rel"] == "derived_from"]
    assert len(derived) == 3
    assert made["properties"]["lake:upstream_count"] == 3
    assert made["properties"]["lake:upstream_id"] == derived[0]
    assert not [name for name in made["properties"] if name.startswith("sat:")]


def test_open_sea_has_no_upstream() -> None:
    made = item("dem-glo30", scenes=())
    assert not [link for link in made["links"] if link["rel"] == "derived_from"]
    assert "lake:upstream_id" not in made["properties"]
    with pytest.raises(InvalidItem, match="scene"):
        item("s2-l2a", scenes=())


def test_failover_is_told() -> None:
    assert "lake:failed_over_from" not in item("s2-l2a")["properties"]
    made = item("s2-l2a", failed_over_from=("earth-search",))
    assert made["properties"]["lake:failed_over_from"] == ["earth-search"]


def test_three_spellings_of_the_bands_agree() -> None:
    for name in PRODUCTS:
        product, asset = recipe.product(name), item(name)["assets"]["data"]
        assert [band["name"] for band in asset["bands"]] == list(product.band_names)
        assert [band["name"] for band in asset["eo:bands"]] == list(product.band_names)
        for new, old in zip(asset["bands"], asset["raster:bands"], strict=True):
            assert new["nodata"] == old["nodata"]
            assert new["data_type"] == old["data_type"] == product.dtype
            assert new["statistics"] == old["statistics"]
            assert not [key for key in new if key.startswith("raster:")]
        assert asset["roles"] == ["data"]
        assert asset["type"] == "image/tiff; application=geotiff; profile=cloud-optimized"


def test_band_numbers() -> None:
    red = item("s2-l2a")["assets"]["data"]["eo:bands"][3]
    assert red == {
        "name": "B04",
        "common_name": "red",
        "center_wavelength": 0.6646,
        "full_width_half_max": 0.03,
    }
    raster = item("s2-l2a")["assets"]["data"]["raster:bands"][3]
    assert (raster["scale"], raster["nodata"], raster["unit"]) == (0.0001, 0, "1")
    assert item("s1-rtc")["assets"]["data"]["raster:bands"][0]["nodata"] == "nan"
    assert item("s3-olci-efr")["assets"]["data"]["bands"][0]["solar_flux"] == 1472.5


def test_an_offset_left_in_the_pixels_is_in_the_raster_band_alone() -> None:
    asset = item("s2-l2a", band_metadata={"B04": {"raster:offset": -0.1}})["assets"]["data"]
    assert asset["raster:bands"][3]["offset"] == -0.1
    assert "offset" not in asset["raster:bands"][2]
    assert "raster:offset" not in asset["bands"][3]


def test_a_band_without_a_valid_pixel_has_no_statistics() -> None:
    count = len(recipe.product("s1-rtc").bands)
    made = item("s1-rtc", bands=({},) * count)
    assert "statistics" not in made["assets"]["data"]["bands"][0]
    assert "statistics" not in made["assets"]["data"]["raster:bands"][0]


def test_bitfields_are_the_flags() -> None:
    for product in ("s2-l2a", "s1-rtc", "s3-olci-efr", "dem-glo30"):
        fields = item(product)["assets"]["data"]["bands"][-1]["classification:bitfields"]
        for entry in fields:
            assert 1 << entry["offset"] == Qa[entry["name"].upper()]
        assert fields[0]["name"] == "observed"
    bands = item("s2-l2a")["assets"]["data"]["bands"]
    assert not [band for band in bands[:-1] if "classification:bitfields" in band]


def test_projection_of_a_patch_and_of_a_cell() -> None:
    patch = patch_at(-96, 44)
    found = item("s2-l2a")["properties"]
    assert found["proj:code"] == "EPSG:32615"
    assert found["proj:epsg"] == 32615
    assert found["proj:shape"] == [264, 264]
    assert found["proj:bbox"] == list(patch.bounds_m)
    assert found["proj:transform"] == [10, 0, patch.x, 0, -10, patch.y]
    cell = item("s3-olci-efr")["properties"]
    assert cell["proj:bbox"] == [-96.125, 43.875, -95.875, 44.125]
    assert cell["proj:centroid"] == {"lat": 44.0, "lon": -96.0}


@pytest.mark.parametrize("cell", [FARM, cell_at(180, -17), cell_at(-96, 90), Cell(0)])
def test_geometry_of_a_cell_item(cell: Cell) -> None:
    made = build_item(facts(slot_of("dem-glo30", cell)), ATTEMPT, 1)
    geometry = shape(made["geometry"])
    assert geometry.is_valid
    west, south, east, north = made["bbox"]
    parts = [box(west, south, east, north)]
    if west > east:
        parts = [box(west, south, 180, north), box(-180, south, east, north)]
    assert geometry.symmetric_difference(shapely.union_all(parts)).area < 1e-9


@pytest.mark.parametrize(("lon", "lat"), [(-96, 44), (179.999, -17), (10, 85), (100, -88)])
def test_geometry_of_a_patch_item(lon: float, lat: float) -> None:
    patch = patch_at(lon, lat)
    slot = Slot("s2-l2a", cell_at(*patch.centre), patch, "winter")
    made = build_item(facts(slot), ATTEMPT, 1)
    geometry = shape(made["geometry"])
    assert geometry.is_valid
    left, bottom, right, top = patch.bounds_m
    for x, y in ((left + 9, top - 9), (right - 9, bottom + 9), ((left + right) / 2, top - 9)):
        point = shapely.Point(*to_lonlat(patch.epsg).transform(x, y))
        assert geometry.distance(point) < 1e-6


def test_a_lake_can_be_moved() -> None:
    made = item("s2-l2a", version=2)
    slot = slot_of("s2-l2a")
    home = "cells/n30_w120/n42.5_w097.5/0772176"
    hrefs = {link["rel"]: link["href"] for link in made["links"]}
    assert hrefs["root"] == "../../../../../../catalog.json"
    assert hrefs["collection"] == hrefs["parent"] == "../../collection.json"
    assert hrefs["predecessor-version"] == "./1.json"
    assert "self" not in hrefs
    assert asset_key_of(made).startswith(f"{home}/assets/{slot.id}/{ATTEMPT}/")
    for url in ("s3://bucket/some/lake", "/data/my lake"):
        found = resolve(made, url)
        hrefs = {link["rel"]: link["href"] for link in found["links"]}
        assert hrefs["self"] == f"{url}/{home}/items/{slot.id}/2.json"
        assert hrefs["root"] == f"{url}/catalog.json"
        assert hrefs["collection"] == f"{url}/{home}/collection.json"
        assert hrefs["derived_from"].startswith("https://example.org/")
        assert found["assets"]["data"]["href"] == f"{url}/{asset_key_of(made)}"


def test_an_href_that_leaves_the_cell_is_refused() -> None:
    made = item("s2-l2a")
    for href in ("../../../../../../../etc/passwd", "/etc/passwd", "../../items/x/1.json"):
        made["assets"]["data"]["href"] = href
        with pytest.raises(InvalidItem, match="leaves the cell"):
            asset_key_of(made)


def test_what_makes_no_item() -> None:
    with pytest.raises(InvalidItem, match="lake:unheard_of"):
        item("s2-l2a", properties={"lake:unheard_of": 1})
    with pytest.raises(InvalidItem, match="band"):
        item("s2-l2a", bands=())
    with pytest.raises(InvalidItem, match="not JSON"):
        encode_document(item("s2-l2a", properties={"lake:valid_pct": float("nan")}))


def test_checksum_is_a_multihash() -> None:
    asset = item("s2-l2a")["assets"]["data"]
    assert asset["file:size"] == len(DATA)
    assert asset["file:checksum"].startswith("1220")
    assert len(asset["file:checksum"]) == 4 + 64


def test_a_tombstone_is_the_next_version() -> None:
    stone = retired(item("s2-l2a", version=3), 4, datetime(2026, 2, 1, tzinfo=UTC))
    assert stone["properties"]["deprecated"] is True
    assert stone["properties"]["version"] == "4"
    assert stone["properties"]["created"] == "2026-02-01T00:00:00.000Z"
    assert [x["href"] for x in stone["links"] if x["rel"] == "predecessor-version"] == ["./3.json"]


def test_rows_hold_every_property_that_the_document_has() -> None:
    for product in PRODUCTS:
        made = item(product)
        row = table_of([IndexRow(made, 1)]).to_pylist()[0]
        assert json.loads(row["item"]) == made
        assert shapely.from_wkb(row["geometry"]).equals(shape(made["geometry"]))
        for name, value in made["properties"].items():
            # Times are timestamps in the row, and its version is a number.
            if name in row and name not in {"created", "version"} and "datetime" not in name:
                assert row[name] == value, name
        assert row["time"] <= row["time_end"]
        assert row["cell"] == 772176


def test_two_windows_span_the_composite() -> None:
    windows = tuple(
        Window(datetime(2021, month, 1, tzinfo=UTC), datetime(2021, month, 15, tzinfo=UTC))
        for month in (1, 3)
    )
    made = build_item(replace(facts(slot_of("s5p-o3")), windows=windows), ATTEMPT, 1)
    assert made["properties"]["start_datetime"] == "2021-01-01T00:00:00.000Z"
    assert made["properties"]["end_datetime"] == "2021-03-14T23:59:59.999Z"
