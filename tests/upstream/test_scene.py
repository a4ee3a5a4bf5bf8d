"""Wrong metadata put right, identities, reprocessings, masks, odd footprints."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import Point, box, shape

from stac_lake.recipe import Product, SourceCollection, products
from stac_lake.types import Scene
from stac_lake.upstream import newest, read_item
from stac_lake.upstream.footprint import touches_any, usable_footprint
from stac_lake.upstream.moments import moment

from .conftest import recorded


def source_of(product: str, provider: str, collection: str) -> tuple[Product, SourceCollection]:
    found = products()[product]
    source = next(s for s in found.sources if (s.provider, s.collection) == (provider, collection))
    return found, source


def scene_of(document: dict[str, Any], product: str, provider: str) -> Scene:
    scene = read_item(document, *source_of(product, provider, document["collection"]))
    assert isinstance(scene, Scene), scene
    return scene


def test_earth_search_offset_was_applied_already() -> None:
    document = recorded("earth-search_sentinel-2-l2a")
    assert document["assets"]["red"]["raster:bands"][0]["offset"] == -0.1
    assert scene_of(document, "s2-l2a", "earth-search").dn_offset == 0


def test_earth_search_flag_false_is_a_hint_that_the_offset_is_still_there() -> None:
    document = recorded("earth-search_sentinel-2-l2a")
    document["properties"]["earthsearch:boa_offset_applied"] = False
    assert scene_of(document, "s2-l2a", "earth-search").dn_offset == 1000
    document["properties"]["s2:processing_baseline"] = "02.14"
    assert scene_of(document, "s2-l2a", "earth-search").dn_offset == 0


def test_earth_search_sentinel1_projection_is_made_up() -> None:
    document = recorded("earth-search_sentinel-1-grd")
    assert document["properties"]["proj:epsg"] == 4326
    product = products()["s1-grd"]
    source = SourceCollection(
        provider="earth-search", collection="sentinel-1-grd", assets={"VV": "vv", "VH": "vh"}
    )
    refused = read_item(document, product, source)
    # Requester pays: the bucket is on nobody's list, so no such scene is ever made …
    assert isinstance(refused, str)
    assert "sentinel-s1-l1c" in refused
    for asset in document["assets"].values():
        asset["href"] = "https://sentinel-cogs.s3.us-west-2.amazonaws.com/x.SAFE/measurement/x.tiff"
    scene = read_item(document, product, source)
    assert isinstance(scene, Scene)
    # … and one from elsewhere has no georeference but its ground control points.
    assert {(a.epsg, a.transform, a.shape) for a in scene.assets.values()} == {(None, None, None)}


def test_planetary_computer_writes_times_with_a_space() -> None:
    document = recorded("planetary-computer_sentinel-1-rtc")
    assert " " in document["properties"]["start_datetime"]
    scene = scene_of(document, "s1-rtc", "planetary-computer")
    assert scene.start == datetime(2024, 4, 19, 4, 57, 49, 220673, UTC)
    assert scene.end == datetime(2024, 4, 19, 4, 58, 14, 219437, UTC)
    assert scene.properties["platform"] == "sentinel-1a"
    assert scene.properties["sar:polarizations"] == ["VV", "VH"]


def test_nine_number_transform_and_rows_first() -> None:
    asset = scene_of(
        recorded("planetary-computer_sentinel-1-rtc"), "s1-rtc", "planetary-computer"
    ).assets["VV"]
    assert asset.transform == (10.0, 0.0, 447230.0, 0.0, -10.0, 3924100.0)
    assert asset.shape == (21067, 28902)
    assert asset.epsg == 32633


def test_planetary_computer_says_neither_scale_nor_nodata() -> None:
    document = recorded("planetary-computer_sentinel-2-l2a")
    assert "raster:bands" not in document["assets"]["B04"]
    scene = scene_of(document, "s2-l2a", "planetary-computer")
    assert scene.dn_offset == 1000
    assert scene.properties["platform"] == "sentinel-2b"
    zenith = document["properties"]["s2:mean_solar_zenith"]
    assert scene.properties["view:sun_elevation"] == pytest.approx(90 - zenith)


def test_cdse_projection_is_on_the_asset_only() -> None:
    document = recorded("cdse_sentinel-2-l2a")
    assert not any(name.startswith("proj:") for name in document["properties"])
    asset = scene_of(document, "s2-l2a", "cdse").assets["B05"]
    assert (asset.epsg, asset.shape) == (32635, (5490, 5490))


@pytest.mark.parametrize("case", ["Product", "product"])
def test_cdse_archive_is_never_taken_however_it_is_spelled(case: str) -> None:
    document = recorded("cdse_sentinel-2-l2a")
    document["assets"][case] = document["assets"].pop("Product")
    hrefs = {a.href for a in scene_of(document, "s2-l2a", "cdse").assets.values()}
    assert document["assets"][case]["href"] not in hrefs
    assert all(href.endswith(".jp2") for href in hrefs)


def olci(name: str = "S3A_OL_1_EFR____20210601T100000_20210601T100300_20210602T120000_0179_072_"
         "022_1980_MAR_O_NT_002") -> dict[str, Any]:  # fmt: skip
    """An OLCI item as CDSE serves it: the recorded SYN item with the assets of EFR."""
    document = recorded("cdse_sentinel-3-syn-2-syn-ntc")
    assert document["properties"]["proj:code"] is None
    assert "product" in document["assets"]
    _, source = source_of("s3-olci-efr", "cdse", "sentinel-3-olci-1-efr-ntc")
    href = f"s3://eodata/Sentinel-3/OLCI/OL_1_EFR___/2021/06/01/{name}.SEN3/"
    document["assets"] = {key: {"href": f"{href}{key}.nc"} for key in source.assets.values()}
    return document | {"id": name, "collection": source.collection}


def test_cdse_swaths_have_no_projection() -> None:
    scene = scene_of(olci(), "s3-olci-efr", "cdse")
    assert scene.acquisition == "s3a-072-022-1980"
    assert {asset.epsg for asset in scene.assets.values()} == {None}
    assert scene.properties["sat:relative_orbit"] == 136  # the property beats the name


def test_olci_not_time_critical_beats_newer_near_real_time() -> None:
    names = [
        "S3A_OL_1_EFR____20210601T100000_20210601T100300_20210609T120000_0179_072_022_1980_LN1_O_NR_002",
        "S3A_OL_1_EFR____20210601T100001_20210601T100300_20210602T120000_0179_072_022_1980_MAR_O_NT_002",
    ]
    kept, losers = newest([scene_of(olci(name), "s3-olci-efr", "cdse") for name in names])
    assert [scene.id for scene in kept] == [names[1]]
    assert losers == {names[0]: f"superseded by {names[1]}"}


def tropomi(name: str, gas: str = "no2", mode: str = "rpro") -> dict[str, Any]:
    document = recorded("cdse_sentinel-3-syn-2-syn-ntc")
    document["assets"] = {"netcdf": {"href": f"s3://eodata/Sentinel-5P/TROPOMI/x/{name}.nc"}}
    document["properties"] |= {"platform": "sentinel-5p", "proj:code": "EPSG:4326"}
    return document | {"id": name, "collection": f"sentinel-5p-l2-{gas}-{mode}"}


S5P = "S5P_RPRO_L2__NO2____20210301T013547_20210301T031717_17522_03_{}_{}"


def test_tropomi_version_and_orbit_come_from_the_name() -> None:
    document = tropomi(S5P.format("020400", "20221109T120000"))
    del document["properties"]["sat:absolute_orbit"]
    scene = scene_of(document, "s5p-no2", "cdse")
    assert scene.acquisition == "s5p-no2-17522"
    assert scene.properties["processing:version"] == "02.04.00"
    assert scene.properties["sat:absolute_orbit"] == 17522
    assert scene.properties["platform"] == "sentinel-5p"
    assert scene.assets["granule"].epsg is None


def test_tropomi_newest_processor_wins() -> None:
    names = [S5P.format(p, c) for p, c in [("020400", "20221109T0"), ("020301", "20230101T0")]]
    names = [f"{name}00000" for name in names]
    kept, losers = newest([scene_of(tropomi(name), "s5p-no2", "cdse") for name in names])
    assert [scene.id for scene in kept] == names[:1]
    assert list(losers) == names[1:]


@pytest.mark.parametrize(
    ("change", "reason"),
    [("_03_", "superseded: collection 01"), ("NO2___", "is of gas CO")],
)
def test_tropomi_of_another_collection_or_gas_is_refused(change: str, reason: str) -> None:
    other = {"_03_": "_01_", "NO2___": "CO____"}[change]
    name = S5P.format("020400", "20221109T120000").replace(change, other)
    source = source_of("s5p-no2", "cdse", "sentinel-5p-l2-no2-rpro")
    assert read_item(tropomi(name), *source) == reason


L1C = "S2A_MSIL1C_20200301T090901_N{}_R050_T35UPU_{}"


def l1c(baseline: str = "0500", generated: str = "20230630T033416") -> dict[str, Any]:
    """An L1C item as CDSE serves it: the recorded L2A item with the assets of L1C."""
    document = recorded("cdse_sentinel-2-l2a")
    _, source = source_of("s2-l1c", "cdse", "sentinel-2-l1c")
    name = L1C.format(baseline, generated)
    folder = f"s3://eodata/Sentinel-2/MSI/L1C/2020/03/01/{name}.SAFE/GRANULE/L1C_T35UPU"
    full = {k.partition("_")[0]: v for k, v in document["assets"].items() if k.endswith("60m")}
    document["assets"] = {
        key: {**full.get(name, full["B01"]), "href": f"{folder}/IMG_DATA/{name}.jp2"}
        for key, name in zip(source.assets.values(), source.assets, strict=True)
    }
    document["assets"]["granule_metadata"] = {"href": f"{folder}/MTD_TL.xml"}
    document["properties"]["processing:version"] = f"{baseline[:2]}.{baseline[2:]}"
    document["properties"]["processing:datetime"] = moment(generated).isoformat()
    return document | {"id": name, "collection": "sentinel-2-l1c"}


def test_l1c_mask_lies_beside_the_granule_metadata() -> None:
    assets = scene_of(l1c(), "s2-l1c", "cdse").assets
    folder = assets["metadata"].href.removesuffix("/MTD_TL.xml")
    assert assets["mask"].href == f"{folder}/QI_DATA/MSK_CLASSI_B00.jp2"
    assert assets["mask"].transform == assets["B01"].transform
    assert assets["mask"].shape == (1830, 1830)


def test_l1c_before_baseline_4_has_no_raster_mask_and_no_offset() -> None:
    scene = scene_of(l1c("0209", "20200301T120000"), "s2-l1c", "cdse")
    assert "mask" not in scene.assets
    assert scene.dn_offset == 0


def test_newest_baseline_wins_then_generation_time() -> None:
    documents = [
        l1c("0209", "20260101T000000"),
        l1c("0500", "20230630T033416"),
        l1c("0500", "20230701T000000"),
        l1c("0510", "20230601T000000"),
    ]
    scenes = [scene_of(document, "s2-l1c", "cdse") for document in documents]
    assert len({scene.acquisition for scene in scenes}) == 1
    for order in (scenes, scenes[::-1]):
        kept, losers = newest(order)
        assert [scene.id for scene in kept] == [scenes[3].id]
        assert set(losers) == {scene.id for scene in scenes[:3]}
    assert newest(scenes[:3])[0] == [scenes[2]]


def test_a_second_datastrip_is_no_duplicate() -> None:
    one, two = l1c(), l1c()
    two["properties"]["eopf:datastrip_id"] = (
        "S2A_OPER_MSI_L1C_DS_S2RP_20230630T033416_S20200301T091512_N05.00"
    )
    two["id"] = one["id"].replace("T033416", "T033417")
    assert len(newest([scene_of(d, "s2-l1c", "cdse") for d in (one, two)])[0]) == 2


def _without(document: dict[str, Any], *path: str) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return changed


def test_reasons_are_named() -> None:
    document = recorded("earth-search_sentinel-2-l2a")
    source = source_of("s2-l2a", "earth-search", "sentinel-2-l2a")
    assert read_item(_without(document, "assets", "red"), *source) == "no asset 'red'"
    assert read_item({**document, "assets": {}}, *source) == "no assets"
    assert read_item({**document, "collection": "other"}, *source) == "is of collection 'other'"
    assert read_item(_without(document, "properties", "datetime"), *source) == "no readable time"
    assert read_item({**document, "geometry": None, "bbox": None}, *source) == "no footprint"
    assert read_item({**document, "id": "../../etc"}, *source) == "an id that is no file name"
    for nonsense in (None, [], "item", {"id": 1}, {"id": "a", "properties": [], "assets": {}}):
        assert read_item(nonsense, *source) == "not a STAC Item"


def test_href_is_the_true_origin_even_if_a_stand_in_served_it() -> None:
    document = recorded("cdse_sentinel-2-l2a")
    document["links"] = [{"rel": "self", "href": "http://127.0.0.1:1234/cdse/v1/x"}]
    assert scene_of(document, "s2-l2a", "cdse").href == (
        "https://stac.dataspace.copernicus.eu/v1/collections/sentinel-2-l2a/items/" + document["id"]
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(data=st.data())
@pytest.mark.parametrize(
    ("name", "product", "provider"),
    [
        ("earth-search_sentinel-2-l2a", "s2-l2a", "earth-search"),
        ("planetary-computer_sentinel-1-rtc", "s1-rtc", "planetary-computer"),
        ("earth-search_cop-dem-glo-30", "dem-glo30", "earth-search"),
    ],
)
def test_nonsense_anywhere_is_a_scene_or_a_reason(
    name: str, product: str, provider: str, data: st.DataObject
) -> None:
    document = recorded(name)
    source = source_of(product, provider, document["collection"])
    if data.draw(st.booleans()):
        document["geometry"] = None
    inner: Any = document
    path = []
    while isinstance(inner, dict | list) and inner:
        keys = sorted(inner) if isinstance(inner, dict) else list(range(len(inner)))
        key = data.draw(st.sampled_from(keys))
        path.append(key)
        if data.draw(st.booleans()) or not isinstance(inner[key], dict | list):
            inner[key] = data.draw(json_values)
            break
        inner = inner[key]
    found = read_item(document, *source)
    assert isinstance(found, Scene | str), path
    if isinstance(found, Scene):
        assert shape(found.footprint).is_valid


@pytest.mark.parametrize(
    "text",
    [
        "2021-03-01T00:00:00Z", "2021-03-01 00:00:00+00:00", "2021-03-01T00:00:00ZZ",
        "2021-03-01T00:00:00", "2021-03-01T01:00:00+01:00", "2021-03-01T00:00:00.000000Z",
    ],
)  # fmt: skip
def test_moments(text: str) -> None:
    assert moment(text) == datetime(2021, 3, 1, tzinfo=UTC)


def footprint(*coordinates: Any, bbox: Any = None) -> Any:
    found = usable_footprint(
        {"geometry": {"type": "Polygon", "coordinates": coordinates}, "bbox": bbox}
    )
    assert found is not None
    geometry = shape(found)
    assert geometry.is_valid
    assert box(-180, -90, 180, 90).covers(geometry)
    return geometry


def test_a_ring_over_the_antimeridian_is_split() -> None:
    geometry = footprint([[179, 0], [-179, 0], [-179, 1], [179, 1], [179, 0]])
    assert geometry.equals(box(179, 0, 180, 1).union(box(-180, 0, -179, 1)))


def test_a_ring_beyond_180_is_wrapped() -> None:
    geometry = footprint([[179, 0], [181, 0], [181, 1], [179, 1], [179, 0]])
    assert geometry.equals(box(179, 0, 180, 1).union(box(-180, 0, -179, 1)))


@pytest.mark.parametrize("pole", [90, -90])
def test_a_ring_around_a_pole_is_closed_over_it(pole: int) -> None:
    lat = 0.9 * pole
    ring = [[lon, lat] for lon in (-150, -90, -30, 30, 90, 150, -150)]
    geometry = footprint(ring)
    assert geometry.area == pytest.approx(360 * 9)
    assert geometry.covers(Point(170, 0.95 * pole))
    assert not geometry.covers(Point(0, 0))


def test_an_edge_along_the_pole_is_kept() -> None:
    ring = [[-180, -80], [180, -80], [180, -90], [-180, -90], [-180, -80]]
    assert footprint(ring).equals(box(-180, -90, 180, -80))


def test_a_bow_tie_and_an_empty_member_are_repaired() -> None:
    assert footprint([[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]).area == pytest.approx(0.5)
    found = usable_footprint(
        {"geometry": {"type": "MultiPolygon", "coordinates": [[], [[[0, 0], [1, 0], [1, 1]]]]}}
    )
    assert found is not None
    assert shape(found).area == pytest.approx(0.5)


@pytest.mark.parametrize("geometry", [None, {}, {"type": "Polygon", "coordinates": []}, "x"])
def test_without_geometry_the_bbox_counts(geometry: Any) -> None:
    found = usable_footprint({"geometry": geometry, "bbox": [179, 0, -179, 1]})
    assert found is not None
    assert shape(found).area == pytest.approx(2)
    assert usable_footprint({"geometry": geometry, "bbox": None}) is None


@given(
    lon=st.floats(-180, 180), lat=st.floats(-80, 80), width=st.floats(0.5, 60),
    height=st.floats(0.5, 9), probe=st.tuples(st.floats(-0.45, 0.45), st.floats(-0.45, 0.45)),
)  # fmt: skip
def test_wrapped_boxes_hold_their_points(
    lon: float, lat: float, width: float, height: float, probe: tuple[float, float]
) -> None:
    """However a ring is wrapped, a point inside the plain box is inside the footprint."""

    def wrapped(x: float) -> float:
        return (x + 180) % 360 - 180

    corners = [(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]
    ring = [[wrapped(lon + i * width / 2), lat + j * height / 2] for i, j in corners]
    found = usable_footprint({"geometry": {"type": "Polygon", "coordinates": [ring]}})
    assert found is not None
    x, y = wrapped(lon + probe[0] * width), lat + probe[1] * height
    assert touches_any(found, [(x - 1e-6, y - 1e-6, x + 1e-6, y + 1e-6)])
    far = wrapped(lon + 180)
    assert not touches_any(found, [(far - 1, lat - 1, far + 1, lat + 1)])
