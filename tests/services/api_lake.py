"""A lake for the judges of the API: whole documents, no pixels."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from stac_lake.catalog.index import Index, IndexRow
from stac_lake.catalog.item import build_item
from stac_lake.grid import cell_at, patch_at
from stac_lake.store.objects import Objects
from stac_lake.types import Slot

sys.path.insert(0, str(Path(__file__).parents[1] / "catalog"))
from made_items import ATTEMPT, facts

CELL = cell_at(20.5, 20.5)
"""In the box where stac-api-validator looks for an item: 20, 20, 21, 21."""

OTHER = cell_at(-96, 44)
SEASONS = ("winter", "spring", "summer", "autumn")
CLOUDS = (2.5, 20.0, 55.0, 90.0)


def judged_lake(url: str, *, spoilt: bool = False) -> Index:
    """One cell of scenes, each with a moment, and one with composites and radar, too.

    Args:
        url: Where it is made.
        spoilt: Whether the scenes' file sizes are texts, which no schema allows.
    """
    documents = []
    for number, (slot, cloud) in enumerate(zip(SEASONS, CLOUDS, strict=True)):
        for lon, lat in ((20.5, 20.5), (20.55, 20.55), (20.45, 20.45)):
            made = facts(Slot("s2-l2a", CELL, patch_at(lon, lat), slot))
            made.properties["eo:cloud_cover"] = cloud
            start = datetime(2021, 1 + 3 * number, 4, 10, 30, tzinfo=UTC)
            documents.append((made, start))
    slots = [
        Slot("dem-glo30", CELL, None, "static"),
        Slot("dem-glo30", OTHER, None, "static"),
        Slot("s1-rtc", OTHER, patch_at(-96, 44), "summer"),
        Slot("s3-olci-efr", OTHER, None, "b3"),
        *(Slot("s5p-no2", OTHER, None, f"2021-{month:02d}") for month in range(1, 13)),
    ]
    rows = [build_item(facts(slot), ATTEMPT, 1) for slot in slots]
    for made, start in documents:
        item = build_item(made, ATTEMPT, 1)
        # The judge tells apart the letters of what it asks for with `in`.
        item["properties"]["lake:baseline"] = str(start.month % 10)
        item["properties"]["datetime"] = f"{start:%Y-%m-%dT%H:%M:%S}.000Z"
        if spoilt:
            item["assets"]["data"]["file:size"] = "large"
        rows.append(item)
    index = Index(Objects.open(url))
    index.append([IndexRow(row, 1) for row in rows])
    return index
