"""Slope and aspect against surfaces whose gradient is known, and planes fitted in metres."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import rasterio
from made_tiles import centres, flat, mosaic, tiles_under
from pixel_files import RECORDED, FileSource, encode, scene_of

from stac_lake.dem_lattice import native_dem_grid
from stac_lake.grid import cell_at
from stac_lake.pixels import slope as slope_room
from stac_lake.pixels.cog import encode_cog
from stac_lake.pixels.operators import operator_for
from stac_lake.recipe import Series, product
from stac_lake.types import PixelGrid, cell_grid

PLAIN = product("dem-glo30")
DEM = PLAIN.with_bands((*PLAIN.band_names, "slope", "aspect"))


class Hills:
    """Waves of 16 to 19 km on a slope, in metres of a transverse Mercator plane; 0 to 14°."""

    def __init__(self, lon: float, lat: float) -> None:
        self.lon = lon
        self.plane = pyproj.Proj(proj="tmerc", lat_0=lat, lon_0=lon, k=1, ellps="WGS84")

    def __call__(self, lon, lat):
        e, n = self.plane(self._near(lon), lat)
        return 1500 + 400 * np.sin(e / 2500 + 0.3) * np.cos(n / 3000) + 0.05 * e - 0.1 * n

    def slope_and_aspect(self, lon, lat):
        """Of the ellipsoid's metres: scale and convergence of the projection are taken out."""
        lon = self._near(lon)
        e, n = self.plane(lon, lat)
        east = 0.16 * np.cos(e / 2500 + 0.3) * np.cos(n / 3000) + 0.05
        north = -400 / 3000 * np.sin(e / 2500 + 0.3) * np.sin(n / 3000) - 0.1
        factors = self.plane.get_factors(lon, lat)
        slope = np.degrees(np.arctan(np.hypot(east, north) * factors.meridional_scale))
        downhill = np.degrees(np.arctan2(-east, -north)) + factors.meridian_convergence
        return slope, downhill % 360

    def _near(self, lon):
        return self.lon + (np.asarray(lon) - self.lon + 180) % 360 - 180


def turned(one, other):
    return np.abs((one - other + 180) % 360 - 180)


def errors(chip, hills):
    """Greatest error of slope, and of aspect where the slope is over 2°, in degrees."""
    slope, aspect = hills.slope_and_aspect(*centres(chip.grid))
    assert slope.max() > 10
    assert chip.bands == ("height", "qa", "slope", "aspect")
    assert chip.data.dtype == np.float32
    assert np.nanmax(chip.data[3]) < 360
    assert np.nanmin(chip.data[3]) >= 0
    off = turned(chip.data[3], aspect)[slope > 2]
    return np.abs(chip.data[2] - slope).max(), off.max()


def chip_of(lon, lat, grid_of):
    cell, hills = cell_at(lon, lat), Hills(lon, lat)
    source, scenes = mosaic(tiles_under(cell), hills, (cell.lon, cell.lat), reach=0.15)
    return operator_for(DEM, source).cut(scenes, [grid_of(cell)])[0], hills


PLACES = {
    "equator": (10.5, 0),
    "45": (10.5, 45),
    "67": (10.5, 67),
    "latitude band 80": (10.5, 80),
    "southern band, two tiles wide": (10, -60),
    "antimeridian": (-180, 45.5),
    "crowded columns": (10.5, 84.5),
}


@pytest.mark.parametrize("name", PLACES)
def test_native_slope_of_a_known_surface(name):
    """Tiles, latitude bands and the antimeridian are crossed without a trace."""
    chip, hills = chip_of(*PLACES[name], native_dem_grid)
    slope, aspect = errors(chip, hills)
    assert slope < 0.01
    assert aspect < 0.06


def test_resampled_slope_of_a_known_surface():
    for lon, lat in ((10.5, 45), (10.5, 67)):
        slope, aspect = errors(*chip_of(lon, lat, lambda cell: cell_grid(cell, 960)))
        assert slope < 0.01
        assert aspect < 0.06


def sphere(lat):
    metres = np.radians(6371008.8)
    return metres * np.cos(np.radians(lat)), np.full(np.shape(lat), metres)


def columns_as_long_as_rows(lat):
    return sphere(lat)[1], sphere(lat)[1]


