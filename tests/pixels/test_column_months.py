"""A month of a gas from the plan to the pixels: which granules are in its mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from granules import Lattice, MemorySource, make_scene, tropomi
from shapely.geometry import box, mapping

from stac_lake.grid import Bounds, Cell
from stac_lake.harvest.plan import Known, plan_block
from stac_lake.pixels.column import Column
from stac_lake.recipe import Product, SourceCollection, product, recipe
from stac_lake.types import Chip, PlanRow, Scene, Window, cell_grid

RECIPE = recipe("copernicus-pretrain")
NO2 = product("s5p-no2")
CELL = Cell(772176)
GRANULE = timedelta(minutes=101)


@dataclass
class Shelf:
    """An archive that has what it was given, wherever it is asked."""

    held: Sequence[Scene]

    def missing_credentials(self, provider: str) -> str | None:
        return None

    def search(
        self,
        product: Product,
        source: SourceCollection,
        boxes: Sequence[Bounds],
        windows: Sequence[Window],
        *,
        max_cloud_pct: float | None = None,
        limit: int | None = None,
    ) -> list[Scene]:
        return [s for s in self.held if any(s.start < w.end and s.end >= w.start for w in windows)]


def granule(
    begin: str, orbit: int, value: float, *, processor: str = "020400", collection: str = "03"
) -> tuple[Scene, dict[str, bytes]]:
    """A granule of one value over the cell, that began when it is said."""
    start = datetime.fromisoformat(begin).replace(tzinfo=UTC)
    name = (
        f"S5P_RPRO_L2__NO2____{start:%Y%m%dT%H%M%S}_{start + GRANULE:%Y%m%dT%H%M%S}_{orbit:05d}"
        f"_{collection}_{processor}_20221105T000000"
    )
    lattice = Lattice(CELL.lon, CELL.lat, shape=(24, 26), size=(5.5, 3.5))
    values = np.full(lattice.shape, value)
    data = tropomi(lattice, values, np.full(lattice.shape, 100), name=name)
    scene, files = make_scene(name, NO2.id, {"granule": data})
    footprint: dict[str, Any] = dict(mapping(box(-100, 40, -90, 48)))
    return replace(
        scene, start=start, end=start + GRANULE, footprint=footprint,
        acquisition=f"s5p-no2-{orbit}", version=f"{collection} {processor} 20221105T000000",
    ), files  # fmt: skip


def month(name: str, made: Sequence[tuple[Scene, dict[str, bytes]]]) -> tuple[PlanRow, Any]:
    """The plan's row of a month, and what is cut from it."""
    series = next(s for s in RECIPE.series if s.modality == "no2")
    shelf = Shelf([scene for scene, _ in made])
    (row,) = [r for r in plan_block(RECIPE, series, [CELL], shelf, Known()).rows
              if r.slot.name == name]  # fmt: skip
    source = MemorySource({key: data for _, files in made for key, data in files.items()})
    (chip,) = Column(series.effective(NO2), source).cut(row.candidates, [cell_grid(CELL, 28)])
    return row, chip


def test_december_ends_with_the_year() -> None:
    made = [
        granule("2021-11-30T23:00:00", 1, 100e-5),  # its middle is ten minutes before the month
        granule("2021-11-30T23:20:00", 2, 1e-5),
        granule("2021-12-15T19:00:00", 3, 2e-5),
        granule("2021-12-31T19:00:00", 4, 4e-5),
        granule("2021-12-31T23:00:00", 5, 8e-5),
        granule("2021-12-31T23:20:00", 6, 100e-5),  # its middle is ten minutes after
    ]
    row, chip = month("2021-12", made)
    assert (row.windows[0].start, row.windows[0].end) == (
        datetime(2021, 12, 1, tzinfo=UTC), datetime(2022, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    assert isinstance(chip, Chip)
    assert [int(scene.id.split("_")[-4]) for scene in chip.scenes] == [2, 3, 4, 5]
    columns = np.array([1e-5, 2e-5, 4e-5, 8e-5])
    np.testing.assert_allclose(chip.data[0], columns.mean(), rtol=1e-6)
    np.testing.assert_array_equal(chip.data[1], 4)
    np.testing.assert_allclose(chip.data[2], columns.std(ddof=1), rtol=1e-6)
    # The month before ends where this one begins.
    assert [s.id for s in month("2021-11", made)[1].scenes] == [made[0][0].id]


def test_of_an_orbit_the_newest_reprocessing_counts_once() -> None:
    made = [
        granule("2021-03-05T18:00:00", 1, 9e-5, processor="020301"),
        granule("2021-03-05T18:00:00", 1, 1e-5),
        granule("2021-03-06T18:00:00", 2, 3e-5),
    ]
    row, chip = month("2021-03", made)
    assert list(row.superseded) == [made[0][0].id]
    np.testing.assert_array_equal(chip.data[1], 2)
    np.testing.assert_allclose(chip.data[0], 2e-5, rtol=1e-6)


@pytest.mark.parametrize("old", ["01", "02"])
def test_a_month_keeps_to_one_collection(old: str) -> None:
    made = [
        granule("2021-03-05T18:00:00", 1, 9e-5, collection=old, processor=f"{old}0300"),
        granule("2021-03-06T18:00:00", 2, 3e-5),
    ]
    _, chip = month("2021-03", made)
    np.testing.assert_array_equal(chip.data[1], 1)
    np.testing.assert_allclose(chip.data[0], 3e-5, rtol=1e-6)
