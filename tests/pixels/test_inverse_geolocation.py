"""Inverse geolocation against exact solutions by brute force, and on the optics of real imagers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from granules import Lattice
from instrument import LINE_KM, Imager
from pyproj import Proj, Transformer
from scipy.interpolate import griddata
from scipy.spatial import cKDTree

from stac_lake.grid import Cell, cell_at
from stac_lake.pixels.olci_flags import bridged
from stac_lake.pixels.swath import Target, locate, sample, unit_vectors
from stac_lake.types import PixelGrid, cell_grid, metric_grid

R = 6371008.8
FARM = Cell(772176)
GRIDS = {
    "mid-latitude": cell_grid(FARM, 96),
    "180 E": cell_grid(cell_at(179.875, -16.5), 96),
    "180 W": cell_grid(cell_at(-180.0, 52.0), 96),
    "67 N": cell_grid(Cell(906994), 96),
    "67 N metric": metric_grid(Cell(906994), 96, 300),
    "69 S": cell_grid(Cell(123456), 96),
    "80.5 S metric": metric_grid(cell_at(84.0, -80.5), 96, 300),
    "180 E metric": metric_grid(cell_at(179.875, -16.5), 96, 300),
    "89.75 N": cell_grid(cell_at(30.0, 89.75), 96),
    "pole metric": metric_grid(cell_at(30.0, 90.0), 96, 300),
}


def lonlat(grid: PixelGrid) -> tuple[Any, Any]:
    """Pixel centres by pyproj."""
    a, _, c, _, e, f = grid.transform
    x = c + a * (np.arange(grid.shape[1]) + 0.5)
    y = f + e * (np.arange(grid.shape[0]) + 0.5)
    return Transformer.from_crs(grid.epsg, 4326, always_xy=True).transform(*np.meshgrid(x, y))


def lattice_over(grid: PixelGrid, **changes: Any) -> Lattice:
    lon, lat = lonlat(PixelGrid(grid.epsg, _whole(grid), (1, 1)))
    return Lattice(float(lon[0, 0]), float(lat[0, 0]), **changes)


def _whole(grid: PixelGrid) -> Any:
    a, b, c, d, e, f = grid.transform
    return (a * grid.shape[1], b, c, d, e * grid.shape[0], f)


def plane_of(lattice: Lattice) -> Proj:
    return Proj(proj="aeqd", lon_0=lattice.lon, lat_0=lattice.lat, R=R, units="km")


def exactly(places: Any, wanted: Any) -> Any:
    """Row and column (n, 2) of points in a lattice of points in the plane, by brute force.

    Of the quadrilaterals around the nearest node, the one that contains the point is found, and its
    bilinear map inverted by Newton's method.
    """
    _, nearest = cKDTree(places.reshape(-1, 2)).query(wanted)
    r0, c0 = np.unravel_index(nearest, places.shape[:2])
    found = np.full((len(wanted), 2), np.nan)
    for dr in (-1, 0):
        for dc in (-1, 0):
            r = np.clip(r0 + dr, 0, places.shape[0] - 2)
            c = np.clip(c0 + dc, 0, places.shape[1] - 2)
            p, q = places[r, c], places[r, c + 1]
            s, t = places[r + 1, c], places[r + 1, c + 1]
            u, v = np.full(len(wanted), 0.5), np.full(len(wanted), 0.5)
            for _ in range(20):
                top, bottom = p + u[:, None] * (q - p), s + u[:, None] * (t - s)
                off = wanted - (top + v[:, None] * (bottom - top))
                du = (1 - v)[:, None] * (q - p) + v[:, None] * (t - s)
                dv = bottom - top
                det = du[:, 0] * dv[:, 1] - du[:, 1] * dv[:, 0]
                u = u + (off[:, 0] * dv[:, 1] - off[:, 1] * dv[:, 0]) / det
                v = v + (du[:, 0] * off[:, 1] - du[:, 1] * off[:, 0]) / det
            inside = (np.abs(u - 0.5) <= 0.5 + 1e-9) & (np.abs(v - 0.5) <= 0.5 + 1e-9)
            found[inside] = np.stack([r + v, c + u], axis=-1)[inside]
    return found


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_positions_are_those_of_the_true_geometry(grid: PixelGrid) -> None:
    """Put back through the lattice's formula, a position is the pixel's centre: 0.01 pixel."""
    lattice = lattice_over(grid)
    row, column = locate(Target.of(grid), unit_vectors(*lattice.centres()))
    plane = plane_of(lattice)
    there = np.stack(plane(*lattice.at(row, column)))
    here = np.stack(plane(*lonlat(grid)))
    assert np.isfinite(row).all()
    assert np.hypot(*(there - here)).max() / 0.27 < 0.01


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_positions_are_the_exact_ones_of_a_rough_lattice(grid: PixelGrid) -> None:
    """Against Newton's method in the quadrilateral that contains the point: 0.005 pixel."""
    lattice = lattice_over(grid, bump=0.6)
    lon, lat = lattice.centres()
    row, column = locate(Target.of(grid), unit_vectors(lon, lat))
    plane = plane_of(lattice)
    places = np.stack(plane(lon, lat), axis=-1)
    expected = exactly(places, np.stack(plane(*lonlat(grid)), axis=-1).reshape(-1, 2))
    assert np.isfinite(expected).all()
    found = np.stack([row.ravel(), column.ravel()], axis=-1)
    np.testing.assert_allclose(found, expected, atol=0.005)


