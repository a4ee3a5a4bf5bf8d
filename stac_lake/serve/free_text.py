"""Free-text search of Collections (`q`), as a filter: their texts follow from the cell.

All Collections share the words of their description and keywords; what differs is where the cell
is, and the index finds that without reading a text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from stac_lake.errors import GridError, QueryError
from stac_lake.grid import Cell
from stac_lake.quality.filter import Node

SHARED = (
    "sentinel crops and elevation of the era5 grid cell",
    "sentinel",
    "copernicus",
    "era5 grid",
    "training data",
)
"""What stands in every Collection's title, description or keywords, lower case."""

_CODE = re.compile(r"(?:era5-)?(\d{7})(_.*)?")
_DEGREES = re.compile(r"(\d{1,3}\.\d\d)\s*°?\s*([nsew]?)")
_AXES: dict[str, tuple[bool, int]] = {
    "n": (True, 1),
    "s": (True, -1),
    "e": (False, 1),
    "w": (False, -1),
}


def free_text(terms: Sequence[str]) -> Node:
    """The cells whose Collection speaks of any of some terms.

    Args:
        terms: Words, or phrases of whole words; case does not matter.

    Returns:
        CQL2 JSON over `quality.filter.CELL_KINDS`.

    Raises:
        QueryError: a term is empty.
    """
    branches = [branch for term in terms for branch in _of_term(" ".join(term.lower().split()))]
    return {"op": "or", "args": branches or [False]}


def _of_term(term: str) -> list[Any]:
    if not term:
        raise QueryError("q: expected words between its commas")
    if any(f" {term} " in f" {text} " for text in SHARED):
        return [True]
    if code := _CODE.fullmatch(term):
        return [_is_cell(int(code[1]), code[2])]
    if place := _DEGREES.fullmatch(term):
        degrees, letter = float(place[1]), place[2]
        lines = [_line(degrees, one) for one in letter or _AXES]
        return [line for line in lines if line]
    return []


def _is_cell(number: int, rest: str | None) -> Node:
    """The cell of a number, which its name in the description goes on from with a place."""
    try:
        cell = Cell(number)
    except GridError:
        return False
    if rest and cell.name != f"{number:07d}{rest}":
        return False
    return {"op": "=", "args": [{"property": "id"}, cell.collection_id]}


def _line(degrees: float, letter: str) -> Node:
    """Cells centred on a parallel or a meridian; no cell's edge lies on a multiple of 0.25°."""
    northing, sign = _AXES[letter]
    # The equator is written north, Greenwich east, and the antimeridian west.
    written = degrees > 0 or sign > 0
    within = degrees <= 90 if northing else (degrees < 180 if sign > 0 else degrees <= 180)
    if degrees % 0.25 or not written or not within:
        return None
    value = sign * degrees
    ends = [[-180, value], [180, value]] if northing else [[value, -90], [value, 90]]
    line = {"type": "LineString", "coordinates": ends}
    return {"op": "s_intersects", "args": [{"property": "geometry"}, line]}
