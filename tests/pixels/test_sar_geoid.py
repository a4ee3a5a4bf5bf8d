"""Geoid heights against published values."""

from __future__ import annotations

import numpy as np
import pytest
from pixel_files import FileSource
from pyproj import Transformer

from stac_lake.pixels.sar.geoid import geoid_height
from stac_lake.pixels.sar.ground import AROUND, Ground
from stac_lake.types import PixelGrid

# Longitude and latitude as printed. The first six are INPUT.DAT and OUTPUT.DAT of NGA's program
# INTPT for the EGM96 15′ grid; the last one is the example of GeographicLib's GeoidEval.
PUBLISHED = [
    (38.6281550, 269.7791550, -31.628),
    (-14.6212170, 305.0211140, -2.969),
    (46.8743190, 102.4487290, -43.575),
    (-23.6174460, 133.8747120, 15.871),
    (38.6254730, 359.9995000, 50.066),
    (-0.4667440, 0.0023000, 17.329),
    (16 + 46 / 60 + 33 / 3600, -(3 + 34 / 3600), 28.7068),
]
# EGM2008, which the DEM refers to: NGA's and GeographicLib's values.
EGM2008 = [
    (90.0, 0.0, 14.898),
    (-90.0, 0.0, -30.150),
    (27.9881, 86.9250, -28.4939),
    (4.7, 78.8, -106.8991),
    (46.8743190, 102.4487290, -44.4138),
]


@pytest.mark.parametrize(("lat", "lon", "height"), PUBLISHED)
def test_published_places(lat: float, lon: float, height: float) -> None:
    assert geoid_height(np.array([lon]), np.array([lat])) == pytest.approx(height, abs=0.01)


@pytest.mark.parametrize(("lat", "lon", "height"), EGM2008)
def test_the_models_differ_by_little(lat: float, lon: float, height: float) -> None:
    assert geoid_height(np.array([lon]), np.array([lat])) == pytest.approx(height, abs=1.3)


def test_continuous_over_the_antimeridian_and_the_poles() -> None:
    lat = np.linspace(-90, 90, 181)
    west, east = (geoid_height(np.full(181, lon), lat) for lon in (-180 + 1e-7, 180 - 1e-7))
    assert np.abs(west - east).max() < 1e-4
    for pole in (90.0, -90.0):
        around = geoid_height(np.arange(0, 360, 7.0), np.full(52, pole))
        assert np.ptp(around) < 0.02
        near = geoid_height(np.arange(0, 360, 7.0), np.full(52, pole * (1 - 1e-5)))
        assert np.abs(near - around.mean()).max() < 0.05


@pytest.mark.parametrize(
    ("epsg", "x", "y"),
    [(32601, 262000, 5_000_000), (32631, 500_000, 0), (32733, 166_000, 9_000_000),
     (3413, -120_000, -500_000), (3031, 900_000, -700_000)],
)  # fmt: skip
def test_the_sea_lies_on_the_geoid_everywhere(epsg: int, x: float, y: float) -> None:
    """Also over the antimeridian, the equator, a UTM seam and near the poles."""
    grid = PixelGrid(epsg, (10.0, 0.0, x, 0.0, -10.0, y), (20, 30))
    (places,) = Ground("dem-glo30", FileSource({}), ()).places([grid])
    assert places.shape == (20 + 2 * AROUND, 30 + 2 * AROUND, 3)
    lon, lat, height = Transformer.from_crs(4978, 4979, always_xy=True).transform(
        *np.moveaxis(places, -1, 0)
    )
    assert height == pytest.approx(geoid_height(lon, lat), abs=1e-6)
    at_x, at_y = Transformer.from_crs(4326, epsg, always_xy=True).transform(lon, lat)
    columns, rows = np.meshgrid(np.arange(-AROUND, 31) + 0.5, np.arange(-AROUND, 21) + 0.5)
    assert at_x == pytest.approx(x + 10 * columns, abs=1e-3)
    assert at_y == pytest.approx(y - 10 * rows, abs=1e-3)


def test_no_swath_reaches_a_pole() -> None:
    grid = PixelGrid(3413, (10.0, 0.0, -1320.0, 0.0, -10.0, 1320.0), (264, 264))
    (places,) = Ground("dem-glo30", FileSource({}), ()).places([grid])
    assert np.isnan(places).all()
