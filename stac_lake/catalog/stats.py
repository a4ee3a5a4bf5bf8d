"""Mean, spread and range of bands, pooled from what items state of themselves: no pixel is read.

Every item carries count, mean and standard deviation of the valid pixels of each band, so that
those of any set of items follow exactly. What does not follow, quantiles and histograms, is read
off the pixels by `stac_lake.atlas.statistics`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stac_lake.recipe import COMPANIONS


@dataclass(frozen=True, slots=True)
class Moments:
    """Weighted moments of numbers, mergeable in any grouping.

    Attributes:
        count: How many numbers.
        weight: Sum of their weights.
        mean: Weighted.
        spread: Σ weight · (number − mean)².
        minimum: The least.
        maximum: The greatest.
    """

    count: int = 0
    weight: float = 0.0
    mean: float = 0.0
    spread: float = 0.0
    minimum: float = math.inf
    maximum: float = -math.inf

    def __add__(self, other: Moments) -> Moments:
        """Moments of both. Source: Chan, Golub and LeVeque 1979, equations 2.1."""
        weight = self.weight + other.weight
        if not weight:
            return self
        share = other.weight / weight
        delta = other.mean - self.mean
        return Moments(
            self.count + other.count,
            weight,
            self.mean + delta * share,
            self.spread + other.spread + delta * delta * self.weight * share,
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
        )

    @property
    def stddev(self) -> float:
        """Of the population, as `numpy.std`; 0 without numbers."""
        return math.sqrt(self.spread / self.weight) if self.weight else 0.0


def item_moments(item: Mapping[str, Any], weight: float = 1.0) -> dict[str, Moments]:
    """Moments of the bands of an Item, by its own statistics; by band name.

    Bands that accompany values (`qa`, n_orbits, std) and those without a valid pixel are left out.

    Args:
        item: The document.
        weight: Of each of its pixels.
    """
    rows, columns = item["properties"]["proj:shape"]
    found = {}
    for band in item["assets"]["data"]["bands"]:
        stated = band.get("statistics", {})
        if band["name"] in COMPANIONS or "mean" not in stated:
            continue
        # The share has six decimals: enough to tell the pixels of the largest chip.
        count = round(rows * columns * stated["valid_percent"] / 100)
        found[band["name"]] = Moments(
            count,
            weight * count,
            stated["mean"],
            weight * count * stated["stddev"] ** 2,
            stated["minimum"],
            stated["maximum"],
        )
    return found


def pooled(items: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Moments]]:
    """Product → band → moments over the valid pixels of some Items."""
    found: dict[str, dict[str, Moments]] = {}
    for item in items:
        bands = found.setdefault(item["properties"]["lake:product"], {})
        for name, moments in item_moments(item).items():
            bands[name] = bands.get(name, Moments()) + moments
    return found


def band_summaries(items: Iterable[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """`lake:bands` of a Collection's summaries: product → bands with their statistics.

    Args:
        items: All items of the Collection.
    """
    return {
        product: [
            {
                "name": name,
                "statistics": {
                    "count": moments.count,
                    "minimum": moments.minimum,
                    "maximum": moments.maximum,
                    "mean": moments.mean,
                    "stddev": moments.stddev,
                },
            }
            for name, moments in bands.items()
        ]
        for product, bands in sorted(pooled(items).items())
        if bands
    }
