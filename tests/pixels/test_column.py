"""Trace gas composites against exact areas by shapely in an equal-area plane."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import pytest
import shapely
from granules import FILL, Lattice, MemorySource, make_scene, tropomi
from pyproj import Proj
from scipy.spatial import cKDTree

from stac_lake.errors import AssetMissing, BadRaster, ConfigError, ProviderUnavailable
from stac_lake.grid import Cell, cell_at
from stac_lake.pixels.column import Column
from stac_lake.recipe import product
from stac_lake.types import Chip, PixelGrid, Scene, cell_grid

NO2 = product("s5p-no2")
CO = product("s5p-co")
LOOSE_NO2 = NO2.model_copy(update={"values": NO2.values.model_copy(update={"qa_above": 0.5})})
"""With the threshold of the original data set."""
KM = 1000.0
CELLS = {
    "mid-latitude": Cell(772176),
    "antarctic": Cell(123456),
    "antimeridian": cell_at(-180.0, 52.0),
    "equator": cell_at(0.0, 0.0),
    "85 north": cell_at(20.0, 85.0),
    "85 south": cell_at(180.0, -85.0),
    "arctic": cell_at(33.0, 88.0),
    "pole": cell_at(30.0, 90.0),
    "south pole": cell_at(-180.0, -90.0),
}


@dataclass
class Orbit:
    """One granule: footprints around a point, their values, their qa in percent."""

    lattice: Lattice
    values: Any
    qa: Any
    number: int = 18000
    collection: str = "03"
    processor: str = "020400"

    @property
    def name(self) -> str:
        return (
            f"S5P_RPRO_L2__NO2____20210305T160000_20210305T174000_{self.number:05d}"
            f"_{self.collection}_{self.processor}_20221105T000000"
        )

    def scene(self, **changes: Any) -> tuple[Scene, dict[str, bytes]]:
        data = tropomi(self.lattice, self.values, self.qa, name=self.name, **changes)
        return make_scene(self.name, NO2.id, {"granule": data})


def orbit(cell: Cell, seed: int = 0, **changes: Any) -> Orbit:
    """Footprints of 5.5 × 3.5 km with independent values: nothing smooth hides a misplacement."""
    options = {"heading": 345.0 + 7 * seed, "shape": (24, 26), "size": (5.5, 3.5), **changes}
    number = options.pop("number", 18000 + seed)
    lattice = Lattice(cell.lon + 0.03 * seed, cell.lat, **options)
    rng = np.random.default_rng(seed)
    values = rng.uniform(-5e-5, 6e-5, lattice.shape)
    return Orbit(lattice, values, np.full(lattice.shape, 100), number)


def cut(orbits: list[Orbit], *grids: PixelGrid) -> tuple[list[Chip | str], MemorySource]:
    scenes, files = [], {}
    for one in orbits:
        scene, more = one.scene()
        scenes.append(scene)
        files.update(more)
    source = MemorySource(files)
    return Column(NO2, source).cut(scenes, grids), source


def only(chips: list[Chip | str]) -> Chip:
    (chip,) = chips
    assert isinstance(chip, Chip)
    return chip


def exact(one: Orbit, cell: Cell, threshold: int = 75) -> tuple[Any, Any]:
    """Area-weighted mean and coverage of each pixel, by clipping in a Lambert equal-area plane."""
    plane = Proj(proj="laea", lon_0=cell.lon, lat_0=cell.lat, R=6371008.8)
    row, column = np.nonzero((np.asarray(one.qa) > threshold) & np.isfinite(one.values))
    ring = np.array([(-0.5, -0.5), (-0.5, 0.5), (0.5, 0.5), (0.5, -0.5)])
    lon, lat = one.lattice.at(row[:, None] + ring[:, 0], column[:, None] + ring[:, 1])
    feet = shapely.polygons(np.stack(plane(lon, lat), axis=-1))
    west, _, _, north = cell.bounds
    step = 0.25 / 28
    edge = np.linspace(0, 1, 5)[:-1]
    turn = np.concatenate(
        [(edge, 0 * edge), (1 + 0 * edge, edge), (1 - edge, 1 + 0 * edge), (0 * edge, 1 - edge)],
        axis=1,
    )
    y, x = np.indices((28, 28))
    lon = west + step * (x[..., None] + turn[0])
    lat = np.clip(north - step * (y[..., None] + turn[1]), -90, 90)
    pixels = shapely.make_valid(shapely.polygons(np.stack(plane(lon, lat), axis=-1)).ravel())
    area, total, weight = shapely.area(pixels), np.zeros(784), np.zeros(784)
    i, j = shapely.STRtree(feet).query(pixels, predicate="intersects")
    shared = shapely.area(shapely.intersection(pixels[i], feet[j]))
    np.add.at(total, i, shared * one.values[row, column][j])
    np.add.at(weight, i, shared)
    mean = np.divide(total, weight, out=np.full(784, np.nan), where=weight > 0)
    return mean.reshape(28, 28), (weight / np.maximum(area, 1e-9)).reshape(28, 28)


SPREAD = 1.1e-4
"""Of the footprints' values, mol m-2."""


