"""One view of all raster files: levels, windows, and which engine opens what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stac_lake.errors import BadRaster
from stac_lake.types import Affine6, Asset

MAX_SIDE = 1_000_000
"""Pixels; a UTM zone at 10 m has 100,000 × 1,000,000."""
PIXELS: Affine6 = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
"""Transform of a raster that is read by line and pixel, as it has no affine: radar images."""
MAX_BLOCK_BYTES = 256 << 20
"""Of one decoded tile: a whole Sentinel-2 band of 10,980² as a single JPEG 2000 tile still fits."""


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of pixels; it may reach beyond the file."""

    row: int
    column: int
    rows: int
    columns: int


@dataclass(frozen=True, slots=True)
class Level:
    """The full image or one of its overviews.

    Attributes:
        shape: (rows, columns).
        transform: Pixel corner (column, row) to CRS, without rotation.
    """

    shape: tuple[int, int]
    transform: Affine6

    def coarser(self, shape: tuple[int, int]) -> Level:
        """The overview of that shape: same extent, larger pixels."""
        a, b, c, d, e, f = self.transform
        width, height = a * self.shape[1] / shape[1], e * self.shape[0] / shape[0]
        return Level(shape, (width, b, c, d, height, f))


class Raster(Protocol):
    """An opened file: its header is known, its pixels are read on demand. Thread-safe."""

    @property
    def asset(self) -> Asset: ...
    @property
    def epsg(self) -> int: ...
    @property
    def nodata(self) -> float | None: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def levels(self) -> Sequence[Level]:
        """The full image first, then overviews, largest first."""

    def read(self, windows: Sequence[Window], fill: float, level: int = 0) -> list[NDArray[Any]]:
        """Pixels of windows, each (band, row, column); `fill` beyond the file.

        Raises:
            BadRaster: the bytes are not what the header promises.
            UpstreamError: they could not be read.
        """


def checked_size(asset: Asset, shape: tuple[int, int], block_bytes: int) -> None:
    """Refuse what a header declares before anything is allocated for it.

    Raises:
        BadRaster: the image or one of its tiles is larger than any that we know.
    """
    if not all(0 < side <= MAX_SIDE for side in shape) or not 0 < block_bytes <= MAX_BLOCK_BYTES:
        raise BadRaster(
            f"the header declares {shape[0]} × {shape[1]} pixels in tiles of {block_bytes} bytes; "
            "the file is corrupt or hostile",
            asset=asset.href,
        )
