"""A Copernicus-Pretrain tree as a lake, against its files, by rasterio and the original's count."""

from __future__ import annotations

import gzip
import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import odc.stac
import pystac
import pytest
import rasterio
import typer
from rasterio.warp import transform_bounds
from shapely.geometry import shape
from typer.testing import CliRunner

from stac_lake.atlas.statistics import pixel_statistics
from stac_lake.catalog.export import export_fnames
from stac_lake.catalog.index import Index
from stac_lake.catalog.schema import LAKE_SCHEMA
from stac_lake.cli import adopt as command
from stac_lake.errors import BadRaster, ConfigError, StoreUnavailable
from stac_lake.grid import Cell, Patch
from stac_lake.harvest import adopt as module
from stac_lake.harvest.adopt import adopt
from stac_lake.harvest.ledger import Ledger
from stac_lake.lake import Lake, open_lake
from stac_lake.loaders import LakeDataset
from stac_lake.loaders.read import read_chip
from stac_lake.store.objects import Objects
from tests.catalog.stac_schemas import CORE, known, problems
from tests.harvest import pretrain_tree as pretrain
from tests.harvest.pretrain_tree import EW, FULL, LOCAL, MONTHS, OTHER, PATHS, POLAR, S1, S2

pytest_plugins = ("s3_fixtures",)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree; not to be changed."""
    return pretrain.make(tmp_path_factory.mktemp("pretrain") / "tree")


@pytest.fixture(scope="module")
def lake(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Adopted by its headers."""
    url = str(tmp_path_factory.mktemp("adopted") / "lake")
    before = {path: path.stat().st_mtime_ns for path in tree.rglob("*")}
    report = adopt(tree, url)
    assert report.counts == Counter(stored=len(PATHS))
    assert {path: path.stat().st_mtime_ns for path in tree.rglob("*")} == before
    return open_lake(url)


@pytest.fixture
def own(tmp_path: Path) -> tuple[Path, str]:
    """A tree of a cell's optical images, that a test may change, and a place for its lake."""
    return pretrain.make(tmp_path / "tree", pretrain.files("s2_toa", FULL)), str(tmp_path / "lake")


def path_of(item: dict[str, Any], tree: Path) -> str:
    return str(Path(item["assets"]["data"]["href"]).relative_to(tree))


def item_of(lake: Lake, tree: Path, path: str) -> dict[str, Any]:
    return next(item for item in lake.search() if path_of(item, tree) == path)


def test_every_file_is_an_item(lake: Lake, tree: Path) -> None:
    items = list(lake.search())
    assert sorted(path_of(item, tree) for item in items) == sorted(PATHS)
    assert not any("assets" in info.key for info in lake.index.objects.list(""))
    for item in items:
        path = item["assets"]["data"]["href"]
        properties = item["properties"]
        with rasterio.open(path) as dataset:
            assert properties["proj:epsg"] == dataset.crs.to_epsg()
            assert properties["proj:shape"] == list(dataset.shape)
            assert properties["proj:transform"] == list(dataset.transform)[:6]
            assert len(item["assets"]["data"]["bands"]) == dataset.count
            box = transform_bounds(dataset.crs, 4326, *dataset.bounds, densify_pts=101)
        np.testing.assert_allclose(shape(item["geometry"]).bounds, box, atol=1e-5)
        np.testing.assert_allclose(item["bbox"], shape(item["geometry"]).bounds)
        assert properties["lake:size_bytes"] == Path(path).stat().st_size
        assert item["assets"]["data"]["file:size"] == Path(path).stat().st_size
        pystac.Item.from_dict(item)


def test_optical(lake: Lake, tree: Path) -> None:
    item = item_of(lake, tree, f"{pretrain.ROOTS['s2_toa']}/{FULL}/{LOCAL}/{S2[0]}.tif")
    told = item["properties"]
    assert item["collection"] == "era5-0906994"
    assert told["datetime"] == "2020-10-02T22:16:11.000Z"
    assert (told["lake:product"], told["lake:slot"]) == ("s2-l1c", "20201002T221611")
    assert told["lake:source_patch_id"] == LOCAL
    assert told["lake:upstream_id"] == S2[0]
    names = [band["name"] for band in item["assets"]["data"]["bands"]]
    assert names == [
        "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12",
    ]  # fmt: skip