def assert_means(found: Any, expected: Any) -> None:
    """Within 2e-3 of the footprints' spread everywhere, and 2e-4 in the mean square.

    What remains is the oracle's plane, in which great circles are a little bent, and the float32
    of the corners.
    """
    assert np.isfinite(found).all()
    error = np.abs(found - expected) / SPREAD
    assert np.nanmax(error) < 2e-3
    assert np.sqrt(np.nanmean(error**2)) < 2e-4


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())
def test_an_orbit_is_averaged_by_area(cell: Cell) -> None:
    one = orbit(cell)
    chip = only(cut([one], cell_grid(cell, 28))[0])
    assert chip.bands == ("NO2", "n_orbits", "std")
    assert chip.data.shape == (3, 28, 28)
    assert chip.data.dtype == np.float32
    mean, _ = exact(one, cell)
    ground = np.abs(cell_grid(cell, 28).bounds[3] - 0.25 / 28 * (np.arange(28) + 0.5)) <= 90
    assert_means(chip.data[0][ground], mean[ground])
    np.testing.assert_array_equal(chip.data[1], np.where(ground, 1, 0)[:, None] * np.ones(28))
    assert np.isnan(chip.data[0][~ground]).all()
    assert np.isnan(chip.data[2]).all()
    assert (chip.data[0] < 0).any()
    assert chip.properties == {"lake:n_orbits": 1}


@pytest.mark.parametrize("mutation", ["half a pixel", "row flip", "centres only"])
def test_the_comparison_sees(mutation: str) -> None:
    """Errors that are made elsewhere, so that a passing comparison says something."""
    cell = Cell(772176)
    one = orbit(cell)
    found = only(cut([one], cell_grid(cell, 28))[0]).data[0].astype(np.float64)
    expected, _ = exact(one, cell)
    if mutation == "half a pixel":
        found = (found + np.roll(found, 1, axis=1)) / 2
    elif mutation == "row flip":
        found = found[::-1]
    else:
        plane = Proj(proj="laea", lon_0=cell.lon, lat_0=cell.lat, R=6371008.8)
        west, _, _, north = cell.bounds
        middle = 0.25 / 28 * (np.arange(28) + 0.5)
        pixels = np.stack(plane(*np.meshgrid(west + middle, north - middle)), axis=-1)
        centres = np.stack(plane(*one.lattice.centres()), axis=-1).reshape(-1, 2)
        nearest = cKDTree(centres).query(pixels.reshape(-1, 2))[1]
        found = one.values.ravel()[nearest].reshape(28, 28)
    with pytest.raises(AssertionError):
        assert_means(found, expected)


