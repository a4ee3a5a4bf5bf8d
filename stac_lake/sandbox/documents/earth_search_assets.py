"""Assets of Earth Search's Sentinel-2 items."""

from __future__ import annotations

from stac_lake.sandbox.documents.bands import BANDS, TRUE_COLOUR, Band, tile_projection
from stac_lake.sandbox.documents.envelope import COG, Document
from stac_lake.sandbox.scene import SandboxScene


def spectral(band: Band, named: str) -> Document:
    """An entry of `eo:bands` under ESA's name or Earth Search's own."""
    text = {"description": f"{band.title} (band {band.number})"} if named == band.key else {}
    return {
        "name": named,
        "common_name": band.common,
        **text,
        "center_wavelength": band.centre,
        "full_width_half_max": band.width,
    }


def legacy_asset(scene: SandboxScene, band: Band, href: str, media_type: str) -> Document:
    """A band; scale and offset are stated whether or not they are in the pixels."""
    text = f"{band.title} (band {band.number}) - {band.gsd}m"
    return {
        "href": href,
        "type": media_type,
        "title": text,
        "eo:bands": [spectral(band, band.key)],
        "gsd": band.gsd,
        **tile_projection(scene.facts["origin"], band.gsd),
        "raster:bands": [
            {
                "nodata": 0,
                "data_type": "uint16",
                "bits_per_sample": 15,
                "spatial_resolution": band.gsd,
                "scale": 0.0001,
                "offset": -0.1,
            }
        ],
        "roles": ["data", "reflectance"],
    }


def layer(scene: SandboxScene, href: str, media_type: str, kind: str) -> Document:
    """Aerosol thickness, water vapour or scene classification: 20 m layers beside the bands."""
    title = {
        "aot": "Aerosol optical thickness (AOT)",
        "wvp": "Water vapour (WVP)",
        "scl": "Scene classification map (SCL)",
    }[kind]
    raster: Document = {"nodata": 0, "data_type": "uint8", "spatial_resolution": 20}
    if kind != "scl":
        raster |= {"data_type": "uint16", "scale": 0.001, "offset": 0}
    if kind == "wvp":
        raster["unit"] = "cm"
    return {
        "href": href,
        "type": media_type,
        "title": title,
        **tile_projection(scene.facts["origin"], 20),
        "raster:bands": [raster],
        "roles": ["data", "reflectance"],
    }


def visual(scene: SandboxScene, href: str, media_type: str, keyed: bool) -> Document:
    """The true-colour image."""
    bands = [BANDS[name] for name in TRUE_COLOUR]
    return {
        "href": href,
        "type": media_type,
        "title": "True color image",
        "eo:bands": [spectral(b, b.key if keyed else b.id) for b in bands],
        **tile_projection(scene.facts["origin"], 10),
        "roles": ["visual"],
    }


def metadata(folder: str, **names: str) -> Document:
    """Metadata files: asset key to file name."""
    return {
        key: {
            "href": f"{folder}/{name}",
            "type": "application/json" if name.endswith("json") else "application/xml",
            "roles": ["metadata"],
        }
        for key, name in names.items()
    }


def thumbnail(href: str, title: str) -> Document:
    """The thumbnail."""
    return {"href": href, "type": "image/jpeg", "title": title, "roles": ["thumbnail"]}


def probabilities(scene: SandboxScene, folder: str) -> Document:
    """The cloud and snow layers and the preview that only Collection 1 has."""
    projection = tile_projection(scene.facts["origin"], 20)
    raster = [{"nodata": 0, "data_type": "uint8", "spatial_resolution": 20}]
    return {
        "cloud": {
            "href": f"{folder}/CLD_20m.tif",
            "type": COG,
            "title": "Cloud Probabilities",
            "gsd": 20,
            **projection,
            "raster:bands": raster,
            "roles": ["data", "cloud"],
        },
        "snow": {
            "href": f"{folder}/SNW_20m.tif",
            "type": COG,
            "title": "Snow Probabilities",
            **projection,
            "raster:bands": raster,
            "roles": ["data", "snow-ice"],
        },
        "preview": {
            "href": f"{folder}/L2A_PVI.tif",
            "type": COG,
            "title": "True color preview",
            "eo:bands": [spectral(BANDS[name], name) for name in TRUE_COLOUR],
            "roles": ["overview"],
        },
    }
