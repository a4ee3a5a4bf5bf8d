"""A small harvest that kills itself at a chosen store call; run in processes of their own."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import obstore
from made_items import FARM, ICE, facts, slot_of

import stac_lake.catalog.log as log_module
from stac_lake.catalog.commit import commit, stored
from stac_lake.catalog.index import Index, IndexRow
from stac_lake.catalog.publish import publish
from stac_lake.catalog.rows import table_of
from stac_lake.store.objects import Objects

SLOTS = (slot_of("s2-l2a"), slot_of("dem-glo30", ICE))

_CALLS = (
    (obstore, "put"),
    (obstore, "get"),
    (obstore, "head"),
    (obstore, "list"),
    (log_module, "create_table_with_add_actions"),
)


def harvest(url: str) -> int:
    """Commit what is missing, index it, publish; returns how many items were written."""
    objects = Objects.open(url)
    index = Index(objects)
    index.reconcile([FARM, ICE])
    have = {**stored(objects, FARM), **stored(objects, ICE)}
    rows = []
    for slot in SLOTS:
        made = facts(slot, data=slot.id.encode() * 100)
        if have.get(slot.id, (0, ""))[1] != made.digest:
            done = commit(objects, made, slot.id.encode() * 100)
            rows.append(IndexRow(done.document, done.version))
    index.append(rows)
    publish(objects, index, [FARM, ICE])
    return len(rows)


def harvest_and_die(url: str, at: int) -> None:
    """Harvest; before store call number `at`, from 0, the process kills itself.

    What a kill after a call leaves is what a kill before the next one leaves.
    """
    calls = itertools.count()

    def deadly(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if next(calls) == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)

        return call

    for owner, name in _CALLS:
        setattr(owner, name, deadly(getattr(owner, name)))
    harvest(url)


def append_many(url: str, writer: int, commits: int) -> None:
    """Append rows that no other writer has, one commit each."""
    index = Index(Objects.open(url))
    for number in range(commits):
        slot = replace(slot_of("s5p-co"), name=f"w{writer}n{number}")
        document = commit(index.objects, facts(slot), b"II*\x00 stands for a COG").document
        index.append([IndexRow(document, 1)])


def log_many(url: str, writer: int, entries: int, *, careful: bool) -> None:
    """Append to a log of numbered objects, by create-only PUTs, or by PUTs that overwrite."""
    objects = Objects.open(url)
    for number in range(entries):
        body = f"w{writer}n{number}".encode()
        while True:
            key = f"log/{sum(1 for _ in objects.list('log/')):04d}"
            if not careful:
                objects.put(key, body)
                break
            if objects.put_new(key, body):
                break


def _in_children(jobs: Sequence[Callable[[], object]], *, together: bool) -> list[int]:
    """Run jobs in forked children; returns exit codes, negative for a signal.

    This process has imported everything and opened nothing: obstore's threads do not survive a
    fork, and importing takes longer than the job.
    """
    codes = []
    running: list[int] = []
    for number, job in enumerate(jobs, 1):
        pid = os.fork()
        if pid == 0:
            try:
                job()
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        running.append(pid)
        if not together or number == len(jobs):
            codes += [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in running]
            running.clear()
    return codes


def main(what: str, url: str, number: int) -> list[int]:
    """`each`: die before call 0 … number, a lake each; `at`: die there; or `number` at once."""
    table_of([])  # Arrow imports pandas now, and not in every child.
    jobs: list[Callable[[], object]]
    if what == "each":
        jobs = [partial(harvest_and_die, f"{url}/{at}", at) for at in range(number)]
        return _in_children(jobs, together=False)
    if what == "at":
        return _in_children([partial(harvest_and_die, url, number)], together=False)
    if what == "harvest":
        return _in_children([partial(harvest, url)] * number, together=True)
    if what in {"log", "overwrite"}:
        careful = what == "log"
        logs = [partial(log_many, url, writer, 25, careful=careful) for writer in range(number)]
        return _in_children(logs, together=True)
    jobs = [partial(append_many, url, writer, 5) for writer in range(number)]
    return _in_children(jobs, together=True)


if __name__ == "__main__":
    json.dump(main(sys.argv[1], sys.argv[2], int(sys.argv[3])), sys.stdout)
