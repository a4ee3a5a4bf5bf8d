"""CQL2 against hand-written predicates, shapely, and the cql2 library's own evaluator."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import cql2
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from lake_items import BY_ID, DATELINE_BOX, SPECS, fill
from shapely.geometry import box, shape

from stac_lake.catalog.index import Index
from stac_lake.catalog.search import Search, count, search
from stac_lake.errors import QueryError
from stac_lake.quality.filter import defined_by, not_applied, parse, properties_of
from stac_lake.recipe import products


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return fill(str(tmp_path_factory.mktemp("lake")))


def found(index: Index, text: Any) -> set[str]:
    return {item["id"] for item in search(index, Search(filter=text, limit=1000)).items}


def expected(rule: Callable[[dict[str, Any]], bool | None]) -> set[str]:
    """Ids of the specs whose facts satisfy a rule; None counts as not satisfied."""
    facts = (
        {
            "id": s.id,
            "product": s.product,
            "cell": s.cell.id,
            "slot": s.name,
            "start": s.start,
            "platform": s.platform,
            **s.properties,
        }
        for s in SPECS
    )
    return {f["id"] for f in facts if rule(f)}


def cloud(f: dict[str, Any]) -> float | None:
    return f.get("eo:cloud_cover")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


RULES: dict[str, Callable[[dict[str, Any]], bool | None]] = {
    "eo:cloud_cover < 10": lambda f: cloud(f) is not None and cloud(f) < 10,
    "10 > eo:cloud_cover": lambda f: cloud(f) is not None and cloud(f) < 10,
    "eo:cloud_cover <= 10 AND lake:valid_pct >= 95": lambda f: (
        cloud(f) is not None and cloud(f) <= 10 and f["lake:valid_pct"] >= 95
    ),
    "properties.eo:cloud_cover = 0": lambda f: cloud(f) == 0,
    # Not known is not true, and neither is its negation.
    "NOT eo:cloud_cover < 10": lambda f: cloud(f) is not None and cloud(f) >= 10,
    "eo:cloud_cover <> 80": lambda f: cloud(f) is not None and cloud(f) != 80,
    "eo:cloud_cover < 10 OR lake:product = 's1-rtc'": lambda f: (
        f["product"] == "s1-rtc" or (cloud(f) is not None and cloud(f) < 10)
    ),
    "eo:cloud_cover IS NULL": lambda f: cloud(f) is None,
    "eo:cloud_cover IS NOT NULL": lambda f: cloud(f) is not None,
    "eo:cloud_cover BETWEEN 5 AND 10": lambda f: cloud(f) is not None and 5 <= cloud(f) <= 10,
    "eo:cloud_cover NOT BETWEEN 5 AND 10": lambda f: (
        cloud(f) is not None and not 5 <= cloud(f) <= 10
    ),
    "lake:slot IN ('winter', '2021-03')": lambda f: f["slot"] in {"winter", "2021-03"},
    "lake:slot NOT IN ('winter')": lambda f: f["slot"] != "winter",
    "lake:n_orbits IN (1, 2, 12)": lambda f: f.get("lake:n_orbits") in {1, 2, 12},
    "lake:slot LIKE '2021-1%'": lambda f: f["slot"].startswith("2021-1"),
    "lake:slot LIKE '2021-_1'": lambda f: f["slot"] in {"2021-01", "2021-11"},
    "lake:slot LIKE '2021\\_01'": lambda f: False,
    "CASEI(platform) = CASEI('SENTINEL-2A')": lambda f: f["platform"] == "sentinel-2a",
    "CASEI(lake:slot) LIKE CASEI('WIN%')": lambda f: f["slot"] == "winter",
    "ACCENTI(lake:slot) = ACCENTI('wínter')": lambda f: f["slot"] == "winter",
    "lake:resampled = TRUE": lambda f: f.get("lake:resampled") is True,
    "lake:resampled": lambda f: f.get("lake:resampled") is True,
    "lake:valid_pct - eo:cloud_cover > 85": lambda f: (
        cloud(f) is not None and f["lake:valid_pct"] - cloud(f) > 85
    ),
    "lake:n_orbits % 5 = 0": lambda f: f.get("lake:n_orbits") in {5, 10},
    "lake:n_orbits div 5 = 1": lambda f: f.get("lake:n_orbits") in {5, 6, 7, 8, 9},
    "lake:n_orbits ^ 2 = 9": lambda f: f.get("lake:n_orbits") == 3,
    "A_CONTAINS(sar:polarizations, ('VH'))": lambda f: "VH" in f.get("sar:polarizations", ()),
    "A_EQUALS(sar:polarizations, ('VV'))": lambda f: f.get("sar:polarizations") == ["VV"],
    "A_CONTAINEDBY(sar:polarizations, ('VV'))": lambda f: f.get("sar:polarizations") == ["VV"],
    "A_OVERLAPS(sar:polarizations, ('VV', 'HH'))": lambda f: "sar:polarizations" in f,
    "datetime >= TIMESTAMP('2021-07-07T10:30:00Z')": lambda f: (
        f["start"] >= at("2021-07-07T10:30:00Z")
    ),
    "datetime > '2021-07-07T12:30:00+02:00'": lambda f: f["start"] > at("2021-07-07T10:30:00Z"),
    # A date is a whole day.
    "datetime = DATE('2021-07-07')": lambda f: f["start"].date().isoformat() == "2021-07-07",
    "datetime <= DATE('2021-01-05')": lambda f: f["start"] < at("2021-01-06T00:00:00Z"),
    "datetime > DATE('2021-01-05')": lambda f: f["start"] >= at("2021-01-06T00:00:00Z"),
    "T_AFTER(datetime, TIMESTAMP('2021-10-09T00:00:00Z'))": lambda f: (
        f["start"] > at("2021-10-09T00:00:00Z")
    ),
    "T_DURING(datetime, INTERVAL('2021-04-01', '2021-04-30'))": lambda f: (
        at("2021-04-01T00:00:00Z") < f["start"] < at("2021-05-01T00:00:00Z")
    ),
    "T_INTERSECTS(datetime, INTERVAL('..', '2021-01-05'))": lambda f: (
        f["start"] < at("2021-01-06T00:00:00Z")
    ),
    "T_CONTAINS(INTERVAL(start_datetime, end_datetime), TIMESTAMP('2021-03-09T00:00:00Z'))": (
        lambda f: f["slot"] == "2021-03"
    ),
    "T_MEETS(INTERVAL(start_datetime, end_datetime), TIMESTAMP('2021-02-28T23:59:59.999Z'))": (
        lambda f: f["slot"] == "2021-02"
    ),
    "grid:code = 'ERA5-0123456' AND NOT (lake:modality = 'dem')": lambda f: (
        f["cell"] == 123456 and f["product"] != "dem-glo30"
    ),
    "lake:product = 'it''s; DROP TABLE items --'": lambda f: False,
}


@pytest.mark.parametrize("text", RULES)
def test_text_and_json_agree_with_a_rule_written_by_hand(index: Index, text: str) -> None:
    wanted = expected(RULES[text])
    assert found(index, text) == wanted
    tree = cql2.parse_text(text).to_json()
    assert found(index, tree) == wanted
    assert found(index, json.dumps(tree)) == wanted


def test_the_rules_are_not_empty(index: Index) -> None:
    empty = {text for text, rule in RULES.items() if not expected(rule)}
    assert empty == {"lake:slot LIKE '2021\\_01'", "lake:product = 'it''s; DROP TABLE items --'"}


COLUMNS = ("eo:cloud_cover", "lake:valid_pct", "lake:n_orbits")
_LEAF = st.builds(
    lambda name, op, value: {"op": op, "args": [{"property": name}, value]},
    st.sampled_from(COLUMNS),
    st.sampled_from(["=", "<>", "<", "<=", ">", ">="]),
    st.sampled_from([0, 3, 5, 5.5, 10, 80, 90, 95, 100]),
)
_NULL = st.builds(lambda n: {"op": "isNull", "args": [{"property": n}]}, st.sampled_from(COLUMNS))
_TREES = st.recursive(
    _LEAF | _NULL,
    lambda inner: st.builds(
        lambda op, args: {"op": op, "args": args[:1] if op == "not" else args},
        st.sampled_from(["and", "or", "not"]),
        st.lists(inner, min_size=2, max_size=3),
    ),
    max_leaves=8,
)


def _truth(node: dict[str, Any], facts: dict[str, Any]) -> bool | None:
    """Kleene's logic, spelled out."""
    op, args = node["op"], node["args"]
    if op == "isNull":
        return facts.get(args[0]["property"]) is None
    if op in {"and", "or", "not"}:
        values = [_truth(arg, facts) for arg in args]
        if op == "not":
            return None if values[0] is None else not values[0]
        decisive = op == "or"
        return decisive if decisive in values else None if None in values else not decisive
    left, right = facts.get(args[0]["property"]), args[1]
    if left is None:
        return None
    return {
        "=": left == right,
        "<>": left != right,
        "<": left < right,
        "<=": left <= right,
        ">": left > right,
        ">=": left >= right,
    }[op]


