"""The three STAC APIs over HTTP, asked by pystac-client and by hand."""

from __future__ import annotations

from typing import Any

import brotli
import pystac_client
import pytest
import requests
import shapely
from shapely.geometry import shape

CELL = [-96.125, 43.875, -95.875, 44.125]  # 772176
JUNE = "2021-06-01T00:00:00Z/2021-08-31T23:59:59Z"
PREFIX = {
    "earth-search": "/earth-search/v1",
    "planetary-computer": "/planetary-computer/api/stac/v1",
    "cdse": "/cdse/v1",
}
HELD = {
    "earth-search": ["sentinel-2-l2a", "sentinel-2-c1-l2a", "sentinel-2-l1c", "sentinel-1-grd",
                     "cop-dem-glo-30", "cop-dem-glo-90"],
    "planetary-computer": ["sentinel-2-l2a", "sentinel-1-rtc", "sentinel-1-grd", "cop-dem-glo-30",
                           "cop-dem-glo-90", "sentinel-5p-l2-netcdf"],
    "cdse": ["cop-dem-glo-30-dged-cog", "sentinel-1-grd", "sentinel-2-l1c", "sentinel-2-l2a",
             "sentinel-3-olci-1-efr-ntc",
             *(f"sentinel-5p-l2-{g}-{m}" for g in ("co", "no2", "o3", "so2")
               for m in ("offl", "rpro"))],
}  # fmt: skip


def post(
    sandbox: str, provider: str, body: dict[str, Any], status: int = 200, **headers: str
) -> requests.Response:
    url = f"{sandbox}{PREFIX[provider]}/search"
    response = requests.post(url, json=body, headers=headers, timeout=60)
    assert response.status_code == status, response.text
    return response


def ids(response: requests.Response) -> list[str]:
    return [feature["id"] for feature in response.json()["features"]]


@pytest.fixture(params=list(PREFIX))
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(sandbox: str, provider: str) -> pystac_client.Client:
    return pystac_client.Client.open(sandbox + PREFIX[provider])


def test_client_lists_what_is_held(client: pystac_client.Client, provider: str) -> None:
    listed = [collection.id for collection in client.get_collections()]
    assert [c for c in listed if not c.startswith("clms")] == HELD[provider]
    # CDSE's catalogue is long, and Sentinel's Collections stand on its last page.
    assert len(listed) == (419 if provider == "cdse" else len(HELD[provider]))
    assert client.get_collection("sentinel-2-l2a").extent.spatial.bboxes == [[-180, -90, 180, 90]]


def test_client_pages_without_gap_or_repeat(client: pystac_client.Client, provider: str) -> None:
    asked = {"collections": ["sentinel-2-l2a"], "bbox": CELL, "datetime": JUNE}
    for method in ("GET", "POST"):
        whole = [item.id for item in client.search(**asked, limit=100, method=method).items()]
        search = client.search(**asked, limit=2, method=method)
        paged = [item.id for item in search.items()]
        assert paged == whole
        assert len(set(paged)) == len(paged) > 4
    if provider == "earth-search":
        assert search.matched() == len(whole)
    times = [item.datetime for item in client.search(**asked, limit=100).items()]
    assert times == sorted(times, reverse=True)  # newest first
    assert len(list(client.search(**asked, limit=2, max_items=3).items())) == 3


def test_items_intersect_and_are_in_time(client: pystac_client.Client) -> None:
    """Brute force: everything in a wider search that qualifies, and nothing else, is found."""
    point = {"type": "Point", "coordinates": [-96.0, 44.0]}
    wide = client.search(
        collections=["sentinel-2-l2a"], bbox=(-97, 43.5, -95, 44.5), datetime=JUNE, limit=100
    )
    expected = {
        item.id
        for item in wide.items()
        if shape(item.geometry).intersects(shapely.Point(-96, 44))
        and str(item.datetime) < "2021-07-15 23:59:59.5"
    }
    narrow = client.search(
        collections=["sentinel-2-l2a"],
        intersects=point,
        datetime="2021-06-01T00:00:00Z/2021-07-15T23:59:59Z",
    )
    assert {item.id for item in narrow.items()} == expected
    assert expected


@pytest.mark.parametrize(
    ("datetime", "expected"),
    [("2021-06-01/2021-06-30", "some"), ("../2016-10-30T00:00:00Z", "some"),
     ("2025-06-01T00:00:00Z/..", "some"), ("2015-01-01T00:00:00Z/2015-02-01T00:00:00Z", "none")],
)  # fmt: skip
def test_datetime_forms(client: pystac_client.Client, datetime: str, expected: str) -> None:
    search = client.search(
        collections=["sentinel-2-l2a"], bbox=CELL, datetime=datetime, max_items=1
    )
    assert bool(list(search.items())) == (expected == "some")


