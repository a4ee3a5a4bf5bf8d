"""Areas of single footprints: aligned boxes, areas by geodesics, symmetry of the globe."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pyproj import Geod

from stac_lake.grid import cell_at
from stac_lake.pixels.footprints import Canvas, Sums
from stac_lake.pixels.swath import unit_vectors
from stac_lake.types import PixelGrid, cell_grid

STEP = 0.25 / 28
SPHERE = Geod(a=6371008.8, b=6371008.8)


def draw(grid: PixelGrid, *rings: Any, values: Any = None) -> Sums:
    """Rings of (lon, lat)."""
    ring = np.array(rings, dtype=float)
    corners = unit_vectors(ring[..., 0], ring[..., 1])
    canvas = Canvas.of(grid)
    near = canvas.near(corners)
    wanted = np.ones(len(ring)) if values is None else np.asarray(values, float)
    return canvas.draw(corners[near], wanted[near])


def box(grid: PixelGrid, left: float, top: float, right: float, bottom: float) -> Any:
    """A box in pixels from the upper left corner, counter-clockwise."""
    west, _, _, north = grid.bounds
    x, y = west + STEP * np.array([left, right]), north - STEP * np.array([top, bottom])
    return [(x[0], y[0]), (x[0], y[1]), (x[1], y[1]), (x[1], y[0])]


@pytest.mark.parametrize("clockwise", [False, True])
@pytest.mark.parametrize("lon", [0.0, 180.0, -180.0, -96.0])
def test_a_box_covers_its_pixels(lon: float, clockwise: bool) -> None:
    grid = cell_grid(cell_at(lon, 0.0), 28)
    ring = box(grid, 3, 5, 6.5, 7.25)
    sums = draw(grid, ring[::-1] if clockwise else ring, values=[-2.0])
    expected = np.zeros((28, 28))
    expected[5:7, 3:6] = 1.0
    expected[5:7, 6], expected[7, 3:6], expected[7, 6] = 0.5, 0.25, 0.125
    np.testing.assert_allclose(sums.area, expected, atol=1e-6)
    np.testing.assert_array_equal(sums.area == 0, expected == 0)
    np.testing.assert_allclose(sums.mean[expected > 0], -2.0, rtol=1e-12)
    assert np.isnan(sums.mean[expected == 0]).all()
    np.testing.assert_array_equal(sums.coverage, np.minimum(sums.area, 1.0))


def test_boxes_that_reach_over_the_border() -> None:
    grid = cell_grid(cell_at(0.0, 0.0), 28)
    sums = draw(grid, box(grid, -9, -9, 2, 40), box(grid, 27.5, 4, 99, 5), box(grid, 30, 0, 31, 9))
    expected = np.zeros((28, 28))
    expected[:, :2], expected[4, 27] = 1.0, 0.5
    np.testing.assert_allclose(sums.area, expected, atol=1e-4)


def test_overlapping_boxes_add_up() -> None:
    grid = cell_grid(cell_at(0.0, 0.0), 28)
    sums = draw(grid, box(grid, 2, 2, 4, 4), box(grid, 3, 3, 5, 5), values=[1.0, 4.0])
    assert sums.area[3, 3] == pytest.approx(2.0, abs=1e-6)
    assert sums.coverage[3, 3] == 1.0
    assert sums.mean[3, 3] == pytest.approx(2.5, abs=1e-6)
    assert sums.mean[2, 2] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("lat", [-89.9, -85.0, -44.0, 0.0, 44.0, 67.0, 85.0, 89.0, 89.9])
@pytest.mark.parametrize("lon", [180.0, 20.0])
def test_areas_are_those_on_the_sphere(lon: float, lat: float) -> None:
    """The pixels' areas, by Archimedes, times the shares sum up to the footprint's."""
    cell = cell_at(lon, lat)
    grid = cell_grid(cell, 28)
    # Half of a pole's cell is no ground.
    near, size = (cell.lat, 1.0) if abs(lat) < 89.9 else (float(np.sign(lat)) * 89.935, 0.5)
    ring = [
        (cell.lon - 0.1, near - 0.06 * size), (cell.lon + 0.11, near - 0.09 * size),
        (cell.lon + 0.09, near + 0.07 * size), (cell.lon - 0.08, near + 0.05 * size),
    ]  # fmt: skip
    sums = draw(grid, ring)
    edges = np.radians(np.clip(grid.bounds[3] - STEP * np.arange(29), -90, 90))
    pixel = np.radians(STEP) * -np.diff(np.sin(edges)) * 6371008.8**2
    area, _ = SPHERE.polygon_area_perimeter(*zip(*ring, strict=True))
    assert (sums.area * pixel[:, None]).sum() == pytest.approx(area, rel=1e-5)


def test_a_ring_around_a_pole_covers_it() -> None:
    """Also where its longitudes are written beyond ±180°, and from either side."""
    for pole in (90.0, -90.0):
        grid = cell_grid(cell_at(30.0, pole), 28)
        turn = np.arange(4) * 90.0
        for ring in (turn - 170, turn[::-1] + 100):
            sums = draw(grid, np.stack([ring, np.full(4, np.sign(pole) * 89.5)], axis=-1))
            ground = np.arange(28) >= 14 if pole > 0 else np.arange(28) < 14
            np.testing.assert_allclose(sums.area, ground[:, None] * np.ones(28), atol=1e-9)


@pytest.mark.parametrize("lat", [52.0, 88.0, 89.75])
def test_the_globe_is_the_same_at_every_longitude(lat: float) -> None:
    rng = np.random.default_rng(4)
    square = np.array([(-0.1, -0.1), (0.1, -0.1), (0.1, 0.1), (-0.1, 0.1)])
    offsets = rng.uniform(-0.4, 0.4, (12, 1, 2)) + square
    values = rng.normal(size=12)
    found = []
    for lon in (10.0, 180.0, -179.75, 0.0):
        cell = cell_at(lon, lat)
        rings = offsets + np.array([cell.lon, cell.lat])
        rings[..., 0] = (rings[..., 0] + 180) % 360 - 180
        found.append(draw(cell_grid(cell, 28), *rings, values=values))
    for other in found[1:]:
        np.testing.assert_allclose(other.area, found[0].area, atol=1e-8)
        np.testing.assert_allclose(other.total, found[0].total, atol=1e-8)


def test_a_grid_of_metres_is_refused() -> None:
    with pytest.raises(ValueError, match="32615"):
        Canvas.of(PixelGrid(32615, (300.0, 0.0, 0.0, 0.0, -300.0, 0.0), (28, 28)))
