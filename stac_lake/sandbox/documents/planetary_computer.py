"""The envelope of the Planetary Computer's items, and its Sentinel-1 and DEM documents.

Sentinel-1's start and end times are not RFC 3339; assets with an API address (`tilejson`,
`rendered_preview`) stand beside the files.
"""

from __future__ import annotations

from stac_lake.sandbox.documents.envelope import (
    COG,
    DEM_HANDBOOK,
    DEM_TIME,
    INTERNATIONAL_DESIGNATOR,
    SENTINEL_LICENSE,
    Document,
    Draft,
    Served,
    bbox,
    micro,
    spaced,
)
from stac_lake.sandbox.documents.s1_names import grd_assets, radar_properties, roda_files, spoken
from stac_lake.sandbox.documents.s1_names import parse as parse_s1
from stac_lake.sandbox.scene import SandboxScene

_DATA_API = "https://planetarycomputer.microsoft.com/api/data/v1/item"
_RTC = "https://sentinel1euwestrtc.blob.core.windows.net/sentinel1-grd-rtc"
_GRD = "https://sentinel1euwest.blob.core.windows.net/s1-grd"
_DEM = "https://elevationeuwest.blob.core.windows.net/copernicus-dem"
_DEM_FOLDERS = {"dem-glo30": "COP30_hh", "dem-glo90": "COP90_hh"}
_DEM_COLLECTIONS = {"dem-glo30": "cop-dem-glo-30", "dem-glo90": "cop-dem-glo-90"}


def feature(api: str, draft: Draft) -> Document:
    """Assemble an item in pgstac's member order (keys by length)."""
    home = f"{api}/collections/{draft.collection}"
    itself = f"{home}/items/{draft.id}"
    query = f"collection={draft.collection}&item={draft.id}"
    return {
        "id": draft.id,
        "bbox": bbox(draft.geometry),
        "type": "Feature",
        "links": [
            {"rel": "collection", "type": "application/json", "href": home},
            {"rel": "parent", "type": "application/json", "href": home},
            {"rel": "root", "type": "application/json", "href": f"{api}/"},
            {"rel": "self", "type": "application/geo+json", "href": itself},
            *draft.links,
            {
                "rel": "preview",
                "href": f"{_DATA_API}/map?{query}",
                "title": "Map of item",
                "type": "text/html",
            },
        ],
        "assets": draft.assets,
        "geometry": draft.geometry,
        "collection": draft.collection,
        "properties": dict(sorted(draft.properties.items(), key=lambda kv: (len(kv[0]), kv[0]))),
        "stac_extensions": draft.schemas,
        "stac_version": "1.0.0",
    }


def rendered(collection: str, item_id: str, shown: str) -> Document:
    """The two assets that are addresses of Microsoft's tiler, not files."""
    query = f"collection={collection}&item={item_id}&{shown}&format=png"
    return {
        "tilejson": {
            "title": "TileJSON with default rendering",
            "href": f"{_DATA_API}/tilejson.json?{query}",
            "type": "application/json",
            "roles": ["tiles"],
        },
        "rendered_preview": {
            "title": "Rendered preview",
            "rel": "preview",
            "href": f"{_DATA_API}/preview.png?{query}",
            "roles": ["overview"],
            "type": "image/png",
        },
    }


def _s1_properties(scene: SandboxScene) -> Document:
    name = parse_s1(scene.id)
    return radar_properties(scene) | {
        "datetime": micro(scene.start + (scene.stop - scene.start) / 2),
        "platform": f"SENTINEL-{name.platform[1:]}",
        "constellation": "Sentinel-1",
        "start_datetime": spaced(scene.start),
        "end_datetime": spaced(scene.stop),
        "s1:product_timeliness": "Fast-24h",
        "sat:platform_international_designator": INTERNATIONAL_DESIGNATOR[name.platform],
    }


def rtc_id(scene: SandboxScene) -> str:
    """The GRD product's name with `_rtc` behind it."""
    return f"{parse_s1(scene.id).id}_rtc"


def _rtc_folder(scene: SandboxScene) -> str:
    return parse_s1(scene.id).roda_folder(_RTC)


def rtc_files(scene: SandboxScene) -> dict[str, Served]:
    """True href to file of `sentinel-1-rtc`."""
    swath, folder = parse_s1(scene.id).mode.lower(), _rtc_folder(scene)
    return {
        f"{folder}/measurement/{swath}-{name}.rtc.tiff": Served(scene, name)
        for name in ("vv", "vh")
    }


