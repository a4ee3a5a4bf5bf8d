"""Wants → plan rows: which product serves a slot, and from which scenes.

One search per block of cells and product source. Products of a series are asked in the recipe's
order and the sources of a product in the catalogue's; a slot goes to the first that has a scene. A
slot that nobody can serve stays under the series' first product, with that product's reason.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Protocol

from pydantic import TypeAdapter
from shapely.geometry import box, shape
from shapely.geometry.base import BaseGeometry

from stac_lake.errors import ConfigError, ProviderRejected, ProviderUnavailable
from stac_lake.grid import Bounds, Cell, split_bounds
from stac_lake.harvest.slots import Want, wants
from stac_lake.recipe import (
    Column,
    Elevation,
    Product,
    Recipe,
    Series,
    SourceCollection,
    Unsupported,
    date_windows,
    digest,
    product,
)
from stac_lake.types import Outcome, PlanRow, Scene, Window
from stac_lake.upstream import newest


class Finder(Protocol):
    """What planning needs of upstream."""

    def missing_credentials(self, provider: str) -> str | None: ...

    def search(
        self,
        product: Product,
        source: SourceCollection,
        boxes: Sequence[Bounds],
        windows: Sequence[Window],
        *,
        max_cloud_pct: float | None = None,
        limit: int | None = None,
    ) -> list[Scene]: ...


@dataclass(frozen=True)
class Known:
    """What the lake already has, so that nothing is asked for twice.

    Attributes:
        stored: Item id → recipe digest of its current version.
        tried: Item id → how the slot last ended.
        refresh: Make new versions of what is stored, and look again for what was not found.
        retry: Look again for what was not found or failed.
    """

    stored: Mapping[str, str] = field(default_factory=dict)
    tried: Mapping[str, Outcome] = field(default_factory=dict)
    refresh: bool = False
    retry: bool = False

    def settled(
        self, want: Want, candidates: Sequence[tuple[Product, str]], finder: Finder
    ) -> Outcome | None:
        """The outcome of a want that needs no search, else None.

        Args:
            want: The want.
            candidates: (effective product, digest) in order of preference.
            finder: Says which credentials are there.
        """
        if self.refresh:
            return None
        for item, key in candidates:
            slot = want.slot(item.id).id
            if self.stored.get(slot) == key:
                return Outcome(slot, "skipped", key)
            if not (_cannot_serve(item, finder) or self._found_nothing(slot, key)):
                break
        first, key = candidates[0]
        last = self.tried.get(want.slot(first.id).id)
        if self.retry or last is None or last.state != "empty" or last.digest != key:
            return None
        if (last.reason or "").startswith("credentials_missing") and not _cannot_serve(
            first, finder
        ):
            return None
        return last

    def _found_nothing(self, slot: str, key: str) -> bool:
        """Whether a slot was searched in vain before, and is not to be searched again."""
        last = self.tried.get(slot)
        return (
            not self.retry
            and last is not None
            and (last.state, last.digest) == ("empty", key)
            and last.reason in SEARCHED
        )


SEARCHED = ("no_scene", "not_covered", "all_cloud")
"""Reasons that an upstream search gave."""


@dataclass(frozen=True)
class Plan:
    """What one block of cells needs for one series.

    Attributes:
        rows: Slots to work on, and slots that are empty or failed already.
        settled: Outcomes that needed no search.
        passed: Preferred products that were searched in vain where another one serves: for the
            ledger, so that the next run does not search them again.
    """

    rows: tuple[PlanRow, ...]
    settled: tuple[Outcome, ...]
    passed: tuple[Outcome, ...] = ()


def plan_block(
    recipe: Recipe,
    series: Series,
    cells: Sequence[Cell],
    finder: Finder,
    known: Known,
    *,
    without: Collection[str] = (),
) -> Plan:
    """Plan one series for cells that share a 2.5° block.

    Args:
        recipe: The recipe.
        series: One of its series.
        cells: Cells of one block.
        finder: Upstream.
        known: What the lake has.
        without: Providers that must not be used, because their files could not be read.

    Raises:
        ConfigError: the series names an unknown product.
    """
    items = [series.effective(product(name)) for name in series.products]
    settled: list[Outcome] = []
    rows: list[PlanRow] = []
    open_wants: list[Want] = []
    for want in (want for cell in cells for want in wants(recipe, series, cell)):
        keys = [(item, digest(item, want.windows)) for item in items]
        outcome = known.settled(want, keys, finder)
        if outcome:
            settled.append(outcome)
        elif want.reason:
            rows.append(
                PlanRow(want.slot(items[0].id), want.windows, keys[0][1], reason=want.reason)
            )
        else:
            open_wants.append(want)
    search = _BlockSearch(series, finder, frozenset(without))
    first_reason: dict[Want, str] = {}
    passed: list[Outcome] = []
    for item in items:
        if not open_wants:
            break
        served, reasons = search.product(item, open_wants)
        rows += served.values()
        for want in served:
            if (reason := first_reason.get(want)) in SEARCHED:
                key = digest(items[0], want.windows)
                passed.append(Outcome(want.slot(items[0].id).id, "empty", key, reason))
        for want, reason in reasons.items():
            first_reason.setdefault(want, reason)
        open_wants = [want for want in open_wants if want not in served]
    for want in open_wants:
        rows.append(
            PlanRow(
                want.slot(items[0].id),
                want.windows,
                digest(items[0], want.windows),
                reason=first_reason[want],
                providers_failed=dict(search.failed),
            )
        )
    return Plan(tuple(sorted(rows, key=lambda row: row.slot)), tuple(settled), tuple(passed))


class _BlockSearch:
    """Searches for one series and one block; remembers who did not answer."""

    def __init__(self, series: Series, finder: Finder, without: frozenset[str]) -> None:
        self.series = series
        self.finder = finder
        self.without = without
        self.failed: dict[str, str] = {}

    def product(
        self, item: Product, open_wants: Sequence[Want]
    ) -> tuple[dict[Want, PlanRow], dict[Want, str]]:
        """Rows of the wants that this product can serve, and the reason for each other."""
        if isinstance(item.values, Unsupported):
            return {}, dict.fromkeys(open_wants, "not_supported")
        served: dict[Want, PlanRow] = {}
        reasons: dict[Want, str] = {}
        failed: dict[str, str] = {}
        for source in item.sources:
            todo = [w for w in open_wants if w not in served and _in_span(source, w.windows)]
            if not todo or source.provider in self.without:
                continue
            missing = self.finder.missing_credentials(source.provider)
            if missing:
                for want in todo:
                    reasons.setdefault(want, f"credentials_missing({missing})")
                continue
            try:
                found = self._search(item, source, todo)
            except (ProviderUnavailable, ProviderRejected) as error:
                failed[source.provider] = str(error)
                continue
            for want in todo:
                candidates, superseded = self._candidates(item, want, found)
                if candidates or isinstance(item.values, Elevation):
                    served[want] = PlanRow(
                        want.slot(item.id),
                        want.windows,
                        digest(item, want.windows),
                        tuple(candidates),
                        superseded=superseded,
                        providers_failed=self.failed | failed,
                    )
                else:
                    reasons[want] = self._why_none(item, source, want, found)
        for want in open_wants:
            if want not in served and failed:
                # Somebody who might have it did not answer: this is not "looked for and not found".
                reasons[want] = "unreachable(" + ", ".join(sorted(failed)) + ")"
            reasons.setdefault(want, "no_scene")
        self.failed |= failed
        return served, reasons

    def _search(self, item: Product, source: SourceCollection, todo: Sequence[Want]) -> list[Scene]:
        boxes = _boxes(todo)
        if isinstance(item.values, Elevation):
            tiles = self.finder.search(item, source, boxes, ())
            fallback = item.values.fallback_collections.get(source.provider)
            gaps = _uncovered(boxes, tiles)
            if fallback and gaps:
                coarse = source.model_copy(update={"collection": fallback})
                more = self.finder.search(item, coarse, gaps, ())
                tiles += [tile for tile in more if not _same_tile(tile, tiles)]
            return tiles
        spans = _span(source, _union(want.windows for want in todo))
        return self.finder.search(
            item, source, boxes, spans, max_cloud_pct=self.series.max_scene_cloud_pct
        )

    def _candidates(
        self, item: Product, want: Want, found: Sequence[Scene]
    ) -> tuple[list[Scene], dict[str, str]]:
        """What may serve a want, best first, and the reprocessings that newer ones replace."""
        area = _area(want)
        if isinstance(item.values, Elevation):
            return [s for s in found if shape(s.footprint).intersects(area)], {}
        timely = [s for s in found if any(s.middle in window for window in want.windows)]
        if isinstance(item.values, Column):
            return newest(s for s in timely if shape(s.footprint).intersects(area))
        covering, superseded = newest(s for s in timely if shape(s.footprint).covers(area))
        covering.sort(key=lambda scene: _preference(scene, want))
        native = [s for s in covering if _foreign(s, want) == 0]
        return (native or covering)[: self.series.max_candidates], superseded

    def _why_none(
        self, item: Product, source: SourceCollection, want: Want, found: Sequence[Scene]
    ) -> str:
        if any(scene.middle in window for scene in found for window in want.windows):
            return "not_covered"
        if self.series.max_scene_cloud_pct is not None:
            windows = _span(source, want.windows)
            if self.finder.search(item, source, _boxes([want]), windows, limit=1):
                return "all_cloud"
        return "no_scene"


def _cannot_serve(item: Product, finder: Finder) -> bool:
    """Whether a product has no operator, or no source whose credentials are there."""
    return all(finder.missing_credentials(source.provider) for source in item.sources)


def _preference(scene: Scene, want: Want) -> tuple[object, ...]:
    """Native grid, then least scene cloud, then nearest to the middle of a window, then id."""
    nearest = min(abs((scene.middle - window.middle).total_seconds()) for window in want.windows)
    return (_foreign(scene, want), scene.properties.get("eo:cloud_cover", 0.0), nearest, scene.id)


def _foreign(scene: Scene, want: Want) -> int:
    """1 if the scene's pixels are known to lie in another CRS than the patch, else 0."""
    if want.patch is None:
        return 0
    codes = {asset.epsg for asset in scene.assets.values() if asset.epsg is not None}
    return int(bool(codes) and want.patch.epsg not in codes)


