"""Searches: what is asked in each dialect, paging and its faults, filtering the answer again."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stac_lake.errors import ProviderRejected, ProviderUnavailable
from stac_lake.grid import Cell, split_bounds
from stac_lake.recipe import Product, SourceCollection, products
from stac_lake.types import Window
from stac_lake.upstream import Upstream
from stac_lake.upstream.search import joined_boxes, joined_windows

from .conftest import Answer, Heard, Server, page, recorded

L2A = products()["s2-l2a"]
EARTH_SEARCH, PLANETARY, CDSE = "earth-search", "planetary-computer", "cdse"
YEAR = Window(datetime(2020, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))


def source_of(provider: str, product: Product = L2A) -> SourceCollection:
    return next(
        s for s in product.sources
        if s.provider == provider and s.collection in {"sentinel-2-l2a", "cop-dem-glo-30"}
    )  # fmt: skip


def template(provider: str) -> dict[str, Any]:
    return recorded(f"{provider}_sentinel-2-l2a")


def numbered(provider: str, number: int) -> dict[str, Any]:
    """The provider's recorded item under an id of its own, a day later each."""
    document = copy.deepcopy(template(provider))
    document["id"] = f"{document['id']}-{number:03d}"
    moment = datetime(2021, 1, 1, tzinfo=UTC) + timedelta(days=number)
    for key in ("datetime", "start_datetime", "end_datetime"):
        document["properties"][key] = moment.isoformat()
    return document


def box_of(provider: str) -> tuple[float, float, float, float]:
    west, south, east, north = template(provider)["bbox"]
    return (west, south, east, north)


def elasticsearch(items: list[dict[str, Any]], size: int) -> Callable[[Heard], Answer]:
    """Earth Search: counts, a whole body with `next` and merge false, an extra empty last page."""

    def reply(heard: Heard) -> Answer:
        start = int(heard.json.get("next", "0"))
        shown = items[start : start + size]
        body = {**heard.json, "next": str(start + size)}
        link = {"rel": "next", "method": "POST", "merge": False, "body": body, "href": "x"}
        return page(shown, numberMatched=len(items), links=[link] if shown else [])

    return reply


def pgstac(items: list[dict[str, Any]], size: int) -> Callable[[Heard], Answer]:
    """Planetary Computer and CDSE: no count, a whole body with `token`, no next on the last."""

    def reply(heard: Heard) -> Answer:
        start = int(heard.json.get("token", "next:c:0").rpartition(":")[2])
        stop = start + size
        body = {**heard.json, "token": f"next:c:{stop}"}
        # An href that was recorded, and that refuses POST.
        link = {"rel": "next", "method": "POST", "body": body, "href": "http://host/api/stac/"}
        links = [{"rel": "self", "href": "x"}, *([link] if stop < len(items) else [])]
        return page(items[start:stop], links=links)

    return reply


def merging(items: list[dict[str, Any]], size: int) -> Callable[[Heard], Answer]:
    """Older pgstac: only what changes, and merge true."""

    def reply(heard: Heard) -> Answer:
        assert heard.json["collections"]
        start = int(heard.json.get("token", "0"))
        link = {"rel": "next", "merge": True, "body": {"token": str(start + size)}, "href": "x"}
        return page(items[start : start + size], links=[link] if start + size < len(items) else [])

    return reply


DIALECTS = [
    (EARTH_SEARCH, elasticsearch), (PLANETARY, pgstac), (CDSE, pgstac), (PLANETARY, merging),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "dialect"), DIALECTS)
@pytest.mark.parametrize("count", [0, 1, 5, 6])
def test_all_pages_are_read(
    server: Server, upstream: Upstream, provider: str, dialect: Any, count: int
) -> None:
    items = [numbered(provider, n) for n in range(count)]
    server.reply = dialect(items[::-1], 3)  # newest first, as the providers sort
    found = upstream.search(L2A, source_of(provider), [box_of(provider)], [YEAR])
    assert [scene.id for scene in found] == [item["id"] for item in items]
    assert {heard.path.rpartition("/")[2] for heard in server.heard} == {"search"}
    assert all(heard.json["collections"] == ["sentinel-2-l2a"] for heard in server.heard)


