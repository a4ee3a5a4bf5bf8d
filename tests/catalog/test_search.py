"""Item search: conditions, order, paging, versions of the index."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from lake_items import BY_ID, DATELINE_BOX, FARM, SPECS, document, fill
from shapely.geometry import box, mapping, shape

from stac_lake.catalog.index import Index, IndexRow
from stac_lake.catalog.search import Search, count, search
from stac_lake.errors import QueryError
from stac_lake.store.objects import Objects


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return fill(str(tmp_path_factory.mktemp("lake")))


def ids(index: Index, **wanted: Any) -> list[str]:
    return [item["id"] for item in search(index, Search(**{"limit": 1000, **wanted})).items]


def walk(index: Index, wanted: Search) -> list[str]:
    """Ids of all pages, each page checked against what it promises."""
    page = search(index, wanted)
    total, found = page.matched, [item["id"] for item in page.items]
    while page.next:
        assert len(page.items) == wanted.limit
        page = search(index, replace(wanted, token=page.next))
        assert page.matched == total
        found += [item["id"] for item in page.items]
    assert len(found) == total == count(index, wanted)
    return found


def test_every_current_item_once_and_nothing_else(index: Index) -> None:
    found = ids(index)
    assert sorted(found) == sorted(BY_ID)
    # By cell, then time, then id.
    assert found == sorted(found, key=lambda i: (BY_ID[i].cell, BY_ID[i].start, i))


def test_documents_are_the_stored_ones_with_absolute_hrefs(index: Index) -> None:
    spec = SPECS[-1]
    (item,) = search(index, Search(ids=[spec.id])).items
    stored = document(spec)
    assert item["properties"] == stored["properties"]
    assert item["geometry"] == stored["geometry"]
    href = item["assets"]["data"].pop("href")
    relative = stored["assets"]["data"].pop("href")
    assert item["assets"] == stored["assets"]
    assert href.startswith(index.objects.url + "/cells/")
    assert href.endswith(relative.removeprefix("../../"))
    (own,) = (link["href"] for link in item["links"] if link["rel"] == "self")
    assert own.startswith(index.objects.url)
    assert own.endswith(f"/items/{spec.id}/1.json")


def test_only_the_newest_version_is_found(index: Index) -> None:
    (item,) = search(index, Search(ids=[SPECS[0].id])).items
    assert item["properties"]["version"] == "2"
    assert item["properties"]["eo:cloud_cover"] == 80.0
    assert SPECS[0].id not in ids(index, filter="eo:cloud_cover = 0")


@pytest.mark.parametrize("limit", [1, 2, 5, 7, 32, 33])
@pytest.mark.parametrize(
    "sortby",
    [
        (),
        ("-datetime",),
        ("eo:cloud_cover",),
        ("-eo:cloud_cover", "platform"),
        ("lake:resampled", "-lake:valid_pct"),
        ("properties.lake:n_orbits",),
        ("-collection", "+id"),
    ],
)
def test_pages_join_to_the_whole_in_order(
    index: Index, limit: int, sortby: tuple[str, ...]
) -> None:
    whole = ids(index, sortby=sortby)
    assert sorted(whole) == sorted(BY_ID)
    assert walk(index, Search(sortby=sortby, limit=limit)) == whole


def test_order_puts_nulls_last_both_ways(index: Index) -> None:
    clouds = [
        BY_ID[i].properties.get("eo:cloud_cover") for i in ids(index, sortby=["eo:cloud_cover"])
    ]
    known = [value for value in clouds if value is not None]
    assert known == sorted(known)
    assert clouds[: len(known)] == known
    falling = [
        BY_ID[i].properties.get("eo:cloud_cover") for i in ids(index, sortby=["-eo:cloud_cover"])
    ]
    assert falling[: len(known)] == sorted(known, reverse=True)


def test_paging_with_an_exact_spatial_filter(index: Index) -> None:
    # The triangle meets the boxes of patches that it does not meet.
    triangle = {"type": "Polygon", "coordinates": [[[-97, 43], [-97, 45], [-96.06, 44], [-97, 43]]]}
    everything = search(index, Search(limit=1000)).items
    wanted = {i["id"] for i in everything if shape(i["geometry"]).intersects(shape(triangle))}
    assert 0 < len(wanted) < len(everything)
    assert set(walk(index, Search(intersects=triangle, limit=3))) == wanted


@pytest.mark.parametrize(
    "bbox",
    [
        (-96.125, 43.875, -95.875, 44.125),
        (-95.96, 44.0, -95.94, 44.03),
        (-180, -90, 180, 90),
        (83, -70, -20, 85, -68, 4000),
        (10, 10, 11, 11),
    ],
)
def test_bbox_is_an_intersection_with_the_footprint(index: Index, bbox: tuple[float, ...]) -> None:
    half = len(bbox) // 2
    area = box(bbox[0], bbox[1], bbox[half], bbox[half + 1])
    items = search(index, Search(limit=1000)).items
    wanted = {i["id"] for i in items if shape(i["geometry"]).intersects(area)}
    assert set(ids(index, bbox=bbox)) == wanted
    assert set(ids(index, intersects=mapping(area))) == wanted


def test_bbox_over_the_antimeridian(index: Index) -> None:
    fiji = {spec.id for spec in SPECS[-4:]}
    assert set(ids(index, bbox=DATELINE_BOX)) == fiji
    # East of the patch, which reaches 1.3 km over the line, but within the cell.
    assert set(ids(index, bbox=[-179.98, -17.1, -179.95, -16.9])) == fiji - {SPECS[-4].id}
    assert ids(index, bbox=[-179.5, -17.5, 179.5, -16.5]) == []


def test_datetime_is_closed_and_meets_composites(index: Index) -> None:
    def wanted(start: datetime, end: datetime) -> set[str]:
        return {s.id for s in SPECS if s.start <= end and (s.end or s.start) >= start}

    first, last = datetime(2021, 4, 6, 10, 30, tzinfo=UTC), datetime(2021, 7, 7, 10, 30, tzinfo=UTC)
    text = "2021-04-06T10:30:00Z/2021-07-07T10:30:00Z"
    assert set(ids(index, datetime=text)) == wanted(first, last)
    assert set(ids(index, datetime="2021-04-06T10:30:00Z")) == wanted(first, first)
    assert set(ids(index, datetime="../2021-01-05T10:30:00Z")) == wanted(
        datetime(1970, 1, 1, tzinfo=UTC), datetime(2021, 1, 5, 10, 30, tzinfo=UTC)
    )
    assert set(ids(index, datetime="2021-12/..")) == wanted(
        datetime(2021, 12, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
    )


def test_collections_ids_and_products(index: Index) -> None:
    assert set(ids(index, collections=[FARM.collection_id])) == {
        s.id for s in SPECS if s.cell == FARM
    }
    chosen = [SPECS[3].id, SPECS[-1].id]
    assert set(ids(index, ids=[*chosen, "not-an-id", "s2-l2a_9999999_winter"])) == set(chosen)
    assert set(ids(index, products=["s1-rtc"])) == {s.id for s in SPECS if s.product == "s1-rtc"}
    for nothing in ({"ids": []}, {"collections": []}, {"products": []}, {"ids": ["x"]}):
        assert ids(index, **nothing) == []


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"bbox": [0, 0, 1, 1], "intersects": {"type": "Point", "coordinates": [0, 0]}}, "exclude"),
        ({"bbox": [0, 0, 1]}, "4 or 6"),
        ({"bbox": [0, 50, 1, 40]}, "west, south"),
        ({"bbox": ["a", 0, 1, 1]}, "numbers"),
        ({"intersects": {"type": "Polygon"}}, "GeoJSON"),
        ({"intersects": {"type": "Point", "coordinates": [0, 99]}}, "leaves the Earth"),
        ({"datetime": "a/b/c"}, "slash"),
        ({"datetime": "../.."}, "at least one"),
        ({"datetime": "2022-01-01/2021-01-01"}, "after the end"),
        ({"sortby": ["cloud"]}, "unknown property"),
        ({"sortby": ["geometry"]}, "cannot sort"),
        ({"limit": 0}, "at least 1"),
        ({"token": "%%%"}, "token"),
        ({"token": "bm9uc2Vuc2U"}, "token"),
    ],
)
def test_wrong_conditions(index: Index, wanted: dict[str, Any], says: str) -> None:
    with pytest.raises(QueryError, match=says):
        search(index, Search(**wanted))


def test_a_token_is_for_its_own_search(index: Index) -> None:
    token = search(index, Search(limit=2)).next
    assert search(index, Search(limit=9, token=token)).items
    with pytest.raises(QueryError, match="another search"):
        search(index, Search(limit=2, token=token, products=["s1-rtc"]))


def test_paging_sees_one_state_while_the_lake_grows(tmp_path: Path) -> None:
    index = Index(Objects.open(str(tmp_path)))
    now, later = SPECS[:6], SPECS[6:20]
    index.append([IndexRow(document(spec), 1) for spec in now])
    pinned = index.version
    page = search(index, Search(limit=2))
    seen = [item["id"] for item in page.items]
    index.append([IndexRow(document(spec), 1) for spec in later])
    while page.next:
        page = search(index, Search(limit=2, token=page.next))
        seen += [item["id"] for item in page.items]
    assert sorted(seen) == sorted(spec.id for spec in now)
    assert count(index, Search()) == 20
    assert count(index, Search(version=pinned)) == 6


def test_an_empty_lake(tmp_path: Path) -> None:
    page = search(Index(Objects.open(str(tmp_path))), Search(filter="eo:cloud_cover < 10"))
    assert (page.items, page.next, page.matched, page.not_applied) == ([], None, 0, ())


def test_threads_search_at_the_same_time(index: Index) -> None:
    triangle = {"type": "Polygon", "coordinates": [[[-97, 43], [-97, 45], [-96.06, 44], [-97, 43]]]}
    searches = [
        {"intersects": triangle},
        {"filter": "eo:cloud_cover < 10"},
        {"bbox": DATELINE_BOX},
        {},
    ]
    wanted = [ids(index, **conditions) for conditions in searches]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda conditions: ids(index, **conditions), searches * 8))
    assert found == wanted * 8