def test_what_cannot_be_known_is_null(lake: Lake) -> None:
    unknown = (
        "lake:dn_offset", "lake:offset_source", "eo:cloud_cover", "lake:baseline", "platform",
        "lake:upstream_collection", "lake:valid_pct", "lake:scene_cloud_cover_pct",
    )  # fmt: skip
    names = ", ".join(f'count("{name}")' for name in unknown)
    sql = f"SELECT {names} FROM items WHERE \"lake:modality\" = 's2'"
    assert lake.index.connection().execute(sql).fetchall() == [(0,) * len(unknown)]
    for item in lake.search(products=["s2-l1c"]):
        assert not set(unknown) & set(item["properties"])
        assert not {"file:checksum", "lake:layout"} & set(item["assets"]["data"])


def test_radar(lake: Lake, tree: Path) -> None:
    item = item_of(lake, tree, f"{pretrain.ROOTS['s1_grd']}/{FULL}/{LOCAL}/{S1[1]}.tif")
    told = item["properties"]
    assert told["platform"] == "sentinel-1b"
    assert told["sar:instrument_mode"] == "IW"
    assert told["sat:absolute_orbit"] == 28413
    assert told["datetime"] == "2021-08-27T21:24:33.000Z"
    assert [band["name"] for band in item["assets"]["data"]["bands"]] == ["VV", "VH"]
    polar = next(one for one in lake.search(products=["s1-grd"]) if EW in str(one["assets"]))
    assert [band["name"] for band in polar["assets"]["data"]["bands"]] == ["HH", "HV"]
    assert polar["properties"]["sar:polarizations"] == ["HH", "HV"]
    # The same patch for both sensors.
    optical = next(iter(lake.search("lake:modality = 's2'", cells=[906994])))
    assert optical["properties"]["lake:patch"] == told["lake:patch"]


def test_composites_and_heights(lake: Lake, tree: Path) -> None:
    december = next(iter(lake.search("lake:slot = '2021-12'", products=["s5p-co"])))["properties"]
    assert december["datetime"] is None
    assert december["start_datetime"] == "2021-12-01T00:00:00.000Z"
    # The original leaves the last day of December out, and its file says so.
    assert december["end_datetime"] == "2021-12-30T23:59:59.999Z"
    assert december["platform"] == "sentinel-5p"
    heights = next(iter(lake.search(products=["dem-glo30"])))
    assert heights["id"] == "dem-glo30_0906994_static"
    assert heights["properties"]["datetime"] == "2021-04-22T00:00:00.000Z"


def test_cells(lake: Lake) -> None:
    assert [one.cell.id for one in lake.cells().cells] == [772176, 906994]
    (full,) = lake.cells(aligned=True).cells
    assert full.cell.id == 906994
    assert full.slots["s2"] == 4
    assert full.complete["s2"] == 1
    assert (full.slots["s3"], full.complete["s3"], full.slots["co"]) == (8, 1, 3)


def test_indexes_are_those_of_the_original(lake: Lake, tree: Path, tmp_path: Path) -> None:
    """Adopted and exported again, a tree is what the original's script counts."""
    export_fnames(lake.index, tmp_path)
    with gzip.open(tmp_path / "fnames_union.json.gz", "rt") as file:
        union = json.load(file)
    # The original's order is that of the file system.
    for entry in union.values():
        for name, value in entry.items():
            if isinstance(value, dict):
                entry[name] = {local: sorted(paths) for local, paths in value.items()}
            elif isinstance(value, list):
                entry[name] = sorted(value)
    assert union == pretrain.counted(tree)


def test_ledger(lake: Lake) -> None:
    entries = Ledger(lake.index.objects).read([Cell(906994)])
    assert len(entries) == 27
    outcome = entries["s5p-co_0906994_2021-01"].outcome
    assert (outcome.state, outcome.version, outcome.scene) == ("stored", 1, MONTHS[0])
    assert outcome.provider == "copernicus-pretrain"


@pytest.mark.filterwarnings("ignore:Use .@. matmul:PendingDeprecationWarning")  # odc-geo
@pytest.mark.filterwarnings("ignore:The 'shapely.ops.transform:DeprecationWarning")  # odc-geo
def test_read_by_odc_stac_and_not_by_the_loaders(lake: Lake, tree: Path) -> None:
    item = item_of(lake, tree, f"{pretrain.ROOTS['s2_toa']}/{FULL}/{LOCAL}/{S2[1]}.tif")
    loaded = odc.stac.load([pystac.Item.from_dict(item)], bands=["B04", "B12"])
    stored = pretrain.pixels(path_of(item, tree))
    np.testing.assert_array_equal(loaded["B04"].isel(time=0), stored[3])
    np.testing.assert_array_equal(loaded["B12"].isel(time=0), stored[12])
    with pytest.raises(BadRaster, match="to find its tiles by"):
        read_chip(lake.index.objects, item)
    with pytest.raises(BadRaster):
        LakeDataset(lake)


