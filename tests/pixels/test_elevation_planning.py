"""Which tiles a cell gets: GLO-90 only where GLO-30 lacks one, at ±180° and the poles, too."""

from __future__ import annotations

import re
from datetime import date

import pytest
from pixel_files import MOMENT
from shapely.geometry import box, shape

from stac_lake.grid import cell_at
from stac_lake.harvest.plan import Known, plan_block
from stac_lake.recipe import Recipe, Series, product
from stac_lake.types import Asset, Scene

SERIES = Series(
    modality="dem",
    products=("dem-glo30",),
    windows={"static": ((date(2021, 1, 1), date(2022, 1, 1)),)},
)
RECIPE = Recipe(id="r", title="r", description="r", series=(SERIES,))


def tile(name: str) -> Scene:
    """As Earth Search and the Planetary Computer list it: beyond ±180° by half a pixel, too."""
    arc, ns, lat, ew, lon = re.fullmatch(r"(10|30)_([NS])(\d\d)_([EW])(\d{3})", name).groups()
    south, west = int(lat) * (1 if ns == "N" else -1), int(lon) * (1 if ew == "E" else -1)
    rows = {"10": 3600, "30": 1200}[arc]
    near = min(abs(south), abs(south + 1))
    columns = rows / next(f for end, f in ((50, 1), (60, 1.5), (70, 2), (90, 10)) if near < end)
    dx, dy = 0.5 / columns, 0.5 / rows
    ring = box(west - dx, south + dy, west + 1 - dx, south + 1 + dy)
    return Scene(
        id=f"Copernicus_DSM_COG_{name}_00_DEM", product="dem-glo30", provider="earth-search",
        collection="cop-dem-glo-30" if arc == "10" else "cop-dem-glo-90", start=MOMENT, end=MOMENT,
        footprint=ring.__geo_interface__, assets={"height": Asset("height", name, "earth-search")},
        acquisition=name, version="", href="https://example.com/item",
    )  # fmt: skip


class Catalogue:
    """Answers by box, as a STAC API does, and remembers what it was asked."""

    def __init__(self, *names: str) -> None:
        self.tiles = [tile(name) for name in names]
        self.asked: list[tuple[str, list]] = []

    def missing_credentials(self, provider):
        return None

    def search(self, item, source, boxes, windows, *, max_cloud_pct=None, limit=None):
        assert windows == ()  # the DEM has no time
        for west, south, east, north in boxes:
            assert -180 <= west < east <= 180
            assert -90 <= south < north <= 90
        self.asked.append((source.collection, list(boxes)))
        areas = [box(*bounds) for bounds in boxes]
        return [
            one
            for one in self.tiles
            if one.collection == source.collection
            and any(shape(one.footprint).intersects(area) for area in areas)
        ]


def planned(lon, lat, *names):
    catalogue = Catalogue(*names)
    (row,) = plan_block(RECIPE, SERIES, [cell_at(lon, lat)], catalogue, Known()).rows
    assert row.reason is None
    found = {one.acquisition for one in row.candidates}
    return found, [collection for collection, _ in catalogue.asked]


CASES = {
    "inside": ((8.5, 44.5), ["10_N44_E008", "30_N44_E008"], {"10_N44_E008"}),
    "hole": ((44.5, 40.5), ["30_N40_E044", "10_N40_E043"], {"30_N40_E044"}),
    "corner": (
        (8, 44),
        ["10_N44_E008", "10_N43_E007", "30_N44_E007", "30_N44_E008"],
        {"10_N44_E008", "10_N43_E007", "30_N44_E007"},
    ),
    "antimeridian, west missing": (
        (-180, 66.5),
        ["10_N66_E179", "30_N66_W180", "30_N66_E179"],
        {"10_N66_E179", "30_N66_W180"},
    ),
    "antimeridian, east missing": (
        (-180, 66.5),
        ["10_N66_W180", "30_N66_W180", "30_N66_E179"],
        {"10_N66_W180", "30_N66_E179"},
    ),
    "just west of it": ((179.75, 66.5), ["10_N66_E179", "10_N66_W180"], {"10_N66_E179"}),
    "South Pole": ((10, -90), ["10_S90_E009", "10_S90_E010"], {"10_S90_E009", "10_S90_E010"}),
    "South Pole, coarse": ((-180, -90), ["10_S90_E179", "30_S90_W180", "30_S90_E179"],
                           {"10_S90_E179", "30_S90_W180"}),
    "North Pole": ((10, 90), [], set()),
    "open sea": ((-150, 0), [], set()),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_tiles_of_a_cell(name):
    place, listed, expected = CASES[name]
    found, asked = planned(*place, *listed)
    assert found == expected
    # Nobody is asked for coarse tiles where the fine ones are all there.
    complete = name in ("inside", "just west of it", "South Pole")
    assert asked == ["cop-dem-glo-30", "cop-dem-glo-90"][: 1 if complete else 2]


def test_every_source_has_a_coarser_collection():
    dem = product("dem-glo30")
    assert set(dem.values.fallback_collections) == {source.provider for source in dem.sources}
