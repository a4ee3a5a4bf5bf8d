"""Landsat Collection 2 level 2 items as the Planetary Computer words them.

The id leaves out the day of processing, which only the hrefs have. Surface temperature and its
companions are missing from items of reflectance only (`landsat:correction` L2SR), and the cloud
cover over land of a tier-2 scene is -1.
"""

from __future__ import annotations

from stac_lake.sandbox.documents.envelope import COG, Document, Draft, Served, micro
from stac_lake.sandbox.documents.planetary_computer import feature, rendered
from stac_lake.sandbox.landsat import item_id
from stac_lake.sandbox.landsat_fields import KELVIN_OFFSET, KELVIN_SCALE, OFFSET, OLI_BANDS, SCALE
from stac_lake.sandbox.landsat_frame import PIXEL_M
from stac_lake.sandbox.scene import SandboxScene

_ROOT = "https://landsateuwest.blob.core.windows.net/landsat-c2/level-2/standard/oli-tirs"
_USGS = "https://landsatlook.usgs.gov/stac-server/collections"
_DOI = "10.5066/P9OGBGM6"
# Asset: (number in the file name, common name's wording, centre, width in micrometres)
_BANDS = {
    "coastal": (1, "Coastal/Aerosol", 0.44, 0.02),
    "blue": (2, "Visible blue", 0.48, 0.06),
    "green": (3, "Visible green", 0.56, 0.06),
    "red": (4, "Visible red", 0.65, 0.04),
    "nir08": (5, "Near infrared", 0.87, 0.03),
    "swir16": (6, "Short-wave infrared", 1.61, 0.09),
    "swir22": (7, "Short-wave infrared", 2.2, 0.19),
}
_TITLES = {
    "coastal": "Coastal/Aerosol Band",
    "blue": "Blue Band",
    "green": "Green Band",
    "red": "Red Band",
    "nir08": "Near Infrared Band 0.8",
    "swir16": "Short-wave Infrared Band 1.6",
    "swir22": "Short-wave Infrared Band 2.2",
}
_RADIANCE = "watt/steradian/square_meter/micrometer"
# Rasters of the temperature retrieval: (file, title, scale, unit)
_THERMAL = {
    "qa": ("ST_QA", "Surface Temperature Quality Assessment Band", 0.01, "kelvin"),
    "drad": ("ST_DRAD", "Downwelled Radiance Band", 0.001, _RADIANCE),
    "emis": ("ST_EMIS", "Emissivity Band", 0.0001, "emissivity coefficient"),
    "emsd": ("ST_EMSD", "Emissivity Standard Deviation Band", 0.0001, "emissivity coefficient"),
    "trad": ("ST_TRAD", "Thermal Radiance Band", 0.001, _RADIANCE),
    "urad": ("ST_URAD", "Upwelled Radiance Band", 0.001, _RADIANCE),
    "atran": ("ST_ATRAN", "Atmospheric Transmittance Band", 0.0001, None),
    "cdist": ("ST_CDIST", "Cloud Distance Band", 0.01, "kilometer"),
}
_TEXTS = {
    "ang": ("ANG.txt", "text/plain", "Angle Coefficients File"),
    "mtl.txt": ("MTL.txt", "text/plain", "Product Metadata File (txt)"),
    "mtl.xml": ("MTL.xml", "application/xml", "Product Metadata File (xml)"),
    "mtl.json": ("MTL.json", "application/json", "Product Metadata File (json)"),
}
_LEVELS = ("not_set", "low", "medium", "high")
_PIXEL_FLAGS = (
    "fill",
    "dilated_cloud",
    "cirrus",
    "cloud",
    "cloud_shadow",
    "snow",
    "clear",
    "water",
)
_PIXEL_LEVELS = ("cloud", "cloud_shadow", "snow", "cirrus")
_FILES = {"lwir11": "ST_B10", "qa_pixel": "QA_PIXEL", "qa_radsat": "QA_RADSAT"} | {
    key: f"SR_B{number}" for key, (number, *_) in _BANDS.items()
}


