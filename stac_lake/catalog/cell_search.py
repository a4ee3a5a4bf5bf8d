"""Which cells have what: union, aligned, complete series, by counts of slots out of the index.

Counting is by slot, never by file: four patches on one date are no series, and a slot that two
products have both filled counts once. What is counted is the recipe's first product of each
modality, and whatever else the caller accepts in its place, so that nobody takes L2A for L1C
unawares.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import shapely

from stac_lake.catalog.cells import moment_of
from stac_lake.catalog.search import cursor_with, place_and_time
from stac_lake.grid import COLUMNS, Cell
from stac_lake.quality.filter import CELL_KINDS, Filter, not_applied, parse
from stac_lake.quality.sql import Bindings, condition
from stac_lake.recipe import MODALITIES, Recipe, known, product
from stac_lake.recipe import recipe as load_recipe

if TYPE_CHECKING:
    import duckdb

    from stac_lake.catalog.index import Index

_LOCK = threading.Lock()


@dataclass(frozen=True)
class CellSearch:
    """What is asked for; all conditions must hold.

    Attributes:
        aligned: Only cells that have every modality of the recipe, `without` aside; else any item
            that counts will do.
        accept: Products that count beside the recipe's first of their modality.
        without: Modalities that an aligned cell may lack.
        having: CQL2 over counts of the cell (`quality.filter.CELL_KINDS`).
        where: CQL2 over items: only those that match are counted.
        ids: Collection ids; None asks for all.
        bbox: 4 or 6 numbers in degrees; west > east crosses the antimeridian.
        datetime: RFC 3339 moment or closed interval that the cell's items must overlap.
        recipe: Id or path: which product of a modality counts, and how long its series is.
        after: Cells up to this id are left out.
        limit: How many at most.
        version: Of the index; None is the newest.
    """

    aligned: bool = False
    accept: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    having: Filter | None = None
    where: Filter | None = None
    ids: Sequence[str] | None = None
    bbox: Sequence[float] | None = None
    datetime: str | None = None
    recipe: str = "copernicus-pretrain"
    after: int = -1
    limit: int | None = None
    version: int | None = None


@dataclass(frozen=True)
class CellCount:
    """What one cell holds of the products that count.

    Attributes:
        cell: The cell.
        items: Items.
        slots: Modality → slots that are filled; for patches, of the patch that has most.
        patches: Patches that have any item.
        complete: Modality → series that are complete: patches, or 1 for the cell itself.
        paired: Patches whose Sentinel-1 and Sentinel-2 series are both complete.
        start: First moment of the items.
        end: Last moment.
    """

    cell: Cell
    items: int
    slots: dict[str, int]
    patches: int
    complete: dict[str, int]
    paired: int
    start: datetime
    end: datetime


@dataclass(frozen=True)
class CellAnswer:
    """The answer to a `CellSearch`.

    Attributes:
        cells: In order of id.
        not_counted: Products that the lake has, but that were not accepted.
        not_applied: Products of which nothing was counted because they lack a property that
            `where` asks for.
    """

    cells: list[CellCount]
    not_counted: tuple[str, ...]
    not_applied: tuple[str, ...]


def search_cells(index: Index, wanted: CellSearch) -> CellAnswer:
    """Count slots by cell, and keep the cells that are as asked.

    Raises:
        QueryError: a filter, a box or a time is not valid.
        ConfigError: there is no such product, modality or recipe.
    """
    wanted = _pinned(index, wanted)
    bindings = Bindings()
    have = _products(index, wanted)
    head, tail = _statement(wanted, have, bindings)
    columns = [name for name in CELL_KINDS if CELL_KINDS[name] == "integer"]
    names = ", ".join(f'"{name}"' for name in columns)
    order = "ORDER BY cell" + ("" if wanted.limit is None else f" LIMIT {int(wanted.limit)}")
    times = "epoch_us(time) AS begin, epoch_us(time_end) AS until"
    sql = f"{head} SELECT cell, {times}, {names} {tail} {order}"
    with _cursor(index, wanted, bindings) as cursor:
        # Columns as a whole are handed over in a third of the time that rows take.
        found = cursor.execute(sql, bindings.used_in(sql)).fetchnumpy()
    rows = zip(
        *(found[name].tolist() for name in ("cell", "begin", "until", *columns)), strict=True
    )
    counted = set(_counted(wanted))
    tree = None if wanted.where is None else parse(wanted.where)
    return CellAnswer(
        [_count(row, columns) for row in rows],
        tuple(sorted(have - counted)),
        () if tree is None else not_applied(tree, have & counted),
    )


def count_cells(index: Index, wanted: CellSearch) -> int:
    """How many cells are as asked; `after` and `limit` are ignored.

    Raises:
        QueryError, ConfigError: as `search_cells`.
    """
    bindings = Bindings()
    everything = _pinned(index, replace(wanted, after=-1))
    head, tail = _statement(everything, _products(index, everything), bindings)
    sql = f"{head} SELECT count(*) {tail}"
    with _cursor(index, everything, bindings) as cursor:
        ((found,),) = cursor.execute(sql, bindings.used_in(sql)).fetchall()
    return int(found)


@contextmanager
def _cursor(
    index: Index, wanted: CellSearch, bindings: Bindings
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A cursor that has the spatial tests and the tables of cells."""
    with cursor_with(index, wanted.version, bindings) as cursor:
        _prepare(cursor, spatial=bool(bindings.tests))
        yield cursor


