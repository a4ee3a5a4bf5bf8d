"""Every kind of damage: how to do it, what must be found at which depth, and what repair does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stac_lake.catalog.verify import Depth
from stac_lake.recipe import product
from stac_lake.store import keys
from stac_lake.types import Qa, Slot
from tests.catalog.verify_lakes import (
    CO,
    L1C,
    L2A,
    NO2,
    RTC,
    SUMMER,
    Lake,
    asset_of,
    file_of,
    pixels_of,
)

OLD_ATTEMPT = "20200101T000000Z-0123456789abcdef"


@dataclass(frozen=True)
class Planted:
    """One kind of damage.

    Attributes:
        plant: Does it.
        at: The least depth at which it is found.
        found: (problem, item id) of every finding.
        actions: What repair does, finding by finding.
    """

    plant: Callable[[Lake], None]
    at: Depth
    found: tuple[tuple[str, str], ...]
    actions: tuple[str, ...] = ("requeued",)


def one(at: Depth, problem: str, slot: Slot, *actions: str) -> Callable[..., Planted]:
    return lambda plant: Planted(plant, at, ((problem, slot.id),), actions or ("requeued",))


def replaced(lake: Lake, slot: Slot, data: bytes) -> None:
    key = asset_of(lake, slot)
    assert lake.objects.get(key) != data
    lake.objects.put(key, data)


@one("listing", "asset_missing", L2A)
def missing(lake: Lake) -> None:
    lake.objects.delete(asset_of(lake, L2A))


@one("listing", "asset_truncated", RTC)
def truncated(lake: Lake) -> None:
    data = lake.objects.get(asset_of(lake, RTC))
    replaced(lake, RTC, data[: len(data) // 2])


@one("listing", "asset_truncated", RTC)
def truncated_by_a_byte(lake: Lake) -> None:
    replaced(lake, RTC, lake.objects.get(asset_of(lake, RTC))[:-1])


@one("listing", "asset_truncated", NO2)
def truncated_to_nothing(lake: Lake) -> None:
    replaced(lake, NO2, b"")


def _swap(lake: Lake) -> None:
    one, other = (lake.objects.get(asset_of(lake, slot)) for slot in (L2A, L1C))
    replaced(lake, L2A, other)
    replaced(lake, L1C, one)


swapped = Planted(
    _swap,
    "listing",
    (("asset_swapped", L1C.id), ("asset_swapped", L2A.id)),
    ("requeued", "requeued"),
)


@one("listing", "asset_checksum", L2A)
def longer(lake: Lake) -> None:
    replaced(lake, L2A, lake.objects.get(asset_of(lake, L2A)) + b"more")


@one("pixels", "asset_checksum", L2A)
def bit_flipped(lake: Lake) -> None:
    data = bytearray(lake.objects.get(asset_of(lake, L2A)))
    data[len(data) // 2] ^= 1
    replaced(lake, L2A, bytes(data))


@one("header", "asset_undecodable", CO)
def undecodable(lake: Lake) -> None:
    replaced(lake, CO, bytes(len(lake.objects.get(asset_of(lake, CO)))))


@one("listing", "asset_shape", L2A)
def wrong_shape(lake: Lake) -> None:
    grid = product("s2-l2a").grid_of(L2A)
    small = replace(grid, shape=(128, 264))
    replaced(lake, L2A, file_of(L2A, pixels_of(L2A)[:, :128], small))


@one("listing", "asset_shape", NO2)
def wrong_bands(lake: Lake) -> None:
    heights = replace(NO2, product="dem-glo30", name="static")
    grid = product("s5p-no2").grid_of(NO2)
    replaced(lake, NO2, file_of(heights, pixels_of(NO2)[:2], grid))


@one("header", "asset_crs", L2A)
def wrong_crs(lake: Lake) -> None:
    grid = product("s2-l2a").grid_of(L2A)
    replaced(lake, L2A, file_of(L2A, pixels_of(L2A), replace(grid, epsg=32614)))


@one("header", "asset_crs", L2A)
def wrong_place(lake: Lake) -> None:
    grid = product("s2-l2a").grid_of(L2A)
    a, b, c, d, e, f = grid.transform
    moved = replace(grid, transform=(a, b, c + 10, d, e, f))
    replaced(lake, L2A, file_of(L2A, pixels_of(L2A), moved))


def _constant(slot: Slot) -> Any:
    data = pixels_of(slot)
    data[: len(product(slot.product).value_bands)] = 7
    return data


@one("listing", "asset_constant", L1C)
def constant(lake: Lake) -> None:
    replaced(lake, L1C, file_of(L1C, _constant(L1C)))


@one("listing", "asset_constant", SUMMER)
def born_constant(lake: Lake) -> None:
    lake.store(SUMMER, _constant(SUMMER), digest="e" * 16)


@one("listing", "asset_nodata", L1C)
def nodata(lake: Lake) -> None:
    replaced(lake, L1C, file_of(L1C, np.zeros_like(pixels_of(L1C))))


@one("listing", "asset_nodata", NO2)
def born_nodata(lake: Lake) -> None:
    data = np.full_like(pixels_of(NO2), np.nan)
    data[1] = 0
    lake.store(NO2, data, digest="e" * 16)


@one("header", "layout_differs", RTC)
def wrong_layout(lake: Lake) -> None:
    layout = {
        "tile": [272, 272], "offsets": [4000], "byte_counts": [70], "interleave": "pixel",
        "predictor": 3, "compression": "zstd", "header_size": 4000,
    }  # fmt: skip
    lake.store(RTC, pixels_of(RTC), layout=layout, digest="e" * 16)


@one("pixels", "statistics_differ", RTC)
def wrong_statistics(lake: Lake) -> None:
    told = {"minimum": 1.0, "maximum": 60.0, "mean": 31.0, "stddev": 17.0, "valid_percent": 100.0}
    lake.store(RTC, pixels_of(RTC), bands=(told, told, {}), digest="e" * 16)


@one("pixels", "statistics_differ", L2A)
def wrong_share(lake: Lake) -> None:
    data = pixels_of(L2A)
    properties = {"lake:dn_offset": 1000, "lake:cloud_source": "scl", "eo:cloud_cover": 50.0}
    lake.store(L2A, data, properties=properties, digest="e" * 16)


@one("listing", "offset_left_in", L1C)
def offset_in_level_1(lake: Lake) -> None:
    data = pixels_of(L1C)
    data[:-1] += 1000
    lake.store(L1C, data, digest="e" * 16)


@one("listing", "offset_left_in", L2A)
def offset_in_level_2(lake: Lake) -> None:
    data = pixels_of(L2A)
    data[:-1] += 1000
    data[-1, :20] |= np.uint16(Qa.WATER)
    lake.store(L2A, data, properties={"lake:dn_offset": 0}, digest="e" * 16)


@one("listing", "asset_orphan", L2A, "deleted")
def orphan(lake: Lake) -> None:
    lake.objects.put_new(keys.asset_key(L2A, OLD_ATTEMPT, "0" * 64), b"orphan")


@one("listing", "item_missing", RTC, "restored")
def document_missing(lake: Lake) -> None:
    lake.objects.delete(keys.item_key(RTC, 1))


def _both(lake: Lake) -> None:
    lake.objects.delete(asset_of(lake, RTC))
    lake.objects.delete(keys.item_key(RTC, 1))


item_and_asset_missing = Planted(
    _both,
    "listing",
    (("asset_missing", RTC.id), ("item_missing", RTC.id)),
    ("restored", "requeued"),
)


@one("listing", "item_invalid", NO2, "restored")
def document_cut_short(lake: Lake) -> None:
    key = keys.item_key(NO2, 1)
    lake.objects.put(key, lake.objects.get(key)[:-100])


@one("pixels", "item_invalid", NO2, "restored")
def document_garbled(lake: Lake) -> None:
    key = keys.item_key(NO2, 1)
    lake.objects.put(key, lake.objects.get(key).replace(b'{"type"', b'}"type"'))


@one("listing", "item_invalid", NO2, "restored")
def document_of_another_item(lake: Lake) -> None:
    lake.objects.put(keys.item_key(NO2, 1), lake.objects.get(keys.item_key(CO, 1)))


@one("listing", "item_invalid", replace(NO2, name="2021-07"))
def document_that_nobody_knows(lake: Lake) -> None:
    lake.objects.put(keys.item_key(replace(NO2, name="2021-07"), 1), b"{half")


@one("listing", "item_misplaced", RTC, "set_aside")
def document_twice(lake: Lake) -> None:
    folder = keys.versions_prefix(RTC).replace("cells/", "cells/elsewhere-")
    lake.objects.put(f"{folder}1.json", lake.objects.get(keys.item_key(RTC, 1)))


@one("listing", "item_misplaced", replace(NO2, name="x y"), "set_aside")
def no_item_at_all(lake: Lake) -> None:
    lake.objects.put(f"{keys.items_prefix(NO2.cell)}s5p-no2_0772176_x y/1.json", b"{}")


@one("listing", "index_differs", CO, "reindexed")
def index_says_something_else(lake: Lake) -> None:
    key = keys.item_key(CO, 1)
    text = lake.objects.get(key).replace(b'"title":"', b'"title":"The ', 1)
    lake.objects.put(key, text)


@one("pixels", "index_differs", CO, "reindexed")
def index_says_something_else_of_the_same_length(lake: Lake) -> None:
    key = keys.item_key(CO, 1)
    text = lake.objects.get(key).replace(b'"title":"S', b'"title":"Z', 1)
    lake.objects.put(key, text)


DAMAGES: dict[str, Planted] = {
    name: value for name, value in sorted(globals().items()) if isinstance(value, Planted)
}

ON_S3 = (
    "missing",
    "truncated",
    "swapped",
    "bit_flipped",
    "wrong_crs",
    "orphan",
    "item_and_asset_missing",
    "document_garbled",
    "document_twice",
    "index_says_something_else",
)
"""Kinds that are looked for in a bucket, too: each way of reading and of repairing once."""