def _folder(scene: SandboxScene) -> str:
    facts = scene.facts
    return f"{_ROOT}/{scene.start:%Y}/{facts['path']:03d}/{facts['row']:03d}/{scene.id}"


def _href(scene: SandboxScene, ending: str) -> str:
    return f"{_folder(scene)}/{scene.id}_{ending}"


def _is_thermal(scene: SandboxScene) -> bool:
    return bool(scene.facts["correction"] == "L2SP")


def files(scene: SandboxScene) -> dict[str, Served]:
    """True href to file of `landsat-c2-l2`: what the operators read."""
    return {
        _href(scene, f"{file}.TIF"): Served(scene, key)
        for key, file in _FILES.items()
        if key != "lwir11" or _is_thermal(scene)
    }


def _raster(
    scene: SandboxScene, file: str, title: str, roles: list[str], band: Document
) -> Document:
    return {
        "href": _href(scene, f"{file}.TIF"),
        "type": COG,
        "roles": roles,
        "title": title,
        "description": f"Collection 2 Level-2 {title} ({file})",
        "raster:bands": [{**band, "spatial_resolution": PIXEL_M}],
    }


def _reflectances(scene: SandboxScene) -> Document:
    assets: Document = {}
    stored = {"scale": SCALE, "nodata": 0, "offset": OFFSET, "data_type": "uint16"}
    for key in OLI_BANDS:
        number, worded, wavelength, width = _BANDS[key]
        roles = ["data", "reflectance"]
        assets[key] = _raster(scene, _FILES[key], _TITLES[key], roles, stored) | {
            "eo:bands": [_spectral(f"OLI_B{number}", key, worded, wavelength, width)]
        }
    return assets


def _spectral(name: str, common: str, worded: str, wavelength: float, width: float) -> Document:
    return {
        "name": name,
        "common_name": common,
        "description": worded,
        "center_wavelength": wavelength,
        "full_width_half_max": width,
    }


def _temperatures(scene: SandboxScene) -> Document:
    """Surface temperature, and the rasters of its retrieval, which the stand-in does not have."""
    stored = {"unit": "kelvin", "scale": KELVIN_SCALE, "nodata": 0, "offset": KELVIN_OFFSET}
    stored["data_type"] = "uint16"
    title, roles = "Surface Temperature Band", ["data", "temperature"]
    band = _spectral("TIRS_B10", "lwir11", "Long-wave infrared", 10.9, 0.59)
    thermal = _raster(scene, "ST_B10", title, roles, stored)
    assets = {"lwir11": {**thermal, "gsd": 100, "eo:bands": [band]}}
    for key, (file, title, scale, unit) in _THERMAL.items():
        stored = {"scale": scale, "nodata": -9999, "data_type": "int16"}
        stored |= {"unit": unit} if unit else {}
        assets[key] = _raster(scene, file, title, ["data"], stored)
    return assets


def _field(name: str, offset: int, classes: tuple[str, ...]) -> Document:
    return {
        "name": name,
        "offset": offset,
        "length": 1 if len(classes) == 2 else 2,
        "description": name.replace("_", " ").capitalize(),
        "classes": [
            {"name": word, "value": value, "description": word.replace("_", " ").capitalize()}
            for value, word in enumerate(classes)
        ],
    }


def _flag(name: str, offset: int) -> Document:
    return _field(name, offset, (f"not_{name}", name))


