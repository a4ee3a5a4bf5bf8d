"""The STAC Item of a GeoTIFF that was there before the lake: catalogued where it is.

It says what the file's header and name say. What only the pixels know (`lake:valid_pct`, band
statistics, checksum) is there if they were read; what nobody can know any more (whether Sentinel-2
still has its radiometric offset, the processing baseline, cloud cover) is left out.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from stac_lake.catalog.bands import eo_band, raster_band, stac_band
from stac_lake.catalog.item import STAC_VERSION, extensions_of, placed
from stac_lake.catalog.schema import LAKE_SCHEMA
from stac_lake.grid import box_footprint, footprint_bbox, projected_footprint, to_lonlat
from stac_lake.recipe import Product
from stac_lake.store import keys
from stac_lake.types import PixelGrid, Slot, iso

TIFF_TYPE = "image/tiff; application=geotiff"


@dataclass(frozen=True)
class AdoptedFacts:
    """All that the Item of a file says.

    Attributes:
        slot: Whose item it is.
        product: With the bands of the file.
        grid: Of the file.
        start: Moment of acquisition, or where the composite begins.
        end: The composite's last millisecond; None for a scene.
        href: Of the file, absolute or relative to the item.
        size: Bytes of the file.
        digest: Of what the item was made from.
        created: When this version is written.
        software: Version of stac-lake.
        properties: Under names of `quality.properties`: where the file came from, and measures.
        statistics: Per band, in file order; empty if the pixels were not read.
        sha256: Of the file, hexadecimal; None if it was not read.
    """

    slot: Slot
    product: Product
    grid: PixelGrid
    start: datetime
    end: datetime | None
    href: str
    size: int
    digest: str
    created: datetime
    software: str
    properties: Mapping[str, Any] = field(default_factory=dict)
    statistics: tuple[Mapping[str, float], ...] = ()
    sha256: str | None = None


def adopted_item(facts: AdoptedFacts, version: int) -> dict[str, Any]:
    """The Item as it is stored.

    Args:
        facts: What to say.
        version: Which version of the item this is, from 1.
    """
    footprint, bbox, centre = _place(facts.grid)
    asset = _asset(facts)
    properties = _properties(facts, version, centre)
    here = posixpath.dirname(keys.item_key(facts.slot, version))
    collection = posixpath.relpath(keys.collection_key(facts.slot.cell), here)
    kind = "application/json"
    links = [
        {"rel": "root", "href": posixpath.relpath(keys.ROOT_CATALOG, here), "type": kind},
        {"rel": "parent", "href": collection, "type": kind},
        {"rel": "collection", "href": collection, "type": kind},
    ]
    if version > 1:
        before = f"./{version - 1}.json"
        links.append({"rel": "predecessor-version", "href": before, "type": "application/geo+json"})
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        # The lake's own schema asks for checksum, tile index and valid share of every item.
        "stac_extensions": [uri for uri in extensions_of(properties, asset) if uri != LAKE_SCHEMA],
        "id": facts.slot.id,
        "geometry": footprint,
        "bbox": list(bbox),
        "properties": properties,
        "links": links,
        "assets": {"data": asset},
        "collection": facts.slot.cell.collection_id,
    }


def _properties(facts: AdoptedFacts, version: int, centre: tuple[float, float]) -> dict[str, Any]:
    product = facts.product
    times: dict[str, Any] = {"datetime": iso(facts.start)}
    if facts.end is not None:
        times = {
            "datetime": None,
            "start_datetime": iso(facts.start),
            "end_datetime": iso(facts.end),
        }
    platforms = product.platform_ids
    found: dict[str, Any] = {
        **times,
        "created": iso(facts.created),
        "platform": platforms[0] if len(platforms) == 1 else None,
        "version": str(version),
        **placed(facts.slot, product, facts.grid),
        "proj:centroid": {"lat": centre[1], "lon": centre[0]},
        "lake:recipe_digest": facts.digest,
        "lake:software": facts.software,
        "lake:size_bytes": facts.size,
        **facts.properties,
    }
    return {name: value for name, value in found.items() if value is not None or name == "datetime"}


def _asset(facts: AdoptedFacts) -> dict[str, Any]:
    product = facts.product
    numbers = facts.statistics or ({},) * len(product.bands)
    asset: dict[str, Any] = {
        "href": facts.href,
        "type": TIFF_TYPE,
        "title": product.title,
        "roles": ["data"],
        "gsd": product.gsd_m,
        "file:size": facts.size,
    }
    if facts.sha256 is not None:
        # Multihash: 0x12 is SHA-256, 0x20 its length.
        asset["file:checksum"] = f"1220{facts.sha256}"
    lines = [*zip(product.bands, numbers, strict=True)]
    return asset | {
        "bands": [stac_band(product, band, stated, {}) for band, stated in lines],
        "eo:bands": [eo_band(product, band) for band in product.bands],
        "raster:bands": [raster_band(product, band, stated, {}) for band, stated in lines],
    }


# The files of a patch share their grid.
@lru_cache(maxsize=1024)
def _place(
    grid: PixelGrid,
) -> tuple[dict[str, Any], tuple[float, float, float, float], tuple[float, float]]:
    """Footprint, its box and the centre of a grid, in degrees to seven decimals."""
    west, south, east, north = grid.bounds
    x, y = (west + east) / 2, (south + north) / 2
    if grid.epsg == 4326:
        footprint = box_footprint(grid.bounds)
        lon, lat = (x + 180) % 360 - 180, y
    else:
        footprint = projected_footprint(grid.epsg, grid.bounds)
        lon, lat = to_lonlat(grid.epsg).transform(x, y)
    footprint = {**footprint, "coordinates": _rounded(footprint["coordinates"])}
    return footprint, footprint_bbox(footprint), (round(lon, 7), round(lat, 7))


def _rounded(coordinates: Any) -> list[Any]:
    return [
        _rounded(value) if isinstance(value, list | tuple) else round(value, 7)
        for value in coordinates
    ]
