"""Millions of items as Arrow tables of the index, with their documents, in minutes.

A cell has 64 slots: 4 patches × 4 seasons × (Sentinel-2, Sentinel-1), 8 of OLCI, 23 months of four
gases and the DEM; one cell in five lacks one modality. Documents are the golden ones of the tests,
whole, with another place, time, quality, checksum and band statistics each. Times are skewed to the
newest year, clouds to clear and overcast; cells lie in clusters, as areas of interest do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from benchmarks.made_items import cells, template
from stac_lake.catalog.datafiles import MAX_ROWS
from stac_lake.catalog.rows import SCHEMA, sort_table
from stac_lake.grid import Cell, Patch, patch_at, to_lonlat
from stac_lake.quality.properties import PROPERTIES

PER_CELL = 64
SEED = 42
CHUNK = 512
"""Cells that are made at a time: about 300 MB of documents."""

_SEASONS = {"winter": 12, "spring": 3, "summer": 6, "autumn": 9}
_GASES = {"s5p-no2": 6, "s5p-co": 6, "s5p-o3": 6, "s5p-so2": 5}
_LACKING = ("s2-l2a", "s1-rtc", "s3-olci-efr", *_GASES, "dem-glo30")
_OFFSETS = ((-0.06, -0.06), (-0.06, 0.06), (0.06, -0.06), (0.06, 0.06))


@dataclass(frozen=True)
class Places:
    """Where the items of one slot lie, one per cell: footprints and what is written of them.

    Attributes:
        geometry: (n,) polygons in degrees.
        patch: (n,) patch ids, None for products of the whole cell.
        epsg: (n,) EPSG codes, None likewise.
    """

    geometry: NDArray[Any]
    patch: list[str] | None = None
    epsg: NDArray[np.int64] | None = None


def tables(count: int, seed: int = SEED, rows: int = MAX_ROWS) -> Iterator[pa.Table]:
    """Tables of `rows.SCHEMA`, sorted, of up to `rows` rows; `count` rows in all."""
    rng = np.random.default_rng(seed)
    wanted = cells(-(-count // (PER_CELL - 4)), rng)
    waiting: list[pa.Table] = []
    held = made = 0
    for first in range(0, len(wanted), CHUNK):
        chunk = _chunk(wanted[first : first + CHUNK], rng).slice(0, count - made)
        made += len(chunk)
        waiting.append(chunk)
        held += len(chunk)
        while held >= rows or (held and made == count):
            together = pa.concat_tables(waiting)
            yield sort_table(together.slice(0, rows))
            waiting = [together.slice(rows)]
            held = max(0, held - rows)
        if made == count:
            return


def _chunk(some: Sequence[Cell], rng: np.random.Generator) -> pa.Table:
    """Items of some cells, those of a cell together."""
    whole = Places(shapely.box(*np.transpose([cell.bounds for cell in some])))
    patches = [_patches(some, east, north) for east, north in _OFFSETS]
    # Eight of forty kinds of cells lack a modality each.
    lacking = rng.integers(5 * len(_LACKING), size=len(some))
    parts, order = [], []
    for number, (product, place, name) in enumerate(_slots(whole, patches)):
        kept = np.flatnonzero(lacking != _LACKING.index(product))
        made = _items(some, product, place, name, rng)
        parts.append(made.take(pa.array(kept)))
        order.append(kept * PER_CELL + number)
    table = pa.concat_tables(parts)
    return table.take(pa.array(np.argsort(np.concatenate(order))))


def _slots(whole: Places, patches: Sequence[Places]) -> Iterator[tuple[str, Places, str]]:
    for place in patches:
        for name in _SEASONS:
            yield "s2-l2a", place, name
            yield "s1-rtc", place, name
    yield from (("s3-olci-efr", whole, f"b{number}") for number in range(1, 9))
    for product, months in _GASES.items():
        yield from ((product, whole, f"2021-{month:02d}") for month in range(1, months + 1))
    yield "dem-glo30", whole, "static"


def _patches(some: Sequence[Cell], east: float, north: float) -> Places:
    """A patch in each cell; rings as `Patch.footprint` has them, but all of a zone at once."""
    found: list[Patch] = [patch_at(cell.lon + east, cell.lat + north) for cell in some]
    epsg = np.array([patch.epsg for patch in found])
    corner = np.array([(patch.x, patch.y) for patch in found], float)
    step = np.linspace(0, 2640, 9)[:-1]
    zero, full = np.zeros(8), np.full(8, 2640)
    along = np.concatenate([step, full, 2640 - step, zero, [0]])
    up = np.concatenate([zero, step, full, 2640 - step, [0]]) - 2640
    ring = np.empty((len(found), along.size, 2))
    for zone in np.unique(epsg):
        here = epsg == zone
        lon, lat = to_lonlat(int(zone)).transform(
            (corner[here, :1] + along).ravel(), (corner[here, 1:] + up).ravel()
        )
        ring[here] = np.stack([lon, lat], -1).reshape(-1, along.size, 2)
    return Places(shapely.polygons(ring.round(7)), [patch.id for patch in found], epsg)


def _items(
    some: Sequence[Cell], product: str, place: Places, name: str, rng: np.random.Generator
) -> pa.Table:
    """The item of one slot in each cell."""
    count = len(some)
    golden = template(product)
    ids = [
        f"{product}_{cell.id:07d}" + (f"_{place.patch[i]}" if place.patch else "") + f"_{name}"
        for i, cell in enumerate(some)
    ]
    changed: dict[str, Sequence[Any] | NDArray[Any]] = {
        "grid:code": [cell.code for cell in some],
        "lake:slot": [name] * count,
        **_times(product, name, golden, count, rng),
        **_quality(product, count, rng),
    }
    if place.patch is not None and place.epsg is not None:
        changed |= {
            "lake:patch": place.patch,
            "proj:epsg": place.epsg,
            "proj:code": [f"EPSG:{code}" for code in place.epsg],
        }
    box = shapely.bounds(place.geometry)
    columns: dict[str, Any] = {
        entry.name: pa.array(
            _parsed(changed[entry.name])
            if entry.name in changed
            else [_constant(golden["properties"].get(entry.name), entry.kind)] * count,
            SCHEMA.field(entry.name).type,
        )
        for entry in PROPERTIES
    }
    composite = product in _GASES
    columns |= {
        "id": ids,
        "collection": [cell.collection_id for cell in some],
        "cell": [cell.id for cell in some],
        "version": [1] * count,
        "committed": columns["created"],
        "retired": [False] * count,
        "time": columns["start_datetime" if composite else "datetime"],
        "time_end": columns["end_datetime" if composite else "datetime"],
        "geometry": shapely.to_wkb(place.geometry),
        "bbox": pa.StructArray.from_arrays(
            list(np.ascontiguousarray(box.T)), ["xmin", "ymin", "xmax", "ymax"]
        ),
        "item": _documents(golden, ids, place.geometry, box, changed, rng),
    }
    arrays = [pa.array(columns[field.name], field.type) for field in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _constant(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "datetime":
        return datetime.fromisoformat(value)
    return float(value) if kind == "number" else value


def _parsed(values: Sequence[Any] | NDArray[Any]) -> Any:
    """Columns take times as numbers; `changed` has them as (n,) datetime64 or None."""
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        return pa.array(values.astype("datetime64[us]"), pa.timestamp("us")).cast(
            pa.timestamp("us", "UTC")
        )
    return values


def _times(
    product: str, name: str, golden: dict[str, Any], count: int, rng: np.random.Generator
) -> dict[str, Any]:
    """More of the newest year than of the oldest, more days in mid-window than at its ends."""
    if product == "dem-glo30":
        return {"datetime": np.full(count, _naive(golden["properties"]["datetime"]))}
    if product in _GASES:
        start = datetime.fromisoformat(f"{name}-01T00:00:00+00:00")
        end = (start + timedelta(days=32)).replace(day=1) - timedelta(milliseconds=1)
        return {
            "start_datetime": np.full(count, _naive(start)),
            "end_datetime": np.full(count, _naive(end)),
        }
    month = _SEASONS.get(name) or int(name[1:]) + 2
    years = rng.choice([2020, 2021, 2022], count, p=[0.15, 0.25, 0.6])
    middle = np.array([f"{year}-{month:02d}-21T10:30" for year in years], "datetime64[ms]")
    away = 86_400_000 * (60 * rng.beta(2, 2, count) - 30)
    return {"datetime": middle + away.astype("timedelta64[ms]")}


def _naive(moment: str | datetime) -> np.datetime64:
    parsed = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return np.datetime64(parsed.astimezone(UTC).replace(tzinfo=None), "ms")


def _quality(product: str, count: int, rng: np.random.Generator) -> dict[str, Any]:
    """Half of the optical crops are almost clear, the rest of any cloudiness."""
    found: dict[str, Any] = {"lake:valid_pct": (100 * rng.beta(20, 1, count)).round(4)}
    if product == "s2-l2a":
        clear = rng.random(count) < 0.5
        cloud = 100 * rng.beta(0.3, np.where(clear, 6, 0.9))
        found["eo:cloud_cover"] = cloud.round(4)
        found["lake:scene_cloud_cover_pct"] = (20 * rng.random(count)).round(4)
    return found


def _documents(
    golden: dict[str, Any],
    ids: Sequence[str],
    geometry: NDArray[Any],
    box: NDArray[np.float64],
    changed: dict[str, Any],
    rng: np.random.Generator,
) -> pa.Array:
    """Item JSON: the golden text, with what differs put in its place."""
    digests = rng.bytes(32 * len(ids)).hex()
    sha = [digests[64 * i : 64 * i + 64] for i in range(len(ids))]
    filled: dict[str, Any] = {}

    def hole(values: Any) -> str:
        key = f"\0{len(filled)}\0"
        filled[key] = values
        return key

    data = dict(golden["assets"]["data"])
    names = [f"{i}/20260102T030405Z-{s[:16]}/{s[16:32]}" for i, s in zip(ids, sha, strict=True)]
    data["href"] = f"../../assets/{hole(names)}.tif"
    data["file:checksum"] = f"1220{hole(sha)}"
    for key in ("bands", "raster:bands"):
        data[key] = [_varied(band, hole, len(ids), rng) for band in data[key]]
    document = {
        **golden,
        "id": hole(ids),
        "collection": hole([f"era5-{code[5:]}" for code in changed["grid:code"]]),
        "geometry": hole(shapely.to_geojson(geometry)),
        "bbox": [hole(np.ascontiguousarray(side)) for side in box.T],
        "properties": golden["properties"] | {k: hole(v) for k, v in changed.items()},
        "assets": {"data": data},
    }
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    for key, values in filled.items():
        # Numbers and geometries stand without the quotes of the hole.
        bare = isinstance(values, np.ndarray) and values.dtype.kind != "M"
        text = text.replace(json.dumps(key) if bare else json.dumps(key)[1:-1], key)
    pieces = text.split("\0")
    parts = [
        _text(filled[f"\0{piece}\0"]) if number % 2 else pa.scalar(piece)
        for number, piece in enumerate(pieces)
    ]
    return pc.binary_join_element_wise(*parts, pa.scalar(""))


def _varied(band: dict[str, Any], hole: Any, count: int, rng: np.random.Generator) -> Any:
    """A band with mean and deviation of its own: most of what a document weighs compressed."""
    if not band.get("statistics"):
        return band
    spread = {"mean": hole((3000 * rng.random(count)).round(6))}
    spread["stddev"] = hole((900 * rng.random(count)).round(6))
    return {**band, "statistics": {**band["statistics"], **spread}}


def _text(values: Any) -> pa.Array:
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        moments = pa.array(values.astype("datetime64[ms]"))
        return pc.strftime(moments, "%Y-%m-%dT%H:%M:%SZ")
    return pa.array(values).cast(pa.string())
