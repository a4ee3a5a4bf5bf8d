"""STAC Browser in a real Chromium: catalogue, cell, item, and a COG on the map.

The bundle is that of `infra/browser/build.sh`, in the user's cache folder. Pictures of every page
are left in pytest's temporary folder.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from numpy.typing import NDArray
from playwright.sync_api import Locator, Page, expect, sync_playwright

from stac_lake.catalog.index import Index
from stac_lake.serve.browser import default_folder
from stac_lake.serve.site import make_site
from stac_lake.store.objects import Objects
from tests.loaders import training_lake
from tests.loaders.training_lake import FARM, SLOTS, TrainingLake
from tests.serve.running import running

CELL = FARM.collection_id
# Chromium refuses its sandbox to root, and draws WebGL without a graphics card by SwiftShader.
FLAGS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
PATIENCE_MS = 30_000


@dataclass
class Heard:
    """What a page has asked for, and what went wrong."""

    hosts: set[str] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> TrainingLake:
    return training_lake.make(str(tmp_path_factory.mktemp("browser") / "lake"))


@pytest.fixture(scope="module")
def site(made: TrainingLake) -> Iterator[str]:
    with running(make_site(Index(Objects.open(made.url)), default_folder())) as url:
        yield url


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def page(heard: Heard) -> Iterator[Page]:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 1000}, locale="en-GB")
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)

        def hear(request: Any) -> None:
            if not request.url.startswith(("blob:", "data:")):
                heard.hosts.add(request.url.split("/")[2])

        def answered(response: Any) -> None:
            if response.status >= 400 and not response.url.endswith("/favicon.ico"):
                heard.failed.append(f"{response.status} {response.url}")

        page.on("request", hear)
        page.on("response", answered)
        page.on("pageerror", lambda error: heard.failed.append(str(error)))
        page.on("crash", lambda _: heard.failed.append("the page crashed"))
        yield page
        browser.close()


def picture(of: Page | Locator, path: Path) -> NDArray[Any]:
    """A screenshot, also kept as a file: RGB, (row, column, 3), 0 to 255."""
    data = imread(io.BytesIO(of.screenshot(path=path)), format="png")
    return np.round(data[..., :3] * 255).astype(int)


def test_from_the_catalogue_to_an_item(site: str, page: Page, heard: Heard, tmp_path: Path) -> None:
    page.goto(f"{site}/browser/")
    cards = page.locator(".catalogs .card")
    expect(cards).to_have_count(3)
    expect(page.locator("h1").last).to_have_text("stac-lake")
    _wait_for_pictures(cards.locator("img"))
    picture(page, tmp_path / "catalogue.png")

    cards.filter(has_text="44.00° N, 96.00° W").locator("a").first.click()
    items = page.locator(".items .item-card")
    expect(items).to_have_count(24)
    here = sum(cell == FARM for _, cell, _, _ in SLOTS)
    expect(page.locator(".items .title + .badge, .items header .badge").first).to_have_text(
        str(here)
    )
    expect(page.locator(".map canvas").first).to_be_visible()
    _wait_for_pictures(items.first.locator("img"))
    picture(page, tmp_path / "cell.png")

    link = items.first.locator("a").first
    title = link.inner_text().strip()
    link.click()
    expect(page.locator("h1").last).to_have_text(title)
    assert title in training_names()
    expect(page.locator(".assets")).to_contain_text("COG")
    expect(page.locator(".assets")).to_contain_text("shown")
    picture(page, tmp_path / "item.png")
    assert heard.failed == []
    assert heard.hosts == {site.removeprefix("http://")}


def test_a_cog_on_the_map_has_the_numbers_of_the_file(
    site: str, page: Page, heard: Heard, made: TrainingLake, tmp_path: Path
) -> None:
    """Heights rise to the south: 400 m + row − column / 3, grey from 0 to 3000 m."""
    name = f"dem-glo30_{FARM.id:07d}_static"
    ranges: list[str] = []

    def hear(request: Any) -> None:
        if "/data/" in request.url and "range" in request.headers:
            ranges.append(request.headers["range"])

    page.on("request", hear)
    page.goto(f"{site}/browser/#/collections/{CELL}/items/{name}")
    expect(page.locator("h1").last).to_have_text(name)
    drawn = page.locator(".map")
    expect(drawn.locator("canvas").first).to_be_visible()
    heights = made.pixels[name][0]
    wanted = np.nanmedian(heights) / 3000 * 255
    for _ in range(PATIENCE_MS // 500):
        seen = picture(drawn, tmp_path / "map.png")
        middle = seen[seen.shape[0] // 2 + 12 :, seen.shape[1] // 2 + 12 :][:12, :12]
        if abs(np.median(middle) - wanted) < 8:
            break
        page.wait_for_timeout(500)
    picture(page, tmp_path / "dem.png")
    assert np.ptp(np.median(middle, axis=(0, 1))) <= 1, "not grey"
    row, column = seen.shape[0] // 2, seen.shape[1] // 2
    north = np.median(seen[row - 70 : row - 60, column + 10 : column + 20])
    south = np.median(seen[row + 60 : row + 70, column + 10 : column + 20])
    assert north + 5 < np.median(middle) < south - 5
    assert np.median(middle) == pytest.approx(wanted, abs=8)
    assert ranges, "the COG was not read by ranges"
    assert heard.failed == []
    assert heard.hosts == {site.removeprefix("http://")}


def test_a_filter_on_quality(site: str, page: Page, heard: Heard, tmp_path: Path) -> None:
    page.goto(f"{site}/browser/#/collections/{CELL}")
    page.get_by_role("button", name="Show Filters").click()
    page.locator(".queryables button").first.click()
    choices = page.locator(".queryables .dropdown-menu")
    expect(choices).to_contain_text("eo:cloud_cover")
    expect(choices).to_contain_text("lake:valid_pct")
    picture(page, tmp_path / "filter.png")
    assert heard.failed == []
    assert heard.hosts == {site.removeprefix("http://")}


def training_names() -> list[str]:
    """Item ids of the lake."""
    from stac_lake.types import Slot

    return [Slot(*where).id for where in SLOTS]


def _wait_for_pictures(images: Locator) -> None:
    """Until a thumbnail is loaded, and not only its place reserved."""
    expect(images.first).to_be_visible()
    loaded = "image => image.complete && image.naturalWidth > 1"
    for _ in range(PATIENCE_MS // 200):
        if images.first.evaluate(loaded):
            return
        images.page.wait_for_timeout(200)
    raise AssertionError("no thumbnail was loaded")
