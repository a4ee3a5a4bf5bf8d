"""Sentinel-2 items as CDSE words them: level 1C and level 2A in JPEG 2000."""

from __future__ import annotations

from stac_lake.sandbox.documents.bands import BANDS, L2A_BANDS, TRUE_COLOUR, Band, transform
from stac_lake.sandbox.documents.cdse import EODATA, feature, stored, zipped
from stac_lake.sandbox.documents.envelope import (
    INTERNATIONAL_DESIGNATOR,
    Document,
    Draft,
    Served,
    compact,
    micro,
    milli,
)
from stac_lake.sandbox.documents.s2_names import (
    class_shares,
    datastrip_id,
    generated,
    granule_folder,
    parse,
)
from stac_lake.sandbox.scene import SandboxScene

_EXTENSIONS = (
    "eo/v2.0.0",
    "raster/v2.0.0",
    "sat/v1.0.0",
    "projection/v2.0.0",
    "grid/v1.1.0",
    "view/v1.0.0",
    "file/v2.1.0",
    "processing/v1.2.0",
    "alternate-assets/v1.2.0",
    "timestamps/v1.1.0",
    "authentication/v1.1.0",
    "classification/v2.0.0",
    "product/v0.1.0",
    "https://cs-si.github.io/eopf-stac-extension/v1.2.0/schema.json",
    "storage/v2.0.0",
)
_SCL_CLASSES = (
    "no_data", "saturated_or_defective", "dark_area_pixels", "cloud_shadows", "vegetation",
    "not_vegetated", "water", "unclassified", "cloud_medium_probability",
    "cloud_high_probability", "thin_cirrus", "snow",
)  # fmt: skip
# The pixel sizes in which level 2A comes, metres; the smallest is the native one.
_SIZES = {10: (10, 20, 60), 20: (20, 60), 60: (60,)}
_MORE_SIZES = {"B01": (20, 60), "B08": (10,)}
_STATISTICS = {
    "water": "water",
    "nodata": "nodata_pixel",
    "dark_area": "dark_features",
    "vegetation": "vegetation",
    "thin_cirrus": "thin_cirrus",
    "cloud_shadow": "cloud_shadow",
    "unclassified": "unclassified",
    "not_vegetated": "not_vegetated",
    "high_proba_clouds": "high_proba_clouds",
    "medium_proba_clouds": "medium_proba_clouds",
    "saturated_defective": "saturated_defective_pixel",
}


def _safe(scene: SandboxScene) -> str:
    name = parse(scene.id)
    return f"{EODATA}/Sentinel-2/MSI/L{name.level[1:]}/{name.datatake:%Y/%m/%d}/{scene.id}.SAFE"


def _granule(scene: SandboxScene) -> str:
    return f"{_safe(scene)}/GRANULE/{granule_folder(scene)}"


def _image(scene: SandboxScene, name: str, gsd: int) -> str:
    parsed = parse(scene.id)
    stem = f"{_granule(scene)}/IMG_DATA"
    image = f"T{parsed.tile}_{compact(parsed.datatake)}_{name}"
    return f"{stem}/{image}.jp2" if parsed.level == "L1C" else f"{stem}/R{gsd}m/{image}_{gsd}m.jp2"


def l1c_files(scene: SandboxScene) -> dict[str, Served]:
    """True href to file of `sentinel-2-l1c`; the cloud mask is in the folder, not in the item."""
    files = {_image(scene, b.id, b.gsd): Served(scene, b.id) for b in BANDS.values()}
    mask = f"{_granule(scene)}/QI_DATA/MSK_CLASSI_B00.jp2"
    return {
        **files,
        mask: Served(scene, "MSK_CLASSI_B00"),
        f"{_granule(scene)}/MTD_TL.xml": Served(scene, "MTD_TL.xml"),
        f"{_safe(scene)}/MTD_MSIL1C.xml": Served(scene, "MTD_MSIL1C.xml"),
    }


