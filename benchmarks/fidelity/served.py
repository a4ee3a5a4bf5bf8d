"""Crops out of the sandbox, planned, chosen, cut and encoded as a harvest does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from rasterio.io import MemoryFile

from benchmarks.fidelity.bench import Bench
from benchmarks.fidelity.rows import Figure
from stac_lake.harvest.choose import choose, is_composite
from stac_lake.harvest.plan import Known, plan_block
from stac_lake.harvest.task import Task, measure_rows, operator_of
from stac_lake.pixels.cog import encode_cog
from stac_lake.recipe import Product, Recipe, Series, product
from stac_lake.types import Chip, PlanRow, Scene
from stac_lake.upstream.upstream import Upstream
from tests.everywhere import everywhere_fields as fields
from tests.everywhere.everywhere_sites import Site


@dataclass(frozen=True)
class Stored:
    """A crop as rasterio reads it from the file that a lake would hold.

    Attributes:
        data: (band, y, x).
        transform: Pixel corner to CRS.
        epsg: CRS.
        bands: Names in file order.
        scene: That it was cut from, the first of a composite.
    """

    data: Any
    transform: Any
    epsg: int
    bands: tuple[str, ...]
    scene: Scene

    def band(self, name: str) -> Any:
        return self.data[self.bands.index(name)]

    @property
    def centres(self) -> tuple[Any, Any]:
        """X and y of the pixels."""
        found: tuple[Any, Any] = fields.centres(self.transform, self.data.shape[1:])
        return found

    def displacement(self, band: str, field: Callable[..., Any], where: Any = None) -> Figure:
        """By how many pixels a band lies beside a field, in the worse direction.

        Least squares of the first-order displacement (Lucas and Kanade 1981).
        """
        data = self.band(band).astype(np.float64)
        seen = np.isfinite(data) if where is None else where & np.isfinite(data)
        every = max(1, data.shape[0] // 240)
        moved = fields.displacement(data, field, self.transform, seen, every)
        return Figure(max(abs(part) for part in moved))


def served(
    bench: Bench, name: str, site: Site, bands: Sequence[str] = (), candidates: int = 1
) -> Stored:
    """One crop of the light half of the year, of some of a product's bands."""
    of = product(name)
    of = of.with_bands(bands) if bands else of
    row = bench.once((name, site.name), lambda: _planned(bench, of, site, candidates))
    upstream = bench.once("upstream", lambda: Upstream(stand_in=bench.origin))

    def make() -> tuple[Chip, bytes]:
        task = Task("fidelity", of, (row,))
        operator = operator_of(task, upstream.source)
        scenes = row.candidates
        if not is_composite(of):
            choice = choose(of, row, measure_rows(task, operator)[row.slot.id])
            assert choice.scenes, choice
            scenes = choice.scenes[:1]
        (chip,) = operator.cut(scenes, [of.grid_of(row.slot)])
        assert isinstance(chip, Chip), chip
        return chip, encode_cog(chip, of.with_bands(chip.bands)).data

    # The stand-in makes its files as they are read: the first time is not ours.
    bench.once(("made", name, site.name), make)
    chip, data = bench.made(make)
    with MemoryFile(data) as memory, memory.open() as file:
        return Stored(
            file.read(), file.transform, file.crs.to_epsg(), file.descriptions, chip.scenes[0]
        )


def _planned(bench: Bench, of: Product, site: Site, candidates: int) -> PlanRow:
    light = date(2021, 6, 20) if site.lat >= 0 else date(2021, 12, 20)
    days = timedelta(days=31 if abs(site.lat) < 63 else 7)
    windows = (light, light + days)
    if of.id == "dem-glo30":
        windows = (date(2021, 4, 22), date(2021, 4, 23))
    series = Series(
        modality=of.modality,
        products=(of.id,),
        windows={"light": (windows,)},
        max_candidates=candidates,
    )
    recipe = Recipe(id="fidelity", title="Fidelity", description="One slot.", series=(series,))
    upstream = Upstream(stand_in=bench.origin)
    (row,) = plan_block(recipe, series, [site.cell], upstream, Known()).rows
    assert row.candidates, row
    return row
