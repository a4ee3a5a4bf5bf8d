"""What the bucket holds, cell by cell, from one pass over its listing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from stac_lake.errors import GridError, StoreUnavailable
from stac_lake.grid import COLUMNS, ROWS, Cell
from stac_lake.store import keys
from stac_lake.store.objects import ObjectInfo, Objects
from stac_lake.types import Slot

BATCH_OBJECTS = 4000
"""Objects of a batch of cells: some thousand documents, or 30 MB of them."""

_FOLDER = re.compile(r"(cells/[^/]+/[^/]+/(\d{7})/)(items|assets)/.+")


@dataclass
class Holdings:
    """The objects of one cell's folder.

    Attributes:
        cell: None if the folder is not where that cell's objects belong.
        prefix: Of the folder.
        documents: Item id → version → object.
        assets: By key.
        misplaced: What lies among the items, or in such a folder, and is no item there.
    """

    cell: Cell | None
    prefix: str
    documents: dict[str, dict[int, ObjectInfo]] = field(default_factory=dict)
    assets: dict[str, ObjectInfo] = field(default_factory=dict)
    misplaced: list[ObjectInfo] = field(default_factory=list)

    def add(self, info: ObjectInfo, kind: str) -> None:
        """Put one object of the folder in its place."""
        if kind == "assets":
            self.assets[info.key] = info
            return
        pair = keys.parse_item_key(info.key)
        if pair is None or self.cell is None or _own_key(*pair) != info.key:
            self.misplaced.append(info)
        else:
            self.documents.setdefault(pair[0], {})[pair[1]] = info


def holdings(objects: Objects, cells: Sequence[Cell] | None) -> Iterator[list[Holdings]]:
    """Batches of whole cells; cells without objects are left out.

    Args:
        objects: The lake.
        cells: Only these; None lists the whole lake.

    Raises:
        StoreUnavailable: the store does not answer, or lists a folder in two parts.
    """
    listed = (
        objects.list(keys.CELLS)
        if cells is None
        else chain.from_iterable(objects.list(keys.cell_prefix(cell)) for cell in cells)
    )
    done = bytearray(ROWS * COLUMNS)
    batch: list[Holdings] = []
    count = 0
    for info in listed:
        match = _FOLDER.fullmatch(info.key)
        if not match:
            continue
        prefix, number, kind = match.groups()
        if not batch or batch[-1].prefix != prefix:
            # S3 lists by key, and a directory is walked folder by folder.
            if count >= BATCH_OBJECTS:
                yield batch
                batch, count = [], 0
            cell = _cell_of(prefix, int(number))
            if cell and done[cell.id]:
                raise StoreUnavailable(
                    "the store lists objects in no order: check some cells at a time (--grid)",
                    lake=objects.url,
                )
            if cell:
                done[cell.id] = 1
            batch.append(Holdings(cell, prefix))
        batch[-1].add(info, kind)
        count += 1
    if batch:
        yield batch


def _cell_of(prefix: str, number: int) -> Cell | None:
    try:
        cell = Cell(number)
    except GridError:
        return None
    return cell if keys.cell_prefix(cell) == prefix else None


def _own_key(item: str, version: int) -> str | None:
    try:
        return keys.item_key(Slot.from_id(item), version)
    except GridError:
        return None
