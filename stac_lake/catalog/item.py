"""STAC Items of a lake, as pure functions of plain facts.

An Item is STAC 1.1 and carries the older spelling beside the newer one (`bands` with `eo:bands` and
`raster:bands`; `proj:code` with `proj:epsg`), because the readers of this field are split: odc-stac
finds band names in `eo:bands`, rio-tiler and QGIS read either. The stored document has relative
links, so that a lake can be moved; `resolve` makes them absolute for whoever reads.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from stac_lake.catalog.bands import eo_band, raster_band, stac_band
from stac_lake.catalog.schema import LAKE_SCHEMA
from stac_lake.errors import InvalidItem
from stac_lake.grid import footprint_bbox
from stac_lake.quality.properties import BY_NAME
from stac_lake.recipe import Product
from stac_lake.store import keys
from stac_lake.types import PixelGrid, Scene, Slot, Window, iso

STAC_VERSION = "1.1.0"
COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
DEM_EPOCH = datetime(2021, 4, 22, tzinfo=UTC)
"""Copernicus DEM, release 2021_1: the one moment that all its items carry; never a search key."""

_EXTENSIONS = {
    prefix: f"https://stac-extensions.github.io/{path}/schema.json"
    for prefix, path in {
        "eo": "eo/v1.1.0",
        "file": "file/v2.1.0",
        "grid": "grid/v1.1.0",
        "processing": "processing/v1.2.0",
        # The only version that allows proj:code and proj:epsg side by side.
        "proj": "projection/v1.2.0",
        "raster": "raster/v1.1.0",
        "sar": "sar/v1.3.0",
        "sat": "sat/v1.1.0",
        "view": "view/v1.1.0",
        "classification": "classification/v1.1.0",
        "renders": "render/v2.0.0",
        "version": "version/v1.2.0",
    }.items()
}

_COMPOSED = {"eo:cloud_cover", "datetime", "start_datetime", "end_datetime", "created", "gsd"}
"""Properties of a scene that must not be taken for the crop's."""

_PER_ACQUISITION = ("sat:", "view:", "sar:", "lake:baseline")
"""Prefixes of what is true of one acquisition, and means nothing for a composite."""


@dataclass(frozen=True)
class ItemFacts:
    """All that an Item says.

    Attributes:
        slot: Whose item it is.
        product: The effective product.
        windows: When the slot's scenes may have been acquired; a composite spans them.
        grid: Where the pixels lie.
        scenes: What the pixels were made of; none where open sea was filled.
        properties: Measured shares and what the pixels' maker knows, under names of
            `quality.properties`.
        bands: Per band minimum, maximum, mean, stddev, valid_percent; in file order.
        band_metadata: Extra keys per band.
        size: Bytes of the COG.
        sha256: Of the COG, hexadecimal.
        layout: Tiles of the COG.
        digest: `recipe.digest` of the slot.
        created: When this version is written.
        software: Version of stac-lake.
        failed_over_from: Providers that were asked in vain before.
    """

    slot: Slot
    product: Product
    windows: tuple[Window, ...]
    grid: PixelGrid
    scenes: tuple[Scene, ...] = field(repr=False)
    properties: Mapping[str, Any]
    bands: tuple[Mapping[str, Any], ...] = field(repr=False)
    band_metadata: Mapping[str, Mapping[str, Any]] = field(repr=False)
    size: int
    sha256: str
    layout: Mapping[str, Any] = field(repr=False)
    digest: str
    created: datetime
    software: str
    failed_over_from: tuple[str, ...] = ()

    @property
    def is_composite(self) -> bool:
        """Whether the item is a mean over a span of time."""
        return self.product.values.operator == "column"


def build_item(facts: ItemFacts, attempt: str, version: int) -> dict[str, Any]:
    """The Item as it is stored: links and the asset's href relative to its own place.

    Args:
        facts: What to say.
        attempt: Attempt under which the COG is stored (`store.keys.asset_key`).
        version: Which version of the item this is, from 1.

    Raises:
        InvalidItem: a property is not in the dictionary, or the bands do not match the product.
    """
    slot = facts.slot
    place = slot.patch or slot.cell
    geometry = {**place.footprint}
    geometry["coordinates"] = _rounded(geometry["coordinates"])
    properties = _properties(facts, version)
    asset = _asset(facts, attempt, version)
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": extensions_of(properties, asset),
        "id": slot.id,
        "geometry": geometry,
        "bbox": list(footprint_bbox(geometry)),
        "properties": properties,
        "links": _links(facts, version),
        "assets": {"data": asset},
        "collection": slot.cell.collection_id,
    }


