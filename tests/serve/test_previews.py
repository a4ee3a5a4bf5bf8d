"""Pictures of items, against numpy on the pixels that went in; and the API with hrefs over HTTP."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import matplotlib
import numpy as np
import pytest
import requests
from matplotlib.image import imread
from numpy.typing import NDArray
from pystac_client import Client
from typer.testing import CliRunner

from stac_lake.catalog.index import Index
from stac_lake.cli.main import app
from stac_lake.errors import ConfigError
from stac_lake.lake import Lake
from stac_lake.serve.browser import find_browser
from stac_lake.serve.previews import MAX_SIZE
from stac_lake.serve.site import make_site
from stac_lake.store.objects import Objects
from tests.loaders import training_lake
from tests.loaders.training_lake import TrainingLake
from tests.serve.running import running

pytest_plugins = ("s3_fixtures",)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> TrainingLake:
    return training_lake.make(str(tmp_path_factory.mktemp("previews") / "lake"))


@pytest.fixture(scope="module")
def index(made: TrainingLake) -> Index:
    return Index(Objects.open(made.url))


@pytest.fixture(scope="module")
def url(index: Index, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("browser")
    (folder / "index.html").write_text("<title>made-up bundle</title>")
    (folder / "app.js").write_text("1")
    with running(make_site(index, folder)) as address:
        yield address


def first(made: TrainingLake, product: str) -> str:
    return next(name for name in made.documents if name.startswith(f"{product}_"))


def picture(url: str, item: str, collection: str = "era5-0772176", **query: Any) -> NDArray[Any]:
    """RGBA, (row, column, 4), 0 to 255."""
    answer = requests.get(f"{url}/preview/{collection}/{item}.png", params=query, timeout=30)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "image/png"
    return np.round(imread(io.BytesIO(answer.content), format="png") * 255).astype(np.uint8)


def scaled(data: NDArray[Any], low: float, high: float) -> NDArray[np.float64]:
    """0 to 255."""
    return np.clip((data.astype(np.float64) - low) / (high - low), 0, 1) * 255


@pytest.mark.parametrize(("render", "bands"), [(None, [4, 3, 2]), ("false-colour", [8, 4, 3])])
def test_colours_are_the_bands_that_the_render_names(
    url: str, made: TrainingLake, render: str | None, bands: list[int]
) -> None:
    item = first(made, "s2-l1c")
    found = picture(url, item, **({"render": render} if render else {}))
    pixels = made.pixels[item]
    assert found.shape == (*pixels.shape[1:], 4)
    hole = pixels[0] == 0
    assert hole.any()
    np.testing.assert_array_equal(found[..., 3], np.where(hole, 0, 255))
    highest = (5000 if render else 3000), 3000, 3000
    for channel, (band, high) in enumerate(zip(bands, highest, strict=True)):
        wanted = scaled(pixels[band - 1], 0, high)
        assert np.abs(found[..., channel] - wanted)[~hole].max() <= 1


@pytest.mark.parametrize(
    ("product", "low", "high", "colours"),
    [("s1-rtc", -25, 0, "gray"), ("s5p-no2", 0, 2e-4, "viridis")],
)
def test_one_band_through_a_colour_table(
    url: str, made: TrainingLake, product: str, low: float, high: float, colours: str
) -> None:
    item = first(made, product)
    data = made.pixels[item][0]
    found = picture(url, item)
    times = found.shape[0] // data.shape[0]
    assert times == (1 if product == "s1-rtc" else 10)
    # Whole pixels: a coarse grid is shown as what it is.
    data = np.kron(data, np.ones((times, times)))
    valid = np.isfinite(data)
    np.testing.assert_array_equal(found[..., 3] > 0, valid)
    wanted = matplotlib.colormaps[colours](scaled(np.nan_to_num(data), low, high) / 255)[..., :3]
    # One step of the table is at most a few levels of a channel.
    assert np.abs(found[..., :3] - wanted * 255)[valid].max() <= 6


def test_heights_and_olci(url: str, made: TrainingLake) -> None:
    heights = picture(url, first(made, "dem-glo30"))
    assert heights.shape[:2] == (512, 512)
    assert len(np.unique(heights[..., :3].reshape(-1, 3), axis=0)) > 3
    assert picture(url, first(made, "s3-olci-efr")).shape[:2] == (288, 288)


@pytest.mark.parametrize("size", [1, 100, 512, MAX_SIZE])
def test_the_longer_side_has_the_size(url: str, made: TrainingLake, size: int) -> None:
    assert picture(url, first(made, "s1-rtc"), size=size).shape[:2] == (size, size)


@pytest.mark.parametrize("size", ["0", "-5", "1025", "99999999999", "x", "1.5", "", "²"])
def test_a_size_out_of_bounds_is_refused(url: str, made: TrainingLake, size: str) -> None:
    address = f"{url}/preview/era5-0772176/{first(made, 's1-rtc')}.png"
    answer = requests.get(address, params={"size": size}, timeout=30)
    assert answer.status_code == 400
    assert "1 to 1024" in answer.json()["description"]


def test_what_is_not_there(url: str, made: TrainingLake) -> None:
    item = first(made, "s2-l1c")
    for path in (
        f"era5-0772176/{item}x.png",
        f"era5-0123456/{item}.png",
        f"era5-0772176/{item}.png?render=infrared",
        "era5-0000005.png",
        "..%2f..%2fetc%2fpasswd.png",
    ):
        assert requests.get(f"{url}/preview/{path}", timeout=30).status_code == 404, path
    lost = requests.get(f"{url}/preview/era5-0772176/{item}.png?render=infrared", timeout=30)
    assert "true-colour, false-colour" in lost.json()["description"]


def test_a_known_picture_is_not_sent_again(url: str, made: TrainingLake) -> None:
    address = f"{url}/preview/era5-0772176/{first(made, 's2-l1c')}.png"
    answer = requests.get(address, timeout=30)
    assert "max-age" in answer.headers["Cache-Control"]
    sent = {"If-None-Match": answer.headers["ETag"]}
    assert requests.get(address, headers=sent, timeout=30).status_code == 304
    for other in ({"size": 8}, {"render": "false-colour"}):
        assert requests.get(address, params=other, headers=sent, timeout=30).status_code == 200


def test_the_picture_of_a_cell(url: str, index: Index) -> None:
    found = requests.get(f"{url}/preview/era5-0772176.png", timeout=30).content
    covers = {
        item["id"]: item["properties"].get("eo:cloud_cover", 999)
        for item in Lake(index).search(cells=[772176], products=["s2-l1c", "s2-l2a"])
    }
    clearest = [name for name, cover in covers.items() if cover == min(covers.values())]
    assert found in [
        requests.get(f"{url}/preview/era5-0772176/{name}.png", timeout=30).content
        for name in clearest
    ]
    # A cell without optical images has one, too.
    assert requests.get(f"{url}/preview/era5-0772177.png", timeout=30).status_code == 200


def test_previews_of_a_lake_on_s3(made: TrainingLake, make_bucket: Any) -> None:
    target, source = Objects.open(make_bucket()), Objects.open(made.url)
    item = first(made, "s2-l1c")
    for info in source.list(""):
        if info.key.startswith("index") or (item in info.key and info.key.endswith(".tif")):
            target.put(info.key, source.get(info.key))
    with running(make_site(Index(target))) as there:
        assert picture(there, item).shape == (264, 264, 4)
        lost = f"{there}/preview/era5-0772176/{first(made, 's1-rtc')}.png"
        assert requests.get(lost, timeout=30).status_code == 404


# From here on: the same API over HTTP alone.


def differing(plain: dict[str, Any], over_http: dict[str, Any]) -> set[str]:
    return {name for name in plain if plain[name] != over_http[name]}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_over_http_only_links_and_hrefs_differ(url: str, index: Index, method: str) -> None:
    plain = Client.open(url).search(method=method, limit=20).items_as_dicts()
    inside = {item["id"]: item for item in plain}
    search = Client.open(f"{url}/http/").search(method=method, limit=20)
    outside = {item["id"]: item for item in search.items_as_dicts()}
    assert outside.keys() == inside.keys() == {item["id"] for item in Lake(index).search()}
    for name, item in outside.items():
        assert differing(inside[name], item) <= {"links", "assets"}
        assert differing(inside[name]["assets"]["data"], item["assets"]["data"]) == {"href"}
        links = {link["rel"]: link["href"] for link in item["links"]}
        own = f"{url}/http/collections/{item['collection']}"
        assert links["self"] == f"{own}/items/{name}"
        assert links["root"] == f"{url}/http/"
        assert links["parent"] == links["collection"] == own
        hrefs = [*links.values(), *(asset["href"] for asset in item["assets"].values())]
        assert all(href.startswith(("http://", "https://")) for href in hrefs)
        # Nobody learns where the server keeps the lake.
        assert index.objects.url not in str(item)


def test_every_address_over_http_answers(url: str, made: TrainingLake) -> None:
    name = first(made, "s2-l1c")
    item = requests.get(f"{url}/http/collections/era5-0772176/items/{name}", timeout=30).json()
    links = {link["rel"]: link["href"] for link in item["links"]}
    here = [links[rel] for rel in ("self", "root", "parent", "collection")]
    for address in [*here, *(asset["href"] for asset in item["assets"].values())]:
        assert requests.get(address, timeout=30).status_code == 200, address
    assert requests.get(links["self"], timeout=30).json() == item
    collection = requests.get(links["parent"], timeout=30).json()
    shown = collection["assets"]["thumbnail"]
    assert (shown["type"], shown["roles"]) == ("image/png", ["thumbnail"])
    assert requests.get(shown["href"], timeout=30).headers["Content-Type"] == "image/png"
    listed = requests.get(f"{url}/http/collections", timeout=30).json()["collections"]
    assert collection["assets"] in [one["assets"] for one in listed]


def test_fields_and_prefixes(url: str, made: TrainingLake) -> None:
    chosen = {"fields": "id,collection,properties.datetime", "limit": 2}
    features = requests.get(f"{url}/http/search", params=chosen, timeout=30).json()["features"]
    assert len(features) == 2
    assert not any("data" in feature.get("assets", {}) for feature in features)
    # As a proxy sends it.
    sent = {"X-Forwarded-Host": "lake.example.org", "X-Forwarded-Proto": "https"}
    path = f"/http/collections/era5-0772176/items/{first(made, 's1-rtc')}"
    item = requests.get(f"{url}{path}", headers=sent, timeout=30).json()
    assert item["assets"]["data"]["href"].startswith("https://lake.example.org/data/cells/")
    assert f"https://lake.example.org{path}" in [link["href"] for link in item["links"]]


# And the browser's own files.


def test_the_bundle_and_its_settings(url: str) -> None:
    page = requests.get(f"{url}/browser", timeout=30)
    assert page.url == f"{url}/browser/"
    assert "made-up bundle" in page.text
    assert requests.get(f"{url}/browser/app.js", timeout=30).text == "1"
    assert "STAC_BROWSER_CONFIG" in requests.get(f"{url}/browser/config.js", timeout=30).text
    assert requests.get(f"{url}/browser/..%2f..%2fetc/passwd", timeout=30).status_code == 404


def test_without_a_bundle_the_page_says_how_to_get_one(
    index: Index, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with running(make_site(index)) as address:
        page = requests.get(f"{address}/browser", timeout=30)
        assert page.status_code == 404
        assert "make browser" in page.text
        assert str(tmp_path) in page.text
        assert requests.get(f"{address}/http", timeout=30).json()["type"] == "Catalog"
    built = tmp_path / "stac-lake" / "browser"
    built.mkdir(parents=True)
    (built / "index.html").touch()
    assert find_browser(None) == built
    with pytest.raises(ConfigError, match=r"build\.sh"):
        find_browser(tmp_path)
    told = CliRunner().invoke(app, ["serve", "--browser", str(tmp_path)])
    assert told.exit_code != 0