def rtc_item(scene: SandboxScene, api: str) -> Document:
    """An item of `sentinel-1-rtc`; `proj:transform` has nine numbers."""
    facts, name, item_id = scene.facts, parse_s1(scene.id), rtc_id(scene)
    a, _, x, _, e, y = (float(value) for value in list(facts["transform"])[:6])
    rows, columns = facts["shape"]
    assets = {
        served.name: {
            "href": href,
            "type": COG,
            "roles": ["data"],
            "title": spoken(served.name.upper()),
            "description": (
                "Gamma naught backscatter after radiometric terrain correction, linear power."
            ),
            "raster:bands": [
                {"nodata": -32768, "data_type": "float32", "spatial_resolution": 10.0}
            ],
        }
        for href, served in sorted(rtc_files(scene).items())
    }
    assets |= rendered("sentinel-1-rtc", item_id, "assets=vv&assets=vh&tile_format=png")
    properties = _s1_properties(scene) | {
        "proj:bbox": [x, y + e * rows, x + a * columns, y],
        "proj:epsg": facts["epsg"],
        "proj:shape": [rows, columns],
        "proj:transform": [a, 0.0, x, 0.0, e, y, 0.0, 0.0, 1.0],
    }
    links = [
        {"rel": "license", "href": SENTINEL_LICENSE},
        {
            "rel": "derived_from",
            "href": f"{api}/collections/sentinel-1-grd/items/{name.id}",
            "type": "application/json",
            "title": "Sentinel 1 GRD Item",
        },
    ]
    extensions = ["sar/v1.0.0", "sat/v1.0.0", "projection/v1.1.0", "file/v2.0.0"]
    extensions += ["raster/v1.1.0"]
    draft = Draft("sentinel-1-rtc", item_id, scene.footprint, properties, assets, links, extensions)
    return feature(api, draft)


def grd_files(scene: SandboxScene) -> dict[str, Served]:
    """True href to file of `sentinel-1-grd`."""
    return roda_files(scene, parse_s1(scene.id).roda_folder(_GRD))


def grd_item(scene: SandboxScene, api: str) -> Document:
    """An item of `sentinel-1-grd`: it has no projection at all."""
    name = parse_s1(scene.id)
    assets = grd_assets(scene, name.roda_folder(_GRD), worded="Planetary Computer")
    assets |= rendered("sentinel-1-grd", name.id, "assets=vv&assets=vh&tile_format=png")
    links = [{"rel": "license", "href": SENTINEL_LICENSE}]
    extensions = ("sar/v1.0.0", "sat/v1.0.0")
    draft = Draft(
        "sentinel-1-grd",
        name.id,
        scene.footprint,
        _s1_properties(scene),
        assets,
        links,
        extensions,
    )
    return feature(api, draft)


def dem_files(scene: SandboxScene) -> dict[str, Served]:
    """True href to file of `cop-dem-glo-30` and `cop-dem-glo-90`."""
    return {f"{_DEM}/{_DEM_FOLDERS[scene.kind]}/{scene.id}.tif": Served(scene, "data")}


def dem_item(scene: SandboxScene, api: str) -> Document:
    """An item of `cop-dem-glo-30` or `cop-dem-glo-90`."""
    collection = _DEM_COLLECTIONS[scene.kind]
    (href,) = dem_files(scene)
    properties = {
        "gsd": 30 if scene.kind == "dem-glo30" else 90,
        "datetime": DEM_TIME,
        "platform": "TanDEM-X",
        "proj:epsg": 4326,
        "proj:shape": list(scene.facts["shape"]),
        "proj:transform": [float(v) for v in list(scene.facts["transform"])[:6]],
    }
    data = {
        "href": href,
        "title": "_".join(scene.id.split("_")[4:8]),
        "type": COG,
        "roles": ["data"],
    }
    shown = "assets=data&colormap_name=terrain&rescale=-1000%2C4000"
    assets = {"data": data} | rendered(collection, scene.id, shown)
    links, extensions = [DEM_HANDBOOK], ["projection/v1.0.0"]
    draft = Draft(collection, scene.id, scene.footprint, properties, assets, links, extensions)
    return feature(api, draft)
