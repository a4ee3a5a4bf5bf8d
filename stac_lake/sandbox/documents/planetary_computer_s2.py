"""Sentinel-2 L2A items as the Planetary Computer words them.

No item states nodata, scale or offset.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from stac_lake.sandbox.documents.bands import BANDS, L2A_BANDS, TRUE_COLOUR, Band
from stac_lake.sandbox.documents.envelope import (
    COG,
    SENTINEL_LICENSE,
    Document,
    Draft,
    Served,
    compact,
    micro,
)
from stac_lake.sandbox.documents.planetary_computer import feature, rendered
from stac_lake.sandbox.documents.s2_names import (
    class_shares,
    datastrip_id,
    generated,
    granule_folder,
    granule_id,
    parse,
)
from stac_lake.sandbox.scene import SandboxScene

_ROOT = "https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2"


def item_id(scene: SandboxScene) -> str:
    """ESA's name without its baseline: `S2B_MSIL2A_20240418T191949_R113_T08KMD_20240419T002049`."""
    parts = scene.id.split("_")
    return "_".join(parts[:3] + parts[4:])


def _safe(scene: SandboxScene) -> str:
    name = parse(scene.id)
    zone, band, square = name.tile[:2], name.tile[2], name.tile[3:]
    return f"{_ROOT}/{zone}/{band}/{square}/{name.datatake:%Y/%m/%d}/{scene.id}.SAFE"


def _href(scene: SandboxScene, name: str, gsd: int) -> str:
    parsed = parse(scene.id)
    image = f"T{parsed.tile}_{compact(parsed.datatake)}_{name}_{gsd}m.tif"
    return f"{_safe(scene)}/GRANULE/{granule_folder(scene)}/IMG_DATA/R{gsd}m/{image}"


def files(scene: SandboxScene) -> dict[str, Served]:
    """True href to file of `sentinel-2-l2a`."""
    bands = {_href(scene, b.id, b.gsd): Served(scene, b.id) for b in L2A_BANDS}
    return {**bands, _href(scene, "SCL", 20): Served(scene, "SCL")}


def _asset(scene: SandboxScene, name: str, gsd: int, title: str, bands: Sequence[Band]) -> Document:
    x, y = (float(value) for value in scene.facts["origin"])
    asset: Document = {
        "href": _href(scene, name, gsd),
        "proj:bbox": [x, y - 109_800.0, x + 109_800.0, y],
        "proj:shape": [109_800 // gsd, 109_800 // gsd],
        "proj:transform": [float(gsd), 0.0, x, 0.0, -float(gsd), y],
        "gsd": float(gsd),
        "type": COG,
        "roles": ["data"],
        "title": title,
    }
    if bands:
        asset["eo:bands"] = [_spectral(band) for band in bands]
    return asset


def _spectral(band: Band) -> Document:
    common = {"common_name": band.pc_common} if band.pc_common else {}
    return {
        "name": band.id,
        **common,
        "description": band.pc_title,
        "center_wavelength": band.centre,
        "full_width_half_max": band.width,
    }


def _side_files(scene: SandboxScene) -> Document:
    """Metadata and preview, which the stand-in lists and does not have."""
    safe, name = _safe(scene), parse(scene.id)
    assets: Document = {}
    strip = f"DS_MSFT_{compact(name.made)}_S{compact(name.strip)}"
    granule = f"{safe}/GRANULE/{granule_folder(scene)}"
    for key, href, title in (
        ("safe-manifest", f"{safe}/manifest.safe", "SAFE manifest"),
        ("granule-metadata", f"{granule}/MTD_TL.xml", "Granule metadata"),
        ("inspire-metadata", f"{safe}/INSPIRE.xml", "INSPIRE metadata"),
        ("product-metadata", f"{safe}/MTD_MSIL2A.xml", "Product metadata"),
        ("datastrip-metadata", f"{safe}/DATASTRIP/{strip}/MTD_DS.xml", "Datastrip metadata"),
    ):
        roles = {"type": "application/xml", "roles": ["metadata"]}
        assets[key] = {"href": href, **roles, "title": title}
    preview = f"{granule}/QI_DATA/T{name.tile}_{compact(name.datatake)}_PVI.tif"
    assets["preview"] = {"href": preview, "type": COG, "roles": ["thumbnail"], "title": "Thumbnail"}
    return assets


def item(scene: SandboxScene, api: str) -> Document:
    """An item of `sentinel-2-l2a`; the offset of baseline 04.00 and later is not mentioned."""
    facts, name, name_id = scene.facts, parse(scene.id), item_id(scene)
    assets: Document = {"AOT": _asset(scene, "AOT", 10, "Aerosol optical thickness (AOT)", ())}
    for band in sorted(L2A_BANDS, key=lambda b: b.id):
        title = f"{band.pc_title} - {band.gsd}m"
        assets[band.id] = _asset(scene, band.id, band.gsd, title, (band,))
    assets["SCL"] = _asset(scene, "SCL", 20, "Scene classfication map (SCL)", ())
    assets["WVP"] = _asset(scene, "WVP", 10, "Water vapour (WVP)", ())
    colours = [BANDS[band] for band in TRUE_COLOUR]
    assets["visual"] = _asset(scene, "TCI", 10, "True color image", colours)
    assets |= _side_files(scene)
    shown = "assets=visual&asset_bidx=visual%7C1%2C2%2C3&nodata=0"
    assets |= rendered("sentinel-2-l2a", name_id, shown)
    properties = {
        "datetime": micro(name.sensed),
        "platform": f"Sentinel-{name.platform[1:]}",
        "proj:epsg": facts["epsg"],
        "instruments": ["msi"],
        "s2:mgrs_tile": name.tile,
        "constellation": "Sentinel 2",
        "s2:granule_id": granule_id(scene, "MSFT"),
        "eo:cloud_cover": round(float(facts["cloud_pct"]), 6),
        "s2:datatake_id": facts["datatake_id"],
        "s2:product_uri": f"{scene.id}.SAFE",
        "s2:datastrip_id": datastrip_id(scene, "MSFT"),
        "s2:product_type": "S2MSI2A",
        "sat:orbit_state": facts["orbit_state"],
        "s2:datatake_type": "INS-NOBS",
        "s2:generation_time": micro(generated(scene)),
        "sat:relative_orbit": facts["relative_orbit"],
        "s2:mean_solar_zenith": 90.0 - facts["sun_elevation"],
        "s2:mean_solar_azimuth": facts["sun_azimuth"],
        "s2:processing_baseline": facts["baseline"],
        "s2:reflectance_conversion_factor": 1.0,
        **{f"s2:{key}_percentage": share for key, share in class_shares(scene).items()},
    }
    links = [{"rel": "license", "href": SENTINEL_LICENSE}]
    extensions = ("eo/v1.0.0", "sat/v1.0.0", "projection/v1.1.0")
    draft = Draft("sentinel-2-l2a", name_id, scene.footprint, properties, assets, links, extensions)
    return feature(api, draft)


def older_twin(item: Document) -> str | None:
    """Name of the product that a Sentinel-2 item's acquisition was before it was processed again.

    Recorded pages hold both for a while. Baseline 02.12 has no offset in its pixels.
    """
    uri = item["properties"].get("s2:product_uri")
    if uri is None:
        return None
    name = parse(uri.removesuffix(".SAFE"))
    made = compact(min(name.datatake + timedelta(hours=4), name.made - timedelta(hours=1)))
    take = compact(name.datatake)
    return f"{name.platform}_MSIL2A_{take}_N0212_{name.orbit}_T{name.tile}_{made}"
