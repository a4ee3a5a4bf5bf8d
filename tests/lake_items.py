"""A small lake of items for tests of queries: real documents, real index, pixels on request.

Values are written here by hand, so that tests can say by heart what a filter must return.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from stac_lake.catalog.index import Index, IndexRow
from stac_lake.catalog.item import ItemFacts, build_item, retired
from stac_lake.grid import Cell, Patch, cell_at, patch_at
from stac_lake.recipe import product
from stac_lake.store.objects import Objects
from stac_lake.types import Scene, Slot, Window, cell_grid, patch_grid

FARM = Cell(772176)  # 96.00° W 44.00° N
ICE = Cell(123456)  # 84.00° E 68.75° S
FIJI = cell_at(180, -17)  # straddles the antimeridian
CREATED = datetime(2026, 1, 2, tzinfo=UTC)
DATELINE_BOX = [179.5, -17.5, -179.5, -16.5]


@dataclass(frozen=True)
class Spec:
    """One item: what a test filters by."""

    product: str
    cell: Cell
    name: str
    start: datetime
    properties: dict[str, Any]
    patch: Patch | None = None
    end: datetime | None = None
    platform: str | None = None

    @property
    def id(self) -> str:
        return Slot(self.product, self.cell, self.patch, self.name).id


def document(spec: Spec, version: int = 1, sha256: str | None = None) -> dict[str, Any]:
    """The stored Item of a spec."""
    effective = product(spec.product)
    end = spec.end or spec.start
    scene = Scene(
        id=f"scene-{spec.name}",
        product=spec.product,
        provider="earth-search",
        collection="made-up",
        start=spec.start,
        end=end,
        footprint=spec.cell.footprint,
        assets={},
        acquisition=spec.id,
        version="1",
        href="https://example.org/scene",
        properties={"platform": spec.platform} if spec.platform else {},
    )
    facts = ItemFacts(
        slot=Slot(spec.product, spec.cell, spec.patch, spec.name),
        product=effective,
        windows=(Window(spec.start, end + timedelta(milliseconds=1)),),
        grid=patch_grid(spec.patch) if spec.patch else cell_grid(spec.cell, effective.pixels),
        scenes=(scene,),
        properties=spec.properties,
        bands=tuple({"minimum": 0.0, "maximum": 1.0} for _ in effective.bands),
        band_metadata={},
        size=1000 + len(spec.name),
        sha256=sha256 or hashlib.sha256(spec.id.encode()).hexdigest(),
        layout={"tile": [272, 272]},
        digest="0123456789abcdef",
        created=CREATED,
        software="0.1.0",
    )
    return build_item(facts, f"20260102T000000Z-{version:016x}", version)


def _day(year: int, month: int, day: int, hour: int = 10) -> datetime:
    return datetime(year, month, day, hour, 30, tzinfo=UTC)


_EAST = patch_at(-95.95, 44.02)
_WEST = patch_at(-96.05, 43.95)
_DATELINE = patch_at(179.9999, -17)
_SEASONS = {
    "winter": (_day(2021, 1, 5), 80.0, 99.0),
    "spring": (_day(2021, 4, 6), 5.0, 95.0),
    "summer": (_day(2021, 7, 7), 0.0, 100.0),
    "autumn": (_day(2021, 10, 8), 10.0, 90.0),
}


def _optical(cell: Cell, patch: Patch) -> list[Spec]:
    return [
        Spec(
            "s2-l2a",
            cell,
            name,
            start,
            {
                "eo:cloud_cover": cloud + (0.5 if patch is _WEST else 0.0),
                "lake:valid_pct": valid,
                "lake:snow_pct": 100.0 if name == "winter" else 0.0,
                "lake:resampled": patch is _WEST,
                "lake:dn_offset": 1000,
            },
            patch,
            platform="sentinel-2a" if name < "summer" else "sentinel-2b",
        )
        for name, (start, cloud, valid) in _SEASONS.items()
    ]


def _radar(cell: Cell, patch: Patch) -> list[Spec]:
    return [
        Spec(
            "s1-rtc",
            cell,
            name,
            start + timedelta(days=2),
            {
                "lake:valid_pct": valid,
                "sat:orbit_state": "ascending" if name in {"winter", "summer"} else "descending",
                "sar:polarizations": ["VV", "VH"] if name != "winter" else ["VV"],
            },
            patch,
        )
        for name, (start, _, valid) in _SEASONS.items()
    ]


def _months(cell: Cell) -> list[Spec]:
    starts = [datetime(2021, month, 1, tzinfo=UTC) for month in range(1, 13)]
    return [
        Spec(
            "s5p-no2",
            cell,
            f"{start:%Y-%m}",
            start,
            {"lake:valid_pct": 100.0, "lake:n_orbits": start.month},
            end=(start + timedelta(days=32)).replace(day=1) - timedelta(milliseconds=1),
        )
        for start in starts
    ]


def _static(cell: Cell) -> Spec:
    release = datetime(2021, 4, 22, tzinfo=UTC)
    return Spec("dem-glo30", cell, "static", release, {"lake:valid_pct": 100.0})


SPECS: tuple[Spec, ...] = (
    *_optical(FARM, _EAST),
    *_optical(FARM, _WEST),
    *_radar(FARM, _EAST),
    *_months(FARM),
    _static(FARM),
    *_optical(ICE, patch_at(84.0, -68.75))[2:],
    _static(ICE),
    *_optical(FIJI, _DATELINE)[:1],
    *_months(FIJI)[:2],
    _static(FIJI),
)
"""What the lake holds now: 32 items in 3 cells."""

BY_ID = {spec.id: spec for spec in SPECS}


def fill(url: str) -> Index:
    """Make the lake: the index alone, as queries need no more.

    One item has an older, clearer version that must not be found, and one more was retired.
    """
    index = Index(Objects.open(url))
    changed, *rest = SPECS
    older = replace(changed, properties={**changed.properties, "eo:cloud_cover": 0.0})
    gone = replace(changed, name="y2020")
    tombstone = retired(document(gone), 2, CREATED)
    index.append([IndexRow(document(older), 1), IndexRow(document(gone), 1)])
    index.append([IndexRow(document(changed, 2), 2), IndexRow(tombstone, 2)])
    index.append([IndexRow(document(spec), 1) for spec in rest])
    return index
