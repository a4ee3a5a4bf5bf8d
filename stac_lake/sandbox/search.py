"""Which items of a provider answer a search, in which order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import cql2
from shapely.geometry import shape

from stac_lake.sandbox.catalog import FIRST, HOME, HOME_YEAR, LAST, Catalog, Holding, Span
from stac_lake.sandbox.documents.envelope import Document, as_time
from stac_lake.sandbox.query import Search, SearchError
from stac_lake.sandbox.scene import SandboxScene

# The item's `datetime` is the scene's start at some providers and the datatake's at others; the
# two are less than this apart.
_MARGIN = timedelta(minutes=30)
_MOST_SQUARE_DEGREES = 900.0  # per search, of Collections whose scenes are not a few per day


def matches(expression: cql2.Expr, item: Document) -> bool:
    """Whether an item fulfils a filter; a comparison with an absent property does not."""
    flat = {**item, "properties": {"collection": item["collection"], **item["properties"]}}
    try:
        return bool(expression.matches(flat))
    except Exception:  # cql2 raises bare Exception where the outcome is null
        return False


def answer(catalog: Catalog, provider: str, search: Search, api: str) -> list[Document]:
    """All items that answer a search, in the order of its `sortby`.

    Raises:
        SearchError: The area is too wide to make its scenes on request.
    """
    wanted = [
        h
        for h in catalog.collections(provider)
        if not search.collections or h.collection in search.collections
    ]
    items = [item for h in wanted for item in _of_holding(h, search, api)]
    if search.expression is not None:
        expression = cql2.Expr(search.expression)
        items = [item for item in items if matches(expression, item)]
    return ordered(items, search.sortby)


def _of_holding(holding: Holding, search: Search, api: str) -> Iterable[Document]:
    for scene in _candidates(holding, search):
        item = _item(holding, scene, api)
        if _in_time(item, search.start, search.end) and (
            search.area is None or search.area.intersects(shape(item["geometry"]))
        ):
            yield item


def _candidates(holding: Holding, search: Search) -> list[SandboxScene]:
    if search.ids:
        return _by_id(holding, search.ids)
    boxes = search.boxes or HOME
    area = sum((east - west) * (north - south) for west, south, east, north in boxes)
    if area > _MOST_SQUARE_DEGREES and holding.kind.startswith(("s1", "s2", "landsat")):
        raise SearchError(
            f"The stand-in makes scenes on request: {area:.0f} square degrees of "
            f"{holding.collection} are too many, ask for at most {_MOST_SQUARE_DEGREES:.0f}"
        )
    start, end = max(search.start, FIRST), min(search.end, LAST)
    if not search.boxes and (start, end) == (FIRST, LAST):
        start, end = HOME_YEAR
    start, end = start - _MARGIN, end + _MARGIN
    found = [scene for box in boxes for scene in holding.scenes(Span(box, start, end))]
    return list(dict.fromkeys(found))


def _by_id(holding: Holding, ids: Sequence[str]) -> list[SandboxScene]:
    found = []
    for item_id in ids:
        try:
            scene = holding.find(item_id)
        except KeyError:
            continue
        if holding.id_of(scene) == item_id:
            found.append(scene)
    return found


@lru_cache(maxsize=4096)
def _item(holding: Holding, scene: SandboxScene, api: str) -> Document:
    return holding.item(scene, api)


def times(item: Document) -> tuple[datetime, datetime]:
    """First and last moment of an item."""
    properties = item["properties"]
    moment = properties.get("datetime")
    first = properties.get("start_datetime") or moment
    last = properties.get("end_datetime") or moment
    return as_time(first), as_time(last)


def _in_time(item: Document, start: datetime, end: datetime) -> bool:
    first, last = times(item)
    return first <= end and last >= start


def ordered(items: list[Document], sortby: Sequence[tuple[str, bool]]) -> list[Document]:
    """Newest first, then by id, unless `sortby` says otherwise; absent values come last."""
    newest = sorted(items, key=lambda item: item["id"])
    newest.sort(key=lambda item: times(item)[0], reverse=True)
    for name, descending in reversed(sortby):
        present = [item for item in newest if _value(item, name) is not None]
        absent = [item for item in newest if _value(item, name) is None]
        present.sort(key=lambda item: _key(_value(item, name)), reverse=descending)
        newest = present + absent
    return newest


def _value(item: Document, name: str) -> Any:
    name = name.removeprefix("properties.")
    return item.get(name) if name in ("id", "collection") else item["properties"].get(name)


def _key(value: Any) -> tuple[int, Any]:
    """Numbers before text, so that mixed Collections can be sorted."""
    return (0, value) if isinstance(value, int | float) else (1, str(value))


def selected(item: Document, fields: tuple[tuple[str, ...], tuple[str, ...]]) -> Document:
    """An item with the members that the fields extension asks for."""
    include, exclude = fields
    if not include and not exclude:
        return item
    always = ("type", "stac_version", "id", "collection", "geometry", "bbox", "links", "assets")
    names = include or (*always, "properties", "stac_extensions")
    names = tuple(dict.fromkeys((*("id", "collection", "type"), *names)))
    result: Document = {}
    for name in names:
        top, _, inner = name.partition(".")
        if top not in item:
            continue
        if inner and isinstance(item[top], dict):
            if inner in item[top]:
                result.setdefault(top, {})[inner] = item[top][inner]
        else:
            result[top] = item[top]
    for name in exclude:
        top, _, inner = name.partition(".")
        if inner and isinstance(result.get(top), dict):
            result[top] = {key: value for key, value in result[top].items() if key != inner}
        elif not inner:
            result.pop(top, None)
    return result
