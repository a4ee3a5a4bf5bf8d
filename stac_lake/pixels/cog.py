"""A chip as a cloud-optimized GeoTIFF: one file for all bands, one tile for a patch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from rasterio import Env
from rasterio.io import DatasetReader, MemoryFile
from rasterio.transform import Affine

from stac_lake.errors import PixelError
from stac_lake.recipe import Product
from stac_lake.types import Chip

MAX_TILE = 512
ZSTD_LEVEL = 1
"""Higher levels take longer and save next to nothing on reflectances, which end in noise."""
_ENV = {
    "GDAL_NUM_THREADS": 1,
    "GDAL_PAM_ENABLED": False,
    # GDAL writes tiles under 128 pixels well, but warns of them.
    "GDAL_VALIDATE_CREATION_OPTIONS": False,
}


@dataclass(frozen=True)
class Cog:
    """An encoded chip.

    Attributes:
        data: The file.
        sha256: Hex digest of `data`.
        layout: `lake:layout` of the asset: what a reader needs to fetch tiles without the header.
            ``offsets`` and ``byte_counts`` are those of the full image, row by row.
    """

    data: bytes
    sha256: str
    layout: dict[str, Any]


def encode_cog(chip: Chip, product: Product) -> Cog:
    """Encode a chip by GDAL's COG driver: pixel-interleaved, zstd, predictor, no or one overview.

    Raises:
        PixelError: the chip's bands or type are not the product's.
    """
    bands, rows, columns = chip.data.shape
    if chip.bands != product.band_names or bands != len(chip.bands):
        raise PixelError(f"the chip has bands {chip.bands}, not {product.band_names}")
    if chip.data.dtype != np.dtype(product.dtype):
        raise PixelError(f"the chip is {chip.data.dtype}, {product.id} is {product.dtype}")
    tile = min(-(-max(rows, columns) // 16) * 16, MAX_TILE)
    profile = {
        "driver": "COG",
        "count": bands,
        "height": rows,
        "width": columns,
        "dtype": product.dtype,
        "crs": f"EPSG:{chip.grid.epsg}",
        "transform": Affine(*chip.grid.transform),
        "nodata": product.nodata,
        "compress": "ZSTD",
        "level": ZSTD_LEVEL,
        "predictor": "YES",
        "blocksize": tile,
        "overviews": "AUTO" if product.overview else "NONE",
        "overview_count": 1,
        # Flags cannot be averaged, and one method holds for all bands.
        "overview_resampling": "NEAREST",
    }
    with Env(**_ENV), MemoryFile() as memory:
        with memory.open(**profile) as dataset:
            dataset.write(chip.data)
            dataset.descriptions = chip.bands
            dataset.scales = [band.scale or 1.0 for band in product.bands]
            dataset.offsets = [
                float(chip.band_metadata.get(band.name, {}).get("raster:offset", band.offset or 0))
                for band in product.bands
            ]
            dataset.units = [band.unit or "" for band in product.bands]
        data = bytes(memory.getbuffer())
        with memory.open() as dataset:
            layout = _layout(dataset, 3 if chip.data.dtype.kind == "f" else 2)
    return Cog(data, hashlib.sha256(data).hexdigest(), layout)


def _layout(dataset: DatasetReader, predictor: int) -> dict[str, Any]:
    height, width = dataset.block_shapes[0]
    across, down = -(-dataset.width // width), -(-dataset.height // height)
    tiles = [(column, row) for row in range(down) for column in range(across)]

    def table(name: str, level: int | None = None) -> list[int]:
        return [
            int(dataset.get_tag_item(f"BLOCK_{name}_{column}_{row}", "TIFF", bidx=1, ovr=level))
            for column, row in tiles
        ]

    offsets = table("OFFSET")
    overviews = [
        int(dataset.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1, ovr=level))
        for level in range(len(dataset.overviews(1)))
    ]
    return {
        "tile": [height, width],
        "offsets": offsets,
        "byte_counts": table("SIZE"),
        "interleave": "pixel",
        "predictor": predictor,
        "compression": "zstd",
        # Overviews come before the full image.
        "header_size": min(offsets + overviews),
    }
