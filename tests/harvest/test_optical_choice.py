"""Which scene an optical slot gets, against all candidates read with rasterio; lent masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

import numpy as np
import pytest
import rasterio
from rasterio.windows import from_bounds
from shapely.geometry import mapping, shape

from stac_lake.grid import Bounds, Cell
from stac_lake.harvest.choose import choose
from stac_lake.harvest.plan import Known, plan_block
from stac_lake.harvest.task import Task, measure_rows
from stac_lake.pixels.operators import operator_for
from stac_lake.recipe import Product, Recipe, Series, SourceCollection, product, products, providers
from stac_lake.types import Asset, Measure, PixelGrid, PlanRow, Qa, Scene, Window
from stac_lake.upstream import Upstream
from stac_lake.upstream.standin import Routes
from tests.harvest import small
from tests.harvest.small import KEYS, QUICK

CELL = Cell(772176)
WINDOW = ((date(2021, 6, 1), date(2021, 7, 20)),)
L1C, L2A = product("s2-l1c"), product("s2-l2a")


@pytest.fixture
def upstream(sandbox: str) -> Upstream:
    return Upstream(stand_in=sandbox, environ=KEYS, patience=QUICK)


@dataclass
class Watched:
    """A source that remembers which files were read."""

    inner: object
    read: set[str] = field(default_factory=set)

    def size(self, asset: Asset) -> int:
        return self.inner.size(asset)

    def read_ranges(self, asset: Asset, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        self.read.add(asset.key)
        return self.inner.read_ranges(asset, ranges)


def recipe_of(item: str, patches: object = "centre") -> tuple[Recipe, Series]:
    series = Series(modality="s2", products=(item,), windows={"summer": WINDOW})
    facts = {"id": "t", "title": "t", "description": "t", "patches": patches}
    return Recipe(**facts, series=(series,)), series


def window(sandbox: str, asset: Asset, grid: PixelGrid) -> np.ndarray:
    """A grid's part of an upstream file (band, y, x), by GDAL over HTTP, in the file's pixels."""
    url = Routes(sandbox).route(asset.href, providers()[asset.provider])
    # The route's name would make rasterio look for AWS credentials.
    options = {"AWS_NO_SIGN_REQUEST": "YES", "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
    with rasterio.Env(**options), rasterio.open(url) as dataset:
        assert dataset.crs.to_epsg() == grid.epsg
        part = from_bounds(*grid.bounds, dataset.transform)
        return dataset.read(window=part.round_offsets().round_lengths())


def test_least_cloud_of_the_crop_among_all_that_were_found(sandbox: str, upstream: Upstream):
    recipe, series = recipe_of("s2-l2a", {"uniform": 5})
    plan = plan_block(recipe, series, [CELL], upstream, Known())
    source = Watched(upstream.source)
    table = measure_rows(Task("t", L2A, plan.rows), operator_for(L2A, source))
    assert source.read == {"scl"}
    surprises = 0
    for row in plan.rows:
        grid = L2A.grid_of(row.slot)
        shares = {}
        for scene in row.candidates:
            scl = window(sandbox, scene.assets["scl"], grid)[0]
            assert scl.shape == (132, 132)
            shares[scene.id] = 100 * np.isin(scl, (8, 9, 10)).sum() / (scl != 0).sum()
            assert table[row.slot.id][scene.id].cloud_pct == pytest.approx(shares[scene.id])
        assert len(shares) >= 4
        chosen = choose(L2A, row, table[row.slot.id])
        assert shares[chosen.scenes[0].id] == min(shares.values())
        order = [shares[scene.id] for scene in chosen.scenes]
        assert order == sorted(order)
        by_metadata = sorted(row.candidates, key=lambda s: s.properties["eo:cloud_cover"])
        surprises += [s.id for s in by_metadata][: len(order)] != [s.id for s in chosen.scenes]
    # The scenes' own figures would have given another order in at least one place.
    assert surprises


@pytest.mark.parametrize(("item", "read"), [("s2-l2a", {"scl"}), ("s2-l1c", {"mask", "B01"})])
def test_a_footprint_that_promises_too_much(upstream: Upstream, item: str, read: set[str]):
    """The swath ends in the tile, but the footprint is the tile: pixels decide, before any band."""
    made = products()[item]
    year = Window(datetime(2021, 5, 1, tzinfo=UTC), datetime(2021, 9, 1, tzinfo=UTC))
    scenes = upstream.search(made, made.sources[0], [Cell(772178).bounds], [year])
    scene = next(s for s in scenes if 0.2 < shape(s.footprint).area < 0.4)
    asset = scene.assets["B02"]
    left, top = asset.transform[2], asset.transform[5]
    # Patches without a gap between them: one has to lie on the edge.
    grids = [
        PixelGrid(asset.epsg, (10.0, 0.0, left + k * 2400.0, 0.0, -10.0, top - 48000.0), (264, 264))
        for k in range(45)
    ]
    source = Watched(upstream.source)
    operator = operator_for(made, source)
    (line,) = operator.measure([scene], grids)
    assert source.read == read
    number = next(n for n, m in enumerate(line) if 5 < m.observed_pct < 95)
    measure = line[number]
    chip = operator.cut([scene], [grids[number]])[0]
    seen = 100 * (chip.data[-1] & Qa.OBSERVED != 0).mean()
    # The 60 m band sees the edge in its own pixels.
    assert measure.observed_pct == pytest.approx(seen, abs=1.0)
    liar = replace(scene, footprint=mapping(shape(scene.footprint).envelope))
    row = PlanRow(None, (year,), "d", (liar,))
    chosen = choose(made, row, {scene.id: measure})
    assert (chosen.scenes, chosen.reason) == ((), "not_covered")


def test_a_scene_without_a_mask_does_not_win_by_that():
    def scene(name: str, cloud: float) -> Scene:
        moment = datetime(2021, 6, 1, tzinfo=UTC)
        return Scene(name, "s2-l1c", "cdse", "c", moment, moment, {}, {}, name, "1", "h",
                     properties={"eo:cloud_cover": cloud})  # fmt: skip

    candidates = (scene("unknown", 19.0), scene("known", 1.0))
    row = PlanRow(None, (), "d", candidates)
    measures = {"unknown": Measure("unknown", 100), "known": Measure("known", 100, cloud_pct=3.0)}
    assert [s.id for s in choose(L1C, row, measures).scenes] == ["known", "unknown"]
    measures["known"] = Measure("known", 100, cloud_pct=30.0)
    assert [s.id for s in choose(L1C, row, measures).scenes] == ["unknown", "known"]


# --- masks lent by level 2A ----------------------------------------------------------------------


@dataclass
class Before0400:
    """An upstream whose L1C has no raster masks yet; `lend` is whether there is any L2A."""

    inner: Upstream
    lend: bool = True
    asked: list[str] = field(default_factory=list)

    def missing_credentials(self, provider: str) -> str | None:
        return self.inner.missing_credentials(provider)

    def search(
        self, item: Product, source: SourceCollection, boxes: Sequence[Bounds],
        windows: Sequence[Window], *, max_cloud_pct: float | None = None, limit: int | None = None,
    ) -> list[Scene]:  # fmt: skip
        self.asked.append(source.collection)
        found = self.inner.search(
            item, source, boxes, windows, max_cloud_pct=max_cloud_pct, limit=limit
        )
        if item.id == "s2-l2a":
            return found if self.lend else []
        without = [{k: a for k, a in s.assets.items() if k != "mask"} for s in found]
        return [replace(s, assets=a) for s, a in zip(found, without, strict=True)]


def test_l1c_without_a_mask_takes_the_classification_of_its_l2a(sandbox: str, upstream: Upstream):
    recipe, series = recipe_of("s2-l1c")
    old = Before0400(upstream)
    (row,) = plan_block(recipe, series, [CELL], old, Known()).rows
    assert old.asked == ["sentinel-2-l1c", "sentinel-2-l2a"]
    assert len(row.candidates) >= 4
    grid = L1C.grid_of(row.slot)
    operator = operator_for(L1C, upstream.source)
    table = measure_rows(Task("t", L1C, (row,)), operator)[row.slot.id]
    for scene in row.candidates:
        lent = scene.assets["scl"]
        assert "MSIL2A" in lent.href
        assert scene.id.split("_")[2] in lent.href  # the datatake
        assert scene.id.split("_")[5] in lent.href  # the tile
    chosen = choose(L1C, row, table).scenes[0]
    # By the sandbox's truth: the same pixels out of another provider's L2A.
    twins = upstream.search(L2A, L2A.sources[0], [CELL.bounds], row.windows)
    (twin,) = (s for s in twins if s.acquisition == chosen.acquisition)
    scl = window(sandbox, twin.assets["scl"], grid)[0]
    scl = np.repeat(np.repeat(scl, 2, axis=0), 2, axis=1)
    chip = operator.cut([chosen], [grid])[0]
    assert chip.properties["lake:cloud_source"] == "l2a_scl"
    for flag, classes in ((Qa.CLOUD, (8, 9)), (Qa.SHADOW, (3,)), (Qa.WATER, (6,))):
        assert np.array_equal(chip.data[-1] & flag != 0, np.isin(scl, classes))
    assert (chip.data[-1] & Qa.OBSERVED).all()
    cloudy = 100 * np.isin(scl, (8, 9, 10)).mean()
    assert table[chosen.id].cloud_pct == pytest.approx(cloudy)


def test_l1c_without_a_mask_and_without_l2a_stays_without(upstream: Upstream):
    recipe, series = recipe_of("s2-l1c")
    (row,) = plan_block(recipe, series, [CELL], Before0400(upstream, lend=False), Known()).rows
    assert all("scl" not in scene.assets for scene in row.candidates)
    table = measure_rows(Task("t", L1C, (row,)), operator_for(L1C, upstream.source))
    assert {m.cloud_pct for m in table[row.slot.id].values()} == {None}


def test_nothing_is_asked_of_a_lender_where_all_have_masks(upstream: Upstream):
    recipe, series = recipe_of("s2-l1c")
    asked = []
    search = upstream.search

    def listening(item: Product, source: SourceCollection, *more: object, **options: object):
        asked.append(source.collection)
        return search(item, source, *more, **options)

    upstream.search = listening
    (row,) = plan_block(recipe, series, [CELL], upstream, Known()).rows
    assert asked == ["sentinel-2-l1c"]
    assert all("mask" in scene.assets for scene in row.candidates)


# --- the item ------------------------------------------------------------------------------------


def test_what_decided_the_pixels_is_in_the_item(
    sandbox: str, keys: None, quick: None, disk: str, recipe_file: str
):
    """Baseline, offset, mask, sun and view of the scene that was taken."""
    report = small.run(disk, sandbox, recipe_file, "s2-l1c")
    assert small.states(report) == {small.L1C: "stored"}
    facts = small.item(disk, small.L1C)["properties"]
    upstream = Upstream(stand_in=sandbox, environ=KEYS, patience=QUICK)
    july = Window(datetime(2021, 7, 9, tzinfo=UTC), datetime(2021, 7, 18, tzinfo=UTC))
    found = upstream.search(L1C, L1C.sources[0], [CELL.bounds], [july])
    (scene,) = (s for s in found if s.id == facts["lake:upstream_id"])
    assert facts["lake:baseline"] == "05.00" == f"{scene.id[28:30]}.{scene.id[30:32]}"
    assert (facts["lake:dn_offset"], facts["lake:offset_source"]) == (1000, "baseline")
    assert facts["lake:cloud_source"] == "msk_classi"
    assert facts["lake:scene_cloud_cover_pct"] == scene.properties["eo:cloud_cover"]
    for name in ("sun_elevation", "sun_azimuth", "azimuth", "incidence_angle"):
        assert facts[f"view:{name}"] == scene.properties[f"view:{name}"]