@given(_TREES)
def test_three_valued_logic(index: Index, tree: dict[str, Any]) -> None:
    wanted = {spec.id for spec in SPECS if _truth(tree, spec.properties) is True}
    assert found(index, tree) == wanted
    assert count(index, Search(filter=tree)) == len(wanted)
    # What the filter can say nothing about returns nothing, and is named.
    silent = not_applied(parse(tree), products())
    assert not {BY_ID[item].product for item in wanted} & set(silent)


GEOMETRIES = {
    "point in a patch": shapely.Point(-95.95, 44.02),
    "a corner of the cell": box(-96.125, 43.875, -96.05, 43.95),
    "triangle whose box covers what it does not": shapely.Polygon(
        [(-97, 43), (-97, 45), (-96.06, 44)]
    ),
    "two far parts": shapely.MultiPolygon([box(83, -70, 85, -68), box(-97, 43.9, -96.02, 44.1)]),
    "nothing there": box(10, 10, 11, 11),
    "line": shapely.LineString([(-96.2, 43.95), (-95.8, 44.02)]),
}
RELATIONS = {
    "s_intersects": "intersects",
    "s_disjoint": "disjoint",
    "s_within": "within",
    "s_contains": "contains",
    "s_touches": "touches",
    "s_crosses": "crosses",
    "s_overlaps": "overlaps",
    "s_equals": "equals",
}


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("operator", RELATIONS)
def test_spatial_operators_agree_with_shapely(index: Index, operator: str, name: str) -> None:
    literal = GEOMETRIES[name]
    items = search(index, Search(limit=1000)).items
    method = RELATIONS[operator]
    wanted = {i["id"] for i in items if getattr(shape(i["geometry"]), method)(literal)}
    tree = {"op": operator, "args": [{"property": "geometry"}, shapely.geometry.mapping(literal)]}
    assert found(index, tree) == wanted
    negated = {i["id"] for i in items} - wanted
    assert found(index, {"op": "not", "args": [tree]}) == negated


