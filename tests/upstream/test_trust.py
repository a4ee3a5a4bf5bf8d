"""What upstream says is untrusted: nothing but the providers' own hosts is ever contacted."""

from __future__ import annotations

from typing import Any

import pytest

from stac_lake.errors import ConfigError, ProviderRejected, UntrustedSource
from stac_lake.recipe import products, providers
from stac_lake.types import Asset, Scene
from stac_lake.upstream import Upstream, read_item
from stac_lake.upstream.http import Ask, Http
from stac_lake.upstream.standin import Routes
from stac_lake.upstream.trust import check_href, check_url

from .conftest import QUICK, Answer, Server, page, recorded

PROVIDERS = sorted(providers())

HOSTILE = [
    "file:///etc/passwd",
    "/etc/passwd",
    "/vsicurl/http://127.0.0.1/x.tif",
    "/vsicurl?url=http://127.0.0.1/x.tif",
    "<VRTDataset rasterXSize='1' rasterYSize='1'><SourceFilename>/etc/passwd</SourceFilename>",
    "vrt:///etc/passwd",
    "http://169.254.169.254/latest/meta-data/",
    "https://169.254.169.254/latest/meta-data/",
    "https://[::1]/x.tif",
    "https://[::ffff:127.0.0.1]/x.tif",
    "https://127.0.0.1/x.tif",
    "https://2130706433/x.tif",
    "https://0x7f.1/x.tif",
    "https://localhost/x.tif",
    "https://metadata.google.internal/x",
    "https://example.com/x.tif",
    "http://sentinel-cogs.s3.us-west-2.amazonaws.com/x.tif",
    "https://sentinel-cogs.s3.us-west-2.amazonaws.com:8443/x.tif",
    "https://sentinel-cogs.s3.us-west-2.amazonaws.com.example.com/x.tif",
    "https://sentinel-cogs.s3.us-west-2.amazonaws.com@example.com/x.tif",
    "https://example.com#@sentinel-cogs.s3.us-west-2.amazonaws.com/x.tif",
    "https://example.com\\@sentinel-cogs.s3.us-west-2.amazonaws.com/x.tif",
    "https://user:word@sentinel-cogs.s3.us-west-2.amazonaws.com/x.tif",
    "https://other-bucket.s3.us-west-2.amazonaws.com/x.tif",
    "https://blob.core.windows.net/x/y.tif",
    "https://evilblob.core.windows.net/x/y.tif",
    "https://sentinel-cogs.s3.us-west-2.amazonaws.com/a/../b.tif",
    "https://sentinel-cogs.s3.us-west-2.amazonaws.com/a/%2e%2E/b.tif",
    "https://sentinel-cogs.s3.us-west-2.amazonaws.com/a\r\nHost: x",
    "https://sentinel-cogs.s3.us-west-2.amazonaws.com/" + "a" * 5000,
    "https://sentinel-cogs.s3.us-west-2.amazonaws.com/\x00",
    "https://sentinel\u2024cogs.s3.us-west-2.amazonaws.com/x.tif",
    "s3://private-bucket/key",
    "s3://eodata/",
    "s3://eodata/key?versionId=1",
    "s3://eodata@evil/key",
    "gs://bucket/key",
    "https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/a.tif?se=x&sig=secret",
    "https://sentinel-cogs.s3.us-west-2.amazonaws.com/a.tif?x=1",
    "https://sentinel-cogs.s3.us-west-2.amazonaws.com/a.tif#x",
    "https://sentinel-cogs.s3.us-west-2.amazonaws.com/",
    "javascript:alert(1)",
    "https://",
    "",
]


@pytest.mark.parametrize("href", HOSTILE)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_hostile_hrefs_are_refused(provider: str, href: str) -> None:
    with pytest.raises(UntrustedSource):
        check_href(href, providers()[provider])


@pytest.mark.parametrize("href", HOSTILE)
def test_hostile_assets_are_refused_at_reading_and_nobody_is_called(
    server: Server, upstream: Upstream, href: str
) -> None:
    for provider in PROVIDERS:
        with pytest.raises(UntrustedSource):
            upstream.source.read(Asset("x", href, provider))
    assert server.heard == []


@pytest.mark.parametrize(
    ("provider", "href"),
    [
        ("earth-search", "https://sentinel-cogs.s3.us-west-2.amazonaws.com/a/B04.tif"),
        ("earth-search", "s3://copernicus-dem-30m/a/a.tif"),
        ("planetary-computer", "https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/a.tif"),
        ("cdse", "s3://eodata/Sentinel-2/MSI/a.jp2"),
    ],
)
def test_the_providers_own_hrefs_pass(provider: str, href: str) -> None:
    check_href(href, providers()[provider])


