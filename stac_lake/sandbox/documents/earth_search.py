"""Items as Earth Search v1 words them: the envelope, the DEM and Sentinel-1 GRD."""

from __future__ import annotations

from datetime import datetime

from stac_lake.sandbox.documents.envelope import (
    COG,
    DEM_HANDBOOK,
    DEM_TIME,
    INTERNATIONAL_DESIGNATOR,
    Document,
    Draft,
    Served,
    bbox,
    centroid,
    micro,
    milli,
    stable_hex,
)
from stac_lake.sandbox.documents.s1_names import S1Name, grd_assets, parse, radar_properties
from stac_lake.sandbox.scene import SandboxScene

_DEM_BUCKETS = {"dem-glo30": "copernicus-dem-30m", "dem-glo90": "copernicus-dem-90m"}
_DEM_COLLECTIONS = {"dem-glo30": "cop-dem-glo-30", "dem-glo90": "cop-dem-glo-90"}


def processing(scene: SandboxScene, software: str, version: str, made: datetime) -> Document:
    """What Earth Search's own pipelines add."""
    return {
        "earthsearch:payload_id": (
            f"roda-sentinel2/workflow-{software}/{stable_hex(scene.id, software)}"
        ),
        "processing:software": {software: version},
        "updated": milli(made),
    }


def asset_order(assets: Document) -> Document:
    """Alphabetical, the JPEG 2000 twins last, as in recorded items."""
    return {key: assets[key] for key in sorted(assets, key=lambda k: (k.endswith("-jp2"), k))}


def feature(api: str, draft: Draft) -> Document:
    """Assemble an item in Earth Search's member order.

    Args:
        api: Root of the API as the client sees it, without a slash at the end.
        draft: The item.
    """
    home = f"{api}/collections/{draft.collection}"
    itself = f"{home}/items/{draft.id}"
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": draft.id,
        "properties": dict(draft.properties),
        "geometry": draft.geometry,
        "links": [
            {"rel": "self", "type": "application/geo+json", "href": itself},
            *draft.links,
            {"rel": "parent", "type": "application/json", "href": home},
            {"rel": "collection", "type": "application/json", "href": home},
            {"rel": "root", "type": "application/json", "href": api},
            {"rel": "thumbnail", "href": f"{itself}/thumbnail"},
        ],
        "assets": draft.assets,
        "bbox": bbox(draft.geometry),
        "stac_extensions": draft.schemas,
        "collection": draft.collection,
    }


def dem_files(scene: SandboxScene) -> dict[str, Served]:
    """The public bucket by its virtual-hosted https name; items state the s3 form."""
    bucket = _DEM_BUCKETS[scene.kind]
    href = f"https://{bucket}.s3.eu-central-1.amazonaws.com/{scene.id}/{scene.id}.tif"
    return {href: Served(scene, "data")}


def dem_item(scene: SandboxScene, api: str) -> Document:
    """An item of `cop-dem-glo-30` or `cop-dem-glo-90`."""
    collection, gsd = _DEM_COLLECTIONS[scene.kind], 30 if scene.kind == "dem-glo30" else 90
    parts = scene.id.split("_")  # Copernicus_DSM_COG_10_N44_00_W096_00_DEM
    corner = f"{parts[4]}{parts[6]}"
    properties = {
        "platform": "tandem-x",
        "gsd": gsd,
        "proj:epsg": 4326,
        "proj:transform": list(scene.facts["transform"])[:6],
        "proj:shape": list(scene.facts["shape"]),
        "proj:centroid": centroid(scene.footprint),
        "grid:code": f"CDEM-{corner}",
        "storage:platform": "AWS",
        "storage:region": "eu-central-1",
        "storage:requester_pays": False,
        "earthsearch:payload_id": (
            f"cop-dem-glo/workflow-cop-dem-glo-to-stac/{stable_hex(scene.id)}"
        ),
        "datetime": DEM_TIME,
        "processing:software": {"cop-dem-glo-to-stac": "2023.03.28"},
        "created": "2023-03-28T15:22:57.096Z",
        "updated": "2023-04-20T18:14:01.460Z",
    }
    data = {
        "href": f"s3://{_DEM_BUCKETS[scene.kind]}/{scene.id}/{scene.id}.tif",
        "type": COG,
        "title": "Data",
        "raster:bands": [
            {
                "sampling": "point",
                "data_type": "float32",
                "spatial_resolution": gsd,
                "unit": "meter",
            }
        ],
        "roles": ["data"],
    }
    path = f"s3://earthsearch-data/{collection}/{scene.id}/{scene.id}.json"
    links = [{"rel": "canonical", "href": path, "type": "application/json"}, DEM_HANDBOOK]
    extensions = ["projection/v1.1.0", "processing/v1.1.0", "grid/v1.1.0", "raster/v1.1.0"]
    extensions += ["storage/v1.0.0"]
    draft = Draft(
        collection, scene.id, scene.footprint, properties, {"data": data}, links, extensions
    )
    return feature(api, draft)


def _bogus_projection(scene: SandboxScene, name: S1Name) -> Document:
    """The box divided by the image size in the wrong order, as in all 142 recorded GRD items.

    The image is in radar geometry and has ground control points only, so that no affine exists.
    """
    west, south, east, north = bbox(scene.footprint)
    lines, samples = name.shape
    return {
        "proj:epsg": 4326,
        "proj:bbox": [west, south, east, north],
        "proj:shape": [lines, samples],
        "proj:transform": [
            (east - west) / samples, 0, west, 0, -(north - south) / lines, north
        ],
        "proj:centroid": centroid(scene.footprint),
    }  # fmt: skip


def grd_item(scene: SandboxScene, api: str) -> Document:
    """An item of `sentinel-1-grd`: documents only, the files are requester-pays."""
    name = parse(scene.id)
    folder = name.roda_folder("s3://sentinel-s1-l1c")
    assets = grd_assets(scene, folder, worded="Earth Search")
    properties = radar_properties(scene) | _bogus_projection(scene, name)
    properties |= {
        "sat:platform_international_designator": INTERNATIONAL_DESIGNATOR[name.platform],
        "platform": f"sentinel-{name.platform[1:].lower()}",
        "constellation": "sentinel-1",
        "start_datetime": micro(scene.start),
        "end_datetime": micro(scene.stop),
        "s1:product_timeliness": "Fast-24h",
        "s1:product_identifier": name.with_unique_id,
        "s1:processing_datetime": micro(scene.stop),
        "storage:platform": "AWS",
        "storage:region": "eu-central-1",
        "storage:requester_pays": True,
        "datetime": micro(scene.start + (scene.stop - scene.start) / 2),
        "processing:software": {"sentinel1-to-stac": "2023.05.17"},
        "created": milli(scene.stop),
        "updated": milli(scene.stop),
    }
    day = f"{scene.start.year}/{scene.start.month}/{scene.start.day}/{name.mode}"
    path = f"s3://earthsearch-data/sentinel-1-grd/{day}/{name.id}/{name.id}.json"
    links = [{"rel": "canonical", "href": path, "type": "application/json"}]
    extensions = ["raster/v1.1.0", "processing/v1.1.0", "sar/v1.0.0", "storage/v1.0.0"]
    extensions += ["projection/v1.1.0", "sat/v1.0.0"]
    draft = Draft("sentinel-1-grd", name.id, scene.footprint, properties, assets, links, extensions)
    return feature(api, draft)