@pytest.mark.parametrize("shape", [(80, 90), (95, 64)])
def test_a_large_granule_is_searched_coarsely_but_completely(shape: tuple[int, int]) -> None:
    """The cell lies anywhere in the granule, also at its last rows and columns."""
    cell = Cell(772176)
    one = orbit(cell, shape=shape)
    for row, column in ((3, 3), (shape[0] - 4, shape[1] - 4), (47, 40)):
        lon, lat = one.lattice.at(row, column)
        near = cell_at(float(lon), float(lat))
        chip = only(cut([one], cell_grid(near, 28))[0])
        mean, cover = exact(one, near)
        counted = chip.data[1] == 1
        clear = np.abs(cover - 0.5) > 1e-3
        np.testing.assert_array_equal(counted[clear], (cover >= 0.5)[clear])
        assert_means(chip.data[0][counted], mean[counted])
    hole = orbit(cell, shape=shape)
    source = cut([hole], cell_grid(cell, 28))[1]
    (href,) = source.files
    whole = only(Column(NO2, source).cut([hole.scene()[0]], [cell_grid(cell, 28)]))
    source.files[href] = _without_centres(source.files[href])
    holed = only(Column(NO2, source).cut([hole.scene()[0]], [cell_grid(cell, 28)]))
    np.testing.assert_array_equal(whole.data, holed.data)


def _without_centres(data: bytes) -> bytes:
    """A granule whose first footprint has no place."""
    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        for axis in ("longitude", "latitude"):
            file[f"PRODUCT/{axis}"][0, 0, 0] = np.float32(FILL)
    return buffer.getvalue()


def test_sums_are_kept_in_double_precision() -> None:
    """Ozone is 0.13 mol m-2, and its days differ by a thousandth: float32 sums would lose it."""
    cell = Cell(772176)
    orbits = [orbit(cell, seed) for seed in range(5)]
    for i, one in enumerate(orbits):
        one.values[...] = np.float32(0.13) + np.float32(1e-6) * i
    chip = only(cut(orbits, cell_grid(cell, 28))[0])
    levels = np.array([np.float32(one.values[0, 0]) for one in orbits], np.float64)
    np.testing.assert_allclose(chip.data[0], levels.mean(), rtol=1e-7)
    np.testing.assert_allclose(chip.data[2], levels.std(ddof=1), rtol=1e-6)


@pytest.mark.parametrize("grid", ["metric", "native"])
def test_only_the_grid_of_degrees_is_drawn(grid: Any) -> None:
    with pytest.raises(ConfigError, match=grid):
        Column(NO2.model_copy(update={"grid": grid}), MemorySource({}))


def test_a_month_is_the_unweighted_mean_of_its_orbits() -> None:
    cell = Cell(772176)
    orbits = [orbit(cell, seed) for seed in range(4)]
    rng = np.random.default_rng(9)
    for one in orbits:
        one.qa = rng.choice([100, 76, 75, 40], one.lattice.shape, p=[0.4, 0.3, 0.2, 0.1])
        one.values[rng.random(one.lattice.shape) < 0.05] = np.nan
    chip = only(cut(orbits, cell_grid(cell, 28))[0])
    means, covers = zip(*(exact(one, cell) for one in orbits), strict=True)
    cover = np.stack(covers)
    stack = np.where(cover >= 0.5, np.stack(means), np.nan)
    clear = (np.abs(cover - 0.5) > 1e-3).all(0)
    assert clear.mean() > 0.98
    n = np.isfinite(stack).sum(0)
    assert {0, 1, 2, 3, 4} >= set(n[clear]) >= {1, 2, 3}
    np.testing.assert_array_equal(chip.data[1][clear], n[clear])
    some, several = clear & (n > 0), clear & (n > 1)
    assert_means(chip.data[0][some], np.nanmean(stack[:, some], axis=0))
    assert_means(chip.data[2][several], np.nanstd(stack[:, several], axis=0, ddof=1))
    np.testing.assert_array_equal(np.isnan(chip.data[0]), chip.data[1] == 0)
    np.testing.assert_array_equal(np.isnan(chip.data[2]), chip.data[1] < 2)
    assert chip.properties["lake:n_orbits"] == chip.data[1].max()
    assert {scene.id for scene in chip.scenes} == {one.name for one in orbits}


def test_wide_footprints_of_a_thin_granule() -> None:
    cell = Cell(772176)
    one = orbit(cell, size=(170.0, 43.0), shape=(12, 14))
    chip = only(cut([one], cell_grid(cell, 28))[0])
    assert_means(chip.data[0], exact(one, cell)[0])