OPTICS = {
    "nadir": Imager(FARM.lon, FARM.lat, 0.27),
    "half-way": Imager(FARM.lon, FARM.lat, 0.36, seam_km=-3.1),
    "swath edge": Imager(FARM.lon, FARM.lat, 0.51),
    "180": Imager(-180.0, 52.0, 0.40),
}


def wavy(lon: Any, lat: Any) -> Any:
    """Waves of 9 and 12 km, amplitude 35."""
    p, k = unit_vectors(lon, lat), 2 * np.pi * R / 12e3
    one = 20 * np.sin(k * (p @ np.array([0.6, 0.64, 0.48])))
    return 80 + one + 15 * np.sin(1.3 * k * (p @ np.array([-0.8, 0.36, 0.48])) + 1)


def resampled(imager: Imager, grid: PixelGrid) -> Any:
    """Bilinear values of `wavy`, and of places (as vectors), as the operator makes them."""
    lon, lat, repeats = imager.image()
    vectors = unit_vectors(lon, lat)
    parts = [bridged(vectors[..., i], repeats) for i in range(3)]
    row, column = locate(Target.of(grid), np.stack(parts, axis=-1))
    places = np.stack([sample(part, row, column, "bilinear") for part in parts], axis=-1)
    return sample(bridged(wavy(lon, lat), repeats), row, column, "bilinear"), places


@pytest.mark.parametrize("imager", OPTICS.values(), ids=OPTICS.keys())
def test_seams_and_repeated_columns_leave_no_trace(imager: Imager) -> None:
    """As good as triangles between all real samples; nearest is five times worse."""
    grid = cell_grid(cell_at(imager.lon, imager.lat), 96)
    lon, lat, repeats = imager.image()
    assert 0.0 <= repeats.mean() < 0.5
    truth = wavy(*lonlat(grid))
    found, there = resampled(imager, grid)
    assert np.linalg.norm(there - unit_vectors(*lonlat(grid)), axis=-1).max() * R < 4.0  # metres
    plane = Proj(proj="aeqd", lon_0=imager.lon, lat_0=imager.lat, R=R, units="km")
    places = np.stack(plane(lon[~repeats], lat[~repeats]), axis=-1)
    wanted = np.stack(plane(*lonlat(grid)), axis=-1)
    near = (np.abs(places) < np.abs(wanted).max((0, 1)) + 1.5).all(-1)
    places, values = places[near], wavy(lon, lat)[~repeats][near]
    linear = griddata(places, values, wanted, method="linear")
    nearest = values[cKDTree(places).query(wanted)[1]]

    def rms(values: Any) -> float:
        return float(np.sqrt(((values - truth) ** 2).mean()))

    assert np.isfinite(found).all()
    assert rms(found) < 1.02 * rms(linear) < 0.2
    assert rms(nearest) > 5 * rms(found)


def test_removed_pixels_would_change_nothing() -> None:
    """They lie where the other camera is shown: with them and without, all agrees with the field
    to 0.5 % of its spread."""
    imager = Imager(FARM.lon, FARM.lat, 0.30)
    # Seven kilometres along the seam, which runs down the cell's middle.
    grid = PixelGrid(4326, (0.0026, 0, FARM.lon - 0.03, 0, -0.0026, FARM.lat + 0.08), (60, 40))
    lon, lat, repeats = imager.image()
    more_lon, more_lat = imager.removed()
    assert more_lon.shape[1] >= 5
    plane = Proj(proj="aeqd", lon_0=imager.lon, lat_0=imager.lat, R=R, units="km")
    places = np.stack(plane(lon[~repeats], lat[~repeats]), axis=-1)
    others = np.stack(plane(more_lon.ravel(), more_lat.ravel()), axis=-1)
    values = np.concatenate([wavy(lon, lat)[~repeats], wavy(more_lon, more_lat).ravel()])
    wanted = np.stack(plane(*lonlat(grid)), axis=-1)
    with_them = griddata(np.concatenate([places, others]), values, wanted, method="linear")
    truth, (found, _) = wavy(*lonlat(grid)), resampled(imager, grid)
    spread = truth.std()
    assert np.sqrt(((found - truth) ** 2).mean()) / spread < 0.005
    assert np.sqrt(((with_them - truth) ** 2).mean()) / spread < 0.005
    assert np.sqrt(((found - with_them) ** 2).mean()) / spread < 0.005


def test_the_edge_of_a_swath_is_half_a_pixel_outside_its_last_centres() -> None:
    lattice = Lattice(FARM.lon, FARM.lat, heading=180.0, shape=(260, 60))
    lon, lat = lattice.centres()
    grid = cell_grid(FARM, 96)
    row, _ = locate(Target.of(grid), unit_vectors(lon, lat))
    plane = plane_of(lattice)
    x, _ = np.stack(plane(*lonlat(grid)))
    reach = np.abs(plane(lon, lat)[0]).max(1).min() + 0.135
    seen = np.isfinite(row)
    assert seen[np.abs(x) < reach - 0.02].all()
    assert not seen[np.abs(x) > reach + 0.02].any()
    assert LINE_KM > 0.27  # the pixels are wider along track than across


def test_beyond_the_pole_there_is_no_ground_in_degrees_but_in_metres() -> None:
    degrees = Target.of(cell_grid(cell_at(30.0, 90.0), 96)).vectors
    metres = Target.of(GRIDS["pole metric"]).vectors
    assert np.isnan(degrees[:48]).all()
    assert np.isfinite(degrees[48:]).all()
    assert np.isfinite(metres).all()