def test_one_moment_finds_its_item(sandbox: str, provider: str) -> None:
    body = {"collections": ["sentinel-2-l2a"], "bbox": CELL, "datetime": JUNE, "limit": 1}
    (item,) = post(sandbox, provider, body).json()["features"]
    again = post(sandbox, provider, {**body, "datetime": item["properties"]["datetime"]})
    assert item["id"] in ids(again)


def test_item_by_id_and_ids_are_the_same_document(sandbox: str, provider: str) -> None:
    for collection in HELD[provider]:
        body = {"collections": [collection], "bbox": CELL, "limit": 2}
        if not collection.startswith("cop-dem"):
            body["datetime"] = "2022-07-01T00:00:00Z/2022-08-31T00:00:00Z"
        if collection.endswith("rpro"):
            body["datetime"] = "2021-07-01T00:00:00Z/2021-07-31T00:00:00Z"
        items = post(sandbox, provider, body).json()["features"]
        assert items, collection
        item = items[-1]
        url = f"{sandbox}{PREFIX[provider]}/collections/{collection}/items/{item['id']}"
        assert requests.get(url, timeout=60).json() == item
        body = {"collections": [collection], "ids": [item["id"], "no-such-item"]}
        assert post(sandbox, provider, body).json()["features"] == [item]
        (link,) = [link["href"] for link in item["links"] if link["rel"] == "self"]
        assert link == url


def test_antimeridian_box(sandbox: str, provider: str) -> None:
    dem = "cop-dem-glo-30-dged-cog" if provider == "cdse" else "cop-dem-glo-30"
    split = [post(sandbox, provider, {"collections": [dem], "bbox": box, "limit": 100})
             for box in ([178.5, 65.2, 180, 68.8], [-180, 65.2, -178.5, 68.8])]  # fmt: skip
    both = post(sandbox, provider, {"collections": [dem], "bbox": [178.5, 65.2, -178.5, 68.8],
                                    "limit": 100})  # fmt: skip
    assert set(ids(both)) == set(ids(split[0])) | set(ids(split[1]))
    assert len(ids(both)) == len(set(ids(both)))


def test_defaults_and_counts(sandbox: str) -> None:
    body = {"collections": ["sentinel-2-l2a"], "bbox": [-97, 43.5, -95, 44.5], "datetime": JUNE}
    pages = {name: post(sandbox, name, body).json() for name in PREFIX}
    assert {name: len(page["features"]) for name, page in pages.items()} == {
        "earth-search": 10,
        "planetary-computer": len(pages["planetary-computer"]["features"]),
        "cdse": 10,
    }
    assert 10 < len(pages["planetary-computer"]["features"]) <= 250
    es = pages["earth-search"]
    assert es["numberReturned"] == 10 < es["numberMatched"]
    assert es["context"] == {"limit": 10, "matched": es["numberMatched"], "returned": 10}
    assert pages["cdse"]["numberReturned"] == 10
    assert "numberMatched" not in pages["cdse"]
    assert not [key for key in pages["planetary-computer"] if key.startswith("number")]


def test_earth_search_has_an_extra_empty_page(sandbox: str) -> None:
    body = {"collections": ["sentinel-2-l2a"], "bbox": CELL, "datetime": JUNE, "limit": 100}
    page = post(sandbox, "earth-search", body).json()
    (link,) = [link for link in page["links"] if link["rel"] == "next"]
    assert link["merge"] is False
    last = page["features"][-1]
    token = f"{last['properties']['datetime']},{last['id']},sentinel-2-l2a"
    assert link["body"] == {**body, "next": token}
    empty = requests.post(link["href"], json=link["body"], timeout=60).json()
    assert empty["features"] == []
    assert empty["numberReturned"] == 0
    assert empty["numberMatched"] == page["numberMatched"]
    assert not [link for link in empty["links"] if link["rel"] == "next"]


@pytest.mark.parametrize("name", ["planetary-computer", "cdse"])
def test_pgstac_tokens(sandbox: str, name: str) -> None:
    body = {"collections": ["sentinel-2-l2a"], "bbox": CELL, "datetime": JUNE, "limit": 2}
    page = post(sandbox, name, body).json()
    (link,) = [link for link in page["links"] if link["rel"] == "next"]
    last = page["features"][-1]["id"]
    assert link["body"] == {**body, "token": f"next:sentinel-2-l2a:{last}"}
    assert "merge" not in link
    second = requests.post(link["href"], json=link["body"], timeout=60).json()
    (back,) = [link for link in second["links"] if link["rel"] == "previous"]
    assert requests.post(back["href"], json=back["body"], timeout=60).json() == page
    post(sandbox, name, {**body, "token": "next:sentinel-2-l2a:nonsense"}, 400)
    everything = post(sandbox, name, {**body, "limit": 100}).json()
    assert not [link for link in everything["links"] if link["rel"] == "next"]