def test_overlapping_footprints_share_a_pixel_by_area() -> None:
    cell = Cell(772176)
    one = orbit(cell)
    scene, files = one.scene()
    # The second granule of the orbit lies on the first, half a footprint further.
    other = orbit(cell, seed=1, heading=345.0, number=one.number)
    other.processor = "020401"  # so that their names differ
    second, more = other.scene()
    chip = only(
        Column(NO2, MemorySource({**files, **more})).cut([scene, second], [cell_grid(cell, 28)])
    )
    assert chip.data[1].max() == 1
    (one_mean, one_cover), (other_mean, other_cover) = exact(one, cell), exact(other, cell)
    expected = (one_mean * one_cover + other_mean * other_cover) / (one_cover + other_cover)
    assert_means(chip.data[0], expected)


@pytest.mark.parametrize(
    ("gas", "path", "qa", "expected"),
    [
        (NO2, "PRODUCT/nitrogendioxide_tropospheric_column", 75, None),
        (NO2, "PRODUCT/nitrogendioxide_tropospheric_column", 76, 1.0),
        (CO, "PRODUCT/carbonmonoxide_total_column_corrected", 49, None),
        (CO, "PRODUCT/carbonmonoxide_total_column_corrected", 50, 1.0),
        (product("s5p-o3"), "PRODUCT/ozone_total_vertical_column", 50, None),
        (product("s5p-o3"), "PRODUCT/ozone_total_vertical_column", 51, 1.0),
        (product("s5p-so2"), "PRODUCT/sulfurdioxide_total_vertical_column", 50, None),
        (product("s5p-so2"), "PRODUCT/sulfurdioxide_total_vertical_column", 51, 1.0),
        (LOOSE_NO2, "PRODUCT/nitrogendioxide_tropospheric_column", 50, None),
        (LOOSE_NO2, "PRODUCT/nitrogendioxide_tropospheric_column", 51, 1.0),
    ],
)
def test_footprints_count_from_the_readmes_threshold_on(
    gas: Any, path: str, qa: int, expected: Any
) -> None:
    cell = Cell(772176)
    one = orbit(cell)
    one.values[...], one.qa[...] = 1.0, qa
    scene, files = one.scene(paths=[path])
    (chip,) = Column(gas, MemorySource(files)).cut([scene], [cell_grid(cell, 28)])
    if expected is None:
        assert chip == "not_covered"
    else:
        assert isinstance(chip, Chip)
        np.testing.assert_allclose(chip.data[0], expected, rtol=1e-6)


@pytest.mark.parametrize(("processor", "factor"), [("010302", 1), ("020400", 2), ("030000", 2)])
def test_the_variable_follows_the_processor(processor: str, factor: int) -> None:
    cell = Cell(772176)
    one = orbit(cell)
    one.values[...], one.processor = 0.03, processor
    name = "PRODUCT/carbonmonoxide_total_column"
    scene, files = one.scene(paths=[name, f"{name}_corrected"])
    chip = only(Column(CO, MemorySource(files)).cut([scene], [cell_grid(cell, 28)]))
    np.testing.assert_allclose(chip.data[0], 0.03 * factor, rtol=1e-6)


def test_collections_are_never_mixed() -> None:
    cell = Cell(772176)
    good, old = orbit(cell, 0), orbit(cell, 1)
    old.collection = "02"
    grid = cell_grid(cell, 28)
    chip = only(cut([old, good], grid)[0])
    assert [scene.id for scene in chip.scenes] == [good.name]
    assert cut([old], grid)[0] == ["no_scene"]
    assert cut([], grid)[0] == ["no_scene"]
    both = NO2.model_copy(
        update={"values": NO2.values.model_copy(update={"collections": ("02", "03")})}
    )
    scenes, files = [], {}
    for one in (old, good):
        scene, more = one.scene()
        scenes.append(scene)
        files.update(more)
    chip = only(Column(both, MemorySource(files)).cut(scenes, [grid]))
    assert [scene.id for scene in chip.scenes] == [good.name]


