"""What the files of a Copernicus-Pretrain tree say of themselves, by their names and headers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from stac_lake.catalog.item import DEM_EPOCH
from stac_lake.catalog.pretrain_tree import FIELDS, PROVIDER, Field, parse_cell, parse_place
from stac_lake.errors import BadRaster, GridError
from stac_lake.grid import Cell, Patch, patch_at
from stac_lake.quality.measure import percent, statistics
from stac_lake.recipe import COMPANIONS, Product, product
from stac_lake.types import MILLISECOND, PixelGrid, Slot

PRODUCTS = {
    "s1": "s1-grd", "s2": "s2-l1c", "s3": "s3-olci-efr", "co": "s5p-co", "no2": "s5p-no2",
    "so2": "s5p-so2", "o3": "s5p-o3", "dem": "dem-glo30",
}  # fmt: skip
COLLECTIONS = {
    "s1": "COPERNICUS/S1_GRD", "s3": "COPERNICUS/S3/OLCI", "co": "COPERNICUS/S5P/OFFL/L3_CO",
    "no2": "COPERNICUS/S5P/OFFL/L3_NO2", "so2": "COPERNICUS/S5P/OFFL/L3_SO2",
    "o3": "COPERNICUS/S5P/OFFL/L3_O3", "dem": "COPERNICUS/DEM/GLO30",
}  # fmt: skip
"""Of Earth Engine. Sentinel-2 came from two, with the offset and without: no file says which."""

LEAST_BYTES = 1000
"""Smaller files are what a server answered instead of an image, as the original has it."""

_MOMENT = re.compile(r"(\d{8}T\d{6})")
_MONTH = re.compile(r"(\d{4}-\d{2}-\d{2})_(\d{4}-\d{2}-\d{2})")
_RADAR = re.compile(r"(S1[A-D])_(IW|EW|SM|WV)_GRD[FHM]_1S(D|S)(V|H)_\w+?_\w+?_(\d{6})_")
_OLCI = re.compile(r"(S3[A-D])_")


@dataclass(frozen=True)
class Found:
    """A file of the tree that names a slot.

    Attributes:
        path: Where it is.
        field: Of the tree.
        slot: That it fills.
        source_patch: What the tree calls the patch; None for files of a cell.
        start: By its name.
        end: The last millisecond of a composite; None for a scene.
    """

    path: Path
    field: Field
    slot: Slot
    source_patch: str | None
    start: datetime
    end: datetime | None


@dataclass(frozen=True)
class Header:
    """What a GeoTIFF's header says.

    Attributes:
        grid: Where the pixels lie.
        product: With the file's bands.
    """

    grid: PixelGrid
    product: Product


def roots(tree: Path) -> dict[str, Path]:
    """Field → the folder of its cells, for those that a tree has; the first of its names."""
    return {
        one.name: tree / name
        for one in FIELDS
        for name in reversed((one.folder, *one.also))
        if (tree / name).is_dir()
    }


def files_of(one: Field, folder: Path) -> Iterator[Found | tuple[Path, str]]:
    """The files of one cell and modality; a file that names no slot comes with the reason.

    Args:
        one: Of the tree.
        folder: Of the cell.
    """
    try:
        cell = parse_cell(folder.name)
    except GridError as error:
        yield folder, str(error)
        return
    if not one.per_patch:
        yield from _in_folder(one, folder, cell, None, None)
        return
    taken: dict[Patch, str] = {}
    for local in sorted(path for path in folder.iterdir() if path.is_dir()):
        try:
            _, lon, lat = parse_place(local.name)
        except GridError as error:
            yield local, str(error)
            continue
        # Coordinates of folders are rounded to 0.01°: the patch is named by them, alike for both
        # sensors and all dates; where the pixels lie is in each file's own header.
        patch = patch_at(lon, lat)
        if taken.setdefault(patch, local.name) != local.name:
            yield local, f"stands for the same patch {patch.id} as {taken[patch]}"
            continue
        yield from _in_folder(one, local, cell, patch, local.name)


def _in_folder(
    one: Field, folder: Path, cell: Cell, patch: Patch | None, source_patch: str | None
) -> Iterator[Found | tuple[Path, str]]:
    taken: dict[str, str] = {}
    for path in sorted(path for path in folder.iterdir() if path.suffix == ".tif"):
        try:
            name, start, end = _times(one, path.stem)
        except ValueError as error:
            yield path, f"the name tells no time: {error}"
            continue
        if taken.setdefault(name, path.name) != path.name:
            yield path, f"is of the same moment as {taken[name]}"
            continue
        slot = Slot(PRODUCTS[one.modality], cell, patch, name)
        yield Found(path, one, slot, source_patch, start, end)


def _times(one: Field, stem: str) -> tuple[str, datetime, datetime | None]:
    """Slot name, start, and end of a composite."""
    if one.modality == "dem":
        if stem != "dem":
            raise ValueError("expected dem.tif")
        return "static", DEM_EPOCH, None
    if one.modality in {"s1", "s2", "s3"}:
        match = _MOMENT.search(stem)
        if not match:
            raise ValueError("expected YYYYMMDDTHHMMSS in it")
        return match[1], datetime.strptime(f"{match[1]}Z", "%Y%m%dT%H%M%S%z"), None
    match = _MONTH.fullmatch(stem)
    if not match:
        raise ValueError("expected START_END.tif")
    start, end = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in match.groups())
    if not start < end < start + timedelta(days=32):
        raise ValueError("expected a month")
    return f"{start:%Y-%m}", start, end - MILLISECOND


def header(found: Found, dataset: DatasetReader) -> Header:
    """What an open file's header says.

    Raises:
        BadRaster: it is not an image of the field's product.
    """
    made = _with_bands(found)
    if dataset.count != len(made.bands):
        raise BadRaster(f"{dataset.count} bands instead of {len(made.bands)}")
    kinds = {np.dtype(name).kind for name in dataset.dtypes}
    if kinds != {np.dtype(made.dtype).kind}:
        raise BadRaster(f"numbers are {dataset.dtypes[0]} instead of {made.dtype}")
    crs = dataset.crs
    epsg = None if crs is None else _epsg(crs.to_wkt())
    if epsg is None:
        raise BadRaster("the coordinate system has no EPSG number")
    a, b, c, d, e, f = dataset.transform[:6]
    if b or d or a <= 0 or e >= 0:
        raise BadRaster("the image is not north-up")
    grid = PixelGrid(epsg, (a, b, c, d, e, f), (dataset.height, dataset.width))
    return Header(grid, made)


def opened(path: Path) -> DatasetReader:
    """A file of the tree, to be read by GDAL's GeoTIFF driver alone.

    Raises:
        BadRaster: it is none, or too small to be one.
    """
    size = path.stat().st_size
    if size < LEAST_BYTES:
        raise BadRaster(f"{size} bytes are no image, but what a server answered instead of one")
    try:
        return rasterio.open(path, driver="GTiff")
    except RasterioError as error:
        raise BadRaster("not a GeoTIFF, or not whole") from error


def origin(found: Found) -> dict[str, Any]:
    """Item properties that the file's name and place tell."""
    modality, stem = found.field.modality, found.path.stem
    told: dict[str, Any] = {
        "lake:provider": PROVIDER,
        "lake:upstream_id": stem,
        "lake:upstream_collection": COLLECTIONS.get(modality),
        "lake:source_patch_id": found.source_patch,
    }
    radar = _RADAR.match(stem) if modality == "s1" else None
    if radar:
        platform, mode, _, first, orbit = radar.groups()
        told |= {
            "platform": f"sentinel-1{platform[-1].lower()}",
            "sar:instrument_mode": mode,
            "sar:polarizations": ["VV", "VH"] if first == "V" else ["HH", "HV"],
            # Of the Sentinel-1 instrument, in GHz: ESA, Sentinel-1 product definition.
            "sar:frequency_band": "C",
            "sar:center_frequency": 5.405,
            "sat:absolute_orbit": int(orbit),
        }
    olci = _OLCI.match(stem) if modality == "s3" else None
    if olci:
        told["platform"] = f"sentinel-3{olci[1][-1].lower()}"
    return told


