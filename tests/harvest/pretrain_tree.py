"""A small Copernicus-Pretrain tree, as its description has it: names, folders, profile, sizes."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import Affine

GAS = "s5p_l3_wgs/images/{}_column_number_density"
ROOTS = {
    "s1_grd": "s1_grd_utm/images",
    "s2_toa": "s2_toa_mix/images",
    "s3_olci": "s3_olci_utm/images",
    "s5p_co": GAS.format("CO"),
    "s5p_no2": GAS.format("tropospheric_NO2"),
    "s5p_so2": GAS.format("SO2"),
    "s5p_o3": GAS.format("O3"),
    "dem": "dem_grid_wgs/images",
}
FULL, PART = "0906994_128.50_67.25", "0772176_-96.00_44.00"
LOCAL, OTHER = "1087609_128.50_67.25", "0865831_-95.92_43.96"
POLAR = "1200003_-95.95_43.99"
S2 = (
    "20201002T221611_20201002T221610_T60HWB", "20210303T023621_20210303T023618_T51WWQ",
    "20200215T030811_20200215T030808_T51WWQ", "20220701T023549_20220701T023550_T51WWQ",
)  # fmt: skip
S1 = (
    "S1A_IW_GRDH_1SDV_20221121T212433_20221121T212458_046005_05814F_2C3D",
    "S1B_IW_GRDH_1SDV_20210827T212433_20210827T212458_028413_0363DE_1A2B",
)
EW = "S1A_EW_GRDM_1SDH_20220322T110211_20220322T110311_042434_050F7D_9C1F"
OLCI = tuple(f"S3{'AB'[n % 2]}_2021{n:02d}05T0{n}1633_2021{n:02d}05T0{n}1933" for n in range(1, 9))
MONTHS = ("2021-01-01_2021-02-01", "2021-06-01_2021-07-01", "2021-12-01_2021-12-31")


@dataclass(frozen=True)
class Profile:
    """Of one modality's files: bands, type, EPSG, pixel size, upper-left corner, rows, columns."""

    count: int
    dtype: str
    epsg: int
    size: float
    corner: tuple[float, float]
    shape: tuple[int, int]


# Corner and size of the patch as the shipped example has them; the others around 128.50 E 67.25 N.
PROFILES = {
    "s1_grd": Profile(2, "float32", 32651, 10, (562990, 7461260), (268, 267)),
    "s2_toa": Profile(13, "uint16", 32760, 10, (562990, 5690260), (264, 264)),
    "s3_olci": Profile(21, "float32", 32652, 300, (464100, 7475700), (94, 95)),
    "dem": Profile(1, "float32", 4326, 0.00026949458523585647, (128.17552, 67.37615), (936, 2402)),
}
COLUMN = Profile(1, "float32", 4326, 0.01, (128.17, 67.38), (26, 66))


def files(field: str, cell: str) -> list[str]:
    """Paths of a full cell's files of a field, below the root."""
    folder = f"{ROOTS[field]}/{cell}"
    if field == "s2_toa":
        return [f"{folder}/{LOCAL}/{name}.tif" for name in S2]
    if field == "s1_grd":
        return [f"{folder}/{LOCAL}/{name}.tif" for name in S1]
    names = {"s3_olci": OLCI, "dem": ("dem",)}.get(field, MONTHS)
    return [f"{folder}/{name}.tif" for name in names]


PATHS = [path for field in ROOTS for path in files(field, FULL)] + [
    f"{ROOTS['s2_toa']}/{PART}/{OTHER}/{S2[0]}.tif",
    f"{ROOTS['s2_toa']}/{PART}/{OTHER}/{S2[1]}.tif",
    f"{ROOTS['s1_grd']}/{PART}/{POLAR}/{EW}.tif",
    f"{ROOTS['s5p_no2']}/{PART}/{MONTHS[1]}.tif",
]
"""31 files: a cell with all modalities, and one with a part."""


def field_of(path: str) -> str:
    return next(name for name, root in ROOTS.items() if path.startswith(root))


def pixels(path: str) -> np.ndarray:
    """(band, y, x): what a file holds."""
    field = field_of(path)
    profile = PROFILES.get(field, COLUMN)
    rng = np.random.default_rng(zlib.crc32(path.encode()))
    shape = (profile.count, *profile.shape)
    if field == "s2_toa":
        data = rng.integers(900, 4000, shape).astype(np.uint16)
        data[:, :3, :5] = 0
        data[4, 7, 7] = 0
        return data
    data = (rng.normal(-12 if field == "s1_grd" else 40, 3, shape)).astype(np.float32)
    if field.startswith("s5p"):
        data *= np.float32(1e-5)
    data[:, -1, -4:] = np.nan
    return data


def write(path: Path, data: np.ndarray, profile: Profile) -> None:
    """Uncompressed, in strips of one row, pixel-interleaved, without names, as it was exported."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"nodata": 0} if profile.dtype == "uint16" else {}
    with rasterio.open(
        path, "w", driver="GTiff", count=len(data), dtype=profile.dtype,
        height=data.shape[1], width=data.shape[2], crs=f"EPSG:{profile.epsg}",
        transform=Affine(profile.size, 0, profile.corner[0], 0, -profile.size, profile.corner[1]),
        interleave="pixel", blockysize=1, **options,
    ) as dataset:  # fmt: skip
        dataset.write(data)


def make(tree: Path, paths: list[str] = PATHS) -> Path:
    for path in paths:
        write(tree / path, pixels(path), PROFILES.get(field_of(path), COLUMN))
    return tree


def counted(tree: Path) -> dict[str, dict[str, object]]:
    """What the original's script makes of a tree, by its description: cells that have any file."""
    found: dict[str, dict[str, object]] = {}
    for field, root in ROOTS.items():
        for cell in names(tree / root):
            empty = {name: {} if name in {"s1_grd", "s2_toa"} else [] for name in ROOTS}
            entry = found.setdefault(str(int(cell[:7])), {"grid_id_coord": cell, **empty})
            folder = f"{root}/{cell}"
            if field in {"s1_grd", "s2_toa"}:
                entry[field] = {
                    local: [f"{folder}/{local}/{name}" for name in names(tree / folder / local)]
                    for local in names(tree / folder)
                }
            else:
                entry[field] = [f"{folder}/{name}" for name in names(tree / folder)]
    return found


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
