"""Right pixels at every latitude: seams, poles, the antimeridian, coasts and borders of tiles.

Each place is harvested from the stand-in, and what is stored is compared with the formulas of
docs/sandbox.md, computed again at pixel centres: a pixel is shifted if it agrees better with the
formula somewhere else.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyproj import Geod, Proj, Transformer
from rasterio.transform import Affine
from scipy import ndimage
from shapely.geometry import Point, shape
from shapely.geometry.base import BaseGeometry

from stac_lake.types import Qa
from tests.catalog import stac_schemas
from tests.everywhere import everywhere_fields as fields
from tests.everywhere.conftest import Harvested, Pixels, harvest, read
from tests.everywhere.everywhere_sites import (
    BY_NAME,
    DEM,
    GRD,
    NO2,
    OLCI,
    S1,
    S2,
    SITES,
    Site,
    recipe_of,
)
from tests.harvest import small

WGS84 = Geod(ellps="WGS84")
STORED = [
    pytest.param(site, name, id=f"{site.name}-{name}") for site in SITES for name in site.stored
]


def places_of(product: str) -> Any:
    """Parametrised over the places where a product is stored."""
    found = [pytest.param(site, id=site.name) for site in SITES if product in site.stored]
    return pytest.mark.parametrize("site", found)


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.name)
def test_nothing_is_empty_that_should_not_be(lake: Harvested, site: Site) -> None:
    assert lake.ends(site) == site.ends


@pytest.mark.parametrize(("site", "product"), STORED)
def test_the_item_is_valid_and_says_what_the_file_says(
    lake: Harvested, site: Site, product: str
) -> None:
    pixels = lake.pixels(site, product)
    properties = pixels.properties
    uri = f"{stac_schemas.CORE}/item-spec/json-schema/item.json"
    assert stac_schemas.problems(pixels.document, uri) == []
    assert properties["proj:code"] == f"EPSG:{pixels.epsg}"
    assert properties["proj:shape"] == list(pixels.data.shape[1:])
    assert properties["proj:transform"] == pytest.approx(list(pixels.transform)[:6], rel=1e-12)
    assert properties["proj:bbox"] == pytest.approx(pixels.bounds, rel=1e-12)
    assert properties["grid:code"] == site.cell.code
    if product in (S1, S2, GRD):
        assert pixels.epsg == site.epsg
        assert pixels.transform.a == -pixels.transform.e == 10
        south = 32700 < site.epsg < 32761
        assert (pixels.transform.c % 60, pixels.transform.f % 60) == (0, 40 if south else 0)
    else:
        assert pixels.epsg == 4326
        west, south_, east, north = pixels.bounds
        assert (west + east) / 2 == pytest.approx(site.lon, abs=1e-9)
        assert (south_ + north) / 2 == pytest.approx(site.lat, abs=1e-9)
        assert (east - west, north - south_) == pytest.approx((0.25, 0.25))


def parts_of(geometry: BaseGeometry) -> list[Any]:
    return list(getattr(geometry, "geoms", [geometry]))


def true_area(pixels: Pixels, lat: float) -> float:
    """Square metres of the ground under a raster, by its map's scale or along its parallels."""
    left, bottom, right, top = pixels.bounds
    if pixels.epsg != 4326:
        lonlat = Transformer.from_crs(pixels.epsg, 4326, always_xy=True)
        middle = lonlat.transform((left + right) / 2, (bottom + top) / 2)
        scale = Proj(pixels.epsg).get_factors(*middle).areal_scale
        return (right - left) * (top - bottom) / float(scale)
    # Four sides along the meridians and, densely, along the parallels.
    low, high = max(bottom, -90.0), min(top, 90.0)
    lon = np.linspace(left, right, 200)
    area, _ = WGS84.polygon_area_perimeter(
        [*lon, *lon[::-1]], [*np.full(200, low), *np.full(200, high)]
    )
    return abs(float(area))


