"""The raster files of a task: each opened once, read in parallel."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from stac_lake.errors import AssetMissing
from stac_lake.pixels.raster import Raster
from stac_lake.pixels.sampling import open_raster
from stac_lake.types import Scene, Source

_WORKERS = 8
"""Files read at a time: they wait for the network most of the time."""

T = TypeVar("T")
R = TypeVar("R")


class Files:
    """Opens the assets of scenes through a source and keeps their headers. Thread-safe.

    Args:
        source: Where the bytes come from.
        georeferenced: False for images that are read by line and pixel, whatever they say.
    """

    def __init__(self, source: Source, *, georeferenced: bool = True) -> None:
        self._source = source
        self._georeferenced = georeferenced
        self._opened: dict[tuple[str, str], Raster] = {}
        self._lock = threading.Lock()

    def raster(self, scene: Scene, key: str) -> Raster:
        """An asset of a scene as an opened raster.

        Raises:
            AssetMissing: the scene has no such asset.
            BadRaster: it is no raster that can be read.
            UpstreamError: it could not be read.
        """
        if key not in scene.assets:
            raise AssetMissing(f"the scene has no asset for {key}", item=scene.id)
        asset = scene.assets[key]
        name = (asset.provider, asset.href)
        with self._lock:
            found = self._opened.get(name)
        if found is None:
            found = open_raster(self._source, asset, georeferenced=self._georeferenced)
            with self._lock:
                found = self._opened.setdefault(name, found)
        return found


def in_parallel(work: Callable[[T], R], things: Iterable[T]) -> list[R]:
    """`work` of each thing, in order, on a few threads of their own.

    The first exception is raised; what has not begun by then is not begun.
    """
    with ThreadPoolExecutor(_WORKERS, "pixels") as pool:
        futures = [pool.submit(work, thing) for thing in things]
        try:
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            raise
