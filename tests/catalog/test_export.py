"""The JSON indexes, read by a parser that was written from the description of the layout alone."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from lake_items import Spec, document
from typer.testing import CliRunner

from stac_lake.catalog import export
from stac_lake.catalog.export import export_fnames
from stac_lake.catalog.index import Index, IndexRow
from stac_lake.cli import export as command
from stac_lake.grid import Cell, patch_at
from stac_lake.store.objects import Objects


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


FULL, RADAR, HEIGHTS = Cell(906994), Cell(772176), Cell(720)
SEASONS = {
    "winter": utc(2022, 12, 24, 10, 31), "autumn": utc(2021, 9, 20, 10, 30),
    "summer": utc(2020, 6, 30, 10, 29), "spring": utc(2021, 3, 3, 10, 28),
}  # fmt: skip
ROOTS = {
    "s1_grd": "s1_grd_utm/images",
    "s2_toa": "s2_toa_mix/images",
    "s3_olci": "s3_olci_utm/images",
    "s5p_co": "s5p_l3_wgs/images/CO_column_number_density",
    "s5p_no2": "s5p_l3_wgs/images/tropospheric_NO2_column_number_density",
    "s5p_so2": "s5p_l3_wgs/images/SO2_column_number_density",
    "s5p_o3": "s5p_l3_wgs/images/O3_column_number_density",
    "dem": "dem_grid_wgs/images",
}


@dataclass
class Grid:
    """One entry, as a user of the original reads it: dates by modality, and by patch."""

    centre: tuple[float, float]
    dates: dict[str, list[date | None]] = field(default_factory=dict)
    patches: dict[str, dict[str, list[date | None]]] = field(default_factory=dict)

    @property
    def filled(self) -> set[str]:
        return {k for k, v in (self.dates | self.patches).items() if v}


def parse(path: Path) -> dict[int, Grid]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        content = json.load(file)
    assert isinstance(content, dict)
    return {number(key): entry(int(key), value) for key, value in content.items()}


def number(key: str) -> int:
    assert str(int(key)) == key, "cell ids have no leading zeros"
    assert 0 <= int(key) < 721 * 1440
    return int(key)


def entry(cell: int, value: dict[str, Any]) -> Grid:
    assert list(value) == ["grid_id_coord", *ROOTS]
    match = re.fullmatch(r"(\d{7})_(-?\d+\.\d{2})_(-?\d+\.\d{2})", value["grid_id_coord"])
    assert match
    assert int(match[1]) == cell
    row, column = divmod(cell, 1440)
    assert (float(match[2]), float(match[3])) == (-180 + 0.25 * column, -90 + 0.25 * row)
    grid = Grid((float(match[2]), float(match[3])))
    for name, root in ROOTS.items():
        folder = f"{root}/{value['grid_id_coord']}"
        if name not in {"s1_grd", "s2_toa"}:
            assert isinstance(value[name], list)
            grid.dates[name] = [day(name, folder, path) for path in value[name]]
            continue
        assert isinstance(value[name], dict)
        grid.patches[name] = {}
        for local, paths in value[name].items():
            assert re.fullmatch(r"\d{7}_-?\d+\.\d{2}_-?\d+\.\d{2}", local)
            assert "_-0.00" not in local
            assert paths
            assert len(set(paths)) == len(paths)
            grid.patches[name][local] = [day(name, f"{folder}/{local}", path) for path in paths]
    return grid


def day(name: str, folder: str, path: str) -> date | None:
    """The date that the original's loader finds in a path."""
    assert path.startswith(folder + "/")
    file = path.removeprefix(folder + "/")
    assert "/" not in file
    assert file.endswith(".tif")
    if name == "dem":
        assert file == "dem.tif"
        return None
    if name.startswith("s5p"):
        match = re.fullmatch(r"(\d{4})-(\d{2})-(\d{2})_\d{4}-\d{2}-\d{2}\.tif", file)
        assert match
        return date(int(match[1]), int(match[2]), int(match[3]))
    match = re.search(r"(\d{8})T", file)
    assert match
    return date.fromisoformat(match[1])


def months(cell: Cell, gas: str, count: int) -> list[Spec]:
    specs = []
    for month in range(1, count + 1):
        start = utc(2021, month, 1)
        end = (start + timedelta(days=32)).replace(day=1) - timedelta(milliseconds=1)
        specs.append(Spec(f"s5p-{gas}", cell, f"2021-{month:02d}", start, {}, end=end))
    return specs


def scenes(name: str, cell: Cell, lon: float, lat: float, slots: tuple[str, ...]) -> list[Spec]:
    patch = patch_at(lon, lat)
    return [Spec(name, cell, slot, SEASONS[slot], {}, patch) for slot in slots]


def heights(cell: Cell) -> Spec:
    return Spec("dem-glo30", cell, "static", utc(2021, 4, 22), {})


