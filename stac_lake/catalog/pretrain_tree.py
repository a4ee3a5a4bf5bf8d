"""How Copernicus-Pretrain names its GeoTIFFs, and the fields of its JSON indexes.

    s1_grd_utm/images/{grid}/{local}/{scene}.tif              s2_toa_mix/… likewise
    s3_olci_utm/images/{grid}/{scene}.tif
    s5p_l3_wgs/images/{column}/{grid}/{start}_{end}.tif       end is exclusive
    dem_grid_wgs/images/{grid}/dem.tif

`grid` and `local` are {number:07d}_{lon:.2f}_{lat:.2f}; the local coordinates are rounded and name
the place to a kilometre. Source: Copernicus-FM, Copernicus-Pretrain/data_collection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from stac_lake.errors import GridError
from stac_lake.grid import Cell

PROVIDER = "copernicus-pretrain"
"""`lake:provider` of items whose files came out of such a tree."""


@dataclass(frozen=True)
class Field:
    """One modality of the tree.

    Attributes:
        name: Key in the JSON indexes.
        modality: Of the lake.
        folder: Below the root, as the indexes write it.
        also: Other names that the folder has: of the loader's copy, of the download scripts.
    """

    name: str
    modality: str
    folder: str
    also: tuple[str, ...] = ()

    @property
    def per_patch(self) -> bool:
        """Whether files lie in a folder per patch."""
        return self.modality in {"s1", "s2"}


def _column(name: str, modality: str, column: str) -> Field:
    plain = column.removeprefix("tropospheric_")
    others = tuple({f"s5p/images/{plain}", f"s5p/images/{column}", f"s5p_l3_wgs/images/{plain}"})
    return Field(name, modality, f"s5p_l3_wgs/images/{column}", tuple(sorted(others)))


FIELDS: tuple[Field, ...] = (
    Field("s1_grd", "s1", "s1_grd_utm/images", ("s1/images",)),
    Field("s2_toa", "s2", "s2_toa_mix/images", ("s2/images",)),
    # The indexes name the UTM files; what is published, and read, is their WGS 84 copy.
    Field("s3_olci", "s3", "s3_olci_utm/images", ("s3_olci_wgs/images", "s3/images")),
    _column("s5p_co", "co", "CO_column_number_density"),
    _column("s5p_no2", "no2", "tropospheric_NO2_column_number_density"),
    _column("s5p_so2", "so2", "SO2_column_number_density"),
    _column("s5p_o3", "o3", "O3_column_number_density"),
    Field("dem", "dem", "dem_grid_wgs/images", ("dem/images",)),
)
"""In the order of the indexes."""

_PLACE = re.compile(r"(\d{7})_(-?\d+\.\d\d)_(-?\d+\.\d\d)")


def place_name(number: int, lon: float, lat: float) -> str:
    """Folder of a cell or patch: ``1087609_128.50_67.25``; minus zero is written as zero."""
    return f"{number:07d}_{round(lon, 2) + 0.0:.2f}_{round(lat, 2) + 0.0:.2f}"


def parse_place(text: str) -> tuple[int, float, float]:
    """Number, longitude and latitude of a folder's name.

    Raises:
        GridError: `text` is none.
    """
    match = _PLACE.fullmatch(text)
    if not match or abs(float(match[3])) > 90:
        raise GridError(f"{text!r} is not NUMBER_LON_LAT, as folders of the tree are called")
    return int(match[1]), float(match[2]), float(match[3])


def parse_cell(text: str) -> Cell:
    """The cell of a folder's name.

    Raises:
        GridError: it names no cell, or its coordinates are those of another one.
    """
    number, lon, lat = parse_place(text)
    cell = Cell(number)
    if (lon, lat) != (cell.lon, cell.lat):
        raise GridError(f"{text!r} contradicts itself: cell {number} is {cell.name}")
    return cell
