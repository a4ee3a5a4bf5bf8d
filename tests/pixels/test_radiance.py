"""OLCI chips against the analytic field, scipy's griddata and nearest neighbours by brute force."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from granules import Frame, Lattice, MemorySource, field_of, make_scene
from pyproj import Proj, Transformer
from scipy.interpolate import griddata
from scipy.spatial import cKDTree

from stac_lake.errors import AssetMissing, BadRaster, ProviderUnavailable
from stac_lake.grid import Cell, cell_at
from stac_lake.pixels.olci_flags import bridged, qa_bits
from stac_lake.pixels.radiance import Radiance
from stac_lake.pixels.swath import Target, locate, unit_vectors
from stac_lake.recipe import product
from stac_lake.types import Chip, PixelGrid, Qa, Scene, cell_grid, metric_grid

OLCI = product("s3-olci-efr")
R = 6371008.8
BANDS = OLCI.band_names[:-1]
# The packing's step is 0.004, the places' 1e-6 degree: 0.1 m of a field with 0.01 per metre.
TOLERANCE = 0.004
CELLS = {
    "mid-latitude": Cell(772176),
    "antarctic": Cell(123456),
    "antimeridian": cell_at(-180.0, 52.0),
    "west of 180": cell_at(179.75, -16.5),
    "arctic": cell_at(33.0, 86.0),
}


def setting(frame: Frame, name: str = "S3A_OL_1_EFR_x", **changes: bytes) -> tuple[Scene, Any]:
    scene, files = make_scene(name, OLCI.id, {**frame.files(), **changes})
    return scene, MemorySource(files)


def centres(grid: PixelGrid) -> tuple[Any, Any]:
    a, _, c, _, e, f = grid.transform
    x, y = np.meshgrid(
        c + a * (np.arange(grid.shape[1]) + 0.5), f + e * (np.arange(grid.shape[0]) + 0.5)
    )
    return Transformer.from_crs(grid.epsg, 4326, always_xy=True).transform(x, y)


def around(cell: Cell, **changes: Any) -> Frame:
    return Frame(Lattice(cell.lon, cell.lat, **changes), BANDS)


def only(chips: list[Chip | str]) -> Chip:
    (chip,) = chips
    assert isinstance(chip, Chip)
    return chip


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())
def test_radiances_are_the_analytic_field(cell: Cell) -> None:
    frame = around(cell)
    frame.repeats = tuple(range(3, 257, 7))
    scene, source = setting(frame)
    grid = cell_grid(cell, 96)
    chip = only(Radiance(OLCI, source).cut([scene], [grid]))
    assert chip.bands == OLCI.band_names
    assert chip.data.shape == (22, 96, 96)
    assert chip.data.dtype == np.float32
    lon, lat = centres(grid)
    for i, values in enumerate(chip.data[:-1]):
        np.testing.assert_allclose(values, field_of(lon, lat, i), atol=TOLERANCE)
    assert chip.scenes == (scene,)


@pytest.mark.parametrize("cell", [Cell(906994), cell_at(84.0, -80.5), cell_at(-180.0, 52.0)])
def test_metric_grids_are_the_analytic_field(cell: Cell) -> None:
    """300 m in UTM at 67° N and across ±180°, in EPSG:3031 at 80.5° S."""
    scene, source = setting(around(cell))
    grid = metric_grid(cell, 96, 300)
    assert grid.epsg != 4326
    chip = only(Radiance(OLCI, source).cut([scene], [grid]))
    assert chip.grid == grid
    lon, lat = centres(grid)
    for i in (0, 20):
        np.testing.assert_allclose(chip.data[i], field_of(lon, lat, i), atol=TOLERANCE)


def test_rough_geolocation_is_inverted_as_by_triangulation() -> None:
    cell = Cell(772176)
    lattice = Lattice(cell.lon, cell.lat, bump=0.8)
    grid = inner_grid(cell.lon, cell.lat)
    row, column = locate(Target.of(grid), unit_vectors(*lattice.centres()))
    expected = _triangulated(*lattice.centres(), *centres(grid))
    np.testing.assert_allclose(np.stack([row, column]), expected, atol=0.02)
    # And the position, put back through the geometry, is the pixel's centre, to some metres.
    lon, lat = lattice.at(row, column)
    plane = Proj(proj="aeqd", lon_0=cell.lon, lat_0=cell.lat, R=6371008.8)
    there, here = np.stack(plane(lon, lat)), np.stack(plane(*centres(grid)))
    assert np.hypot(*(there - here)).max() < 5.0


def inner_grid(lon: float, lat: float) -> PixelGrid:
    """A part of a cell that lies well inside 100 × 100 pixels."""
    return PixelGrid(4326, (0.002, 0, lon - 0.05, 0, -0.002, lat + 0.05), (50, 50))


def _triangulated(lon: Any, lat: Any, at_lon: Any, at_lat: Any) -> Any:
    """Row and column at points by Delaunay triangles in the aeqd plane."""
    plane = Proj(proj="aeqd", lon_0=at_lon.mean(), lat_0=at_lat.mean(), R=6371008.8)
    places = np.stack(plane(lon, lat), axis=-1)
    wanted = np.stack(plane(at_lon, at_lat), axis=-1)
    near = (np.abs(places) < np.abs(wanted).max((0, 1)) + 1500).all(-1)
    places, index = places[near], np.argwhere(near).astype(float)
    return np.moveaxis(griddata(places, index, wanted, method="linear"), -1, 0)


REAL = sorted(
    (Path(__file__).parents[3] / "shared/upstream/data/s3_olci_swath_highroc").glob("*.nc")
)


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_real_geolocation_is_inverted_as_by_triangulation(path: Path) -> None:
    with h5py.File(path) as file:
        lon, lat = file["lon"][:], file["lat"][:]
    middle = lon[50, 50], lat[50, 50]
    grid = inner_grid(*middle)
    row, column = locate(Target.of(grid), unit_vectors(lon, lat))
    expected = _triangulated(lon, lat, *centres(grid))
    np.testing.assert_allclose(np.stack([row, column]), expected, atol=0.02)


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_real_duplicated_pixels_are_copies_and_are_bridged(path: Path) -> None:
    """7 % of the columns show their right neighbour's measurement; we put the mean in between."""
    with h5py.File(path) as file:
        word = file["quality_flags"][:].astype(np.uint32)
        names = file["quality_flags"].attrs["flag_meanings"].decode().split()
        masks = [int(mask) & 0xFFFFFFFF for mask in file["quality_flags"].attrs["flag_masks"]]
        reflectance = file["rtoa_8"][:].astype(float)
    qa = qa_bits(word, dict(zip(names, masks, strict=True)))
    copied = qa & Qa.DUPLICATED != 0
    assert copied.mean() == 0.07
    inner = copied.copy()
    inner[:, [0, -1]] = False
    row, column = np.nonzero(inner)
    left, own, right = (reflectance[row, column + step] for step in (-1, 0, 1))
    # The same radiance over the cosine of the sun there and one column on.
    assert np.abs(own / right - 1).max() < 4e-5
    assert np.median(np.abs(own / left - 1)) > 0.03
    found = bridged(reflectance, copied)
    np.testing.assert_allclose(found[row, column], (left + right) / 2, rtol=1e-12)
    np.testing.assert_array_equal(found[~copied], reflectance[~copied])


