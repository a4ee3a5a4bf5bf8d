"""Where the world is awkward, what is to be had there, and the small recipes that ask for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from stac_lake.grid import Cell, cell_at
from stac_lake.recipe import Product, Recipe, Series, products

S2, S1, GRD = "s2-l1c", "s1-rtc", "s1-grd"
OLCI, NO2, DEM = "s3-olci-efr", "s5p-no2", "dem-glo30"
STORED = "stored"
PATCHES = {S2: STORED, S1: STORED}
"""What has 10 m pixels, and so depends on zones and tiles."""
ALL = PATCHES | {OLCI: STORED, NO2: STORED, DEM: STORED}
RADAR = {GRD: STORED}
"""At a few places only: it takes longest."""
PATCHES_MISSING = {S2: "no_scene", S1: "no_scene"}
"""Where neither Sentinel-1 nor -2 comes: beyond the reach of their orbits, or the open sea."""

FEW_BANDS = {
    S2: ("B04", "B10", "qa"),  # 10 and 60 m
    OLCI: ("Oa01", "Oa08", "Oa17", "qa"),
}
"""Enough to see where the pixels are, in a quarter of the time."""


@dataclass(frozen=True)
class Site:
    """One awkward place.

    Attributes:
        name: For the test's id.
        lon: Of the cell's centre, degrees.
        lat: Likewise.
        epsg: The patch's CRS, worked out by hand from the zones of MGRS.
        ends: Product → ``stored``, or the reason why its slot is empty.
        candidates: How many scenes are looked at.
    """

    name: str
    lon: float
    lat: float
    epsg: int
    ends: dict[str, str]
    candidates: int = 1

    @property
    def cell(self) -> Cell:
        return cell_at(self.lon, self.lat)

    @property
    def stored(self) -> list[str]:
        return [name for name, end in self.ends.items() if end == STORED]


SITES = (
    Site("equator", 25, 0, 32635, ALL),
    Site("greenwich", 0, 48, 32631, ALL),
    Site("west-of-180", 179.75, -16.75, 32760, PATCHES, 2),
    Site("at-180", -180, -16.75, 32701, ALL | RADAR, 2),
    Site("east-of-180", -179.75, -16.75, 32701, PATCHES),
    Site("at-180-arctic", -180, 67, 32601, PATCHES | {DEM: STORED}),
    Site("seam-6E", 6, 45, 32632, PATCHES),
    Site("west-of-seam-6E", 5.75, 45, 32631, PATCHES),
    Site("32V", 4, 60, 32632, PATCHES | RADAR),
    Site("31X", 8.75, 78, 32631, PATCHES),
    Site("33X", 9, 78, 32633, PATCHES),
    Site("35X", 21, 78, 32635, PATCHES),
    Site("37X", 33, 78, 32637, PATCHES),
    Site("82N", -40, 82, 32624, ALL),
    # Here, and on the open sea, there is no scene of 10 m.
    Site("84N", 20, 84, 32633, PATCHES_MISSING | {DEM: STORED}),
    Site("beyond-84N", 20, 84.25, 3413, ALL | PATCHES_MISSING),
    # The sandbox's Sentinel-1 RTC ends at 60° S, and the swath of Sentinel-3 before the poles.
    Site("74S", 50, -74, 32739, ALL | RADAR | {S1: "no_scene"}, 2),
    Site("beyond-80S", 70, -81, 3031, ALL | {S1: "no_scene"}, 2),
    Site("coast", -50, 8, 32622, ALL, 4),
    Site("open-sea", -35, 10, 32625, ALL | PATCHES_MISSING),
    Site("row-720", 45, 90, 3413, ALL | PATCHES_MISSING | {OLCI: "not_covered"}),
    Site("row-0", 45, -90, 3031, ALL | PATCHES_MISSING | {OLCI: "no_scene"}),
    Site("four-tiles", -66.25, 1.75, 32619, PATCHES, 4),
    Site("south", 19, -33, 32734, ALL | RADAR, 2),
)
BY_NAME = {site.name: site for site in SITES}
SLOTS = {S2: "light", S1: "light", GRD: "light", OLCI: "b1", NO2: "month", DEM: "static"}


def recipe_of(site: Site) -> Recipe:
    """One slot of each product, in the light half of the year; shorter where passes are many."""
    light = date(2021, 6, 20) if site.lat >= 0 else date(2021, 12, 20)
    days = timedelta(days=31 if abs(site.lat) < 63 else 7)
    month = (date(2021, 7, 1), date(2021, 8, 1))
    if site.lat < 0:
        month = (date(2021, 12, 1), date(2022, 1, 1))
    windows = dict.fromkeys(SLOTS, (light, light + days))
    windows |= {NO2: month, DEM: (date(2021, 4, 22), date(2021, 4, 23))}
    return Recipe(
        id="everywhere",
        title="Everywhere",
        description="One slot of each product.",
        series=tuple(
            Series(
                modality=products()[name].modality,
                products=(name,),
                windows={SLOTS[name]: (windows[name],)},
                max_candidates=site.candidates,
            )
            for name in site.ends
        ),
    )


def with_few_bands() -> dict[str, Product]:
    """All products, those with many bands with a few of them."""
    return {
        name: product.with_bands(FEW_BANDS[name]) if name in FEW_BANDS else product
        for name, product in products().items()
    }
