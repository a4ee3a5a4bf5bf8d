"""GET /collections by place, time, words and counts, against a count of slots by hand."""

from __future__ import annotations

import itertools
import json
import random
import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import cql2
import pystac
import pytest
import requests
from lake_items import Spec, document
from pystac_client import Client
from shapely.geometry import box, shape
from typer.testing import CliRunner

from stac_lake.catalog.index import Index, IndexRow
from stac_lake.cli.main import app
from stac_lake.grid import Cell, cell_at, patch_at
from stac_lake.lake import Lake
from stac_lake.quality.filter import CELL_KINDS
from stac_lake.recipe import product
from stac_lake.store.objects import Objects

SEASONS = ("winter", "spring", "summer", "autumn")
MONTHS = tuple(f"2021-{month:02d}" for month in range(1, 13))
SERIES = {
    **dict.fromkeys(("s1-grd", "s1-rtc", "s2-l1c", "s2-l2a"), SEASONS),
    "s3-olci-efr": tuple(f"b{n}" for n in range(1, 9)),
    **dict.fromkeys(("s5p-co", "s5p-no2", "s5p-o3", "s5p-so2"), MONTHS),
    "dem-glo30": ("static",),
}
SUBSTITUTES = {"s1-rtc", "s2-l2a"}
LENGTH = {product(name).modality: len(slots) for name, slots in SERIES.items()}
CELLS = [
    cell_at(lon, lat)
    for lon, lat in itertools.product((-180.0, -60.25, 0.0, 12.5, 179.75), (-16.75, 0.0, 51.0))
]
ONLY_L2A = cell_at(30.0, 60.0)


def made_up() -> list[Spec]:
    """Cells from full to nearly empty, two patches each; one holds nothing but a substitute."""
    chance = random.Random(11)
    moment = datetime(2021, 7, 7, tzinfo=UTC)
    specs = [Spec("s2-l2a", ONLY_L2A, "summer", moment, {}, patch_at(30.0, 60.0))]
    for number, cell in enumerate(CELLS):
        share = 1.0 if number < 4 else chance.uniform(0.3, 1.0)
        patches = [patch_at(cell.lon, cell.lat), patch_at(cell.lon + 0.06, cell.lat + 0.06)]
        for name, slots in SERIES.items():
            if number > 3 and chance.random() < 0.2:
                continue
            by_patch = name.startswith(("s1", "s2"))
            for patch, (month, slot) in itertools.product(
                patches if by_patch else [None], enumerate(slots)
            ):
                if chance.random() > share:
                    continue
                when = datetime(2021, 1 + month, 2, tzinfo=UTC)
                cloud = {"eo:cloud_cover": float(chance.randrange(20))} if "s2" in name else {}
                end = when + timedelta(days=20) if name.startswith("s5p") else None
                values = {"lake:valid_pct": 100.0, **cloud}
                specs.append(Spec(name, cell, slot, when, values, patch, end=end))
    return specs


SPECS = made_up()
EVERY = sorted({spec.cell for spec in SPECS})


def by_hand(specs: list[Spec], accepted: set[str]) -> dict[Cell, dict[str, int]]:
    """What `CELL_KINDS` counts, of the products that count."""
    slots: dict[Cell, dict[tuple[str, Any], set[str]]] = defaultdict(lambda: defaultdict(set))
    items: dict[Cell, int] = defaultdict(int)
    for spec in specs:
        if spec.product in accepted:
            slots[spec.cell][product(spec.product).modality, spec.patch].add(spec.name)
            items[spec.cell] += 1
    counts = {}
    for cell, series in slots.items():
        line = {name: 0 for name, kind in CELL_KINDS.items() if kind == "integer"}
        for (modality, _), found in series.items():
            line[modality] = max(line[modality], len(found))
            line[f"{modality}_complete"] += len(found) == LENGTH[modality]
        patches = {patch for _, patch in series if patch}
        pair = [all(len(series.get((m, p), ())) == 4 for m in ("s1", "s2")) for p in patches]
        counts[cell] = line | {"items": items[cell], "patches": len(patches), "paired": sum(pair)}
    return counts


FIRSTS = by_hand(SPECS, set(SERIES) - SUBSTITUTES)
ALL = by_hand(SPECS, set(SERIES))


