"""What is asked of every engine, and how each of them answers: with ids of items or of cells."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import shapely

from stac_lake.catalog.cell_search import CellSearch, search_cells
from stac_lake.catalog.index import Index
from stac_lake.catalog.paging import Token
from stac_lake.catalog.search import Search, search
from stac_lake.grid import Cell
from stac_lake.recipe import products

FIRST, LAST, CLOUD = "2022-05-01T00:00:00Z", "2022-08-31T00:00:00Z", 10
ACCEPTED = ("s2-l2a", "s1-rtc")
PAGE = 100
COUNTED = (
    "s2-l2a", "s1-rtc", "s3-olci-efr", "s5p-no2", "s5p-co", "s5p-o3", "s5p-so2", "dem-glo30",
)  # fmt: skip


@dataclass(frozen=True)
class Ask:
    """One question.

    Attributes:
        kind: cell, window, id, aligned or page.
        cell: Its id.
        id: Of an item.
        box: West, south, east, north of a window in degrees.
        offset: Of the first item of a page, in the order of cell, time and id.
        last: Cell, microseconds and id of the item before the page.
    """

    kind: str
    cell: int = 0
    id: str = ""
    box: tuple[float, float, float, float] = (0, 0, 0, 0)
    offset: int = 0
    last: tuple[int, int, str] | None = None

    @property
    def text(self) -> str:
        return json.dumps(asdict(self))


Engine = Callable[[Ask], list[str]]


def asks(index: Index, count: int, seed: int) -> dict[str, list[Ask]]:
    """Questions about cells and items drawn from the whole set, by name.

    They are drawn from the data files by pyarrow, without the index's own queries.
    """
    paths = index.data.paths(index.files())
    keys = pa.concat_tables([pq.read_table(path, columns=["cell", "time", "id"]) for path in paths])
    order = pc.sort_indices(keys, [(name, "ascending") for name in keys.column_names])
    rng = np.random.default_rng(seed)
    some = keys.take(pa.array(rng.choice(len(keys), count))).to_pylist()
    half = len(keys) // 2
    before = keys.take(order.slice(half - 1, 1))
    moment = before["time"].cast(pa.int64())[0].as_py()
    middle = Ask(
        "page", offset=half, last=(before["cell"][0].as_py(), moment, before["id"][0].as_py())
    )
    return {
        "one cell": [Ask("cell", cell=row["cell"]) for row in some],
        "2° box, four months, cloud < 10": [Ask("window", box=_box(row["cell"])) for row in some],
        "one id": [Ask("id", id=row["id"]) for row in some],
        "aligned over the whole lake": [Ask("aligned")] * 6,
        "page 1, 100 items in order": [Ask("page")] * 6,
        "page N/2, 100 items in order": [middle] * 6,
    }


def _box(cell: int) -> tuple[float, float, float, float]:
    centre = Cell(cell)
    west = min(max(centre.lon - 1, -180), 178)
    return (west, centre.lat - 1, west + 2, centre.lat + 1)


def ours(index: Index) -> Engine:
    """`search` and `search_cells`, whole documents."""
    # Of a page in the middle only the token is needed; it names the query as that of page 1 does.
    token = search(index, Search(limit=PAGE)).next or ""
    digest = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))[0]

    def answer(ask: Ask) -> list[str]:
        if ask.kind == "aligned":
            wanted = CellSearch(aligned=True, accept=ACCEPTED)
            return [str(one.cell.id) for one in search_cells(index, wanted).cells]
        return [item["id"] for item in search(index, _wanted(ask, digest, index.version)).items]

    return answer


def _wanted(ask: Ask, digest: str, version: int | None) -> Search:
    if ask.kind == "cell":
        return Search(collections=[Cell(ask.cell).collection_id], limit=1000)
    if ask.kind == "id":
        return Search(ids=[ask.id])
    if ask.kind == "window":
        when = f"{FIRST}/{LAST}"
        return Search(bbox=ask.box, datetime=when, filter=f"eo:cloud_cover < {CLOUD}", limit=1000)
    first = Search(limit=PAGE)
    if ask.last is None:
        return first
    # As if all pages before had been fetched.
    token = Token(digest, version or 0, 0, ask.last)
    return replace(first, token=token.encoded)


def scan(index: Index) -> Engine:
    """The dataset scan of pyarrow over the same files: documents parsed, footprints tested."""
    files = ds.dataset(index.data.paths(index.files()))

    def answer(ask: Ask) -> list[str]:
        if ask.kind == "aligned":
            table = files.to_table(columns=["cell", "lake:product"])
            groups = table.filter(pc.is_in(table["lake:product"], pa.array(COUNTED)))
            kinds = groups.group_by(["cell", "lake:product"]).aggregate([])
            found = kinds.group_by("cell").aggregate([("lake:product", "count")])
            whole = found.filter(pc.equal(found["lake:product_count"], len(COUNTED)))
            return [str(cell) for cell in whole["cell"].to_pylist()]
        table = files.to_table(columns=["item", "geometry"], filter=_condition(ask))
        items = [json.loads(text) for text in table["item"].to_pylist()]
        if ask.kind != "window":
            return [item["id"] for item in items]
        shapes = shapely.from_wkb(table["geometry"].to_pylist())
        met = shapely.intersects(shapely.box(*ask.box), shapes)
        return [item["id"] for item, near in zip(items, met, strict=True) if near]

    return answer


def _condition(ask: Ask) -> ds.Expression:
    if ask.kind == "cell":
        return ds.field("cell") == ask.cell
    if ask.kind == "id":
        return ds.field("id") == ask.id
    west, south, east, north = ask.box
    return (
        (ds.field("eo:cloud_cover") < CLOUD)
        & (ds.field("time") <= datetime.fromisoformat(LAST))
        & (ds.field("time_end") >= datetime.fromisoformat(FIRST))
        & (ds.field("bbox", "xmin") <= east)
        & (ds.field("bbox", "xmax") >= west)
        & (ds.field("bbox", "ymin") <= north)
        & (ds.field("bbox", "ymax") >= south)
    )


def write_listing(index: Index, path: Path) -> None:
    """The lake as the original has it: one JSON file that a program loads whole."""
    names = ["id", "cell", "bbox", "time", "time_end", "eo:cloud_cover", "lake:product"]
    with path.open("w", encoding="utf-8") as sink:
        opening = "["
        for source in index.data.paths(index.files()):
            table = pq.read_table(source, columns=names)
            times = [
                pc.strftime(table[name], "%Y-%m-%dT%H:%M:%SZ").to_pylist()
                for name in ("time", "time_end")
            ]
            rows = zip(
                table["id"].to_pylist(), table["cell"].to_pylist(),
                [list(box.values()) for box in table["bbox"].to_pylist()], *times,
                table["eo:cloud_cover"].to_pylist(), table["lake:product"].to_pylist(), strict=True,
            )  # fmt: skip
            for row in rows:
                sink.write(opening + json.dumps(row))
                opening = ",\n"
        sink.write("]")


def loop(listing: Path) -> Engine:
    """The listing loaded, and a loop over all of it; ids alone, boxes in place of footprints."""
    items: list[list[Any]] = json.loads(listing.read_text("utf-8"))
    modality = {name: products()[name].modality for name in COUNTED}

    def answer(ask: Ask) -> list[str]:
        if ask.kind == "cell":
            return [item[0] for item in items if item[1] == ask.cell]
        if ask.kind == "id":
            return [item[0] for item in items if item[0] == ask.id]
        if ask.kind == "aligned":
            have: dict[int, set[str]] = {}
            for item in items:
                have.setdefault(item[1], set()).add(modality[item[6]])
            return [str(cell) for cell, found in have.items() if len(found) == len(COUNTED)]
        west, south, east, north = ask.box
        return [
            item[0]
            for item in items
            if item[5] is not None
            and item[5] < CLOUD
            and item[3] <= LAST
            and item[4] >= FIRST
            and item[2][0] <= east
            and item[2][2] >= west
            and item[2][1] <= north
            and item[2][3] >= south
        ]

    return answer
