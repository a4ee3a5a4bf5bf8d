"""σ0 chips of a simulated scene: point targets on a slope, known tables, known orbit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from grd_files import Product, in_space, tiff
from pixel_files import FileSource, encode, scene_of
from pyproj import Transformer

from stac_lake.errors import BadRaster, ConfigError
from stac_lake.pixels.operators import operator_for
from stac_lake.pixels.sar import ground
from stac_lake.pixels.sar.geoid import geoid_height
from stac_lake.pixels.sar.geometry import Geometry
from stac_lake.pixels.sar.sigma0 import Sigma0
from stac_lake.recipe import Product as RecipeProduct
from stac_lake.recipe import product
from stac_lake.types import Chip, PixelGrid, Qa, Scene

GRD = product("s1-grd")
SLOPE = (4000.0, -2500.0)
"""Metres per degree of longitude and latitude: 5 % and -2 %."""
STEP = 1 / 1200
EASTING, NORTHING = 605000, 5050500
GRID = PixelGrid(32632, (10.0, 0.0, EASTING, 0.0, -10.0, NORTHING), (264, 264))
TARGETS = [(605812.3, 5049611.8), (606655.0, 5048405.0), (607221.7, 5050087.4)]
BACK, PEAK, WIDTH = 10**-1.2, 30.0, 1.6
TO_DEGREES = Transformer.from_crs(32632, 4326, always_xy=True)


def height_of(lon, lat):
    """Metres above the geoid."""
    return 600 + SLOPE[0] * (lon - 10.3) + SLOPE[1] * (lat - 45.6)


def dem_tile() -> bytes:
    lat = 46 - np.arange(1200) * STEP
    lon = 10 + np.arange(1200) * STEP
    heights = height_of(lon[None, :], lat[:, None]).astype(np.float32)
    return encode(heights[None], 4326, (STEP, 0, 10 - STEP / 2, 0, -STEP, 46 + STEP / 2))


def centre(*, back: float = 4000.0, **facts: Any) -> Product:
    """The same orbit, so that the patch lies in the middle of the image."""
    lon, lat = TO_DEGREES.transform(EASTING + 1320, NORTHING - 1320)
    return Product(lon=lon - back / 78000, lat=lat, **facts)


class Truth:
    """Where each target is in the image, and the image."""

    def __init__(self, at: Product) -> None:
        self.at = at
        self.places = []
        power = np.full((at.lines, at.samples), BACK)
        line, pixel = np.mgrid[: at.lines, : at.samples]
        for x, y in TARGETS:
            self.places.append(self.seen(x, y)[:2])
            row, column = self.places[-1]
            distance = (line - row) ** 2 + (pixel - column) ** 2
            power = power + PEAK * np.exp(-distance / (2 * WIDTH**2))
        self.power = power

    def seen(self, x: float, y: float) -> tuple[float, ...]:
        lon, lat = TO_DEGREES.transform(x, y)
        geoid = float(geoid_height(np.array([lon]), np.array([lat]))[0])
        return self.at.seen(lon, lat, float(height_of(lon, lat)) + geoid)

    def pixels_per_m2(self, x: float, y: float) -> float:
        """How many image pixels a square metre of the map has there, by differences."""
        line, pixel = self.seen(x, y)[:2]
        east, north = self.seen(x + 10, y)[:2], self.seen(x, y + 10)[:2]
        return (
            abs((east[0] - line) * (north[1] - pixel) - (east[1] - pixel) * (north[0] - line)) / 100
        )


@pytest.fixture(scope="module")
def truth() -> Truth:
    return Truth(centre())


@pytest.fixture(scope="module")
def files(truth: Truth) -> dict[str, bytes]:
    at = truth.at
    found = {"dem": dem_tile()}
    for name, share in (("VV", 1.0), ("VH", 0.1)):
        found[f"{name}.tiff"] = at.image(share * truth.power)
        found[f"annotation-{name}"] = at.annotation()
        found[f"calibration-{name}"] = at.calibration_file()
        found[f"noise-{name}"] = at.noise_file()
    return found


def assets_of(names: Iterable[str]) -> dict[str, str]:
    kinds = ("annotation", "calibration", "noise")
    return {n: f"{n}.tiff" for n in names} | {f"{k}-{n}": f"{k}-{n}" for k in kinds for n in names}


DEM = scene_of("dem-glo30", {"height": "dem"}, id="dem")
SCENE = scene_of("s1-grd", assets_of(("VV", "VH")))


def made(
    files: dict[str, bytes],
    scene: Scene = SCENE,
    of: RecipeProduct = GRD,
    grid: PixelGrid = GRID,
    terrain: tuple[Scene, ...] = (DEM,),
) -> Chip:
    (chip,) = operator_for(of, FileSource(files), terrain).cut([scene], [grid])
    assert isinstance(chip, Chip), chip
    return chip


def centroids(linear: np.ndarray) -> list[tuple[float, float, float]]:
    """Map position of each target by its power above the background, and that power in m²."""
    found = []
    a, _, c, _, e, f = GRID.transform
    for x, y in TARGETS:
        column, row = int((x - c) / a), int((y - f) / e)
        part = (slice(row - 12, row + 13), slice(column - 12, column + 13))
        excess = linear[part] - BACK
        rows, columns = np.mgrid[part] + 0.5
        total = excess.sum()
        found.append(
            (
                c + a * float((excess * columns).sum() / total),
                f + e * float((excess * rows).sum() / total),
                float(total) * 100,
            )
        )
    return found


def away(shape: tuple[int, int]) -> np.ndarray:
    """Pixels without any target near."""
    a, _, c, _, e, f = GRID.transform
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    near = np.zeros(shape, bool)
    for x, y in TARGETS:
        near |= np.hypot(columns - (x - c) / a, rows - (y - f) / e) < 25
    return ~near


def test_targets_are_where_they_are(truth, files) -> None:
    chip = made(files)
    assert chip.bands == ("VV", "VH", "qa")
    assert chip.data.dtype == np.float32
    assert (chip.data[2] == Qa.OBSERVED).all()
    linear = 10 ** (chip.data[0].astype(float) / 10)
    for (x, y), (at_x, at_y, _) in zip(TARGETS, centroids(linear), strict=True):
        assert np.hypot(at_x - x, at_y - y) < 1.0  # a tenth of a pixel


def test_power_is_what_it_is(truth, files) -> None:
    chip = made(files)
    quiet = away(GRID.shape)
    for band, share in ((0, 1.0), (1, 0.1)):
        db = chip.data[band][quiet]
        expected = 10 * np.log10(BACK * share)
        assert abs(float(db.mean()) - expected) < 0.02
        assert np.abs(db - expected).max() < 0.15  # whole digital numbers of about 60 in VH
    linear = 10 ** (chip.data[0].astype(float) / 10)
    for (x, y), (*_, total) in zip(TARGETS, centroids(linear), strict=True):
        expected = PEAK * 2 * np.pi * WIDTH**2 / truth.pixels_per_m2(x, y)
        assert abs(10 * np.log10(total / expected)) < 0.1


@pytest.mark.parametrize("off", ["geoid", "half a line", "dem"])
def test_what_is_left_out_is_seen(files, monkeypatch, off) -> None:
    """Without the geoid, half a line of time, or the DEM, targets are elsewhere."""
    terrain: tuple[Scene, ...] = (DEM,)
    if off == "geoid":
        monkeypatch.setattr(ground, "geoid_height", lambda lon, lat: np.zeros(lon.shape))
    elif off == "half a line":
        annotated = Geometry.__init__

        def late(self: Geometry, annotation: Any) -> None:
            annotated(self, annotation)
            self._line_change = self._line_change + 0.5

        monkeypatch.setattr(Geometry, "__init__", late)
    else:
        terrain = ()
    chip = made(files, terrain=terrain)
    linear = 10 ** (chip.data[0].astype(float) / 10)
    places = zip(TARGETS, centroids(linear), strict=True)
    assert all(np.hypot(at_x - x, at_y - y) > 2.0 for (x, y), (at_x, at_y, _) in places)


def test_noise_left_in_is_seen(files, monkeypatch) -> None:
    monkeypatch.setattr(Sigma0, "_radiometry", _without_noise(Sigma0._radiometry))
    quiet = away(GRID.shape)
    assert np.abs(made(files).data[1][quiet] - 10 * np.log10(BACK / 10)).min() > 0.3


def _without_noise(read):
    return lambda self, scene, name: (read(self, scene, name)[0], None)


def test_an_image_that_is_denoised_already_is_left_alone(truth, files) -> None:
    at = centre(denoised=True)
    changed = files | {"annotation-VV": at.annotation()}
    changed["VV.tiff"] = at.image(truth.power, noisy=False)
    del changed["noise-VV"], changed["noise-VH"]
    scene = scene_of("s1-grd", assets_of(("VV",)))
    chip = made(changed, scene)
    assert np.isnan(chip.data[1]).all()
    assert (chip.data[2] == Qa.OBSERVED).all()
    assert np.abs(chip.data[0][away(GRID.shape)] - 10 * np.log10(BACK)).max() < 0.1


def test_single_hh_with_the_other_band_empty(files) -> None:
    renamed = {name.replace("VV", "HH"): data for name, data in files.items()}
    chip = made(renamed, scene_of("s1-grd", assets_of(("HH",))))
    assert chip.bands == ("HH", "HV", "qa")
    assert np.isfinite(chip.data[0]).all()
    assert np.isnan(chip.data[1]).all()
    assert GRD.with_bands(chip.bands).qa_band == 2


def test_local_incidence_angle_of_a_plane(truth, files) -> None:
    of = GRD.with_bands((*GRD.band_names, "local_incidence_angle"))
    chip = made(files, of=of)
    assert chip.bands == ("VV", "VH", "qa", "local_incidence_angle")
    for row, column in ((0, 0), (131, 77), (263, 263)):
        x, y = EASTING + 10 * column + 5, NORTHING - 10 * row - 5
        lon, lat = TO_DEGREES.transform(x, y)
        # The normal in east, north, up: metres per degree of the ellipsoid at this latitude.
        phi = np.radians(lat)
        w = np.sqrt(1 - 0.00669438 * np.sin(phi) ** 2)
        east = np.radians(1) * 6378137 / w * np.cos(phi)
        north = np.radians(1) * 6378137 * (1 - 0.00669438) / w**3
        normal = np.array([-SLOPE[0] / east, -SLOPE[1] / north, 1.0])
        lam = np.radians(lon)
        axes = np.array(
            [
                [-np.sin(lam), np.cos(lam), 0],
                [-np.sin(phi) * np.cos(lam), -np.sin(phi) * np.sin(lam), np.cos(phi)],
                [np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)],
            ]
        )
        time = truth.seen(x, y)[2]
        sight = truth.at.position(time) - in_space(lon, lat, float(height_of(lon, lat)))
        cosine = axes.T @ normal @ sight / np.linalg.norm(normal) / np.linalg.norm(sight)
        assert chip.data[3, row, column] == pytest.approx(np.degrees(np.arccos(cosine)), abs=0.05)
    x, y = EASTING + 1325, NORTHING - 1325
    lon, lat = TO_DEGREES.transform(x, y)
    place = in_space(lon, lat, float(height_of(lon, lat)))
    sight = truth.at.position(truth.seen(x, y)[2]) - place
    cosine = place @ sight / np.linalg.norm(place) / np.linalg.norm(sight)
    expected = np.degrees(np.arccos(cosine))
    assert chip.properties["view:incidence_angle"] == pytest.approx(expected, abs=0.01)


def test_edges_come_from_geometry_and_dark_stays(truth, files) -> None:
    """What is below the noise inside the bounds is dark, not missing; outside all is missing."""
    edge = int(truth.seen(EASTING + 1320, NORTHING - 1320)[1])
    at = centre(bounds=((0, 899, 0, edge),))
    pixel = np.arange(at.samples)[None, :]
    # About 100 DN² less than the noise: more than a DN's rounding.
    dark = np.where((pixel > edge - 40) & (pixel < edge - 20), -3e-4, truth.power)
    changed = files | {"annotation-VV": at.annotation(), "VV.tiff": at.image(dark)}
    scene = scene_of("s1-grd", assets_of(("VV",)))
    operator = operator_for(GRD, FileSource(changed), (DEM,))
    (chip,) = operator.cut([scene], [GRID])
    qa = chip.data[2].astype(int)
    seen = (qa & Qa.OBSERVED) > 0
    assert 0.3 < seen.mean() < 0.7
    assert np.isfinite(chip.data[0])[seen].all()
    assert np.isnan(chip.data[0])[~seen].all()
    floored = (qa & Qa.FLOORED) > 0
    assert (chip.data[0][floored] == -50).all()
    # 19 samples of 10 m across track; the map's rows cross them aslant, on a slope.
    assert 18 < floored.sum(axis=1).mean() < 23
    assert not floored[~seen].any()
    # The edge itself, by bisection, in three rows.
    for row in (10, 130, 250):
        column = int(np.flatnonzero(seen[row])[-1 if seen[row, 0] else 0])
        x, y = EASTING + 10 * column + 5, NORTHING - 10 * row - 5
        assert abs(truth.seen(x, y)[1] - edge) < 1.2
    measure = operator.measure([scene], [GRID])[0][0]
    assert measure.error is None
    assert measure.observed_pct == pytest.approx(100 * seen.mean(), abs=1)


def test_zeros_of_the_processor_are_no_value(truth, files) -> None:
    """IPF 2.90 and later write 0 beside the swath, inside bounds that are the whole image."""
    at = centre()
    edge = int(truth.seen(EASTING + 1320, NORTHING - 1320)[1])
    beside = (np.arange(at.samples)[None, :] > edge) & np.ones((at.lines, 1), bool)
    changed = files | {
        "VV.tiff": at.image(np.where(beside, -1.0, truth.power)),
        "VH.tiff": at.image(np.where(beside, -1.0, truth.power)),
    }
    scene = scene_of("s1-grd", assets_of(("VV", "VH")))
    operator = operator_for(GRD, FileSource(changed), (DEM,))
    (chip,) = operator.cut([scene], [GRID])
    seen = (chip.data[2].astype(int) & Qa.OBSERVED) > 0
    assert 0.3 < seen.mean() < 0.7
    assert (np.isfinite(chip.data[:2]) == seen).all()
    assert not (chip.data[2].astype(int) & Qa.FLOORED).any()
    # What has no value at all is left to the next scene.
    empty = {name: at.image(np.full((at.lines, at.samples), -1.0)) for name in ("VV.tiff",)}
    operator = operator_for(GRD, FileSource(files | empty), (DEM,))
    assert operator.cut([scene_of("s1-grd", assets_of(("VV",)))], [GRID]) == ["not_covered"]


def test_measure_reads_no_pixel(files) -> None:
    source = FileSource({n: d for n, d in files.items() if not n.endswith("tiff")})
    far = PixelGrid(32632, (10.0, 0.0, EASTING + 40000, 0.0, -10.0, NORTHING), (264, 264))
    operator = operator_for(GRD, source, (DEM,))
    line = operator.measure([SCENE, scene_of("s1-grd", {}, id="empty")], [GRID, far])
    assert [m.observed_pct for m in line[0]] == [100, 0]
    assert all(m.error.startswith("AssetMissing") for m in line[1])


def test_not_covered(files) -> None:
    far = PixelGrid(32632, (10.0, 0.0, EASTING + 40000, 0.0, -10.0, NORTHING), (264, 264))
    operator = operator_for(GRD, FileSource(files), (DEM,))
    assert operator.cut([SCENE], [far]) == ["not_covered"]


def test_documents_are_read_once_for_all_patches(files) -> None:
    reads = []

    class Counting(FileSource):
        def read(self, asset):
            reads.append(asset.href)
            return super().read(asset)

    grids = [
        PixelGrid(32632, (10.0, 0.0, EASTING + 300 * n, 0.0, -10.0, NORTHING), (264, 264))
        for n in range(4)
    ]
    operator = operator_for(GRD, Counting(files), (DEM,))
    operator.measure([SCENE], grids)
    chips = operator.cut([SCENE], grids)
    assert all(isinstance(chip, Chip) for chip in chips)
    assert sorted(reads) == [
        "annotation-VV", "calibration-VH", "calibration-VV", "noise-VH", "noise-VV",
    ]  # fmt: skip
    # Two patches agree where they overlap.
    assert chips[0].data[:, :, 30:] == pytest.approx(chips[1].data[:, :, :-30], abs=1e-3)


@pytest.mark.parametrize("driver", ["COG", "GTiff", "strips"])
def test_an_image_needs_no_affine_to_be_read(truth, files, driver) -> None:
    changed = files | {"VV.tiff": truth.at.image(truth.power, driver=driver)}
    chip = made(changed, scene_of("s1-grd", assets_of(("VV",))))
    assert np.abs(chip.data[0][away(GRID.shape)] - 10 * np.log10(BACK)).max() < 0.1


def test_another_image_than_annotated_is_refused(truth, files) -> None:
    changed = files | {"VV.tiff": tiff(np.ones((50, 60), np.uint16), truth.at)}
    with pytest.raises(BadRaster, match="50 × 60 uint16, its annotation says 900 × 1000"):
        made(changed)


def test_nearest_takes_a_pixel_and_cubic_is_refused(truth, files) -> None:
    def with_resampling(name: str) -> RecipeProduct:
        return GRD.model_copy(update={"values": GRD.values.model_copy(update={"resampling": name})})

    chip = made(files, of=with_resampling("nearest"))
    for x, y in TARGETS:
        row, column = int((NORTHING - y) / 10), int((x - EASTING) / 10)
        line, pixel = truth.seen(EASTING + 10 * column + 5, NORTHING - 10 * row - 5)[:2]
        there = truth.power[round(line), round(pixel)]
        assert chip.data[0, row, column] == pytest.approx(10 * np.log10(there), abs=0.1)
    with pytest.raises(ConfigError, match="cubic"):
        operator_for(with_resampling("cubic"), FileSource(files), (DEM,))
