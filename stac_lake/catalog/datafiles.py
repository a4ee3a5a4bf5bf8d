"""Data files of the index: written once, and read from this machine's disk."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake.transaction import AddAction
from numpy.typing import NDArray

from stac_lake.catalog.rows import geoparquet
from stac_lake.errors import StoreUnavailable
from stac_lake.store.keys import INDEX
from stac_lake.store.objects import Objects

MAX_ROWS = 100_000
"""Rows per data file of a rebuild or compaction: half a gigabyte of documents at most."""

CACHE_BYTES = 8 * 2**30
"""Copies of files that the asked version does not need are dropped beyond this size."""

READERS = min(4, os.cpu_count() or 1)
"""Row groups that are unpacked at a time."""


def default_cache(url: str) -> Path:
    """Where copies of a lake's index files go: one folder per lake in the user's cache folder."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "stac-lake" / "index" / hashlib.sha256(url.encode()).hexdigest()[:16]


class DataFiles:
    """Writes data files, and turns their names into local paths that DuckDB may read.

    Data files never change, so that a copy by the same name is the file.

    Args:
        objects: The lake.
        cache: Folder for copies; None takes `default_cache`. Not used for a lake on disk.
        limit: Bytes that the folder may hold beyond what the asked version needs.
    """

    def __init__(self, objects: Objects, cache: Path | None, limit: int = CACHE_BYTES) -> None:
        self._objects = objects
        self._limit = limit
        local = objects.local_path(INDEX.rstrip("/"))
        self.folder = local or cache or default_cache(objects.url)

    def paths(self, names: Sequence[str]) -> list[str]:
        """Local paths of data files, fetched where they are missing.

        Raises:
            KeyMissing: a file was vacuumed away.
            StoreUnavailable: the store does not answer, or the cache folder is not writable.
        """
        if not self._objects.is_local:
            missing = [name for name in names if not (self.folder / name).exists()]
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                with ThreadPoolExecutor(8) as pool:
                    list(pool.map(self._fetch, missing))
                if missing:
                    self._trim(set(names))
            except OSError as error:
                raise StoreUnavailable(
                    f"the index cache cannot be written: {error.strerror}", folder=self.folder
                ) from error
        return [str(self.folder / name) for name in names]

    def documents(self, places: Sequence[tuple[str, int]]) -> list[str]:
        """Item JSON of rows, each named by the local path of its data file and its row therein.

        Raises:
            StoreUnavailable: a file is gone.
        """
        wanted: dict[tuple[str, int], list[tuple[int, int]]] = {}
        for number, (path, row) in enumerate(places):
            group = int(np.searchsorted(_footer(path)[1], row, "right")) - 1
            wanted.setdefault((path, group), []).append((number, row))
        found: dict[int, str] = {}
        try:
            if len(wanted) > 1:
                with ThreadPoolExecutor(READERS) as pool:
                    answers = list(pool.map(_texts, wanted.items()))
            else:
                answers = list(map(_texts, wanted.items()))
        except OSError as error:
            raise StoreUnavailable(
                f"a data file of the index is gone: {error.strerror}", folder=self.folder
            ) from error
        for answer in answers:
            found |= answer
        return [found[number] for number in range(len(places))]

    def put(self, table: pa.Table) -> AddAction:
        """Store rows under a name of their own; they count only once a commit names it.

        Args:
            table: Of `rows.SCHEMA`, sorted.

        Raises:
            StoreUnavailable.
        """
        data = geoparquet(table)
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(8)}.parquet"
        self._objects.put_new(INDEX + name, data)
        limits = pc.min_max(table["cell"]).as_py()
        stats = {
            "numRecords": len(table),
            "minValues": {"cell": limits["min"]},
            "maxValues": {"cell": limits["max"]},
        }
        return AddAction(name, len(data), {}, int(time.time() * 1000), True, json.dumps(stats))

    def _fetch(self, name: str) -> None:
        data = self._objects.get(INDEX + name)
        # Renamed when complete, so that a reader never sees half a file.
        partial = self.folder / f"{name}.{secrets.token_hex(4)}.part"
        partial.write_bytes(data)
        partial.replace(self.folder / name)

    def _trim(self, needed: set[str]) -> None:
        copies = sorted(
            (path for path in self.folder.glob("*.parquet") if path.name not in needed),
            key=lambda path: path.stat().st_mtime,
        )
        total = sum(path.stat().st_size for path in self.folder.glob("*.parquet"))
        for path in copies:
            if total <= self._limit:
                return
            total -= path.stat().st_size
            path.unlink(missing_ok=True)


@lru_cache(maxsize=256)
def _footer(path: str) -> tuple[pq.FileMetaData, NDArray[np.int64]]:
    """Footer of a data file, 1 MB or so, and the first row of each of its row groups."""
    footer = pq.read_metadata(path)
    rows = [footer.row_group(number).num_rows for number in range(footer.num_row_groups)]
    return footer, np.cumsum([0, *rows[:-1]])


def _texts(
    wanted: tuple[tuple[str, int], list[tuple[int, int]]],
) -> dict[int, str]:
    """Documents of rows (number in the answer, row of the file) of one row group, by number."""
    (path, group), rows = wanted
    footer, firsts = _footer(path)
    file = pq.ParquetFile(path, metadata=footer, memory_map=True)
    column = file.read_row_group(group, columns=["item"], use_threads=False)["item"]
    return {number: column[row - int(firsts[group])].as_py() for number, row in rows}