def test_flags_are_the_nearest_pixels() -> None:
    cell = Cell(772176)
    frame = around(cell)
    rng = np.random.default_rng(3)
    bits = {31: None, 27: Qa.BRIGHT, 22: Qa.SUN_GLINT, 3: Qa.SATURATED}
    frame.flags = np.zeros(frame.lattice.shape, np.uint32)
    for bit in bits:
        frame.flags |= rng.integers(0, 2, frame.lattice.shape).astype(np.uint32) << np.uint32(bit)
    scene, source = setting(frame)
    grid = cell_grid(cell, 96)
    qa = only(Radiance(OLCI, source).cut([scene], [grid])).data[-1].astype(int)

    plane = Proj(proj="aeqd", lon_0=cell.lon, lat_0=cell.lat, R=6371008.8)
    places = np.stack([p.ravel() for p in plane(*frame.lattice.centres())], axis=-1)
    distance, index = cKDTree(places).query(np.stack(plane(*centres(grid)), axis=-1), k=2)
    word = frame.flags.ravel()[index[..., 0]]
    expected = np.full(word.shape, int(Qa.OBSERVED))
    expected[word & (1 << 31) == 0] |= Qa.WATER
    for bit, flag in bits.items():
        if flag is not None:
            expected[word & (1 << bit) != 0] |= flag
    # Nearest in the lattice and nearest on the ground differ only where two are equally near.
    clear = distance[..., 1] - distance[..., 0] > 8.0
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(qa[clear], expected[clear])


