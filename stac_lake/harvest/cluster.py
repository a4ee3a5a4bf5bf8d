"""Where tasks run: threads of this process, or a dask cluster; and how a run is interrupted."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any

from stac_lake.errors import ConfigError, StacLakeError
from stac_lake.harvest.task import Context, Done, Task, run_task

_CONNECT_S = "10s"
_LOOK_S = 0.2
"""How long a Ctrl-C may wait to be seen."""

Submit = Callable[[Sequence[Task]], Iterator[tuple[Task, Done]]]
"""Runs tasks and yields them as they end."""


@contextmanager
def cluster(context: Context, *, workers: int, scheduler: str | None) -> Iterator[Submit]:
    """Something that runs tasks.

    Args:
        context: Where they read and write.
        workers: Threads, when no scheduler is given.
        scheduler: Address of a running dask cluster; None runs threads in this process.

    Raises:
        ConfigError: no scheduler answers there.
    """
    from distributed import Client

    # It logs each connection of the in-process cluster, and each exception that comes back
    # through its future anyway.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    # It looks for this machine's outward address even where nothing leaves the process.
    warnings.filterwarnings("ignore", "Couldn't detect a suitable IP", RuntimeWarning)
    if scheduler:
        client = _connected(scheduler)
    else:
        client = Client(
            processes=False,
            n_workers=1,
            threads_per_worker=workers,
            # None would open the default port to the world.
            dashboard_address="127.0.0.1:0",
            # Threads share this process: its memory is bounded by the tasks, not by a nanny.
            memory_limit=0,
        )

    def submit(jobs: Sequence[Task]) -> Iterator[tuple[Task, Done]]:
        futures = {client.submit(run_task, job, context, pure=False): job for job in jobs}
        ended: SimpleQueue[Any] = SimpleQueue()
        for future in futures:
            future.add_done_callback(ended.put)
        try:
            with _interrupts() as pressed:
                for _ in jobs:
                    future = _next(ended, pressed)
                    try:
                        yield futures[future], future.result()
                    except CancelledError as error:
                        raise StacLakeError(
                            "the dask cluster gave the task up; run the harvest again",
                            task=futures[future].key,
                        ) from error
        finally:
            client.cancel(list(futures), force=True)

    interrupted = False
    try:
        yield submit
    except KeyboardInterrupt:
        # Closing waits for the tasks, and those perhaps for a provider that does not answer.
        interrupted = True
        raise
    finally:
        if not interrupted:
            client.close()


def _next(ended: SimpleQueue[Any], pressed: threading.Event) -> Any:
    while True:
        if pressed.is_set():
            raise KeyboardInterrupt
        try:
            return ended.get(timeout=_LOOK_S)
        except Empty:
            continue


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets.

    Python raises KeyboardInterrupt wherever the main thread happens to be, and drops it where that
    is a finalizer or a callback of a library. Here it is looked for between two tasks instead; what
    is being written to the index is written to its end.
    """
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return
    before = signal.signal(signal.SIGINT, lambda *_: pressed.set())
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _connected(scheduler: str) -> Any:
    from distributed import Client

    try:
        return Client(scheduler, timeout=_CONNECT_S)
    except (OSError, ValueError, TimeoutError) as error:
        raise ConfigError(
            f"no dask scheduler answers at {scheduler!r}: start one with `dask scheduler`, "
            f"or leave --scheduler out to run threads here ({error})"
        ) from error
