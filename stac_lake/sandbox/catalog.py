"""Which provider holds which scenes, and how an id or an href leads back to a scene.

Nothing is remembered between a search and a download: names carry tile, orbit and time, so that a
plan that was made against one server can be executed against another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from stac_lake.sandbox.documents.envelope import Document, Served
from stac_lake.sandbox.scene import Blob, SandboxScene
from stac_lake.sandbox.tiles import lattice, tile

Bbox = tuple[float, float, float, float]
WORLD: Bbox = (-180.0, -90.0, 180.0, 90.0)
FIRST = datetime(2014, 1, 1, tzinfo=UTC)
LAST = datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC)
# The demo's cells 772176 and 123456: where a search without any area looks, because the whole
# archive is made on request and cannot be listed; and when, if it names no time either.
HOME: tuple[Bbox, ...] = ((-96.125, 43.875, -95.875, 44.125), (83.875, -68.875, 84.125, -68.625))
HOME_YEAR = (datetime(2021, 1, 1, tzinfo=UTC), datetime(2021, 12, 31, 23, 59, 59, tzinfo=UTC))

_TILE = re.compile(r"_T?(\d{1,2}[C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V])(?:_|$)")
_MOMENT = re.compile(r"_(\d{8})(?:T(\d{6}))?(?=_|$)")


@dataclass(frozen=True)
class Span:
    """Where and when to look for scenes; both ends of the time belong to it."""

    bbox: Bbox
    start: datetime
    end: datetime


class Product(Protocol):
    """What a product module offers."""

    def scenes(
        self, kind: str, bbox: Bbox, start: datetime, end: datetime
    ) -> list[SandboxScene]: ...

    def scene(self, kind: str, id: str) -> SandboxScene: ...  # noqa: A002 - as in the modules

    def blob(self, scene: SandboxScene, name: str, *, cache: Path, full: bool) -> Blob: ...


@dataclass(frozen=True)
class Holding:
    """One Collection of one provider.

    Attributes:
        provider: `earth-search`, `planetary-computer` or `cdse`.
        collection: Id of the Collection.
        title: Its title.
        kind: Kind of the scenes behind it.
        product: The module that makes them.
        item: Makes the item of a scene; its second argument is the API's root.
        id_of: The item id of a scene.
        files: True hrefs of a scene's files; None where the documents stand alone.
        href: Matches the true hrefs; its group 1 is an item id or a product name.
        variants: The scenes that the provider makes of one: none, itself, or reworded ones.
        name_of: The product name that an item id holds.
        start: Begin of the Collection's temporal extent.
        gsd: Pixel size that the summaries state, metres.
        storage: Account and container at Azure.
    """

    provider: str
    collection: str
    title: str
    kind: str
    product: Product
    item: Callable[[SandboxScene, str], Document]
    id_of: Callable[[SandboxScene], str]
    files: Callable[[SandboxScene], dict[str, Served]] | None = None
    href: re.Pattern[str] | None = None
    variants: Callable[[SandboxScene], tuple[SandboxScene, ...]] = lambda scene: (scene,)
    name_of: Callable[[str], str] = lambda item_id: item_id
    start: datetime = FIRST
    gsd: int = 10
    storage: tuple[str, str] | None = None

    def scenes(self, span: Span) -> Iterator[SandboxScene]:
        """The Collection's scenes in a span, as the provider counts them."""
        for scene in self.product.scenes(self.kind, span.bbox, span.start, span.end):
            yield from self.variants(scene)

    def find(self, name: str) -> SandboxScene:
        """The scene of an item id or product name.

        Raises:
            KeyError: The Collection has no such scene.
        """
        try:
            found = self.variants(self.product.scene(self.kind, self.name_of(name)))
        except (KeyError, ValueError):
            span = span_of(name)
            found = () if span is None else tuple(self.scenes(span))
        for scene in found:
            if name in (self.id_of(scene), scene.id):
                return scene
        raise KeyError(f"{self.provider}/{self.collection} has no {name!r}")

    def served(self, href: str) -> Served | None:
        """The file behind a true href, if it is one of this Collection's."""
        match = self.href.search(href) if self.href else None
        if match is None or self.files is None:
            return None
        try:
            return self.files(self.find(match[1])).get(href)
        except KeyError:
            return None


def span_of(name: str) -> Span | None:
    """Where and when the scene of that name must be: its tile's box and its times.

    Args:
        name: An item id or product name with an MGRS tile and a date, or with two times.

    Returns:
        None if the name tells neither.
    """
    moments = [
        datetime.strptime(day + (clock or "000000"), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        for day, clock in _MOMENT.findall(name)
    ]
    if not moments:
        return None
    square = _TILE.search(name)
    if square is None:
        margin = timedelta(seconds=1)
        return Span(WORLD, moments[0] - margin, moments[min(1, len(moments) - 1)] + margin)
    try:
        lon, lat = lattice(tile(square[1].zfill(5)), 3)
    except KeyError:
        return None
    west, east = ((float(edge) + 180.0) % 360.0 - 180.0 for edge in (lon.min(), lon.max()))
    margin = timedelta(days=1)
    box = (west, float(lat.min()), east, float(lat.max()))
    return Span(box, moments[0] - margin, moments[0] + margin)


class Catalog:
    """All holdings, by provider.

    Args:
        holdings: In the order in which the providers list them.
    """

    def __init__(self, holdings: tuple[Holding, ...]) -> None:
        self._holdings = holdings
        # A file is read in many ranges; finding its scene again each time would dominate.
        self._served = lru_cache(maxsize=8192)(self._look_up)

    def collections(self, provider: str) -> list[Holding]:
        return [h for h in self._holdings if h.provider == provider]

    def listed(self, provider: str) -> list[Holding]:
        """One holding per Collection."""
        return list({h.collection: h for h in reversed(self.collections(provider))}.values())[::-1]

    def holding(self, provider: str, collection: str) -> Holding:
        """That Collection; the first of its parts, if it has scenes of several kinds.

        Raises:
            KeyError: The provider has no such Collection.
        """
        for holding in self.collections(provider):
            if holding.collection == collection:
                return holding
        raise KeyError(collection)

    def item(self, provider: str, collection: str, item_id: str, api: str) -> Document:
        """The item of that id.

        Raises:
            KeyError: The Collection has no such item.
        """
        for holding in self.collections(provider):
            if holding.collection == collection:
                with suppress(KeyError):
                    return holding.item(holding.find(item_id), api)
        raise KeyError(item_id)

    def served(self, provider: str, href: str) -> Served | None:
        """The file behind a true href, or None if the provider has no such file."""
        return self._served(provider, href)

    def _look_up(self, provider: str, href: str) -> Served | None:
        for holding in self.collections(provider):
            served = holding.served(href)
            if served is not None:
                return served
        return None