def _flags(scene: SandboxScene) -> Document:
    """The masks; that of aerosol is listed, and the stand-in does not have it."""
    pixel = [_flag(name, bit) for bit, name in enumerate(_PIXEL_FLAGS)]
    pixel += [
        _field(f"{name}_confidence", 8 + 2 * n, _LEVELS) for n, name in enumerate(_PIXEL_LEVELS)
    ]
    saturated = [_flag(f"band{n}", n - 1) for n in (1, 2, 3, 4, 5, 6, 7, 9)]
    aerosol = [_flag("fill", 0), _flag("retrieval", 1), _flag("water", 2)]
    aerosol += [_flag("interpolated", 5), _field("level", 6, ("climatology", *_LEVELS[1:]))]
    whole = {"unit": "bit index", "data_type": "uint16"}
    pixel_roles = ["cloud", "cloud-shadow", "snow-ice", "water-mask"]
    return {
        "qa_pixel": _raster(
            scene, "QA_PIXEL", "Pixel Quality Assessment Band", pixel_roles, whole | {"nodata": 1}
        )
        | {"classification:bitfields": pixel},
        "qa_radsat": _raster(
            scene,
            "QA_RADSAT",
            "Radiometric Saturation and Terrain Occlusion Quality Assessment Band",
            ["saturation"],
            whole,
        )
        | {"classification:bitfields": [*saturated, _flag("occlusion", 11)]},
        "qa_aerosol": _raster(
            scene,
            "SR_QA_AEROSOL",
            "Aerosol Quality Assessment Band",
            ["data-mask", "water-mask"],
            {"unit": "bit index", "nodata": 1, "data_type": "uint8"},
        )
        | {"classification:bitfields": aerosol},
    }


def _properties(scene: SandboxScene) -> Document:
    facts, place = scene.facts, scene.facts["frame"]
    x, y = (float(value) for value in place.origin)
    over_land = facts["cloud_land_pct"] if facts["tier"] == "T1" else -1.0
    path, row = f"{facts['path']:03d}", f"{facts['row']:03d}"
    return {
        "gsd": PIXEL_M,
        "created": micro(facts["processed"]),
        "sci:doi": _DOI,
        "datetime": micro(scene.start),
        "platform": f"landsat-{int(facts['platform'])}",
        "proj:epsg": place.epsg,
        "proj:shape": list(place.shape),
        "description": "Landsat Collection 2 Level-2",
        "instruments": ["oli", "tirs"],
        "eo:cloud_cover": facts["cloud_pct"],
        "proj:transform": [float(PIXEL_M), 0.0, x, 0.0, -float(PIXEL_M), y],
        "view:off_nadir": 0,
        "landsat:wrs_row": row,
        "landsat:scene_id": f"LC{int(facts['platform'])}{path}{row}{scene.start:%Y%j}LGN00",
        "landsat:wrs_path": path,
        "landsat:wrs_type": "2",
        "view:sun_azimuth": facts["sun_azimuth"],
        "landsat:correction": facts["correction"],
        "view:sun_elevation": facts["sun_elevation"],
        "landsat:cloud_cover_land": over_land,
        "landsat:collection_number": "02",
        "landsat:collection_category": facts["tier"],
    }


def item(scene: SandboxScene, api: str) -> Document:
    """An item of `landsat-c2-l2`."""
    name_id = item_id(scene)
    assets = _reflectances(scene) | _flags(scene)
    kinds = ["sr"]
    if _is_thermal(scene):
        assets |= _temperatures(scene)
        kinds.append("st")
    for key, (ending, media, title) in _TEXTS.items():
        assets[key] = {
            "href": _href(scene, ending),
            "type": media,
            "roles": ["metadata"],
            "title": title,
            "description": f"Collection 2 Level-2 {title}",
        }
    assets |= rendered("landsat-c2-l2", name_id, "assets=red&assets=green&assets=blue")
    links: list[Document] = [
        {
            "rel": "cite-as",
            "href": f"https://doi.org/{_DOI}",
            "title": "Landsat 8-9 OLI/TIRS Collection 2 Level-2",
        }
    ]
    links += [
        {
            "rel": "via",
            "href": f"{_USGS}/landsat-c2l2-{kind}/items/{scene.id}_{kind.upper()}",
            "type": "application/json",
            "title": "USGS STAC Item",
        }
        for kind in kinds
    ]
    extensions = [
        "raster/v1.1.0",
        "eo/v1.0.0",
        "view/v1.0.0",
        "projection/v1.1.0",
        "https://landsat.usgs.gov/stac/landsat-extension/v1.1.1/schema.json",
        "classification/v1.0.0",
        "scientific/v1.0.0",
    ]
    properties = _properties(scene)
    draft = Draft("landsat-c2-l2", name_id, scene.footprint, properties, assets, links, extensions)
    return feature(api, draft)
