"""CQL2 JSON evaluated in plain Python, document by document, and written as text: the oracle."""

from __future__ import annotations

import math
import operator
import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from shapely import wkt
from shapely.geometry import box, mapping, shape
from shapely.geometry.base import BaseGeometry

Node = Any
Truth = bool | None
Span = tuple[datetime, datetime]

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
SPATIAL = {
    "s_intersects": "intersects",
    "s_disjoint": "disjoint",
    "s_within": "within",
    "s_contains": "contains",
    "s_touches": "touches",
    "s_crosses": "crosses",
    "s_overlaps": "overlaps",
    "s_equals": "equals",
}
ARRAYS: dict[str, Callable[[set[str], set[str]], bool]] = {
    "a_contains": operator.ge,
    "a_containedBy": operator.le,
    "a_equals": operator.eq,
    "a_overlaps": lambda a, b: bool(a & b),
}
# Allen's relations as the table of CQL2 words them: first and last moment of each side.
TEMPORAL: dict[str, Callable[[Any, Any, Any, Any], bool]] = {
    "t_after": lambda a, b, c, d: a > d,
    "t_before": lambda a, b, c, d: b < c,
    "t_contains": lambda a, b, c, d: a < c and d < b,
    "t_disjoint": lambda a, b, c, d: b < c or d < a,
    "t_during": lambda a, b, c, d: c < a and b < d,
    "t_equals": lambda a, b, c, d: (a, b) == (c, d),
    "t_finishedBy": lambda a, b, c, d: a < c and b == d,
    "t_finishes": lambda a, b, c, d: a > c and b == d,
    "t_intersects": lambda a, b, c, d: a <= d and c <= b,
    "t_meets": lambda a, b, c, d: b == c,
    "t_metBy": lambda a, b, c, d: a == d,
    "t_overlappedBy": lambda a, b, c, d: c < a < d < b,
    "t_overlaps": lambda a, b, c, d: a < c < b < d,
    "t_startedBy": lambda a, b, c, d: a == c and d < b,
    "t_starts": lambda a, b, c, d: a == c and b < d,
}
ENDLESS = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


def truth(node: Node, item: Mapping[str, Any]) -> Truth:
    """True, False, or None where an operand is unknown."""
    if isinstance(node, bool):
        return node
    if "property" in node:
        known = value(node, item)
        assert known is None or isinstance(known, bool)
        return known
    name, args = node["op"], node["args"]
    if name in {"and", "or"}:
        parts = [truth(arg, item) for arg in args]
        decisive = name == "or"
        return decisive if decisive in parts else None if None in parts else not decisive
    if name == "not":
        inner = truth(args[0], item)
        return None if inner is None else not inner
    if name == "isNull":
        known = args[0]["property"]
        return (item.get(known) if known in TOP else item["properties"].get(known)) is None
    if name == "between":
        low, high = (truth({"op": op, "args": [args[0], end]}, item)
                     for op, end in ((">=", args[1]), ("<=", args[2])))  # fmt: skip
        return False if False in (low, high) else None if None in (low, high) else True
    if name == "in":
        found = [truth({"op": "=", "args": [args[0], one]}, item) for one in args[1]]
        return True if True in found else None if None in found else False
    return _predicate(name, args, item)


def _predicate(name: str, args: list[Node], item: Mapping[str, Any]) -> Truth:
    if name in SPATIAL:
        left, right = (geometry(arg, item) for arg in args)
        return bool(getattr(left, SPATIAL[name])(right))
    if name in TEMPORAL:
        spans = [span(arg, item) for arg in args]
        return None if None in spans else TEMPORAL[name](*spans[0], *spans[1])  # type: ignore[misc]
    values = [value(arg, item) for arg in args]
    if None in values:
        return None
    left, right = values
    if name == "like":
        return re.fullmatch(_pattern(right), left, re.DOTALL) is not None
    if name in ARRAYS:
        return ARRAYS[name](set(left), set(right))
    return COMPARE[name](left, right)


def _pattern(like: str) -> str:
    parts = re.findall(r"\\.|.", like, re.DOTALL)
    return "".join(
        {"%": ".*", "_": "."}.get(one, re.escape(one[-1] if len(one) > 1 else one)) for one in parts
    )


TOP = {"id", "collection", "geometry"}


