"""HARP, the tool behind the Earth Engine product, and our gridding on the same granules.

HARP weighs by areas in the plane of longitude and latitude and takes the edges of footprints for
straight lines there (stcorp/harp issue 172); ours are areas and great circles on the sphere. The
difference grows with latitude. On the equator, where both are the same, the agreement is that of
float32; elsewhere two things are shown: HARP is the planar sum to rounding, ours the spherical one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import h5py
import harp
import numpy as np
import pytest
import shapely

from stac_lake.grid import Cell, cell_at
from stac_lake.pixels.column import Column
from stac_lake.recipe import product
from stac_lake.sandbox import s5p
from stac_lake.sandbox.orbits import passes
from stac_lake.sandbox.s5p_file import HALF_SWATH_KM, Granule, granule_bytes
from stac_lake.sandbox.swaths import Swath
from stac_lake.types import Asset, Chip, Scene, cell_grid

STEP = 0.25 / 28
MARCH = (datetime(2021, 3, 1, tzinfo=UTC), datetime(2021, 3, 31, tzinfo=UTC))
LOW, HIGH = -5e-5, 6e-5
"""Of the values that are put into granules: nothing smooth hides a misplacement."""


class Folder:
    """Granules on disk, as a source."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def size(self, asset: Asset) -> int:
        return len(self.read(asset))

    def read(self, asset: Asset) -> bytes:
        return (self.folder / asset.href.rsplit("/", 1)[1]).read_bytes()

    def read_ranges(self, asset: Asset, ranges: Any) -> list[bytes]:
        data = self.read(asset)
        return [data[start:stop] for start, stop in ranges]


def _box(cell: Cell) -> tuple[float, float, float, float]:
    return (cell.lon - 0.1, cell.lat - 0.1, cell.lon + 0.1, cell.lat + 0.1)


def _served(gas: str, cell: Cell, tmp_path: Path) -> list[Path]:
    """The newest edition of a month's thin granules, as the sandbox serves them."""
    paths = []
    for scene in s5p.scenes(f"s5p-{gas}", _box(cell), *MARCH):
        if scene.facts["processor_version"] == "020400":
            paths.append(tmp_path / f"{scene.id}.nc")
            blob = s5p.blob(scene, "netcdf", cache=tmp_path / "cache", full=False)
            paths[-1].write_bytes(blob.read(0, blob.size))
    return paths


def _real_size(gas: str, cell: Cell, tmp_path: Path) -> Path:
    """Half a minute of an orbit in footprints of 5.5 × 3.5 km with values of chance."""
    scene = s5p.scenes(f"s5p-{gas}", _box(cell), *MARCH)[-1]
    flights = passes("S5P", _box(cell), scene.start, scene.stop, HALF_SWATH_KM)
    over = next(one for one in flights if one.absolute_orbit == scene.facts["orbit"])
    half = timedelta(seconds=15)
    swath = Swath("S5P", over.mid - half, over.mid + half, 36, 743, HALF_SWATH_KM)
    orbit = scene.facts["orbit"]
    path = tmp_path / f"{scene.id}.nc"
    path.write_bytes(
        granule_bytes(Granule(gas, scene.id, orbit, "RPRO", "020400", over.mid, 1.0, swath))
    )
    rng = np.random.default_rng(1)
    with h5py.File(path, "r+") as file:
        group = file["PRODUCT"]
        steps = [0, 49, 50, 51, 75, 76, 100]
        share = [0.02, 0.02, 0.02, 0.02, 0.02, 0.1, 0.8]
        group["qa_value"][...] = rng.choice(steps, group["qa_value"].shape, p=share)
        for name in _columns(group):
            group[name][...] = rng.uniform(LOW, HIGH, group[name].shape)
    return path


def _columns(group: Any) -> list[str]:
    """The column is the last: CO's corrected one has the longer name."""
    return sorted((key for key in group if key.endswith(("column", "column_corrected"))), key=len)


