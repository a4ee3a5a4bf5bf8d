"""Items of many cells, as a harvest would have stored them, without any pixels.

The documents are the golden ones of the tests with another place, time, quality and checksum; the
band statistics vary, too, since they are most of what a document weighs when it is compressed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from stac_lake.grid import Cell, Patch, footprint_bbox, patch_at
from stac_lake.types import Slot, iso

PER_CELL = 64
SEED = 42

_GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
_SEASONS = {"winter": 12, "spring": 3, "summer": 6, "autumn": 9}
_MONTHS = [f"2021-{month:02d}" for month in range(1, 13)]


def cells(count: int, rng: np.random.Generator) -> list[Cell]:
    """Distinct cells in clusters, as areas of interest are, between 60° south and 75° north."""
    found: dict[int, Cell] = {}
    while len(found) < count:
        column, row = rng.integers(1440), rng.integers(120, 660)
        spread = int(rng.integers(2, 16))
        for across, up in rng.integers(-spread, spread + 1, (spread * spread, 2)):
            cell = Cell(int(row + up) * 1440 + int(column + across) % 1440)
            found[cell.id] = cell
    return list(found.values())[:count]


def documents(count: int, seed: int = SEED) -> Iterator[list[dict[str, Any]]]:
    """Stored Items, one list of 64 per cell, `count` in all."""
    rng = np.random.default_rng(seed)
    for cell in cells(-(-count // PER_CELL), rng):
        patches = _patches(cell)
        made = [_item(slot, rng) for slot in _slots(cell, patches)]
        yield made[:count]
        count -= len(made)


def _patches(cell: Cell) -> list[Patch]:
    offsets = ((-0.06, -0.06), (-0.06, 0.06), (0.06, -0.06), (0.06, 0.06))
    return [patch_at(cell.lon + east, cell.lat + north) for east, north in offsets]


def _slots(cell: Cell, patches: list[Patch]) -> Iterator[Slot]:
    """4 patches × 4 seasons × (S2, S1), 8 OLCI, 23 months of gases and the DEM."""
    for patch in patches:
        for name in _SEASONS:
            yield Slot("s2-l2a", cell, patch, name)
            yield Slot("s1-rtc", cell, patch, name)
    yield from (Slot("s3-olci-efr", cell, None, f"b{n}") for n in range(1, 9))
    for product, months in (("s5p-no2", 6), ("s5p-co", 6), ("s5p-o3", 6), ("s5p-so2", 5)):
        yield from (Slot(product, cell, None, name) for name in _MONTHS[:months])
    yield Slot("dem-glo30", cell, None, "static")


@lru_cache
def template(product: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((_GOLDEN / f"item-{product}.json").read_text("utf-8"))
    return document


def _item(slot: Slot, rng: np.random.Generator) -> dict[str, Any]:
    golden = template(slot.product)
    place = slot.patch or slot.cell
    geometry = dict(place.footprint)
    sha256 = rng.bytes(32).hex()
    properties = {
        **golden["properties"],
        **_times(slot, rng),
        **_quality(slot, rng),
        "grid:code": slot.cell.code,
        "lake:slot": slot.name,
        "version": "1",
    }
    if slot.patch:
        properties |= {"lake:patch": slot.patch.id, "proj:epsg": slot.patch.epsg}
        properties["proj:code"] = f"EPSG:{slot.patch.epsg}"
    asset = golden["assets"]["data"]
    data = {
        **asset,
        "href": f"../../assets/{slot.id}/20260102T030405Z-{sha256[:16]}/{sha256[16:32]}.tif",
        "file:checksum": f"1220{sha256}",
        **{key: [_varied(band, rng) for band in asset[key]] for key in ("bands", "raster:bands")},
    }
    return {
        **golden,
        "id": slot.id,
        "collection": slot.cell.collection_id,
        "geometry": geometry,
        "bbox": list(footprint_bbox(geometry)),
        "properties": properties,
        "assets": {"data": data},
    }


def _times(slot: Slot, rng: np.random.Generator) -> dict[str, Any]:
    """More of the newest year than of the oldest, and more days in mid-window than at its ends."""
    if slot.product == "dem-glo30":
        return {}
    if slot.product.startswith("s5p"):
        start = datetime.fromisoformat(f"{slot.name}-01T00:00:00+00:00")
        end = (start + timedelta(days=32)).replace(day=1) - timedelta(milliseconds=1)
        return {"datetime": None, "start_datetime": iso(start), "end_datetime": iso(end)}
    year = int(rng.choice([2020, 2021, 2022], p=[0.15, 0.25, 0.6]))
    month = _SEASONS.get(slot.name) or int(slot.name[1:]) + 2
    days = 60 * float(rng.beta(2, 2)) - 30
    moment = datetime(year, month, 21, 10, 30, tzinfo=UTC) + timedelta(days=days)
    return {"datetime": iso(moment)}


def _quality(slot: Slot, rng: np.random.Generator) -> dict[str, Any]:
    """Half of the optical crops are almost clear, the rest of any cloudiness."""
    found: dict[str, Any] = {"lake:valid_pct": round(100 * float(rng.beta(20, 1)), 6)}
    if slot.product == "s2-l2a":
        clear = rng.random() < 0.5
        found["eo:cloud_cover"] = round(100 * float(rng.beta(0.3, 6 if clear else 0.9)), 6)
        found["lake:scene_cloud_cover_pct"] = round(20 * float(rng.random()), 6)
    return found


def _varied(band: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    statistics = band.get("statistics")
    if not statistics:
        return band
    mean, deviation = rng.random(2)
    return {**band, "statistics": {**statistics, "mean": mean * 3000, "stddev": deviation * 900}}