def test_statistics_of_adopted_pixels(lake: Lake) -> None:
    (found,) = pixel_statistics(lake.search(products=["s2-l1c"])).products
    pixels = [pretrain.pixels(path)[3] for path in PATHS if "s2_toa" in path]
    red = np.concatenate([one[one != 0] for one in pixels])
    band = found.bands[3]
    assert (band.moments.count, band.moments.maximum) == (red.size, red.max())
    assert band.moments.mean == pytest.approx(red.mean(), rel=1e-12)


def test_measured(own: tuple[Path, str]) -> None:
    """What was adopted by its header gets a new version with numbers, once, and keeps them."""
    tree, url = own
    adopt(tree, url)
    assert adopt(tree, url, measure=True).counts == Counter(stored=4)
    again = [adopt(tree, url, measure=how).counts for how in (True, False)]
    assert again == [Counter(skipped=4)] * 2
    lake = open_lake(url)
    (item, *others) = lake.search()
    assert len(others) == 3
    assert item["properties"]["version"] == "2"
    assert [link["rel"] for link in item["links"]].count("predecessor-version") == 1
    data = pretrain.pixels(path_of(item, tree))
    valid = (data != 0).all(axis=0)
    assert item["properties"]["lake:valid_pct"] == pytest.approx(100 * valid.mean(), abs=1e-6)
    assert item["properties"]["lake:nodata_pct"] == pytest.approx(1500 / 264**2, abs=1e-6)
    for band, numbers in zip(item["assets"]["data"]["bands"], data, strict=True):
        known = numbers[numbers != 0].astype(float)
        assert band["statistics"]["mean"] == pytest.approx(known.mean())
        assert band["statistics"]["stddev"] == pytest.approx(known.std())
    assert lake.search("lake:valid_pct > 99.9").matched() == 4
    assert item["assets"]["data"]["file:checksum"].startswith("1220")


