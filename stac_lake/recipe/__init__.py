"""Typed models of the YAML in `catalogs/`: providers, products, recipes.

    strict ─► values ─► sensor (Provider, Product) ─► series (Series, Recipe) ─► catalogs

Vocabularies are closed: an unknown key is refused with the file, the key and what is allowed. There
is no expression language; where a value depends on an item, code reads it from the item.
"""

from stac_lake.recipe.catalogs import catalogs_dir, product, products, providers, recipe
from stac_lake.recipe.sensor import (
    COMPANIONS,
    MODALITIES,
    Band,
    Product,
    Provider,
    SourceCollection,
)
from stac_lake.recipe.series import (
    DaylightBins,
    Recipe,
    Series,
    UniformPatches,
    date_windows,
    digest,
    slot_name_allowed,
)
from stac_lake.recipe.strict import known, load_yaml
from stac_lake.recipe.values import (
    Backscatter,
    Column,
    Elevation,
    FlagFile,
    Mask,
    Offset,
    OffsetCheck,
    Optical,
    Radiance,
    Resampling,
    Sigma0,
)

__all__ = [
    "COMPANIONS",
    "MODALITIES",
    "Backscatter",
    "Band",
    "Column",
    "DaylightBins",
    "Elevation",
    "FlagFile",
    "Mask",
    "Offset",
    "OffsetCheck",
    "Optical",
    "Product",
    "Provider",
    "Radiance",
    "Recipe",
    "Resampling",
    "Series",
    "Sigma0",
    "SourceCollection",
    "UniformPatches",
    "catalogs_dir",
    "date_windows",
    "digest",
    "known",
    "load_yaml",
    "product",
    "products",
    "providers",
    "recipe",
    "slot_name_allowed",
]
