"""What a server on the open net has to stand: garbage, greed, writers, and a lake that grows."""

from __future__ import annotations

import base64
import gzip
import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests
from lake_items import BY_ID, DATELINE_BOX, FARM, SPECS, Spec, document, fill
from shapely.geometry import box, mapping, shape

from stac_lake.catalog.index import Index, IndexRow
from stac_lake.grid import Cell
from stac_lake.lake import Lake
from stac_lake.serve.limits import MAX_BODY
from stac_lake.serve.requests import MAX_LIMIT
from stac_lake.store.objects import Objects

Served = Callable[[Index], AbstractContextManager[str]]
SECRET = "root:x:0:0"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return fill(str(tmp_path_factory.mktemp("lake")))


@pytest.fixture(scope="module")
def url(index: Index, served: Served) -> Iterator[str]:
    with served(index) as found:
        yield found


def refused(answer: requests.Response, status: int = 400) -> str:
    """The reason, in the form that the STAC API has for errors."""
    assert answer.status_code == status, (answer.url, answer.text)
    assert set(answer.json()) == {"code", "description"}
    return str(answer.json()["description"])


def token_of(page: dict[str, Any]) -> str:
    (link,) = (link for link in page["links"] if link["rel"] == "next")
    if "body" in link:
        return str(link["body"]["token"])
    return str(re.search(r"token=([^&]+)", link["href"])[1])  # type: ignore[index]


def decoded(token: str) -> list[Any]:
    content = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    assert isinstance(content, list)
    return content