def test_a_literal_on_the_left_is_the_mirror_image(index: Index) -> None:
    around = shapely.geometry.mapping(box(-98, 42, -94, 46))
    tree = {"op": "s_contains", "args": [around, {"property": "geometry"}]}
    assert found(index, tree) == expected(lambda f: f["cell"] == 772176)


@pytest.mark.parametrize(
    "literal",
    [
        {"bbox": DATELINE_BOX},
        {"bbox": [179.5, -17.5, 180.5, -16.5]},
        {
            "type": "Polygon",
            "coordinates": [
                [[179.5, -17.5], [180.5, -17.5], [180.5, -16.5], [179.5, -16.5], [179.5, -17.5]]
            ],
        },
        {"type": "Point", "coordinates": [-179.99, -17.0]},
        {"type": "Point", "coordinates": [180.01, -17.0]},
    ],
)
def test_the_antimeridian(index: Index, literal: dict[str, Any]) -> None:
    fiji = expected(lambda f: f["cell"] not in {772176, 123456})
    assert len(fiji) == 4
    tree = {"op": "s_intersects", "args": [{"property": "geometry"}, literal]}
    assert found(index, tree) == fiji


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("eo:cloud_cver < 10", "did you mean 'eo:cloud_cover'"),
        ("eo:cloud_cover < 'ten'", "a number cannot be compared with a string"),
        ("eo:cloud_cover <", "not CQL2"),
        ("", "not CQL2"),
        ("foo(eo:cloud_cover) = 1", "foo"),
        ("avg(eo:cloud_cover) > 3", "avg"),
        ("eo:cloud_cover + platform > 1", "expected a number, not platform"),
        ("datetime > TIMESTAMP('yesterday')", "'yesterday' is not a time"),
        ("S_INTERSECTS(geometry, POLYGON((0 0)))", "not a GeoJSON geometry"),
        ("S_INTERSECTS(platform, POINT(0 0))", "expected geometry"),
        ("S_INTERSECTS(geometry, BBOX(1, 2))", "4 or 6 numbers"),
        ("geometry = 'x'", "a geometry cannot be compared"),
        ("A_CONTAINS(platform, ('a'))", "expected an array of strings"),
        ("platform LIKE 3", "expected a string"),
        ("NOT " * 5000 + "lake:resampled", "at most"),
        ("NOT " * 500 + "lake:resampled", "deep"),
        ("(" * 500 + "lake:resampled" + ")" * 500, "deep"),
        ("-" * 500 + "lake:n_orbits = 1", "minus"),
        ({"op": "=", "args": [{"property": "eo:cloud_cover"}, None]}, "None is not a value"),
        ({"op": "drop", "args": []}, "drop"),
        ({"op": "and", "args": []}, "and"),
        ({"op": "not", "args": [True, False]}, "expected 1 arguments"),
        ({"op": "=", "args": [{"property": 3}, 1]}, "named by a string"),
        ({"op": "in", "args": [{"property": "platform"}, "a"]}, "expected a list"),
        ({}, "expected a condition"),
        ("{not json", "not CQL2 JSON"),
        ({"s2-l2b": "eo:cloud_cover < 10"}, "did you mean 's2-l2a'"),
        ({"s1-rtc": "eo:cloud_cover < 10"}, "it lacks: eo:cloud_cover"),
        ({"s2-l2a": 3}, "expected CQL2"),
    ],
)
def test_a_wrong_filter_says_what_is_wrong(index: Index, text: Any, says: str) -> None:
    with pytest.raises(QueryError) as caught:
        search(index, Search(filter=text))
    assert says in str(caught.value)


