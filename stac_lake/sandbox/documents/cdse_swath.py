"""Sentinel-3 OLCI and Sentinel-5P items as CDSE words them."""

from __future__ import annotations

from stac_lake.sandbox.documents.cdse import (
    EODATA,
    PRODUCT_EXTENSIONS,
    acquisition,
    feature,
    stored,
    zipped,
)
from stac_lake.sandbox.documents.envelope import Document, Draft, Served
from stac_lake.sandbox.documents.planetary_computer_s5p import gas, product_type
from stac_lake.sandbox.scene import SandboxScene

# Nanometres; centre and width of OLCI's 21 bands (Sentinel-3 OLCI user guide).
OLCI_BANDS = (
    (400, 15), (412.5, 10), (442.5, 10), (490, 10), (510, 10), (560, 10), (620, 10), (665, 10),
    (673.75, 7.5), (681.25, 7.5), (708.75, 10), (753.75, 7.5), (761.25, 2.5), (764.375, 3.75),
    (767.5, 2.5), (778.75, 15), (865, 20), (885, 10), (900, 10), (940, 20), (1020, 40),
)  # fmt: skip
_OLCI_ANNOTATIONS = {
    "geo-coordinates": "geo_coordinates.nc",
    "quality-flags": "qualityFlags.nc",
    "instrument-data": "instrument_data.nc",
    "tie-geometries": "tie_geometries.nc",
    "tie-geo-coordinates": "tie_geo_coordinates.nc",
    "tie-meteo": "tie_meteo.nc",
    "time-coordinates": "time_coordinates.nc",
}
_OLCI_UNLISTED = ("removed_pixels.nc",)  # in the folder, not in the item
_GAS_TITLES = {
    "co": "Carbon Monoxide Concentration",
    "no2": "Nitrogen Dioxide Concentration",
    "o3": "NetCDF file",
    "so2": "Atmospheric Sulfur Dioxide Concentrations",
}


def _safe(scene: SandboxScene) -> str:
    return f"{EODATA}/Sentinel-3/OLCI/OL_1_EFR___/{scene.start:%Y/%m/%d}/{scene.id}.SEN3"


def olci_files(scene: SandboxScene) -> dict[str, Served]:
    """True href to file of `sentinel-3-olci-1-efr-ntc`."""
    names = [f"Oa{n:02d}_radiance.nc" for n in range(1, len(OLCI_BANDS) + 1)]
    names += [*_OLCI_ANNOTATIONS.values(), *_OLCI_UNLISTED, "xfdumanifest.xml"]
    return {f"{_safe(scene)}/{name}": Served(scene, name) for name in names}


def _radiances(archive: str, safe: str) -> Document:
    """Radiance and its uncertainty of each band."""
    assets: Document = {}
    for number, (centre, width) in enumerate(OLCI_BANDS, start=1):
        band = f"Oa{number:02d}"
        spectral = {
            "name": band,
            "eo:center_wavelength": centre / 1000,
            "eo:full_width_half_max": width / 1000,
        }
        for key, name, title in (
            ("radianceData", "radiance", "TOA radiance"),
            ("radiance_uncData", "radiance_unc", "Log10 scaled Radiometric Uncertainty Estimate"),
        ):
            assets[f"{band}_{key}"] = {
                "type": "application/netcdf",
                "bands": [spectral],
                "roles": ["data"],
                "title": f"{title} for OLCI acquisition band {band}",
                **stored(archive, f"{safe}/{band}_{name}.nc"),
            }
    return assets


def olci_item(scene: SandboxScene, api: str) -> Document:
    """An item of `sentinel-3-olci-1-efr-ntc`; no cloud cover, and `proj:code` is null."""
    facts, archive, safe = scene.facts, f"{scene.id}.SEN3", _safe(scene)
    assets = _radiances(archive, safe)
    for key, name in _OLCI_ANNOTATIONS.items():
        title = f"{key.replace('-', ' ').title()} Annotations"
        about = {"type": "application/netcdf", "roles": ["data"], "title": title}
        assets[key] = {**about, **stored(archive, f"{safe}/{name}")}
    about = {"type": "application/xml", "roles": ["metadata"], "title": "Product manifest"}
    assets["xfdumanifest"] = {**about, **stored(archive, f"{safe}/xfdumanifest.xml")}
    assets["product"] = zipped(archive)
    properties = acquisition(scene) | {
        "gsd": 300,
        "platform": f"sentinel-{facts['platform'][1:].lower()}",
        "proj:code": None,
        "statistics": {"bright": round(float(facts["bright_pct"]), 6)},
        "instruments": ["olci"],
        "product:type": "OL_1_EFR___",
        "constellation": "sentinel-3",
        "sat:orbit_cycle": facts["cycle"],
        "processing:level": "L1",
        "processing:version": "03.37",
        "product:timeliness": "P1M",
        "sat:absolute_orbit": facts["absolute_orbit"],
        "sat:relative_orbit": facts["relative_orbit"],
        "product:timeliness_category": facts["timeliness"],
    }
    enclosure = {
        "rel": "enclosure",
        "href": f"{safe}/",
        "type": "application/x-directory",
        "title": "S3 path to source directory",
    }
    draft = Draft(
        "sentinel-3-olci-1-efr-ntc",
        scene.id,
        scene.footprint,
        properties,
        assets,
        (enclosure,),
        (*PRODUCT_EXTENSIONS, "eo/v2.0.0"),
    )
    return feature(api, draft, archive)


def s5p_files(scene: SandboxScene) -> dict[str, Served]:
    """True href to file of a `sentinel-5p-l2-*` Collection."""
    begin = scene.id.split("_")[-6]
    day = f"{begin[:4]}/{begin[4:6]}/{begin[6:8]}"
    folder = f"{EODATA}/Sentinel-5P/TROPOMI/{product_type(scene)}/{day}/{scene.id}"
    return {f"{folder}/{scene.id}.nc": Served(scene, "netcdf")}


def s5p_item(scene: SandboxScene, api: str) -> Document:
    """An item of `sentinel-5p-l2-{gas}-{mode}`; its `proj:code` is wrong: it is a swath."""
    facts, name = scene.facts, gas(scene)
    (href,) = s5p_files(scene)
    version = facts["processor_version"]  # 020400 is 2.4.0
    properties = acquisition(scene) | {
        "gsd": 7000 if name == "co" else 3500,
        "platform": "sentinel-5p",
        "proj:code": "EPSG:4326",
        "instruments": ["tropomi"],
        "product:type": product_type(scene),
        "constellation": "sentinel-5",
        "processing:level": "L2",
        "processing:version": ".".join(str(int(version[i : i + 2])) for i in (0, 2, 4)),
        "product:timeliness": "P1M",
        "sat:absolute_orbit": facts["orbit"],
        "product:timeliness_category": facts["processing_mode"],
    }
    asset = {
        "type": "application/netcdf",
        "roles": ["data"],
        "title": _GAS_TITLES[name],
        "nodata": 9.969209968386869e36,
        "data_type": "float32",
        **stored(scene.id, href),
    }
    collection = f"sentinel-5p-l2-{name}-{facts['processing_mode'].lower()}"
    draft = Draft(
        collection, scene.id, scene.footprint, properties, {"netcdf": asset}, (), PRODUCT_EXTENSIONS
    )
    return feature(api, draft, f"{scene.id}.nc")