def encoded(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


PATHS = ["/search", "/collections", f"/collections/{FARM.collection_id}/items"]


@pytest.mark.parametrize("path", PATHS)
def test_tokens_that_were_made_up(url: str, path: str) -> None:
    good = token_of(requests.get(f"{url}{path}", params={"limit": 1}, timeout=30).json())
    digest, version, matched, last = decoded(good)
    garbage = [
        "", " ", "x", "====", "é", "%00", "A" * 3000, good[:-3], good[3:], good + "AAAA",
        base64.urlsafe_b64encode(b"[" * 20_000).decode(),
        encoded({}), encoded([]), encoded(None), encoded([digest]),
        encoded(["0" * 16, version, matched, last]),
        encoded([digest, -1, matched, last]),
        encoded([digest, 10**30, matched, last]),
        encoded([digest, float("inf"), matched, last]),
        encoded([digest, version, matched, []]),
        encoded([digest, version, matched, [*last, 1]]),
        encoded([digest, version, matched, [{"a": 1} for _ in last]]),
        encoded([digest, version, matched, ["'; DROP VIEW items; --" for _ in last[:-1]] + [0.5]]),
        encoded([digest, version, matched, [10**40 for _ in last]]),
    ]  # fmt: skip
    for token in garbage:
        answer = requests.get(f"{url}{path}", params={"token": token, "limit": 1}, timeout=30)
        if token == "":
            # An empty parameter is an absent one, as forms send it.
            assert answer.status_code in {200, 400}
        else:
            assert "token" in refused(answer)
    gone = encoded([digest, version + 1000, matched, last])
    answer = requests.get(f"{url}{path}", params={"token": gone, "limit": 1}, timeout=30)
    assert f"no version {version + 1000}" in refused(answer, 410)
    answer = requests.get(f"{url}{path}", params={"token": good, "limit": 1}, timeout=30)
    assert answer.status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("sortby", [None, "-eo:cloud_cover"])
def test_pages_are_of_one_version_while_rows_are_appended(
    tmp_path: Path, served: Served, method: str, sortby: str | None
) -> None:
    index = fill(str(tmp_path))
    moment = datetime(2021, 7, 7, tzinfo=UTC)
    with served(index) as url:
        asked: dict[str, Any] = {"limit": 5, "filter": "lake:valid_pct > 0"}
        if sortby:
            asked["sortby"] = [{"field": sortby[1:], "direction": "desc"}]
        if method == "POST":
            page = requests.post(f"{url}/search", json=asked, timeout=30).json()
        else:
            flat = asked | ({"sortby": sortby} if sortby else {})
            page = requests.get(f"{url}/search", params=flat, timeout=30).json()
        seen: list[str] = []
        for step in range(100):
            assert page["numberMatched"] == len(SPECS)
            seen += [item["id"] for item in page["features"]]
            following = [link for link in page["links"] if link["rel"] == "next"]
            if not following:
                break
            # Another process adds cells before and after, and a new version of what was found.
            writer = Index(Objects.open(str(tmp_path)))
            rows = [Spec("dem-glo30", Cell(n + step), "static", moment, {"lake:valid_pct": 50.0})
                    for n in (1000, 900_000)]  # fmt: skip
            changed = document(BY_ID[seen[-1]], 7 + step)
            changed["properties"]["eo:cloud_cover"] = 99.0
            writer.append([*(IndexRow(document(r), 1) for r in rows), IndexRow(changed, 7 + step)])
            (link,) = following
            page = (
                requests.post(link["href"], json=link["body"], timeout=30)
                if method == "POST"
                else requests.get(link["href"], timeout=30)
            ).json()
        assert sorted(seen) == sorted(BY_ID)
        now = requests.get(f"{url}/search", params={"limit": 1}, timeout=30).json()
        assert now["numberMatched"] == len(SPECS) + 2 * step


def test_limits(url: str) -> None:
    for path in PATHS:
        for limit in ("0", "-1", "x", "1.5", ""):
            refused(requests.get(f"{url}{path}", params={"limit": limit}, timeout=30))
        for limit in (str(MAX_LIMIT), str(10**12)):
            answer = requests.get(f"{url}{path}", params={"limit": limit}, timeout=30)
            assert answer.status_code == 200
            assert answer.json()["numberReturned"] == answer.json()["numberMatched"]
    refused(requests.post(f"{url}/search", json={"limit": 0}, timeout=30))


def test_a_larger_limit_is_cut(
    tmp_path: Path, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 20
    monkeypatch.setattr("stac_lake.serve.requests.MAX_LIMIT", most)
    index = Index(Objects.open(str(tmp_path)))
    moment = datetime(2021, 7, 7, tzinfo=UTC)
    rows = [
        IndexRow(document(Spec("dem-glo30", Cell(n), "static", moment, {})), 1)
        for n in range(most + 5)
    ]
    index.append(rows)
    with served(index) as url:
        for path, content in (("/search", "features"), ("/collections", "collections")):
            page = requests.get(f"{url}{path}", params={"limit": 10**6}, timeout=60).json()
            assert len(page[content]) == page["numberReturned"] == most
            assert page["numberMatched"] == most + 5
            (link,) = (link for link in page["links"] if link["rel"] == "next")
            rest = requests.get(link["href"], timeout=60).json()
            assert len(rest[content]) == 5


def test_large_bodies_are_not_read(url: str) -> None:
    said = refused(
        requests.post(f"{url}/search", json={"ids": ["x" * (MAX_BODY + 1)]}, timeout=30), 413
    )
    assert str(MAX_BODY) in said
    large = requests.post(f"{url}/search", json={"ids": ["x" * (MAX_BODY - 100)]}, timeout=30)
    assert large.json()["numberMatched"] == 0

    def chunks() -> Iterator[bytes]:
        yield b'{"ids": ["'
        for _ in range(MAX_BODY // 65_536 + 1):
            yield b"x" * 65_536
        yield b'"]}'

    headers = {"Content-Type": "application/json"}
    answer = requests.post(f"{url}/search", data=chunks(), headers=headers, timeout=30)
    refused(answer, 413)


BOXES = {
    "2-D": ([-97, 43, -95, 45], [box(-97, 43, -95, 45)]),
    "3-D": ([-97, 43, -1000, -95, 45, 9000], [box(-97, 43, -95, 45)]),
    "antimeridian": (
        DATELINE_BOX,
        [box(179.5, -17.5, 180, -16.5), box(-180, -17.5, -179.5, -16.5)],
    ),
    "3-D antimeridian": (
        [*DATELINE_BOX[:2], 0, *DATELINE_BOX[2:], 1],
        [box(179.5, -17.5, 180, -16.5), box(-180, -17.5, -179.5, -16.5)],
    ),
    "world": ([-180, -90, 180, 90], [box(-180, -90, 180, 90)]),
    "line": ([-96, 43, -96, 45], [box(-96, 43, -96, 45)]),
}


@pytest.mark.parametrize("name", BOXES)
def test_boxes(url: str, index: Index, name: str) -> None:
    area, parts = BOXES[name]
    expected = sorted(
        item["id"]
        for item in Lake(index).search()
        if any(shape(item["geometry"]).intersects(part) for part in parts)
    )
    text = ",".join(map(str, area))
    answers = [
        requests.get(f"{url}/search", params={"bbox": text, "limit": 100}, timeout=30),
        requests.post(f"{url}/search", json={"bbox": area, "limit": 100}, timeout=30),
    ]
    for answer in answers:
        assert sorted(item["id"] for item in answer.json()["features"]) == expected
    assert expected


@pytest.mark.parametrize(
    "text", ["1", "0,0,1", "0,0,0,0,0", "a,b,c,d", "0,1,1,0", "0,-91,1,1", "nan,0,1,1", "inf,0,1,1",
             "0,0,1,1,1,1,1", "1e400,0,1,1"]
)  # fmt: skip
def test_boxes_that_are_none(url: str, text: str) -> None:
    for path in PATHS:
        refused(requests.get(f"{url}{path}", params={"bbox": text}, timeout=30))
    try:
        area: list[Any] = [float(part) for part in text.split(",")]
    except ValueError:
        area = text.split(",")
    body = json.dumps({"bbox": area})
    headers = {"Content-Type": "application/json"}
    refused(requests.post(f"{url}/search", data=body, headers=headers, timeout=30))


def test_the_server_only_reads(url: str) -> None:
    item = f"/collections/{FARM.collection_id}/items/{SPECS[0].id}"
    paths = ["/", "/conformance", "/collections", "/collections-queryables", "/queryables",
             f"/collections/{FARM.collection_id}", PATHS[2], item]  # fmt: skip
    for path in paths:
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            answer = requests.request(method, f"{url}{path}", json={"id": "x"}, timeout=30)
            refused(answer, 405)
            assert "GET" in answer.headers["allow"]
    for method in ("PUT", "PATCH", "DELETE"):
        refused(requests.request(method, f"{url}/search", json={}, timeout=30), 405)
    assert requests.get(f"{url}/search", timeout=30).json()["numberMatched"] == len(SPECS)


@pytest.mark.parametrize("path", [*PATHS, "/", "/queryables"])
def test_gzip_and_cors(url: str, path: str) -> None:
    headers = {"Origin": "https://browser.example", "Accept-Encoding": "gzip"}
    answer = requests.get(f"{url}{path}", headers=headers, timeout=30, stream=True)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
    assert answer.headers["content-encoding"] == "gzip"
    packed = answer.raw.read(decode_content=False)
    plain = requests.get(f"{url}{path}", headers={"Accept-Encoding": "identity"}, timeout=30)
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(packed) == plain.content
    assert len(packed) < len(plain.content)
    preflight = requests.options(
        f"{url}{path}",
        headers={**headers, "Access-Control-Request-Method": "POST",
                 "Access-Control-Request-Headers": "content-type"},
        timeout=30,
    )  # fmt: skip
    assert preflight.status_code == 200
    assert "POST" in preflight.headers["access-control-allow-methods"]
    for method in ("PUT", "DELETE"):
        asked = {**headers, "Access-Control-Request-Method": method}
        assert requests.options(f"{url}{path}", headers=asked, timeout=30).status_code == 400


def doors(hostile: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Every place of a request where a text can stand."""
    quoted = quote(hostile, safe="")
    slot = {"property": "lake:slot"}
    tree = {"op": "=", "args": [{"property": hostile}, 1]}
    call = {"op": "=", "args": [{"op": hostile, "args": [slot]}, "x"]}
    names = ("filter", "sortby", "fields", "ids", "collections", "datetime", "token", "bbox",
             "intersects", "query", "filter-lang", "filter-crs", "limit")  # fmt: skip
    of_cells = ("filter", "where", "accept", "except", "q", "sortby", "fields", "query", "token",
                "bbox", "datetime", "aligned")  # fmt: skip
    return [
        *(("GET", "/search", {name: hostile}) for name in names),
        *(("GET", PATHS[2], {name: hostile}) for name in names),
        *(("GET", "/collections", {name: hostile}) for name in of_cells),
        ("GET", "/search", {"filter": json.dumps(tree)}),
        ("GET", "/collections", {"filter": json.dumps(tree)}),
        ("GET", "/collections", {"where": json.dumps(call)}),
        ("GET", f"/collections/{quoted}", {}),
        ("GET", f"/collections/{quoted}/items", {}),
        ("GET", f"/collections/{quoted}/queryables", {}),
        ("GET", f"/collections/{FARM.collection_id}/items/{quoted}", {}),
        ("GET", f"/{quoted}", {}),
        ("POST", "/search", {"filter": tree}),
        ("POST", "/search", {"filter": call}),
        ("POST", "/search", {"filter": {"op": "=", "args": [slot, hostile]}}),
        ("POST", "/search", {"filter": {hostile: hostile}}),
        ("POST", "/search", {"ids": [hostile]}),
        ("POST", "/search", {"collections": [hostile]}),
        ("POST", "/search", {"sortby": [{"field": hostile, "direction": "asc"}]}),
        ("POST", "/search", {"fields": {"include": [hostile], "exclude": [hostile]}}),
        ("POST", "/search", {"query": {hostile: {"eq": 1}}}),
        ("POST", "/search", {"query": {"lake:slot": {hostile: 1}}}),
        ("POST", "/search", {"query": {"lake:slot": {"contains": hostile}}}),
        ("POST", "/search", {"token": hostile}),
        ("POST", "/search", {"datetime": hostile}),
        ("POST", "/search", {"intersects": {"type": hostile, "coordinates": []}}),
    ]


@pytest.mark.parametrize(
    "hostile",
    ["/etc/passwd", "../../../../../../etc/passwd", "file:///etc/passwd", "'/etc/passwd'",
     "read_text('/etc/passwd')", "x' UNION SELECT content FROM read_text('/etc/passwd') --",
     '" UNION SELECT content FROM read_text(\'/etc/passwd\') --', "'; ATTACH '/tmp/x.db'; --",
     "'; COPY items TO '/tmp/stac-lake-stolen'; --", "PRAGMA database_list", "\0", "😀"],
)  # fmt: skip
def test_no_door_leads_out_of_the_lake(url: str, hostile: str) -> None:
    for method, path, sent in doors(hostile):
        asked = {"json": sent} if method == "POST" else {"params": sent}
        answer = requests.request(method, f"{url}{path}", timeout=30, **asked)  # type: ignore[arg-type]
        assert answer.status_code in {200, 400, 404, 410}, (method, path, sent, answer.text)
        assert SECRET not in answer.text
        assert "Traceback" not in answer.text
    assert not Path("/tmp/stac-lake-stolen").exists()
    assert not Path("/tmp/x.db").exists()
    assert requests.get(f"{url}/search", timeout=30).json()["numberMatched"] == len(SPECS)


def test_half_a_character_is_no_text(url: str) -> None:
    headers = {"Content-Type": "application/json"}
    for body in (
        '{"ids": ["\\ud800"]}',
        '{"filter": {"op": "=", "args": [{"property": "lake:slot"}, "\\ud800"]}}',
        '{"filter": {"op": "=", "args": [{"property": "\\ud800"}, 1]}}',
        '{"sortby": [{"field": "\\ud800", "direction": "asc"}]}',
        '{"query": {"lake:slot": {"eq": "\\ud800"}}}',
        '{"query": {"\\ud800": {"eq": 1}}}',
        '{"token": "\\ud800"}',
        '{"datetime": "\\ud800"}',
        '{"filter": {"op": "<", "args": [{"property": "eo:cloud_cover"}, 1' + "0" * 400 + "]}}",
        '{"filter": {"op": "<", "args": [{"property": "eo:cloud_cover"}, NaN]}}',
    ):
        refused(requests.post(f"{url}/search", data=body, headers=headers, timeout=30))


def test_nesting_without_end(url: str) -> None:
    headers = {"Content-Type": "application/json"}
    for deep in (500, 50_000):
        for body in (
            '{"filter": ' + '{"op": "not", "args": [' * deep + "true" + "]}" * deep + "}",
            '{"intersects": {"type": "Polygon", "coordinates": ' + "[" * deep + "]" * deep + "}}",
            "[" * deep + "]" * deep,
        ):
            refused(requests.post(f"{url}/search", data=body, headers=headers, timeout=30))
    text = "[" * 5000 + "]" * 5000
    for name in ("filter", "query", "intersects"):
        sent = {name: '{"a": ' + text + "}"}
        refused(requests.get(f"{url}/search", params=sent, timeout=30))


def test_an_item_leads_through_the_api(url: str, index: Index) -> None:
    """Each link by which an item is found answers; the document is the stored one else."""
    (page,) = Lake(index).search(ids=[SPECS[0].id]).pages()
    (stored,) = page.items
    found = requests.get(f"{url}/search", params={"ids": SPECS[0].id}, timeout=30).json()
    (item,) = found["features"]
    links = {link["rel"]: link["href"] for link in item["links"]}
    for rel, kind in (("root", "Catalog"), ("parent", "Collection"), ("collection", "Collection")):
        assert requests.get(links[rel], timeout=30).json()["type"] == kind
    assert requests.get(links["self"], timeout=30).json() == item
    assert item["links"][0]["rel"] == "root"
    self_link = next(k["href"] for k in stored["links"] if k["rel"] == "self")
    assert links["canonical"] == f"file://{self_link}"
    file = item["assets"]["data"].pop("href")
    assert file == f"file://{stored['assets']['data'].pop('href')}"
    assert {**item, "links": None} == {**stored, "links": None}
    others = {"root", "parent", "collection", "self", "canonical"}
    kept = [k for k in item["links"] if k["rel"] not in others]
    assert [{**k, "href": k["href"].removeprefix("file://")} for k in kept] == [
        k for k in stored["links"] if k["rel"] not in others
    ]


def test_behind_a_proxy_links_lead_to_the_proxy(url: str) -> None:
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "lake.example"}
    for path in PATHS:
        answer = requests.get(f"{url}{path}", params={"limit": 1}, headers=headers, timeout=30)
        hrefs = {k["rel"]: k["href"] for k in answer.json()["links"]}
        assert hrefs["root"] == "https://lake.example/"
        assert hrefs["next"].startswith(f"https://lake.example{path}?")


def test_fields_of_a_part_that_is_left_out(url: str) -> None:
    """What is included stays, even inside what is excluded."""
    only = {"include": ["properties.lake:slot"], "exclude": ["properties"]}
    answer = requests.post(f"{url}/search", json={"fields": only, "limit": 1}, timeout=30).json()
    assert set(answer["features"][0]["properties"]) == {"lake:slot"}
    text = "-properties,+properties.lake:slot"
    same = requests.get(f"{url}/search", params={"fields": text, "limit": 1}, timeout=30).json()
    assert same["features"] == answer["features"]
    refused(requests.post(f"{url}/search", json={"fields": None}, timeout=30))


def test_one_collection_may_stand_alone(url: str) -> None:
    for name, value in (("collections", FARM.collection_id), ("ids", SPECS[0].id)):
        single = requests.post(f"{url}/search", json={name: value}, timeout=30).json()
        listed = requests.post(f"{url}/search", json={name: [value]}, timeout=30).json()
        assert single["features"] == listed["features"] != []


@pytest.mark.parametrize("moment", ["2021-01-05t10:30:00z", "2021-01-05T10:30:00.000000000Z"])
def test_moments_as_rfc_3339_has_them(url: str, moment: str) -> None:
    found = requests.get(f"{url}/search", params={"datetime": moment, "limit": 99}, timeout=30)
    start = datetime(2021, 1, 5, 10, 30, tzinfo=UTC)
    expected = {s.id for s in SPECS if s.start <= start <= (s.end or s.start)}
    assert {item["id"] for item in found.json()["features"]} == expected


def test_a_raw_request_that_is_no_http(url: str) -> None:
    """The server answers others after it."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as raw:
        raw.sendall(b"GET /search?filter=\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n")
        assert raw.recv(200).startswith(b"HTTP/1.1 400")
    assert requests.get(f"{url}/search", timeout=30).status_code == 200


def test_a_polygon_of_many_vertices(url: str) -> None:
    circle = shape({"type": "Point", "coordinates": [-96, 44]}).buffer(1, quad_segs=5000)
    answer = requests.post(f"{url}/search", json={"intersects": mapping(circle)}, timeout=30)
    assert answer.json()["numberMatched"] == sum(s.cell == FARM for s in SPECS)
