"""What one version of the index has of some cells, for comparing it with the bucket."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from stac_lake.catalog.index import Index
from stac_lake.catalog.promise import parse_version
from stac_lake.errors import InvalidItem, KeyMissing
from stac_lake.grid import Cell
from stac_lake.store import keys


@dataclass(frozen=True)
class IndexedVersion:
    """One version of an item, as the index has it."""

    version: int
    retired: bool
    text: str


IndexedItems = Mapping[str, Sequence[IndexedVersion]]
"""Item id → its versions, newest first."""


class Indexed:
    """The newest version of an index, pinned.

    Attributes:
        damage: (key, what is wrong) of an index that cannot be read; None if it can be.
    """

    def __init__(self, index: Index) -> None:
        self.damage: tuple[str, str] | None = None
        self._connection: duckdb.DuckDBPyConnection | None = None
        version = index.version
        if version is not None:
            present = {info.key for info in index.objects.list(keys.INDEX) if info.size}
            for name in index.files(version):
                if keys.INDEX + name not in present:
                    self.damage = (keys.INDEX + name, "the data file is missing")
                    return
        try:
            self._connection = index.connection(version)
        except (duckdb.Error, KeyMissing) as error:
            self._fail(error)

    def cells(self, only: Sequence[Cell] | None) -> set[Cell]:
        """The cells of which the index has anything; among some, if they are given."""
        if self._connection is None:
            return set()
        found = self._connection.execute("SELECT DISTINCT cell FROM versions").fetchall()
        cells = {Cell(row[0]) for row in found}
        return cells if only is None else cells.intersection(only)

    def items(self, cells: Sequence[Cell]) -> IndexedItems:
        """All versions of all items of some cells; empty, and `damage` set, if it breaks."""
        found: dict[str, list[IndexedVersion]] = defaultdict(list)
        if self._connection is None or not cells:
            return found
        # Numbers in the text, not a parameter: only so are row groups of other cells left unread.
        listed = ", ".join(str(cell.id) for cell in cells)
        try:
            rows = self._connection.execute(
                f"SELECT id, version, retired, item FROM versions WHERE cell IN ({listed}) "
                "QUALIFY row_number() OVER "
                "(PARTITION BY id, version ORDER BY filename, file_row_number) = 1 "
                "ORDER BY id, version DESC"
            ).fetchall()
        except duckdb.Error as error:
            self._fail(error)
            return {}
        for item, *rest in rows:
            found[item].append(IndexedVersion(*rest))
        return found

    def _fail(self, error: Exception) -> None:
        self._connection = None
        lines = str(error).splitlines() or [type(error).__name__]
        self.damage = (keys.INDEX, f"it cannot be read: {lines[0]}")


def copy_in_index(row: IndexedVersion | None, key: str) -> dict[str, Any] | None:
    """The document that the index has for a key, if it is one."""
    if row is None:
        return None
    try:
        return parse_version(row.text.encode(), key, row.version)
    except InvalidItem:
        return None