def _pinned(index: Index, wanted: CellSearch) -> CellSearch:
    """The search on one version of the index, so that all its statements see the same."""
    return replace(wanted, version=index.version) if wanted.version is None else wanted


def _products(index: Index, wanted: CellSearch) -> set[str]:
    """Products that the asked version of the lake has."""
    rows = index.connection(wanted.version).execute("SELECT product FROM products").fetchall()
    return {row[0] for row in rows}


def _statement(wanted: CellSearch, have: set[str], bindings: Bindings) -> tuple[str, str]:
    """WITH clause that makes the relation `cells`, and FROM with its conditions."""
    series = "series"
    if wanted.where is not None:
        series = f"({_series(condition(parse(wanted.where), bindings))})"
    names = _counted(wanted)
    counted = ", ".join(bindings.bind(name) for name in names)
    modalities = [product(name).modality for name in names if name in have]
    # Where no two products share a modality, no slot can be filled twice, which saves most of the
    # work: to take the lists of slots apart and together again.
    modal = _ALONE if len(set(modalities)) == len(modalities) else _SHARED
    lengths = series_lengths(_recipe(wanted.recipe))
    parts = place_and_time(wanted.bbox, wanted.datetime, bindings)
    if wanted.aligned:
        for name in wanted.without:
            known(name, lengths, "modality of the recipe")
        parts += [f'"{name}" > 0' for name in lengths if name not in wanted.without]
    if wanted.ids is not None:
        ids = ", ".join(bindings.bind(one) for one in wanted.ids)
        parts.append(f"id IN ({ids})" if ids else "FALSE")
    if wanted.after >= 0:
        parts.append(f"cell > {bindings.bind(wanted.after)}")
    if wanted.having is not None:
        parts.append(condition(parse(wanted.having, CELL_KINDS), bindings))
    geometry = "shapes.geometry" if bindings.tests else "NULL"
    join = "LEFT JOIN shapes USING (cell)" if bindings.tests else ""
    head = _CELLS.format(
        modal=modal.format(series=series, counted=counted),
        lengths=" ".join(f"WHEN '{m}' THEN {int(n)}" for m, n in lengths.items()),
        slots=", ".join(
            f"coalesce(max(n) FILTER (modality = '{m}'), 0)::INTEGER AS \"{m}\", "
            f"count(*) FILTER (modality = '{m}' AND done)::INTEGER AS \"{m}_complete\""
            for m in MODALITIES
        ),
        geometry=geometry,
        join=join,
    )
    return head, f"FROM cells WHERE {' AND '.join(parts) or 'TRUE'}"


def _series(where: str) -> str:
    """Slots, items and times by cell, product and patch, of the items that match."""
    # In two steps, since a list of distinct slots of many groups takes longer.
    return (
        "SELECT cell, product, modality, patch, list(slot) AS slots, "
        "count(*)::INTEGER AS n, sum(items)::INTEGER AS items, min(time) AS time, "
        "max(time_end) AS time_end FROM ("
        'SELECT cell, "lake:product" AS product, "lake:modality" AS modality, '
        '"lake:patch" AS patch, "lake:slot" AS slot, count(*) AS items, min(time) AS time, '
        f"max(time_end) AS time_end FROM places WHERE {where} GROUP BY ALL) GROUP BY ALL"
    )


_ALONE = (
    "SELECT cell, modality, patch, n, items, time, time_end FROM {series} "
    "WHERE product IN ({counted})"
)
# A slot that two accepted products have both filled counts once.
_SHARED = (
    "SELECT cell, modality, patch, len(list_distinct(flatten(list(slots)))) AS n, "
    "sum(items) AS items, min(time) AS time, max(time_end) AS time_end "
    "FROM {series} WHERE product IN ({counted}) GROUP BY ALL"
)