@pytest.mark.parametrize(("site", "product"), STORED)
def test_the_footprint_is_valid_and_where_the_pixels_are(
    lake: Harvested, site: Site, product: str
) -> None:
    pixels = lake.pixels(site, product)
    geometry, bbox = shape(pixels.document["geometry"]), pixels.document["bbox"]
    parts = parts_of(geometry)
    assert geometry.is_valid
    assert geometry.geom_type == ("Polygon" if len(parts) == 1 else "MultiPolygon")
    assert all(part.exterior.is_ccw and not part.interiors for part in parts)  # RFC 7946, 3.1.6
    west, south, east, north = geometry.bounds
    assert -180 <= west <= east <= 180
    assert -90 <= south <= north <= 90
    # RFC 7946, 3.1.9 and 5.2: cut at the antimeridian, and the box goes over it from west to east.
    over = abs(site.lon) == 180 and abs(site.lat) < 90
    assert len(parts) == (2 if over else 1)
    if over:
        eastern = next(part for part in parts if part.bounds[2] == 180)
        western = next(part for part in parts if part.bounds[0] == -180)
        assert bbox == pytest.approx([eastern.bounds[0], south, western.bounds[2], north])
        assert bbox[0] > bbox[2]
    else:
        assert bbox == pytest.approx([west, south, east, north])
        assert bbox[0] < bbox[2]
    polar_cap = abs(site.lat) == 90 and pixels.epsg != 4326
    area = sum(abs(WGS84.geometry_area_perimeter(part.segmentize(0.002))[0]) for part in parts)
    if not polar_cap:
        assert area == pytest.approx(true_area(pixels, site.lat), rel=2e-3)
    assert_centred(pixels, site, geometry)


def assert_centred(pixels: Pixels, site: Site, geometry: BaseGeometry) -> None:
    """The middle of the pixels is in the footprint and, to half a step of 60 m, the cell's."""
    left, bottom, right, top = pixels.bounds
    lonlat = Transformer.from_crs(pixels.epsg, 4326, always_xy=True)
    lon, lat = lonlat.transform((left + right) / 2, (bottom + top) / 2)
    lon = (lon + 180) % 360 - 180
    _, _, distance = WGS84.inv(lon, lat, site.lon, site.lat)
    assert distance < (1e-3 if pixels.epsg == 4326 else 61)
    assert geometry.buffer(1e-9).covers(Point(lon, min(max(lat, -90), 90)))
    centroid = pixels.properties["proj:centroid"]
    _, _, distance = WGS84.inv(lon, lat, centroid["lon"], centroid["lat"])
    assert distance < 0.02


def scene_epsg(pixels: Pixels) -> int:
    """CRS of a Sentinel-2 scene, from the tile in its name: MGRS bands from N on are north."""
    tile = pixels.properties["lake:upstream_id"].split("_T")[1][:5]
    return (32600 if tile[2] >= "N" else 32700) + int(tile[:2])


@places_of(S2)
def test_sentinel_2_is_the_formula(lake: Harvested, site: Site) -> None:
    pixels = lake.pixels(site, S2)
    epsg = scene_epsg(pixels)
    native = site.epsg < 32600 or epsg == site.epsg
    assert native, "a scene of another zone, where the zone's own has one"
    assert pixels.properties.get("lake:resampled", False) == (epsg != site.epsg)
    land = fields.Land(pixels.properties["lake:upstream_id"], epsg)
    x, y = fields.centres(pixels.transform, (264, 264))
    there = fields.moved(x, y, site.epsg, epsg)
    for name in ("B04", "B10"):
        data = pixels.band(name)
        expected = land.numbers(name, *land.pixel(*there, fields.band(name)["m"]))
        assert (data == expected).mean() > 0.998, name
        assert np.abs(data - expected).max() < 20 or (data == expected).mean() > 0.9995, name
    masks = land.masks(*land.pixel(*there, 60))
    qa = pixels.band("qa").astype(int)
    assert (qa & Qa.OBSERVED).all()
    for name, bit in (("cloud", Qa.CLOUD), ("cirrus", Qa.CIRRUS), ("snow", Qa.SNOW)):
        assert (((qa & bit) > 0) == masks[name]).mean() > 0.999, name
    cloudy = 100 * (masks["cloud"] | masks["cirrus"]).mean()
    assert pixels.properties["eo:cloud_cover"] == pytest.approx(cloudy, abs=0.1)
    assert_in_place(pixels, "B04", sentinel_2_field(pixels, site))


def sentinel_2_field(pixels: Pixels, site: Site) -> fields.Field:
    epsg = scene_epsg(pixels)
    land = fields.Land(pixels.properties["lake:upstream_id"], epsg)

    def field(x: Any, y: Any) -> Any:
        return land.reflectance("B04", *fields.moved(x, y, site.epsg, epsg))

    return field


