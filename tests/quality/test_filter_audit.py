"""Every operator of CQL2, as JSON and as text, against plain Python over every document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
import shapely
from brute_force import ARRAYS, COMPARE, SPATIAL, TEMPORAL, geojson, text, truth
from hypothesis import find, given, settings
from hypothesis import strategies as st
from lake_items import SPECS, fill
from shapely.geometry import box

from stac_lake.catalog.index import Index
from stac_lake.catalog.search import Search, search
from stac_lake.errors import QueryError
from stac_lake.quality.filter import KINDS

FEW = settings().max_examples // 3
"""Examples per operator: of all of them there are many, and each is a query or two."""

NUMBERS = [name for name, kind in KINDS.items() if kind in {"number", "integer"}]
STRINGS = [name for name, kind in KINDS.items() if kind == "string"]
TIMES = ["datetime", "start_datetime", "end_datetime", "created"]
ARRAY = ["sar:polarizations", "instruments"]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return fill(str(tmp_path_factory.mktemp("lake")))


@pytest.fixture(scope="module")
def documents(index: Index) -> list[dict[str, Any]]:
    found = search(index, Search(limit=1000)).items
    assert len(found) == len(SPECS)
    return found


def same(index: Index, documents: list[dict[str, Any]], tree: Any) -> set[str]:
    """The ids that a condition finds, which every form of it must."""
    wanted = {item["id"] for item in documents if truth(tree, item) is True}
    for form in (tree, text(tree)):
        page = search(index, Search(filter=form, limit=1000))
        assert {item["id"] for item in page.items} == wanted, form
        assert page.matched == len(wanted)
    return wanted


def op(name: str, *args: Any) -> dict[str, Any]:
    return {"op": name, "args": list(args)}


def prop(names: list[str]) -> st.SearchStrategy[Any]:
    # Names that the lake's items have, more often than names that they lack.
    common = [n for n in names if n in USED] or names
    return st.sampled_from([*common, *common, *names]).map(lambda name: {"property": name})


USED = {
    "eo:cloud_cover", "lake:valid_pct", "lake:n_orbits", "lake:snow_pct", "gsd", "proj:epsg",
    "lake:slot", "platform", "lake:product", "lake:patch", "sat:orbit_state", "id", "collection",
    "datetime", "start_datetime", "end_datetime", "sar:polarizations", "lake:dn_offset",
}  # fmt: skip
NUMBER = st.sampled_from([0, 1, 2, 3, 5, 5.5, 10, 80, 90, 95.0, 100, -1, 1000, 4326, 12])
STRING = st.sampled_from(
    ["winter", "summer", "2021-03", "WINTER", "sentinel-2a", "s2-l2a", "era5-0772176", "wínter",
     "ascending", "", "it's", "x", SPECS[0].id]
)  # fmt: skip
PATTERN = st.sampled_from(
    ["win%", "%er", "2021-1_", "%", "_", "", "2021-0%", r"2021\-01", r"2021\_01", r"\%", "%'%",
     "sentinel-2_", "%2021%", "W%"]
)  # fmt: skip
MOMENT = st.sampled_from(
    ["2021-01-05T10:30:00Z", "2021-07-07T10:30:00Z", "2021-03-01T00:00:00Z", "2020-01-01T00:00:00Z",
     "2021-03-31T23:59:59.999Z", "2021-07-07T12:30:00+02:00", "2021-12-31T23:59:59.999Z"]
).map(lambda moment: {"timestamp": moment})  # fmt: skip
DATE = st.sampled_from(["2021-01-05", "2021-03-01", "2021-07-07", "2021-12-31"]).map(
    lambda date: {"date": date}
)

_arithmetic = st.recursive(
    prop(NUMBERS) | NUMBER,
    lambda inner: st.builds(op, st.sampled_from(["+", "-", "*", "/", "%", "div"]), inner, inner),
    max_leaves=4,
)
_power = st.builds(op, st.just("^"), prop(NUMBERS), st.sampled_from([2, 3, 0.5, 0, 1]))
_string = st.recursive(
    prop(STRINGS) | STRING,
    lambda inner: st.builds(op, st.sampled_from(["casei", "accenti"]), inner),
    max_leaves=2,
)
_interval = st.builds(
    lambda start, end: {"interval": [start, end]},
    prop(["start_datetime"]) | MOMENT.map(lambda node: node["timestamp"]) | st.just(".."),
    prop(["end_datetime"]) | MOMENT.map(lambda node: node["timestamp"]) | st.just(".."),
)
_instant = prop(TIMES) | MOMENT | DATE
_array = prop(ARRAY) | st.lists(st.sampled_from(["VV", "VH", "HH", "msi"]), min_size=1, max_size=3)
_compare = st.sampled_from(list(COMPARE))
AREAS = [
    shapely.Point(-95.95, 44.02),
    box(-96.125, 43.875, -96.05, 43.95),
    shapely.Polygon([(-97, 43), (-97, 45), (-96.06, 44)]),
    box(-98, 42, -94, 46),
    shapely.LineString([(-96.2, 43.95), (-95.8, 44.02)]),
    shapely.MultiPolygon([box(83, -70, 85, -68), box(-97, 43.9, -96.02, 44.1)]),
    box(179.5, -18, 180, -16),
]
_area = st.sampled_from([geojson(area) for area in AREAS] + [{"bbox": [-97, 43, -96, 44]}])

LEAVES = {
    "numbers": st.builds(op, _compare, _arithmetic, _arithmetic),
    "power": st.builds(op, _compare, _power, NUMBER),
    "strings": st.builds(op, _compare, _string, _string),
    "like": st.builds(op, st.just("like"), _string, PATTERN),
    "like without case": st.builds(
        op, st.just("like"), _string.map(lambda s: op("casei", s)), PATTERN.map(str.lower)
    ),
    "between": st.builds(op, st.just("between"), _arithmetic, NUMBER, NUMBER),
    "in numbers": st.builds(op, st.just("in"), prop(NUMBERS), st.lists(NUMBER, min_size=1)),
    "in strings": st.builds(op, st.just("in"), _string, st.lists(STRING, min_size=1)),
    "null": st.builds(op, st.just("isNull"), prop(list(KINDS))),
    "booleans": st.builds(op, st.sampled_from(["=", "<>"]), prop(["lake:resampled"]), st.booleans())
    | st.just({"property": "lake:resampled"})
    | st.booleans(),
    "moments": st.builds(op, _compare, prop(TIMES), prop(TIMES) | MOMENT)
    | st.builds(op, _compare, MOMENT, prop(TIMES)),
    "arrays": st.builds(op, st.sampled_from(list(ARRAYS)), prop(ARRAY), _array)
    | st.builds(op, st.sampled_from(list(ARRAYS)), _array, prop(ARRAY)),
    "temporal": st.builds(
        op, st.sampled_from(list(TEMPORAL)), _interval | _instant, _interval | _instant
    ),
    "spatial": st.builds(
        op, st.sampled_from(list(SPATIAL)), st.just({"property": "geometry"}), _area
    )
    | st.builds(op, st.sampled_from(list(SPATIAL)), _area, st.just({"property": "geometry"})),
}


@pytest.mark.parametrize("kind", LEAVES)
def test_one_operator(index: Index, documents: list[dict[str, Any]], kind: str) -> None:
    @settings(max_examples=FEW)
    @given(LEAVES[kind])
    def check(tree: Any) -> None:
        same(index, documents, tree)

    check()

    def tells_apart(tree: Any) -> bool:
        return len({truth(tree, item) is True for item in documents}) == 2

    # However few examples there are, one of them finds some documents and not all.
    assert same(index, documents, find(LEAVES[kind], tells_apart))


TREES = st.recursive(
    st.one_of(*LEAVES.values()),
    lambda inner: st.builds(
        lambda name, parts: op(name, *(parts[:1] if name == "not" else parts)),
        st.sampled_from(["and", "or", "not"]),
        st.lists(inner, min_size=2, max_size=3),
    ),
    max_leaves=6,
)


def test_all_together(index: Index, documents: list[dict[str, Any]]) -> None:
    @given(TREES)
    def check(tree: Any) -> None:
        same(index, documents, tree)

    check()


DATES = {
    "=": lambda day, it: day == it,
    "<>": lambda day, it: day != it,
    "<": lambda day, it: day < it,
    "<=": lambda day, it: day <= it,
    ">": lambda day, it: day > it,
    ">=": lambda day, it: day >= it,
}


@pytest.mark.parametrize("name", DATES)
@pytest.mark.parametrize("swapped", [False, True])
def test_a_date_is_a_whole_day(
    index: Index, documents: list[dict[str, Any]], name: str, *, swapped: bool
) -> None:
    day = "2021-07-07"
    args = [{"property": "datetime"}, {"date": day}]
    tree = op(name, *(reversed(args) if swapped else args))
    wanted = set()
    for item in documents:
        own = (item["properties"]["datetime"] or item["properties"]["start_datetime"])[:10]
        if DATES[name](*((day, own) if swapped else (own, day))):
            wanted.add(item["id"])
    for form in (tree, text(tree)):
        assert {i["id"] for i in search(index, Search(filter=form, limit=99)).items} == wanted
    assert 0 < len(wanted) < len(documents)


def test_what_is_divided_by_zero_is_unknown(index: Index) -> None:
    for tree in (
        op(">", op("/", {"property": "eo:cloud_cover"}, 0), 1),
        op("=", op("%", {"property": "lake:n_orbits"}, 0), 1),
        op(">", op("div", {"property": "lake:n_orbits"}, 0), 1),
        op(">", op("^", op("-", 0, {"property": "lake:n_orbits"}), 0.5), 0),
    ):
        assert search(index, Search(filter=tree)).matched == 0
        assert search(index, Search(filter=op("not", tree))).matched == 0


@pytest.mark.parametrize(
    "tree",
    [
        op("<", {"property": "eo:cloud_cover"}, 10**400),
        op("<", {"property": "eo:cloud_cover"}, float("nan")),
        op("<", {"property": "eo:cloud_cover"}, float("inf")),
        op("=", {"property": "lake:slot"}, "\ud800"),
        op("in", {"property": "lake:slot"}, ["a", "\udfff"]),
        op("like", {"property": "lake:slot"}, "\ud800%"),
        op("a_contains", {"property": "sar:polarizations"}, ["\ud800"]),
        op(
            "s_intersects", {"property": "geometry"}, {"type": "Point", "coordinates": [10**400, 0]}
        ),
        op("s_intersects", {"property": "geometry"}, {"type": "Point", "coordinates": None}),
        op("s_intersects", {"property": "geometry"}, {"bbox": [10**400, 0, 1, 1]}),
        op("s_intersects", {"property": "geometry"}, {"bbox": [float("nan")] * 4}),
        op("t_during", {"property": "datetime"}, {"interval": [1, 2]}),
        op("t_during", {"property": "datetime"}, {"interval": [["a"], ".."]}),
        op("t_after", {"property": "datetime"}, None),
        op("t_after", {"property": "datetime"}, 5),
        op("t_after", {"property": "datetime"}, [1]),
        op("=", {"op": "casei"}, "a"),
        op("=", {"op": {}, "args": []}, "a"),
        op("in", {"property": "lake:slot"}, [["a"]]),
        {"op": "and", "args": "abc"},
        [],
        3,
    ],
)
def test_json_that_no_parser_would_write_is_refused(index: Index, tree: Any) -> None:
    with pytest.raises(QueryError):
        search(index, Search(filter=tree))


def test_long_lists_are_answered(index: Index) -> None:
    many = [f"x{number}" for number in range(3000)]
    assert search(
        index, Search(filter=op("in", {"property": "lake:slot"}, [*many, "winter"]))
    ).matched
    parts = [op(">", {"property": "lake:valid_pct"}, -number) for number in range(3000)]
    assert search(index, Search(filter=op("and", *parts))).matched == len(SPECS)


HOSTILE = [
    "'", '"', "'; DROP VIEW items; --", '"; DROP TABLE series; --', "x' OR '1'='1", "/*", "--",
    "\\", "\\'", "$p0", "$1", "?", "{0}", "%s", "read_text('/etc/passwd')", ";", "\0",
    "(SELECT content FROM read_text('/etc/passwd'))", "COPY items TO '/tmp/x'", "ATTACH '/tmp/x'",
    "PRAGMA database_list", "INSTALL httpfs", "getenv('HOME')", "items", "filename", "item",
    "file_row_number", "rowid", "*", "NULL", "lake:slot\" = '' OR \"lake:slot",
]  # fmt: skip


@pytest.mark.parametrize("hostile", HOSTILE)
def test_nothing_that_is_sent_becomes_sql(index: Index, hostile: str) -> None:
    """As a value it is compared; as a name it is unknown, whatever it says."""
    slot = {"property": "lake:slot"}
    for tree in (
        op("=", slot, hostile),
        op("in", slot, [hostile]),
        op("=", op("casei", slot), op("accenti", hostile)),
        op("a_overlaps", {"property": "sar:polarizations"}, [hostile]),
        op("like", slot, hostile.replace("\\", "\\\\").replace("%", "\\%")),
    ):
        assert search(index, Search(filter=tree)).matched == 0
    below = search(index, Search(filter=op("<", slot, hostile))).matched
    assert below == sum(s.name < hostile for s in SPECS)
    for wanted in (
        Search(ids=[hostile]),
        Search(collections=[hostile]),
        Search(products=[hostile]),
    ):
        assert search(index, wanted).matched == 0
    for bad in (
        Search(filter=op("=", {"property": hostile}, 1)),
        Search(filter=op("isNull", {"property": hostile})),
        Search(filter=op("s_intersects", {"property": hostile}, {"bbox": [0, 0, 1, 1]})),
        Search(filter=op(hostile, slot, "a")),
        Search(filter=op("=", op(hostile, slot, "a"), "a")),
        Search(filter={"function": {"name": hostile, "args": []}}),
        Search(sortby=[hostile]),
        Search(sortby=[f"-{hostile}"]),
        Search(token=hostile),
        Search(datetime=hostile),
        Search(filter=op("t_after", {"property": "datetime"}, {"timestamp": hostile})),
        Search(filter=op("s_intersects", {"property": "geometry"}, {"type": hostile})),
    ):
        with pytest.raises(QueryError):
            search(index, bad)
    assert search(index, Search()).matched == len(SPECS)


@pytest.mark.parametrize(
    "text_of_filter",
    [
        "read_text('/etc/passwd') = 'x'",
        "lake:slot = read_text('/etc/passwd')",
        "lake:slot = (SELECT content FROM read_text('/etc/passwd'))",
        "lake:slot = 'a'; COPY items TO '/tmp/x'",
        "lake:slot = 'a' UNION SELECT 1",
        "getenv('HOME') = 'x'",
        "sniff_csv('/etc/passwd') = 1",
        "glob('/etc/*') = 'x'",
        "\"filename\" = 'x'",
        "\"item\" LIKE '%'",
        '"lake:slot"" OR 1=1 --" = 1',
        "lake:slot = 'a' -- comment\n OR TRUE",
        "ATTACH '/tmp/x.db'",
        "PRAGMA database_list",
    ],
)
def test_functions_and_statements_in_text_are_refused(index: Index, text_of_filter: str) -> None:
    with pytest.raises(QueryError):
        search(index, Search(filter=text_of_filter))


STATEMENTS = [
    "SELECT * FROM read_text('{file}')",
    "SELECT * FROM read_csv('{file}')",
    "SELECT * FROM read_blob('{file}')",
    "SELECT * FROM read_parquet('{file}')",
    "SELECT * FROM '{file}'",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT * FROM read_text('{lake}/index/../../{name}')",
    "COPY (SELECT 1) TO '{folder}/written'",
    "ATTACH '{folder}/attached.db'",
    "EXPORT DATABASE '{folder}/exported'",
    "INSTALL spatial",
    "LOAD '{folder}/x.duckdb_extension'",
    "SET enable_external_access = true",
    "SET allowed_directories = ['/']",
    "SET autoinstall_known_extensions = true",
    "PRAGMA enable_external_access = true",
    "RESET lock_configuration",
    "CREATE SECRET (TYPE s3)",
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_even_sql_could_not_leave_the_lake(index: Index, tmp_path: Path, statement: str) -> None:
    """If a statement got through all the same: the connection itself is shut."""
    outside = tmp_path / "outside.txt"
    outside.write_text("a,b\n1,2\n")
    lake = Path(index.objects.url)
    sql = statement.format(
        file=outside, folder=tmp_path, lake=lake, name=outside.relative_to(lake.parent)
        if outside.is_relative_to(lake.parent) else f"..{outside}",
    )  # fmt: skip
    with pytest.raises(duckdb.Error):
        index.connection().execute(sql).fetchall()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside.txt"]


def test_no_extension_is_loaded_from_anywhere(
    index: Index, documents: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every operator runs on what the wheel links, with nowhere to get anything else from."""
    monkeypatch.setenv("HOME", str(tmp_path))
    fresh = Index(index.objects)
    slot, cloud, when = ({"property": n} for n in ("lake:slot", "eo:cloud_cover", "datetime"))
    place, waves = {"property": "geometry"}, {"property": "sar:polarizations"}
    trees = [
        *(op(name, cloud, 10) for name in COMPARE),
        *(op(name, when, {"timestamp": "2021-07-07T10:30:00Z"}) for name in COMPARE),
        *(op(name, when, {"interval": ["2021-01-01T00:00:00Z", ".."]}) for name in TEMPORAL),
        *(op(name, place, {"bbox": [-97, 43, -96, 44]}) for name in SPATIAL),
        *(op(name, waves, ["VV"]) for name in ARRAYS),
        *(op("<", op(name, cloud, 2), 9) for name in ("+", "-", "*", "/", "%", "div", "^")),
        op("like", op("casei", op("accenti", slot)), "win%"),
        op("in", slot, ["winter"]),
        op("between", cloud, 1, 50),
        op("isNull", cloud),
    ]
    for tree in trees:
        wanted = {item["id"] for item in documents if truth(tree, item) is True}
        found = search(fresh, Search(filter=tree, limit=1000, sortby=["-datetime", "platform"]))
        assert {item["id"] for item in found.items} == wanted
    set_to = fresh.connection().execute(
        "SELECT current_setting('autoinstall_known_extensions'), "
        "current_setting('autoload_known_extensions'), current_setting('enable_external_access')"
    ).fetchone()  # fmt: skip
    assert set_to == (False, False, False)
    assert not list(tmp_path.iterdir())