def test_paths_and_bodies(server: Server, upstream: Upstream) -> None:
    server.reply = lambda heard: page([])
    window = Window(datetime(2021, 5, 1, tzinfo=UTC), datetime(2021, 6, 1, tzinfo=UTC))
    for provider in (EARTH_SEARCH, PLANETARY, CDSE):
        box = (10.0, 50.0, 10.25, 50.25)
        upstream.search(L2A, source_of(provider), [box], [window], max_cloud_pct=20)
    es, pc, cdse = server.heard
    assert [h.path for h in server.heard] == [
        "/earth-search/v1/search",
        "/planetary-computer/api/stac/v1/search",
        "/cdse/v1/search",
    ]
    for heard in server.heard:
        assert heard.method == "POST"
        assert heard.json["datetime"] == "2021-05-01T00:00:00.000Z/2021-05-31T23:59:59.999Z"
        assert heard.json["bbox"] == [10.0, 50.0, 10.25, 50.25]
        assert heard.json["limit"] == 100
    assert es.json["query"] == {"eo:cloud_cover": {"lte": 20}}
    assert "filter" not in es.json
    for heard in (pc, cdse):
        assert heard.json["filter-lang"] == "cql2-json"
        assert heard.json["filter"] == {
            "op": "<=", "args": [{"property": "eo:cloud_cover"}, 20]
        }  # fmt: skip
        assert "query" not in heard.json


def test_property_filters_are_asked_and_checked(server: Server, upstream: Upstream) -> None:
    source = source_of(PLANETARY).model_copy(update={"filters": {"sat:orbit_state": "descending"}})
    right, wrong = numbered(PLANETARY, 1), numbered(PLANETARY, 2)
    right["properties"]["sat:orbit_state"] = "descending"
    wrong["properties"]["sat:orbit_state"] = "ascending"
    server.reply = pgstac([wrong, right], 10)
    found = upstream.search(L2A, source, [box_of(PLANETARY)], [YEAR], max_cloud_pct=100)
    assert [scene.id for scene in found] == [right["id"]]
    assert server.heard[0].json["filter"] == {
        "op": "and",
        "args": [
            {"op": "=", "args": [{"property": "sat:orbit_state"}, "descending"]},
            {"op": "<=", "args": [{"property": "eo:cloud_cover"}, 100]},
        ],
    }


def test_the_answer_is_filtered_again(server: Server, upstream: Upstream) -> None:
    """Half-open in time, by footprint, and by a cloud limit that was ignored."""
    items = [numbered(EARTH_SEARCH, n) for n in range(5)]  # 1 to 5 January 2021
    items[2]["properties"]["eo:cloud_cover"] = 99
    items[3]["geometry"] = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
    for item in (items[0], items[1], items[4]):
        item["properties"]["eo:cloud_cover"] = 1
    server.reply = elasticsearch(items, 10)
    window = Window(datetime(2021, 1, 2, tzinfo=UTC), datetime(2021, 1, 5, tzinfo=UTC))
    box = box_of(EARTH_SEARCH)
    found = upstream.search(L2A, source_of(EARTH_SEARCH), [box], [window], max_cloud_pct=20)
    assert [scene.id for scene in found] == [items[1]["id"]]


def test_dem_is_never_asked_by_time(server: Server, upstream: Upstream) -> None:
    document = recorded("earth-search_cop-dem-glo-30")
    server.reply = lambda heard: page([document])
    dem = products()["dem-glo30"]
    west, south, east, north = document["bbox"]
    found = upstream.search(dem, source_of(EARTH_SEARCH, dem), [(west, south, east, north)], [])
    assert "datetime" not in server.heard[0].json
    assert found[0].acquisition == "glo30-S90W174"
    assert found[0].assets["height"].shape == (3600, 360)


