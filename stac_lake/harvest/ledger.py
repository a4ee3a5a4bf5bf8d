"""What was tried, and how it ended: append-only lines, one create-only object per run and cell."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter

from stac_lake.grid import Cell
from stac_lake.store.keys import ledger_prefix
from stac_lake.store.objects import Objects
from stac_lake.types import Outcome, Slot, iso

_OUTCOME = TypeAdapter(Outcome)


@dataclass(frozen=True)
class Entry:
    """One line of the ledger."""

    at: str
    outcome: Outcome


class Ledger:
    """The ledger of a lake.

    A line is written only when the outcome of a slot differs from the last one, so that a run that
    changes nothing writes nothing.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def read(self, cells: Iterable[Cell] | None = None) -> dict[str, Entry]:
        """The last entry of every slot: item id → entry.

        Args:
            cells: Only these; None reads the whole lake.
        """
        prefixes = ["ledger/"] if cells is None else [ledger_prefix(cell) for cell in cells]
        keys = sorted(
            (info.key for prefix in prefixes for info in self._objects.list(prefix)),
            key=lambda key: key.rsplit("/", 1)[-1],
        )
        last: dict[str, Entry] = {}
        with ThreadPoolExecutor(8) as pool:
            for data in pool.map(self._objects.get, keys):
                for entry in _entries(data):
                    last[entry.outcome.slot] = entry
        return last

    def write(self, outcomes: Sequence[Outcome], last: dict[str, Entry], at: datetime) -> int:
        """Append what changed, and note it in `last`; returns the number of lines."""
        fresh: dict[Cell, list[Entry]] = {}
        for outcome in outcomes:
            before = last.get(outcome.slot)
            if outcome.state == "skipped" or (before and _same(before.outcome, outcome)):
                continue
            entry = Entry(iso(at), outcome)
            fresh.setdefault(Slot.from_id(outcome.slot).cell, []).append(entry)
            last[outcome.slot] = entry
        for cell, entries in fresh.items():
            lines = "".join(
                json.dumps({"at": e.at, **_OUTCOME.dump_python(e.outcome)}, sort_keys=True) + "\n"
                for e in entries
            )
            stamp = entries[0].at.replace(":", "").replace("-", "")
            key = f"{ledger_prefix(cell)}{stamp}-{secrets.token_hex(4)}.jsonl"
            self._objects.put_new(key, lines.encode())
        return sum(len(entries) for entries in fresh.values())


def _entries(data: bytes) -> Iterator[Entry]:
    for line in data.decode().splitlines():
        document = json.loads(line)
        at = document.pop("at")
        yield Entry(at, _OUTCOME.validate_python(document))


def _same(one: Outcome, other: Outcome) -> bool:
    """Whether two outcomes say the same; losers and scene are details of it."""
    return (one.state, one.reason, one.digest, one.version) == (
        other.state,
        other.reason,
        other.digest,
        other.version,
    )