def test_goes_on_where_it_stopped(own: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped between items and index: nothing is lost, and no item gets a twin."""
    tree, url = own

    def full(self: Index, rows: Any) -> None:
        raise StoreUnavailable("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Index, "append", full)
        with pytest.raises(StoreUnavailable):
            adopt(tree, url)
    stored = sorted(info.key for info in Objects.open(url).list("cells"))
    assert len(stored) == 4
    assert open_lake(url).search().matched() == 0
    assert adopt(tree, url).counts == Counter(stored=4)
    assert sorted(info.key for info in Objects.open(url).list("cells")) == stored
    assert open_lake(url).search().matched() == 4
    pretrain.make(tree, pretrain.files("dem", FULL))
    version = open_lake(url).index.version
    assert adopt(tree, url).counts == Counter(skipped=4, stored=1)
    assert adopt(tree, url).counts == Counter(skipped=5)
    assert open_lake(url).index.version == (version or 0) + 1


def test_files_that_are_no_images(own: tuple[Path, str]) -> None:
    tree, url = own
    broken, empty, wrong, local = (tree / path for path in pretrain.files("s2_toa", FULL))
    broken.write_bytes(b"II*\0" + bytes(5000))
    empty.write_text('{"error": "quota"}')
    pretrain.write(wrong, np.ones((2, 40, 40), np.uint16), pretrain.PROFILES["s2_toa"])
    report = adopt(tree, url)
    assert report.counts == Counter(stored=1, failed=3)
    reasons = sorted(report.reasons)
    assert reasons[0].startswith("BadRaster: 18 bytes are no image")
    assert reasons[1] == "BadRaster: 2 bands instead of 13"
    assert reasons[2].startswith("BadRaster: not a GeoTIFF")
    entries = Ledger(Objects.open(url)).read()
    assert Counter(entry.outcome.state for entry in entries.values()) == report.counts
    # Put right, they are adopted by the next run.
    shutil.copy(local, broken)
    assert adopt(tree, url).counts == Counter(stored=1, failed=2, skipped=1)


def test_a_damaged_file_is_found_by_reading(own: tuple[Path, str]) -> None:
    tree, url = own
    damaged = tree / pretrain.files("s2_toa", FULL)[0]
    os.truncate(damaged, damaged.stat().st_size // 2)
    report = adopt(tree, url, measure=True)
    assert report.counts == Counter(stored=3, failed=1)


def test_names_that_say_nothing(own: tuple[Path, str]) -> None:
    tree, url = own
    images = tree / pretrain.ROOTS["s2_toa"]
    first = images / FULL / LOCAL / f"{S2[0]}.tif"
    (images / "checked_locations.csv").write_text("id,lon,lat\n")
    for name in ("no_date.tif", "20201002T221611_again.tif"):
        shutil.copy(first, first.with_name(name))
    first.with_name("notes.txt").write_text("not a file of the tree")
    shutil.copytree(images / FULL, images / "0906994_128.50_67.50")
    shutil.copytree(images / FULL / LOCAL, images / FULL / "1087610_128.50_67.25")
    report = adopt(tree, url)
    assert report.counts == Counter(stored=4, unnamed=4)
    why = "\n".join(report.unnamed.values())
    assert "expected YYYYMMDDTHHMMSS" in why
    assert "is of the same moment as 20201002T221611_20201002T221610_T60HWB.tif" in why
    assert "contradicts itself: cell 906994 is 0906994_128.50_67.25" in why
    assert "stands for the same patch" in why


def test_a_lake_around_its_tree_can_be_moved(tmp_path: Path) -> None:
    root = tmp_path / "all"
    pretrain.make(root / "tree", pretrain.files("dem", FULL))
    adopt(root / "tree", str(root))
    root.rename(tmp_path / "moved")
    (item,) = open_lake(tmp_path / "moved").search()
    href = item["assets"]["data"]["href"]
    assert href == str(tmp_path / "moved" / "tree" / pretrain.files("dem", FULL)[0])
    with rasterio.open(href) as dataset:
        assert dataset.shape == (936, 2402)


def test_a_tree_that_was_moved(own: tuple[Path, str]) -> None:
    """Adopted again from where it is now, its items point there."""
    tree, url = own
    adopt(tree, url)
    moved = tree.rename(tree.with_name("elsewhere"))
    assert adopt(moved, url).counts == Counter(stored=4)
    for item in open_lake(url).search():
        assert item["properties"]["version"] == "2"
        assert Path(item["assets"]["data"]["href"]).is_file()


def test_lake_on_s3_and_other_names_of_folders(
    own: tuple[Path, str], make_bucket: Callable[[], str]
) -> None:
    """As the download scripts call them; hrefs are absolute paths."""
    tree, _ = own
    (tree / "s2_toa_mix").rename(tree / "s2")
    url = make_bucket()
    assert adopt(tree, url).counts == Counter(stored=4)
    assert adopt(tree, url).counts == Counter(skipped=4)
    items = list(open_lake(url).search())
    assert {Path(item["assets"]["data"]["href"]).parent for item in items} == {
        tree / "s2/images" / FULL / LOCAL
    }


def test_several_processes(
    tree: Path, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CELLS_PER_TASK", 1)
    url = str(tmp_path / "lake")
    assert adopt(tree, url, workers=2).counts == Counter(stored=len(PATHS))
    together = open_lake(url)
    assert {item["id"] for item in together.search()} == {item["id"] for item in lake.search()}
    assert together.index.version == 1


def test_patches_are_near_where_their_folders_say(lake: Lake) -> None:
    for item in lake.search("lake:modality IN ('s1', 's2')"):
        told = item["properties"]
        name = told["lake:source_patch_id"]
        assert name in {LOCAL, OTHER, POLAR}
        lon, lat = Patch.from_id(told["lake:patch"]).centre
        _, x, y = name.split("_")
        assert math.hypot(lon - float(x), lat - float(y)) < 0.001


def test_command(own: tuple[Path, str], tmp_path: Path) -> None:
    tree, url = own
    app = typer.Typer()
    command.register(app)
    app.callback()(lambda: None)

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(
            app, ["adopt", *arguments, "--workers", "1", "--json"], catch_exceptions=False
        )

    ended = run(str(tree), "--lake", url)
    assert ended.exit_code == 0
    assert json.loads(ended.stdout)["stored"] == 4
    assert "4 stored, 0 skipped" in ended.stderr
    (tree / pretrain.files("s2_toa", FULL)[0]).write_text("oops")
    ended = run(str(tree), "--lake", url)
    assert ended.exit_code == 3
    assert "failed: 1 × BadRaster: 4 bytes are no image" in ended.stderr
    with pytest.raises(ConfigError, match="has none of s1_grd_utm/images"):
        run(str(tmp_path / "none"), "--lake", url)


def test_schemas(lake: Lake) -> None:
    """STAC's own and those of the extensions; not the lake's, which asks for what pixels tell."""
    for info in lake.index.objects.list("cells"):
        stored = json.loads(lake.index.objects.get(info.key))
        assert problems(stored, f"{CORE}/item-spec/json-schema/item.json") == []
        assert LAKE_SCHEMA not in stored["stac_extensions"]
        for schema in filter(known, stored["stac_extensions"]):
            assert problems(stored, schema) == []