def test_a_cell_on_the_antimeridian_is_two_searches(server: Server, upstream: Upstream) -> None:
    """A scene over both halves comes back twice, and is one."""
    document = numbered(EARTH_SEARCH, 0)
    document["geometry"] = {
        "type": "Polygon", "coordinates": [[[179, -1], [-179, -1], [-179, 1], [179, 1], [179, -1]]]
    }  # fmt: skip
    server.reply = elasticsearch([document], 10)
    boxes = split_bounds(Cell(360 * 1440).bounds)
    found = upstream.search(L2A, source_of(EARTH_SEARCH), boxes, [YEAR])
    assert [scene.id for scene in found] == [document["id"]]
    asked = [h.json["bbox"] for h in server.heard if "next" not in h.json]
    assert sorted(asked) == [[-180.0, -0.125, -179.875, 0.125], [179.875, -0.125, 180.0, 0.125]]


def test_a_footprint_beyond_the_antimeridian_is_found_from_its_other_side(
    server: Server, upstream: Upstream
) -> None:
    """The Planetary Computer has 181.4° W, answers from the east only, and takes no such box."""
    here, there = numbered(PLANETARY, 1), numbered(PLANETARY, 2)
    ring = [[-178.6, -18.0], [-178.6, -16.0], [-181.4, -16.0], [-181.4, -18.0], [-178.6, -18.0]]
    here["geometry"] = {"type": "Polygon", "coordinates": [ring]}
    there["geometry"] = {"type": "Polygon", "coordinates": [[[x + 2, y] for x, y in ring]]}

    def reply(heard: Heard) -> Answer:
        west, _, east, _ = heard.json["bbox"]
        assert -180 <= west < east <= 180
        # In plain coordinates, as PostGIS compares them.
        found = [
            item
            for item in (here, there)
            for xs in [[x for x, _ in item["geometry"]["coordinates"][0]]]
            if min(xs) <= east and max(xs) >= west
        ]
        return page(found)

    server.reply = reply
    source = source_of(PLANETARY)
    (scene,) = upstream.search(L2A, source, [(178.9, -17.7, 179.2, -17.0)], [YEAR])
    assert scene.id == here["id"]
    assert len(server.heard) == 2
    server.heard.clear()
    assert upstream.search(L2A, source, [(168.0, -17.7, 169.0, -17.0)], [YEAR]) == []
    assert len(server.heard) == 1


def test_since_and_until_of_a_source(server: Server, upstream: Upstream) -> None:
    server.reply = lambda heard: page([])
    product = products()["s5p-no2"]
    rpro, offl = (s for s in product.sources if s.provider == CDSE)
    july = Window(datetime(2022, 7, 1, tzinfo=UTC), datetime(2022, 8, 1, tzinfo=UTC))
    june = Window(datetime(2022, 6, 1, tzinfo=UTC), datetime(2022, 7, 1, tzinfo=UTC))
    box = (0.0, 0.0, 1.0, 1.0)
    assert upstream.search(product, offl, [box], [june]) == []
    assert server.heard == []
    upstream.search(product, rpro, [box], [july])
    upstream.search(product, offl, [box], [july])
    assert [h.json["datetime"] for h in server.heard] == [
        "2022-07-01T00:00:00.000Z/2022-07-25T23:59:59.999Z",
        "2022-07-26T00:00:00.000Z/2022-07-31T23:59:59.999Z",
    ]


def test_an_item_that_comes_twice_is_one(server: Server, upstream: Upstream) -> None:
    items = [numbered(PLANETARY, n) for n in (0, 1, 1, 0, 2)]
    server.reply = pgstac(items, 2)
    found = upstream.search(L2A, source_of(PLANETARY), [box_of(PLANETARY)], [YEAR])
    assert len(found) == 3


def test_pages_in_a_circle_end(server: Server, upstream: Upstream) -> None:
    def reply(heard: Heard) -> Answer:
        body = {**heard.json, "token": "again"}
        return page([numbered(PLANETARY, 0)], links=[{"rel": "next", "body": body}])

    server.reply = reply
    with pytest.raises(ProviderUnavailable, match="without end"):
        upstream.search(L2A, source_of(PLANETARY), [box_of(PLANETARY)], [YEAR])
    assert len(server.heard) == 2


def test_fewer_items_than_counted_is_no_answer(server: Server, upstream: Upstream) -> None:
    server.reply = lambda heard: page([numbered(EARTH_SEARCH, 0)], numberMatched=3)
    with pytest.raises(ProviderUnavailable, match="1 of 3"):
        upstream.search(L2A, source_of(EARTH_SEARCH), [box_of(EARTH_SEARCH)], [YEAR])