def ids(cells: Any) -> list[str]:
    return [cell.collection_id for cell in sorted(cells)]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    made = Index(Objects.open(str(tmp_path_factory.mktemp("cells"))))
    made.append([IndexRow(document(spec), 1) for spec in SPECS])
    return made


@pytest.fixture(scope="module")
def url(index: Index, served: Callable[[Index], AbstractContextManager[str]]) -> Iterator[str]:
    with served(index) as found:
        yield found


@pytest.fixture(scope="module", params=["http", "in-process"])
def client(request: pytest.FixtureRequest, url: str, index: Index) -> Client:
    return Client.open(url) if request.param == "http" else Lake(index).client()


def ask(url: str, status: int = 200, **parameters: Any) -> Any:
    answer = requests.get(f"{url}/collections", params=parameters, timeout=30)
    assert answer.status_code == status, answer.text
    return answer.json()


def pages(url: str, **parameters: Any) -> Iterator[dict[str, Any]]:
    page = ask(url, **parameters)
    yield page
    while following := [link for link in page["links"] if link["rel"] == "next"]:
        page = requests.get(following[0]["href"], timeout=30).json()
        yield page


HAVING: dict[str, Callable[[dict[str, int]], bool]] = {
    "s2 >= 4": lambda n: n["s2"] >= 4,
    "s3 >= 6 AND s2 >= 4 AND (paired >= 1 OR co_complete = 1)": lambda n: (
        n["s3"] >= 6 and n["s2"] >= 4 and (n["paired"] >= 1 or n["co_complete"] == 1)
    ),
    "paired > 1": lambda n: n["paired"] > 1,
    "s1 <> s2": lambda n: n["s1"] != n["s2"],
    "s1_complete + s2_complete >= patches": lambda n: (
        n["s1_complete"] + n["s2_complete"] >= n["patches"]
    ),
    "NOT (dem = 1)": lambda n: n["dem"] != 1,
    "no2 BETWEEN 5 AND 11": lambda n: 5 <= n["no2"] <= 11,
    "s3 IN (1, 3, 5, 7)": lambda n: n["s3"] in {1, 3, 5, 7},
    "items IS NULL": lambda n: False,
    "datetime IS NULL AND s1 > 0": lambda n: False,
    "datetime IS NOT NULL AND s1 > 2": lambda n: n["s1"] > 2,
}


@pytest.mark.parametrize("text", HAVING)
@pytest.mark.parametrize("accept", ["", "s2-l2a,s1-rtc"])
def test_counts_agree_with_those_by_hand(url: str, text: str, accept: str) -> None:
    counts = by_hand(SPECS, set(SERIES) - SUBSTITUTES | set(accept.split(",")) - {""})
    expected = ids(cell for cell, n in counts.items() if HAVING[text](n))
    found = ask(url, filter=text, accept=accept)
    assert [one["id"] for one in found["collections"]] == expected
    assert found["numberMatched"] == found["numberReturned"] == len(expected)
    assert found.get("lake:not_counted", []) == ([] if accept else ["s1-rtc", "s2-l2a"])
    tree = json.dumps(cql2.parse_text(text).to_json())
    by_tree = ask(url, filter=tree, accept=accept, **{"filter-lang": "cql2-json"})
    assert by_tree["collections"] == found["collections"]


def test_the_rules_are_not_empty() -> None:
    some = {text: sum(map(rule, FIRSTS.values())) for text, rule in HAVING.items()}
    assert [some.pop("items IS NULL"), some.pop("datetime IS NULL AND s1 > 0")] == [0, 0]
    assert all(0 < n < len(FIRSTS) for n in some.values()), some


@pytest.mark.parametrize("without", ["", "s3", "s1,so2"])
def test_aligned_is_what_the_command_line_says(url: str, index: Index, without: str) -> None:
    found = ask(url, aligned="true", accept="s2-l2a,s1-rtc", **{"except": without})
    left = set(LENGTH) - set(without.split(","))
    assert [c["id"] for c in found["collections"]] == ids(
        cell for cell, n in ALL.items() if all(n[name] for name in left)
    )
    words = ["cells", "--aligned", "--accept", "s2-l2a,s1-rtc", "--lake", index.objects.url]
    told = CliRunner().invoke(app, [*words, *(["--except", without] if without else [])])
    assert [Cell(int(line)).collection_id for line in told.stdout.split()] == [
        c["id"] for c in found["collections"]
    ]


