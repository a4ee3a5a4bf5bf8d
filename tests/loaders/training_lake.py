"""A lake of small made-up scenes with all eight modalities, and the numbers that went into it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stac_lake.catalog.commit import commit
from stac_lake.catalog.index import Index, IndexRow
from stac_lake.catalog.item import ItemFacts
from stac_lake.grid import Cell, Patch, patch_at
from stac_lake.pixels.cog import encode_cog
from stac_lake.quality.measure import measure_chip
from stac_lake.recipe import product
from stac_lake.store.objects import Objects
from stac_lake.types import Chip, Scene, Slot, Window, cell_grid, patch_grid

FARM, ICE, BARE = Cell(772176), Cell(123456), Cell(772177)
EAST, WEST = patch_at(-95.95, 44.02), patch_at(-96.05, 43.95)
POLAR = patch_at(84.0, -68.75)
WINTER, AUTUMN, SUMMER, SPRING = "winter", "autumn", "summer", "spring"
MONTHS = tuple(f"2021-{month:02d}" for month in range(1, 13))

SLOTS: tuple[tuple[str, Cell, Patch | None, str], ...] = (
    *(("s2-l1c", FARM, EAST, name) for name in (WINTER, AUTUMN, SUMMER, SPRING)),
    *(("s2-l1c", FARM, WEST, name) for name in (WINTER, SPRING)),
    ("s2-l2a", FARM, EAST, WINTER),
    *(("s1-rtc", FARM, EAST, name) for name in (WINTER, SUMMER)),
    *(("s1-rtc", FARM, WEST, name) for name in (AUTUMN, SPRING)),
    *(("s3-olci-efr", FARM, None, name) for name in ("b1", "b4", "b8")),
    *(("s5p-no2", FARM, None, name) for name in MONTHS),
    *(("s5p-co", FARM, None, name) for name in MONTHS[:5]),
    *(("s5p-o3", FARM, None, name) for name in MONTHS[3:6]),
    *(("s5p-so2", FARM, None, name) for name in MONTHS),
    ("dem-glo30", FARM, None, "static"),
    # A polar cell: an annual slot for the night of June; no s1, s3, so2.
    ("s2-l1c", ICE, POLAR, WINTER),
    ("s2-l1c", ICE, POLAR, "y2021"),
    *(("s5p-co", ICE, None, name) for name in MONTHS[:2]),
    ("s5p-no2", ICE, None, MONTHS[0]),
    ("s5p-o3", ICE, None, MONTHS[0]),
    ("dem-glo30", ICE, None, "static"),
    # A cell without patches.
    ("s5p-co", BARE, None, MONTHS[6]),
    ("dem-glo30", BARE, None, "static"),
)


@dataclass
class TrainingLake:
    """What was stored.

    Attributes:
        url: Of the lake.
        pixels: Item id → (band, y, x), before it was encoded.
        documents: Item id → the document as stored.
    """

    url: str
    pixels: dict[str, NDArray[Any]] = field(default_factory=dict)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)

    def of(self, product_id: str) -> list[NDArray[Any]]:
        """Pixels of all items of a product."""
        return [data for name, data in self.pixels.items() if name.startswith(f"{product_id}_")]


def make(url: str) -> TrainingLake:
    lake = TrainingLake(url)
    objects = Objects.open(url)
    rows = []
    for slot in (Slot(*where) for where in SLOTS):
        lake.pixels[slot.id] = pixels(slot)
        facts, data = _facts(slot, lake.pixels[slot.id])
        done = commit(objects, facts, data)
        lake.documents[slot.id] = done.document
        rows.append(IndexRow(done.document, done.version))
    Index(objects).append(rows)
    return lake


def pixels(slot: Slot) -> NDArray[Any]:
    """Numbers of a slot: a plane with noise, a hole without data, flags of several kinds."""
    made = product(slot.product)
    rng = np.random.default_rng(zlib.crc32(slot.id.encode()))
    size = (made.pixels, made.pixels)
    shape = (len(made.bands), *size)
    band, row, column = np.indices(shape, dtype=np.float32)
    noise = rng.integers(0, 200, shape)
    hole = np.hypot(row[0] - 9, column[0] - 5) < made.pixels / 6
    if made.modality == "s2":
        data = (900 * (band + 1) + row + column + noise).astype(np.uint16)
    elif made.modality == "s1":
        data = (-12 - 8 * band + noise / 100).astype(np.float32)
    elif made.modality == "s3":
        data = (300 / (band + 1) + row / 10 + noise / 50).astype(np.float32)
    elif made.modality == "dem":
        data = (400 + row - column / 3 + noise / 7).astype(np.float32)
    else:
        data = (1e-4 * (1 + noise / 500) + 1e-6 * row).astype(np.float32)
        data[1] = rng.integers(1, 9, size)
        data[0, hole], data[1, hole], data[2, hole] = np.nan, 0, np.nan
        return data
    data[-1] = 1 + 2 * rng.integers(0, 32, size)  # observed, and any of cloud … water
    data[-1, -3:, :4] = 1 + 64  # saturated
    data[:, hole] = 0 if made.dtype == "uint16" else np.nan
    data[-1, hole] = 0
    return data


def _facts(slot: Slot, data: NDArray[Any]) -> tuple[ItemFacts, bytes]:
    made = product(slot.product)
    grid = patch_grid(slot.patch) if slot.patch else cell_grid(slot.cell, made.pixels)
    scene = _scene(slot)
    chip = Chip(grid, made.band_names, data, (scene,), {"lake:cloud_source": "msk_classi"})
    if made.modality != "s2":
        chip.properties.clear()
    cog = encode_cog(chip, made)
    measured, bands = measure_chip(made, chip)
    month = datetime(2021, int(slot.name[-2:]), 1, tzinfo=UTC) if slot.name in MONTHS else None
    start = month or scene.start
    end = (start + timedelta(days=32)).replace(day=1) if month else start + timedelta(days=1)
    facts = ItemFacts(
        slot=slot,
        product=made,
        windows=(Window(start, end),),
        grid=grid,
        scenes=(scene,),
        properties=chip.properties | measured,
        bands=tuple(bands),
        band_metadata={},
        size=len(cog.data),
        sha256=cog.sha256,
        layout=cog.layout,
        digest="0123456789abcdef",
        created=datetime(2026, 1, 2, tzinfo=UTC),
        software="0.1.0",
    )
    return facts, cog.data


def _scene(slot: Slot) -> Scene:
    number = zlib.crc32(slot.id.encode())
    start = datetime(2021, 1, 1, 10, 30, tzinfo=UTC) + timedelta(days=number % 365)
    properties = {
        "s2": {"view:sun_elevation": 20.0 + number % 40, "sat:orbit_state": "descending"},
        "s1": {"view:incidence_angle": 30.0 + number % 15, "sat:orbit_state": "ascending"},
        "s3": {"sat:orbit_state": "descending"},
    }
    return Scene(
        id=f"scene-{number}",
        product=slot.product,
        provider="earth-search",
        collection="made-up",
        start=start,
        end=start,
        footprint=slot.cell.footprint,
        assets={},
        acquisition=slot.id,
        version="1",
        href="https://example.org/scene",
        properties=properties.get(product(slot.product).modality, {}),
    )
