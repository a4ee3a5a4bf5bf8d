"""Sentinel-2 items as Earth Search v1 has them: three collections of one archive.

`sentinel-2-l2a` carries wrong metadata on purpose: its pixels are already shifted by the offset
(`earthsearch:boa_offset_applied` is true), and `raster:bands` still states it, as in all 155
recorded items of baseline 05.
"""

from __future__ import annotations

from functools import lru_cache

from stac_lake.sandbox.documents.bands import BANDS, L2A_BANDS
from stac_lake.sandbox.documents.earth_search import asset_order, feature, processing
from stac_lake.sandbox.documents.earth_search_assets import (
    layer,
    legacy_asset,
    metadata,
    probabilities,
    spectral,
    thumbnail,
    visual,
)
from stac_lake.sandbox.documents.envelope import (
    COG,
    SENTINEL_LICENSE,
    Document,
    Draft,
    Served,
    bbox,
    centroid,
    compact,
    micro,
    milli,
)
from stac_lake.sandbox.documents.s2_names import (
    class_shares,
    datastrip_id,
    generated,
    granule_id,
    parse,
)
from stac_lake.sandbox.s2 import offset_applied, scenes
from stac_lake.sandbox.scene import SandboxScene

COGS = "https://sentinel-cogs.s3.us-west-2.amazonaws.com/sentinel-s2-l2a-cogs"
C1 = "https://e84-earth-search-sentinel-data.s3.us-west-2.amazonaws.com/sentinel-2-c1-l2a"
_TWICE_A_DAY = 74.0  # degrees of latitude from which a platform may see a tile twice a day
_RASTER_V1 = (
    "raster/v1.1.0",
    "projection/v1.1.0",
    "processing/v1.1.0",
    "eo/v1.1.0",
    "mgrs/v1.0.0",
    "grid/v1.0.0",
    "view/v1.0.0",
)


def legacy_id(scene: SandboxScene) -> str:
    """`S2B_46VFM_20240903_0_L2A`: the date is that of the tile's first line."""
    name = parse(scene.id)
    day = f"{scene.start:%Y%m%d}"
    return f"{name.platform}_{name.square}_{day}_{sequence(scene)}_{name.level}"


@lru_cache(maxsize=4096)
def sequence(scene: SandboxScene) -> int:
    """How many earlier passes of the same platform saw the tile on that day.

    Only near the turning points of the orbit do two passes of a day see the same tile.
    """
    west, south, east, north = bbox(scene.footprint)
    if max(abs(south), abs(north)) < _TWICE_A_DAY:
        return 0
    name = parse(scene.id)
    midnight = scene.start.replace(hour=0, minute=0, second=0, microsecond=0)
    earlier = [
        parse(other.id)
        for other in scenes(scene.kind, (west, south, east, north), midnight, scene.start)
        if other.id != scene.id
    ]
    return sum((other.platform, other.tile) == (name.platform, name.tile) for other in earlier)


def c1_id(scene: SandboxScene) -> str:
    """`S2B_T34RBU_20240517T091933_L2A`: the time is that of the datastrip."""
    name = parse(scene.id)
    return f"{name.platform}_T{name.tile}_{compact(name.strip)}_{name.level}"


def _month(scene: SandboxScene) -> str:
    """`46/V/FM/2024/9`."""
    return "/".join((*parse(scene.id).folders, str(scene.start.year), str(scene.start.month)))


def _roda(scene: SandboxScene, level: str) -> str:
    bucket = f"s3://sentinel-s2-{level}/tiles"
    return f"{bucket}/{_month(scene)}/{scene.start.day}/{sequence(scene)}"


def l2a_files(scene: SandboxScene) -> dict[str, Served]:
    """True href to file of `sentinel-2-l2a`; the bands come without the offset."""
    folder = f"{COGS}/{_month(scene)}/{legacy_id(scene)}"
    applied = offset_applied(scene)
    bands = {f"{folder}/{b.id}.tif": Served(applied, b.id) for b in L2A_BANDS}
    return {**bands, f"{folder}/SCL.tif": Served(scene, "SCL")}


def c1_files(scene: SandboxScene) -> dict[str, Served]:
    """True href to file of `sentinel-2-c1-l2a`."""
    folder = f"{C1}/{_month(scene)}/{c1_id(scene)}"
    return {f"{folder}/{n}.tif": Served(scene, n) for n in (*(b.id for b in L2A_BANDS), "SCL")}


