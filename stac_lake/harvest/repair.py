"""Repairing a lake: what can be put right is; what cannot is queued for the next harvest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice

from stac_lake.catalog import mend
from stac_lake.catalog.index import Index, IndexRow
from stac_lake.catalog.mend import Mended
from stac_lake.catalog.publish import publish
from stac_lake.catalog.verify import Finding
from stac_lake.errors import ConfigError, GridError, InvalidItem, KeyMissing
from stac_lake.grid import Cell
from stac_lake.harvest.ledger import Entry, Ledger
from stac_lake.recipe import product
from stac_lake.store.objects import Objects
from stac_lake.types import Outcome, Slot

AT_ONCE = 2000
"""Findings that are repaired together: one commit of the index, one ledger file per cell."""

_DOCUMENT = ("item_missing", "item_invalid")
_INDEX = ("not_in_index", "index_differs")
_UNCHANGED = ("failed", "none")


@dataclass(frozen=True)
class Repaired:
    """A finding, and what was done about it."""

    finding: Finding
    mended: Mended


def repair(objects: Objects, index: Index, findings: Iterable[Finding]) -> Iterator[Repaired]:
    """Put right what `verify` finds, while it finds it.

    An item that cannot be restored is retired, and the ledger notes its slot as failed, so that the
    next harvest of the cell makes it again. A repair that is interrupted is taken up by the next
    one. At the end Collections and the static catalogue are written anew.

    Raises:
        CommitConflict, StoreUnavailable: run it again.
    """
    work = _Repair(objects, index)
    waiting = iter(findings)
    while chunk := list(islice(waiting, AT_ONCE)):
        yield from work.chunk(chunk)
    yield from work.finish()


class _Repair:
    def __init__(self, objects: Objects, index: Index) -> None:
        self._objects = objects
        self._index = index
        self._ledger = Ledger(objects)
        self._touched: set[Cell] = set()
        self._broken_index: list[Finding] = []

    def chunk(self, findings: Sequence[Finding]) -> Iterator[Repaired]:
        """Documents first: an asset's item must be readable before it can be retired."""
        self._broken_index += [one for one in findings if one.problem == "index_damaged"]
        done = [Repaired(one, self._one(one)) for one in findings if _is_single(one)]
        stale = [one for one in findings if one.problem in _INDEX]
        results = mend.reindex(self._objects, self._index, stale)
        for one, result in zip(stale, results, strict=True):
            # A document that makes no row of the index is no item.
            done.append(Repaired(one, self._document(one) if result is None else result))
        rows: list[IndexRow] = [one.mended.row for one in done if one.mended.row]
        self._index.append(rows)
        self._requeue([one for one in done if one.mended.action == "requeued"])
        changed = [one.finding for one in done if one.mended.action not in _UNCHANGED]
        self._touched.update(cell for finding in changed for cell in _cells(finding))
        yield from done

    def finish(self) -> Iterator[Repaired]:
        """What concerns the whole lake."""
        if self._broken_index:
            count = self._index.rebuild()
            said = f"made anew from {count} items"
            for finding in self._broken_index:
                yield Repaired(finding, Mended("reindexed", said))
            publish(self._objects, self._index)
        elif self._touched:
            publish(self._objects, self._index, self._touched)

    def _one(self, finding: Finding) -> Mended:
        if finding.problem == "asset_orphan":
            self._objects.delete(finding.key)
            return Mended("deleted", "no item named it")
        if finding.problem == "item_misplaced":
            return mend.mend_misplaced(self._objects, finding)
        if finding.problem in _DOCUMENT:
            return self._document(finding)
        try:
            return mend.mend_asset(self._objects, finding)
        except (InvalidItem, KeyMissing) as error:
            return Mended("failed", f"its item cannot be read: {error}")

    def _document(self, finding: Finding) -> Mended:
        index = None if self._broken_index else self._index
        return mend.mend_document(self._objects, index, finding)

    def _requeue(self, lost: Sequence[Repaired]) -> None:
        """Note slots as failed, and what was searched in vain in their place as not searched.

        A plan stops at the first product of a series that it knows to be nowhere, and would not
        come to the one that is to be made again. No recipe has an empty digest.
        """
        if not lost:
            return
        slots = {one.finding.item: one for one in lost}
        last = self._ledger.read({Slot.from_id(item).cell for item in slots})
        outcomes = []
        for item, one in slots.items():
            reason = f"damaged: {one.finding.problem}"
            digest = _digest(one, last.get(item))
            version = one.mended.row.version if one.mended.row else None
            outcomes.append(Outcome(item, "failed", digest, reason, version=version))
            outcomes += [
                replace(before, digest="") for before in _preferred(Slot.from_id(item), last)
            ]
        self._ledger.write(outcomes, last, datetime.now(UTC))


def _is_single(finding: Finding) -> bool:
    return finding.problem not in (*_INDEX, "index_damaged")


def _cells(finding: Finding) -> list[Cell]:
    try:
        return [Slot.from_id(finding.item).cell]
    except GridError:
        return []


def _digest(one: Repaired, last: Entry | None) -> str:
    """Recipe digest of the item that was retired; what the ledger knows if it cannot be read."""
    if one.mended.row:
        return str(one.mended.row.document["properties"]["lake:recipe_digest"])
    return last.outcome.digest if last else ""


def _preferred(slot: Slot, last: Mapping[str, Entry]) -> list[Outcome]:
    """Outcomes of other products of the same modality, place and time that found nothing."""
    try:
        modality = product(slot.product).modality
        found = []
        for entry in last.values():
            other = Slot.from_id(entry.outcome.slot)
            if (
                (other.cell, other.patch, other.name) == (slot.cell, slot.patch, slot.name)
                and other.product != slot.product
                and product(other.product).modality == modality
                and entry.outcome.state == "empty"
            ):
                found.append(entry.outcome)
    except ConfigError:
        return []
    return found