def resolve(document: Mapping[str, Any], url: str) -> dict[str, Any]:
    """A stored Item with absolute hrefs and its self link: what every door of a lake hands out.

    Args:
        document: As stored.
        url: `Objects.url` of the lake.
    """
    slot = Slot.from_id(document["id"])
    key = keys.item_key(slot, int(document["properties"]["version"]))
    base = posixpath.dirname(key)

    def absolute(href: str) -> str:
        if "://" in href or href.startswith("/"):
            return href
        return f"{url}/{posixpath.normpath(posixpath.join(base, href))}"

    own = {"rel": "self", "href": f"{url}/{key}", "type": "application/geo+json"}
    return {
        **document,
        "links": [own, *({**link, "href": absolute(link["href"])} for link in document["links"])],
        "assets": {
            name: {**asset, "href": absolute(asset["href"])}
            for name, asset in document["assets"].items()
        },
    }


def asset_key_of(document: Mapping[str, Any]) -> str:
    """Key of the COG that a stored Item points at.

    Raises:
        InvalidItem: it points out of the cell's assets.
    """
    slot = Slot.from_id(document["id"])
    href = document["assets"]["data"]["href"]
    key = posixpath.normpath(posixpath.join(keys.versions_prefix(slot), href))
    if not key.startswith(f"{keys.cell_prefix(slot.cell)}assets/"):
        raise InvalidItem(f"the asset's href {href!r} leaves the cell", item=slot.id)
    return key


def retired(document: Mapping[str, Any], version: int, moment: datetime) -> dict[str, Any]:
    """The tombstone that follows a stored Item: its next version, deprecated.

    Args:
        document: The current version, as stored.
        version: Of the tombstone.
        moment: When it is written.
    """
    changes = {"created": iso(moment), "version": str(version), "deprecated": True}
    links = [link for link in document["links"] if link["rel"] != "predecessor-version"]
    return {
        **document,
        "properties": {**document["properties"], **changes},
        "links": [*links, *_predecessor(version)],
    }


def _properties(facts: ItemFacts, version: int) -> dict[str, Any]:
    slot, product, grid = facts.slot, facts.product, facts.grid
    lon, lat = slot.patch.centre if slot.patch else (slot.cell.lon, slot.cell.lat)
    found: dict[str, Any] = {
        **_times(facts),
        "created": iso(facts.created),
        "version": str(version),
        **placed(slot, product, grid),
        "proj:centroid": {"lat": round(lat, 7), "lon": round(lon, 7)},
        "processing:software": {"stac-lake": facts.software},
        "lake:recipe_digest": facts.digest,
        "lake:software": facts.software,
        "lake:size_bytes": facts.size,
        "lake:failed_over_from": list(facts.failed_over_from) or None,
        **_provenance(facts),
    }
    if product.modality == "s1":
        # Of the Sentinel-1 instrument, in GHz: ESA, Sentinel-1 product definition.
        found |= {"sar:frequency_band": "C", "sar:center_frequency": 5.405}
    unknown = sorted(name for name in facts.properties if name not in BY_NAME)
    if unknown:
        raise InvalidItem(f"properties {unknown} are not in quality.properties", item=slot.id)
    found |= facts.properties
    if product.renders:
        found["renders"] = {
            name: {"title": name.replace("-", " "), **how} for name, how in product.renders.items()
        }
    return {name: value for name, value in found.items() if value is not None or name == "datetime"}


def _times(facts: ItemFacts) -> dict[str, Any]:
    if facts.is_composite:
        return {
            "datetime": None,
            "start_datetime": iso(facts.windows[0].start),
            "end_datetime": iso(facts.windows[-1].last),
        }
    if facts.product.modality == "dem":
        return {"datetime": iso(DEM_EPOCH)}
    if not facts.scenes:
        raise InvalidItem("an item needs a scene, and this one has none", item=facts.slot.id)
    return {"datetime": iso(facts.scenes[0].middle)}