def _ours(gas: str, cell: Cell, *paths: Path) -> Any:
    """Mean, n_orbits and std of granules, or why there are none."""
    scenes = [
        Scene(
            id=path.stem, product=f"s5p-{gas}", provider="cdse", collection="c", start=MARCH[0],
            end=MARCH[0], footprint={}, acquisition=path.stem, version="1", href="https://stac",
            assets={"granule": Asset("granule", f"s3://eodata/{path.name}", "cdse")},
        )
        for path in paths
    ]  # fmt: skip
    operator = Column(product(f"s5p-{gas}"), Folder(paths[0].parent))
    (chip,) = operator.cut(scenes, [cell_grid(cell, 28)])
    assert isinstance(chip, Chip)
    return chip.data


def _harp(gas: str, path: Path, cell: Cell, limit: str = "") -> tuple[Any, Any]:
    """HARP's mean and its weight, which is the share of a pixel that is covered; north-up."""
    west, south, _, _ = cell.bounds
    edges = f"29,{south!r},{STEP!r},29,{west!r},{STEP!r}"
    binned = harp.bin_spatial(gas, path, path.with_suffix(".out"), edges, limit)
    mean = binned[harp.NAMES[gas]]
    assert mean.attrs["units"] == "mol/m^2"
    return mean.values.squeeze()[::-1], binned["weight"].values.squeeze()[::-1]


def _polygons(gas: str, path: Path, cell: Cell, *, sphere: bool) -> Any:
    """Mean by shapely, in longitude and latitude, or with great circles in sine of latitude."""
    limit = {"co": 49, "no2": 75}.get(gas, 50)
    with h5py.File(path) as file:
        group = file["PRODUCT"]
        values = group[_columns(group)[-1]][0].ravel().astype(float)
        good = (group["qa_value"][0].ravel() > limit) & (values < 1e30)
        places = group["SUPPORT_DATA/GEOLOCATIONS"]
        lon, lat = (
            places[f"{axis}_bounds"][0].reshape(-1, 4)[good].astype(float)
            for axis in ("longitude", "latitude")
        )
    if sphere:
        lon, lat = _great_circles(lon, lat)
    lon = (lon - cell.lon + 180) % 360 - 180

    def height(degrees: Any) -> Any:
        return np.degrees(np.sin(np.radians(degrees))) if sphere else degrees

    near = (np.abs(lon).max(1) < 90) & (np.abs(lat - cell.lat).max(1) < 30)
    feet = shapely.polygons(np.stack([lon, height(lat)], axis=-1)[near])
    row, column = (index.ravel() for index in np.indices((28, 28)))
    west, north = column * STEP - 0.125, cell.bounds[3] - row * STEP
    pixels = shapely.box(west, height(north - STEP), west + STEP, height(north))
    total, weight = np.zeros(784), np.zeros(784)
    i, j = shapely.STRtree(feet).query(pixels, predicate="intersects")
    shared = shapely.area(shapely.intersection(pixels[i], feet[j]))
    np.add.at(total, i, shared * values[good][near][j])
    np.add.at(weight, i, shared)
    return np.divide(total, weight, out=np.full(784, np.nan), where=weight > 0).reshape(28, 28)


def _great_circles(lon: Any, lat: Any) -> tuple[Any, Any]:
    """Corners with 64 points on each edge."""
    x, y = np.radians(lon), np.radians(lat)
    vectors = np.stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)], axis=-1)
    part = np.arange(64)[:, None] / 64
    points = vectors[:, :, None] * (1 - part) + np.roll(vectors, -1, axis=1)[:, :, None] * part
    points = points.reshape(len(lon), -1, 3)
    points /= np.linalg.norm(points, axis=-1, keepdims=True)
    return np.degrees(np.arctan2(points[..., 1], points[..., 0])), np.degrees(
        np.arcsin(points[..., 2])
    )


def _worst(one: Any, other: Any, where: Any, spread: float) -> float:
    """Greatest difference as a share of the values' spread."""
    assert where.any()
    return float(np.abs(one - other)[where].max() / spread)


PLACES = {
    # Cell, and the tolerance that the two geometries leave.
    "equator": (cell_at(10.0, 0.0), 1e-6),
    "antimeridian on the equator": (cell_at(-180.0, 0.0), 1e-6),
    "44 north": (cell_at(-96.0, 44.0), 1e-3),
    "antimeridian": (cell_at(180.0, 52.0), 2e-3),
    "70 north": (cell_at(20.0, 70.0), 5e-3),
    "85 north": (cell_at(20.0, 85.0), 1e-2),
}
CASES = [("no2", place) for place in PLACES] + [(gas, "44 north") for gas in ("co", "o3", "so2")]


