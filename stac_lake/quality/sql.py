"""CQL2 JSON to a DuckDB condition: bound parameters, three-valued logic, exact geometry.

Only names out of the property dictionary reach the SQL text; every literal is bound. Geometry is
tested on bounding boxes first and then exactly by GEOS, inside the query, so that counts, order and
pages are right without DuckDB's spatial extension.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from stac_lake.errors import QueryError
from stac_lake.quality.bindings import Bindings
from stac_lake.quality.filter import CELL_KINDS, KINDS, Node
from stac_lake.quality.spatial import OPERATORS, SpatialTest, geometry_of
from stac_lake.quality.temporal import RELATIONS, TIME_START, moments

__all__ = ["Bindings", "column", "condition", "kind_of"]

_KINDS = CELL_KINDS | KINDS
"""What they have in common, they mean alike."""

_COMPARISONS = {"=", "<>", "<", "<=", ">", ">="}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_ARITHMETIC = {"+", "-", "*", "/", "%", "div", "^"}

_ARRAYS = {
    "a_contains": "list_has_all({a}, {b})",
    "a_containedby": "list_has_all({b}, {a})",
    "a_equals": "(list_has_all({a}, {b}) AND list_has_all({b}, {a}))",
    "a_overlaps": "list_has_any({a}, {b})",
}


def condition(tree: Node, bindings: Bindings) -> str:
    """SQL of a parsed filter (`stac_lake.quality.filter.parse`).

    Raises:
        QueryError: an operator is unknown, or its arguments are of the wrong type or number.
    """
    if isinstance(tree, bool):
        return "TRUE" if tree else "FALSE"
    if _is_property(tree) and kind_of(tree) == "boolean":
        return column(tree["property"])
    operator, args = _call(tree)
    if operator in {"and", "or"} and args:
        return "(" + f" {operator.upper()} ".join(condition(arg, bindings) for arg in args) + ")"
    if operator == "not":
        return f"(NOT {condition(_exactly(operator, args, 1)[0], bindings)})"
    if operator == "isnull":
        (arg,) = _exactly(operator, args, 1)
        return f"({_raw(arg)} IS NULL)"
    if operator in _COMPARISONS:
        return _comparison(operator, args, bindings)
    if operator == "between":
        # Drafts of CQL2 JSON put the two ends into a list of their own.
        ends = args[1] if len(args) == 2 and isinstance(args[1], list) else args[1:]
        value, low, high = _exactly(operator, [*args[:1], *ends], 3)
        above = _comparison(">=", [value, low], bindings)
        below = _comparison("<=", [value, high], bindings)
        return f"({above} AND {below})"
    if operator == "in":
        value, choices = _exactly(operator, args, 2)
        if not isinstance(choices, list):
            raise QueryError(f"in: expected a list, not {choices!r}")
        matches = [_comparison("=", [value, choice], bindings) for choice in choices]
        return "(" + " OR ".join(matches) + ")" if matches else "FALSE"
    if operator == "like":
        value, pattern = (_text(arg, bindings) for arg in _exactly(operator, args, 2))
        return f"({value} LIKE {pattern} ESCAPE '\\')"
    return _function(operator, _exactly(operator, args, 2), bindings)


def _function(operator: str, args: list[Node], bindings: Bindings) -> str:
    """Temporal, array and spatial predicates of two arguments."""
    if operator in RELATIONS:
        (a, b), (c, d) = (_span(arg, bindings) for arg in args)
        return RELATIONS[operator].format(a=a, b=b, c=c, d=d)
    if operator in _ARRAYS:
        a, b = (_strings(arg, bindings) for arg in args)
        return _ARRAYS[operator].format(a=a, b=b)
    if operator in OPERATORS:
        # A property is the only node that says which side the footprint is on.
        swapped = not _is_property(args[0])
        mine, literal = reversed(args) if swapped else args
        if not _is_property(mine) or kind_of(mine) != "geometry" or _is_property(literal):
            raise QueryError(f"{operator}: expected geometry and a GeoJSON geometry or bbox")
        return bindings.spatial(SpatialTest.of(operator, geometry_of(literal), swapped=swapped))
    raise QueryError(f"unknown operator {operator!r}")


def _call(node: Node) -> tuple[str, list[Node]]:
    operator = node.get("op") if isinstance(node, Mapping) else None
    args = node.get("args") if isinstance(node, Mapping) else None
    if not isinstance(operator, str) or not isinstance(args, list):
        raise QueryError(f"expected a condition, not {node!r}")
    return operator.lower(), args


def _exactly(operator: str, args: list[Node], count: int) -> list[Node]:
    if len(args) != count:
        raise QueryError(f"{operator}: expected {count} arguments, not {len(args)}")
    return args


def _is_property(node: Node) -> bool:
    return isinstance(node, Mapping) and "property" in node


def column(name: str) -> str:
    """The column of a property; `datetime` of a composite counts as the start of it."""
    return TIME_START if name == "datetime" else f'"{name}"'


def _raw(node: Node) -> str:
    if not _is_property(node):
        raise QueryError(f"isNull: expected a property, not {node!r}")
    return f'"{node["property"]}"'


def kind_of(node: Node) -> str:
    """Type of an expression: as in the property dictionary, or date, interval, list."""
    if isinstance(node, bool):
        return "boolean"
    if isinstance(node, int | float):
        return "number"
    if isinstance(node, str):
        return "string"
    if isinstance(node, list):
        return "list"
    if isinstance(node, Mapping):
        if "property" in node:
            kind = _KINDS[node["property"]]
            return "number" if kind == "integer" else kind
        for key, kind in (("timestamp", "datetime"), ("date", "date"), ("interval", "interval")):
            if key in node:
                return kind
        if str(node.get("op", "")).lower() in _ARITHMETIC:
            return "number"
        if str(node.get("op", "")).lower() in {"casei", "accenti"}:
            return "string"
        if "bbox" in node or "coordinates" in node or "geometries" in node:
            return "geometry"
    raise QueryError(f"{node!r} is not a value that can be compared")


def _comparison(operator: str, args: list[Node], bindings: Bindings) -> str:
    left, right = _exactly(operator, args, 2)
    kinds = {kind_of(left), kind_of(right)}
    if kinds & {"datetime", "date"} and kinds <= {"datetime", "date", "string"}:
        return _temporal_comparison(operator, left, right, bindings)
    if len(kinds) > 1 or not kinds <= {"number", "string", "boolean"}:
        raise QueryError(
            f"{_shown(left)} {operator} {_shown(right)}: a {kind_of(left)} cannot be compared "
            f"with a {kind_of(right)}"
        )
    render = {"number": _number, "string": _text, "boolean": _boolean}[kinds.pop()]
    return f"({render(left, bindings)} {operator} {render(right, bindings)})"


def _shown(node: Node) -> str:
    return str(node["property"]) if _is_property(node) else repr(node)


def _boolean(node: Node, bindings: Bindings) -> str:
    return bindings.bind(node) if isinstance(node, bool) else column(node["property"])


def _number(node: Node, bindings: Bindings) -> str:
    """A DOUBLE: integer columns are widened so that arithmetic cannot overflow."""
    if kind_of(node) != "number":
        raise QueryError(f"expected a number, not {_shown(node)}")
    if isinstance(node, int | float):
        return bindings.bind(_finite(node))
    if "property" in node:
        name = node["property"]
        return f'"{name}"::DOUBLE' if _KINDS[name] == "integer" else f'"{name}"'
    operator, args = _call(node)
    a, b = (_number(arg, bindings) for arg in _exactly(operator, args, 2))
    if operator in {"/", "div"}:
        # What is divided by zero is unknown, not infinite.
        b = f"nullif({b}, 0)"
    value = {"div": f"trunc({a} / {b})", "^": f"pow({a}, {b})"}.get(
        operator, f"({a} {operator} {b})"
    )
    # DuckDB takes NaN for the greatest number: the root of a negative one is unknown, too.
    return f"nullif({value}, 'nan'::DOUBLE)"


def _finite(value: float) -> float:
    try:
        number = float(value)
    except OverflowError as error:
        raise QueryError("a number has more than 308 digits") from error
    if not math.isfinite(number):
        raise QueryError(f"{number} is not a number of CQL2")
    return number


def _text(node: Node, bindings: Bindings) -> str:
    if kind_of(node) != "string":
        raise QueryError(f"expected a string, not {_shown(node)}")
    if isinstance(node, str):
        return bindings.bind(node)
    if "property" in node:
        return column(node["property"])
    operator, args = _call(node)
    function = {"casei": "lower", "accenti": "strip_accents"}[operator]
    return f"{function}({_text(_exactly(operator, args, 1)[0], bindings)})"


def _strings(node: Node, bindings: Bindings) -> str:
    """An array of strings: a column of the dictionary's kind string[], or a list of literals."""
    if isinstance(node, list) and all(isinstance(part, str) for part in node):
        return bindings.bind(node) + "::VARCHAR[]"
    if kind_of(node) == "string[]":
        return column(node["property"])
    raise QueryError(f"expected an array of strings, not {_shown(node)}")


