"""A lake as its readers see it: search, collections, lazy arrays of real COGs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
import rasterio.shutil
from lake_items import FARM, ICE, SPECS, Spec, document, fill
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from stac_lake import open_lake
from stac_lake.catalog.index import IndexRow
from stac_lake.catalog.item import asset_key_of
from stac_lake.errors import CatalogError, ConfigError, GridError, QueryError
from stac_lake.lake import Lake, band_views
from stac_lake.recipe import product
from stac_lake.types import PixelGrid, patch_grid


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    url = str(tmp_path_factory.mktemp("lake"))
    fill(url)
    return open_lake(url)


def test_search_iterates_documents_and_items(lake: Lake) -> None:
    answer = lake.search(
        "eo:cloud_cover < 10", products="s2-l2a", cells=[772176], sortby="datetime"
    )
    documents = list(answer)
    assert [d["id"] for d in documents] == [i.id for i in answer.items()]
    assert all(isinstance(item, pystac.Item) for item in answer.items())
    clouds = [d["properties"]["eo:cloud_cover"] for d in documents]
    assert sorted(clouds) == [0.0, 0.5, 5.0, 5.5]
    assert answer.matched() == 4
    assert answer.not_applied == ()
    assert lake.search("eo:cloud_cover < 10").not_applied == ("dem-glo30", "s1-rtc", "s5p-no2")


def test_search_is_lazy_and_stops(lake: Lake) -> None:
    assert len(list(lake.search(max_items=3))) == 3
    assert list(lake.search(max_items=0)) == []
    assert lake.search(max_items=3).matched() == len(SPECS)
    with pytest.raises(QueryError):
        next(iter(lake.search("nonsense <")))
    with pytest.raises(GridError):
        lake.search(cells=[2_000_000])


def test_per_product_filters(lake: Lake) -> None:
    answer = lake.search(
        {"s2-l2a": "eo:cloud_cover < 10", "s5p-no2": "lake:n_orbits > 10"}, cells=[FARM]
    )
    found = [item["properties"] for item in answer]
    assert {p["lake:product"] for p in found} == {"s2-l2a", "s5p-no2", "s1-rtc", "dem-glo30"}
    assert all(p["eo:cloud_cover"] < 10 for p in found if p["lake:product"] == "s2-l2a")
    assert sorted(p["lake:n_orbits"] for p in found if p["lake:product"] == "s5p-no2") == [11, 12]


def test_a_pinned_version_stays(tmp_path: Path) -> None:
    index = fill(str(tmp_path))
    version = index.version
    assert version is not None
    before = open_lake(tmp_path).at(version)
    extra = Spec("dem-glo30", FARM, "later", SPECS[0].start, {"lake:valid_pct": 1.0})
    index.append([IndexRow(document(extra), 1)])
    assert len(list(before.search())) == len(SPECS)
    assert len(list(open_lake(tmp_path).search())) == len(SPECS) + 1


def test_the_collection_of_a_cell(lake: Lake) -> None:
    collection = lake.cell(123456)
    assert collection["id"] == "era5-0123456"
    assert pystac.Collection.from_dict(collection).extent.spatial.bboxes == [list(ICE.bbox)]
    assert all(link["href"].startswith(("/", "https://")) for link in collection["links"])
    with pytest.raises(CatalogError, match="no items"):
        lake.cell(5)


def test_open_lake_refuses_what_is_no_place() -> None:
    with pytest.raises(ConfigError):
        open_lake("ftp://example.org/lake")


def write_cog(path: Path, grid: PixelGrid, data: NDArray[np.uint16]) -> None:
    """A COG, by GDAL alone."""
    profile = {
        "driver": "GTiff",
        "count": len(data),
        "height": grid.shape[0],
        "width": grid.shape[1],
        "dtype": "uint16",
        "crs": f"EPSG:{grid.epsg}",
        "nodata": 0,
        "transform": rasterio.Affine(*grid.transform),
    }
    path.parent.mkdir(parents=True)
    with MemoryFile() as memory:
        with memory.open(**profile) as plain:
            plain.write(data)
        with memory.open() as source:
            rasterio.shutil.copy(source, path, driver="COG", BLOCKSIZE=272, OVERVIEWS="NONE")


@pytest.fixture(scope="module")
def pixels(lake: Lake) -> dict[str, NDArray[np.uint16]]:
    """Real files for the four seasons of one patch; numbers say item, band, row and column."""
    written = {}
    for number, spec in enumerate(s for s in SPECS[:4]):
        assert spec.patch is not None
        grid = patch_grid(spec.patch)
        rows, columns = np.indices(grid.shape)
        bands = np.arange(1, len(product("s2-l2a").bands) + 1)[:, None, None]
        data = (1 + 10_000 * number + 500 * bands + rows + columns // 2).astype(np.uint16)
        (item,) = lake.search(ids=spec.id)
        write_cog(Path(item["assets"]["data"]["href"]), grid, data)
        written[spec.id] = data
    return written


# odc-geo 0.5 multiplies transforms and projects geometries in ways that affine 3 and shapely 2.2
# are giving up.
@pytest.mark.filterwarnings("ignore:Use .@. matmul:PendingDeprecationWarning")
@pytest.mark.filterwarnings("ignore:The 'shapely.ops.transform:DeprecationWarning")
def test_open_is_the_pixels_by_band_and_common_name(
    lake: Lake, pixels: dict[str, NDArray[np.uint16]]
) -> None:
    items = list(lake.search(ids=list(pixels), sortby="datetime"))
    dataset = lake.open(items, bands=["B04", "nir"])
    assert dataset.sizes == {"time": 4, "y": 264, "x": 264}
    assert dataset["B04"].chunks is not None
    names = [band.name for band in product("s2-l2a").bands]
    for name, band in (("B04", "B04"), ("nir", "B08")):
        wanted = np.stack([pixels[item["id"]][names.index(band)] for item in items])
        np.testing.assert_array_equal(dataset[name].to_numpy(), wanted)


def test_stack_reads_one_band_per_view(lake: Lake, pixels: dict[str, NDArray[np.uint16]]) -> None:
    items = list(lake.search(ids=list(pixels), sortby="datetime"))
    array = lake.stack(items, ["B04", "qa"])
    assert array.dims == ("time", "band", "y", "x")
    names = [band.name for band in product("s2-l2a").bands]
    wanted = np.stack([pixels[i["id"]][[names.index("B04"), names.index("qa")]] for i in items])
    np.testing.assert_array_equal(array.to_numpy(), wanted)
    with pytest.raises(QueryError, match="no band B99"):
        lake.stack(items, ["B99"])
    with pytest.raises(QueryError, match="no items"):
        lake.stack([], ["B04"])


def test_views_of_a_lake_on_s3() -> None:
    stored = document(SPECS[0], sha256=hashlib.sha256(b"").hexdigest())
    href = f"s3://bucket/lake/{asset_key_of(stored)}"
    item = {**stored, "assets": {"data": {**stored["assets"]["data"], "href": href}}}
    ((name, asset),) = band_views(item, ["B02"])["assets"].items()
    assert name == "B02"
    assert asset["href"] == f"vrt:///vsis3/bucket/lake/{asset_key_of(stored)}?bands=2"
    assert [band["name"] for band in asset["eo:bands"]] == ["B02"]