@pytest.mark.parametrize(("wrong", "lat"), [(sphere, 0), (columns_as_long_as_rows, 67)])
def test_other_metres_would_show(wrong, lat, monkeypatch):
    monkeypatch.setattr(slope_room, "metres_per_degree", wrong)
    slope, _ = errors(*chip_of(10.5, lat, native_dem_grid))
    assert slope > 0.05


def test_metres_per_degree_are_those_of_the_ellipsoid():
    """Geodesics of a millionth of a degree, by another library."""
    geod = pyproj.Geod(ellps="WGS84")
    for lat in (0.0, 45.0, 67.0, 80.0, -89.0):
        per_lon, per_lat = slope_room.metres_per_degree(np.array([lat]))
        assert per_lon[0] == pytest.approx(geod.inv(8, lat, 8.001, lat)[2] * 1000, rel=1e-7)
        assert per_lat[0] == pytest.approx(
            geod.inv(8, lat - 0.0005, 8, lat + 0.0005)[2] * 1000, rel=1e-7
        )


def test_aspect_is_where_the_water_runs():
    """Planes that fall to the north, east, south and west."""
    cell = cell_at(10.5, 45.5)
    for lon_sign, lat_sign, towards in ((0, -1, 0), (-1, 0, 90), (0, 1, 180), (1, 0, 270)):

        def ramp(lon, lat, a=lon_sign, b=lat_sign):
            return 1000 + 3000 * (a * (lon - 10.5) + b * (lat - 45.5))

        source, scenes = mosaic([(46, 10)], ramp, (10.5, 45.5), reach=0.15)
        chip = operator_for(DEM, source).cut(scenes, [cell_grid(cell, 96)])[0]
        assert turned(chip.data[3], towards).max() < 0.1


def test_flat_land_and_sea_have_no_aspect():
    cell = cell_at(8, 44)
    source, scenes = mosaic([(44, 7), (45, 7), (44, 8)], flat, (8, 44), reach=0.15)
    chip = operator_for(DEM, source).cut(scenes, [native_dem_grid(cell)])[0]
    height, qa, slope, aspect = chip.data
    coast = np.zeros(height.shape, bool)
    coast[:452, 448:] = True  # the missing tile, and a pixel around it
    coast[:448, 452:] = False
    assert (slope[~coast] == 0).all()
    assert np.isnan(aspect[~coast]).all()
    assert slope[:449, 450].min() > 80  # 1000 m of it are a cliff
    assert (qa != 0).all()


def test_nodata_spreads_by_the_stencil_only():
    def holed(lon, lat):
        hole = (np.abs(lon - 8.5) < 0.5 / 3600) & (np.abs(lat - 44.5) < 0.5 / 3600)
        return np.where(hole, np.nan, 100 * (lat - 40))

    source, scenes = mosaic([(45, 8)], holed, (8.5, 44.5), reach=0.15)
    chip = operator_for(DEM, source).cut(scenes, [native_dem_grid(cell_at(8.5, 44.5))])[0]
    assert np.isnan(chip.data[0]).sum() == 1
    rows, columns = np.nonzero(np.isnan(chip.data[2]))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (449, 451, 449, 451)


def test_towards_the_pole_the_noise_of_crowded_columns_stays_out():
    """An inclined plane at the South Pole: there columns of 10″ are centimetres apart."""
    polar = pyproj.Proj(proj="stere", lat_0=-90, lon_0=0, k=1, ellps="WGS84")

    def plateau(lon, lat):
        x, y = polar(lon, lat)
        return 2800 + 0.05 * x + 0.02 * y

    cell = cell_at(10.5, -90)
    source, scenes = mosaic([(-89, 10)], plateau, (10.5, -90), reach=0.15)
    chip = operator_for(DEM, source).cut(scenes, [native_dem_grid(cell)])[0]
    lon, lat = centres(chip.grid)
    truth = np.degrees(np.arctan(np.hypot(0.05, 0.02)))
    # Falls to (-0.05, -0.02) in the plane, whose y axis points to 0° E here.
    downhill = (np.degrees(np.arctan2(-0.05, -0.02)) - lon) % 360
    wide = (lat > -89.998) & (np.abs(lon - 10.5) < 0.12)
    assert np.abs(chip.data[2] - truth)[wide].max() < 0.1
    assert turned(chip.data[3], downhill)[wide].max() < 2
    assert np.isnan(chip.data[2][lat < -90.0001]).all()


