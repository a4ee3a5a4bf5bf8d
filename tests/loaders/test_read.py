"""Pixels by the tile index alone equal what rasterio reads from the file, bit for bit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from training_lake import TrainingLake

from stac_lake.errors import BadRaster, InvalidItem, KeyMissing
from stac_lake.lake import Lake
from stac_lake.loaders.read import read_chip

pytest_plugins = ("s3_fixtures",)

LAYOUTS = {
    "s2-l1c": (14, "uint16", 272, 1),
    "s2-l2a": (13, "uint16", 272, 1),
    "s1-rtc": (3, "float32", 272, 1),
    "s3-olci-efr": (22, "float32", 96, 1),
    "s5p-no2": (3, "float32", 32, 1),
    "dem-glo30": (2, "float32", 512, 4),
}


def first(lake: Lake, product: str) -> dict[str, Any]:
    return next(iter(lake.search(products=product)))


@pytest.mark.parametrize("product", LAYOUTS)
def test_equal_to_rasterio(lake: Lake, made: TrainingLake, product: str) -> None:
    bands, dtype, tile, tiles = LAYOUTS[product]
    for item in lake.search(products=product, max_items=3):
        layout = item["assets"]["data"]["lake:layout"]
        assert layout["tile"] == [tile, tile]
        assert len(layout["offsets"]) == tiles
        with rasterio.open(item["assets"]["data"]["href"]) as file:
            expected = file.read()
        chip = read_chip(lake.index.objects, item)
        assert chip.dtype == expected.dtype == np.dtype(dtype)
        assert chip.shape == expected.shape == (bands, *item["properties"]["proj:shape"])
        assert chip.tobytes() == expected.tobytes() == made.pixels[item["id"]].tobytes()


def test_equal_on_s3(s3_lake: Lake, made: TrainingLake) -> None:
    for product in LAYOUTS:
        item = first(s3_lake, product)
        chip = read_chip(s3_lake.index.objects, item)
        assert chip.tobytes() == made.pixels[item["id"]].tobytes()


def test_one_request_per_image_on_s3(s3_lake: Lake, s3: Any) -> None:
    item = first(s3_lake, "dem-glo30")
    s3.requests.clear()
    read_chip(s3_lake.index.objects, item)
    assert dict(s3.requests) == {"GET": 1}


def test_document_as_stored(lake: Lake, made: TrainingLake) -> None:
    name, document = next(iter(made.documents.items()))
    assert read_chip(lake.index.objects, document).tobytes() == made.pixels[name].tobytes()


@pytest.mark.parametrize("predictor", [1, 2, 3])
def test_predictors_that_others_write(tmp_path: Path, lake: Lake, predictor: int) -> None:
    """The layout of the item decides, not the product."""
    item = json.loads(json.dumps(first(lake, "s5p-no2")))
    asset = item["assets"]["data"]
    path = Path(asset["href"]).parent / f"other-{predictor}.tif"
    data = np.random.default_rng(3).normal(size=(3, 28, 28)).astype(np.float32)
    dtype = "float32" if predictor != 2 else "uint16"
    if predictor == 2:
        data = np.abs(data * 9000).astype(np.uint16)
    kind = {
        "driver": "GTiff", "count": 3, "height": 28, "width": 28, "dtype": dtype,
        "tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "zstd",
        "interleave": "pixel", "predictor": predictor, "crs": "EPSG:4326",
        "transform": rasterio.Affine(0.1, 0, 0, 0, -0.1, 1),
    }  # fmt: skip
    with rasterio.open(path, "w", **kind) as file:
        file.write(data)
    with rasterio.open(path) as file:
        places = [(column, row) for row in (0, 1) for column in (0, 1)]
        table = [
            [int(file.get_tag_item(f"BLOCK_{n}_{c}_{r}", "TIFF", bidx=1)) for c, r in places]
            for n in ("OFFSET", "SIZE")
        ]
    asset["href"] = str(path)
    for band in asset["bands"]:
        band["data_type"] = dtype
    asset["lake:layout"] |= {
        "tile": [16, 16], "offsets": table[0], "byte_counts": table[1], "predictor": predictor,
    }  # fmt: skip
    assert read_chip(lake.index.objects, item).tobytes() == data.tobytes()


def altered(lake: Lake, **layout: Any) -> dict[str, Any]:
    item: dict[str, Any] = json.loads(json.dumps(first(lake, "s5p-no2")))
    item["assets"]["data"]["lake:layout"] |= layout
    return item


@pytest.mark.parametrize(
    "layout",
    [
        {"interleave": "band"},
        {"compression": "deflate"},
        {"predictor": 4},
        {"offsets": []},
        {"byte_counts": [10]},
        {"offsets": [0]},
        {"tile": [16, 16]},
    ],
)
def test_other_layouts_are_refused(lake: Lake, layout: dict[str, Any]) -> None:
    item = altered(lake, **layout)
    with pytest.raises(BadRaster, match=item["id"]):
        read_chip(lake.index.objects, item)


def test_item_without_a_layout(lake: Lake) -> None:
    item = altered(lake)
    del item["assets"]["data"]["lake:layout"]
    with pytest.raises(BadRaster, match="tiles"):
        read_chip(lake.index.objects, item)


def test_tile_of_another_size(lake: Lake) -> None:
    item = altered(lake)
    item["assets"]["data"]["bands"].pop()
    with pytest.raises(BadRaster, match="does not decode"):
        read_chip(lake.index.objects, item)


def test_foreign_and_missing_assets(either_lake: Lake) -> None:
    objects = either_lake.index.objects
    item = first(either_lake, "s5p-no2")
    asset = item["assets"]["data"]
    good = asset["href"]
    asset["href"] = good[:-5] + "x.tif"
    with pytest.raises(KeyMissing):
        read_chip(objects, item)
    asset["href"] = objects.url + "/elsewhere.tif"
    with pytest.raises(BadRaster, match="cell"):
        read_chip(objects, item)
    asset["href"] = "s3://another/lake/x.tif"
    with pytest.raises(BadRaster, match="not in the lake"):
        read_chip(objects, item)
    asset["href"] = "../../../../../../../../etc/passwd"
    with pytest.raises(InvalidItem, match="leaves the cell"):
        read_chip(objects, item)


def test_needs_no_optional_package() -> None:
    """Reading works with the core's dependencies; torch is imported by `collate` alone."""
    code = (
        "import sys; import stac_lake.loaders; "
        "print([m for m in ('torch', 'imagecodecs', 'rasterio', 'xarray') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