def test_a_limit_ends_the_paging(server: Server, upstream: Upstream) -> None:
    server.reply = pgstac([numbered(PLANETARY, n) for n in range(9)], 3)
    found = upstream.search(L2A, source_of(PLANETARY), [box_of(PLANETARY)], [YEAR], limit=4)
    assert len(found) == 4
    assert len(server.heard) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"The request exceeded the maximum allowed time, please try again",
        b'{"type": "FeatureColl', b'{"detail": "x"}', b"[]",
    ],
)  # fmt: skip
def test_half_an_answer_is_asked_again(server: Server, upstream: Upstream, body: bytes) -> None:
    answers = iter([Answer(body), page([numbered(PLANETARY, 0)])])
    server.reply = lambda heard: next(answers)
    assert len(upstream.search(L2A, source_of(PLANETARY), [box_of(PLANETARY)], [YEAR])) == 1


def test_a_refusal_says_what_the_provider_said(server: Server, upstream: Upstream) -> None:
    server.reply = lambda heard: Answer(b"collection is required", 422)
    with pytest.raises(ProviderRejected, match=r"HTTP 422: 'collection is required'"):
        upstream.search(L2A, source_of(PLANETARY), [box_of(PLANETARY)], [YEAR])


def test_a_gateway_timeout_is_unavailable(server: Server, upstream: Upstream) -> None:
    server.reply = lambda heard: Answer(status=504)
    with pytest.raises(ProviderUnavailable, match="504"):
        upstream.search(L2A, source_of(PLANETARY), [box_of(PLANETARY)], [YEAR])


def test_unusable_items_are_left_out(server: Server, upstream: Upstream) -> None:
    broken = numbered(PLANETARY, 0)
    del broken["assets"]["B04"]
    server.reply = lambda heard: page([broken, None, "x", {"id": "y"}, numbered(PLANETARY, 1)])
    found = upstream.search(L2A, source_of(PLANETARY), [box_of(PLANETARY)], [YEAR])
    assert [scene.id for scene in found] == [numbered(PLANETARY, 1)["id"]]


def test_check_says_what_a_user_needs(server: Server, upstream: Upstream) -> None:
    server.reply = lambda heard: Answer(b'{"stac_version": "1.1.0", "conformsTo": ["x#filter"]}')
    assert upstream.check(CDSE) == "cdse: HTTP 200, STAC 1.1.0, filter supported, files: keys set"
    keyless = Upstream(stand_in=server.url, environ={})
    assert keyless.check(CDSE).endswith("files: CDSE_S3_ACCESS_KEY is not set")
    assert keyless.missing_credentials(CDSE) == "CDSE_S3_ACCESS_KEY"
    assert keyless.missing_credentials(EARTH_SEARCH) is None
    server.reply = lambda heard: Answer(status=503)
    assert "NOT reachable" in upstream.check(EARTH_SEARCH)


days = st.integers(0, 3000)


@given(st.lists(st.tuples(days, st.integers(1, 90)), max_size=12))
def test_joined_windows_cover_every_window(spans: list[tuple[int, int]]) -> None:
    start = datetime(2015, 1, 1, tzinfo=UTC)
    windows = [Window(start + timedelta(days=a), start + timedelta(days=a + n)) for a, n in spans]
    joined = joined_windows(windows)
    assert all(any(j.start <= w.start and w.end <= j.end for j in joined) for w in windows)
    assert all(j.end - j.start <= timedelta(days=400) for j in joined)
    assert len(joined) <= len(windows)


@given(st.lists(st.tuples(st.floats(-180, 179), st.floats(-90, 89)), max_size=10))
def test_joined_boxes_cover_every_box(corners: list[tuple[float, float]]) -> None:
    boxes = [(w, s, w + 0.25, s + 0.25) for w, s in corners]
    joined = joined_boxes(boxes)
    for w, s, e, n in boxes:
        assert any(j[0] <= w and j[1] <= s and e <= j[2] and n <= j[3] for j in joined)
    assert all(j[2] - j[0] <= 5 and j[3] - j[1] <= 5 for j in joined)