def test_duplicated_pixels_are_flagged_and_not_copied() -> None:
    cell = Cell(772176)
    frame = around(cell)
    frame.repeats = tuple(range(2, 258, 2))
    scene, source = setting(frame)
    grid = cell_grid(cell, 96)
    chip = only(Radiance(OLCI, source).cut([scene], [grid]))
    share = (chip.data[-1].astype(int) & Qa.DUPLICATED != 0).mean()
    assert 0.4 < share < 0.6
    np.testing.assert_allclose(chip.data[0], field_of(*centres(grid), 0), atol=TOLERANCE)


def near(chip: Chip, frame: Frame, pixel: tuple[int, int]) -> Any:
    """Chip pixels (y, x) whose nearest pixel of the frame is that one."""
    plane = Proj(proj="aeqd", lon_0=frame.lattice.lon, lat_0=frame.lattice.lat, R=R)
    places = np.stack([p.ravel() for p in plane(*frame.lattice.centres())], axis=-1)
    _, index = cKDTree(places).query(np.stack(plane(*centres(chip.grid)), axis=-1))
    return index == np.ravel_multi_index(pixel, frame.lattice.shape)


@pytest.mark.parametrize(("bit", "flag"), [(3, Qa.SATURATED), (21, Qa.INVALID)])
def test_unusable_pixels_do_not_leak_into_their_neighbours(bit: int, flag: Qa) -> None:
    """Saturated and dubious pixels: seen, not valid, their own number; others are without them."""
    cell = Cell(772176)
    frame = around(cell)
    frame.flags[128:131, 127:130] |= 1 << bit
    frame.spikes = {(r, c): 250.0 for r in range(128, 131) for c in range(127, 130)}
    scene, source = setting(frame)
    chip = only(Radiance(OLCI, source).cut([scene], [cell_grid(cell, 96)]))
    qa = chip.data[-1].astype(int)
    hit = qa & flag != 0
    expected = np.zeros_like(hit)
    for pixel in frame.spikes:
        expected |= near(chip, frame, pixel)
    assert (hit != expected).sum() <= 1  # one may lie half-way
    assert 4 <= hit.sum() <= 15
    assert (qa & Qa.OBSERVED != 0).all()
    np.testing.assert_allclose(chip.data[0][hit], 250.0, atol=0.01)
    truth = field_of(*centres(chip.grid), 0)
    # Beside the hole the nearest pixels stand in, half a pixel off in a field with 1.5 per pixel.
    np.testing.assert_allclose(chip.data[0][~hit], truth[~hit], atol=1.5)


def test_cosmetic_pixels_are_copies_too() -> None:
    cell = Cell(772176)
    frame = around(cell)
    frame.flags[:, 100:200:5] |= 1 << 24
    frame.spikes = {(r, c): 250.0 for r in range(260) for c in range(100, 200, 5)}
    scene, source = setting(frame)
    chip = only(Radiance(OLCI, source).cut([scene], [cell_grid(cell, 96)]))
    assert (chip.data[-1].astype(int) & Qa.DUPLICATED != 0).mean() > 0.1
    np.testing.assert_allclose(chip.data[3], field_of(*centres(chip.grid), 3), atol=TOLERANCE)