# West is above east where the box of a cell crosses the antimeridian, as in the boxes of items.
_CELLS = f"""
WITH modal AS ({{modal}}),
measured AS (
    SELECT *, coalesce(n >= CASE modality {{lengths}} END, false) AS done FROM modal
),
pairs AS (
    SELECT cell, count(*)::INTEGER AS patches, count(*) FILTER (whole)::INTEGER AS paired
    FROM (SELECT cell, patch, bool_or(done AND modality = 's1') AND
            bool_or(done AND modality = 's2') AS whole
        FROM measured WHERE patch IS NOT NULL GROUP BY ALL)
    GROUP BY cell),
counted AS (
    SELECT cell, sum(items)::INTEGER AS items, min(time) AS time, max(time_end) AS time_end,
        {{slots}}
    FROM measured GROUP BY cell),
placed AS (
    SELECT *, 'era5-' || lpad(cell::VARCHAR, 7, '0') AS id,
        -180 + 0.25 * (cell % {COLUMNS}) AS lon, -90 + 0.25 * (cell // {COLUMNS}) AS lat
    FROM counted),
cells AS (
    SELECT placed.*, coalesce(patches, 0) AS patches, coalesce(paired, 0) AS paired,
        {{geometry}} AS geometry,
        {{{{'xmin': (CASE WHEN lon < -179.9 THEN lon + 360 ELSE lon END - 0.125)::DOUBLE,
          'ymin': greatest(lat - 0.125, -90)::DOUBLE,
          'xmax': (lon + 0.125)::DOUBLE, 'ymax': least(lat + 0.125, 90)::DOUBLE}}}} AS bbox
    FROM placed LEFT JOIN pairs USING (cell) {{join}})
"""


def _recipe(name: str) -> Recipe:
    # Those that come with the package do not change while a program runs; to read one takes longer
    # than the query.
    return load_recipe(name) if name.endswith((".yaml", ".yml")) else _bundled(name)


@lru_cache
def _bundled(name: str) -> Recipe:
    return load_recipe(name)


def series_lengths(recipe: Recipe) -> dict[str, int]:
    """Modality → how many slots a complete series has."""
    lengths = {}
    for series in recipe.series:
        leader = recipe.leader(series)
        bins = leader.daylight_bins
        lengths[series.modality] = bins.count if bins else len(leader.windows)
    return lengths


def _counted(wanted: CellSearch) -> list[str]:
    """Products whose items count: the recipe's first of each modality, and the accepted ones."""
    for name in wanted.accept:
        product(name)
    firsts = [series.products[0] for series in _recipe(wanted.recipe).series]
    return list(dict.fromkeys([*firsts, *wanted.accept]))


def _prepare(cursor: duckdb.DuckDBPyConnection, *, spatial: bool) -> None:
    """Make the tables that a version of the index keeps for questions about cells."""
    with _LOCK:
        cursor.execute(f"CREATE TABLE IF NOT EXISTS series AS {_series('TRUE')}")
        if (
            spatial
            and not cursor.execute(
                "SELECT 1 FROM duckdb_tables() WHERE table_name = 'shapes'"
            ).fetchall()
        ):
            cells = cursor.execute("SELECT DISTINCT cell FROM series").fetchall()
            cursor.register("_shapes", _shapes([row[0] for row in cells]))
            cursor.execute("CREATE TABLE shapes AS SELECT * FROM _shapes")
            cursor.unregister("_shapes")


def _shapes(cells: Sequence[int]) -> pa.Table:
    """Footprints of cells as WKB, split at the antimeridian."""
    ids = np.asarray(cells, np.int32)
    lon, lat = -180 + 0.25 * (ids % COLUMNS), -90 + 0.25 * (ids // COLUMNS)
    south, north = np.maximum(lat - 0.125, -90), np.minimum(lat + 0.125, 90)
    boxes = shapely.box(lon - 0.125, south, lon + 0.125, north)
    for place in np.flatnonzero(ids % COLUMNS == 0):
        boxes[place] = shapely.geometry.shape(Cell(int(ids[place])).footprint)
    return pa.table({"cell": ids, "geometry": pa.array(shapely.to_wkb(boxes), pa.binary())})


def _count(row: Sequence[Any], columns: Sequence[str]) -> CellCount:
    cell, start, end, *values = row
    numbers = dict(zip(columns, values, strict=True))
    return CellCount(
        Cell(cell),
        numbers["items"],
        {name: numbers[name] for name in MODALITIES},
        numbers["patches"],
        {name: numbers[done] for name, done in _COMPLETE},
        numbers["paired"],
        moment_of(start),
        moment_of(end),
    )


_COMPLETE = [(name, f"{name}_complete") for name in MODALITIES]