def _temporal_comparison(operator: str, left: Node, right: Node, bindings: Bindings) -> str:
    """Moments compared with moments, or with whole days where a literal is a date."""
    if not _is_property(left):
        left, right, operator = right, left, _MIRRORED.get(operator, operator)
    low, _ = _span(left, bindings)
    if _is_property(right):
        return f"({low} {operator} {_span(right, bindings)[0]})"
    first, last = moments(_literal(right))
    if operator in {"=", "<>"}:
        inside = f"{low} BETWEEN {bindings.bind(first)} AND {bindings.bind(last)}"
        return f"({inside})" if operator == "=" else f"(NOT {inside})"
    edge = last if operator in {"<=", ">"} else first
    return f"({low} {operator} {bindings.bind(edge)})"


def _literal(node: Node) -> str:
    value = node.get("timestamp", node.get("date")) if isinstance(node, Mapping) else node
    if not isinstance(value, str):
        raise QueryError(f"expected a time, not {node!r}")
    return value


def _span(node: Node, bindings: Bindings) -> tuple[str, str]:
    """First and last moment of a temporal expression, as SQL."""
    if _is_property(node):
        if _KINDS[node["property"]] != "datetime":
            raise QueryError(f"expected a time, not {node['property']}")
        return column(node["property"]), column(node["property"])
    if isinstance(node, Mapping) and "interval" in node:
        ends = node["interval"]
        if not isinstance(ends, list) or len(ends) != 2:
            raise QueryError(f"an interval has two ends: {node!r}")
        infinite = ("'-infinity'::TIMESTAMPTZ", "'infinity'::TIMESTAMPTZ")
        start, end = (
            infinite[i] if end == ".." else _span(end, bindings)[i] for i, end in enumerate(ends)
        )
        return start, end
    first, last = moments(_literal(node))
    return bindings.bind(first), bindings.bind(last)
