"""Recipes: which products in which slots, and what identifies the pixels that come of it."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, date, datetime
from typing import Literal, Self

from pydantic import Field, model_validator

from stac_lake.recipe.sensor import Product
from stac_lake.recipe.strict import Strict
from stac_lake.recipe.values import Column, Resampling
from stac_lake.types import Window


class DaylightBins(Strict):
    """Equal parts of the days of a span on which the noon sun is high enough."""

    count: int = Field(gt=0)
    start: date
    end: date
    max_noon_sun_zenith_deg: float


class Series(Strict):
    """One modality of a recipe: which product, in which slots."""

    modality: str
    products: tuple[str, ...]
    """In order of preference; the first that can be served takes the slot, under its own id."""
    windows: dict[str, tuple[tuple[date, date], ...]] = {}
    """Slot name → half-open date windows, OR-ed."""
    daylight_bins: DaylightBins | None = None
    pairs_with: str | None = None
    """Modality of another series whose slots this one takes over, patch by patch."""
    min_noon_sun_deg: float | None = None
    """A slot whose noon sun stays lower even on the best day of its windows is polar night."""
    polar_night: dict[str, str] = {}
    """Slot name → the annual slot that takes its place in polar night."""
    annual: dict[str, tuple[tuple[date, date], ...]] = {}
    max_scene_cloud_pct: float | None = None
    """Scenes above it are no candidates."""
    max_candidates: int = Field(default=8, gt=0, le=8)
    extra_bands: tuple[str, ...] = ()
    """Optional bands, appended to the bands of the products that have them."""
    grid: Literal["cell", "metric", "native"] | None = None
    """Overrides the product's."""
    resampling: Resampling | None = None
    """Overrides the product's."""
    harmonize: bool | None = None
    """Overrides the product's (Sentinel-2)."""
    qa_above: float | None = None
    """Overrides the product's (Sentinel-5P)."""
    allow_superseded: bool = False
    """Take older collections of Sentinel-5P where there is no newer one; never mixed in a month."""

    def effective(self, product: Product) -> Product:
        """The product with this series' overrides."""
        changes = {
            name: value
            for name in ("resampling", "harmonize", "qa_above")
            if (value := getattr(self, name)) is not None and hasattr(product.values, name)
        }
        sources = product.sources
        if self.allow_superseded and isinstance(product.values, Column):
            changes["collections"] = ("01", "02", "03")
            sources = tuple(source.model_copy(update={"since": None}) for source in sources)
        update = {"values": product.values.model_copy(update=changes), "sources": sources}
        made = product.model_copy(update=update | ({"grid": self.grid} if self.grid else {}))
        offered = {band.name for band in product.optional_bands}
        extra = [name for name in self.extra_bands if name in offered]
        return made.with_bands((*made.band_names, *extra))


class UniformPatches(Strict):
    """That many patches per cell, spread evenly and seeded."""

    uniform: int = Field(gt=0)


class Recipe(Strict):
    """What to harvest."""

    id: str
    title: str
    description: str
    seed: int = 42
    patches: Literal["centre"] | UniformPatches = "centre"
    series: tuple[Series, ...]

    def leader(self, series: Series) -> Series:
        """The series whose slots a series takes over, or itself."""
        if not series.pairs_with:
            return series
        return next(
            one for one in self.series if one.modality == series.pairs_with and not one.pairs_with
        )

    @model_validator(mode="after")
    def _slots_are_defined(self) -> Self:
        paired = {series.modality for series in self.series if not series.pairs_with}
        for series in self.series:
            kinds = [bool(series.windows), bool(series.daylight_bins), bool(series.pairs_with)]
            if sum(kinds) != 1:
                raise ValueError(
                    f"series {series.modality} needs one of windows, daylight_bins, pairs_with"
                )
            if series.pairs_with and series.pairs_with not in paired:
                raise ValueError(
                    f"series {series.modality} pairs with unknown {series.pairs_with!r}"
                )
            names = [*series.windows, *series.annual]
            bad = [name for name in names if not slot_name_allowed(name)]
            unknown = sorted(set(series.polar_night.values()) - set(series.annual))
            if bad or unknown:
                raise ValueError(f"series {series.modality}: bad slot names {bad + unknown}")
        return self


def digest(product: Product, windows: tuple[Window, ...]) -> str:
    """Sixteen hex digits that change whenever the pixels of a slot would.

    It covers the effective product (bands, values, resampling, offsets, sources) and the windows;
    titles and pictures are left out.
    """
    content = product.model_dump(
        mode="json",
        exclude={"title", "description", "license", "attribution", "renders", "optional_bands"},
    )
    spans = [[w.start.isoformat(), w.end.isoformat()] for w in windows]
    text = json.dumps([content, spans], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def date_windows(spans: tuple[tuple[date, date], ...]) -> tuple[Window, ...]:
    """Half-open date spans as UTC windows."""
    return tuple(Window(_midnight(start), _midnight(end)) for start, end in spans)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def slot_name_allowed(name: str) -> bool:
    """Slot names become parts of ids and keys: letters, digits and single hyphens."""
    return re.fullmatch(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*", name) is not None
