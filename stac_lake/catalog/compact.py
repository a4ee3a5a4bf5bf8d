"""Fewer, larger data files: what many small commits leave, sorted together.

Every row is kept, superseded versions and tombstones as well, so that nothing that was an answer
changes; the files that were replaced stay where they are for older versions of the index, until
garbage collection. Compaction takes files out of the log and puts others in, and appending is
blind: both may go on at the same time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.parquet as pq

from stac_lake.catalog.datafiles import MAX_ROWS
from stac_lake.catalog.index import Index
from stac_lake.catalog.rows import SCHEMA, sort_table

SMALL_ROWS = MAX_ROWS // 2
"""Files from here on are left alone: another pass would copy much for little."""

MANY = 32
"""Small files from which on a harvest compacts at its end; a query opens each of them."""


def is_scattered(index: Index) -> bool:
    """Whether the newest version has so many small files that compaction is worth it."""
    return sum(rows < SMALL_ROWS for rows in index.log.files().values()) > MANY


def compact(index: Index) -> int:
    """Merge small data files; returns how many were replaced.

    One commit for each file that is written: an interruption loses nothing, and memory holds the
    rows of one file at a time, twice.

    Raises:
        CommitConflict: another compaction was faster; run it again.
        StoreUnavailable.
    """
    replaced = 0
    for names in _groups(index.log.files()):
        merged = _merged(index.data.paths(names))
        index.log.commit([index.data.put(merged)], "compact", names)
        replaced += len(names)
    return replaced


def _groups(files: Mapping[str, int]) -> Iterator[list[str]]:
    """Small files in the order of their names, which is that of time, as many as fit into one."""
    group: list[str] = []
    total = 0
    for name, rows in files.items():
        if rows >= SMALL_ROWS:
            continue
        if group and total + rows > MAX_ROWS:
            yield group
            group, total = [], 0
        group.append(name)
        total += rows
    if len(group) > 1:
        yield group


def _merged(paths: list[str]) -> pa.Table:
    """Rows of some files, each version of an item once, in the order of the index."""
    tables = [pq.read_table(path) for path in paths]
    # Files of an older release lack the columns that were added since.
    known = [_with_columns(table) for table in tables]
    return sort_table(pa.concat_tables(known))


def _with_columns(table: pa.Table) -> pa.Table:
    columns = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else pa.nulls(len(table), field.type)
        for field in SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)
