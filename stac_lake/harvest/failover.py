"""Slots whose provider could not be read: whom to ask instead, and how they are counted. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from stac_lake.grid import Cell, Patch
from stac_lake.recipe import Series
from stac_lake.types import Outcome, PlanRow

Place = tuple[str, Cell, Patch | None, str]
"""Modality, cell, patch and slot name: one slot of a series, whichever product serves it."""


@dataclass(frozen=True)
class Lost:
    """A row that failed.

    Attributes:
        series: The series that it serves.
        row: As it was tried.
        cause: Why it failed.
    """

    series: Series
    row: PlanRow
    cause: str

    @property
    def place(self) -> Place:
        return place_of(self.series, self.row)

    @property
    def asked(self) -> frozenset[str]:
        """Providers that were asked in vain, by search or for files."""
        return frozenset(self.row.providers_failed) | {s.provider for s in self.row.candidates}

    def by(self, row: PlanRow) -> PlanRow:
        """Another row for the same place, which remembers who could not serve it, and why."""
        unread = dict.fromkeys((scene.provider for scene in self.row.candidates), self.cause)
        return replace(
            row, providers_failed=row.providers_failed | self.row.providers_failed | unread
        )


def place_of(series: Series, row: PlanRow) -> Place:
    """The place of a row."""
    return (series.modality, row.slot.cell, row.slot.patch, row.slot.name)


def together(lost: Iterable[Lost]) -> list[list[Lost]]:
    """Groups that one plan can serve: of one series, and with the same providers left to ask."""
    groups: dict[tuple[str, frozenset[str]], list[Lost]] = {}
    for one in lost:
        groups.setdefault((one.series.modality, one.asked), []).append(one)
    return list(groups.values())


def count_once(outcomes: dict[str, Outcome], slots: Sequence[str]) -> None:
    """Keep one outcome of the slots that were tried for one place, the first choice first.

    The one that is stored counts; where none is, the first choice keeps the place, as everywhere.
    """
    tried = [slot for slot in dict.fromkeys(slots) if slot in outcomes]
    served = [slot for slot in tried if outcomes[slot].state in {"stored", "skipped"}]
    for slot in tried:
        if slot != (served or tried)[0]:
            del outcomes[slot]
