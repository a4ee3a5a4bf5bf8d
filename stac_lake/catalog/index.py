"""The index: one GeoParquet table, its versions by a Delta log over files that we write.

It is a projection of the items in the bucket: `Index.reconcile` adds what it lacks, and
`Index.rebuild` makes it anew. DuckDB answers queries; the view `items` holds the current version
of every item.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stac_lake.catalog.commit import read_item
from stac_lake.catalog.database import Database, quoted
from stac_lake.catalog.datafiles import MAX_ROWS, DataFiles
from stac_lake.catalog.log import CommitLog
from stac_lake.catalog.rows import IndexRow, newest, table_of
from stac_lake.grid import Cell
from stac_lake.store import keys
from stac_lake.store.objects import Objects
from stac_lake.types import Slot

if TYPE_CHECKING:
    import duckdb

__all__ = ["Index", "IndexRow", "quoted"]

OPEN_VERSIONS = 3
"""Index versions that one process keeps open at a time, each in up to 200 bytes an item."""


class Index:
    """The index of one lake. Thread-safe.

    Args:
        objects: The lake.
        cache: Folder for copies of data files, for a lake on S3; None takes the user's cache.
    """

    def __init__(self, objects: Objects, cache: Path | None = None) -> None:
        self.objects = objects
        self.data = DataFiles(objects, cache)
        self.log = CommitLog(objects)
        self._lock = threading.RLock()
        self._open: dict[int | None, Database] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return (Index, (self.objects, None if self.objects.is_local else self.data.folder))

    @property
    def version(self) -> int | None:
        """The newest version; None before the first item."""
        return self.log.version

    def files(self, version: int | None = None) -> list[str]:
        """Names of the data files of a version (None: the newest), relative to ``index/``.

        Raises:
            CatalogError: there is no such version.
        """
        return list(self.log.files(version))

    def append(self, rows: Sequence[IndexRow]) -> int | None:
        """Add versions of items; returns an index version that holds them.

        Rows that the index has already do no harm. No rows: nothing is written.

        Raises:
            InvalidItem: a document is not an item of a lake; nothing was added.
            CommitConflict: other writers were faster forty times.
            StoreUnavailable.
        """
        if not rows:
            return self.version
        return self.log.commit([self.data.put(table_of(rows))], "append")

    def connection(self, version: int | None = None) -> duckdb.DuckDBPyConnection:
        """A DuckDB connection onto a version of the index (None: the newest).

        Its view `items` holds the current version of every item that is not retired, with the
        columns of `rows.SCHEMA`, and `filename` and `file_row_number`, which name a row for good;
        its view `places` the same without the documents, which is faster. Its view `versions`
        holds superseded and retired ones, too; its table `products` the products that have items.
        It reads the data files and nothing else. Times are TIMESTAMPTZ;
        fetch `epoch_us(…)` of them, as fetching them whole needs pytz.

        Raises:
            CatalogError: there is no such version.
            StoreUnavailable.
        """
        return self._database(version).cursor()

    def load(self, version: int | None = None) -> None:
        """Bring a version (None: the newest) into memory, documents aside: 200 bytes an item.

        It happens by itself, in the background, to a version that is asked for repeatedly.

        Raises:
            CatalogError: there is no such version.
            StoreUnavailable.
        """
        self._database(version).load()

    def _database(self, version: int | None) -> Database:
        number = self.version if version is None else version
        with self._lock:
            if number not in self._open:
                files = {} if number is None else self.log.files(number)
                paths = dict(zip(self.data.paths(list(files)), files.values(), strict=True))
                self._open[number] = Database(paths, self.data.folder)
                while len(self._open) > OPEN_VERSIONS:
                    del self._open[next(iter(self._open))]
            # The one that was asked for least recently is the first.
            self._open[number] = self._open.pop(number)
            return self._open[number]

    def reconcile(self, cells: Iterable[Cell]) -> int:
        """Add items of some cells that are in the bucket, but not yet here; returns how many.

        A writer that died between an item and its index row leaves such items.

        Raises:
            InvalidItem, StoreError, CommitConflict.
        """
        wanted = sorted(set(cells))
        with ThreadPoolExecutor(16) as pool:
            listed = pool.map(lambda cell: self._listed(keys.items_prefix(cell)), wanted)
            stored = {item: version for found in listed for item, version in found.items()}
        if not stored:
            return 0
        known = dict(
            self.connection()
            .execute(
                "SELECT id, max(version) FROM versions "
                "WHERE cell IN (SELECT unnest(?)) GROUP BY id",
                [[cell.id for cell in wanted]],
            )
            .fetchall()
        )
        lacking = {item: n for item, n in stored.items() if n > known.get(item, 0)}
        self.append(self._read(lacking))
        return len(lacking)

    def rebuild(self) -> int:
        """Make the index anew from the items in the bucket; returns how many there are.

        It restores the present, not the history: superseded versions of items are left out, and
        older versions of the index stay what they were.

        Raises:
            InvalidItem, StoreError, CommitConflict.
        """
        current = iter(sorted(self._listed(keys.CELLS).items()))
        files = []
        count = 0
        while batch := dict(islice(current, MAX_ROWS)):
            files.append(self.data.put(table_of(self._read(batch))))
            count += len(batch)
        if files or self.version is not None:
            self.log.commit(files, "rebuild")
        return count

    def _listed(self, prefix: str) -> dict[str, int]:
        """Highest version of every item below a prefix."""
        found = (keys.parse_item_key(info.key) for info in self.objects.list(prefix))
        return newest([pair for pair in found if pair])

    def _read(self, versions: dict[str, int]) -> list[IndexRow]:
        def one(pair: tuple[str, int]) -> IndexRow:
            return IndexRow(read_item(self.objects, Slot.from_id(pair[0]), pair[1]), pair[1])

        with ThreadPoolExecutor(16) as pool:
            return list(pool.map(one, versions.items()))