def measured(
    made: Product, dataset: DatasetReader
) -> tuple[dict[str, float], tuple[dict[str, float], ...]]:
    """Shares and band statistics of an open file, over what is finite and not nodata.

    Returns:
        ``lake:valid_pct`` (pixels that are usable in every band), ``lake:nodata_pct`` (in none),
        and per band what `quality.measure` gives.

    Raises:
        BadRaster: the pixels cannot be read.
    """
    try:
        data: NDArray[Any] = dataset.read()
    except RasterioError as error:
        raise BadRaster("the pixels cannot be read: the file is damaged") from error
    usable = np.isfinite(data) if data.dtype.kind == "f" else data != made.nodata
    if dataset.nodata is not None:
        usable &= data != dataset.nodata
    shares = {
        "lake:valid_pct": percent(usable.all(axis=0)),
        "lake:nodata_pct": percent(~usable.any(axis=0)),
    }
    return shares, tuple(statistics(*pair) for pair in zip(data, usable, strict=True))


def sha256(path: Path) -> str:
    """Of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _with_bands(found: Found) -> Product:
    """The product with the bands that a file of the tree has: values, no flags."""
    made = product(PRODUCTS[found.field.modality])
    names = tuple(band.name for band in made.bands if band.name not in COMPANIONS)
    if found.field.modality == "s1":
        radar = _RADAR.match(found.path.stem)
        if not radar or radar[3] != "D":
            raise BadRaster("the name does not tell the two polarisations")
        names = ("VV", "VH") if radar[4] == "V" else ("HH", "HV")
    return _chosen(made.id, names)


@lru_cache
def _chosen(name: str, bands: tuple[str, ...]) -> Product:
    return product(name).with_bands(bands)


# To look a number up takes longer than all else; there are a hundred systems in a tree.
@lru_cache(maxsize=512)
def _epsg(wkt: str) -> int | None:
    from rasterio.crs import CRS

    found = CRS.from_wkt(wkt).to_epsg()
    return None if found is None else int(found)