def test_where_counts_only_items_that_match(url: str) -> None:
    clear = [s for s in SPECS if s.properties.get("eo:cloud_cover", 100) < 10]
    counts = by_hand(clear, set(SERIES))
    found = ask(url, where="eo:cloud_cover < 10", accept="s2-l2a", filter="s2 >= 3")
    assert [c["id"] for c in found["collections"]] == ids(
        c for c, n in counts.items() if n["s2"] > 2
    )
    assert set(found["lake:not_applied"]) == set(SERIES) - SUBSTITUTES - {"s2-l1c"}


def test_a_plain_list_has_every_cell(client: Client, url: str) -> None:
    """Also those with substitutes only, which no count would find unasked."""
    assert [c.id for c in client.get_collections()] == ids(EVERY)
    found = ask(url)
    assert found["numberMatched"] == len(EVERY)
    assert "lake:not_counted" not in found
    assert ONLY_L2A.collection_id not in [
        c["id"] for c in ask(url, filter="items > 0")["collections"]
    ]
    there = ask(url, filter=f"id = '{ONLY_L2A.collection_id}'")
    assert [c["id"] for c in there["collections"]] == [ONLY_L2A.collection_id]


AREAS = {
    "plain": ([-61, -20, 13, 1], [box(-61, -20, 13, 1)]),
    "3-D": ([-61, -20, -100, 13, 1, 9000], [box(-61, -20, 13, 1)]),
    "antimeridian": ([179, -20, -179.9, 60], [box(179, -20, 180, 60), box(-180, -20, -179.9, 60)]),
    "3-D antimeridian": (
        [179, -20, 0, -179.9, 60, 1],
        [box(179, -20, 180, 60), box(-180, -20, -179.9, 60)],
    ),
}


@pytest.mark.parametrize("name", AREAS)
def test_boxes(url: str, name: str) -> None:
    area, parts = AREAS[name]
    expected = ids(
        cell for cell in EVERY if any(shape(cell.footprint).intersects(part) for part in parts)
    )
    found = ask(url, bbox=",".join(map(str, area)))
    assert [c["id"] for c in found["collections"]] == expected
    assert 0 < len(expected) < len(EVERY)


def test_times_meet_the_extent(url: str) -> None:
    """Compared with each Collection's own extent."""
    extents = {
        one["id"]: one["extent"]["temporal"]["interval"][0] for one in ask(url)["collections"]
    }
    for start, end in (("2021-12-10T00:00:00Z", ".."), ("..", "2021-01-02T00:00:00Z")):
        expected = [
            one
            for one, (first, last) in extents.items()
            if (start == ".." or last >= start) and (end == ".." or first <= end)
        ]
        found = ask(url, datetime=f"{start}/{end}")
        assert [c["id"] for c in found["collections"]] == expected
        assert 0 < len(expected) < len(EVERY)


@pytest.mark.parametrize(
    "text",
    [
        "sentinel", "COPERNICUS", "training data", "grid", "data set", "sent", "elevation of",
        "51.00° N", "12.50° e", "0.00", "180.00° W", "179.75", "0.10", "era5-0000001", "9999999",
        CELLS[3].code, CELLS[3].collection_id, CELLS[5].name, CELLS[5].name + "1",
        "nothing,51.00° N,60.25° W", "51.00° N, 12.50° E", "16.75° S",
    ],
)  # fmt: skip
def test_words_are_found_where_they_stand(url: str, text: str) -> None:
    """Any of the terms between commas, as whole words of title, description or keywords."""
    expected = []
    for one in ask(url)["collections"]:
        texts = [one["title"], one["description"], *one["keywords"]]
        terms = [re.escape(term.strip()) for term in text.split(",")]
        rule = "|".join(rf"(?<!\w){term}(?![\w.-]*\w)" for term in terms)
        if any(re.search(rule, words, re.IGNORECASE) for words in texts):
            expected.append(one["id"])
    assert [one["id"] for one in ask(url, q=text)["collections"]] == expected


