"""The envelope of CDSE's items, and its Sentinel-1 and DEM documents.

STAC 1.1: `bands`, `raster:*`, `nodata` and `data_type` stand on the asset, and so does the
projection. Hrefs are `s3://eodata/…`; `alternate.https` leads to an OData service with its own
login.
"""

from __future__ import annotations

from stac_lake.sandbox.documents.envelope import (
    COG,
    DEM_TIME,
    INTERNATIONAL_DESIGNATOR,
    Document,
    Draft,
    Served,
    as_time,
    bbox,
    micro,
    milli,
    stable_hex,
)
from stac_lake.sandbox.documents.s1_names import parse as parse_s1
from stac_lake.sandbox.documents.s1_names import spoken
from stac_lake.sandbox.s1_grd import paths
from stac_lake.sandbox.scene import SandboxScene

EODATA = "s3://eodata"
_ODATA = "https://download.dataspace.copernicus.eu/odata/v1/Products"
_TRACE = "https://trace.dataspace.copernicus.eu/api/v1/traces/name"
_LOGIN = (
    "https://identity.dataspace.copernicus.eu/auth/realms/CDSE/.well-known/openid-configuration"
)
_S3 = {"auth:refs": ["s3"], "storage:refs": ["cdse-s3", "creodias-s3"], "alternate:name": "S3"}
STORE_EXTENSIONS = (
    "alternate-assets/v1.2.0",
    "authentication/v1.1.0",
    "file/v2.1.0",
    "projection/v2.0.0",
    "storage/v2.0.0",
    "timestamps/v1.1.0",
)
PRODUCT_EXTENSIONS = (
    *STORE_EXTENSIONS,
    "https://cs-si.github.io/eopf-stac-extension/v1.2.0/schema.json",
    "processing/v1.2.0",
    "product/v1.0.0",
    "sat/v1.1.0",
)
_GRD_DOCUMENTS = {"product": "Product", "calibration": "calibration", "noise": "noise"}
_STORAGE = {
    "cdse-s3": {
        "type": "custom-s3",
        "title": "Copernicus Data Space Ecosystem S3",
        "platform": "https://eodata.dataspace.copernicus.eu",
        "requester_pays": False,
    },
    "creodias-s3": {
        "type": "custom-s3",
        "title": "CREODIAS S3",
        "platform": "https://eodata.cloudferro.com",
        "requester_pays": True,
    },
}


def feature(api: str, draft: Draft, archive: str) -> Document:
    """Assemble an item in pgstac's member order.

    Args:
        api: Root of the API as the client sees it, without a slash at the end.
        draft: The item.
        archive: The product's folder or file name, which the history service knows.
    """
    home = f"{api}/collections/{draft.collection}"
    schemes = {
        "auth:schemes": {
            "s3": {"type": "s3"},
            "oidc": {"type": "openIdConnect", "openIdConnectUrl": _LOGIN},
        },
        "storage:schemes": _STORAGE,
    }
    properties = {**draft.properties, **schemes}
    return {
        "id": draft.id,
        "bbox": [round(edge, 6) for edge in bbox(draft.geometry)],
        "type": "Feature",
        "links": [
            {"rel": "collection", "type": "application/json", "href": home},
            {"rel": "parent", "type": "application/json", "href": home},
            {"rel": "root", "type": "application/json", "href": f"{api}/"},
            {"rel": "self", "type": "application/geo+json", "href": f"{home}/items/{draft.id}"},
            {
                "rel": "version-history",
                "href": f"{_TRACE}/{archive}.zip",
                "type": "application/json",
                "title": "Product history record from the CDSE traceability service",
            },
            *draft.links,
        ],
        "assets": draft.assets,
        "geometry": draft.geometry,
        "collection": draft.collection,
        "properties": dict(sorted(properties.items(), key=lambda kv: (len(kv[0]), kv[0]))),
        "stac_extensions": draft.schemas,
        "stac_version": "1.1.0",
    }


def odata_id(archive: str) -> str:
    """A UUID that belongs to the product; stands for the catalogue's own."""
    digits = stable_hex(archive)
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def stored(archive: str, href: str) -> Document:
    """What every file in the object store has: its href, its place and the other way to it."""
    inside = href[href.index(archive) :]
    nodes = "".join(f"/Nodes({part})" for part in inside.split("/"))
    https = f"{_ODATA}({odata_id(archive)}){nodes}/$value"
    return {
        "href": href,
        "alternate": {"https": {"href": https, "auth:refs": ["oidc"], "alternate:name": "HTTPS"}},
        "file:local_path": inside,
        **_S3,
    }


def zipped(archive: str) -> Document:
    """The whole product behind the other login: `Product` of S2, `product` of S3."""
    return {
        "href": f"{_ODATA}({odata_id(archive)})/$value",
        "type": "application/zip",
        "roles": ["data", "metadata", "archive"],
        "title": "Zipped product",
        "auth:refs": ["oidc"],
        "file:local_path": f"{archive}.zip",
        "alternate:name": "HTTPS",
    }


