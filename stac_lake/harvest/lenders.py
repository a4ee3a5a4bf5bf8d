"""Masks that a scene lacks, from another product's scene of the same acquisition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from stac_lake.recipe import Mask, Optical, Product, SourceCollection, product
from stac_lake.types import Scene, Window
from stac_lake.upstream import newest

Search = Callable[[Product, SourceCollection, Sequence[Window]], list[Scene]]
"""All scenes of a source around given times."""

_MARGIN = timedelta(minutes=1)
"""Two levels of one acquisition may be dated by the start of the datatake, or by the tile."""


def with_lent_masks(
    item: Product, source: SourceCollection, scenes: Sequence[Scene], search: Search
) -> list[Scene]:
    """The scenes, those without a mask of their own with the file of the product that lends it.

    Sentinel-2 L1C of baselines before 04.00 takes the classification of L2A this way. A scene whose
    acquisition the lender does not have stays without a mask.

    Args:
        item: What the scenes serve.
        source: Where they come from; the lender's is of the same provider.
        scenes: From `source`.
        search: Only called if something is to be lent.

    Raises:
        ProviderUnavailable: the lender could not be searched.
    """
    found = list(scenes)
    if not isinstance(item.values, Optical):
        return found
    own = {mask.asset for mask in item.values.masks if not mask.of}
    for mask in item.values.masks:
        lender = _lender(mask, source)
        lacking = [s for s in found if not (own | {mask.asset}) & set(s.assets)]
        if mask.of is None or lender is None or not lacking:
            continue
        times = [Window(s.start - _MARGIN, s.end + _MARGIN) for s in lacking]
        lent, _ = newest(search(product(mask.of), lender, times))
        files = {s.acquisition: s.assets[mask.asset] for s in lent if mask.asset in s.assets}
        found = [
            replace(s, assets={**s.assets, mask.asset: files[s.acquisition]})
            if s in lacking and s.acquisition in files
            else s
            for s in found
        ]
    return found


def _lender(mask: Mask, source: SourceCollection) -> SourceCollection | None:
    if mask.of is None:
        return None
    return next((s for s in product(mask.of).sources if s.provider == source.provider), None)
