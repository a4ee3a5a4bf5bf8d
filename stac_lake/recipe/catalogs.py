"""The YAML files of `catalogs/`, by id."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from stac_lake.errors import ConfigError
from stac_lake.recipe.sensor import Product, Provider
from stac_lake.recipe.series import Recipe
from stac_lake.recipe.strict import known, load_yaml


def catalogs_dir() -> Path:
    """The folder of YAML that came with the package, or the checkout's own."""
    package = Path(__file__).parents[1]
    installed = package / "catalogs"
    return installed if installed.is_dir() else package.parent / "catalogs"


@lru_cache
def providers() -> Mapping[str, Provider]:
    """All providers, by id."""
    return {
        p.stem: load_yaml(p, Provider)
        for p in sorted((catalogs_dir() / "providers").glob("*.yaml"))
    }


@lru_cache
def products() -> Mapping[str, Product]:
    """All products, by id.

    Raises:
        ConfigError: a source names a provider that does not exist.
    """
    loaded = {
        p.stem: load_yaml(p, Product) for p in sorted((catalogs_dir() / "products").glob("*.yaml"))
    }
    for product in loaded.values():
        for source in product.sources:
            known(source.provider, providers(), f"provider of product {product.id}")
    return loaded


def product(name: str) -> Product:
    """One product by id; raises ConfigError with a suggestion."""
    return known(name, products(), "product")


def recipe(name: str) -> Recipe:
    """A recipe by id, or by the path of a YAML file.

    Raises:
        ConfigError: there is no such recipe, or it names a product that does not exist.
    """
    path = Path(name)
    if path.suffix not in {".yaml", ".yml"}:
        paths = {p.stem: p for p in sorted((catalogs_dir() / "recipes").glob("*.yaml"))}
        path = known(name, paths, "recipe")
    loaded = load_yaml(path, Recipe)
    for series in loaded.series:
        if series.grid == "native" and series.modality != "dem":
            raise ConfigError(f"{path}: grid native is for dem, not for {series.modality}")
        for identifier in series.products:
            if product(identifier).modality != series.modality:
                raise ConfigError(f"{path}: {identifier} is not of modality {series.modality}")
        offered = {b.name: b for name in series.products for b in product(name).optional_bands}
        for extra in series.extra_bands:
            known(extra, offered, f"optional band of {', '.join(series.products)}")
    return loaded