def _properties(scene: SandboxScene) -> Document:
    """The properties that all three collections share, in recorded order."""
    name, facts = parse(scene.id), scene.facts
    zone, band, square = name.folders
    return {
        "created": milli(generated(scene)),
        "platform": f"sentinel-{name.platform[1:].lower()}",
        "constellation": "sentinel-2",
        "instruments": ["msi"],
        "eo:cloud_cover": round(float(facts["cloud_pct"]), 6),
        "proj:epsg": facts["epsg"],
        "mgrs:utm_zone": int(zone),
        "mgrs:latitude_band": band,
        "mgrs:grid_square": square,
        "grid:code": f"MGRS-{name.square}",
        "view:sun_azimuth": facts["sun_azimuth"],
        "view:sun_elevation": facts["sun_elevation"],
    }


def _product(scene: SandboxScene) -> Document:
    return {
        "s2:product_type": f"S2MSI{parse(scene.id).level[1:]}",
        "s2:processing_baseline": scene.facts["baseline"],
        "s2:product_uri": f"{scene.id}.SAFE",
        "s2:generation_time": micro(generated(scene)),
        "s2:datatake_id": scene.facts["datatake_id"],
        "s2:datatake_type": "INS-NOBS",
        "s2:datastrip_id": datastrip_id(scene, "2BPS"),
    }


def _shares(scene: SandboxScene, dark: bool) -> Document:
    shares = class_shares(scene)
    return {f"s2:{k}_percentage": v for k, v in shares.items() if dark or k != "dark_features"}


def l2a_item(scene: SandboxScene, api: str) -> Document:
    """An item of `sentinel-2-l2a`, with its JPEG 2000 twins behind requester-pays hrefs."""
    item_id, month = legacy_id(scene), _month(scene)
    folder, roda = f"{COGS}/{month}/{item_id}", _roda(scene, "l2a")
    assets: Document = {}
    for suffix, base, ext, media in (("", folder, "tif", COG), ("-jp2", roda, "jp2", "image/jp2")):
        for band in L2A_BANDS:
            href = f"{base}/{band.id}.{ext}"
            assets[band.key + suffix] = legacy_asset(scene, band, href, media)
        for kind in ("aot", "wvp", "scl"):
            href = f"{base}/{kind.upper()}.{ext}"
            assets[kind + suffix] = layer(scene, href, media, kind)
        assets["visual" + suffix] = visual(scene, f"{base}/TCI.{ext}", media, keyed=True)
    assets |= metadata(
        folder,
        granule_metadata="granule_metadata.xml",
        tileinfo_metadata="tileinfo_metadata.json",
    )
    assets["thumbnail"] = thumbnail(f"{folder}/thumbnail.jpg", "Thumbnail image")
    path = f"s3://sentinel-cogs/sentinel-s2-l2a-cogs/{month}/{item_id}"
    properties = _properties(scene) | _shares(scene, dark=False) | _product(scene)
    properties |= {
        "s2:granule_id": granule_id(scene, "2BPS"),
        "s2:reflectance_conversion_factor": 1.0,
        "datetime": micro(scene.start),
        "s2:sequence": str(sequence(scene)),
        "earthsearch:s3_path": path,
        "earthsearch:boa_offset_applied": True,
        **processing(scene, "sentinel2-to-stac", "0.1.1", generated(scene)),
    }
    l1c = f"{api}/collections/sentinel-2-l1c/items/{item_id.replace('_L2A', '_L1C')}"
    links = [
        {"rel": "canonical", "href": f"{path}/{item_id}.json", "type": "application/json"},
        {"rel": "license", "href": SENTINEL_LICENSE},
        {"rel": "derived_from", "href": l1c, "type": "application/geo+json"},
    ]
    ordered = asset_order(assets)
    draft = Draft(
        "sentinel-2-l2a", item_id, scene.footprint, properties, ordered, links, _RASTER_V1
    )
    return feature(api, draft)


