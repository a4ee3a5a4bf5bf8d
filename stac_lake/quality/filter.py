"""The one filter language of a lake: CQL2, as text or JSON, over the property dictionary.

`parse` gives a tree in CQL2 JSON whose names are all known, `not_applied` says which products the
filter can say nothing about, and `stac_lake.quality.sql` turns the tree into a DuckDB condition.
"""

from __future__ import annotations

import difflib
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import cql2

from stac_lake import recipe
from stac_lake.errors import QueryError
from stac_lake.quality.properties import BY_NAME
from stac_lake.recipe import MODALITIES

Filter = str | Mapping[str, Any]
"""CQL2 text, CQL2 JSON as text or object, or one of these per product id."""

Node = Any
"""A node of CQL2 JSON: an object, a list or a literal."""

KINDS = {
    **{name: item.kind for name, item in BY_NAME.items()},
    "id": "string",
    "collection": "string",
    "geometry": "geometry",
}
"""Every name that a filter of items may use, and its type."""

CELL_KINDS: dict[str, str] = {
    "id": "string",
    "geometry": "geometry",
    "datetime": "datetime",
    "items": "integer",
    "patches": "integer",
    "paired": "integer",
    **dict.fromkeys(MODALITIES, "integer"),
    **{f"{name}_complete": "integer" for name in MODALITIES},
}
"""Every name that a filter of cells may use: counts of slots, patches and complete series."""

# cql2 0.6 parses by recursion on the native stack and dies with the process when it runs out: 2,000
# open brackets do on a stack of 512 kB. These bounds keep it well inside, and no real filter near.
_MAX_TEXT = 8_000
_MAX_NESTING = 64

_OUTCOMES: frozenset[bool | None] = frozenset({True, False, None})


def parse(text_or_json: Filter, kinds: Mapping[str, str] = KINDS) -> Node:
    """Read a filter.

    Args:
        text_or_json: CQL2 text, CQL2 JSON, or one filter per product; the last becomes the one
            filter that lets items of unnamed products through.
        kinds: The names that it may use: of items, or `CELL_KINDS`.

    Returns:
        CQL2 JSON, property names without the `properties.` prefix.

    Raises:
        QueryError: it is not CQL2, it is nested too deeply, or a property or product is unknown;
            the message has the nearest name.
    """
    tree = _parse_text(text_or_json) if isinstance(text_or_json, str) else text_or_json
    if isinstance(tree, Mapping) and tree and not {"op", "property"} & set(tree):
        if "lake:product" not in kinds:
            raise QueryError("a filter of cells is one for all products: expected CQL2")
        return _per_product(tree)
    return _named(tree, 0, kinds)


