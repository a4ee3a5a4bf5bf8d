"""Where the three dialects differ: counts, tokens, limits, errors, encodings, holdings."""

from __future__ import annotations

from typing import Any

import brotli
import pystac_client
import pytest
import requests

CELL = [-96.125, 43.875, -95.875, 44.125]  # 772176
JUNE = "2021-06-01T00:00:00Z/2021-08-31T23:59:59Z"
PREFIX = {
    "earth-search": "/earth-search/v1",
    "planetary-computer": "/planetary-computer/api/stac/v1",
    "cdse": "/cdse/v1",
}


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


def test_southern_radar_is_horizontally_polarised(sandbox: str) -> None:
    """South of 60° S there is no RTC, and GRD has HH, or HH and HV: in IW or in EW."""
    polar = [83.875, -68.875, 84.125, -68.625]  # 123456
    body = {"bbox": polar, "datetime": "2021-01-01T00:00:00Z/2021-12-31T00:00:00Z", "limit": 200}
    rtc = post(sandbox, "planetary-computer", {**body, "collections": ["sentinel-1-rtc"]})
    assert ids(rtc) == []
    grd = post(sandbox, "cdse", {**body, "collections": ["sentinel-1-grd"]}).json()["features"]
    flown = {tuple(i["properties"]["sar:polarizations"]) for i in grd}
    assert flown == {("HH",), ("HH", "HV")}
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
