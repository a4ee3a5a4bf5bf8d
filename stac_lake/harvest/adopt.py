"""Cataloguing a Copernicus-Pretrain tree in place: items, index and ledger; no pixel is copied.

Cells are the unit of work. A worker lists a few dozen cells, leaves out what the ledger has as
stored, reads the headers of the rest, stores their items (create-only), then appends them to the
index in one commit, and last writes the ledger. Killed anywhere, the next run does the same cells
again: an item that is there is kept and only told to the index, which takes no harm from hearing it
twice.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import posixpath
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import rasterio

from stac_lake import __version__
from stac_lake.catalog.adopted import AdoptedFacts, adopted_item
from stac_lake.catalog.commit import RIVALS, read_item
from stac_lake.catalog.index import Index
from stac_lake.catalog.pretrain_tree import FIELDS, PROVIDER, parse_cell
from stac_lake.catalog.rows import IndexRow, encode_document
from stac_lake.errors import BadRaster, CommitConflict, ConfigError, GridError
from stac_lake.harvest import pretrain_files as files
from stac_lake.harvest.ledger import Entry, Ledger
from stac_lake.harvest.pretrain_files import Found
from stac_lake.store import keys
from stac_lake.store.objects import Objects
from stac_lake.types import Outcome

CELLS_PER_TASK = 64
"""About 4,000 files of the published tree: a tenth of a gigabyte of documents, and one commit."""

SHOWN = 1000
"""Files without a slot that a report names; the others are only counted."""

_PUTS = 8
"""Items that a worker stores at the same time: a bucket answers in tens of milliseconds."""
_GDAL = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": False}


@dataclass
class AdoptReport:
    """What was done.

    Attributes:
        counts: ``stored``, ``skipped`` (adopted before), ``failed`` (in the ledger, with the
            reason) and ``unnamed`` (files and folders that name no slot).
        unnamed: The first of those: path → why.
        reasons: Why files failed → how many.
    """

    counts: Counter[str] = field(default_factory=Counter)
    unnamed: dict[str, str] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)

    def merge(self, other: AdoptReport) -> None:
        """Add what another part of the work did."""
        self.counts += other.counts
        self.reasons += other.reasons
        for path, why in other.unnamed.items():
            if len(self.unnamed) < SHOWN:
                self.unnamed[path] = why


@dataclass(frozen=True)
class _Task:
    tree: Path
    lake: str
    cells: tuple[str, ...]
    measure: bool


def adopt(
    tree: Path,
    lake: str,
    *,
    measure: bool = False,
    workers: int = 1,
    progress: Callable[[AdoptReport], None] | None = None,
) -> AdoptReport:
    """Catalogue a tree of GeoTIFFs.

    Hrefs of files inside the lake's folder are relative, so that both can be moved together; all
    others are absolute paths.

    Args:
        tree: Its root: the folder of ``s1_grd_utm``, ``s2_toa_mix`` and so on.
        lake: URL of the lake, which may be new.
        measure: Read all pixels, for valid shares, band statistics and checksums; items that were
            adopted without get a new version.
        workers: Processes.
        progress: Told after each task what was done so far.

    Raises:
        ConfigError: the folder has none of the tree's folders.
        StoreError: the lake cannot be written; what is finished is kept.
    """
    tree = tree.expanduser().absolute()
    roots = files.roots(tree)
    if not roots:
        wanted = ", ".join(one.folder for one in FIELDS)
        raise ConfigError(f"{tree} is not a Copernicus-Pretrain tree: it has none of {wanted}")
    report = AdoptReport()
    names = {path.name for root in roots.values() for path in root.iterdir() if path.is_dir()}
    cells = sorted(name for name in names if _is_cell(name, report))
    url = Objects.open(lake).url
    tasks = [
        _Task(tree, url, tuple(cells[start : start + CELLS_PER_TASK]), measure)
        for start in range(0, len(cells), CELLS_PER_TASK)
    ]
    for part in _run(tasks, workers):
        report.merge(part)
        if progress:
            progress(report)
    return report


def _is_cell(name: str, report: AdoptReport) -> bool:
    try:
        parse_cell(name)
    except GridError as error:
        report.merge(AdoptReport(Counter(unnamed=1), {name: str(error)}))
        return False
    return True


def _run(tasks: Sequence[_Task], workers: int) -> Iterator[AdoptReport]:
    if workers == 1:
        yield from map(_adopt_cells, tasks)
        return
    # Started afresh: the store's and GDAL's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context)
    try:
        yield from pool.map(_adopt_cells, tasks)
    finally:
        pool.shutdown(cancel_futures=True)


@lru_cache(maxsize=4)
def _lake(url: str) -> tuple[Objects, Index, Ledger]:
    objects = Objects.open(url)
    return objects, Index(objects), Ledger(objects)


def _adopt_cells(task: _Task) -> AdoptReport:
    objects, index, ledger = _lake(task.lake)
    cells = [parse_cell(name) for name in task.cells]
    last = ledger.read(cells)
    report = AdoptReport()
    outcomes: list[Outcome] = []
    fresh: list[tuple[AdoptedFacts, int]] = []
    with rasterio.Env(**_GDAL):
        for found in _files(task, report):
            before = last.get(found.slot.id)
            made = _facts(task, found, before)
            if isinstance(made, AdoptedFacts):
                fresh.append((made, _next_version(before)))
            elif made is None:
                report.counts["skipped"] += 1
            else:
                outcomes.append(made)
    with ThreadPoolExecutor(_PUTS) as pool:
        rows = list(pool.map(lambda pair: _store(objects, *pair), fresh))
    index.append(rows)
    outcomes += [_stored(row) for row in rows]
    ledger.write(outcomes, last, datetime.now(UTC))
    report.counts.update(outcome.state for outcome in outcomes)
    report.reasons.update(one.reason for one in outcomes if one.reason)
    return report


def _files(task: _Task, report: AdoptReport) -> Iterator[Found]:
    """Files of some cells that name a slot; what does not is told to the report."""
    roots = files.roots(task.tree)
    for cell in task.cells:
        for one in FIELDS:
            folder = roots.get(one.name, task.tree) / cell
            if one.name not in roots or not folder.is_dir():
                continue
            for found in files.files_of(one, folder):
                if isinstance(found, Found):
                    yield found
                else:
                    path, why = found
                    report.merge(AdoptReport(Counter(unnamed=1), {str(path): why}))


def _facts(task: _Task, found: Found, before: Entry | None) -> AdoptedFacts | Outcome | None:
    """What the item of a file says; None where it is adopted, an outcome where it cannot be."""
    size = found.path.stat().st_size
    href = _href(task.lake, found)
    plain, full = (_digest(href, size, measured=how) for how in (False, True))
    done = before.outcome.digest if before and before.outcome.state == "stored" else None
    if done == full or (done == plain and not task.measure):
        return None
    digest = full if task.measure else plain
    measures: dict[str, float] = {}
    statistics: tuple[Mapping[str, float], ...] = ()
    try:
        with files.opened(found.path) as dataset:
            header = files.header(found, dataset)
            if task.measure:
                measures, statistics = files.measured(header.product, dataset)
    except BadRaster as error:
        return Outcome(found.slot.id, "failed", digest, f"BadRaster: {error}")
    return AdoptedFacts(
        slot=found.slot,
        product=header.product,
        grid=header.grid,
        start=found.start,
        end=found.end,
        href=href,
        size=size,
        digest=digest,
        created=datetime.now(UTC),
        software=__version__,
        properties={**files.origin(found), **measures},
        statistics=statistics,
        sha256=files.sha256(found.path) if task.measure else None,
    )


def _digest(href: str, size: int, *, measured: bool) -> str:
    """Of what an item was made from: where the file is, its size, and whether it was read."""
    return hashlib.sha256(f"{href}\n{size}\n{measured}".encode()).hexdigest()[:16]


def _href(lake: str, found: Found) -> str:
    path = found.path.as_posix()
    if lake.startswith("s3://") or not path.startswith(f"{lake}/"):
        return path
    here = posixpath.dirname(keys.item_key(found.slot, 1))
    return posixpath.relpath(path.removeprefix(f"{lake}/"), here)


def _next_version(before: Entry | None) -> int:
    return 1 + ((before.outcome.version or 0) if before else 0)


def _store(objects: Objects, facts: AdoptedFacts, version: int) -> IndexRow:
    """Store an item as the next version of its slot, or find that a killed run has done so."""
    for number in range(version, version + RIVALS):
        document = adopted_item(facts, number)
        if objects.put_new(keys.item_key(facts.slot, number), encode_document(document)):
            return IndexRow(document, number)
        theirs = read_item(objects, facts.slot, number)
        if theirs["properties"].get("lake:recipe_digest") == facts.digest:
            return IndexRow(theirs, number)
    raise CommitConflict(f"{RIVALS} other versions came first: run it again", item=facts.slot.id)


def _stored(row: IndexRow) -> Outcome:
    properties: Mapping[str, Any] = row.document["properties"]
    return Outcome(
        row.document["id"],
        "stored",
        properties["lake:recipe_digest"],
        scene=properties["lake:upstream_id"],
        provider=PROVIDER,
        version=row.version,
    )