def _parse_text(text: str) -> Node:
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise QueryError(f"the filter is not CQL2 JSON: {error}") from error
    if len(text) > _MAX_TEXT:
        raise QueryError(
            f"the filter has {len(text)} characters: at most {_MAX_TEXT} are read as text; "
            "pass ids or collections as such, or CQL2 JSON"
        )
    brackets = itertools.accumulate((c == "(") - (c == ")") for c in text)
    negations = len(re.findall(r"\bnot\b", text, re.IGNORECASE))
    if max(brackets, default=0) > _MAX_NESTING or negations > _MAX_NESTING:
        raise QueryError(f"the filter is nested more than {_MAX_NESTING} deep")
    if re.search(r"(?:-\s*){8}", text):
        raise QueryError("the filter has a run of minus signs")
    try:
        return cql2.parse_text(text).to_json()
    except cql2.ParseError as error:
        raise QueryError(f"the filter is not CQL2: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    """The position and expectation of a parse error without its drawing."""
    lines = [line.strip(" |=") for line in str(error).splitlines()]
    return "; ".join(line for line in lines if line and not re.fullmatch(r"\^?-*|\d+ \| .*", line))


def _named(node: Node, depth: int, kinds: Mapping[str, str]) -> Node:
    """A copy of a tree with checked property names."""
    if depth > _MAX_NESTING:
        raise QueryError(f"the filter is nested more than {_MAX_NESTING} deep")
    if isinstance(node, list):
        return [_named(part, depth + 1, kinds) for part in node]
    if not isinstance(node, Mapping):
        return node
    if "property" in node:
        return {"property": property_name(node["property"], kinds)}
    named = {key: _named(value, depth + 1, kinds) for key, value in node.items()}
    if kinds is CELL_KINDS and str(named.get("op", "")).lower() == "isnull":
        # A cell has items, and these have moments, but none is a column that could be looked at.
        return False if named.get("args") == [{"property": "datetime"}] else named
    return named


def property_name(name: object, kinds: Mapping[str, str] = KINDS) -> str:
    """The canonical name of a property; raises QueryError with the nearest one.

    Args:
        name: With or without the `properties.` prefix that some clients write.
        kinds: The names there are.
    """
    if not isinstance(name, str):
        raise QueryError(f"a property is named by a string, not {name!r}")
    bare = name.removeprefix("properties.")
    if bare in kinds:
        return bare
    near = difflib.get_close_matches(bare, kinds, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else "see /queryables for all names"
    raise QueryError(f"unknown property {name!r}: {hint}")


def _per_product(filters: Mapping[str, Any]) -> Node:
    """One filter out of one per product: items of unnamed products pass."""
    known = recipe.products()
    branches: list[Node] = []
    for identifier, text_or_json in filters.items():
        if identifier not in known:
            near = difflib.get_close_matches(identifier, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise QueryError(
                f"{identifier!r} is neither a CQL2 operator nor a product: {hint}"
                f"known products are {', '.join(known)}"
            )
        if not isinstance(text_or_json, str | Mapping):
            raise QueryError(f"the filter of {identifier} is {text_or_json!r}: expected CQL2")
        tree = parse(text_or_json)
        if not_applied(tree, [identifier]):
            missing = ", ".join(sorted(properties_of(tree) - defined_by(identifier)))
            raise QueryError(f"the filter of {identifier} asks for what it lacks: {missing}")
        branches.append({"op": "and", "args": [_product_is([identifier]), tree]})
    others = {"op": "not", "args": [_product_is(list(filters))]}
    return {"op": "or", "args": [*branches, others]}


def _product_is(identifiers: list[str]) -> Node:
    return {"op": "in", "args": [{"property": "lake:product"}, identifiers]}


def properties_of(tree: Node) -> frozenset[str]:
    """Names of all properties that a parsed filter looks at."""
    return frozenset(_names(tree))


def _names(node: Node) -> Iterator[str]:
    if isinstance(node, Mapping):
        if "property" in node:
            yield node["property"]
        else:
            for value in node.values():
                yield from _names(value)
    elif isinstance(node, list):
        for value in node:
            yield from _names(value)


def defined_by(product: str) -> frozenset[str]:
    """Names of all properties that items of a product can have."""
    modality = recipe.product(product).modality
    others = {n for n, p in BY_NAME.items() if p.modalities and modality not in p.modalities}
    return frozenset(KINDS) - others


def not_applied(tree: Node, products: Iterable[str]) -> tuple[str, ...]:
    """Products whose items drop out only because they lack a property that the filter asks for.

    By CQL2's null rule a comparison with an absent property is neither true nor false, and only
    what is true is returned. The rule is followed through the tree, so that `a < 1 OR b = 2` is not
    held against a product without `a`, and products that the filter itself excludes are not named.

    Args:
        tree: A parsed filter.
        products: Product ids to ask about; unknown ones are passed over.

    Returns:
        Product ids, sorted.
    """
    known = recipe.products()
    return tuple(
        sorted(
            identifier
            for identifier in set(products) & set(known)
            if _silent(_outcomes(tree, identifier, defined_by(identifier)))
        )
    )


def _silent(outcomes: frozenset[bool | None]) -> bool:
    return None in outcomes and True not in outcomes


def _outcomes(node: Node, product: str, defined: frozenset[str]) -> frozenset[bool | None]:
    """The truth values that a condition can take on items of one product; None is unknown."""
    if isinstance(node, bool):
        return frozenset({node})
    operator = str(node.get("op", "")).lower() if isinstance(node, Mapping) else ""
    arguments = node.get("args", []) if isinstance(node, Mapping) else []
    if operator in {"and", "or", "not"}:
        inner = [_outcomes(part, product, defined) for part in arguments]
        if operator == "not":
            return frozenset(None if v is None else not v for part in inner for v in part)
        return _kleene(inner, decisive=operator == "or")
    lacking = bool(properties_of(node) - defined)
    if operator == "isnull":
        return frozenset({True}) if lacking else frozenset({True, False})
    if operator in {"=", "in"} and len(arguments) == 2:
        own = {"lake:product": product, "lake:modality": recipe.product(product).modality}
        name = arguments[0].get("property") if isinstance(arguments[0], Mapping) else None
        if name in own:
            wanted = arguments[1] if operator == "in" else [arguments[1]]
            return frozenset({own[name] in wanted})
    return frozenset({None}) if lacking else _OUTCOMES


def _kleene(parts: list[frozenset[bool | None]], *, decisive: bool) -> frozenset[bool | None]:
    """AND (decisive False) or OR (decisive True) in three-valued logic, over sets of values."""
    total: frozenset[bool | None] = frozenset({not decisive})
    for part in parts:
        total = frozenset(
            decisive if decisive in (a, b) else None if None in (a, b) else not decisive
            for a, b in itertools.product(total, part)
        )
    return total