def value(node: Node, item: Mapping[str, Any]) -> Any:
    """A scalar or an array; None is unknown."""
    if isinstance(node, Mapping) and "property" in node:
        name = node["property"]
        if name in TOP:
            return item[name]
        known = item["properties"].get(name)
        if name == "datetime" and known is None:
            # A composite counts as where it starts.
            known = item["properties"]["start_datetime"]
        dated = name.endswith("datetime") or name == "created"
        return datetime.fromisoformat(known) if dated and known else known
    if isinstance(node, Mapping) and "timestamp" in node:
        return datetime.fromisoformat(node["timestamp"])
    if not isinstance(node, Mapping):
        return node
    parts = [value(arg, item) for arg in node["args"]]
    if None in parts:
        return None
    if node["op"] == "casei":
        return parts[0].lower()
    if node["op"] == "accenti":
        plain = unicodedata.normalize("NFD", parts[0])
        return "".join(one for one in plain if not unicodedata.combining(one))
    return _arithmetic(node["op"], float(parts[0]), float(parts[1]))


def _arithmetic(name: str, a: float, b: float) -> float | None:
    if name in {"/", "%", "div"} and b == 0:
        return None
    result: float = {
        "+": lambda: a + b,
        "-": lambda: a - b,
        "*": lambda: a * b,
        "/": lambda: a / b,
        "%": lambda: math.fmod(a, b),
        "div": lambda: float(math.trunc(a / b)),
        "^": lambda: math.pow(a, b),
    }[name]()
    return result


def span(node: Node, item: Mapping[str, Any]) -> Span | None:
    """First and last moment of a temporal operand."""
    if "interval" in node:
        ends = [
            (ENDLESS[i], ENDLESS[i])
            if end == ".."
            else span(end if isinstance(end, Mapping) else {"timestamp": end}, item)
            for i, end in enumerate(node["interval"])
        ]
        return None if None in ends else (ends[0][0], ends[1][1])  # type: ignore[index]
    if "date" in node:
        start = datetime.fromisoformat(node["date"]).replace(tzinfo=UTC)
        return start, start + timedelta(days=1, milliseconds=-1)
    moment = value(node, item)
    return None if moment is None else (moment, moment)


def geometry(node: Node, item: Mapping[str, Any]) -> BaseGeometry:
    if "property" in node:
        return shape(item["geometry"])
    return box(*node["bbox"]) if "bbox" in node else shape(node)


def text(node: Node) -> str:
    """The same condition in CQL2 text, with brackets around everything."""
    if isinstance(node, bool):
        return str(node).upper()
    if isinstance(node, int | float):
        return repr(node)
    if isinstance(node, str):
        return "'" + node.replace("'", "''") + "'"
    if isinstance(node, list):
        return f"({', '.join(map(text, node))})"
    if "property" in node:
        return str(node["property"])
    for key in ("timestamp", "date"):
        if key in node:
            return f"{key.upper()}('{node[key]}')"
    if "interval" in node:
        return f"INTERVAL({', '.join(map(text, node['interval']))})"
    if "bbox" in node:
        return f"BBOX({', '.join(map(repr, node['bbox']))})"
    if "coordinates" in node:
        return wkt.dumps(shape(node), trim=True)
    return _operation(node["op"], node["args"])


def _operation(name: str, args: list[Node]) -> str:
    parts = [text(arg) for arg in args]
    if name in {"and", "or"}:
        return "(" + f" {name.upper()} ".join(parts) + ")"
    if name == "not":
        return f"(NOT {parts[0]})"
    if name == "isNull":
        return f"({parts[0]} IS NULL)"
    if name == "between":
        return f"({parts[0]} BETWEEN {parts[1]} AND {parts[2]})"
    if name in {"in", "like", *COMPARE, "+", "-", "*", "/", "%", "div", "^"}:
        return f"({parts[0]} {name.upper()} {parts[1]})"
    return f"{name.upper()}({', '.join(parts)})"


def geojson(made: BaseGeometry) -> dict[str, Any]:
    """As JSON has it: lists, not tuples."""

    def listed(part: Any) -> Any:
        return [listed(one) for one in part] if isinstance(part, tuple) else part

    return {key: listed(part) for key, part in mapping(made).items()}