def _provenance(facts: ItemFacts) -> dict[str, Any]:
    """Where the pixels come from, and what the scene's metadata say that holds for the crop."""
    platforms = facts.product.platform_ids
    found: dict[str, Any] = {"platform": platforms[0] if len(platforms) == 1 else None}
    if not facts.scenes:
        return found
    first = facts.scenes[0]
    for name, value in first.properties.items():
        skip = name in _COMPOSED or name.startswith(("proj:", "processing:", "grid:"))
        of_one = facts.is_composite and name.startswith(_PER_ACQUISITION)
        if name in BY_NAME and not skip and not of_one:
            found[name] = value
    if "processing:version" in first.properties and not facts.is_composite:
        found.setdefault("lake:baseline", str(first.properties["processing:version"]))
    if facts.product.modality in BY_NAME["lake:scene_cloud_cover_pct"].modalities:
        found["lake:scene_cloud_cover_pct"] = first.properties.get("eo:cloud_cover")
    return found | {
        "lake:upstream_id": first.id,
        "lake:upstream_count": len(facts.scenes),
        "lake:provider": first.provider,
        "lake:upstream_collection": first.collection,
    }


def _asset(facts: ItemFacts, attempt: str, version: int) -> dict[str, Any]:
    product = facts.product
    if len(facts.bands) != len(product.bands):
        raise InvalidItem(
            f"{len(facts.bands)} band statistics for {len(product.bands)} bands", item=facts.slot.id
        )
    here = posixpath.dirname(keys.item_key(facts.slot, version))
    href = posixpath.relpath(keys.asset_key(facts.slot, attempt, facts.sha256), here)
    extra = [facts.band_metadata.get(band.name, {}) for band in product.bands]
    lines = [*zip(product.bands, facts.bands, extra, strict=True)]
    return {
        "href": href,
        "type": COG_TYPE,
        "title": product.title,
        "roles": ["data"],
        "gsd": product.gsd_m,
        "file:size": facts.size,
        # Multihash: 0x12 is SHA-256, 0x20 its length.
        "file:checksum": f"1220{facts.sha256}",
        "lake:layout": dict(facts.layout),
        "bands": [stac_band(product, *line) for line in lines],
        "eo:bands": [eo_band(product, band) for band in product.bands],
        "raster:bands": [raster_band(product, *line) for line in lines],
    }


def _links(facts: ItemFacts, version: int) -> list[dict[str, Any]]:
    here = posixpath.dirname(keys.item_key(facts.slot, version))
    collection = posixpath.relpath(keys.collection_key(facts.slot.cell), here)
    kind = "application/json"
    return [
        {"rel": "root", "href": posixpath.relpath(keys.ROOT_CATALOG, here), "type": kind},
        {"rel": "parent", "href": collection, "type": kind},
        {"rel": "collection", "href": collection, "type": kind},
        *_predecessor(version),
        *(
            {
                "rel": "derived_from",
                "href": scene.href,
                "type": "application/geo+json",
                "title": scene.id,
            }
            for scene in facts.scenes
        ),
    ]


def _predecessor(version: int) -> list[dict[str, Any]]:
    if version == 1:
        return []
    href = f"./{version - 1}.json"
    return [{"rel": "predecessor-version", "href": href, "type": "application/geo+json"}]


def placed(slot: Slot, product: Product, grid: PixelGrid) -> dict[str, Any]:
    """What every item of a slot says of its sensor and place; None where it has no patch."""
    return {
        "constellation": product.constellation,
        "instruments": list(product.instruments),
        "gsd": product.gsd_m,
        "grid:code": slot.cell.code,
        "proj:code": f"EPSG:{grid.epsg}",
        "proj:epsg": grid.epsg,
        "proj:shape": list(grid.shape),
        "proj:transform": list(grid.transform),
        "proj:bbox": list(grid.bounds),
        "processing:level": product.processing_level,
        "lake:product": product.id,
        "lake:modality": product.modality,
        "lake:slot": slot.name,
        "lake:patch": slot.patch.id if slot.patch else None,
    }


def extensions_of(properties: Mapping[str, Any], asset: Mapping[str, Any]) -> list[str]:
    """Schemas of the prefixes that the document uses, and the lake's own."""
    prefixes = {name.split(":")[0] for name in (*properties, *asset)}
    if any("classification:bitfields" in band for band in asset["bands"]):
        prefixes.add("classification")
    return [*(_EXTENSIONS[name] for name in sorted(prefixes & set(_EXTENSIONS))), LAKE_SCHEMA]


def _rounded(coordinates: Iterable[Any]) -> list[Any]:
    """Coordinates to seven decimals, about a centimetre: stable over releases of PROJ."""
    return [
        _rounded(value) if isinstance(value, list | tuple) else round(value, 7)
        for value in coordinates
    ]
