"""STAC Collections and Catalogs of a lake, as pure functions of aggregated rows.

    catalog.json ─► 30° blocks ─► 2.5° blocks ─► one Collection per cell ─► Items

They are projections of the index: nothing in them is known nowhere else, and nothing in them says
when they were written, so that an unchanged lake gives unchanged documents.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stac_lake.catalog.item import COG_TYPE, STAC_VERSION
from stac_lake.catalog.schema import LAKE_SCHEMA
from stac_lake.grid import Cell
from stac_lake.recipe import Product
from stac_lake.store import keys
from stac_lake.types import Slot, iso

_JSON = "application/json"
_LICENCES = {
    "sentinel": {
        "rel": "license",
        "href": "https://sentinel.esa.int/documents/247904/690755/Sentinel_Data_Legal_Notice",
        "type": "application/pdf",
        "title": "Legal notice on the use of Copernicus Sentinel data",
    },
    "dem": {
        "rel": "license",
        "href": "https://spacedata.copernicus.eu/documents/20126/0/CSCDA_ESA_Mission-specific+Annex.pdf",
        "type": "application/pdf",
        "title": "Licence of the Copernicus DEM",
    },
}
_PRODUCERS = {
    "sentinel": {
        "name": "Copernicus Sentinel",
        "description": "European Union, processed by ESA",
        "roles": ["licensor", "producer"],
        "url": "https://sentinels.copernicus.eu",
    },
    "dem": {
        "name": "Copernicus DEM",
        "description": "DLR and Airbus Defence and Space, provided by the European Union and ESA",
        "roles": ["licensor", "producer"],
        "url": "https://spacedata.copernicus.eu",
    },
}


@dataclass(frozen=True)
class ItemLine:
    """One current item, as far as its Collection speaks of it.

    Attributes:
        id: Item id.
        version: Current version.
        time: Its moment, or where its span begins.
        time_end: Where its span ends.
        epsg: CRS of the pixels.
        platform: Satellite, None where there are several.
        cloud_pct: Cloud cover of the crop, None where the sensor has none.
        valid_pct: Valid among all pixels.
    """

    id: str
    version: int
    time: datetime
    time_end: datetime
    epsg: int
    platform: str | None
    cloud_pct: float | None
    valid_pct: float | None


def build_collection(
    cell: Cell,
    items: Sequence[ItemLine],
    products: Mapping[str, Product],
    bands: Mapping[str, Any],
) -> dict[str, Any]:
    """The Collection of a cell: extent, counts, summaries, and a link to every current item.

    Args:
        cell: Whose Collection it is.
        items: All its current items, at least one.
        products: Products of the lake by id.
        bands: Statistics of its bands, by product (`stats.band_summaries`).
    """
    here = posixpath.dirname(keys.collection_key(cell))
    found = sorted(items, key=lambda item: item.id)
    used = sorted({Slot.from_id(item.id).product for item in found})
    families = sorted({"dem" if name.startswith("dem") else "sentinel" for name in used})
    moments = (min(item.time for item in found), max(item.time_end for item in found))
    links = [
        _link("root", keys.ROOT_CATALOG, here),
        _link("parent", keys.small_catalog_key(cell), here),
        *(_LICENCES[family] for family in families),
        *(
            _link("item", keys.item_key(Slot.from_id(i.id), i.version), here)
            | {"type": "application/geo+json", "title": i.id}
            for i in found
        ),
    ]
    return {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "stac_extensions": [LAKE_SCHEMA],
        "id": cell.collection_id,
        "title": f"{cell.code}: {_place(cell.lat, cell.lon)}",
        "description": f"Sentinel crops and elevation of the ERA5 grid cell {cell.name}.",
        "license": "other",
        "keywords": ["Sentinel", "Copernicus", "ERA5 grid", "training data"],
        "providers": [
            *(_PRODUCERS[family] for family in families),
            {"name": "stac-lake", "description": "crops and catalogue", "roles": ["processor"]},
        ],
        "extent": {
            "spatial": {"bbox": [list(cell.bbox)]},
            "temporal": {"interval": [[iso(moment) for moment in moments]]},
        },
        "summaries": {
            **_summaries(cell, found, [products[n] for n in used if n in products]),
            **({"lake:bands": bands} if bands else {}),
        },
        "item_assets": {
            "data": {
                "type": COG_TYPE,
                "title": "All bands of the crop",
                "description": "Bands differ by product; each item names its own.",
                "roles": ["data"],
            }
        },
        "lake:counts": _counts(found),
        "links": links,
    }


def build_catalogs(cells: Iterable[Cell]) -> dict[str, dict[str, Any]]:
    """The Catalogs above some cells, by key: the root, and the blocks of 30° and 2.5°.

    Args:
        cells: All cells of the lake that have items.
    """
    children: dict[str, dict[str, str]] = {keys.ROOT_CATALOG: {}}
    for cell in sorted(cells):
        small, large = keys.small_catalog_key(cell), keys.large_catalog_key(cell)
        children[keys.ROOT_CATALOG][large] = keys.large_block(cell)
        children.setdefault(large, {})[small] = keys.small_block(cell)
        title = f"{cell.code}: {_place(cell.lat, cell.lon)}"
        children.setdefault(small, {})[keys.collection_key(cell)] = title
    return {key: _catalog(key, below) for key, below in children.items()}


def _catalog(key: str, children: Mapping[str, str]) -> dict[str, Any]:
    here = posixpath.dirname(key)
    parent = posixpath.dirname(here)
    links = [_link("root", keys.ROOT_CATALOG, here)]
    if key == keys.ROOT_CATALOG:
        name, what = "stac-lake", "Sentinel crops on the ERA5 grid, one Collection per cell."
        links.append({**_link("describedby", keys.SCHEMA, here), "type": "application/schema+json"})
    else:
        name = posixpath.basename(here)
        what = "Cells of the ERA5 grid north and east of the corner that the id names."
        above = f"{parent}/catalog.json" if parent != keys.CELLS.rstrip("/") else keys.ROOT_CATALOG
        links.append(_link("parent", above, here))
    links += [{**_link("child", below, here), "title": title} for below, title in children.items()]
    return {
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": name,
        "title": name,
        "description": what,
        "links": links,
    }


def _summaries(
    cell: Cell, items: Sequence[ItemLine], products: Sequence[Product]
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "grid:code": [cell.code],
        "proj:code": [f"EPSG:{epsg}" for epsg in sorted({item.epsg for item in items})],
        "platform": sorted({item.platform for item in items if item.platform}),
        "constellation": sorted({product.constellation for product in products}),
        "instruments": sorted({name for product in products for name in product.instruments}),
        "gsd": sorted({product.gsd_m for product in products}),
        "lake:product": [product.id for product in products],
        "lake:modality": sorted({product.modality for product in products}),
        "eo:cloud_cover": _range(item.cloud_pct for item in items),
        "lake:valid_pct": _range(item.valid_pct for item in items),
    }
    return {name: value for name, value in found.items() if value}


def _counts(items: Sequence[ItemLine]) -> dict[str, Any]:
    """Items, patches and items per slot name, by product."""
    found: dict[str, list[Slot]] = {}
    for item in items:
        slot = Slot.from_id(item.id)
        found.setdefault(slot.product, []).append(slot)
    return {
        product: {
            "items": len(slots),
            "patches": len({slot.patch for slot in slots if slot.patch}),
            "slots": {
                name: sum(slot.name == name for slot in slots)
                for name in sorted({slot.name for slot in slots})
            },
        }
        for product, slots in sorted(found.items())
    }


def _range(values: Iterable[float | None]) -> dict[str, float] | None:
    known = [value for value in values if value is not None]
    return {"minimum": min(known), "maximum": max(known)} if known else None


def _link(rel: str, key: str, here: str) -> dict[str, Any]:
    href = posixpath.relpath(key, here or ".")
    return {"rel": rel, "href": href if href.startswith(".") else f"./{href}", "type": _JSON}


def _place(lat: float, lon: float) -> str:
    return f"{abs(lat):.2f}° {'S' if lat < 0 else 'N'}, {abs(lon):.2f}° {'W' if lon < 0 else 'E'}"
