"""Every recorded Item of a product that we know makes a right Scene, or names the reason."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyproj import Transformer
from shapely.geometry import box, shape

from stac_lake.recipe import Product, SourceCollection, products
from stac_lake.types import Scene
from stac_lake.upstream import newest, read_item
from tests.conftest import SHARED

from .conftest import DATA


def _sources() -> dict[tuple[str, str], list[tuple[Product, SourceCollection]]]:
    found: dict[tuple[str, str], list[tuple[Product, SourceCollection]]] = {}
    for product in products().values():
        for source in product.sources:
            found.setdefault((source.provider, source.collection), []).append((product, source))
    dem = products()["dem-glo30"]
    for source in dem.sources:
        collection = getattr(dem.values, "fallback_collections").get(source.provider)  # noqa: B009
        if collection:
            coarse = source.model_copy(update={"collection": collection})
            found.setdefault((source.provider, collection), []).append((dem, coarse))
    return found


SOURCES = _sources()


def _documents() -> list[tuple[str, Path]]:
    paths = [(path.name.partition("_")[0], path) for path in sorted(DATA.glob("*.json"))]
    if SHARED is not None:
        for provider in ("earth-search", "planetary-computer", "cdse"):
            root = SHARED / "upstream" / provider
            for folder in ("items", "special", "synthetic_templates"):
                paths += [(provider, path) for path in sorted((root / folder).rglob("*.json"))]
    return paths


def _known() -> list[Any]:
    cases = []
    for provider, path in _documents():
        document = json.loads(path.read_text())
        for product, source in SOURCES.get((provider, document["collection"]), []):
            label = f"{provider}-{path.parent.name}-{document['id']}-{product.id}"
            cases.append(pytest.param(document, product, source, id=label))
    return cases


def _read(document: dict[str, Any], product: Product, source: SourceCollection) -> Scene | str:
    return read_item(document, product, source)


@pytest.mark.parametrize(("document", "product", "source"), _known())
def test_recorded_item(
    document: dict[str, Any], product: Product, source: SourceCollection
) -> None:
    scene = _read(document, product, source)
    if isinstance(scene, str):
        # The only ones that may be refused: collection 01 of Sentinel-5P, Landsat's tier 2, and
        # items of the Planetary Computer's first months, which the same product under its later id
        # replaces.
        if scene == "no asset 'SCL'":
            assert "SCL-20m" in document["assets"]
        elif product.modality == "landsat":
            assert document["id"].endswith("T2")
            assert scene == "landsat:collection_category is 'T2', not 'T1'"
        else:
            assert scene == "superseded: collection 01"
        return
    assert scene.id == document["id"]
    spare = {band.name for band in product.optional_bands}
    if product.id == "s1-grd":
        spare |= {"VV", "VH"}  # one pair is flown, or one polarisation alone
    assert set(scene.assets) >= set(source.assets) - {"metadata", "tie_geo", "instrument"} - spare
    # What no document lists: masks and annotations lie beside the files that they list.
    beside = ("mask", "annotation-", "calibration-", "noise-")
    assert {a.href for a in scene.assets.values() if not a.key.startswith(beside)} <= {
        a["href"] for a in document["assets"].values()
    }
    assert shape(scene.footprint).is_valid
    assert scene.start <= scene.end
    assert scene.start.tzinfo == UTC
    platform = scene.properties["platform"]
    assert platform in product.platform_ids, platform
    if product.modality == "s2":
        _check_sentinel2(scene, document, source)
    if product.id == "s1-grd":
        # Whatever a document says: a ground range image has no affine georeference.
        assert {asset.epsg for asset in scene.assets.values()} == {None}
    elif product.modality in {"s1", "s2", "dem"}:
        _check_georeference(scene)


def _check_sentinel2(scene: Scene, document: dict[str, Any], source: SourceCollection) -> None:
    name = document["properties"].get("s2:product_uri", document["id"])
    _, _, datatake, baseline, orbit, tile, _ = name.removesuffix(".SAFE").split("_")
    old = int(baseline[1:]) < 400
    removed = source.collection == "sentinel-2-l2a" and source.provider == "earth-search"
    assert scene.dn_offset == (0 if old or removed else 1000)
    assert scene.properties["processing:version"] == f"{baseline[1:3]}.{baseline[3:]}"
    assert scene.properties["sat:relative_orbit"] == int(orbit[1:])
    assert datatake in scene.acquisition
    assert tile[1:] in scene.acquisition
    sensed = datetime.strptime(datatake, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    assert timedelta(0) <= scene.start - sensed < timedelta(minutes=30)
    zone = int(tile[1:3])
    epsg = (32600 if tile[3] >= "N" else 32700) + zone
    for key, gsd in (("B02", 10), ("B05", 20), ("B01", 60)):
        asset = scene.assets[key]
        assert asset.epsg == epsg
        assert asset.shape == (109800 // gsd, 109800 // gsd)
        assert asset.transform is not None
        a, b, x, d, e, y = asset.transform
        assert (a, b, d, e) == (gsd, 0, 0, -gsd)
        assert (x % 60, y % 60) == (0, 0 if tile[3] >= "N" else 40)


def _check_georeference(scene: Scene) -> None:
    """The footprint lies within the raster, up to a pixel's width."""
    asset = next(iter(scene.assets.values()))
    assert asset.epsg is not None
    assert asset.transform is not None
    assert asset.shape is not None
    a, _, x, _, e, y = asset.transform
    rows, columns = asset.shape
    raster = box(x, y + e * rows, x + a * columns, y).buffer(20 * abs(a))
    project = Transformer.from_crs(4326, asset.epsg, always_xy=True)
    footprint = shape(scene.footprint)
    # Split at the antimeridian, a UTM raster is one piece again in its own CRS.
    for part in getattr(footprint, "geoms", [footprint]):
        for lon, lat in part.exterior.coords:
            px, py = project.transform(lon, lat)
            if asset.epsg == 4326:
                px = x + (px - x + 0.5) % 360 - 0.5
            outside = raster.distance(box(px, py, px, py).centroid)
            assert outside < 0.01 * a * columns, (lon, lat)


