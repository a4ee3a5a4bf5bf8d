"""Landsat from search to stored chip, against the formulas of docs/sandbox.md and against GDAL.

The truth is the sandbox's; that real files are read right is tests/pixels/test_optical_real.py.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import requests
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.warp import reproject, transform_bounds
from rasterio.windows import Window, from_bounds

from stac_lake.grid import Cell, cell_at
from stac_lake.harvest.run import Harvest
from stac_lake.harvest.task import Context
from stac_lake.recipe import recipe
from stac_lake.types import Qa
from tests.harvest import small
from tests.sandbox.landsat_formulas import Oli
from tests.sandbox.rasters import GDAL

HOME, SYDNEY, NORWAY, FIJI = (
    Cell(772176),
    cell_at(150.75, -34.0),
    cell_at(4.0, 60.0),
    cell_at(-180.0, -16.75),
)
NATIVE = {HOME: 32615, SYDNEY: 32756, FIJI: 32701}
# Landsat knows no wide zone 32V: its scenes there are in zone 31.
FOREIGN = {NORWAY: 32632}
RECIPE = """\
id: seasons
title: Seasons
description: Half a cycle of each platform, clouds or not.
series:
  - modality: landsat
    products: [landsat-c2-l2]
    extra_bands: [lwir11]
    windows:
      july: [[2022-07-04, 2022-07-20]]
"""


@dataclass(frozen=True)
class Stored:
    """One chip, as rasterio reads it."""

    item: dict[str, Any]
    bands: dict[str, Any]
    epsg: int
    transform: Any
    bounds: Any


@dataclass(frozen=True)
class Lake:
    """The harvested lake and the stand-in that it came from."""

    origin: str
    items: dict[Cell, Stored]


@pytest.fixture(scope="module")
def lake(origin: str, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    folder = tmp_path_factory.mktemp("landsat")
    file = folder / "seasons.yaml"
    file.write_text(RECIPE)
    path = str(folder / "lake")
    cells = [*NATIVE, *FOREIGN]
    report = Harvest(Context(path, origin), recipe(str(file)), workers=2).run(cells)
    ends = {slot: outcome.state for slot, outcome in report.outcomes.items()}
    assert list(ends.values()) == ["stored"] * len(cells), ends
    stored = {}
    for document in small.items(path).values():
        cell = Cell.from_code(document["properties"]["grid:code"])
        with rasterio.open(small.tif(path, document["id"])) as source:
            stored[cell] = Stored(
                document,
                dict(zip(source.descriptions, source.read(), strict=True)),
                source.crs.to_epsg(),
                source.transform,
                source.bounds,
            )
    return Lake(origin, stored)


def upstream(lake: Lake, chip: Stored) -> dict[str, Any]:
    href = next(link["href"] for link in chip.item["links"] if link["rel"] == "derived_from")
    path = href.split("/", 3)[3]
    found: dict[str, Any] = requests.get(
        f"{lake.origin}/planetary-computer/{path}", timeout=60
    ).json()
    return found


def scene_pixels(chip: Stored, epsg: int) -> tuple[Any, Any]:
    """Centres, in the scene's CRS, of the scene's pixels under the centres of a chip's."""
    steps = np.arange(88) + 0.5
    x, y = np.meshgrid(
        chip.transform.c + chip.transform.a * steps, chip.transform.f + chip.transform.e * steps
    )
    x, y = Transformer.from_crs(chip.epsg, epsg, always_xy=True).transform(x, y)
    # Pixel centres lie on multiples of 30 m.
    return np.rint(np.round(x, 3) / 30) * 30, np.rint(np.round(y, 3) / 30) * 30


def expected_qa(truth: Oli) -> Any:
    value = np.full(truth.alpha.shape, int(Qa.OBSERVED))
    quality, saturation = truth.quality(), truth.saturation()
    for said, flag in (
        (quality & 1 << 2, 1 << 2), (quality & 1 << 3, 1 << 1), (quality & 1 << 4, 1 << 3),
        (quality & 1 << 5, 1 << 4), (quality & 1 << 7, 1 << 5), (saturation & 127, 1 << 6),
        (saturation & 1 << 11, 1 << 11),
    ):  # fmt: skip
        value |= np.where(said, flag, 0)
    return value


