"""The grid against the published ids, shapely and pyproj."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pyproj import CRS, Geod, Transformer
from shapely.geometry import Point, box, shape
from shapely.ops import unary_union

from stac_lake.errors import GridError
from stac_lake.grid import (
    COLUMNS,
    ROWS,
    Cell,
    Patch,
    cell_at,
    cells_over,
    footprint_bbox,
    parse_cells,
    patch_at,
    split_bounds,
    uniform_patches,
    zone_epsg,
)
from stac_lake.types import Slot

ids = st.integers(0, ROWS * COLUMNS - 1)
lons = st.floats(-540, 540, allow_nan=False)
lats = st.floats(-90, 90, allow_nan=False)


@pytest.mark.parametrize(
    ("identifier", "lon", "lat"),
    [
        (906994, 128.50, 67.25),
        (772176, -96.00, 44.00),
        (127170, -67.50, -68.00),
        (980320, 100.00, 80.00),
        (123456, 84.00, -68.75),
        (0, -180.0, -90.0),
        (1038239, 179.75, 90.0),
    ],
)
def test_published_ids(identifier: int, lon: float, lat: float) -> None:
    cell = Cell(identifier)
    assert (cell.lon, cell.lat) == (lon, lat)
    assert cell_at(lon, lat) == cell
    assert cell.bounds == (lon - 0.125, lat - 0.125, lon + 0.125, lat + 0.125)


def test_published_names() -> None:
    assert Cell(906994).name == "0906994_128.50_67.25"
    assert Cell(772176).name == "0772176_-96.00_44.00"
    assert Cell(123456).code == "ERA5-0123456"
    assert Cell(123456).collection_id == "era5-0123456"


@given(ids)
def test_id_centre_code_round_trip(identifier: int) -> None:
    cell = Cell(identifier)
    assert cell_at(cell.lon, cell.lat) == cell
    assert Cell.from_code(cell.code) == cell
    assert Cell.from_code(cell.collection_id) == cell
    assert list(parse_cells(f"{identifier}, {cell.code}")) == [cell, cell]


@given(lons, lats)
@example(180.0, 0.0)
@example(-180.0, 0.0)
@example(179.875, 0.0)
@example(-180.125, 90.0)
@example(math.nextafter(-180.125, -200), -90.0)
def test_every_point_is_in_its_cell(lon: float, lat: float) -> None:
    cell = cell_at(lon, lat)
    west, south, east, north = cell.bounds
    # Independent: the point, brought next to the cell by whole turns, lies in the half-open box.
    turn = 360 * round((cell.lon - lon) / 360)
    assert west - 1e-9 <= lon + turn <= east + 1e-9
    assert south <= lat <= north
    assert lat < north or lat == 90


@given(st.integers(-1440 * 8, 1440 * 8), st.integers(-720, 720))
def test_an_edge_belongs_to_one_cell(eighths_lon: int, eighths_lat: int) -> None:
    lon, lat = eighths_lon / 8, eighths_lat / 8
    cell = cell_at(lon, lat)
    assert cell_at(lon + 360, lat) == cell
    inside_lon = (lon - cell.bounds[0]) % 360
    assert 0 <= inside_lon < 0.25
    assert cell.bounds[1] <= lat < cell.bounds[3]


def test_cells_tile_the_sphere() -> None:
    # One column of footprints, all rows: together exactly a strip from pole to pole.
    strip = unary_union([shape(Cell(row * COLUMNS + 700).footprint) for row in range(ROWS)])
    west = Cell(700).bounds[0]
    assert strip.equals(box(west, -90, west + 0.25, 90))


@pytest.mark.parametrize("bad", [-1, ROWS * COLUMNS, 2000000])
def test_unknown_ids_are_refused(bad: int) -> None:
    with pytest.raises(GridError, match=str(bad)):
        Cell(bad)


@pytest.mark.parametrize(
    "point", [(0, 90.001), (0, -91), (math.nan, 0), (math.inf, 0), (0, math.nan)]
)
def test_points_off_the_sphere_are_refused(point: tuple[float, float]) -> None:
    with pytest.raises(GridError, match="not a point"):
        cell_at(*point)


def test_antimeridian_footprint_is_split() -> None:
    cell = cell_at(180, 10)
    footprint = shape(cell.footprint)
    assert footprint.geom_type == "MultiPolygon"
    assert footprint.area == pytest.approx(0.0625)
    assert cell.bbox == (179.875, 9.875, -179.875, 10.125)
    assert footprint_bbox(cell.footprint) == cell.bbox
    assert {Point(179.9, 10).within(footprint), Point(-179.9, 10).within(footprint)} == {True}


def test_polar_footprint_is_clipped() -> None:
    assert shape(cell_at(10, 90).footprint).bounds == (9.875, 89.875, 10.125, 90)
    assert shape(cell_at(10, -90).footprint).bounds == (9.875, -90, 10.125, -89.875)


# GEOS, which is the oracle, fails on coordinates of 1e-300.
_places = st.integers(-89_000_000, 88_000_000).map(lambda millionth: millionth / 1e6)


@given(_places.map(lambda lat: 2 * lat), _places, st.floats(0.01, 0.9), st.floats(0.01, 0.9))
def test_cells_over_a_box_are_those_that_intersect(
    west: float, south: float, width: float, height: float
) -> None:
    area = box(west, south, west + width, south + height)
    found = cells_over(area)
    near = [
        Cell(row * COLUMNS + column % COLUMNS)
        for row in range(ROWS)
        if abs(-90 + row / 4 - south) < 1.5
        for column in range(COLUMNS)
        if abs(-180 + column / 4 - west) < 1.5
    ]
    expected = [c for c in near if shape(c.footprint).intersection(area).area > 1e-12]
    missing = set(expected) - set(found)
    assert not missing
    assert all(shape(cell.footprint).intersects(area) for cell in found)


def test_cells_over_the_antimeridian_wrap() -> None:
    cells = cells_over(box(179.6, 0.2, 180.4, 0.3))
    assert {cell.lon for cell in cells} == {179.5, 179.75, -180.0, -179.75, -179.5}


def test_cells_over_a_point_is_one_cell() -> None:
    assert cells_over(Point(0.125, 0.125)) == [cell_at(0.125, 0.125)]


@given(lons, st.floats(-89.9, 89.9))
def test_patch_lattice(lon: float, lat: float) -> None:
    patch = patch_at(lon, lat)
    assert patch.x % 60 == 0
    south = 32700 < patch.epsg < 32761
    assert patch.y % 60 == (40 if south else 0)
    assert Patch.from_id(patch.id) == patch
    assert zone_epsg(*patch.centre) == patch.epsg
    # Snapping moves the centre by at most half a step in each axis, by a whole one off a seam.
    lon = (lon + 180) % 360 - 180
    x, y = Transformer.from_crs(4326, patch.epsg, always_xy=True).transform(lon, lat)
    wide = 0.001 / math.cos(math.radians(lat))
    around = {
        zone_epsg((lon + dx * wide + 180) % 360 - 180, lat + dy * 0.001)
        for dx in (-1, 0, 1)
        for dy in (-1, 0, 1)
    }
    most = 30.001 if len(around) == 1 else 60.001
    assert abs(patch.x + 1320 - x) <= most
    assert abs(patch.y - 1320 - y) <= most
    assert shape(patch.footprint).is_valid
    assert all(ring.is_ccw for ring in _outer_rings(patch.footprint))


def _outer_rings(footprint: dict[str, Any]) -> list[Any]:
    geometry = shape(footprint)
    return [part.exterior for part in getattr(geometry, "geoms", [geometry])]


@pytest.mark.parametrize(
    ("lon", "lat", "epsg"),
    [
        (-96.0, 44.0, 32615),
        (-96.0001, 44.0, 32614),
        (84.0, -68.75, 32745),
        (5.0, 60.0, 32632),  # 32V
        (2.9, 60.0, 32631),
        (8.0, 75.0, 32631),  # 31X
        (9.0, 75.0, 32633),
        (21.0, 75.0, 32635),
        (33.0, 75.0, 32637),
        (41.9, 83.9, 32637),
        (42.1, 75.0, 32638),
        (10.0, 84.1, 3413),
        (10.0, -80.1, 3031),
        (180.0, 0.0, 32601),
        (-180.0, -0.1, 32701),
    ],
)
def test_zones(lon: float, lat: float, epsg: int) -> None:
    assert patch_at(lon, lat).epsg == epsg


@given(st.floats(-180, 179.99), st.floats(-79.9, 83.9))
def test_zones_outside_the_exceptions_match_proj(lon: float, lat: float) -> None:
    assume(not (lat >= 56 and 0 <= lon < 42))
    epsg = zone_epsg(lon, lat)
    area = CRS.from_epsg(epsg).area_of_use
    assert area is not None
    assert area.west - 1e-9 <= lon <= area.east + 1e-9


def test_polar_patch_encloses_the_pole() -> None:
    west, south, east, north = footprint_bbox(patch_at(0, 90).footprint)
    assert (west, east, north) == (-180, 180, 90)
    assert 89.97 < south < 89.99


def test_patch_footprint_has_the_right_size() -> None:
    for lon, lat in [(-96.0, 44.0), (84.0, -68.75), (179.99, -17.0), (5.0, 60.0)]:
        area, _ = Geod(ellps="WGS84").geometry_area_perimeter(shape(patch_at(lon, lat).footprint))
        # The scale of a UTM zone is within 0.9996 … 1.001, squared for an area.
        assert abs(area) == pytest.approx(2640**2, rel=3e-3)


@given(ids, st.integers(1, 6))
def test_uniform_patches(identifier: int, count: int) -> None:
    cell = Cell(identifier)
    assume(abs(cell.lat) < 85)
    patches = uniform_patches(cell, count, 42)
    assert patches == uniform_patches(cell, count, 42)
    assert len(set(patches)) == len(patches) == count
    per_zone = Counter(patch.epsg for patch in patches)
    for epsg in per_zone:
        boxes = [box(*patch.bounds_m) for patch in patches if patch.epsg == epsg]
        for index, one in enumerate(boxes):
            assert not any(one.overlaps(other) for other in boxes[index + 1 :])
    for patch in patches:
        assert abs(patch.centre[1] - cell.lat) < 0.13


@given(st.floats(-540, 540), st.floats(-90, 90), st.floats(0, 300), st.floats(0, 90))
def test_split_bounds_stay_on_the_map(
    west: float, south: float, width: float, height: float
) -> None:
    for w, s, e, n in split_bounds((west, south, west + width, south + height)):
        assert -180 <= w <= e <= 180
        assert -90 <= s <= n <= 90


@given(ids, st.booleans(), st.sampled_from(["winter", "y2021", "b8", "2021-03", "static"]))
def test_slot_ids_round_trip(identifier: int, with_patch: bool, name: str) -> None:
    cell = Cell(identifier)
    patch = patch_at(cell.lon, max(-89.9, min(89.9, cell.lat))) if with_patch else None
    slot = Slot("s2-l2a", cell, patch, name)
    assert Slot.from_id(slot.id) == slot


@pytest.mark.parametrize(
    "bad", ["", "s2", "s2-l2a_77_winter", "../x_0000001_a", "s2-l2a_0772176_winter/.."]
)
def test_bad_slot_ids_are_refused(bad: str) -> None:
    with pytest.raises(GridError):
        Slot.from_id(bad)