@pytest.mark.parametrize(("gas", "place"), CASES)
def test_an_orbit_of_real_size_is_gridded_as_harp_does(
    gas: str, place: str, tmp_path: Path
) -> None:
    cell, tolerance = PLACES[place]
    path = _real_size(gas, cell, tmp_path)
    ours = _ours(gas, cell, path)
    mean, weight = _harp(gas, path, cell)
    covered = weight >= 0.5
    clear = np.abs(weight - 0.5) > 0.01
    np.testing.assert_array_equal((ours[1] == 1)[clear], covered[clear])
    both = covered & (ours[1] == 1)
    assert both.mean() > 0.6
    spread = HIGH - LOW
    planar = _polygons(gas, path, cell, sphere=False)
    sphere = _polygons(gas, path, cell, sphere=True)
    assert _worst(mean, planar, both, spread) < 1e-6
    assert _worst(ours[0], sphere, both, spread) < 5e-4
    assert _worst(ours[0], mean, both, spread) < tolerance


@pytest.mark.parametrize("gas", sorted(harp.NAMES))
def test_a_month_of_served_granules_is_that_of_harp_s_orbits(gas: str, tmp_path: Path) -> None:
    """Footprints of 200 × 43 km, whose edges are far from straight on the map.

    Neighbours differ by little, so differences are shares of the column, not of a spread.
    """
    cell = cell_at(-101.5, 15.0)
    paths = _served(gas, cell, tmp_path)
    ours = _ours(gas, cell, *paths)
    binned = [_harp(gas, path, cell) for path in paths]
    orbits = np.stack([np.where(weight >= 0.5, mean, np.nan) for mean, weight in binned])
    clear = (np.abs(np.stack([weight for _, weight in binned]) - 0.5) > 0.1).all(0)
    n = np.isfinite(orbits).sum(0)
    assert (clear & (n > 1)).mean() > 0.3
    np.testing.assert_array_equal(ours[1][clear], n[clear])
    some, several = clear & (n > 0), clear & (n > 1)
    scale = float(np.nanmax(np.abs(orbits)))
    mean, std = np.full((2, 28, 28), np.nan)
    mean[some] = np.nanmean(orbits[:, some], axis=0)
    std[several] = np.nanstd(orbits[:, several], axis=0, ddof=1)
    assert _worst(ours[0], mean, some, scale) < 2e-3
    assert _worst(ours[2], std, several, scale) < 2e-3
    spheres = np.stack([_polygons(gas, path, cell, sphere=True) for path in paths])
    spheres = np.where(np.isfinite(orbits), spheres, np.nan)
    mean[some] = np.nanmean(spheres[:, some], axis=0)
    assert _worst(ours[0], mean, some, scale) < 1e-6


def _half_pixel(data: Any) -> Any:
    return (data + np.roll(data, 1, axis=1)) / 2


def _row_flip(data: Any) -> Any:
    return data[::-1]


@pytest.mark.parametrize("mutation", [_half_pixel, _row_flip])
def test_a_misplaced_grid_does_not_pass(mutation: Callable[[Any], Any], tmp_path: Path) -> None:
    cell, tolerance = PLACES["44 north"]
    path = _real_size("no2", cell, tmp_path)
    ours, (mean, weight) = _ours("no2", cell, path), _harp("no2", path, cell)
    moved = mutation(ours[0])
    both = (weight >= 0.5) & np.isfinite(moved)
    assert _worst(moved, mean, both, HIGH - LOW) > 10 * tolerance


def test_the_original_s_threshold_does_not_pass_for_no2(tmp_path: Path) -> None:
    cell, tolerance = PLACES["44 north"]
    path = _real_size("no2", cell, tmp_path)
    ours, (mean, weight) = _ours("no2", cell, path), _harp("no2", path, cell, ">50")
    both = (weight >= 0.5) & (ours[1] == 1)
    assert _worst(ours[0], mean, both, HIGH - LOW) > 10 * tolerance
