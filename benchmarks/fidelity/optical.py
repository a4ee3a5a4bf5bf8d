"""Rows of Sentinel-2 and Landsat: digital numbers, offsets, masks, place."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pixel_files
import rasterio
import test_optical_real as real
from rasterio.io import MemoryFile

from benchmarks.fidelity.bench import Bench
from benchmarks.fidelity.mutations import half_pixel, offset_twice, row_flip
from benchmarks.fidelity.needs import recorded
from benchmarks.fidelity.rows import Figures, Measure, Row, differing
from benchmarks.fidelity.served import Stored, served
from stac_lake.pixels.operators import operator_for
from stac_lake.recipe import product
from stac_lake.types import Chip, PixelGrid, Qa
from stac_lake.upstream import read_item
from tests.everywhere import everywhere_fields as fields
from tests.everywhere.everywhere_sites import BY_NAME
from tests.sandbox.formulas import noise

L2A_BANDS = ("B04", "B08", "B11")
WRONG = (half_pixel, row_flip)
CLEAR = "T11UNT, 2025, baseline 05.11"
"""Nothing in its masks: flags that do not differ say nothing."""
SAFES = {"T11UNS, 2025, baseline 05.11": "T11UNS", CLEAR: "T11UNT"}
NUMBERS = Measure("DN that differ", "%", 0, (offset_twice, *WRONG))
FLAGS = Measure("qa that differs", "%", 0, WRONG)
PLACES = {
    "equator": 1,
    "south": 2,
    "32V": 1,
    "coast": 1,
    "at-180": 2,
}
"""Of the sandbox, and how many candidates are opened there."""


def rows() -> list[Row]:
    """All of them."""
    return [
        *(
            Row(
                "s2-l1c",
                place,
                "ESA's own JP2 and MSK_CLASSI by rasterio, max(DN − 1000, 1)",
                "real",
                (NUMBERS,) if place == CLEAR else (NUMBERS, FLAGS),
                partial(_safe, tile),
                needs="shared",
            )
            for place, tile in SAFES.items()
        ),
        *(_served("s2-l1c", place, ("B04", "B10", "qa"), _toa) for place in PLACES),
        Row(
            "s2-l2a",
            "a recorded Earth Search item, baseline 02.14, decimated to 100 m",
            "its COGs and SCL by rasterio",
            "real",
            (replace(NUMBERS, mutations=WRONG), FLAGS),
            _cogs,
            needs="shared",
        ),
        *(_served("s2-l2a", place, ("B04", "B11", "qa"), _boa) for place in ("equator", "south")),
        Row(
            "landsat-c2-l2",
            "path 1, row 62, 3° S, decimated to 300 m",
            "USGS's own files by rasterio",
            "real",
            (replace(NUMBERS, mutations=WRONG), FLAGS),
            _landsat,
            needs="shared",
        ),
    ]


def _cut(bench: Bench, item: Any, files: Any, scene: Any, grid: PixelGrid) -> Any:
    operator = operator_for(item, pixel_files.FileSource(files))
    (chip,) = bench.made(lambda: operator.cut([scene], [grid]))
    assert isinstance(chip, Chip)
    return chip.data


def _safe(tile: str, bench: Bench) -> Figures:
    files, _ = real.safe(recorded(f"s2_l1c_safe_clipped/*{tile}*.zip"))
    item = product("s2-l1c").with_bands([*real.L1C_BANDS, "qa"])
    with MemoryFile(files["B02"]) as memory, memory.open() as dataset:
        transform = (10.0, 0.0, dataset.transform.c, 0.0, -10.0, dataset.transform.f)
        grid = PixelGrid(dataset.crs.to_epsg(), transform, (200, 220))
    scene = pixel_files.scene_of(
        "s2-l1c", {key: key for key in files}, provider="cdse", dn_offset=1000
    )
    data = _cut(bench, item, files, scene, grid)
    source = np.concatenate([real.nearest(files[band], grid) for band in real.L1C_BANDS])
    source = source.astype(int)
    opaque, cirrus, snow = real.nearest(files["mask"], grid) != 0
    observed = (source != 0).all(axis=0)
    floored = ((source > 0) & (source <= 1000)).any(axis=0)
    flags = {Qa.CLOUD: opaque, Qa.CIRRUS: cirrus, Qa.SNOW: snow, Qa.FLOORED: floored}
    return {
        NUMBERS.name: differing(data[:-1], np.where(source == 0, 0, np.maximum(source - 1000, 1))),
        FLAGS.name: differing(data[-1], _qa(observed, flags)),
    }


def _qa(observed: Any, flags: dict[Qa, Any]) -> Any:
    word = np.full(observed.shape, int(Qa.OBSERVED))
    for flag, where in flags.items():
        word |= np.where(where, int(flag), 0)
    return np.where(observed, word, 0)


def _cogs(bench: Bench) -> Figures:
    path = min(real.COGS)
    files = {name: path.with_name(f"{name}.tif").read_bytes() for name in L2A_BANDS}
    files["scl"] = path.read_bytes()
    (document,) = (json.loads(p.read_text("utf-8")) for p in path.parent.glob("*.json"))
    item = product("s2-l2a")
    (source,) = (s for s in item.sources if s.offset_in_pixels == "removed")
    found = read_item(document | {"collection": source.collection}, item, source)
    assert not isinstance(found, str)
    with rasterio.open(path) as dataset:
        left, top = dataset.transform.c, dataset.transform.f
        grid = PixelGrid(
            dataset.crs.to_epsg(), (100.0, 0.0, left + 8e4, 0.0, -100.0, top), (264, 264)
        )
    scene = replace(found, assets=pixel_files.scene_of("", {k: k for k in files}).assets)
    data = _cut(bench, item.with_bands([*L2A_BANDS, "qa"]), files, scene, grid)
    scl = real.nearest(files["scl"], grid)[0]
    classes = {Qa.CLOUD: (8, 9), Qa.CIRRUS: (10,), Qa.SHADOW: (3,), Qa.SNOW: (11,), Qa.WATER: (6,)}
    flags = {flag: np.isin(scl, members) for flag, members in classes.items()}
    dn = np.concatenate([real.nearest(files[name], grid) for name in L2A_BANDS])
    flags[Qa.SATURATED] = (scl == 1) | (dn == 65535).any(axis=0)
    return {
        NUMBERS.name: differing(data[:-1], dn),
        FLAGS.name: differing(data[-1], _qa(scl != 0, flags)),
    }


def _landsat(bench: Bench) -> Figures:
    files, item = real.landsat(recorded("landsat_c2_l2/*_QA_PIXEL.TIF"))
    with MemoryFile(files["qa_pixel"]) as memory, memory.open() as dataset:
        a, _, c, _, e, f = tuple(dataset.transform)[:6]
        place = (a, 0.0, c + 100 * a, 0.0, e, f + 120 * e)
        grid = PixelGrid(dataset.crs.to_epsg(), place, (88, 88))
    scene = pixel_files.scene_of(
        item.id, {key: key for key in files}, provider="planetary-computer"
    )
    data = _cut(bench, item, files, scene, grid)
    dn = np.concatenate([real.nearest(files[name], grid) for name in real.NUMBERS])
    told = real.nearest(files["qa_pixel"], grid, fill=1)[0].astype(int)
    bits = {Qa.CIRRUS: 2, Qa.CLOUD: 3, Qa.SHADOW: 4, Qa.SNOW: 5, Qa.WATER: 7}
    flags = {flag: told >> bit & 1 == 1 for flag, bit in bits.items()}
    observed = ((told & 1) == 0) & (dn != 0).all(axis=0)
    return {
        NUMBERS.name: differing(data[:-1], dn),
        FLAGS.name: differing(data[-1], _qa(observed, flags)),
    }


Field = Callable[[Any, str, Any, Any], Any]


def _served(name: str, place: str, bands: tuple[str, ...], field: Field) -> Row:
    return Row(
        name,
        f"sandbox, {place}",
        "the formulas of docs/sandbox.md in float64",
        "sandbox",
        (
            # Where float32 rounds a half the other way, by one.
            replace(NUMBERS, tolerance=0.05),
            Measure("place", "px", 0.1, (half_pixel,)),
        ),
        partial(_compare_served, name, place, bands, field),
    )


def _toa(land: Any, band: str, x: Any, y: Any) -> Any:
    return land.reflectance(band, x, y)


def _boa(land: Any, band: str, x: Any, y: Any) -> Any:
    """L1C is 0.92 of L2A, and the path."""
    return (land.reflectance(band, x, y) - 1e4 * fields.band(band)["path"]) / 0.92


def _compare_served(
    name: str, place: str, bands: tuple[str, ...], field: Field, bench: Bench
) -> Figures:
    site = BY_NAME[place]
    crop: Stored = served(bench, name, site, bands, PLACES[place])
    platform, take, tile = crop.scene.acquisition.split("-")[:3]
    epsg = (32600 if tile[2] >= "N" else 32700) + int(tile[:2])
    land = fields.Land(f"{platform.upper()}_MSI_{take}", epsg)
    there = fields.moved(*crop.centres, crop.epsg, epsg)
    ours, expected = [], []
    for band in bands[:-1]:
        is_ = fields.band(band)
        x, y = land.pixel(*there, is_["m"])
        grain = noise(x, y, is_["m"], 3, int(is_["index"]))
        expected.append(np.maximum(1, np.rint(field(land, band, x, y)) + grain))
        ours.append(crop.band(band))

    def smooth(x: Any, y: Any) -> Any:
        return field(land, "B04", *fields.moved(x, y, crop.epsg, epsg))

    return {
        NUMBERS.name: differing(ours, expected),
        "place": crop.displacement("B04", smooth),
    }