def test_measure_reads_no_band_and_says_the_shares() -> None:
    cell = Cell(772176)
    frame = around(cell)
    lon, _ = frame.lattice.centres()
    frame.flags[lon > cell.lon] |= 1 << 27
    scene, source = setting(frame)
    radiance = Radiance(OLCI, source)
    grid = cell_grid(cell, 96)
    far = cell_grid(Cell(123456), 96)
    ((near, nothing),) = radiance.measure([scene], [grid, far])
    assert near.observed_pct == 100.0
    assert near.bright_pct == pytest.approx(50.0, abs=1.1)
    assert near.sun_zenith_deg == pytest.approx(frame.zenith(cell.lon, cell.lat), abs=2e-3)
    assert near.cloud_pct is None
    assert (nothing.observed_pct, nothing.bright_pct) == (0.0, None)
    assert set(source.asked) == {"geolocation", "flags", "tie_geo", "tie_geometries"}
    source.asked.clear()
    only(radiance.cut([scene], [grid]))
    assert set(source.asked) == {*BANDS, "instrument"}


@pytest.mark.parametrize("azimuth", [175.0, -179.9, 0.0])
def test_angles_at_the_centre_and_the_solar_flux(azimuth: float) -> None:
    cell = Cell(772176)
    frame = around(cell)
    frame.azimuth = azimuth
    scene, source = setting(frame)
    grid = cell_grid(cell, 96)
    chip = only(Radiance(OLCI, source).cut([scene], [grid]))
    zenith = frame.zenith(cell.lon, cell.lat)
    # The lattice is centred on the cell, so that the cell's centre is in column 129.5.
    expected = (azimuth + 0.05 * 29.5) % 360
    assert chip.properties["view:sun_elevation"] == pytest.approx(90 - zenith, abs=2e-3)
    assert chip.properties["view:sun_azimuth"] == pytest.approx(expected, abs=2e-3)
    assert chip.properties["view:incidence_angle"] == pytest.approx(zenith, abs=2e-3)
    assert chip.properties["view:azimuth"] == pytest.approx(expected, abs=2e-3)
    # Detectors are columns here, and the cell is seen symmetrically around 129.5.
    for i, band in enumerate(BANDS):
        flux = chip.band_metadata[band]["solar_flux"]
        assert flux == pytest.approx(1000 * (i + 1) + 129.5, abs=0.5)
        # Detectors are numbered from one edge of the chip to the other.
        spread = chip.band_metadata[band]["solar_flux_spread_pct"]
        assert 100 * 70 < spread * flux < 100 * 150


def test_a_frame_that_does_not_cover_all_is_no_chip() -> None:
    cell = Cell(772176)
    grid = cell_grid(cell, 96)
    short = around(cell, shape=(260, 60))
    scene, source = setting(short)
    radiance = Radiance(OLCI, source)
    assert radiance.cut([scene], [grid]) == ["not_covered"]
    lon, lat = short.lattice.centres()
    plane = Proj(proj="aeqd", lon_0=cell.lon, lat_0=cell.lat, R=6371008.8)
    places = np.stack([p.ravel() for p in plane(lon, lat)], axis=-1)
    distance, _ = cKDTree(places).query(np.stack(plane(*centres(grid)), axis=-1))
    inside = 100.0 * (distance < 220).mean()  # within the lattice or half a pixel beside it
    ((measure,),) = radiance.measure([scene], [grid])
    assert measure.observed_pct == pytest.approx(inside, abs=1.5)


def test_the_first_frame_that_covers_all_is_taken() -> None:
    cell = Cell(772176)
    grid = cell_grid(cell, 96)
    broken = around(cell)
    broken.flags[130, 130] = 1 << 25
    first, files = make_scene("first", OLCI.id, broken.files())
    second, more = make_scene("second", OLCI.id, around(cell).files())
    radiance = Radiance(OLCI, MemorySource({**files, **more}))
    assert only(radiance.cut([first, second], [grid])).scenes == (second,)
    ((one,), (other,)) = radiance.measure([first, second], [grid])
    assert 99.9 < one.observed_pct < other.observed_pct == 100.0


def test_a_hole_in_one_band_is_invalid_there() -> None:
    cell = Cell(772176)
    frame = around(cell)
    frame.holes = {"Oa05": (130, 130)}
    scene, source = setting(frame)
    chip = only(Radiance(OLCI, source).cut([scene], [cell_grid(cell, 96)]))
    hole = np.isnan(chip.data[4])
    assert 1 <= hole.sum() <= 3
    qa = chip.data[-1].astype(int)
    np.testing.assert_array_equal(qa & Qa.INVALID != 0, hole)
    assert np.isfinite(np.delete(chip.data, 4, axis=0)).all()
    truth = field_of(*centres(chip.grid), 4)
    np.testing.assert_allclose(chip.data[4][~hole], truth[~hole], atol=0.3)