def test_an_item_with_a_hostile_asset_makes_no_scene() -> None:
    document = recorded("earth-search_sentinel-2-l2a")
    product = products()["s2-l2a"]
    source = next(s for s in product.sources if s.offset_in_pixels == "removed")
    assert isinstance(read_item(document, product, source), Scene)
    for href in HOSTILE:
        document["assets"]["red"]["href"] = href
        refused = read_item(document, product, source)
        assert isinstance(refused, str)
        assert refused.startswith("asset 'red' is not trusted")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_to_another_server_are_not_followed(
    server: Server, canary: Server, upstream: Upstream, status: int
) -> None:
    """Of a file, of a token, of a search."""
    server.reply = lambda heard: Answer(status=status, headers={"Location": f"{canary.url}/x"})
    assets = [
        Asset("x", "https://sentinel-cogs.s3.us-west-2.amazonaws.com/a.tif", "earth-search"),
        Asset("x", "https://a.blob.core.windows.net/c/a.tif", "planetary-computer"),
        Asset("x", "s3://eodata/a.jp2", "cdse"),
    ]
    for asset in assets:
        with pytest.raises(UntrustedSource):
            upstream.source.read(asset)
    product = products()["s2-l2a"]
    refusal = ProviderRejected if status in {301, 302, 303} else UntrustedSource
    for source in product.sources:
        with pytest.raises(refusal):
            upstream.search(product, source, [(0.0, 0.0, 1.0, 1.0)], [])
    assert len(server.heard) == len(assets) + len(product.sources)
    assert canary.heard == []


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "http://169.254.169.254/",
        "//example.com/x",
        "https://[::1]/",
        "ftp://x/",
    ],
)
def test_redirects_to_hostile_places(server: Server, upstream: Upstream, location: str) -> None:
    server.reply = lambda heard: Answer(status=302, headers={"Location": location})
    with pytest.raises(UntrustedSource):
        upstream.source.size(
            Asset("x", "https://sentinel-cogs.s3.us-west-2.amazonaws.com/a.tif", "earth-search")
        )
    assert len(server.heard) == 1


def test_next_links_to_another_server_are_not_followed(
    server: Server, canary: Server, upstream: Upstream
) -> None:
    document = recorded("earth-search_sentinel-2-l2a")

    def reply(heard: Any) -> Answer:
        if "next" in heard.json:
            return page([])
        body = {**heard.json, "next": "1"}
        link = {"rel": "next", "href": f"{canary.url}/search", "merge": False, "body": body}
        return page([document], links=[link])

    server.reply = reply
    product = products()["s2-l2a"]
    source = next(s for s in product.sources if s.offset_in_pixels == "removed")
    west, south, east, north = document["bbox"]
    assert len(upstream.search(product, source, [(west, south, east, north)], [])) == 1
    assert canary.heard == []
    assert len(server.heard) == 2


def test_huge_files_are_refused_before_they_are_read(server: Server, upstream: Upstream) -> None:
    size = 1 << 50

    def reply(heard: Any) -> Answer:
        headers = {"Content-Range": f"bytes 0-32767/{size}", "ETag": '"1"'}
        return Answer(bytes(32768), 206, headers)

    server.reply = reply
    asset = Asset("x", "https://sentinel-cogs.s3.us-west-2.amazonaws.com/a.tif", "earth-search")
    with pytest.raises(UntrustedSource, match=str(size)):
        upstream.source.read(asset)
    assert len(server.heard) == 1


def test_without_a_stand_in_loopback_is_refused(canary: Server) -> None:
    provider = providers()["earth-search"].model_copy(update={"api": canary.url})
    http = Http(Routes(None), QUICK)
    with pytest.raises(UntrustedSource, match="only https"):
        http.request(Ask(f"{canary.url}/"), provider)
    assert canary.heard == []


def test_with_a_stand_in_nothing_else_is_reached() -> None:
    provider = providers()["earth-search"]
    origin = Routes("http://127.0.0.1:9/x").origin
    for url in (provider.api, "http://127.0.0.1:8/x", "https://127.0.0.1:9/x"):
        with pytest.raises(UntrustedSource, match="stand-in's origin"):
            check_url(url, provider, origin)


@pytest.mark.parametrize("base", ["ftp://x", "127.0.0.1:80", "", "http://", "http://h:port"])
def test_a_stand_in_must_be_a_url(base: str) -> None:
    with pytest.raises(ConfigError, match="--upstream"):
        Routes(base)