def assert_in_place(
    pixels: Pixels, band: str, field: fields.Field, where: Any = None, most: float = 0.1
) -> None:
    """Position error well under half a pixel, in both directions."""
    data = pixels.band(band).astype(np.float64)
    seen = np.isfinite(data) if where is None else where
    every = max(1, data.shape[0] // 240)
    east, south = fields.displacement(data, field, pixels.transform, seen, every)
    assert max(abs(east), abs(south)) < most, (east, south)


@places_of(S1)
def test_sentinel_1_is_the_formula(lake: Harvested, site: Site) -> None:
    pixels = lake.pixels(site, S1)
    epsg = lake.upstream(pixels.document)["properties"]["proj:epsg"]
    start = fields.utc(pixels.properties["lake:upstream_id"].split("_")[4])
    assert pixels.properties.get("lake:resampled", False) == (epsg != site.epsg)
    x, y = fields.centres(pixels.transform, (264, 264))
    there = fields.moved(x, y, site.epsg, epsg)
    for name, cross in (("VV", False), ("VH", True)):

        def value(x: Any, y: Any, cross: bool = cross) -> Any:
            return fields.power(start, cross, x, y)

        power = value(*there) if epsg == site.epsg else fields.bilinear(value, *there, 10)
        error = np.abs(pixels.band(name) - 10 * np.log10(power))
        assert (error < 1e-4).mean() > 0.99, name
        # A step of 2^-16 that rounds the other way, in the weakest pixels of VH.
        assert error.max() < 0.02, name
    assert (pixels.band("qa") == Qa.OBSERVED).all()
    # Speckle of 0.4 dB on a slope of 0.03 dB per pixel: the measure is known to 0.05 pixels.
    assert_in_place(pixels, "VV", sentinel_1_field(lake, pixels, site), most=0.25)


def sentinel_1_field(lake: Harvested, pixels: Pixels, site: Site) -> fields.Field:
    epsg = lake.upstream(pixels.document)["properties"]["proj:epsg"]
    start = fields.utc(pixels.properties["lake:upstream_id"].split("_")[4])

    def field(x: Any, y: Any) -> Any:
        return fields.backscatter(start, False, *fields.moved(x, y, site.epsg, epsg))

    return field


@places_of(GRD)
def test_sigma0_is_the_formula(lake: Harvested, site: Site) -> None:
    """Through range and Doppler, heights and geoid, back to where the formula has it.

    Not at 82° N: the formula's hills are narrow there, and steeper than the radar looks down.
    """
    pixels = lake.pixels(site, GRD)
    start = fields.utc(pixels.properties["lake:upstream_id"].split("_")[4])
    x, y = fields.centres(pixels.transform, (264, 264))
    seen = (pixels.band("qa") == Qa.OBSERVED) & ~fields.near_reflector(x, y, site.epsg)
    assert seen.mean() > 0.95
    assert pixels.bands == (("HH", "HV", "qa") if site.lat < -60 else ("VV", "VH", "qa"))
    for name in pixels.bands[:-1]:
        cross = name in ("VH", "HV")

        def field(x: Any, y: Any, cross: bool = cross) -> Any:
            return fields.sigma0(start, cross, x, y, site.epsg)

        error = (pixels.band(name) - field(x, y))[seen]
        assert abs(error.mean()) < 0.02, name
        # Thermal noise was there and is subtracted, and amplitudes are whole numbers.
        assert np.percentile(np.abs(error), 99) < 0.1, name
        assert_in_place(pixels, name, field, seen, most=0.5)


def near_shore(sea: Any, pixels: int) -> Any:
    """Pixels that have both land and sea within a distance along rows and columns."""
    both = (ndimage.binary_dilation(kind, iterations=pixels) for kind in (sea, ~sea))
    return np.logical_and(*both)


@places_of(DEM)
def test_heights_are_the_formula(lake: Harvested, site: Site) -> None:
    pixels = lake.pixels(site, DEM)
    lon, lat = fields.centres(pixels.transform, (960, 960))
    ground = np.abs(lat) <= 90
    # No tile north of 84° N, as in the real one, nor in the open sea.
    sea = ground & ((np.floor(lat) >= 84) | fields.is_sea(np.floor(lon) + 0.5, np.floor(lat) + 0.5))
    qa, height = pixels.band("qa"), pixels.band("height")
    assert ((qa > 0) == ground).all()
    assert (np.isfinite(height) == ground).all()
    # Between the last point of a tile and the next degree, sea begins half way.
    shore = near_shore(sea, 8)
    inland, offshore = ground & ~sea & ~shore, sea & ~shore
    # The lattice's last row of points is 1" short of the South Pole.
    exact = inland & (lat > -90 + 1 / 3600)
    assert (qa[inland] == Qa.OBSERVED).all()
    assert (qa[offshore] == Qa.OBSERVED + Qa.SEA_FILLED).all()
    assert (height[offshore] == 0).all()
    assert np.isnan(height[~ground]).all()
    if inland.any():
        expected = fields.heights((lon + 180) % 360 - 180, lat)
        assert np.abs(height - expected)[exact].max() < fields.height_error(site.lat)
        assert_in_place(pixels, "height", fields.heights, exact)
    assert pixels.properties["lake:valid_pct"] == pytest.approx(100 * ground.mean(), abs=0.01)


@places_of(OLCI)
def test_radiances_are_the_formula(lake: Harvested, site: Site) -> None:
    """Pixels of 4 km under waves of 41 km: to 1 %, and to a fraction of a pixel."""
    pixels = lake.pixels(site, OLCI)
    lon, lat = fields.centres(pixels.transform, (96, 96))
    qa = pixels.band("qa").astype(int)
    assert (qa & Qa.OBSERVED).all()
    name, sea = pixels.properties["lake:upstream_id"], fields.is_sea(lon, lat)
    # Two pixels of 4 km on both sides of a shore, which bilinear interpolation blurs.
    shore = near_shore(sea, 30)
    for band in fields.OLCI_BANDS:
        expected = fields.radiance(name, band, lon, lat, sea)
        usable = (qa & (Qa.SATURATED | Qa.INVALID) == 0) & ~shore
        error = np.abs(pixels.band(band) / expected - 1)[usable]
        assert np.median(error) < 0.005, band
        assert np.percentile(error, 99) < 0.01, band
    if shore.any():
        water, land = (
            fields.radiance(name, "Oa17", lon, lat, np.full(sea.shape, wet))
            for wet in (True, False)
        )
        surplus = (land - pixels.band("Oa17") - sea * (land - water)).sum()
        columns = surplus / (land - water)[:, :-1][sea[:, 1:] != sea[:, :-1]].sum()
        # The shore lies within half a pixel of the frame, of 4 km, from where it should.
        assert abs(columns) < 0.5 * 4 / 0.28


@places_of(NO2)
def test_columns_are_the_formula(lake: Harvested, site: Site) -> None:
    """Within 8e-7 mol m-2, which half of a thin granule's pixel makes (docs/sandbox-swath.md)."""
    pixels = lake.pixels(site, NO2)
    lon, lat = fields.centres(pixels.transform, (28, 28))
    ground = np.abs(lat) <= 90
    names = [link["title"] for link in pixels.document["links"] if link["rel"] == "derived_from"]
    orbits = [fields.nitrogen_dioxide(name, lon, lat) for name in names]
    mean, count = pixels.band("NO2"), pixels.band("n_orbits")
    assert (np.isnan(mean) == (count == 0)).all()
    assert (count[~ground] == 0).all()
    assert (count[ground] > 0).any()
    assert count.max() == pixels.properties["lake:n_orbits"] == len(names)
    assert fields.monthly_error(mean, count, orbits).max() < 8e-7
    assert np.isnan(pixels.band("std")[count < 2]).all()
    assert np.isfinite(pixels.band("std")[count >= 2]).all()


def test_overlapping_tiles_of_one_datatake_agree(
    lake: Harvested, origin: str, keys: None, tmp_path: Path
) -> None:
    """The same ground in the tiles around a corner of the MGRS grid."""
    site = BY_NAME["four-tiles"]
    stored = lake.pixels(site, S2)
    job = harvest(str(tmp_path / "plan"), origin, recipe_of(site))
    rows = [row for _, plan in job.plan([site.cell]) for row in plan.rows]
    (row,) = (row for row in rows if row.slot.product == S2)
    take = stored.properties["lake:upstream_id"].split("_")[2]
    of_take = [scene for scene in row.candidates if scene.id.split("_")[2] == take]
    assert len(of_take) == 4
    assert len({scene.id.split("_T")[1][:5] for scene in of_take}) == 4
    for scene in of_take:
        if scene.id == stored.properties["lake:upstream_id"]:
            continue
        path = str(tmp_path / scene.id[-30:])
        report = harvest(path, origin, recipe_of(site)).run_rows(
            [replace(row, candidates=(scene,))]
        )
        assert [outcome.state for outcome in report.outcomes.values()] == ["stored"]
        other = read(small.item(path, row.slot.id), small.tif(path, row.slot.id))
        assert other.transform == stored.transform
        assert np.array_equal(other.data, stored.data), scene.id


@pytest.mark.parametrize("product", [S2, S1, DEM])
@pytest.mark.parametrize("turn", [(0.5, 0.0), (0.0, -0.5)])
def test_half_a_pixel_would_be_seen(
    lake: Harvested, product: str, turn: tuple[float, float]
) -> None:
    """The measure of position itself: pixels that are said to lie elsewhere."""
    site = BY_NAME["greenwich"]
    pixels = lake.pixels(site, product)
    if product == S2:
        band, field = "B04", sentinel_2_field(pixels, site)
    elif product == S1:
        band, field = "VV", sentinel_1_field(lake, pixels, site)
    else:
        band, field = "height", fields.heights
    data = pixels.band(band).astype(np.float64)
    said = pixels.transform @ Affine.translation(*turn)
    found = fields.displacement(data, field, said, np.isfinite(data))
    assert found == pytest.approx(turn, abs=0.1)
