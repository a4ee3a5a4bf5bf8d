"""The STAC API over real HTTP, asked by pystac-client and by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pystac
import pytest
import requests
from lake_items import BY_ID, DATELINE_BOX, SPECS, fill
from pystac_client import Client
from pystac_client.exceptions import APIError
from typer.testing import CliRunner

from stac_lake.catalog.index import Index
from stac_lake.catalog.search import Search, search
from stac_lake.cli.main import app
from stac_lake.lake import Lake

CLEAR = "eo:cloud_cover < 10 AND lake:valid_pct >= 95"
CLEAR_IDS = {
    s.id
    for s in SPECS
    if s.properties.get("eo:cloud_cover", 99) < 10 and s.properties["lake:valid_pct"] >= 95
}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return fill(str(tmp_path_factory.mktemp("lake")))


@pytest.fixture(scope="module")
def url(index: Index, served: Callable[[Index], AbstractContextManager[str]]) -> Iterator[str]:
    with served(index) as found:
        yield found


@pytest.fixture(scope="module", params=["http", "in-process"])
def client(request: pytest.FixtureRequest, url: str, index: Index) -> Client:
    return Client.open(url) if request.param == "http" else Lake(index).client()


def bare(items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Documents without the links by which each door leads back to itself, files by their path."""
    own = {"self", "root", "parent", "collection", "canonical"}
    return [
        {
            **item,
            "links": [link for link in item["links"] if link["rel"] not in own],
            "assets": {
                name: {**asset, "href": asset["href"].removeprefix("file://")}
                for name, asset in item["assets"].items()
            },
        }
        for item in items
    ]


def get(url: str, path: str, **parameters: Any) -> Any:
    answer = requests.get(f"{url}{path}", params=parameters, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("limit", [2, 100])
def test_all_doors_give_the_same(client: Client, index: Index, method: str, limit: int) -> None:
    inside = list(Lake(index).search(CLEAR))
    assert {item["id"] for item in inside} == CLEAR_IDS
    asked = client.search(filter=CLEAR, method=method, limit=limit)
    assert asked.matched() == len(CLEAR_IDS)
    assert bare(asked.items_as_dicts()) == bare(inside)
    tree = {"op": "<", "args": [{"property": "eo:cloud_cover"}, 10]}
    by_tree = client.search(filter=tree, method=method, limit=limit)
    assert bare(by_tree.items_as_dicts()) == bare(Lake(index).search(tree))


def test_the_command_line_is_a_door_like_the_others(index: Index) -> None:
    words = ["query", CLEAR, "--lake", index.objects.url]
    inside = list(Lake(index).search(CLEAR))
    lines = CliRunner().invoke(app, [*words, "--json"]).stdout.splitlines()
    assert [json.loads(line) for line in lines] == inside
    collected = json.loads(CliRunner().invoke(app, [*words, "--geojson"]).stdout)
    assert collected["features"] == inside
    assert CliRunner().invoke(app, [*words, "--count"]).stdout.strip() == str(len(inside))


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "wanted",
    [
        {"ids": [SPECS[0].id, SPECS[-1].id]},
        {"collections": ["era5-0123456"]},
        {"bbox": [-96.1, 43.9, -95.9, 44.1]},
        {"intersects": {"type": "Point", "coordinates": [-95.95, 44.02]}},
        {"datetime": "2021-04-06T00:00:00Z/2021-05-01T00:00:00Z"},
        {"sortby": ["-eo:cloud_cover", "+datetime"]},
        {"filter": "S_INTERSECTS(geometry, POINT(-95.95 44.02)) AND lake:slot = 'summer'"},
    ],
    ids=lambda wanted: next(iter(wanted)),
)
def test_parameters(client: Client, index: Index, method: str, wanted: dict[str, Any]) -> None:
    found = [
        item["id"] for item in client.search(method=method, limit=3, **wanted).items_as_dicts()
    ]
    same = [item["id"] for item in search(index, Search(limit=1000, **wanted)).items]
    assert found == same
    assert found


def test_items_are_valid_stac(client: Client) -> None:
    for item in client.search(max_items=5).items():
        assert isinstance(item, pystac.Item)
        assert item.to_dict()["id"] in BY_ID


