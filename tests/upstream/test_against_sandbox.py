"""The three providers end to end, over the sandbox's own dialects, signatures and faults."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import rasterio
from rasterio.io import MemoryFile

from stac_lake.errors import AssetMissing, ProviderRejected, ProviderUnavailable, UntrustedSource
from stac_lake.grid import Cell
from stac_lake.recipe import Product, SourceCollection, products
from stac_lake.sandbox.config import SandboxConfig
from stac_lake.sandbox.server import serve
from stac_lake.types import Scene, Window
from stac_lake.upstream import Upstream, newest

from .conftest import QUICK

CELL = Cell(772176)
KEYS = {"CDSE_S3_ACCESS_KEY": "sandbox", "CDSE_S3_SECRET_KEY": "sandbox"}
SUMMER = Window(datetime(2021, 6, 1, tzinfo=UTC), datetime(2021, 7, 1, tzinfo=UTC))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    cache: Path = tmp_path_factory.mktemp("sandbox")
    with serve(SandboxConfig(cache=cache)) as url:
        yield url


@pytest.fixture
def sandbox(base: str) -> Iterator[str]:
    yield base
    _post(f"{base}/_sandbox/reset", None)


def _post(url: str, document: object) -> None:
    body = json.dumps(document).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body, method="POST")) as answer:
        answer.read()


def arm(sandbox: str, **fault: object) -> None:
    _post(f"{sandbox}/_sandbox/faults", {"faults": [fault]})


def client(sandbox: str, keys: dict[str, str] = KEYS) -> Upstream:
    return Upstream(stand_in=sandbox, environ=keys, patience=QUICK)


SOURCES = [
    pytest.param(product, source, id=f"{product.id}-{source.provider}-{source.collection}")
    for product in products().values()
    for source in product.sources
]


def found(upstream: Upstream, product: Product, source: SourceCollection) -> list[Scene]:
    windows = [] if product.modality == "dem" else [SUMMER]
    if source.since is not None:
        windows = [Window(datetime(2023, 6, 1, tzinfo=UTC), datetime(2023, 6, 15, tzinfo=UTC))]
    return upstream.search(product, source, [CELL.bounds], windows)


@pytest.mark.parametrize(("product", "source"), SOURCES)
def test_every_source_finds_scenes_and_reads_their_files(
    sandbox: str, product: Product, source: SourceCollection
) -> None:
    upstream = client(sandbox)
    scenes = found(upstream, product, source)
    assert scenes
    kept, losers = newest(scenes)
    assert len(kept) + len(losers) == len(scenes)
    scene = kept[0]
    key, magic = {
        "s2": ("B01", (b"II*\0", b"\0\0\0\x0c")),
        "s1": ("VV", (b"II*\0", b"II+\0")),
        "s3": ("geolocation", (b"\x89HDF",)),
        "dem": ("height", (b"II*\0",)),
        "landsat": ("red", (b"II*\0",)),
    }.get(product.modality, ("granule", (b"\x89HDF",)))
    asset = scene.assets[key]
    size = upstream.source.size(asset)
    head, tail = upstream.source.read_ranges(asset, [(0, 4), (size - 4, size)])
    assert head in magic
    assert len(tail) == 4


def _source(product: str, provider: str, collection: str) -> tuple[Product, SourceCollection]:
    chosen = products()[product]
    return chosen, next(
        s for s in chosen.sources if (s.provider, s.collection) == (provider, collection)
    )


C1 = _source("s2-l2a", "earth-search", "sentinel-2-c1-l2a")
PC = _source("s2-l2a", "planetary-computer", "sentinel-2-l2a")
DEM = _source("dem-glo30", "earth-search", "cop-dem-glo-30")


def test_a_whole_file_opens_where_the_item_says(sandbox: str) -> None:
    upstream = client(sandbox)
    scene = found(upstream, *PC)[0]
    asset = scene.assets["scl"]
    with MemoryFile(upstream.source.read(asset)) as memory, memory.open() as raster:
        assert raster.crs == rasterio.crs.CRS.from_epsg(asset.epsg)
        assert tuple(raster.transform)[:6] == asset.transform
        assert raster.shape == asset.shape


def test_pages_are_complete_whatever_their_size(
    sandbox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = [scene.id for scene in found(client(sandbox), *C1)]
    from stac_lake.upstream import upstream as facade

    small = {k: p.model_copy(update={"page_limit": 2}) for k, p in facade.providers().items()}
    monkeypatch.setattr(facade, "providers", lambda: small)
    for source in (C1, PC):
        paged = client(sandbox)
        assert len(found(paged, *source)) == len(whole) > 2
        assert paged.traffic["requests"] > 1


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "too_many_requests", "retry_after_s": 0},
        {"kind": "unavailable", "retry_after_s": 0},
        {"kind": "gateway_timeout"},
        {"kind": "truncated", "path": "search"},
        {"kind": "short_connection", "path": "search"},
        {"kind": "empty_last_page"},
        {"kind": "duplicates", "path": "search"},
    ],
    ids=lambda fault: str(fault["kind"]),
)
@pytest.mark.parametrize("source", [C1, PC], ids=["earth-search", "planetary-computer"])
def test_search_survives(
    sandbox: str, fault: dict[str, object], source: tuple[Product, SourceCollection]
) -> None:
    expected = [scene.id for scene in found(client(sandbox), *source)]
    arm(sandbox, **fault)
    assert [scene.id for scene in found(client(sandbox), *source)] == expected


def test_a_refused_search_and_an_outage(sandbox: str) -> None:
    arm(sandbox, kind="unprocessable", path="search")
    with pytest.raises(ProviderRejected, match="422"):
        found(client(sandbox), *PC)
    arm(sandbox, kind="unavailable", times=-1, retry_after_s=0)
    with pytest.raises(ProviderUnavailable, match="503"):
        found(client(sandbox), *PC)


def test_two_baselines_of_one_acquisition(sandbox: str) -> None:
    arm(sandbox, kind="two_baselines", times=-1)
    scenes = found(client(sandbox), *PC)
    kept, losers = newest(scenes)
    assert losers
    by_id = {scene.id: scene for scene in scenes}
    for loser, reason in losers.items():
        winner = by_id[reason.removeprefix("superseded by ")]
        assert winner in kept
        assert winner.acquisition == by_id[loser].acquisition
        older, newer = (float(s.properties["processing:version"]) for s in (by_id[loser], winner))
        assert older <= newer


def test_expired_tokens_are_asked_for_again(sandbox: str) -> None:
    upstream = client(sandbox)
    asset = found(upstream, *PC)[0].assets["B01"]
    arm(sandbox, kind="expired_sas", times=2)
    assert upstream.source.size(asset) > 0


@pytest.mark.parametrize("kind", ["truncated", "short_connection", "unavailable"])
def test_reads_survive(sandbox: str, kind: str) -> None:
    upstream = client(sandbox)
    asset = found(upstream, *DEM)[0].assets["height"]
    expected = upstream.source.read_ranges(asset, [(50_000, 90_000)])
    arm(sandbox, kind=kind, path="s3", retry_after_s=0)
    assert client(sandbox).source.read_ranges(asset, [(50_000, 90_000)]) == expected


def test_missing_assets_and_redirects(sandbox: str) -> None:
    upstream = client(sandbox)
    asset = found(upstream, *DEM)[0].assets["height"]
    arm(sandbox, kind="missing_asset", path="s3")
    with pytest.raises(AssetMissing):
        upstream.source.size(asset)
    arm(sandbox, kind="redirect", path="s3", location="http://127.0.0.1:9")
    with pytest.raises(UntrustedSource):
        upstream.source.size(asset)


def test_wrong_keys_are_refused(sandbox: str) -> None:
    product, source = _source("s2-l1c", "cdse", "sentinel-2-l1c")
    scenes = found(client(sandbox), product, source)
    wrong = client(sandbox, KEYS | {"CDSE_S3_SECRET_KEY": "wrong"})
    with pytest.raises(ProviderRejected, match="403"):
        wrong.source.size(scenes[0].assets["B01"])
