"""Facts of items with hand-written values, one kind per product."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from stac_lake import recipe
from stac_lake.catalog.item import ItemFacts
from stac_lake.grid import Cell, Patch, patch_at
from stac_lake.types import Scene, Slot, Window

FARM, ICE = Cell(772176), Cell(123456)
CREATED = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
ATTEMPT = "20260102T030405Z-0123456789abcdef"
DATA = b"II*\x00 stands for a COG"

PRODUCTS = (
    "s2-l2a", "s2-l1c", "s1-rtc", "s3-olci-efr",
    "s5p-co", "s5p-no2", "s5p-o3", "s5p-so2", "dem-glo30", "landsat-c2-l2",
)  # fmt: skip

_SLOTS = {"s2": "winter", "s1": "autumn", "s3": "b3", "dem": "static", "landsat": "winter"}

_ORBIT = {"sat:orbit_state": "descending", "sat:relative_orbit": 69, "sat:absolute_orbit": 29768}

_SCENE: dict[str, dict[str, Any]] = {
    "s2": {
        "platform": "sentinel-2a",
        "eo:cloud_cover": 17.5,
        "view:sun_elevation": 33.25,
        "view:sun_azimuth": 160.5,
        "lake:baseline": "05.00",
        **_ORBIT,
    },
    "s1": {
        "platform": "sentinel-1a",
        "sar:instrument_mode": "IW",
        "sar:polarizations": ["VV", "VH"],
        "view:incidence_angle": 39.0,
        **_ORBIT,
    },
    "s3": {"platform": "sentinel-3a", **_ORBIT},
    "dem": {},
    "landsat": {
        "platform": "landsat-8",
        "eo:cloud_cover": 17.5,
        "view:sun_elevation": 33.25,
        "view:sun_azimuth": 160.5,
        "lake:baseline": "02",
    },
}

_MEASURED: dict[str, dict[str, Any]] = {
    "s2": {
        "eo:cloud_cover": 2.5,
        "lake:shadow_pct": 0.5,
        "lake:snow_pct": 0.0,
        "lake:water_pct": 1.25,
        "lake:saturated_pct": 0.0,
        "lake:floored_pct": 0.125,
        "lake:cloud_source": "scl",
        "lake:cloud_confidence": "normal",
        "lake:dn_offset": 1000,
        "lake:offset_source": "baseline",
    },
    "s1": {"lake:noise_floor_pct": 0.0, "lake:resampled": True},
    "s3": {"lake:bright_pct": 12.5, "lake:glint_pct": 0.0, "view:sun_elevation": 41.0},
    "dem": {"lake:sea_filled_pct": 0.0},
    "landsat": {
        "eo:cloud_cover": 2.5,
        "lake:shadow_pct": 0.5,
        "lake:snow_pct": 0.0,
        "lake:water_pct": 1.25,
        "lake:saturated_pct": 0.0,
        "lake:cloud_source": "qa_pixel",
        "lake:cloud_confidence": "normal",
    },
}


def scene(product: recipe.Product, start: datetime, number: int = 0) -> Scene:
    """A scene as upstream describes it; optical ones are an instant, all others last 25 s."""
    source = product.sources[0]
    instant = product.modality in {"s2", "dem", "landsat"}
    name = f"{product.id.upper()}_{start:%Y%m%dT%H%M%S}_{number}"
    return Scene(
        id=name,
        product=product.id,
        provider=source.provider,
        collection=source.collection,
        start=start,
        end=start if instant else start + timedelta(seconds=25),
        footprint=FARM.footprint,
        assets={},
        acquisition=name,
        version="05.00",
        href=f"https://example.org/items/{name}",
        properties=_SCENE.get(product.modality, {"platform": "sentinel-5p", **_ORBIT}),
    )


def slot_of(product: str, cell: Cell = FARM, patch: Patch | None = None) -> Slot:
    """The slot that a golden item of the product has."""
    made = recipe.product(product)
    if made.unit_of == "patch" and patch is None:
        patch = patch_at(cell.lon, cell.lat)
    return Slot(product, cell, patch, _SLOTS.get(made.modality, "2021-03"))


def facts(slot: Slot, data: bytes = DATA, **changes: Any) -> ItemFacts:
    """Facts of an item of a slot."""
    product = recipe.product(slot.product)
    window = Window(datetime(2021, 3, 1, tzinfo=UTC), datetime(2021, 4, 1, tzinfo=UTC))
    start = datetime(2021, 3, 4, 17, 18, 59, 24000, tzinfo=UTC)
    composite = product.values.operator == "column"
    days = range(3) if composite else range(1)
    tile = min(-(-product.pixels // 16) * 16, 512)
    tiles = (-(-product.pixels // tile)) ** 2
    measured = _MEASURED.get(product.modality, {"lake:n_orbits": 3})
    made = ItemFacts(
        slot=slot,
        product=product,
        windows=(window,),
        grid=product.grid_of(slot),
        scenes=tuple(scene(product, start + timedelta(days=day), day) for day in days),
        properties={"lake:valid_pct": 99.5, "lake:nodata_pct": 0.5, **measured},
        bands=tuple(
            {"minimum": 1.0, "maximum": 9.5, "mean": 4.25, "stddev": 2.0, "valid_percent": 99.5}
            for _ in product.bands
        ),
        band_metadata={"Oa01": {"solar_flux": 1472.5}} if product.modality == "s3" else {},
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        layout={
            "tile": [tile, tile],
            "offsets": [1000 * (n + 1) for n in range(tiles)],
            "byte_counts": [1000] * tiles,
            "interleave": "pixel",
            "predictor": 2 if product.dtype == "uint16" else 3,
            "compression": "zstd",
            "header_size": 1000,
        },
        digest="0123456789abcdef",
        created=CREATED,
        software="0.1.0",
    )
    return replace(made, **changes)