@pytest.mark.parametrize(
    ("sortby", "of_counts"),
    [
        ("id", False),
        ("+id", False),
        ("-id", False),
        ("-datetime", False),
        ("-datetime,s1", True),
        ("s2,-items", True),
        ("paired", True),
        ("-s3,-id", True),
        ("co,co", True),
    ],
)
def test_order_over_pages(url: str, sortby: str, *, of_counts: bool) -> None:
    counts = FIRSTS if of_counts else ALL
    counted = set(SERIES) - (SUBSTITUTES if of_counts else set())
    starts = {
        c: min(s.start for s in SPECS if s.cell == c and s.product in counted) for c in counts
    }
    cells = sorted(counts)
    for key in reversed(sortby.split(",")):
        name = key.strip("+-")
        cells.sort(
            key=lambda c, name=name: (  # type: ignore[misc]
                c.id if name == "id" else starts[c] if name == "datetime" else counts[c][name]
            ),
            reverse=key.startswith("-"),
        )
    found = list(pages(url, sortby=sortby, limit=5))
    assert [c["id"] for p in found for c in p["collections"]] == [c.collection_id for c in cells]
    assert {p["numberMatched"] for p in found} == {len(cells)}
    assert [p["numberReturned"] for p in found[:-1]] == [5] * (len(found) - 1)


def test_fields(url: str) -> None:
    (first, *_) = ask(url, fields="title,extent.spatial", limit=1)["collections"]
    assert set(first) == {"type", "stac_version", "id", "title", "extent"}
    assert set(first["extent"]) == {"spatial"}
    (first, *_) = ask(url, fields="-links,-lake:counts", limit=1)["collections"]
    assert "links" not in first
    assert "lake:counts" not in first
    assert "summaries" in first


