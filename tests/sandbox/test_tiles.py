"""The Sentinel-2 grid against upper-left corners that providers published."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyproj import Transformer
from shapely.geometry import Point, shape

from stac_lake.sandbox import tiles
from tests.conftest import SHARED

# tile: (EPSG, upper-left x, y) from proj:transform of recorded items of Earth Search, the
# Planetary Computer and CDSE.
PUBLISHED = {
    "05QMV": (32605, 399960, 2000040),
    "08KMD": (32708, 399960, 7900000),
    "12XWL": (32612, 499980, 8600040),
    "13SCA": (32613, 300000, 4100040),
    "13TDE": (32613, 399960, 4500000),
    "17HNC": (32717, 499980, 6300040),
    "17XNL": (32617, 499980, 9100020),
    "19CEJ": (32719, 499980, 900040),
    "21NYC": (32621, 699960, 300000),
    "22NBK": (32622, 199980, 500040),
    "24MXV": (32724, 600000, 9500020),
    "29LPD": (32729, 600000, 8400040),
    "29RKH": (32629, 199980, 2800020),
    "31VDK": (32631, 399960, 7000020),
    "32VKL": (32632, 199980, 6600000),
    "32VKR": (32632, 199980, 7100040),
    "35XQA": (32635, 699960, 8100000),
    "43FCA": (32743, 300000, 4100020),
    "50MPC": (32750, 600000, 9800020),
    "60VUJ": (32660, 300000, 6400020),
}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_corner_is_the_published_one(name: str) -> None:
    tile = tiles.tile(name)
    assert (tile.epsg, tile.x, tile.y) == PUBLISHED[name]
    assert tile.bounds == (tile.x, tile.y - 109_800, tile.x + 109_800, tile.y)


def _recorded() -> Iterator[tuple[str, int, float, float]]:
    """(tile, EPSG, x, y) of every asset of every recorded Sentinel-2 item, where there are any."""
    for path in sorted(SHARED.glob("upstream/*/items/sentinel-2-l*/*.json")) if SHARED else []:
        item = json.loads(path.read_text())
        properties = item["properties"]
        name = properties.get("s2:mgrs_tile") or properties["grid:code"].removeprefix("MGRS-")
        for asset in item["assets"].values():
            transform = asset.get("proj:transform")
            code = asset.get("proj:code") or properties.get("proj:epsg")
            if transform and code and transform[0] in (10, 20, 60):
                epsg = int(str(code).removeprefix("EPSG:"))
                yield name.zfill(5), epsg, transform[2], transform[5]


@pytest.mark.parametrize("expected", sorted(set(_recorded())))
def test_corner_is_that_of_recorded_items(expected: tuple[str, int, float, float]) -> None:
    tile = tiles.tile(expected[0])
    assert (tile.id, tile.epsg, tile.x, tile.y) == expected


# The southern tiles end at the equator, as the real ones do: a chip across it has no native tile.
@given(st.floats(-180, 179.99), st.floats(-79.9, -0.02) | st.floats(0, 83.9))
@example(14.0, -46.0546875)  # just under the top of a square: only the tile above holds it
def test_every_point_lies_in_a_tile_of_its_zone_with_its_surroundings(
    lon: float, lat: float
) -> None:
    epsg = (32600 if lat >= 0 else 32700) + tiles.zone_of(lon, lat)
    x, y = Transformer.from_crs(4326, epsg, always_xy=True).transform(lon, lat)
    for tile in tiles.tiles_over((lon, lat, lon, lat)):
        left, bottom, right, top = tile.bounds
        across = left + 1320 <= x <= right - 1320
        if tile.epsg == epsg and across and bottom + 1320 <= y <= top - 1320:
            return
    pytest.fail(f"no tile of EPSG:{epsg} holds a 264 pixel chip around {lon}, {lat}")


@pytest.mark.parametrize("name", [*sorted(PUBLISHED), "01CCV", "60KZG", "32VKL", "33XWG"])
def test_footprint_holds_the_centre_and_stays_on_the_map(name: str) -> None:
    tile = tiles.tile(name)
    left, bottom, right, top = tile.bounds
    ring = [(left, bottom), (right, bottom), (right, top), (left, top)]
    polygon = shape(tiles.footprint(tile.epsg, ring))
    assert polygon.is_valid
    assert -180 <= polygon.bounds[0] <= polygon.bounds[2] <= 180
    to_lonlat = Transformer.from_crs(tile.epsg, 4326, always_xy=True)
    assert polygon.contains(Point(to_lonlat.transform(*tile.centre)))
    assert tile in tiles.tiles_over(polygon.bounds)


@pytest.mark.parametrize("name", ["", "14TPI", "99TPP", "14YPP", "14TAA", "14TP", "axTPP"])
def test_what_is_no_square_is_refused(name: str) -> None:
    with pytest.raises(KeyError):
        tiles.tile(name)


def test_recorded_items_are_there_when_shared_is() -> None:
    assert SHARED is None or len(set(_recorded())) >= 50