@pytest.mark.parametrize("cell", [*NATIVE, *FOREIGN], ids=lambda c: c.code)
def test_chips_are_the_documented_fields(lake: Lake, cell: Cell) -> None:
    """All bands, temperature and flags; positions by pyproj, to the very pixel."""
    chip = lake.items[cell]
    scene = upstream(lake, chip)["properties"]
    assert chip.epsg == (NATIVE | FOREIGN)[cell]
    assert chip.item["properties"].get("lake:resampled", False) == (cell in FOREIGN)
    x, y = scene_pixels(chip, scene["proj:epsg"])
    name = f"LC{scene['platform'][-1]:>02}_L2SP_{scene['landsat:scene_id'][3:9]}_"
    name += scene["datetime"][:10].replace("-", "")
    truth = Oli(name, int(scene["landsat:wrs_row"]), x, y)
    # An exact transform may put a point on the edge of two pixels into either.
    needed = 0.98 if cell in FOREIGN else 0.9995
    for band in ("coastal", "red", "nir08", "swir22"):
        off = np.abs(chip.bands[band].astype(float) - truth.numbers(band))
        assert (off <= 1).mean() > needed, band
    off = np.abs(chip.bands["lwir11"] - truth.temperature())
    assert (off <= 1).mean() > needed
    qa = expected_qa(truth)
    assert (chip.bands["qa"] == qa).mean() > needed - 0.001
    cloudy = 100 * ((qa & 0b110) != 0).mean()
    assert chip.item["properties"]["eo:cloud_cover"] == pytest.approx(cloudy, abs=0.3)


@pytest.mark.parametrize("cell", list(NATIVE), ids=lambda c: c.code)
def test_native_chips_are_the_bytes_that_gdal_reads(lake: Lake, cell: Cell) -> None:
    """A window of the served COG, found by bounds alone, is the stored band."""
    chip = lake.items[cell]
    document = upstream(lake, chip)
    with rasterio.Env(**GDAL):
        for band in ("green", "swir16", "lwir11"):
            with rasterio.open(signed(lake, document, band)) as source:
                west, south, east, north = chip.bounds
                shift = -1e7 if chip.epsg > 32700 else 0.0
                window = from_bounds(west, south + shift, east, north + shift, source.transform)
                assert all(math.isclose(n, round(n), abs_tol=1e-6) for n in window.flatten())
                pixels = source.read(1, window=window.round_offsets().round_lengths())
            np.testing.assert_array_equal(chip.bands[band], pixels)


def test_resampled_chip_is_gdals_nearest_warp(lake: Lake) -> None:
    chip = lake.items[NORWAY]
    url = signed(lake, upstream(lake, chip), "red")
    with rasterio.Env(**GDAL), rasterio.open(url) as source:
        assert source.crs.to_epsg() == 32631
        pixels = np.zeros((88, 88), np.uint16)
        corners = transform_bounds(chip.epsg, source.crs, *chip.bounds)
        window = from_bounds(*corners, source.transform).round_offsets().round_lengths()
        window = Window(
            window.col_off - 9, window.row_off - 9, window.width + 18, window.height + 18
        )
        reproject(
            source.read(1, window=window),
            pixels,
            src_transform=rasterio.Affine(
                30,
                0,
                source.transform.c + 30 * window.col_off,
                0,
                -30,
                source.transform.f - 30 * window.row_off,
            ),
            src_crs=source.crs,
            dst_transform=chip.transform,
            dst_crs=chip.epsg,
            resampling=Resampling.nearest,
            tolerance=0,
        )
    assert (pixels == chip.bands["red"]).mean() > 0.99


def signed(lake: Lake, document: dict[str, Any], band: str) -> str:
    """A GDAL path of an asset with a token of the stand-in."""
    host, _, path = document["assets"][band]["href"].removeprefix("https://").partition("/")
    account, container = host.split(".")[0], path.split("/")[0]
    api = f"{lake.origin}/planetary-computer"
    token = requests.get(f"{api}/api/sas/v1/token/{account}/{container}", timeout=30).json()
    return f"/vsicurl/{api}/blob/{account}/{path}?{token['token']}"


def test_the_recipe_from_the_command_line(origin: str, tmp_path: Path) -> None:
    """Four seasons of one patch, found in three years, by the catalogue's own recipe."""
    path = str(tmp_path / "lake")
    arguments = ("--recipe", "landsat", "--product", "landsat-c2-l2", "--grid", "772176")
    done = small.execute(
        "harvest", *arguments, "--lake", path, "--upstream", origin, "--workers", "2", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    slots = {name.split("/")[0].rpartition("_")[2] for name in small.items(path)}
    assert slots == {"winter", "autumn", "summer", "spring"}
    for document in small.items(path).values():
        facts = document["properties"]
        assert facts["lake:scene_cloud_cover_pct"] <= 20
        assert facts["platform"] in ("landsat-8", "landsat-9")
    assert small.problems(path) == []