def test_pystac_client_asks_the_server(client: Client) -> None:
    """Every parameter that it has; falling back to filters of its own would be a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = client.collection_search(
            filter="s2 >= 4 AND s3 >= 6",
            bbox=[-180, -20, 180, 60],
            datetime="2021-01-01/2021-12-31",
            query={"patches": {"gte": 1}},
            q="sentinel",
            sortby="-s3",
            limit=2,
        )
        expected = ids(c for c, n in FIRSTS.items() if n["s2"] >= 4 and n["s3"] >= 6)
        assert found.matched() == len(expected)
        collections = list(found.collections())
        assert sorted(c.id for c in collections) == expected
        assert all(isinstance(c, pystac.Collection) for c in collections)
        tree = {"op": ">=", "args": [{"property": "paired"}, 1]}
        by_tree = client.collection_search(filter=tree, filter_lang="cql2-json")
        assert [c["id"] for c in by_tree.collections_as_dicts()] == ids(
            c for c, n in FIRSTS.items() if n["paired"]
        )


def test_conformance_and_queryables(url: str) -> None:
    claimed = requests.get(f"{url}/conformance", timeout=30).json()["conformsTo"]
    search = "https://api.stacspec.org/v1.0.0-rc.1/collection-search"
    assert {search, *(f"{search}#{x}" for x in ("filter", "fields", "query", "free-text"))} <= set(
        claimed
    )
    assert "http://www.opengis.net/spec/ogcapi-common-2/1.0/conf/simple-query" in claimed
    rel = "http://www.opengis.net/def/rel/ogc/1.0/queryables"
    (link,) = (link for link in ask(url)["links"] if link["rel"] == rel)
    answer = requests.get(link["href"], timeout=30)
    assert answer.headers["content-type"] == "application/schema+json"
    assert set(answer.json()["properties"]) == set(CELL_KINDS)
    assert answer.json()["$id"] == link["href"]
    assert answer.json()["properties"]["s2_complete"]["type"] == "integer"
    landing = requests.get(f"{url}/", timeout=30).json()
    assert [k["href"] for k in landing["links"] if k["rel"] == rel] == [f"{url}/queryables"]


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"filter": "s2_complet = 1"}, "did you mean 's2_complete'"),
        ({"filter": "eo:cloud_cover < 10"}, "unknown property"),
        ({"filter": "s2 >="}, "not CQL2"),
        ({"filter": "s2 > 'x'"}, "cannot be compared"),
        ({"filter": '{"s2-l2a": "eo:cloud_cover < 10"}'}, "one for all products"),
        ({"where": "s2 >= 4"}, "unknown property"),
        ({"where": "eo:cloud_cver < 10"}, "did you mean 'eo:cloud_cover'"),
        ({"accept": "s2-l2b"}, "s2-l2a"),
        ({"aligned": "true", "except": "s9"}, "s9"),
        ({"aligned": "perhaps"}, "aligned"),
        ({"sortby": "-geometry"}, "cannot sort by geometry"),
        ({"sortby": "s22"}, "did you mean"),
        ({"query": '{"s2": 4}'}, "expected an object of operators"),
        ({"query": "[4]"}, "expected an object"),
        ({"q": "a,,b"}, "words"),
        ({"bbox": "0,0,1"}, "4 or 6"),
        ({"datetime": "yesterday"}, ""),
        ({"limit": "0"}, "limit"),
        ({"filter": "TRUE", "filter-crs": "EPSG:3857"}, "CRS84"),
        ({"token": "abc"}, "token"),
        ({"token": "é"}, "token"),
    ],
)
def test_errors_are_the_callers(url: str, parameters: dict[str, str], says: str) -> None:
    answer = ask(url, 400, **parameters)
    assert set(answer) == {"code", "description"}
    assert says in answer["description"]


def test_a_token_belongs_to_its_question(url: str) -> None:
    def token(**parameters: Any) -> str:
        (link,) = (k for k in ask(url, limit=2, **parameters)["links"] if k["rel"] == "next")
        return str(re.search(r"token=([^&]+)", link["href"])[1])  # type: ignore[index]

    mine = token(sortby="-id")
    assert ask(url, sortby="-id", limit=3, token=mine)["numberReturned"] == 3
    for other in ({}, {"sortby": "id"}, {"sortby": "-id", "filter": "s2 > 0"}):
        assert "another search" in ask(url, 400, token=mine, **other)["description"]
    of_items = requests.get(f"{url}/search", params={"limit": 1}, timeout=30).json()["links"]
    (href,) = (link["href"] for link in of_items if link["rel"] == "next")
    ask(url, 400, token=re.search(r"token=([^&]+)", href)[1])  # type: ignore[index]


@pytest.mark.parametrize("sortby", ["id", "-id", "-items"])
def test_pages_are_of_one_version_while_the_lake_grows(
    tmp_path: Any, served: Callable[[Index], AbstractContextManager[str]], sortby: str
) -> None:
    index = Index(Objects.open(str(tmp_path)))
    moment = datetime(2021, 7, 7, tzinfo=UTC)

    def dem(cell: Cell) -> IndexRow:
        return IndexRow(document(Spec("dem-glo30", cell, "static", moment, {})), 1)

    index.append([dem(Cell(number)) for number in range(500_000, 500_010)])
    with served(index) as url:
        found = []
        for step, page in enumerate(pages(url, limit=3, sortby=sortby)):
            assert page["numberMatched"] == 10
            found += [one["id"] for one in page["collections"]]
            # Before, between and after what is being paged, by another writer.
            more = [Cell(n + step) for n in (400_000, 500_100, 600_000)]
            Index(Objects.open(str(tmp_path))).append([dem(cell) for cell in more])
        assert sorted(found) == [f"era5-{n:07d}" for n in range(500_000, 500_010)]
        assert ask(url)["numberMatched"] == 22
        before = Lake(index).at(0)
        assert len(list(before.client().get_collections())) == 10
        assert before.client().search().matched() == 10
        assert before.client().collection_search(q="sentinel").matched() == 10


def test_an_empty_lake_has_no_collections(
    tmp_path: Any, served: Callable[[Index], AbstractContextManager[str]]
) -> None:
    with served(Index(Objects.open(str(tmp_path)))) as url:
        for parameters in ({}, {"filter": "s2 >= 4"}, {"sortby": "-s2"}, {"bbox": "0,0,1,1"}):
            answer = ask(url, **parameters)
            assert (answer["collections"], answer["numberMatched"]) == ([], 0)