def test_query_extension(sandbox: str, provider: str) -> None:
    body: dict[str, Any] = {
        "collections": ["sentinel-2-l2a"], "bbox": CELL, "datetime": JUNE, "limit": 100
    }  # fmt: skip
    everything = post(sandbox, provider, body).json()["features"]
    clouds = {item["id"]: item["properties"]["eo:cloud_cover"] for item in everything}
    query = {"eo:cloud_cover": {"gte": 5, "lt": 60}}
    assert set(ids(post(sandbox, provider, {**body, "query": query}))) == {
        name for name, cloud in clouds.items() if 5 <= cloud < 60
    }
    platforms = sorted({item["properties"]["platform"] for item in everything})
    assert len(platforms) == 2
    query = {"platform": {"in": platforms[:1]}, "eo:cloud_cover": {"lte": 100}}
    found = post(sandbox, provider, {**body, "query": query}).json()["features"]
    assert {item["properties"]["platform"] for item in found} == set(platforms[:1])
    assert ids(post(sandbox, provider, {**body, "query": {"no:such": {"gt": 1}}})) == []
    post(sandbox, provider, {**body, "query": {"eo:cloud_cover": {"about": 1}}}, 400)


def test_cql2(sandbox: str) -> None:
    json_filter = {"op": "<", "args": [{"property": "eo:cloud_cover"}, 40]}
    body: dict[str, Any] = {
        "collections": ["sentinel-2-l2a"], "bbox": CELL, "datetime": JUNE, "limit": 100
    }  # fmt: skip
    for name, forms in {
        "planetary-computer": [("cql2-json", json_filter)],
        "cdse": [("cql2-json", json_filter), ("cql2-text", '"eo:cloud_cover" < 40')],
    }.items():
        everything = post(sandbox, name, body).json()["features"]
        expected = [i["id"] for i in everything if i["properties"]["eo:cloud_cover"] < 40]
        assert 0 < len(expected) < len(everything)
        for language, expression in forms:
            asked = {**body, "filter": expression, "filter-lang": language}
            assert ids(post(sandbox, name, asked)) == expected
            client = pystac_client.Client.open(sandbox + PREFIX[name])
            for method in ("GET", "POST"):
                if method == "GET" and name == "planetary-computer":
                    continue  # the client turns JSON into text for a GET, which is not spoken here
                search = client.search(
                    **{**body, "filter": expression, "filter_lang": language}, method=method
                )
                assert [item.id for item in search.items()] == expected
        post(sandbox, name, {**body, "filter": {"op": "nonsense"}}, 400)
    text = {**body, "filter": '"eo:cloud_cover" < 40', "filter-lang": "cql2-text"}
    post(sandbox, "planetary-computer", text, 400)
    # stac-server does not know the parameter, and answers as if it were not there.
    assert ids(post(sandbox, "earth-search", {**body, "filter": json_filter})) == ids(
        post(sandbox, "earth-search", body)
    )


@pytest.mark.filterwarnings("ignore:Server does not conform to SORT")  # PC says it with a slash
def test_sortby_and_fields(sandbox: str, provider: str) -> None:
    body = {"collections": ["sentinel-2-l2a"], "bbox": CELL, "datetime": JUNE, "limit": 3}
    client = pystac_client.Client.open(sandbox + PREFIX[provider])
    for method in ("GET", "POST"):
        search = client.search(**body, sortby="+properties.eo:cloud_cover", method=method)
        clouds = [item.properties["eo:cloud_cover"] for item in search.items()]
        assert clouds == sorted(clouds)
        assert len(clouds) > 3
    fields = {"include": ["properties.datetime"], "exclude": ["links"]}
    slim = post(sandbox, provider, {**body, "fields": fields}).json()["features"][0]
    assert set(slim) >= {"id", "properties"}
    assert list(slim["properties"]) == ["datetime"]
    assert "links" not in slim
    assert "assets" not in slim


def test_errors(sandbox: str, provider: str) -> None:
    root = sandbox + PREFIX[provider]
    body = {"collections": ["sentinel-2-l2a"], "bbox": CELL}
    for wrong in ({"bbox": [1, 2, 3]}, {"bbox": [0, 50, 1, 40]}, {"limit": 0}, {"limit": "x"},
                  {"datetime": "yesterday"}, {"datetime": "2021-02-01/2021-01-01"},
                  {"intersects": {"type": "Point", "coordinates": [0, 0]}},
                  {"bbox": [-180, -90, 180, 90]}):  # fmt: skip
        error = post(sandbox, provider, {**body, **wrong}, 400).json()
        assert set(error) == {"code", "description"}
    missing = requests.get(f"{root}/collections/sentinel-2-l2a/items/for-sure-not", timeout=30)
    assert missing.status_code == 404
    nowhere = requests.get(f"{root}/collections/no-such/items/a", timeout=30)
    assert nowhere.status_code == 404
    if provider == "earth-search":
        assert missing.json() == {"code": "NotFound", "description": "Not Found"}
    else:
        text = "Item for-sure-not in Collection sentinel-2-l2a does not exist."
        assert missing.json() == {"code": "NotFoundError", "description": text}
        text = "Collection no-such does not exist."
        assert nowhere.json() == {"code": "NotFoundError", "description": text}
    assert requests.post(f"{root}/collections", json={}, timeout=30).status_code == 405