def c1_item(scene: SandboxScene, api: str) -> Document:
    """An item of `sentinel-2-c1-l2a`: the offset is stated and still in the pixels."""
    item_id, month = c1_id(scene), _month(scene)
    folder = f"{C1}/{month}/{item_id}"
    assets: Document = {}
    for band in L2A_BANDS:
        asset = legacy_asset(scene, band, f"{folder}/{band.id}.tif", COG)
        asset["title"] = f"{band.title} - {band.gsd}m"
        asset["eo:bands"] = [spectral(band, band.id)]
        del asset["raster:bands"][0]["bits_per_sample"]
        assets[band.key] = asset
    for kind in ("aot", "wvp", "scl"):
        plain = layer(scene, f"{folder}/{kind.upper()}.tif", COG, kind)
        assets[kind] = {**plain, "gsd": 20, "roles": ["data"]}
    assets["visual"] = visual(scene, f"{folder}/TCI.tif", COG, keyed=False) | {"gsd": 10}
    assets |= probabilities(scene, folder)
    assets |= metadata(
        folder,
        granule_metadata="metadata.xml",
        tileinfo_metadata="tileInfo.json",
        product_metadata="product_metadata.xml",
    )
    assets["thumbnail"] = thumbnail(f"{folder}/L2A_PVI.jpg", "Thumbnail of preview image")
    properties = _properties(scene) | _shares(scene, dark=True) | _product(scene)
    properties |= {
        "proj:centroid": centroid(scene.footprint),
        "view:azimuth": scene.facts["view_azimuth"],
        "view:incidence_angle": scene.facts["view_incidence"],
        "s2:tile_id": granule_id(scene, "2BPS"),
        "s2:reflectance_conversion_factor": 1.0,
        "datetime": micro(scene.start),
        "storage:platform": "AWS",
        "storage:region": "us-west-2",
        "storage:requester_pays": False,
        **processing(scene, "sentinel-2-c1-l2a-to-stac", "v2024.02.01", generated(scene)),
    }
    path = f"s3://e84-earth-search-sentinel-data/sentinel-2-c1-l2a/{month}/{item_id}"
    links = [
        {"rel": "canonical", "href": f"{path}/{item_id}.json", "type": "application/json"},
        {"rel": "via", "href": f"{_roda(scene, 'l2a')}/metadata.xml", "type": "application/xml"},
    ]
    extensions = ["eo/v1.1.0", "file/v2.1.0", "grid/v1.1.0", "mgrs/v1.0.0", "processing/v1.1.0"]
    extensions += ["projection/v1.1.0", "raster/v1.1.0", "sentinel-2/v1.0.0"]
    extensions += ["storage/v1.0.0", "view/v1.0.0"]
    draft = Draft(
        "sentinel-2-c1-l2a", item_id, scene.footprint, properties, assets, links, extensions
    )
    return feature(api, draft)


def l1c_item(scene: SandboxScene, api: str) -> Document:
    """An item of `sentinel-2-l1c`; its files are requester-pays, so that no key opens them."""
    item_id, roda = legacy_id(scene), _roda(scene, "l1c")
    assets: Document = {
        band.key: legacy_asset(scene, band, f"{roda}/{band.id}.jp2", "image/jp2")
        for band in BANDS.values()
    }
    assets["visual"] = visual(scene, f"{roda}/TCI.jp2", "image/jp2", keyed=True)
    assets |= metadata(roda, granule_metadata="metadata.xml", tileinfo_metadata="tileInfo.json")
    assets["thumbnail"] = thumbnail(f"{roda}/preview.jpg", "Thumbnail image")
    path = f"s3://earthsearch-data/sentinel-2-l1c/{_month(scene)}/{item_id}"
    properties = _properties(scene) | {"s2:degraded_msi_data_percentage": 0} | _product(scene)
    properties |= {
        "s2:granule_id": granule_id(scene, "2BPS"),
        "s2:reflectance_conversion_factor": 1.0,
        "datetime": micro(scene.start),
        "s2:sequence": str(sequence(scene)),
        "earthsearch:s3_path": path,
        **processing(scene, "sentinel2-to-stac", "0.1.1", generated(scene)),
    }
    links = [
        {"rel": "canonical", "href": f"{path}/{item_id}.json", "type": "application/json"},
        {"rel": "license", "href": SENTINEL_LICENSE},
    ]
    ordered = asset_order(assets)
    draft = Draft(
        "sentinel-2-l1c", item_id, scene.footprint, properties, ordered, links, _RASTER_V1
    )
    return feature(api, draft)