def test_query_and_fields_extensions(client: Client) -> None:
    wanted = {s.id for s in SPECS if 0 < s.properties.get("eo:cloud_cover", 0) <= 10}
    query = {
        "eo:cloud_cover": {"gt": 0, "lte": 10},
        "lake:slot": {"in": ["spring", "autumn", "summer"]},
    }
    fields = {"include": ["properties.eo:cloud_cover"], "exclude": ["geometry"]}
    items = list(client.search(query=query, fields=fields).items_as_dicts())
    assert {item["id"] for item in items} == wanted
    assert all(set(item["properties"]) == {"eo:cloud_cover"} for item in items)
    assert not any("geometry" in item or "assets" in item for item in items)
    (only,) = client.search(
        ids=[SPECS[0].id], fields=["-assets", "-properties.renders"]
    ).items_as_dicts()
    assert "assets" not in only
    assert "renders" not in only["properties"]
    assert "geometry" in only
    starts = client.search(query={"lake:slot": {"startsWith": "2021-1"}})
    assert starts.matched() == 3


def test_collections_are_paged_and_complete(client: Client, url: str) -> None:
    cells = sorted({spec.cell.collection_id for spec in SPECS})
    assert [c.id for c in client.get_collections()] == cells
    first = get(url, "/collections", limit=2)
    assert [c["id"] for c in first["collections"]] == cells[:2]
    (following,) = (link["href"] for link in first["links"] if link["rel"] == "next")
    second = requests.get(following, timeout=30).json()
    assert [c["id"] for c in second["collections"]] == cells[2:]
    assert not [link for link in second["links"] if link["rel"] == "next"]


def test_a_collection_leads_to_its_items(client: Client) -> None:
    collection = client.get_collection("era5-0772176")
    assert isinstance(collection, pystac.Collection)
    wanted = {spec.id for spec in SPECS if spec.cell.id == 772176}
    assert {item.id for item in collection.get_items()} == wanted
    item = collection.get_item(SPECS[0].id)
    assert item is not None
    assert item.properties["eo:cloud_cover"] == 80.0


def test_the_whole_surface_of_pystac_client(client: Client, index: Index) -> None:
    """Every way from one thing to another ends where it should, without a warning."""
    every = sorted(BY_ID)
    assert sorted(item.id for item in client.get_items()) == every
    assert sorted(item.id for item in client.get_items(recursive=True)) == every
    assert [item.id for item in client.get_items(SPECS[3].id)] == [SPECS[3].id]
    cell = SPECS[0].cell.collection_id
    collection = client.get_collection(cell)
    assert isinstance(collection, pystac.Collection)
    assert [item.id for item in collection.get_items(SPECS[0].id)] == [SPECS[0].id]
    item = collection.get_item(SPECS[0].id)
    assert item is not None
    assert collection.get_item("nothing") is None
    of_item = item.get_collection()
    assert of_item is not None
    assert of_item.id == cell
    assert item.get_parent() is not None
    (stored,) = Lake(index).search(ids=[item.id])
    path = stored["assets"]["data"]["href"]
    assert item.assets["data"].get_absolute_href() == f"file://{path}"
    assert collection.get_root() is client
    names = client.get_merged_queryables([cell])["properties"]
    assert names.keys() == client.get_queryables()["properties"].keys()
    assert names.keys() == collection.get_queryables()["properties"].keys()
    found = client.search(collections=[cell], limit=7, max_items=9)
    assert found.matched() == sum(s.cell == SPECS[0].cell for s in SPECS)
    assert [len(page) for page in found.pages()] == [7, 2]
    assert len(found.item_collection()) == 9
    assert len(found.item_collection_as_dict()["features"]) == 9
    assert client.search(ids=SPECS[0].id).url_with_parameters().endswith(f"ids={SPECS[0].id}")
    assert {link.rel for link in client.links} >= {"search", "data", "conformance"}
    assert client.get_search_link() is not None
    at_version = Lake(index).at(0).client()
    assert at_version.search().matched() == 2


def test_items_page_with_their_own_parameters(url: str) -> None:
    path = "/collections/era5-0772176/items"
    page = get(url, path, limit=5, filter="lake:product = 's5p-no2'", sortby="-datetime")
    assert page["numberMatched"] == 12
    seen = [item["id"] for item in page["features"]]
    while following := [link for link in page["links"] if link["rel"] == "next"]:
        page = requests.get(following[0]["href"], timeout=30).json()
        seen += [item["id"] for item in page["features"]]
    months = [f"s5p-no2_0772176_2021-{month:02d}" for month in range(12, 0, -1)]
    assert seen == months


