"""Reflectances against the analytic field of the sandbox, and the sun against its own formula."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyproj import Transformer
from training_lake import FARM, TrainingLake

from stac_lake.errors import BadRaster, ConfigError
from stac_lake.grid import Cell, cell_at
from stac_lake.lake import Lake
from stac_lake.loaders import LakeDataset
from stac_lake.loaders.units import Reflectance, has_reflectance, sun_cosine
from stac_lake.pixels.radiance import Radiance
from stac_lake.recipe import product
from stac_lake.sandbox import olci
from stac_lake.sandbox.sphere import sun_angles
from stac_lake.types import Asset, Chip, PixelGrid, Scene, cell_grid, metric_grid

OLCI = product("s3-olci-efr")
BANDS = {"Oa01": (0.160, 0.060, 0.030, 1.00), "Oa17": (0.011, 0.290, 0.400, 0.99)}
"""Reflectance of the air, bare ground and vegetation, and what gases let through."""
DAY0 = datetime(2021, 1, 1, tzinfo=UTC)


def lonlat(grid: PixelGrid) -> tuple[Any, Any]:
    a, _, c, _, e, f = grid.transform
    x = c + a * (np.arange(grid.shape[1]) + 0.5)
    y = f + e * (np.arange(grid.shape[0]) + 0.5)
    return Transformer.from_crs(grid.epsg, 4326, always_xy=True).transform(*np.meshgrid(x, y))


LOW_SUN = [
    (Cell(772176), "2021-01-10T15:30"), (Cell(906994), "2021-03-20T02:00"),
    (cell_at(179.875, -16.5), "2021-06-01T19:40"), (cell_at(84.0, -80.5), "2021-12-20T05:00"),
]  # fmt: skip


@pytest.mark.parametrize("metric", [False, True], ids=["degrees", "metres"])
@pytest.mark.parametrize(("cell", "time"), LOW_SUN)
def test_the_suns_cosine_at_each_pixel(cell: Cell, time: str, metric: bool) -> None:
    """Within 2e-5 of the Almanac's series at every pixel; one cosine for all is off by 0.5 %."""
    grid = metric_grid(cell, 96, 300) if metric else cell_grid(cell, 96)
    lon, lat = lonlat(grid)
    a, _, c, _, e, f = grid.transform
    middle = Transformer.from_crs(grid.epsg, 4326, always_xy=True).transform(c + a * 48, f + e * 48)
    moment = np.array(np.datetime64(time))
    zenith, azimuth = sun_angles(*map(np.array, middle), moment)
    expected = np.cos(np.radians(sun_angles(lon, lat, moment)[0]))
    found = sun_cosine(grid, 90 - round(float(zenith), 4), round(float(azimuth), 4))
    assert 55 < zenith < 82
    np.testing.assert_allclose(found, expected, rtol=2e-5)
    assert np.abs(np.cos(np.radians(zenith)) / expected - 1).max() > 3e-3


@pytest.mark.parametrize(("cell", "time"), LOW_SUN)
def test_a_uniform_surface_is_uniform(cell: Cell, time: str) -> None:
    """Radiance of a surface that reflects 0.3 everywhere, under a low sun: 0.3 within 1e-5."""
    grid, moment = cell_grid(cell, 96), np.array(np.datetime64(time))
    flux = {band.name: 1000.0 + i for i, band in enumerate(OLCI.value_bands)}
    light = np.cos(np.radians(sun_angles(*lonlat(grid), moment)[0])) / np.pi
    data = np.stack([0.3 * value * light for value in flux.values()])
    zenith, azimuth = sun_angles(np.array(cell.lon), np.array(cell.lat), moment)
    chip = Chip(
        grid, OLCI.band_names, data, (),
        {"view:sun_elevation": 90 - float(zenith), "view:sun_azimuth": float(azimuth)},
        {name: {"solar_flux": value} for name, value in flux.items()},
    )  # fmt: skip
    found = Reflectance.of(OLCI, document(chip)).apply(data.astype(np.float32), np.nan)
    np.testing.assert_allclose(found, 0.3, atol=1e-5)


def test_there_is_no_reflectance_without_sun() -> None:
    assert np.isnan(sun_cosine(cell_grid(FARM, 96), -3.0, 90.0)).all()


class FrameSource:
    """Files of a sandbox frame."""

    def __init__(self, frame: Any, cache: Path) -> None:
        self.frame, self.cache = frame, cache

    def _blob(self, asset: Asset) -> Any:
        return olci.blob(self.frame, asset.href, cache=self.cache, full=False)

    def size(self, asset: Asset) -> int:
        return self._blob(asset).size

    def read(self, asset: Asset) -> bytes:
        return self._blob(asset).read(0, self.size(asset))

    def read_ranges(self, asset: Asset, ranges: Any) -> list[bytes]:
        return [self._blob(asset).read(start, stop) for start, stop in ranges]


ASSETS = {
    "geolocation": "geo_coordinates.nc", "flags": "qualityFlags.nc",
    "tie_geo": "tie_geo_coordinates.nc", "tie_geometries": "tie_geometries.nc",
    "instrument": "instrument_data.nc", **{band: f"{band}_radiance.nc" for band in BANDS},
}  # fmt: skip


