"""Which place of a training sample an item fills, and how large the sample is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from stac_lake.errors import ConfigError
from stac_lake.recipe import Recipe, product


@dataclass(frozen=True)
class SeriesShape:
    """The fixed shape of one modality in a sample.

    Attributes:
        product: Whose items fill it.
        positions: Slot name → index on the time axis; an annual slot takes the place of the season
            that it stands in for.
        bands: How many, without `qa` (and n_orbits, std).
        pixels: Rows and columns.
        per_patch: Whether it has one series per patch.
    """

    product: str
    positions: Mapping[str, int]
    bands: int
    pixels: int
    per_patch: bool

    @property
    def times(self) -> int:
        return max(self.positions.values()) + 1


def series_shapes(recipe: Recipe, chosen: Mapping[str, str]) -> dict[str, SeriesShape]:
    """Shapes by modality, in the recipe's order.

    Args:
        recipe: Says which slots a series has.
        chosen: Modality → product.
    """
    shapes = {}
    for series in recipe.series:
        if series.modality not in chosen:
            continue
        leader = recipe.leader(series)
        names = list(leader.windows)
        if leader.daylight_bins:
            names = [f"b{index + 1}" for index in range(leader.daylight_bins.count)]
        positions = {name: index for index, name in enumerate(names)}
        for season, annual in leader.polar_night.items():
            positions[annual] = positions[season]
        item = product(chosen[series.modality])
        shapes[series.modality] = SeriesShape(
            item.id, positions, len(item.value_bands), item.pixels, item.unit_of == "patch"
        )
    return shapes


def band_facts(name: str) -> dict[str, list[float]]:
    """Centre wavelengths and widths of a product's bands in nanometres, NaN where it has none."""
    bands, nan = product(name).value_bands, float("nan")
    return {
        "wavelength_nm": [nan if b.wavelength_nm is None else b.wavelength_nm for b in bands],
        "width_nm": [nan if b.width_nm is None else b.width_nm for b in bands],
    }


def choose_products(
    recipe: Recipe, items: Collection[str], wanted: Sequence[str]
) -> dict[str, str]:
    """Modality → product: the wanted one, else the recipe's first that has items.

    Args:
        recipe: Gives the order of preference.
        items: Products that have items.
        wanted: Products named by the caller.

    Raises:
        ConfigError: an unknown product, or two wanted ones of one modality.
    """
    chosen: dict[str, str] = {}
    for name in wanted:
        other = chosen.setdefault(product(name).modality, name)
        if other != name:
            raise ConfigError(f"{other} and {name} are of one modality: name one of them")
    for series in recipe.series:
        present = [name for name in series.products if name in items]
        if series.modality not in chosen and present:
            chosen[series.modality] = present[0]
    return chosen