def test_text_in_a_post_body_and_one_filter_per_product(url: str) -> None:
    answer = requests.post(
        f"{url}/search", json={"filter": CLEAR, "filter-lang": "cql2-text"}, timeout=30
    )
    assert {item["id"] for item in answer.json()["features"]} == CLEAR_IDS
    assert answer.json()["lake:not_applied"] == ["dem-glo30", "s1-rtc", "s5p-no2"]
    each = {"filter": {"s2-l2a": "eo:cloud_cover < 10"}, "limit": 1}
    answer = requests.post(f"{url}/search", json=each, timeout=30)
    assert "lake:not_applied" not in answer.json()
    clouded = [s for s in SPECS if s.properties.get("eo:cloud_cover", 0) >= 10]
    assert answer.json()["numberMatched"] == len(SPECS) - len(clouded)


@pytest.mark.parametrize(
    ("path", "parameters", "status"),
    [
        ("/search", {"filter": "eo:cloud_cver < 10"}, 400),
        ("/search", {"filter": "eo:cloud_cover <"}, 400),
        ("/search", {"filter": "{", "filter-lang": "cql2-json"}, 400),
        ("/search", {"filter": "TRUE", "filter-crs": "EPSG:3857"}, 400),
        ("/search", {"bbox": "0,0,1"}, 400),
        ("/search", {"bbox": "0,0,1,1", "intersects": '{"type":"Point","coordinates":[0,0]}'}, 400),
        ("/search", {"intersects": "{"}, 400),
        ("/search", {"datetime": "yesterday"}, 400),
        ("/search", {"sortby": "-cloud"}, 400),
        ("/search", {"token": "abc"}, 400),
        ("/search", {"limit": 0}, 400),
        ("/search", {"query": '{"eo:cloud_cover": {"near": 3}}'}, 400),
        ("/search", {"query": "["}, 400),
        ("/collections/era5-0000001", {}, 404),
        ("/collections/nonsense", {}, 404),
        ("/collections/era5-0000001/items", {}, 404),
        ("/collections/era5-0772176/items/nothing", {}, 404),
        ("/collections", {"token": "nonsense"}, 400),
    ],
)
def test_errors_are_the_callers(
    url: str, path: str, parameters: dict[str, Any], status: int
) -> None:
    answer = requests.get(f"{url}{path}", params=parameters, timeout=30)
    assert answer.status_code == status
    assert "Traceback" not in answer.text
    assert answer.json()


def test_an_error_names_the_nearest_property(client: Client) -> None:
    with pytest.raises(APIError, match="did you mean 'eo:cloud_cover'"):
        client.search(filter="eo:cloud_cver < 10").matched()


def test_landing_page_queryables_and_headers(url: str) -> None:
    landing = get(url, "/")
    assert landing["id"] == "stac-lake"
    kinds = {link["rel"] for link in landing["links"]}
    assert {"self", "root", "data", "conformance", "search", "service-desc"} <= kinds
    assert landing["conformsTo"] == get(url, "/conformance")["conformsTo"]
    schema = get(url, "/queryables")
    assert schema["properties"]["eo:cloud_cover"]["type"] == "number"
    assert "lake:valid_pct" in get(url, "/collections/era5-0772176/queryables")["properties"]
    assert requests.get(f"{url}/api", timeout=30).json()["openapi"]
    answer = requests.get(f"{url}/search", headers={"Origin": "https://example.org"}, timeout=30)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["content-type"] == "application/geo+json"
    for method in ("put", "post", "delete", "patch"):
        assert requests.request(method, f"{url}/collections", timeout=30).status_code == 405


def test_antimeridian_bbox_by_get_and_post(url: str) -> None:
    text = ",".join(map(str, DATELINE_BOX))
    assert get(url, "/search", bbox=text)["numberMatched"] == 4
    answer = requests.post(f"{url}/search", json={"bbox": DATELINE_BOX}, timeout=30)
    assert answer.json()["numberMatched"] == 4


@pytest.mark.parametrize("body", ["[]", "{", "3", '{"bbox": 3}', '{"filter": 3}', '{"ids": {}}'])
def test_a_malformed_body_is_the_callers_error(url: str, body: str) -> None:
    for kind in ("application/json", "text/plain"):
        headers = {"Content-Type": kind}
        answer = requests.post(f"{url}/search", data=body, headers=headers, timeout=30)
        assert answer.status_code == 400
