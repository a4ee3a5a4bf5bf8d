"""What the peer of the harvest is told to cut, and whether its crops are ours."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from benchmarks.processes import Sandbox
from stac_lake.lake import open_lake
from stac_lake.recipe import product, providers
from stac_lake.upstream.standin import Routes

PRODUCTS = ("s2-l2a", "s1-rtc")


@dataclass(frozen=True)
class Job:
    """One patch and product: the scenes that our harvest chose.

    Attributes:
        provider: Who has the scenes.
        epsg: Of the patch.
        transform: Of the patch, six numbers.
        shape: Rows, columns.
        bands: Asset keys, the mask last where there is one.
        slots: Item ids of ours, one per scene.
        items: Documents of the scenes, hrefs as published.
    """

    provider: str
    epsg: int
    transform: Sequence[float]
    shape: Sequence[int]
    bands: Sequence[str]
    slots: Sequence[str]
    items: Sequence[Mapping[str, Any]]


def jobs(lake: Path, sandbox: Sandbox) -> list[Job]:
    """Of all Sentinel-2 L2A and Sentinel-1 RTC items of a lake."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for item in open_lake(lake).search(products=PRODUCTS):
        found = item["properties"]
        names = ("lake:product", "lake:patch", "lake:provider", "lake:upstream_collection")
        groups[tuple(found[name] for name in names)].append(item)
    routes = Routes(sandbox.url)
    made = []
    for (name, _, provider, collection), items in sorted(groups.items()):
        first = items[0]["properties"]
        sources = [
            source
            for source in product(name).sources
            if (source.provider, source.collection) == (provider, collection)
        ]
        documents = []
        for item in items:
            href = next(link["href"] for link in item["links"] if link["rel"] == "derived_from")
            path = routes.route(href, providers()[provider]).removeprefix(sandbox.url)
            documents.append(sandbox.json(path))
        made.append(
            Job(
                provider,
                first["proj:epsg"],
                first["proj:transform"],
                first["proj:shape"],
                list(sources[0].assets.values()),
                [item["id"] for item in items],
                documents,
            )
        )
    return made


def differing(lake: Path, out: Path) -> list[str]:
    """Slots in which the peer's crop, brought to our stored values, is not ours."""
    return [
        item["id"]
        for item in open_lake(lake).search(products=PRODUCTS)
        if not _agree(item, out / f"{item['id']}.tif")
    ]


def _agree(item: Mapping[str, Any], path: Path) -> bool:
    with rasterio.open(item["assets"]["data"]["href"]) as dataset:
        ours = dataset.read()[:-1]
    with rasterio.open(path) as dataset:
        theirs = dataset.read()[: len(ours)]
    if item["properties"]["lake:modality"] == "s2":
        offset = item["properties"]["lake:dn_offset"]
        stored = np.where(theirs == 0, 0, np.maximum(theirs.astype(np.int32) - offset, 1))
        return bool(np.array_equal(ours, stored))
    seen = np.isfinite(theirs) & (theirs > 0)
    decibel = 10 * np.log10(np.where(seen, theirs, 1))
    # Ours are floored at -50 dB, and NaN where the source has nodata.
    return bool(np.allclose(ours[seen], np.maximum(decibel[seen], -50), atol=1e-4))