def acquisition(scene: SandboxScene) -> Document:
    """Times, orbit and bookkeeping that all swath products have."""
    facts = scene.facts
    platform = facts["platform"]
    made = as_time(facts.get("creation_time", scene.stop))
    return {
        "created": milli(made),
        "updated": micro(made),
        "expires": "9999-01-01T00:00:00.000000Z",
        "published": micro(made),
        "datetime": micro(scene.start),
        "start_datetime": micro(scene.start),
        "end_datetime": micro(scene.stop),
        "sat:orbit_state": facts["orbit_state"],
        "processing:datetime": micro(made),
        "eopf:origin_datetime": milli(made),
        "sat:platform_international_designator": INTERNATIONAL_DESIGNATOR[platform],
    }


def grd_id(scene: SandboxScene) -> str:
    """The product name with `_COG` behind it."""
    return f"{parse_s1(scene.id).with_unique_id}_COG"


def grd_product(item_id: str) -> str:
    """The product name of an item id."""
    return item_id.removesuffix("_COG")


def grd_files(scene: SandboxScene) -> dict[str, Served]:
    """True href to file of `sentinel-1-grd`: the whole product below its folder."""
    product, archive = _grd_product(scene), f"{grd_id(scene)}.SAFE"
    folder = f"{EODATA}/Sentinel-1/SAR/{product}/{scene.start:%Y/%m/%d}/{archive}"
    return {f"{folder}/{path}": Served(scene, name) for name, path in paths(scene, "-cog").items()}


def _grd_product(scene: SandboxScene) -> str:
    name = parse_s1(scene.id)
    return f"{name.mode}_{name.product}_1S-COG"


def grd_item(scene: SandboxScene, api: str) -> Document:
    """An item of `sentinel-1-grd`; `proj:code` is that of the ground control points."""
    facts, name = scene.facts, parse_s1(scene.id)
    archive, product = f"{grd_id(scene)}.SAFE", _grd_product(scene)
    hrefs = {served.name: href for href, served in grd_files(scene).items()}
    assets: Document = {}
    for polarization in name.polarizations:
        low = polarization.lower()
        assets[low] = {
            "type": COG,
            "roles": ["data"],
            "title": spoken(polarization),
            "nodata": 0,
            "data_type": "uint16",
            "proj:code": "EPSG:4326",
            **stored(archive, hrefs[low]),
        }
    for polarization in name.polarizations:
        for kind, title in _GRD_DOCUMENTS.items():
            key = f"{kind}-{polarization.lower()}"
            assets[f"schema-{key}"] = {
                "type": "application/xml",
                "roles": ["metadata"],
                "title": f"{polarization} {title} Schema",
                **stored(archive, hrefs[key]),
            }
    assets["safe_manifest"] = {
        "type": "application/xml",
        "roles": ["metadata"],
        "title": "manifest.safe",
        **stored(archive, hrefs["manifest-cog"]),
    }
    properties = acquisition(scene) | {
        "platform": f"sentinel-{name.platform[1:].lower()}",
        "instruments": ["sar"],
        "product:type": product,
        "constellation": "sentinel-1",
        "processing:level": "L1",
        "product:timeliness": "PT24H",
        "sat:absolute_orbit": facts["absolute_orbit"],
        "sat:relative_orbit": facts["relative_orbit"],
        "sar:instrument_mode": name.mode,
        "sar:polarizations": list(name.polarizations),
        "product:timeliness_category": "Fast-24h",
    }
    draft = Draft(
        "sentinel-1-grd", grd_id(scene), scene.footprint, properties, assets, (), PRODUCT_EXTENSIONS
    )
    return feature(api, draft, archive)


def dem_files(scene: SandboxScene) -> dict[str, Served]:
    """True href to file of `cop-dem-glo-30-dged-cog`."""
    folder = f"{EODATA}/auxdata/CopDEM_COG/copernicus-dem-30m/{scene.id}"
    return {f"{folder}/{scene.id}.tif": Served(scene, "data")}


def dem_item(scene: SandboxScene, api: str) -> Document:
    """An item of `cop-dem-glo-30-dged-cog`."""
    (href,) = dem_files(scene)
    data = {
        "type": COG,
        "roles": ["data"],
        "title": "Elevation",
        "gsd": 30,
        "data_type": "float32",
        "proj:code": "EPSG:4326",
        "proj:shape": list(scene.facts["shape"]),
        "proj:transform": list(scene.facts["transform"])[:6],
        **stored(scene.id, href),
    }
    properties = {
        "gsd": 30,
        "datetime": DEM_TIME,
        "start_datetime": DEM_TIME,
        "end_datetime": DEM_TIME,
        "platform": "tandem-x",
        "product:type": "DGE_30",
    }
    draft = Draft(
        "cop-dem-glo-30-dged-cog",
        scene.id,
        scene.footprint,
        properties,
        {"data": data},
        (),
        STORE_EXTENSIONS,
    )
    return feature(api, draft, scene.id)