def test_a_name_without_collection_is_looked_up_in_the_file() -> None:
    cell = Cell(772176)
    for collection, expected in (("03", Chip), ("02", str)):
        one = orbit(cell)
        one.collection = collection
        data = tropomi(one.lattice, one.values, one.qa, name=one.name)
        scene, files = make_scene("S5P_NO2_20210305", NO2.id, {"granule": data})
        (chip,) = Column(NO2, MemorySource(files)).cut([scene], [cell_grid(cell, 28)])
        assert isinstance(chip, expected)
    data = tropomi(one.lattice, one.values, one.qa, name="granule")
    scene, files = make_scene("S5P_NO2_20210305", NO2.id, {"granule": data})
    with pytest.raises(BadRaster, match="collection"):
        Column(NO2, MemorySource(files)).cut([scene], [cell_grid(cell, 28)])


def test_pixels_need_half_of_their_area_and_scenes_must_contribute() -> None:
    cell = Cell(772176)
    half = orbit(cell, heading=0.0)
    # Rows go north: with the first 12 of 24 rows, the southern half of the cell is seen.
    half.qa[12:] = 0
    away = orbit(Cell(772176 + 8), seed=2)
    chip = only(cut([half, away], cell_grid(cell, 28))[0])
    _, cover = exact(half, cell)
    clear = np.abs(cover - 0.5) > 1e-3
    np.testing.assert_array_equal(chip.data[1][clear], (cover >= 0.5)[clear])
    assert chip.data[1][:13].max() == 0
    assert chip.data[1][15:].min() == 1
    assert [scene.id for scene in chip.scenes] == [half.name]
    scenes = [half.scene()[0]]
    ((measure,),) = Column(NO2, MemorySource(half.scene()[1])).measure(
        scenes, [cell_grid(cell, 28)]
    )
    assert measure.observed_pct == pytest.approx(100 * chip.data[1].mean())


def test_a_granule_is_opened_once_for_all_cells() -> None:
    cells = [Cell(772176), Cell(772177), Cell(123456), Cell(772176 + 1440)]
    one = orbit(cells[0], shape=(30, 40))
    chips, source = cut([one], *(cell_grid(cell, 28) for cell in cells))
    assert chips[2] == "not_covered"
    for cell, chip in zip(cells, chips, strict=True):
        if isinstance(chip, Chip):
            assert_means(chip.data[0], exact(one, cell)[0])
    assert sum(isinstance(chip, Chip) for chip in chips) == 3
    assert len(source.asked) == 2  # its size and its bytes


def test_more_cells_cost_no_more_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the above, for a granule that is too large to be read whole."""
    monkeypatch.setattr("stac_lake.pixels.ranged_file.WHOLE_FILE", 0)
    first = Cell(772176)
    one = orbit(first, shape=(80, 90))
    block = [Cell(first.id + 1440 * y + x) for y in range(-1, 2) for x in range(-1, 2)]
    _, single = cut([one], cell_grid(first, 28))
    chips, many = cut([one], *(cell_grid(cell, 28) for cell in block))
    assert all(isinstance(chip, Chip) for chip in chips)
    assert 2 < len(many.asked) == len(single.asked)


def test_damage_and_outage() -> None:
    cell = Cell(772176)
    scene, files = orbit(cell).scene()
    source = MemorySource(files)
    grid = cell_grid(cell, 28)
    source.files[scene.assets["granule"].href] = b"<html>gone</html>"
    with pytest.raises(BadRaster, match="html") as caught:
        Column(NO2, source).cut([scene], [grid])
    assert caught.value.context["item"] == scene.id
    ((measure,),) = Column(NO2, source).measure([scene], [grid])
    assert scene.id in str(measure.error)
    source.failing["granule"] = ProviderUnavailable("503")
    for ask in (Column(NO2, source).measure, Column(NO2, source).cut):
        with pytest.raises(ProviderUnavailable):
            ask([scene], [grid])
    other, files = orbit(cell).scene(paths=["PRODUCT/something_else"])
    with pytest.raises(AssetMissing, match="nitrogendioxide"):
        Column(NO2, MemorySource(files)).cut([other], [grid])