def fitted(height, lon, lat):
    """Horn's plane by least squares over 3 × 3 places in local metres; slope and aspect, degrees.

    Weights 1 2 1, 2 4 2, 1 2 1 of the squares make the fit equal to Horn's differences on a
    rectangular lattice. Metres by geodesics on the ellipsoid.
    """
    azimuth, _, distance = pyproj.Geod(ellps="WGS84").inv(
        np.full(9, lon[1, 1]), np.full(9, lat[1, 1]), lon.ravel(), lat.ravel()
    )
    east = distance * np.sin(np.radians(azimuth))
    north = distance * np.cos(np.radians(azimuth))
    weight = np.sqrt(np.outer([1, 2, 1], [1, 2, 1]).ravel())[:, None]
    matrix = np.stack([np.ones(9), east, north], axis=1)
    _, a, b = np.linalg.lstsq(matrix * weight, height.ravel() * weight[:, 0], rcond=None)[0]
    return np.degrees(np.arctan(np.hypot(a, b))), np.degrees(np.arctan2(-a, -b)) % 360


CLIPPED = sorted(RECORDED.glob("cop_dem_glo30_clipped/*/*.tif")) if RECORDED else []


@pytest.mark.parametrize("path", CLIPPED, ids=lambda path: path.parent.name)
def test_real_mountains_equal_planes_fitted_in_metres(path):
    """The Rocky Mountains at 51° N, put back into the degree tile that they were cut from."""
    with rasterio.open(path) as dataset:
        pixels = dataset.read(1)
        a, _, c, _, e, f = tuple(dataset.transform)[:6]
    west, north = np.floor(c + a), np.ceil(f + e)
    row, column = round((north - f) / -e + 0.5), round((c - west) / a + 0.5)
    assert (north - row * -e - e / 2, west + column * a - a / 2) == pytest.approx((f, c), abs=1e-9)
    # One of them reaches a row and a column into the neighbours.
    pixels = pixels[: 3600 - row, : 2400 - column]
    tile = np.zeros((1, 3600, 2400), "float32")
    tile[0, row : row + pixels.shape[0], column : column + pixels.shape[1]] = pixels
    data = encode(tile, 4326, (a, 0, west - a / 2, 0, e, north - e / 2), compress="zstd")
    # All of the clip but its margin, on its own lattice.
    grid = PixelGrid(4326, (a, 0, c + 3 * a, 0, e, f + 3 * e), tuple(n - 6 for n in pixels.shape))
    source = FileSource({"real": data})
    chip = operator_for(DEM, source).cut([scene_of("dem-glo30", {"height": "real"})], [grid])[0]
    assert np.array_equal(chip.data[0], pixels[3:-3, 3:-3])
    assert chip.data[2].max() > 45
    x, y = np.meshgrid(
        c + (np.arange(pixels.shape[1]) + 0.5) * a, f + (np.arange(pixels.shape[0]) + 0.5) * e
    )
    rng = np.random.default_rng(7)
    for i, j in zip(rng.integers(grid.shape[0], size=300), rng.integers(grid.shape[1], size=300),
                    strict=True):  # fmt: skip
        near = (slice(i + 2, i + 5), slice(j + 2, j + 5))
        slope, aspect = fitted(pixels[near].astype(float), x[near], y[near])
        assert chip.data[2, i, j] == pytest.approx(slope, abs=2e-3)
        assert slope < 1 or turned(chip.data[3, i, j], aspect) < 0.02


def test_a_recipe_asks_for_them_after_qa():
    series = Series(
        modality="dem",
        products=("dem-glo30",),
        windows={"static": (("2021-01-01", "2022-01-01"),)},
        extra_bands=("slope", "aspect"),
    )
    effective = series.effective(PLAIN)
    assert effective.band_names == ("height", "qa", "slope", "aspect")
    cell = cell_at(10.5, 45.5)
    source, scenes = mosaic([(46, 10)], Hills(10.5, 45.5), (10.5, 45.5), reach=0.15)
    chip = operator_for(effective, source).cut(scenes, [cell_grid(cell, 96)])[0]
    with rasterio.MemoryFile(encode_cog(chip, effective).data) as memory, memory.open() as dataset:
        assert dataset.descriptions == ("height", "qa", "slope", "aspect")
        assert dataset.units == ("m", None, "deg", "deg")
        assert np.array_equal(dataset.read(), chip.data, equal_nan=True)
    plain = operator_for(PLAIN, source).cut(scenes, [cell_grid(cell, 96)])[0]
    assert np.array_equal(plain.data, chip.data[:2])