EVERY = tuple(SEASONS)
SPECS = [
    *scenes("s2-l1c", FULL, 128.5, 67.25, EVERY),
    *scenes("s1-grd", FULL, 128.5, 67.25, EVERY[:3]),
    *scenes("s2-l1c", FULL, 128.55, 67.2, EVERY[:1]),
    *[Spec("s3-olci-efr", FULL, f"b{n}", utc(2021, n, 5, 1), {}) for n in range(1, 9)],
    *months(FULL, "co", 12),
    *months(FULL, "no2", 2),
    *months(FULL, "so2", 1),
    *months(FULL, "o3", 1),
    heights(FULL),
    # Of another product: nothing, unless it is accepted.
    *scenes("s1-rtc", RADAR, -96, 44, EVERY),
    *scenes("s2-l2a", FULL, 128.5, 67.25, EVERY),
    heights(HEIGHTS),
]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    made = Index(Objects.open(str(tmp_path_factory.mktemp("export") / "lake")))
    made.append([IndexRow(document(spec), 1) for spec in SPECS])
    return made


@pytest.fixture(scope="module")
def out(index: Index, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fnames") / "new"
    export_fnames(index, folder)
    return folder


def test_all_cells_are_in_the_first(out: Path) -> None:
    assert sorted(path.name for path in out.iterdir()) == [
        "fnames_all.json.gz", "fnames_joint.json.gz", "fnames_union.json.gz",
    ]  # fmt: skip
    with gzip.open(out / "fnames_all.json.gz", "rt") as file:
        content = json.load(file)
    assert list(content) == [str(n) for n in range(1_038_240)]
    filled = {int(key) for key, value in content.items() if any(list(value.values())[1:])}
    assert filled == {FULL.id, HEIGHTS.id}
    for key in ("0", "1439", "520559", "1038239", "906994"):
        entry(int(key), content[key])
    # 180° W, 90° S; and the equator at 179.75° E.
    assert content["0"]["grid_id_coord"] == "0000000_-180.00_-90.00"
    assert content["519839"]["grid_id_coord"] == "0519839_179.75_0.00"


def test_union_and_joint(out: Path) -> None:
    union, joint = (parse(out / f"fnames_{name}.json.gz") for name in ("union", "joint"))
    assert list(union) == [HEIGHTS.id, FULL.id]
    assert all(grid.filled for grid in union.values())
    assert list(joint) == [FULL.id]
    assert joint[FULL.id].filled == set(ROOTS)


def test_dates(out: Path) -> None:
    grid = parse(out / "fnames_joint.json.gz")[FULL.id]
    ordered = sorted(moment.date() for moment in SEASONS.values())
    assert list(grid.patches["s2_toa"].values()) == [ordered, [SEASONS["winter"].date()]]
    three = sorted(SEASONS[name].date() for name in EVERY[:3])
    assert list(grid.patches["s1_grd"].values()) == [three]
    # The same patch has the same name for both sensors.
    assert set(grid.patches["s1_grd"]) < set(grid.patches["s2_toa"])
    places = [local.split("_")[1:] for local in grid.patches["s2_toa"]]
    assert places == [["128.50", "67.25"], ["128.55", "67.20"]]
    assert grid.dates["s3_olci"] == [date(2021, n, 5) for n in range(1, 9)]
    assert grid.dates["s5p_co"] == [date(2021, n, 1) for n in range(1, 13)]
    assert grid.dates["s5p_no2"] == [date(2021, 1, 1), date(2021, 2, 1)]
    with gzip.open(out / "fnames_joint.json.gz", "rt") as file:
        last = json.load(file)[str(FULL.id)]["s5p_co"][-1]
    assert last.endswith("/0906994_128.50_67.25/2021-12-01_2022-01-01.tif")


def test_accepted_products(index: Index, tmp_path: Path) -> None:
    """L2A stands in where there is no L1C, and does not stand beside it."""
    done = export_fnames(index, tmp_path, accept=("s2-l2a", "s1-rtc"))
    assert done.cells == {"fnames_all": 1_038_240, "fnames_union": 3, "fnames_joint": 1}
    union = parse(tmp_path / "fnames_union.json.gz")
    assert len(next(iter(union[RADAR.id].patches["s1_grd"].values()))) == 4
    assert [len(days) for days in union[FULL.id].patches["s2_toa"].values()] == [4, 1]
    paths = gzip.decompress((tmp_path / "fnames_union.json.gz").read_bytes()).decode()
    assert "_s1-rtc_0772176" in paths
    assert "s2-l2a" not in paths


def run(*arguments: str) -> Any:
    app = typer.Typer()
    command.register(app)
    app.callback()(lambda: None)
    return CliRunner().invoke(app, ["export", "fnames", *arguments], catch_exceptions=False)


def test_command(index: Index, out: Path, tmp_path: Path) -> None:
    """The same lake gives the same bytes."""
    ended = run("--lake", index.objects.url, "--out", str(tmp_path), "--json")
    assert ended.exit_code == 0
    found = json.loads(ended.stdout)
    assert found["cells"] == {"fnames_all": 1_038_240, "fnames_union": 2, "fnames_joint": 1}
    assert found["files"]["s2_toa"] == 5
    for path in out.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_empty_lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "ROWS", 1)  # the other tests write a million cells
    assert run("--lake", str(tmp_path / "none"), "--out", str(tmp_path)).exit_code == 4
    assert parse(tmp_path / "fnames_union.json.gz") == {}
