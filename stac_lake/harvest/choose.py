"""Measures → which candidate is cut first. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stac_lake.recipe import Product, Radiance
from stac_lake.types import Measure, PlanRow, Reason, Scene

FULL_PCT = 100.0
RADAR_PCT = 95.0
"""Terrain-corrected radar has holes in layover and shadow: asking for all would lose mountains."""
OVERCAST_PCT = 99.95
"""From here on, nothing of the ground is seen at the two decimals that shares are given with."""


@dataclass(frozen=True)
class Choice:
    """Scenes worth cutting, best first.

    Attributes:
        scenes: In the order in which they are tried.
        losers: The others: scene id → why.
        reason: Why no scene is left, else None.
    """

    scenes: tuple[Scene, ...]
    losers: dict[str, str]
    reason: Reason | None = None


def choose(product: Product, row: PlanRow, measures: Mapping[str, Measure]) -> Choice:
    """Order a row's candidates by what their masks say.

    A scene must see the whole chip (radar: nearly). Sentinel-2 takes the least cloud of the crop;
    OLCI the least bright share among those with enough sun, then not time-critical products, then
    the id; other ties keep the plan's order, which is deterministic.

    Args:
        product: The effective product.
        row: Plan row.
        measures: By scene id; a candidate without one was not opened.
    """
    usable: list[tuple[tuple[Any, ...], float, Scene]] = []
    losers: dict[str, str] = {}
    clouded = False
    for order, scene in enumerate(row.candidates):
        measure = measures.get(scene.id)
        if measure is None:
            losers[scene.id] = "not opened"
        elif measure.error:
            losers[scene.id] = measure.error
        elif measure.observed_pct < _needed_pct(product):
            losers[scene.id] = f"not_covered: {measure.observed_pct:.2f} % observed"
        elif _too_dark(product, measure):
            losers[scene.id] = f"sun zenith {measure.sun_zenith_deg:.1f}°"
        elif (measure.cloud_pct or 0.0) >= OVERCAST_PCT:
            clouded = True
            losers[scene.id] = "all_cloud"
        else:
            badness = _badness(measure, scene)
            usable.append(((badness, *_ties(product, scene, order)), badness, scene))
    usable.sort(key=lambda entry: entry[0])
    scenes = tuple(scene for *_, scene in usable)
    for _, badness, scene in usable[1:]:
        losers[scene.id] = f"{badness:.2f} % cloud, bright or unseen; best {usable[0][1]:.2f} %"
    reason = None if scenes else "all_cloud" if clouded else "not_covered"
    return Choice(scenes, losers, reason)


def is_composite(product: Product) -> bool:
    """Whether a chip is made of all its candidates at once, without a choice."""
    return product.values.operator in {"column", "elevation"}


def opened(product: Product, row: PlanRow) -> tuple[Scene, ...]:
    """The candidates whose masks are read."""
    if isinstance(product.values, Radiance):
        return row.candidates[: product.values.max_opened]
    return row.candidates


def _needed_pct(product: Product) -> float:
    return RADAR_PCT if product.values.operator == "backscatter" else FULL_PCT


def _ties(product: Product, scene: Scene, order: int) -> tuple[Any, ...]:
    """What decides between scenes that are as good: of OLCI not time-critical, then the id."""
    if isinstance(product.values, Radiance):
        return (scene.properties.get("product:timeliness_category") != "NT", scene.id)
    return (order,)


def _badness(measure: Measure, scene: Scene) -> float:
    """What makes a scene worse: cloud, or brightness, or what it has not seen, in percent.

    A crop whose cloud is not known is as cloudy as its scene: a scene must not win by having no
    mask.
    """
    known = (measure.cloud_pct, measure.bright_pct, scene.properties.get("eo:cloud_cover"))
    cloud = next((share for share in known if share is not None), 0.0)
    return float(cloud) + FULL_PCT - measure.observed_pct


def _too_dark(product: Product, measure: Measure) -> bool:
    return (
        isinstance(product.values, Radiance)
        and measure.sun_zenith_deg is not None
        and measure.sun_zenith_deg >= product.values.max_sun_zenith_deg
    )