def test_every_collection_that_was_recorded_is_covered() -> None:
    """The parametrisation is not empty, and covers what the lake takes from each provider."""
    covered = {(p.values[2].provider, p.values[2].collection) for p in _known()}
    vendored = {
        ("earth-search", "sentinel-2-l2a"),
        ("earth-search", "cop-dem-glo-30"),
        ("planetary-computer", "sentinel-2-l2a"),
        ("planetary-computer", "sentinel-1-rtc"),
        ("cdse", "sentinel-2-l2a"),
    }
    assert covered >= vendored


COLLECTIONS = (
    [
        pytest.param(provider, path, id=f"{provider}-{path.stem}")
        for provider in ("earth-search", "planetary-computer", "cdse")
        for path in sorted((SHARED / "upstream" / provider / "collections").glob("*.json"))
        if (provider, path.stem) in SOURCES
    ]
    if SHARED is not None
    else []
)


@pytest.mark.parametrize(("provider", "path"), COLLECTIONS)
def test_asset_keys_exist_in_the_recorded_collection(provider: str, path: Path) -> None:
    listed = set(json.loads(path.read_text()).get("item_assets", {}))
    # The Planetary Computer's Collection still has the key of its first items.
    listed |= {"SCL"} if "SCL-20m" in listed else set()
    for product, source in SOURCES[provider, path.stem]:
        assert not listed or set(source.assets.values()) <= listed, product.id


DUPLICATES = (
    sorted((SHARED / "upstream/planetary-computer/special/duplicate_reprocessed").glob("*.json"))
    if SHARED is not None
    else []
)


@pytest.mark.parametrize("path", DUPLICATES, ids=lambda path: path.stem[:80])
def test_recorded_duplicates_are_one_acquisition(path: Path) -> None:
    """Old ids with .SAFE and new ones without are the same product."""
    product = products()["s2-l2a"]
    source = next(s for s in product.sources if s.provider == "planetary-computer")
    tile = re.search(r"_T(\w{5})", path.stem)[1]  # type: ignore[index]
    twins = [other for other in DUPLICATES if f"_T{tile}" in other.stem]
    documents = [json.loads(twin.read_text()) for twin in twins]
    for document in documents:
        document["assets"].setdefault("SCL", document["assets"].get("SCL-20m"))
    scenes = [_read(document, product, source) for document in documents]
    found = [scene for scene in scenes if isinstance(scene, Scene)]
    assert len(found) == len(twins)
    assert len({scene.acquisition for scene in found}) == 1
    kept, losers = newest(found)
    assert len(kept) == 1
    assert set(losers) == {scene.id for scene in found} - {kept[0].id}
