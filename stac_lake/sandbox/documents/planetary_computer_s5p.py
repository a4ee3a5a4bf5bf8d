"""Sentinel-5P items as the Planetary Computer words them.

It holds the prompt processing (OFFL) only: collection 03 from 26 July 2022 on, superseded
collections before.
"""

from __future__ import annotations

from stac_lake.sandbox.documents.envelope import (
    INTERNATIONAL_DESIGNATOR,
    SENTINEL_LICENSE,
    Document,
    Draft,
    Served,
    micro,
    second,
)
from stac_lake.sandbox.documents.planetary_computer import feature
from stac_lake.sandbox.scene import SandboxScene

_ROOT = "https://sentinel5euwest.blob.core.windows.net/sentinel-5p/TROPOMI"
_TITLES = {
    "co": "Carbon Monoxide Total Column",
    "no2": "Nitrogen Dioxide Total Column",
    "o3": "Ozone Total Column",
    "so2": "Sulphur Dioxide Total Column",
}


def gas(scene: SandboxScene) -> str:
    """`no2`."""
    return scene.kind.removeprefix("s5p-")


def product_type(scene: SandboxScene) -> str:
    """`L2__NO2___`, ten characters."""
    return f"L2__{gas(scene).upper()}".ljust(10, "_")


def offline(scene: SandboxScene) -> tuple[SandboxScene, ...]:
    """The scene, if it is of the prompt processing."""
    return (scene,) if scene.facts["processing_mode"] == "OFFL" else ()


def reprocessed(scene: SandboxScene) -> tuple[SandboxScene, ...]:
    """The scene, if it is of the reprocessing."""
    return (scene,) if scene.facts["processing_mode"] == "RPRO" else ()


def item_id(scene: SandboxScene) -> str:
    """`S5P_L2_NO2____20200303T013547_20200303T031717_12367`: no mode, collection or version."""
    parts = scene.id.split("_")
    return "_".join((parts[0], parts[2], *parts[4:-3]))


def files(scene: SandboxScene) -> dict[str, Served]:
    """True href to file of `sentinel-5p-l2-netcdf`; the day is that of the orbit's begin."""
    begin = scene.id.split("_")[-6]
    day = f"{begin[:4]}/{begin[4:6]}/{begin[6:8]}"
    href = f"{_ROOT}/{product_type(scene)}/{day}/{scene.id}/{scene.id}.nc"
    return {href: Served(scene, "netcdf")}


def item(scene: SandboxScene, api: str) -> Document:
    """An item of `sentinel-5p-l2-netcdf`."""
    facts, name = scene.facts, gas(scene)
    (href,) = files(scene)
    pixels = 215 if name == "co" else 450
    properties = {
        "datetime": micro(scene.start + (scene.stop - scene.start) / 2),
        "platform": "Sentinel 5 Precursor",
        "s5p:shape": [4172, pixels],
        "instruments": ["TROPOMI"],
        "end_datetime": second(scene.stop),
        "constellation": "Sentinel-5P",
        "start_datetime": second(scene.start),
        "s5p:product_name": name,
        "s5p:product_type": product_type(scene),
        "sat:absolute_orbit": facts["orbit"],
        "s5p:processing_mode": facts["processing_mode"],
        "s5p:spatial_resolution": [5500, 7000 if name == "co" else 3500],
        "s5p:collection_identifier": facts["collection"],
        "sat:platform_international_designator": INTERNATIONAL_DESIGNATOR["S5P"],
    }
    asset = {
        "href": href,
        "type": "application/x-netcdf",
        "roles": ["data"],
        "title": _TITLES[name],
    }
    links = [{"rel": "license", "href": SENTINEL_LICENSE}]
    draft = Draft(
        "sentinel-5p-l2-netcdf",
        item_id(scene),
        scene.footprint,
        properties,
        {name: asset},
        links,
        ("sat/v1.0.0",),
    )
    return feature(api, draft)
