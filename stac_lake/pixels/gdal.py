"""Fallback for JPEG 2000 and TIFF layouts that the tile engine leaves alone: GDAL on our bytes.

GDAL gets neither a path nor a URL: its opener hands out the one file and denies all others (side
files, and whatever a hostile file refers to), and the driver is fixed after a look at the magic
bytes, so that no VRT is ever opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window as GdalWindow

from stac_lake.errors import BadRaster
from stac_lake.pixels.ranges import RangeCursor, Ranges
from stac_lake.pixels.raster import PIXELS, Level, Window, checked_size
from stac_lake.types import Affine6

Driver = Literal["GTiff", "JP2OpenJPEG"]
_NAME = "raster"
_ENV = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": False,
    "GDAL_NUM_THREADS": 1,  # bands are read in parallel by us
}


class GdalRaster:
    """A raster read by GDAL; a `Raster` with the full image as its only level.

    The dataset is opened for each read and closed in the same thread: one that the garbage
    collector finds, with its opener, takes the process down (rasterio 1.4.4). Opening again costs
    no request, as the header is in the block cache of `Ranges`.
    """

    def __init__(self, ranges: Ranges, driver: Driver, *, georeferenced: bool = True) -> None:
        self.asset = ranges.asset
        self._ranges = ranges
        self._driver = driver
        with self._opened() as dataset:
            self.dtype = np.dtype(dataset.dtypes[0])
            self.nodata: float | None = dataset.nodata
            shape = (dataset.height, dataset.width)
            rows, columns = dataset.block_shapes[0]
            checked_size(self.asset, shape, rows * columns * self.dtype.itemsize)
            self.epsg, transform = self._georeference(dataset) if georeferenced else (0, PIXELS)
        self.levels = [Level(shape, transform)]

    def read(self, windows: Sequence[Window], fill: float, level: int = 0) -> list[NDArray[Any]]:
        """See `Raster.read`; blocks that several windows touch come from GDAL's cache."""
        height, width = self.levels[level].shape
        out = []
        with self._opened() as dataset:
            for w in windows:
                pixels = np.full((dataset.count, w.rows, w.columns), fill, self.dtype)
                top, left = max(w.row, 0), max(w.column, 0)
                rows = min(w.row + w.rows, height) - top
                columns = min(w.column + w.columns, width) - left
                if rows > 0 and columns > 0:
                    place = pixels[:, top - w.row :, left - w.column :][:, :rows, :columns]
                    place[:] = dataset.read(window=GdalWindow(left, top, columns, rows))
                out.append(pixels)
        return out

    @contextmanager
    def _opened(self) -> Iterator[DatasetReader]:
        try:
            with (
                rasterio.Env(**_ENV),
                rasterio.open(_NAME, opener=self._open, driver=self._driver) as dataset,
            ):
                yield dataset
        except (RasterioError, OSError, ValueError) as error:
            why = self._bad(f"it cannot be read as {self._driver}: {error}")
            raise self._ranges.failure or why from error
        if self._ranges.failure:
            raise self._ranges.failure  # GDAL took a failed read for the end of the file

    def _open(self, path: str, mode: str = "rb") -> RangeCursor:
        if path != _NAME or "r" not in mode or "+" in mode:
            raise FileNotFoundError(path)
        return RangeCursor(self._ranges)

    def _georeference(self, dataset: DatasetReader) -> tuple[int, Affine6]:
        epsg, transform = self.asset.epsg, self.asset.transform
        if dataset.crs is not None and not dataset.transform.is_identity:
            a, b, c, d, e, f = tuple(dataset.transform)[:6]
            epsg, transform = dataset.crs.to_epsg(), (a, b, c, d, e, f)
        if epsg is None or transform is None:
            raise self._bad("neither the file nor its item says where the pixels are")
        if transform[1] or transform[3] or not transform[0] > 0 > transform[4]:
            raise self._bad("the image is rotated or not north-up")
        return int(epsg), transform

    def _bad(self, message: str) -> BadRaster:
        return BadRaster(message, asset=self.asset.href)