def _area(want: Want) -> BaseGeometry:
    return shape(want.patch.footprint if want.patch else want.cell.footprint)


def _boxes(wanted: Iterable[Want]) -> list[Bounds]:
    """One box around all areas (two over the antimeridian), a little larger for interpolation."""
    margin = 0.01
    west, south, east, north = zip(*(_want_bounds(want) for want in wanted), strict=True)
    return split_bounds(
        (min(west) - margin, min(south) - margin, max(east) + margin, max(north) + margin)
    )


def _want_bounds(want: Want) -> Bounds:
    """Unwrapped bounds: a patch may overhang its cell, but never by more than itself."""
    west, south, east, north = want.cell.bounds
    if want.patch is None:
        return (west, south, east, north)
    turn = want.cell.lon
    parts = [part.bounds for part in getattr(_area(want), "geoms", [_area(want)])]
    lons = [(lon - turn + 180) % 360 - 180 + turn for b in parts for lon in (b[0], b[2])]
    lats = [lat for b in parts for lat in (b[1], b[3])]
    return (min(lons), min(lats), max(lons), max(lats))


def _uncovered(boxes: Sequence[Bounds], tiles: Sequence[Scene]) -> list[Bounds]:
    """The degree squares that boxes touch and no tile covers the middle of."""
    covers = [shape(tile.footprint) for tile in tiles]
    gaps = []
    for west, south, east, north in boxes:
        for lat in range(int(south // 1), int(-(-north // 1))):
            for lon in range(int(west // 1), int(-(-east // 1))):
                square = box(lon + 0.1, lat + 0.1, lon + 0.9, lat + 0.9)
                if not any(cover.intersects(square) for cover in covers):
                    gaps.append((lon + 0.1, lat + 0.1, lon + 0.9, lat + 0.9))
    return gaps


def _same_tile(tile: Scene, tiles: Sequence[Scene]) -> bool:
    middle = shape(tile.footprint).centroid
    return any(shape(other.footprint).contains(middle) for other in tiles)


def _union(groups: Iterable[tuple[Window, ...]]) -> tuple[Window, ...]:
    """Windows merged where they touch or overlap."""
    merged: list[Window] = []
    for window in sorted({window for group in groups for window in group}):
        if merged and window.start <= merged[-1].end:
            merged[-1] = Window(merged[-1].start, max(merged[-1].end, window.end))
        else:
            merged.append(window)
    return tuple(merged)


def _span(source: SourceCollection, windows: Sequence[Window]) -> tuple[Window, ...]:
    """Windows cut to the days that a source is good for."""
    clipped = []
    for window in windows:
        start, end = window.start, window.end
        if source.since:
            start = max(start, date_windows(((source.since, source.since),))[0].start)
        if source.until:
            end = min(end, date_windows(((source.until, source.until),))[0].start)
        if start < end:
            clipped.append(Window(start, end))
    return tuple(clipped)


def _in_span(source: SourceCollection, windows: Sequence[Window]) -> bool:
    return bool(_span(source, windows))


def blocks(cells: Iterable[Cell]) -> Iterator[list[Cell]]:
    """Cells grouped by their 2.5° block, in order."""
    for _, group in groupby(
        sorted(set(cells), key=lambda c: (c.block, c.id)), key=lambda c: c.block
    ):
        yield list(group)


def select(recipe: Recipe, products: Collection[str]) -> Recipe:
    """A recipe cut down to some products; empty means all.

    Raises:
        ConfigError: a product is not in the recipe.
    """
    if not products:
        return recipe
    offered = {name for series in recipe.series for name in series.products}
    for name in products:
        product(name)
        if name not in offered:
            raise ConfigError(
                f"recipe {recipe.id} has no product {name!r}: it has {', '.join(sorted(offered))}"
            )
    kept = [
        series.model_copy(update={"products": chosen})
        for series in recipe.series
        if (chosen := tuple(name for name in series.products if name in products))
    ]
    leaders = {series.modality for series in kept}
    # A series that takes its slots from another keeps doing so when the other is not harvested.
    for series in recipe.series:
        if series.modality not in leaders and any(k.pairs_with == series.modality for k in kept):
            kept.append(series.model_copy(update={"products": ()}))
    return recipe.model_copy(update={"series": tuple(kept)})


ROW = TypeAdapter(PlanRow)


def row_to_json(row: PlanRow) -> str:
    """A plan row as one line of JSON; `row_from_json` reads it back."""
    document = ROW.dump_python(row, mode="json")
    document["slot"] = row.slot.id
    return json.dumps(document, separators=(",", ":"))


def row_from_json(line: str) -> PlanRow:
    """Read a stored plan row.

    Raises:
        ConfigError: the line is not a plan row.
    """
    from stac_lake.types import Slot

    try:
        document = json.loads(line)
        slot = Slot.from_id(document.pop("slot"))
        placeholder = {
            "product": slot.product,
            "cell": {"id": slot.cell.id},
            "patch": None,
            "name": slot.name,
        }
        return replace(ROW.validate_python({**document, "slot": placeholder}), slot=slot)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"not a plan row: {error}") from error
