"""Coverage by hand, the projection against PROJ, the land against known places, and the page."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import typer
from lake_items import FARM, FIJI, ICE, fill
from pyproj import Proj
from shapely.geometry import Point, Polygon
from typer.testing import CliRunner

from stac_lake.atlas.coverage import Coverage, Histogram, coverage
from stac_lake.atlas.land import equal_earth, inverse_equal_earth, land
from stac_lake.atlas.page import page
from stac_lake.atlas.pictures import ALIGNED, UNION, coverage_map, histograms
from stac_lake.cli import world as command
from stac_lake.lake import Lake, open_lake

EVERYTHING = ("s2-l2a", "s1-rtc")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The lake of `lake_items`: 32 items in 3 cells, none of which has every modality."""
    url = str(tmp_path_factory.mktemp("map") / "lake")
    fill(url)
    return open_lake(url)


@pytest.fixture(scope="module")
def found(small: Lake) -> Coverage:
    return coverage(small, accept=EVERYTHING)


def test_counts(found: Coverage) -> None:
    assert sorted(found.union) == sorted(cell.id for cell in (FARM, ICE, FIJI))
    assert not found.aligned.size
    assert (found.patches, found.paired) == (4, 1)
    by_name = {one.modality: one for one in found.modalities}
    assert list(by_name) == ["s2", "s1", "s3", "co", "no2", "o3", "so2", "dem"]
    optical = by_name["s2"]
    assert dict(zip(optical.cells, optical.slots, strict=True)) == {
        FARM.id: 4, ICE.id: 2, FIJI.id: 1,
    }  # fmt: skip
    assert (optical.full, optical.complete, optical.items) == (4, 2, 11)
    assert by_name["no2"].items == 14
    assert not by_name["co"].cells.size


def test_histograms(found: Coverage) -> None:
    by_title = {one.title: one for one in found.histograms}
    assert by_title["Patches per cell"].union == {2: 1, 1: 2}
    assert by_title["Sentinel-2: slots per patch"].union == {4: 2, 2: 1, 1: 1}
    assert by_title["Sentinel-1: slots per patch"].union == {4: 1}
    months = by_title["Sentinel-5P NO₂: months per cell"]
    assert (months.union, months.full) == ({12: 1, 2: 1, 0: 1}, 12)
    assert by_title["Sentinel-3 OLCI: dates per cell"].union == {0: 3}


def test_products_that_were_not_accepted(small: Lake) -> None:
    plain = coverage(small)
    assert plain.not_counted == ("s1-rtc", "s2-l2a")
    assert {one.modality for one in plain.modalities if one.items} == {"no2", "dem"}


def test_equal_earth_is_proj_s() -> None:
    radius = 6371228.0
    proj = Proj(proj="eqearth", R=radius)
    rng = np.random.default_rng(1)
    lon, lat = rng.uniform(-180, 180, 500), rng.uniform(-90, 90, 500)
    x, y = proj(lon, lat)
    ours = equal_earth(lon, lat)
    np.testing.assert_allclose(ours, (x / radius, y / radius), atol=1e-9)
    np.testing.assert_allclose(inverse_equal_earth(*ours), (lon, lat), atol=1e-6)


@pytest.mark.parametrize(
    ("lon", "lat", "dry"),
    [
        (84, -68.75, True),  # Antarctica
        (0, -90, True),  # the pole itself
        (178, 67, True),  # Chukotka, on both sides of the antimeridian
        (-175, 66.5, True),
        (2.35, 48.85, True),
        (-150, 0, False),
        (-30, 40, False),
        (0, 89, False),
        (179.9, -40, False),
    ],
)
def test_land(lon: float, lat: float, dry: bool) -> None:
    assert any(Polygon(ring).buffer(1e-9).contains(Point(lon, lat)) for ring in land()) == dry


def test_share_of_land() -> None:
    """29.1 % of the sphere is land (without the ice shelves), as the projection has it, too."""
    area = sum(Polygon(np.column_stack(equal_earth(*ring.T))).area for ring in land())
    assert area / (4 * np.pi) == pytest.approx(0.291, abs=0.006)


def colour_at(image: np.ndarray, lon: float, lat: float) -> tuple[float, ...]:
    """Colour of a map's picture at a place, from where its outline is."""
    drawn = (image.max(axis=2) < 0.8) & (np.ptp(image, axis=2) < 0.03)
    rows = np.flatnonzero(drawn.sum(axis=1) > 300)  # the poles are lines
    columns = np.flatnonzero(drawn[rows.min() : rows.max()].any(axis=0))
    (x,), (y,) = equal_earth(np.array([lon]), np.array([lat]))
    (right,), _ = equal_earth(np.array([180.0]), np.array([0.0]))
    _, (top,) = equal_earth(np.array([0.0]), np.array([90.0]))
    column = columns.min() + (x / right + 1) / 2 * (columns.max() - columns.min())
    row = rows.min() + (1 - y / top) / 2 * (rows.max() - rows.min())
    return tuple(image[round(row), round(column)])


