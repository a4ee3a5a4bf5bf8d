"""One version of the index as DuckDB sees it, on disk at first, in memory once it is worth it.

All columns but the documents take about 200 bytes an item in memory, compressed, and are searched
several times as fast there as in the data files, of whose columns most time goes into finding them.
A program that asks once or twice does not wait for that; one that goes on asking gets it meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from stac_lake.catalog.rows import SCHEMA

LOAD_AFTER = 10
"""Times that a version is asked for before its rows are loaded."""

LOAD_ROWS = range(10_000, 20_000_001)
"""How many rows are loaded: fewer are as fast on disk, more would not fit into 4 GB."""

# Conditions are tested in the order of columns: what is quick to unpack and leaves few rows first.
_FIRST = 'cell, bbox, "time", time_end, "eo:cloud_cover", "lake:valid_pct", "lake:product"'


class Database:
    """An in-memory database with the views of one version, that can read its data files only.

    Args:
        files: Local path of each data file, with its rows.
        folder: Where they are.
    """

    def __init__(self, files: Mapping[str, int], folder: Path) -> None:
        self._files = files
        self._asked = 0
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._loaded = False
        self._database = duckdb.connect(":memory:")
        self._configure(folder)
        self._define()
        self._run("SET lock_configuration = true")

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A cursor; a version that is asked for often is loaded in the background."""
        with self._lock:
            self._asked += 1
            due = self._asked == LOAD_AFTER
        if due and sum(self._files.values()) in LOAD_ROWS:
            threading.Thread(target=self.load, name="stac-lake-index").start()
        return self._database.cursor()

    def load(self) -> None:
        """Bring all columns but the documents into memory; returns when they are there.

        File by file, so that no more than one is there uncompressed.
        """
        with self._loading, self._database.cursor() as cursor:
            if self._loaded:
                return
            cursor.execute(
                "CREATE OR REPLACE TABLE resident.places AS "
                f"SELECT {_FIRST}, * EXCLUDE ({_FIRST}) FROM places LIMIT 0"
            )
            for path in self._files:
                if not threading.main_thread().is_alive():
                    return  # the program ends
                # A literal, by which DuckDB leaves out other files; for a parameter it reads them.
                cursor.execute(
                    "INSERT INTO resident.places BY NAME "
                    f"SELECT * FROM places WHERE filename = {_literal(path)}"
                )
                cursor.execute("CHECKPOINT resident")
            cursor.execute("CREATE OR REPLACE VIEW places AS FROM resident.places")
            self._loaded = True

    def _run(self, sql: str) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._database.execute(sql).fetchall()
        return rows

    def _configure(self, folder: Path) -> None:
        run = self._run
        run("ATTACH ':memory:' AS resident (COMPRESS)")
        run("SET enable_geoparquet_conversion = false")
        run("SET autoinstall_known_extensions = false")
        run("SET autoload_known_extensions = false")
        run("SET TimeZone = 'UTC'")
        run(f"SET allowed_directories = [{_literal(str(folder))}]")
        run("SET enable_external_access = false")
        # Data files never change, and most of a query is to find its way through their footers.
        run("SET parquet_metadata_cache = true")

    def _define(self) -> None:
        """Views of all rows, of the current ones, and of these without their documents."""
        run = self._run
        if self._files:
            listed = f"[{', '.join(map(_literal, self._files))}]"
            kinds = run(
                "SELECT count(DISTINCT names) FROM (SELECT list(name ORDER BY name) AS names "
                f"FROM parquet_schema({listed}) GROUP BY file_name)"
            )[0][0]
            # Matching columns by name in each query takes longer than the query itself.
            union = "true" if kinds > 1 else "false"
            source = (
                f"read_parquet({listed}, union_by_name = {union}, "
                "filename = true, file_row_number = true)"
            )
            have = {row[0] for row in run(f"DESCRIBE SELECT * FROM {source}")}
        else:
            source, have = "(SELECT NULL::VARCHAR AS filename, 0::BIGINT AS file_row_number)", set()
        # Files of an older release lack the columns that were added since.
        added = "".join(
            f", NULL::{_sql_type(field.type)} AS {quoted(field.name)}"
            for field in SCHEMA
            if field.name not in have
        )
        empty = "" if self._files else " WHERE false"
        run(f"CREATE VIEW versions AS SELECT *{added} FROM {source}{empty}")
        # Superseded versions, tombstones, and rows that two writers have both added. Few ids have
        # any of them: to find these by a number first saves sorting all the others by their text.
        run(
            "CREATE TABLE _excluded AS WITH several AS ("
            "SELECT hash(id) AS code FROM versions GROUP BY code "
            "HAVING count(*) > 1 OR bool_or(retired)) "
            "SELECT filename, file_row_number FROM ("
            "SELECT filename, file_row_number, retired, row_number() OVER (PARTITION BY id "
            "ORDER BY version DESC, filename, file_row_number) AS place FROM versions "
            "WHERE hash(id) IN (SELECT code FROM several)) WHERE place > 1 OR retired"
        )
        ((excluded,),) = run("SELECT count(*) FROM _excluded")
        current = (
            " AS v WHERE NOT EXISTS (SELECT 1 FROM _excluded AS e "
            "WHERE e.filename = v.filename AND e.file_row_number = v.file_row_number)"
        )
        run(f"CREATE VIEW items AS SELECT * FROM versions{current if excluded else ''}")
        run("CREATE VIEW places AS SELECT * EXCLUDE (item) FROM items")
        run(
            'CREATE TABLE products AS SELECT DISTINCT "lake:product" AS product FROM items '
            'WHERE "lake:product" IS NOT NULL'
        )


def quoted(name: str) -> str:
    """A column name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _sql_type(kind: pa.DataType) -> str:
    """DuckDB's name of a column type of the index."""
    if pa.types.is_struct(kind):
        return f"STRUCT({', '.join(f'{quoted(f.name)} {_sql_type(f.type)}' for f in kind)})"
    if pa.types.is_list(kind):
        return f"{_sql_type(kind.value_type)}[]"
    return {
        pa.string(): "VARCHAR",
        pa.binary(): "BLOB",
        pa.bool_(): "BOOLEAN",
        pa.int32(): "INTEGER",
        pa.int64(): "BIGINT",
        pa.float64(): "DOUBLE",
        pa.timestamp("us", "UTC"): "TIMESTAMPTZ",
    }[kind]


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
