"""The versions of the index: a Delta log over data files that we write ourselves.

A data file counts once a commit of the log names it. Appending is blind, so that writers never
conflict in what they mean, only in who is first; whoever is second tries again.
"""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions

from stac_lake.catalog.rows import SCHEMA
from stac_lake.errors import CatalogError, CommitConflict, StoreUnavailable
from stac_lake.store.keys import INDEX
from stac_lake.store.objects import Objects

ATTEMPTS = 40
"""Commits that are tried before a writer gives up; each one means that another writer succeeded."""

LOG_RETENTION = "interval 3650 days"
"""The log itself is kept for ten years; `gc` says how long the data files are."""

_LOG = f"{INDEX}_delta_log/"
_COMMIT = re.compile(rf"{_LOG}(\d{{20}})\.json")

Operation = Literal["append", "rebuild", "compact", "repair"]


@dataclass(frozen=True)
class LogEntry:
    """One commit of the index.

    Attributes:
        version: That it made.
        time: When, UTC.
        operation: append, rebuild, compact or repair.
        rows: In the data files that it added.
        files_added: Data files.
        files_removed: Data files; they stay for older versions.
    """

    version: int
    time: datetime
    operation: str
    rows: int
    files_added: int
    files_removed: int


class CommitLog:
    """The log of one lake's index. Thread-safe."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._lock = threading.Lock()
        self._newest: DeltaTable | None = None

    @property
    def version(self) -> int | None:
        """The newest version; None before the first commit."""
        with self._lock:
            try:
                if self._newest is not None:
                    # Reads what was committed since, which is ten times as fast as to open again.
                    self._newest.update_incremental()
            except (DeltaError, OSError):
                self._newest = None
            if self._newest is None:
                self._newest = self._table()
            return None if self._newest is None else int(self._newest.version())

    def files(self, version: int | None = None) -> dict[str, int]:
        """Data files of a version (None: the newest), by name relative to ``index/``, with rows.

        Raises:
            CatalogError: there is no such version.
        """
        table = self._table(version)
        if table is None:
            return {}
        actions = pa.table(table.get_add_actions())
        names, rows = actions["path"].to_pylist(), actions["num_records"].to_pylist()
        return dict(sorted(zip(names, rows, strict=True)))

    def entries(self, limit: int | None = None) -> list[LogEntry]:
        """Commits, newest first."""
        # deltalake's own history holds the interpreter's lock while it waits for S3.
        found = (_COMMIT.fullmatch(info.key) for info in self._objects.list(_LOG))
        numbers = sorted((int(match[1]) for match in found if match), reverse=True)[:limit]
        with ThreadPoolExecutor(16) as pool:
            return list(pool.map(self._entry, numbers))

    def _entry(self, version: int) -> LogEntry:
        lines = self._objects.get(f"{_LOG}{version:020d}.json").splitlines()
        about = next(a["commitInfo"] for a in map(json.loads, lines) if "commitInfo" in a)
        return LogEntry(
            version,
            datetime.fromtimestamp(about["timestamp"] / 1000, UTC),
            about.get(_OPERATION, "append"),
            int(about.get(_ROWS, 0)),
            int(about.get(_ADDED, 0)),
            int(about.get(_REMOVED, 0)),
        )

    def version_at(self, moment: datetime) -> int:
        """The version that was the newest at a moment.

        Raises:
            CatalogError: there was none yet.
        """
        for entry in self.entries():
            if entry.time <= moment:
                return entry.version
        raise CatalogError(f"the index has no version from {moment}", lake=self._objects.url)

    def commit(
        self, added: Sequence[AddAction], operation: Operation, removed: Sequence[str] | None = None
    ) -> int:
        """Add data files, and remove some, in one version; returns its number.

        Args:
            added: Data files, which are there.
            operation: For the log.
            removed: Names of data files; a rebuild removes all there are.

        Raises:
            CommitConflict: other writers were faster forty times, or have removed the same files.
            StoreUnavailable.
        """
        schema = Schema.from_arrow(SCHEMA)
        for attempt in range(ATTEMPTS):
            table = self._table()
            try:
                if table is None:
                    create_table_with_add_actions(
                        self._uri,
                        schema,
                        [*added],
                        mode="error",
                        configuration={"delta.logRetentionDuration": LOG_RETENTION},
                        storage_options=self._objects.storage_options(),
                        commit_properties=_about(operation, added, 0),
                    )
                    return 0
                gone = self._removals(table, removed)
                about = _about(
                    operation,
                    added,
                    len(table.file_uris()) if operation == "rebuild" else len(gone),
                )
                mode = "overwrite" if operation == "rebuild" else "append"
                table.create_write_transaction(
                    [*added, *gone], mode, schema, partition_by=[], commit_properties=about
                )
                return self.version or 0
            except (CommitFailedError, DeltaError) as error:
                if table is not None and not isinstance(error, CommitFailedError):
                    raise self._unavailable(error) from error
            except OSError as error:
                raise self._unavailable(error) from error
            time.sleep(random.uniform(0, min(2.0, 0.02 * 2**attempt)))
        raise CommitConflict(
            f"the index could not be committed in {ATTEMPTS} attempts: too many writers at once; "
            "the items are stored, and the next harvest adds them to the index",
            lake=self._objects.url,
        )

    def _removals(self, table: DeltaTable, names: Sequence[str] | None) -> list[RemoveAction]:
        """Actions that take data files out of a table, if it still has them all."""
        if not names:
            return []
        present = set(pa.table(table.get_add_actions())["path"].to_pylist())
        if not present.issuperset(names):
            raise CommitConflict(
                "another writer has replaced the same data files", lake=self._objects.url
            )
        now = int(time.time() * 1000)
        # The rows stay in the index, in other files: no reader's data have changed.
        return [RemoveAction(name, False, now, partition_values={}) for name in names]

    @property
    def _uri(self) -> str:
        return self._objects.href(INDEX.rstrip("/"))

    def _table(self, version: int | None = None) -> DeltaTable | None:
        try:
            return DeltaTable(
                self._uri, version=version, storage_options=self._objects.storage_options()
            )
        except TableNotFoundError:
            return None
        except DeltaError as error:
            if version is None:
                raise self._unavailable(error) from error
            raise CatalogError(
                f"the index has no version {version}", newest=self.version, lake=self._objects.url
            ) from error
        except OSError as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return StoreUnavailable(f"the index cannot be reached: {first}", lake=self._objects.url)


_OPERATION, _ROWS, _ADDED, _REMOVED = "lakeOperation", "lakeRows", "lakeAdded", "lakeRemoved"


def _about(operation: Operation, added: Sequence[AddAction], removed: int) -> CommitProperties:
    rows = sum(json.loads(action.stats)["numRecords"] for action in added)
    # Delta's own retries would take a conflict for something else than `commit` does.
    return CommitProperties(
        custom_metadata={
            _OPERATION: operation,
            _ROWS: str(rows),
            _ADDED: str(len(added)),
            _REMOVED: str(removed),
        },
        max_commit_retries=0,
    )