def test_deep_json_is_refused() -> None:
    tree: dict[str, Any] = {"op": "isNull", "args": [{"property": "platform"}]}
    for _ in range(500):
        tree = {"op": "not", "args": [tree]}
    with pytest.raises(QueryError, match="deep"):
        parse(tree)
    with pytest.raises(QueryError, match="CQL2 JSON"):
        parse('{"op": "not", "args": [' * 100_000)


def test_a_filter_per_product_leaves_others_alone(index: Index) -> None:
    page = search(index, Search(filter={"s2-l2a": "eo:cloud_cover < 10"}, limit=1000))
    wanted = expected(lambda f: f["product"] != "s2-l2a" or cloud(f) < 10)  # type: ignore[operator]
    assert {item["id"] for item in page.items} == wanted
    assert page.not_applied == ()
    as_text = json.dumps({"s2-l2a": "eo:cloud_cover < 10"})
    assert found(index, as_text) == wanted


def test_products_that_a_filter_says_nothing_about_are_named(index: Index) -> None:
    page = search(index, Search(filter="eo:cloud_cover < 10 AND lake:valid_pct >= 95"))
    assert page.not_applied == ("dem-glo30", "s1-rtc", "s5p-no2")
    # An alternative, a test for absence, and an explicit choice are not silent.
    for text in (
        "eo:cloud_cover < 10 OR lake:valid_pct > 0",
        "eo:cloud_cover IS NULL",
        "lake:product = 's2-l2a' AND eo:cloud_cover < 10",
        "lake:valid_pct > 0",
    ):
        assert search(index, Search(filter=text)).not_applied == ()
    only = search(index, Search(filter="eo:cloud_cover < 10", products=["s2-l2a", "s1-rtc"]))
    assert only.not_applied == ("s1-rtc",)


def test_properties_of_a_filter() -> None:
    tree = parse("properties.eo:cloud_cover < 10 AND S_INTERSECTS(geometry, POINT(0 0))")
    assert properties_of(tree) == {"eo:cloud_cover", "geometry"}
    assert "eo:cloud_cover" in defined_by("s2-l2a")
    assert "eo:cloud_cover" not in defined_by("s3-olci-efr")


def test_nothing_but_names_reaches_the_statement(index: Index, tmp_path: Path) -> None:
    hostile = ['"', "'; DROP VIEW items; --", "\\", "%", "$p0", "{a}", "?"]
    for text in hostile:
        for op, argument in (("=", text), ("in", [text]), ("like", text.replace("\\", "\\\\"))):
            tree = {"op": op, "args": [{"property": "lake:slot"}, argument]}
            wanted = expected(lambda f: True) if (op, text) == ("like", "%") else set()
            assert found(index, tree) == wanted
        with pytest.raises(QueryError, match="unknown property"):
            parse({"op": "=", "args": [{"property": text}, 1]})