def test_cells_are_where_they_belong() -> None:
    """A block of cells in each hemisphere, painted at its true place and size."""
    ids = np.arange(721 * 1440)
    lon, lat = -180 + 0.25 * (ids % 1440), -90 + 0.25 * (ids // 1440)
    north = ids[(abs(lon - 100) < 15) & (abs(lat - 65) < 6)]
    south = ids[(abs(lon + 60) < 15) & (abs(lat + 15) < 6)]
    found = Coverage(1, np.union1d(north, south), south, 0, 0, (), (), ())
    from matplotlib.image import imread

    image = imread(io.BytesIO(coverage_map(found)))[:, :, :3]

    def rgb(text: str) -> tuple[float, ...]:
        return tuple(int(text[n : n + 2], 16) / 255 for n in (1, 3, 5))

    assert colour_at(image, 100, 65) == pytest.approx(rgb(UNION), abs=0.01)
    assert colour_at(image, -60, -15) == pytest.approx(rgb(ALIGNED), abs=0.01)
    assert colour_at(image, 20, 20) == pytest.approx(rgb("#ECEAE4"), abs=0.01)
    # Equal areas: as many pixels, above the legend, as the blocks have of the sphere.
    share = {
        name: (abs(image[:-100] - rgb(colour)).max(axis=2) < 0.02).sum()
        for name, colour in {"north": UNION, "south": ALIGNED}.items()
    }
    sines = {"north": (59, 71), "south": (-21, -9)}
    areas = {name: np.ptp(np.sin(np.radians(ends))) for name, ends in sines.items()}
    ratio = share["north"] / share["south"]
    assert ratio == pytest.approx(areas["north"] / areas["south"], rel=0.02)


class _Page(HTMLParser):
    """What a page would fetch, and what its table says."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.cells: list[str] = []
        self.alternatives = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.fetched += [given[name] or "" for name in ("src", "href") if name in given]
        self.alternatives += tag == "img" and bool(given.get("alt"))
        if tag == "td":
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.get_starttag_text() == "<td>" and self.cells and not self.cells[-1]:
            self.cells[-1] = data


def test_command(small: Lake, tmp_path: Path) -> None:
    """The page asks nobody for anything."""
    app = typer.Typer()
    command.register(app)
    app.callback()(lambda: None)
    out = tmp_path / "new" / "map"
    arguments = ["map", "--lake", small.index.objects.url, "--out", str(out)]
    ended = CliRunner().invoke(app, [*arguments, "--accept", "s2-l2a"], catch_exceptions=False)
    assert ended.exit_code == 0
    assert "add --accept s1-rtc" in ended.stderr
    files = [out / name for name in ("coverage.png", "modalities.png", "histograms.png")]
    assert ended.stdout.splitlines() == [*map(str, files), str(out / "index.html")]
    for path in files:
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    text = (out / "index.html").read_text(encoding="utf-8")
    read = _Page()
    read.feed(text)
    assert read.alternatives == 3
    assert all(address.startswith("data:") for address in read.fetched)
    assert not re.search(r"url\(|@import|<script", text)
    assert read.cells[:6] == ["Sentinel-2", "3", "100.0 %", "11", "4", "2"]


def test_empty_lake(tmp_path: Path) -> None:
    nothing = coverage(open_lake(tmp_path / "none"))
    assert not nothing.union.size
    pictures = {
        "coverage.png": coverage_map(nothing),
        "modalities.png": b"",
        "histograms.png": histograms(nothing),
    }
    text = page(nothing, pictures, "s3://bucket/<lake>")
    assert "no items yet" in text
    assert "&lt;lake&gt;" in text


def test_long_tail_is_put_together() -> None:
    """Of 100,000 cells one has 400 patches: the bars stay wide enough to be seen."""
    from matplotlib.figure import Figure

    from stac_lake.atlas.pictures import _bars

    counts = {1: 90_000, 2: 9_900, 30: 150, 400: 1}
    axes = Figure().subplots()
    _bars(axes, Histogram("Patches", "patches", "cells", None, counts, {}))
    heights = [bar.get_height() for bar in axes.patches[: len(axes.patches) // 2]]
    assert len(heights) == 31
    assert (heights[1], heights[2], heights[30]) == (90_000, 9_900, 151)
    assert axes.get_xticklabels()[-1].get_text() == "≥ 30"
