"""Rows of the index: an item's queryable properties as typed columns, and the item verbatim.

A data file of the index is GeoParquet 1.1: WKB geometry, a bbox struct that covers it, and one
column per entry of `quality.properties`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from shapely.geometry import shape

from stac_lake.errors import InvalidItem
from stac_lake.grid import COLUMNS
from stac_lake.quality.properties import PROPERTIES, Kind
from stac_lake.types import Slot

ROW_GROUP = 1024
"""Rows per row group: what a query for one cell has to decode at most, 10 MB of documents."""

_TYPES: dict[Kind, Any] = {
    "string": pa.string(),
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "datetime": pa.timestamp("us", "UTC"),
    "string[]": pa.list_(pa.string()),
}

_BBOX = pa.struct([(name, pa.float64()) for name in ("xmin", "ymin", "xmax", "ymax")])

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("collection", pa.string()),
        ("cell", pa.int32()),
        ("version", pa.int32()),
        ("committed", _TYPES["datetime"]),
        ("retired", pa.bool_()),
        ("time", _TYPES["datetime"]),
        ("time_end", _TYPES["datetime"]),
        ("geometry", pa.binary()),
        ("bbox", _BBOX),
        *((entry.name, _TYPES[entry.kind]) for entry in PROPERTIES),
        ("item", pa.string()),
    ]
)
"""Columns of the index.

`time` is coalesce(datetime, start_datetime), `time_end` coalesce(end_datetime, datetime); both are
never null. `bbox` has xmin > xmax where the item crosses the antimeridian.
"""


@dataclass(frozen=True, eq=False)
class IndexRow:
    """One version of an item, on its way into the index.

    Attributes:
        document: The stored Item.
        version: Which version of the item it is.
    """

    document: dict[str, Any]
    version: int


def encode_document(document: Mapping[str, Any]) -> bytes:
    """The one spelling of a stored document: compact JSON, UTF-8, keys in their order.

    Raises:
        InvalidItem: a value is NaN, infinite, or of a type that JSON lacks.
    """
    try:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (ValueError, TypeError) as error:
        raise InvalidItem(f"the document is not JSON: {error}", item=document.get("id")) from error
    return text.encode()


def table_of(rows: Iterable[IndexRow]) -> pa.Table:
    """Rows as an Arrow table of `SCHEMA`, sorted by place (Morton order), time and id.

    Raises:
        InvalidItem: a document lacks what every item of a lake has.
    """
    records = [_record(row) for row in rows]
    columns = [pa.array([record[field.name] for record in records], field.type) for field in SCHEMA]
    return sort_table(pa.Table.from_arrays(columns, schema=SCHEMA))


def sort_table(table: pa.Table) -> pa.Table:
    """Rows by place (Morton order), time, id and version; the same version of an item once."""
    keyed = pa.table(
        {
            "place": pa.array([morton(cell) for cell in table["cell"].to_pylist()], pa.int64()),
            **{name: table[name] for name in ("time", "id", "version")},
        }
    )
    order = pc.sort_indices(keyed, sort_keys=[(name, "ascending") for name in keyed.column_names])
    keys = list(zip(table["id"].to_pylist(), table["version"].to_pylist(), strict=True))
    firsts: dict[tuple[str, int], int] = {}
    for row in order.to_pylist():
        firsts.setdefault(keys[row], row)
    return table.take(pa.array(firsts.values(), pa.int64()))


def geoparquet(table: pa.Table) -> bytes:
    """A data file of the index, with the `geo` metadata of GeoParquet 1.1."""
    kinds = sorted({_geometry_type(wkb) for wkb in table["geometry"].to_pylist()})
    geo = {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {
            "geometry": {
                "encoding": "WKB",
                "geometry_types": kinds,
                "covering": {"bbox": {name: ["bbox", name] for name in _BBOX.names}},
            }
        },
    }
    sink = io.BytesIO()
    pq.write_table(
        table.replace_schema_metadata({"geo": json.dumps(geo)}),
        sink,
        compression="zstd",
        row_group_size=ROW_GROUP,
        # Dictionaries of near-unique texts cost time and save nothing.
        use_dictionary=[name for name in SCHEMA.names if name not in {"id", "item"}],
    )
    return sink.getvalue()


def is_retired(document: Mapping[str, Any]) -> bool:
    """Whether a version of an item is a tombstone: the item with ``deprecated: true``."""
    return document["properties"].get("deprecated") is True


def _record(row: IndexRow) -> dict[str, Any]:
    document = row.document
    try:
        properties = document["properties"]
        record: dict[str, Any] = {
            entry.name: _value(properties.get(entry.name), entry.kind) for entry in PROPERTIES
        }
        geometry = shape(document["geometry"])
        return record | {
            "id": document["id"],
            "collection": document["collection"],
            "cell": Slot.from_id(document["id"]).cell.id,
            "version": row.version,
            "committed": record["created"],
            "retired": is_retired(document),
            "time": record["datetime"] or record["start_datetime"],
            "time_end": record["end_datetime"] or record["datetime"],
            "geometry": geometry.wkb,
            "bbox": dict(zip(_BBOX.names, document["bbox"], strict=True)),
            "item": encode_document(document).decode(),
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidItem(
            f"not an item of a lake: {type(error).__name__} {error}", item=document.get("id")
        ) from error


def _value(value: Any, kind: Kind) -> Any:
    if value is None:
        return None
    if kind == "datetime":
        return datetime.fromisoformat(value)
    return float(value) if kind == "number" else value


@lru_cache(maxsize=65536)
def morton(cell: int) -> int:
    """Z-order of a cell id: its row and column bits interleaved, so that near cells stay near."""
    row, column = divmod(cell, COLUMNS)
    return sum(
        (row >> bit & 1) << 2 * bit + 1 | (column >> bit & 1) << 2 * bit for bit in range(11)
    )


def _geometry_type(wkb: bytes) -> str:
    # Byte order mark, then the type; shapely writes little-endian on the machines that we run on,
    # but the mark decides.
    code = int.from_bytes(wkb[1:5], "little" if wkb[0] == 1 else "big")
    return {3: "Polygon", 6: "MultiPolygon"}[code & 0xFF]


def newest(keys: Sequence[tuple[str, int]]) -> dict[str, int]:
    """The highest version of every item: item id → version."""
    found: dict[str, int] = {}
    for item, version in keys:
        found[item] = max(version, found.get(item, 0))
    return found