def cut(cell: Cell, start: datetime, cache: Path) -> tuple[Chip, Any]:
    """A chip of the first clear frame after a day."""
    area = cell.bounds
    end = start.replace(month=start.month + 2)
    values = OLCI.model_copy(
        update={"bands": tuple(b for b in OLCI.bands if b.name in {*BANDS, "qa"})}
    )
    for frame in olci.scenes("s3-olci-efr", area, start, end):
        assets = {key: Asset(key, name, "cdse") for key, name in ASSETS.items()}
        scene = Scene(
            id=frame.id, product=OLCI.id, provider="cdse", collection="c", start=frame.start,
            end=frame.stop, footprint={}, assets=assets, acquisition=frame.id, version="1", href="",
        )  # fmt: skip
        radiance = Radiance(values, FrameSource(frame, cache))
        ((measure,),) = radiance.measure([scene], [cell_grid(cell, 96)])
        if measure.observed_pct == 100 and (measure.bright_pct or 0) < 20:
            (chip,) = radiance.cut([scene], [cell_grid(cell, 96)])
            assert isinstance(chip, Chip)
            return chip, frame
    raise AssertionError("no clear frame")


def document(chip: Chip) -> dict[str, Any]:
    """What an Item says of a chip, as far as units need it."""
    return {
        "id": "item",
        "properties": {
            "proj:epsg": chip.grid.epsg, "proj:shape": list(chip.grid.shape),
            "proj:transform": list(chip.grid.transform), **chip.properties,
        },
        "assets": {"data": {
            "bands": [{"name": name, **chip.band_metadata.get(name, {})} for name in chip.bands],
        }},
    }  # fmt: skip


def waves(terms: Any, lon: Any, lat: Any, day: Any) -> Any:
    lam, phi = np.radians(lon), np.radians(lat)
    p = np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)
    return sum(
        a * np.sin(2 * np.pi * 6371.0088 / km * sum(map(np.multiply, v, p)) + phase + drift * day)
        for a, km, v, phase, drift in terms
    )


CLOUDS = (
    (0.40, 2500, (0.80, 0.36, 0.48), 0.3, 1.7), (0.30, 1400, (-0.48, 0.80, 0.36), 1.1, 2.9),
    (0.25, 900, (0.36, -0.48, 0.80), 2.3, 4.3), (0.10, 110, (0.60, 0.64, -0.48), 4.0, 7.1),
)  # fmt: skip
GREENNESS = (
    (0.5, 700, (0.48, 0.60, 0.64), 0.7, 0), (0.3, 95, (0.64, -0.48, 0.60), 1.9, 0),
    (0.2, 41, (-0.60, 0.64, 0.48), 3.1, 0),
)  # fmt: skip


@pytest.mark.parametrize(
    "start", [datetime(2021, 1, 1, tzinfo=UTC), datetime(2021, 6, 1, tzinfo=UTC)]
)
def test_top_of_atmosphere_reflectance_is_the_field(start: datetime, tmp_path: Path) -> None:
    """Neither sun nor season: bias under 0.5 %, where the sun's distance is worth 3 %."""
    cell = cell_at(-80.0, 27.0)
    chip, frame = cut(cell, start, tmp_path)
    values = OLCI.model_copy(
        update={"bands": tuple(b for b in OLCI.bands if b.name in {*BANDS, "qa"})}
    )
    found = Reflectance.of(values, document(chip)).apply(chip.data[:-1], np.nan)
    lon, lat = lonlat(chip.grid)
    day = (frame.start + (frame.stop - frame.start) / 2 - DAY0).total_seconds() / 86400
    green = 0.5 + 0.5 * waves(GREENNESS, lon, lat, 0)
    cloud = np.clip(0.5 + 1.5 * (waves(CLOUDS, lon, lat, day) - 0.15), 0, 1)
    for values_of, (path, soil, vegetation, gases) in zip(found, BANDS.values(), strict=True):
        surface = soil * (1 - green) + vegetation * green
        expected = gases * (path + (1 - cloud) * surface + cloud * 0.75)
        assert abs((values_of / expected).mean() - 1) < 5e-3
        assert np.abs(values_of / expected - 1).max() < 2e-2


def test_the_dataset_gives_reflectance(lake: Lake, made: TrainingLake) -> None:
    """Sentinel-2 by its scale, zeros where nothing was seen; radar and gases as they are."""
    stored = LakeDataset(lake, modalities=["s2", "s1", "co", "dem"])
    physical = LakeDataset(lake, modalities=["s2", "s1", "co", "dem"], units="reflectance")
    one, other = stored[1], physical[1]
    assert other["s2"]["data"].dtype == np.float32
    np.testing.assert_allclose(other["s2"]["data"], one["s2"]["data"] * 1e-4, rtol=1e-6)
    for name in ("s1", "co", "dem"):
        np.testing.assert_array_equal(other[name]["data"], one[name]["data"])
    assert other["s1"]["data"].dtype == one["s1"]["data"].dtype


def test_an_offset_is_added_but_not_to_nodata() -> None:
    item = {
        "id": "x", "properties": {},
        "assets": {"data": {
            "bands": [{"name": band.name} for band in product("s2-l1c").bands],
            "raster:bands": [
                {"scale": 1e-4, "offset": -0.1} if band.name != "qa" else {}
                for band in product("s2-l1c").bands
            ],
        }},
    }  # fmt: skip
    data = np.array([0, 1000, 4000], np.uint16).reshape(1, 1, 3).repeat(13, axis=0)
    found = Reflectance.of(product("s2-l1c"), item).apply(data, 0)
    np.testing.assert_allclose(found[0, 0], [0.0, 0.0, 0.3], atol=1e-7)


def test_what_cannot_be_reflectance_says_so(lake: Lake) -> None:
    assert [has_reflectance(product(p)) for p in ("s3-olci-efr", "s2-l2a", "s1-rtc", "s5p-co")] == [
        True, True, False, False,
    ]  # fmt: skip
    with pytest.raises(BadRaster, match=r"solar_flux.*harvest it again"):
        LakeDataset(lake, modalities=["s3"], units="reflectance")
    with pytest.raises(ConfigError, match="units='albedo'"):
        LakeDataset(lake, units="albedo")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="stored values"):
        LakeDataset(lake, units="reflectance", normalize="lake")