def test_beyond_a_pole_there_is_no_ground() -> None:
    cell = cell_at(30.0, 90.0)
    frame = around(cell)
    scene, source = setting(frame)
    radiance = Radiance(OLCI, source)
    grid = cell_grid(cell, 96)
    ((measure,),) = radiance.measure([scene], [grid])
    assert measure.observed_pct == 50.0
    assert radiance.cut([scene], [grid]) == ["not_covered"]


def test_without_tie_points_the_chip_is_the_same() -> None:
    cell = Cell(772176)
    files = around(cell).files()
    scene, served = make_scene("with", OLCI.id, files)
    bare = {key: data for key, data in files.items() if not key.startswith(("tie", "instrument"))}
    other, more = make_scene("without", OLCI.id, bare)
    radiance = Radiance(OLCI, MemorySource({**served, **more}))
    grid = cell_grid(cell, 96)
    one, two = only(radiance.cut([scene], [grid])), only(radiance.cut([other], [grid]))
    # Another window is fitted by another polynomial: positions agree to a ten-thousandth pixel.
    np.testing.assert_allclose(one.data, two.data, atol=1e-3)
    assert (two.properties, two.band_metadata) == ({}, {})


@pytest.mark.parametrize("method", ["nearest", "cubic"])
def test_resampling(method: str) -> None:
    cell = Cell(772176)
    frame = around(cell)
    frame.holes = {"Oa02": (120, 140)}
    scene, source = setting(frame)
    values = OLCI.values.model_copy(update={"resampling": method})
    chip = only(
        Radiance(OLCI.model_copy(update={"values": values}), source).cut(
            [scene], [cell_grid(cell, 96)]
        )
    )
    truth = field_of(*centres(chip.grid), 0)
    stored = field_of(*frame.lattice.centres(), 0)
    if method == "cubic":
        np.testing.assert_allclose(chip.data[0], truth, atol=TOLERANCE)
        assert np.isfinite(chip.data[1]).mean() > 0.999
    else:
        distance = np.abs(chip.data[0][..., None] - np.sort(stored.ravel())[::500]).min(-1)
        assert distance.max() < 0.5
        assert np.abs(chip.data[0] - truth).max() > 0.1
        packed = (chip.data[0] - 1.5) / 0.004
        np.testing.assert_allclose(packed, np.rint(packed), atol=0.01)


def test_two_cells_share_one_opening_of_each_file() -> None:
    cell, east = Cell(772176), Cell(772177)
    frame = Frame(Lattice(cell.lon + 0.125, cell.lat, shape=(300, 300)), BANDS)
    scene, source = setting(frame)
    grids = [cell_grid(cell, 96), cell_grid(east, 96)]
    chips = Radiance(OLCI, source).cut([scene], grids)
    for chip, grid in zip(chips, grids, strict=True):
        assert isinstance(chip, Chip)
        np.testing.assert_allclose(chip.data[7], field_of(*centres(grid), 7), atol=TOLERANCE)
    assert source.asked.count("Oa08") == 2  # its size and its bytes


def test_damage_is_a_measure_and_an_outage_is_raised() -> None:
    cell = Cell(772176)
    scene, source = setting(around(cell))
    grid = cell_grid(cell, 96)
    href = scene.assets["flags"].href
    source.files[href] = source.files[href][:300]
    ((measure,),) = Radiance(OLCI, source).measure([scene], [grid])
    assert measure.observed_pct == 0.0
    assert "flags" in str(measure.error)
    assert scene.id in str(measure.error)
    with pytest.raises(BadRaster):
        Radiance(OLCI, source).cut([scene], [grid])
    source.failing["geolocation"] = ProviderUnavailable("503")
    with pytest.raises(ProviderUnavailable):
        Radiance(OLCI, source).measure([scene], [grid])
    lacking, files = make_scene("lacking", OLCI.id, {"flags": b""})
    with pytest.raises(AssetMissing, match="geolocation"):
        Radiance(OLCI, MemorySource(files)).cut([lacking], [grid])