def test_search_without_collections(sandbox: str) -> None:
    refused = post(sandbox, "planetary-computer", {"bbox": CELL}, 422)
    assert refused.text == "collection is required"
    assert refused.headers["content-type"].startswith("text/plain")
    for name in ("earth-search", "cdse"):
        found = post(sandbox, name, {"bbox": CELL, "datetime": JUNE, "limit": 100}).json()
        assert len({item["collection"] for item in found["features"]}) > 1


def test_encodings(sandbox: str) -> None:
    body = {"collections": ["sentinel-2-l2a"], "bbox": CELL, "datetime": JUNE, "limit": 1}
    for name, accepted, chosen in (
        ("earth-search", "gzip, br", "gzip"),
        ("planetary-computer", "gzip, br", "gzip"),
        ("cdse", "gzip, br", "br"),
        ("cdse", "gzip", "gzip"),
        ("cdse", "identity", None),
    ):
        header = {"Accept-Encoding": accepted}
        response = requests.post(
            f"{sandbox}{PREFIX[name]}/search", json=body, headers=header, stream=True, timeout=60
        )
        assert response.headers.get("content-encoding") == chosen
        raw = response.raw.read(decode_content=False)
        if chosen == "br":
            assert b'"FeatureCollection"' in brotli.decompress(raw)
        elif chosen is None:
            assert b'"FeatureCollection"' in raw


def test_an_unbounded_search_looks_at_the_home_cells(sandbox: str) -> None:
    items = post(sandbox, "earth-search", {"collections": ["cop-dem-glo-30"], "limit": 100})
    assert "Copernicus_DSM_COG_10_N44_00_W096_00_DEM" in ids(items)
    url = f"{sandbox}{PREFIX['cdse']}/collections/sentinel-2-l1c/items?limit=3"
    page = requests.get(url, timeout=60).json()
    assert len(page["features"]) == 3


def test_southern_radar_is_single_polarised(sandbox: str) -> None:
    """South of 60° S there is no RTC, and GRD has HH only: in IW or in EW."""
    polar = [83.875, -68.875, 84.125, -68.625]  # 123456
    body = {"bbox": polar, "datetime": "2021-01-01T00:00:00Z/2021-12-31T00:00:00Z", "limit": 200}
    rtc = post(sandbox, "planetary-computer", {**body, "collections": ["sentinel-1-rtc"]})
    assert ids(rtc) == []
    grd = post(sandbox, "cdse", {**body, "collections": ["sentinel-1-grd"]}).json()["features"]
    assert {tuple(i["properties"]["sar:polarizations"]) for i in grd} == {("HH",)}
    assert {i["properties"]["sar:instrument_mode"] for i in grd} == {"IW", "EW"}


def test_pc_holds_superseded_s5p_before_collection_03(sandbox: str) -> None:
    def held(interval: str) -> set[tuple[str, str]]:
        body = {"collections": ["sentinel-5p-l2-netcdf"], "bbox": CELL, "datetime": interval,
                "query": {"s5p:product_name": {"eq": "no2"}}}  # fmt: skip
        items = post(sandbox, "planetary-computer", body).json()["features"]
        return {(i["properties"]["s5p:processing_mode"],
                 i["properties"]["s5p:collection_identifier"]) for i in items}  # fmt: skip

    assert held("2021-03-01T00:00:00Z/2021-03-31T00:00:00Z") == {("OFFL", "01")}
    assert held("2022-08-01T00:00:00Z/2022-08-31T00:00:00Z") == {("OFFL", "03")}


def test_space_in_radar_times(sandbox: str) -> None:
    body = {"collections": ["sentinel-1-rtc"], "bbox": CELL, "datetime": JUNE, "limit": 1}
    (item,) = post(sandbox, "planetary-computer", body).json()["features"]
    assert " " in item["properties"]["start_datetime"]
    assert len(item["properties"]["proj:transform"]) == 9


def test_client_sees_who_can_filter(sandbox: str) -> None:
    filters = {
        name: pystac_client.Client.open(sandbox + prefix).conforms_to("filter")
        for name, prefix in PREFIX.items()
    }
    assert filters == {"earth-search": False, "planetary-computer": True, "cdse": True}
