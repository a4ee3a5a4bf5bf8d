"""A lake with all the awkward places in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import rasterio
import requests

from stac_lake import recipe
from stac_lake.harvest.run import Harvest
from stac_lake.harvest.task import Context
from stac_lake.recipe import Recipe
from stac_lake.types import Outcome, Slot
from tests.everywhere.everywhere_sites import SITES, SLOTS, Site, recipe_of, with_few_bands
from tests.harvest import small
from tests.harvest.conftest import _no_look_outside, keys, origin

__all__ = ["_no_look_outside", "keys", "origin"]


@dataclass(frozen=True)
class Pixels:
    """A stored item and its file, as rasterio reads it."""

    document: dict[str, Any]
    data: Any
    transform: Any
    bands: tuple[str, ...]
    epsg: int
    bounds: tuple[float, float, float, float]

    @property
    def properties(self) -> dict[str, Any]:
        properties: dict[str, Any] = self.document["properties"]
        return properties

    def band(self, name: str) -> Any:
        return self.data[self.bands.index(name)]


@dataclass(frozen=True)
class Harvested:
    """Where the lake is, how its slots ended, and the stand-in that it came from."""

    path: str
    outcomes: dict[str, Outcome]
    origin: str
    documents: dict[str, dict[str, Any]]

    def ends(self, site: Site) -> dict[str, str]:
        """Product → ``stored``, or why its slot is not."""
        return {
            Slot.from_id(slot).product: outcome.reason or outcome.state
            for slot, outcome in self.outcomes.items()
            if Slot.from_id(slot).cell == site.cell
        }

    def item(self, site: Site, product: str) -> dict[str, Any]:
        (found,) = (
            document
            for document in self.documents.values()
            if document["properties"]["lake:product"] == product
            and document["properties"]["grid:code"] == site.cell.code
        )
        return found

    def pixels(self, site: Site, product: str) -> Pixels:
        document = self.item(site, product)
        return read(document, small.tif(self.path, document["id"]))

    def upstream(self, document: dict[str, Any]) -> dict[str, Any]:
        """The upstream document that an item names as its source."""
        href = next(link["href"] for link in document["links"] if link["rel"] == "derived_from")
        path = href.split("/", 3)[3]
        provider = document["properties"]["lake:provider"]
        answer = requests.get(f"{self.origin}/{provider}/{path}", timeout=60)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


def read(document: dict[str, Any], path: Path) -> Pixels:
    """An item with its file."""
    with rasterio.open(path) as source:
        return Pixels(
            document,
            source.read(),
            source.transform,
            source.descriptions,
            source.crs.to_epsg(),
            tuple(source.bounds),
        )


def harvest(path: str, origin: str, what: Recipe) -> Harvest:
    return Harvest(Context(path, origin), what, workers=2)


@pytest.fixture(scope="module", autouse=True)
def _few_bands() -> Iterator[None]:
    """Products are those of the catalogue, with fewer bands."""
    few = with_few_bands()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe.catalogs, "products", lambda: few)
        yield


@pytest.fixture(scope="module")
def lake(origin: str, _few_bands: None, tmp_path_factory: pytest.TempPathFactory) -> Harvested:
    """One item of each product of each place, as far as there are any."""
    path = str(tmp_path_factory.mktemp("everywhere") / "lake")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in small.KEYS.items():
            patch.setenv(name, value)
        return _harvested(path, origin)


def _harvested(path: str, origin: str) -> Harvested:
    together: dict[str, list[Site]] = {}
    for site in SITES:
        together.setdefault(recipe_of(site).model_dump_json(), []).append(site)
    outcomes: dict[str, Outcome] = {}
    for sites in together.values():
        report = harvest(path, origin, recipe_of(sites[0])).run([site.cell for site in sites])
        outcomes |= report.outcomes
    documents = {name.split("/")[0]: item for name, item in small.items(path).items()}
    return Harvested(path, outcomes, origin, documents)


assert set(SLOTS) >= {name for site in SITES for name in site.ends}
