"""Files on disk or in memory as a `Source`, and small upstream files on analytic fields."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.transform import Affine

from stac_lake.types import Asset, Scene

_SHARED = Path(__file__).parents[3] / "shared"
RECORDED = _SHARED / "upstream" / "data" if _SHARED.is_dir() else None
"""Small real files, where the checkout has them."""
MOMENT = datetime(2021, 6, 1, 17, tzinfo=UTC)


class FileSource:
    """Serves bytes by href, strictly, and remembers what it was asked for."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.calls: list[tuple[str, int]] = []
        self.ranges: list[tuple[str, int, int]] = []
        self._lock = threading.Lock()

    def size(self, asset: Asset) -> int:
        return len(self.files[asset.href])

    def read(self, asset: Asset) -> bytes:
        return self.files[asset.href]

    def read_ranges(self, asset: Asset, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        data = self.files[asset.href]
        with self._lock:
            self.calls.append((asset.href, len(ranges)))
            self.ranges.extend((asset.href, start, stop) for start, stop in ranges)
        assert all(0 <= start < stop <= len(data) for start, stop in ranges)
        return [data[start:stop] for start, stop in ranges]


def encode(data: np.ndarray, epsg: int, transform: Sequence[float], **profile: Any) -> bytes:
    """A raster file of (band, y, x) by rasterio; GTiff in tiles of 256 unless told otherwise."""
    tiled = {
        "driver": "GTiff",
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "compress": "deflate",
    }
    settings = profile if "driver" in profile else {**tiled, **profile}
    overviews = settings.pop("overviews", [])
    with MemoryFile() as memory:
        with memory.open(
            count=data.shape[0],
            height=data.shape[1],
            width=data.shape[2],
            dtype=data.dtype,
            crs=f"EPSG:{epsg}",
            transform=Affine(*transform),
            **settings,
        ) as dataset:
            dataset.write(data)
            if overviews:
                dataset.build_overviews(overviews, Resampling.nearest)
        return bytes(memory.getbuffer())


def scene_of(product: str, files: Mapping[str, str], **changes: Any) -> Scene:
    """A scene whose assets are key → href."""
    facts: dict[str, Any] = {
        "id": f"{product}-scene",
        "product": product,
        "provider": "earth-search",
        "collection": "sentinel-2-c1-l2a",
        "start": MOMENT,
        "end": MOMENT,
        "footprint": {},
        "acquisition": "a",
        "version": "1",
        "href": "https://example.com/item",
        **changes,
    }
    assets = {key: Asset(key, href, facts["provider"]) for key, href in files.items()}
    return Scene(assets=assets, **facts)
