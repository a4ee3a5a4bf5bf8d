"""The JSON indexes of Copernicus-Pretrain, written from the index of a lake.

    {"906994": {"grid_id_coord": "0906994_128.50_67.25",
                "s1_grd": {"1087609_128.50_67.25": ["s1_grd_utm/images/…/….tif", …]},
                "s2_toa": {…}, "s3_olci": […], "s5p_co": […], "s5p_no2": […], "s5p_so2": […],
                "s5p_o3": […], "dem": ["dem_grid_wgs/images/0906994_128.50_67.25/dem.tif"]}, …}

Keys are cell ids without leading zeros, in order; what a cell lacks is `{}` or `[]`. Patches are in
the order of their names, files in the order of time. Paths are those of the original's tree: an
item that was adopted from such a tree is called as it is there; of any other, scenes are called
{time}_{item id}, so that loaders find the date and people the item.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stac_lake.catalog.cell_search import CellSearch, search_cells
from stac_lake.catalog.cells import moment_of
from stac_lake.catalog.pretrain_tree import FIELDS, PROVIDER, Field, place_name
from stac_lake.errors import StoreUnavailable
from stac_lake.grid import COLUMNS, ROWS, Cell, Patch
from stac_lake.recipe import product
from stac_lake.recipe import recipe as load_recipe

if TYPE_CHECKING:
    import duckdb

    from stac_lake.catalog.index import Index

NAMES = ("fnames_all", "fnames_union", "fnames_joint")
"""Files: every cell of the grid; those with any of the eight fields; those with all of them."""

FIRST_NUMBER = 2_000_000
"""Of patches that have no number of the original, whose own end at 1,240,084. They are counted in
the order of cell and patch, so that numbers belong to one version of a lake."""

_BAND = 10 * COLUMNS
"""Cells that are asked for at a time: ten rows of the grid."""


@dataclass
class Exported:
    """What was written.

    Attributes:
        cells: File → cells in it.
        files: Paths in the index of all cells, by field.
    """

    cells: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, 0))
    files: dict[str, int] = field(default_factory=lambda: {one.name: 0 for one in FIELDS})


class _Line(NamedTuple):
    """An item, as far as its path needs it."""

    cell: int
    modality: str
    patch: str | None
    source_patch: str | None
    product: str
    slot: str
    id: str
    start: int
    end: int
    provider: str | None
    upstream: str | None


def export_fnames(
    index: Index, out: Path, *, accept: tuple[str, ...] = (), version: int | None = None
) -> Exported:
    """Write the three indexes as ``{name}.json.gz``; what was there is replaced.

    Args:
        index: Of the lake.
        out: Folder, made if it is not there.
        accept: Products that count beside the recipe's first of their modality; where both have
            filled a slot, the recipe's first is taken.
        version: Of the index; None is the newest.

    Raises:
        ConfigError: there is no such product.
        CatalogError: there is no such version.
        StoreUnavailable: the folder cannot be written.
    """
    version = index.version if version is None else version
    wanted = CellSearch(accept=accept, version=version)
    union = {one.cell.id for one in search_cells(index, wanted).cells}
    joint = CellSearch(accept=accept, version=version, aligned=True)
    aligned = {one.cell.id for one in search_cells(index, joint).cells}
    products = list(dict.fromkeys((*_firsts(), *(product(name).id for name in accept))))
    done = Exported()
    entries = _Entries(products, done)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            files = {
                name: stack.enter_context(_IndexFile(out / f"{name}.json.gz")) for name in NAMES
            }
            for number, text in entries.of(index.connection(version)):
                in_files = (True, number in union, number in aligned)
                for name, wanted_here in zip(NAMES, in_files, strict=True):
                    if wanted_here:
                        files[name].write(number, text)
                        done.cells[name] += 1
    except OSError as error:
        raise StoreUnavailable(f"cannot write the indexes: {error.strerror}", folder=out) from error
    return done


class _Entries:
    """Cells with their JSON, in order of id."""

    def __init__(self, products: list[str], done: Exported) -> None:
        self._products = products
        self._done = done
        self._number = FIRST_NUMBER

    def of(self, cursor: duckdb.DuckDBPyConnection) -> Iterator[tuple[int, str]]:
        for start in range(0, ROWS * COLUMNS, _BAND):
            lines = {
                cell: list(group)
                for cell, group in groupby(self._lines(cursor, start), lambda line: line.cell)
            }
            for number in range(start, min(start + _BAND, ROWS * COLUMNS)):
                yield number, self._entry(Cell(number), lines.get(number, []))

    def _lines(self, cursor: duckdb.DuckDBPyConnection, start: int) -> Iterator[_Line]:
        rows = cursor.execute(
            'SELECT cell, "lake:modality", "lake:patch", "lake:source_patch_id", "lake:product", '
            '"lake:slot", id, epoch_us(time), epoch_us(time_end), "lake:provider", '
            '"lake:upstream_id" FROM items WHERE cell >= $start AND cell < $stop '
            'AND "lake:product" IN (SELECT unnest($products)) '
            'ORDER BY cell, list_position($products, "lake:product"), time, id',
            {"start": start, "stop": start + _BAND, "products": self._products},
        )
        while batch := rows.fetchmany(10_000):
            yield from map(_Line._make, batch)

    def _entry(self, cell: Cell, lines: list[_Line]) -> str:
        if not lines:
            return _EMPTY.replace("?", cell.name)
        found: dict[str, Any] = {"grid_id_coord": cell.name}
        names = self._patch_names(lines)
        by_slot: dict[tuple[str, str | None, str], _Line] = {}
        for line in lines:
            by_slot.setdefault((line.modality, line.patch, line.slot), line)
        for one in FIELDS:
            own = [line for line in by_slot.values() if line.modality == one.modality]
            own.sort(key=lambda line: (line.start, line.id))
            self._done.files[one.name] += len(own)
            found[one.name] = _paths(one, cell, own, names)
        return json.dumps(found)

    def _patch_names(self, lines: list[_Line]) -> dict[str, str]:
        """Patch → what the original would call it."""
        known = {line.patch: line.source_patch for line in lines if line.patch}
        known |= {
            line.patch: line.source_patch for line in lines if line.patch and line.source_patch
        }
        names = {}
        for patch, source in sorted(known.items()):
            if source is None:
                names[patch] = place_name(self._number, *Patch.from_id(patch).centre)
                self._number += 1
            else:
                names[patch] = source
        return names


def _paths(one: Field, cell: Cell, lines: list[_Line], names: dict[str, str]) -> Any:
    folder = f"{one.folder}/{cell.name}"
    if not one.per_patch:
        return [f"{folder}/{_file(line)}" for line in lines]
    patches: dict[str, list[str]] = {}
    for line in lines:
        name = names[line.patch] if line.patch else cell.name
        patches.setdefault(name, []).append(f"{folder}/{name}/{_file(line)}")
    return dict(sorted(patches.items()))


def _file(line: _Line) -> str:
    if line.provider == PROVIDER:
        return f"{line.upstream}.tif"
    if line.modality == "dem":
        return "dem.tif"
    start = moment_of(line.start)
    if line.end > line.start:
        # Composites end with the last millisecond inside.
        end = moment_of(line.end) + timedelta(milliseconds=1)
        return f"{start:%Y-%m-%d}_{end:%Y-%m-%d}.tif"
    return f"{start:%Y%m%dT%H%M%S}_{line.id}.tif"


def _firsts() -> list[str]:
    return [series.products[0] for series in load_recipe("copernicus-pretrain").series]


_EMPTY = json.dumps(
    {"grid_id_coord": "?", **{one.name: {} if one.per_patch else [] for one in FIELDS}}
)


class _IndexFile:
    """One JSON object, written entry by entry; it appears under its name when it is complete."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(path.name + ".part")
        self._stack = ExitStack()
        self._lead = "{"

    def __enter__(self) -> _IndexFile:
        raw = self._stack.enter_context(self._partial.open("wb"))
        # Without name and time, the same lake gives the same bytes.
        packed = gzip.GzipFile("", "wb", compresslevel=5, fileobj=raw, mtime=0)
        self._stack.enter_context(packed)
        # Entries are small, and a call of the compressor costs more than an entry.
        self._file = self._stack.enter_context(io.BufferedWriter(packed, 2**20))
        return self

    def write(self, cell: int, text: str) -> None:
        self._file.write(f'{self._lead}"{cell}": {text}'.encode())
        self._lead = ", "

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._file.write(b"{}" if self._lead == "{" else b"}")
        self._stack.close()
        if kind is None:
            self._partial.replace(self._path)
        else:
            self._partial.unlink(missing_ok=True)
