"""Collection documents and queryables of the stand-in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stac_lake.sandbox.documents.envelope import Document, milli

if TYPE_CHECKING:
    from stac_lake.sandbox.catalog import Holding

_ESA = {"name": "ESA", "roles": ["producer"], "url": "https://www.esa.int"}
_USGS = {"name": "USGS", "roles": ["producer"], "url": "https://www.usgs.gov/landsat-missions"}
_SENTINEL_LICENSE = "https://sentinel.esa.int/documents/247904/690755/Sentinel_Data_Legal_Notice"
_LANDSAT_LICENSE = "https://www.usgs.gov/core-science-systems/hdds/data-policy"
_PROPERTIES: dict[str, dict[str, Any]] = {
    "datetime": {"title": "Acquired", "type": "string", "format": "date-time"},
    "start_datetime": {"title": "Start datetime", "type": "string", "format": "date-time"},
    "end_datetime": {"title": "End datetime", "type": "string", "format": "date-time"},
    "platform": {"title": "Platform", "type": "string"},
    "eo:cloud_cover": {"title": "Cloud cover", "type": "number", "minimum": 0, "maximum": 100},
    "sat:orbit_state": {"title": "Orbit state", "type": "string"},
    "sat:relative_orbit": {"title": "Relative orbit", "type": "integer"},
    "sar:instrument_mode": {"title": "Instrument mode", "type": "string"},
    "sar:polarizations": {"title": "Polarizations", "type": "array"},
    "s2:mgrs_tile": {"title": "MGRS tile", "type": "string"},
    "s2:processing_baseline": {"title": "Processing baseline", "type": "string"},
    "landsat:wrs_path": {"title": "WRS path", "type": "string"},
    "landsat:wrs_row": {"title": "WRS row", "type": "string"},
    "landsat:collection_category": {"title": "Collection category", "type": "string"},
    "s5p:product_name": {"title": "Product", "type": "string"},
    "s5p:processing_mode": {"title": "Processing mode", "type": "string"},
    "s5p:collection_identifier": {"title": "Collection number", "type": "string"},
    "proj:epsg": {"title": "EPSG code", "type": ["integer", "null"]},
    "gsd": {"title": "Ground sample distance", "type": "number"},
}


def collection_document(holding: Holding, api: str, root: str) -> Document:
    """One Collection in the provider's STAC version.

    Args:
        holding: The Collection.
        api: Root of the API as the client sees it, without a slash at the end.
        root: Href of the landing page.
    """
    itself = f"{api}/collections/{holding.collection}"
    timeless = holding.kind.startswith("dem")
    first = milli(holding.start)
    american = holding.kind.startswith("landsat")
    document: Document = {
        "type": "Collection",
        "id": holding.collection,
        "stac_version": "1.1.0" if holding.provider == "cdse" else "1.0.0",
        "title": holding.title,
        "description": f"Generated stand-in of {holding.title}.",
        "license": "other" if holding.provider == "cdse" else "proprietary",
        "keywords": ["Landsat" if american else "Copernicus", "stand-in"],
        "providers": [_USGS if american else _ESA],
        "extent": {
            "spatial": {"bbox": [[-180, -90, 180, 90]]},
            "temporal": {"interval": [[first, first if timeless else None]]},
        },
        "summaries": {"gsd": [holding.gsd]},
        "stac_extensions": [],
        "links": [
            {"rel": "items", "type": "application/geo+json", "href": f"{itself}/items"},
            {"rel": "parent", "type": "application/json", "href": root},
            {"rel": "root", "type": "application/json", "href": root},
            {"rel": "self", "type": "application/json", "href": itself},
            {"rel": "license", "href": _LANDSAT_LICENSE if american else _SENTINEL_LICENSE},
            {
                "rel": "http://www.opengis.net/def/rel/ogc/1.0/queryables",
                "type": "application/schema+json",
                "href": f"{itself}/queryables",
            },
        ],
    }
    if holding.storage:
        account, container = holding.storage
        document |= {"msft:storage_account": account, "msft:container": container}
        document |= {"msft:region": "westeurope"}
    return document


def queryables(href: str, collection: str | None) -> Document:
    """The properties that a filter may name."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": href,
        "type": "object",
        "title": f"Queryables of {collection}" if collection else "STAC Queryables.",
        "properties": {
            "id": {"title": "Item ID", "type": "string"},
            "geometry": {"$ref": "https://geojson.org/schema/Feature.json"},
            **_PROPERTIES,
        },
    }