def l2a_files(scene: SandboxScene) -> dict[str, Served]:
    """True href to file of `sentinel-2-l2a`: each band in its native pixel size only."""
    files = {_image(scene, b.id, b.gsd): Served(scene, f"{b.id}.jp2") for b in L2A_BANDS}
    return {**files, _image(scene, "SCL", 20): Served(scene, "SCL.jp2")}


def _raster(scene: SandboxScene, name: str, gsd: int, title: str) -> Document:
    x, y = (float(value) for value in scene.facts["origin"])
    return {
        "proj:bbox": [x, y - 109_800.0, x + 109_800.0, y],
        "proj:code": f"EPSG:{scene.facts['epsg']}",
        "proj:shape": [109_800 // gsd, 109_800 // gsd],
        "proj:transform": transform((x, y), float(gsd)),
        "gsd": gsd,
        "type": "image/jp2",
        "title": title,
        "nodata": 0,
        "data_type": "uint16",
        **stored(f"{scene.id}.SAFE", _image(scene, name, gsd)),
    }


def _band(scene: SandboxScene, band: Band, gsd: int) -> Document:
    native = gsd == band.gsd
    sampling = "original" if native else "downsampled" if gsd > band.gsd else "upsampled"
    roles = ["data", "reflectance"]
    spectral: Document = {"name": band.id, "eo:common_name": band.cdse_common}
    if parse(scene.id).level == "L2A":
        roles += [f"sampling:{sampling}", f"gsd:{gsd}m"]
        spectral |= {
            "eo:center_wavelength": band.cdse_centre,
            "eo:full_width_half_max": band.cdse_width,
        }
    title = f"{band.title} (band {band.number}) - {gsd}m"
    return _raster(scene, band.id, gsd, title) | {
        "bands": [spectral],
        "roles": roles,
        "raster:scale": 0.0001,
        "raster:offset": -0.1,
        "view:azimuth": scene.facts["view_azimuth"],
        "view:incidence_angle": scene.facts["view_incidence"],
    }


def _true_colour(scene: SandboxScene, gsd: int) -> Document:
    bands = [{"name": name, "eo:common_name": BANDS[name].cdse_common} for name in TRUE_COLOUR]
    raster = _raster(scene, "TCI", gsd, "True color image")
    return raster | {"bands": bands, "roles": ["visual"], "data_type": "uint8"}


def _l2a_rasters(scene: SandboxScene) -> Document:
    assets: Document = {}
    for layer, title in (
        ("AOT", "Aerosol optical thickness (AOT)"),
        ("WVP", "Water vapour (WVP)"),
    ):
        for gsd in (10, 20, 60):
            raster = _raster(scene, layer, gsd, f"{title} - {gsd}m")
            raster |= {"roles": ["data", f"gsd:{gsd}m"]}
            # Wrong, as recorded: these layers are not reflectances.
            assets[f"{layer}_{gsd}m"] = raster | {"raster:scale": 0.0001, "raster:offset": -0.1}
    for band in L2A_BANDS:
        for gsd in _MORE_SIZES.get(band.id, _SIZES[band.gsd]):
            assets[f"{band.id}_{gsd}m"] = _band(scene, band, gsd)
    for gsd, sampling in ((20, "original"), (60, "downsampled")):
        raster = _raster(scene, "SCL", gsd, f"Scene classfication map (SCL) - {gsd}m")
        roles = ["data", f"sampling:{sampling}", f"gsd:{gsd}m"]
        classes = [{"value": value, "name": text} for value, text in enumerate(_SCL_CLASSES)]
        raster |= {"data_type": "uint8", "roles": roles, "classification:classes": classes}
        assets[f"SCL_{gsd}m"] = raster
    assets |= {f"TCI_{gsd}m": _true_colour(scene, gsd) for gsd in (10, 20, 60)}
    return assets


def _properties(scene: SandboxScene) -> Document:
    facts, name = scene.facts, parse(scene.id)
    sensed, made = milli(name.sensed), generated(scene)
    return {
        "gsd": 10,
        "created": micro(made),
        "updated": micro(made),
        "datetime": sensed,
        "platform": f"sentinel-{name.platform[1:].lower()}",
        "grid:code": f"MGRS-{name.tile}",
        "published": micro(made),
        "instruments": ["msi"],
        "end_datetime": sensed,
        "product:type": f"S2MSI{name.level[1:]}",
        "view:azimuth": facts["view_azimuth"],
        "constellation": "sentinel-2",
        "eo:cloud_cover": round(float(facts["cloud_pct"]), 2),
        "start_datetime": sensed,
        "sat:orbit_state": facts["orbit_state"],
        "eopf:datatake_id": facts["datatake_id"],
        "processing:level": name.level[:2],
        "view:sun_azimuth": facts["sun_azimuth"],
        "eopf:datastrip_id": datastrip_id(scene, "2BPS"),
        "processing:version": facts["baseline"],
        "product:timeliness": "PT24H",
        "sat:absolute_orbit": facts["absolute_orbit"],
        "sat:relative_orbit": facts["relative_orbit"],
        "view:sun_elevation": facts["sun_elevation"],
        "processing:datetime": micro(made),
        "processing:facility": "ESA",
        "eopf:instrument_mode": "INS-NOBS",
        "eopf:origin_datetime": micro(made),
        "view:incidence_angle": facts["view_incidence"],
        "product:timeliness_category": "NRT",
        "sat:platform_international_designator": INTERNATIONAL_DESIGNATOR[name.platform],
    }


def _strip_folder(scene: SandboxScene) -> str:
    name = parse(scene.id)
    return f"DS_2BPS_{compact(name.made)}_S{compact(name.strip)}"


def _quicklook(scene: SandboxScene) -> Document:
    """The thumbnail: over https with a login, the object store as the other way."""
    image = stored(f"{scene.id}.SAFE", f"{_safe(scene)}/{scene.id}-ql.jpg")
    return {
        "href": image["alternate"]["https"]["href"],
        "alternate": {"s3": {"href": image["href"], "auth:refs": ["s3"], "alternate:name": "S3"}},
        "auth:refs": ["oidc"],
        "file:local_path": image["file:local_path"],
        "type": "image/jpeg",
        "roles": ["thumbnail", "overview"],
        "title": "Quicklook",
        "data_type": "uint8",
        "proj:code": None,
        "proj:shape": [343, 343],
        "alternate:name": "HTTPS",
    }


def _item(scene: SandboxScene, api: str, collection: str, rasters: Document) -> Document:
    archive, safe = f"{scene.id}.SAFE", _safe(scene)
    properties = _properties(scene)
    assets = {**rasters, "Product": zipped(archive), "thumbnail": _quicklook(scene)}
    level = parse(scene.id).level
    for key, href in (
        ("safe_manifest", f"{safe}/manifest.safe"),
        ("granule_metadata", f"{_granule(scene)}/MTD_TL.xml"),
        ("inspire_metadata", f"{safe}/INSPIRE.xml"),
        ("product_metadata", f"{safe}/MTD_MSI{level}.xml"),
        ("datastrip_metadata", f"{safe}/DATASTRIP/{_strip_folder(scene)}/MTD_DS.xml"),
    ):
        title = href.rsplit("/", 1)[1]
        about = {"type": "application/xml", "roles": ["metadata"], "title": title}
        assets[key] = about | stored(archive, href)
    if level == "L2A":
        shares = class_shares(scene)
        properties["statistics"] = {key: shares[source] for key, source in _STATISTICS.items()}
        properties["eo:snow_cover"] = shares["snow_ice"]
    draft = Draft(collection, scene.id, scene.footprint, properties, assets, (), _EXTENSIONS)
    return feature(api, draft, archive)


def l1c_item(scene: SandboxScene, api: str) -> Document:
    """An item of `sentinel-2-l1c`: 13 bands."""
    rasters = {band.id: _band(scene, band, band.gsd) for band in BANDS.values()}
    return _item(scene, api, "sentinel-2-l1c", {**rasters, "TCI": _true_colour(scene, 10)})


def l2a_item(scene: SandboxScene, api: str) -> Document:
    """An item of `sentinel-2-l2a`: each band in every published pixel size."""
    return _item(scene, api, "sentinel-2-l2a", _l2a_rasters(scene))
