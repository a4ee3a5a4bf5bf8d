"""A lake of real files to be damaged: six items whose pixels are simple patterns."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stac_lake.catalog.commit import commit
from stac_lake.catalog.index import Index, IndexRow
from stac_lake.catalog.item import ItemFacts, asset_key_of
from stac_lake.catalog.publish import publish
from stac_lake.pixels.cog import encode_cog
from stac_lake.quality.measure import measure_chip
from stac_lake.recipe import product
from stac_lake.store.objects import Objects
from stac_lake.types import Chip, PixelGrid, Qa, Slot
from tests.catalog.made_items import ICE, facts, slot_of

L2A = slot_of("s2-l2a")
SUMMER = replace(L2A, name="summer")
L1C = slot_of("s2-l1c")
RTC = slot_of("s1-rtc")
NO2 = slot_of("s5p-no2")
CO = slot_of("s5p-co", ICE)
SLOTS = (L2A, SUMMER, L1C, RTC, NO2, CO)


def pixels_of(slot: Slot, level: int = 0) -> NDArray[Any]:
    """(band, y, x): a ramp per band, 1 … 60 above 100 per band; the cirrus band stays under 60."""
    made = product(slot.product)
    rows, columns = made.grid_of(slot).shape
    y, x = np.mgrid[:rows, :columns]
    ramp = (3 * y + x) % 60 + 1
    data = np.empty((len(made.bands), rows, columns), made.dtype)
    for number, band in enumerate(made.bands):
        data[number] = ramp + (0 if band.name == "B10" else 100 * number) + level
        if band.name == "qa":
            data[number] = Qa.OBSERVED
        if band.name == "n_orbits":
            data[number] = 3
    return data


def file_of(slot: Slot, data: NDArray[Any], grid: PixelGrid | None = None) -> bytes:
    """The pixels as a file of the slot's product."""
    made = product(slot.product)
    return encode_cog(Chip(grid or made.grid_of(slot), made.band_names, data, ()), made).data


def facts_of(
    slot: Slot, data: NDArray[Any], properties: dict[str, Any] | None = None, **changes: Any
) -> tuple[ItemFacts, bytes]:
    """Facts that are true of some pixels, and their file; `changes` are told on top of them."""
    made = product(slot.product)
    extra = {"lake:dn_offset": 1000, "lake:cloud_source": "scl"} if made.modality == "s2" else {}
    extra |= properties or {}
    chip = Chip(made.grid_of(slot), made.band_names, data, (), extra)
    shares, bands = measure_chip(made, chip)
    cog = encode_cog(chip, made)
    told = facts(
        slot, cog.data, properties={**shares, **extra}, bands=tuple(bands), layout=cog.layout
    )
    return replace(told, **changes), cog.data


@dataclass
class Lake:
    """A lake to be damaged."""

    objects: Objects
    index: Index

    def store(self, slot: Slot, data: NDArray[Any], **changes: Any) -> dict[str, Any]:
        """Commit and index an item of some pixels; `changes` as of `facts_of`."""
        told, file = facts_of(slot, data, **changes)
        done = commit(self.objects, told, file, refresh=True)
        self.index.append([IndexRow(done.document, done.version)])
        return done.document


def build(url: str) -> dict[str, bytes]:
    """Make the whole lake; returns its objects."""
    lake = Lake(Objects.open(url), Index(Objects.open(url)))
    for number, slot in enumerate(SLOTS):
        lake.store(slot, pixels_of(slot, number))
    publish(lake.objects, lake.index)
    return contents(lake.objects)


def put_all(url: str, held: dict[str, bytes]) -> Lake:
    """The same lake somewhere else."""
    objects = Objects.open(url)
    for key, data in held.items():
        objects.put(key, data)
    return Lake(objects, Index(objects))


def contents(objects: Objects) -> dict[str, bytes]:
    """Every object of a lake."""
    return {info.key: objects.get(info.key) for info in objects.list("")}


def asset_of(lake: Lake, slot: Slot, version: int = 1) -> str:
    """Key of an item's file, as the index tells it."""
    found = lake.index.connection().execute(
        "SELECT item FROM versions WHERE id = ? AND version = ?", [slot.id, version]
    )
    return asset_key_of(json.loads(found.fetchone()[0]))
