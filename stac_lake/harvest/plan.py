"""Wants → plan rows: which product serves a slot, and from which scenes.

One search per block of cells and product source. Products of a series are asked in the recipe's
order and the sources of a product in the catalogue's; a slot goes to the first that has a scene. A
slot that nobody can serve stays under the series' first product, with that product's reason.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from stac_lake.errors import ConfigError
from stac_lake.grid import Cell
from stac_lake.harvest.candidates import BlockSearch, Finder
from stac_lake.harvest.slots import Want, wants
from stac_lake.recipe import Column, Product, Recipe, Series, digest, product
from stac_lake.types import Outcome, PlanRow


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
        ended = (self.tried.get(want.slot(item.id).id) for item, _ in candidates)
        if any(outcome is not None and outcome.state == "failed" for outcome in ended):
            return None
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
    """Plan one series for cells that lie together.

    Args:
        recipe: The recipe.
        series: One of its series.
        cells: Cells of one wave.
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
    search = BlockSearch(series, finder, frozenset(without))
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


def _cannot_serve(item: Product, finder: Finder) -> bool:
    """Whether a product has no source whose credentials are there."""
    return all(finder.missing_credentials(source.provider) for source in item.sources)


def waves(
    several: Sequence[Series], cells: Iterable[Cell]
) -> Iterator[tuple[list[Cell], list[Series]]]:
    """Cells and series that are planned and worked together.

    A 2.5° block at a time; but a granule of Sentinel-5P crosses hundreds of them, and to open it
    for each would read it many times over. Columns go through the cells of 30° at once, one series
    after the other, before the blocks.
    """
    wide = [s for s in several if isinstance(product(s.products[0]).values, Column)]
    narrow = [series for series in several if series not in wide]
    for region in _grouped(cells, lambda cell: (cell.block[0] // 12, cell.block[1] // 12)):
        inside = list(_grouped(region, lambda cell: cell.block))
        if len(inside) == 1:
            yield region, list(several)
            continue
        for series in wide:
            yield region, [series]
        if narrow:
            for block in inside:
                yield block, narrow


def _grouped(cells: Iterable[Cell], key: Callable[[Cell], tuple[int, int]]) -> Iterator[list[Cell]]:
    for _, group in groupby(sorted(set(cells), key=lambda c: (key(c), c.id)), key=key):
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
