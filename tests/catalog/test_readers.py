"""The field's readers open an item of a lake unaided."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
from made_items import facts, slot_of

from stac_lake import recipe
from stac_lake.catalog.commit import commit
from stac_lake.catalog.item import resolve
from stac_lake.pixels.cog import encode_cog
from stac_lake.store.objects import Objects
from stac_lake.types import Chip, patch_grid

pytestmark = [
    # odc-stac and rioxarray multiply affine's transforms, which affine 3.1 is going to deprecate.
    pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning"),
    # odc-geo transforms geometries by what shapely 2.2 deprecates.
    pytest.mark.filterwarnings("ignore:The 'shapely.ops.transform:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], np.ndarray]:
    """A resolved s2-l2a item on disk, and its pixels: band × 1000 + row + column."""
    product, slot = recipe.product("s2-l2a"), slot_of("s2-l2a")
    assert slot.patch is not None
    band, row, column = np.indices((len(product.bands), 264, 264))
    data = (1000 * (band + 1) + row + column).astype("uint16")
    grid = patch_grid(slot.patch)
    cog = encode_cog(Chip(grid, product.band_names, data, ()), product)
    objects = Objects.open(str(tmp_path_factory.mktemp("lake")))
    made = facts(slot, cog.data, layout=cog.layout)
    assert made.sha256 == cog.sha256
    return resolve(commit(objects, made, cog.data).document, objects.url), data


def test_odc_stac_by_band_and_common_name(stored: tuple[dict[str, Any], np.ndarray]) -> None:
    odc_stac = pytest.importorskip("odc.stac")
    document, data = stored
    item = pystac.Item.from_dict(document)
    loaded = odc_stac.load([item], bands=["B04", "nir", "qa"])
    assert loaded.odc.geobox.shape == (264, 264)
    for name, band in (("B04", 3), ("nir", 7), ("qa", 12)):
        assert loaded[name].dtype == np.uint16
        np.testing.assert_array_equal(loaded[name].values[0], data[band])
    assert int(loaded["B04"].attrs["nodata"]) == 0


def test_rio_tiler(stored: tuple[dict[str, Any], np.ndarray]) -> None:
    reader = pytest.importorskip("rio_tiler.io").STACReader
    document, data = stored
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rio-tiler's own deprecations
        with reader("item.json", item=pystac.Item.from_dict(document)) as source:
            for how in document["properties"]["renders"].values():
                image = source.preview(assets=how["assets"], indexes=how["bidx"], max_size=None)
                wanted = data[[number - 1 for number in how["bidx"]]]
                np.testing.assert_array_equal(image.data, wanted)


def test_rioxarray(stored: tuple[dict[str, Any], np.ndarray]) -> None:
    rioxarray = pytest.importorskip("rioxarray")
    document, data = stored
    with warnings.catch_warnings():
        # It says that `qa` has another scale than the reflectances, which is so.
        warnings.filterwarnings("ignore", message="Scales differ across bands")
        opened = rioxarray.open_rasterio(Path(document["assets"]["data"]["href"]))
    with opened as raster:
        np.testing.assert_array_equal(raster.values, data)
        assert raster.rio.crs.to_epsg() == document["properties"]["proj:epsg"]
        transform = list(raster.rio.transform())[:6]
        assert transform == document["properties"]["proj:transform"]
