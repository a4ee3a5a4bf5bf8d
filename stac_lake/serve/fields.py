"""The fields extension: parts of documents."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

_ALWAYS = ("type", "stac_version", "id", "collection")
"""Without these an answer could neither be read as GeoJSON nor asked for again."""


def split_signs(fields: Iterable[str]) -> tuple[set[str], set[str]]:
    """(include, exclude) of the GET form: `-geometry` excludes, `id` and `+id` include."""
    names = [name.strip() for name in fields]
    exclude = {name[1:] for name in names if name.startswith("-")}
    return {name.lstrip("+") for name in names if not name.startswith("-")}, exclude


def select(document: dict[str, Any], include: set[str], exclude: set[str]) -> dict[str, Any]:
    """A document reduced to some fields.

    Args:
        document: A STAC Item; not changed.
        include: Dotted paths to keep, everything if empty.
        exclude: Dotted paths to drop, unless they, or parts of them, are included.
    """
    if include:
        kept: dict[str, Any] = {name: document[name] for name in _ALWAYS if name in document}
        for path in include:
            _copy(document, kept, path.split("."))
    else:
        kept = copy.deepcopy(document)
    for path in exclude - set(_ALWAYS):
        if not any(one == path or one.startswith(f"{path}.") for one in include):
            _drop(kept, path.split("."))
    return kept


def _copy(source: dict[str, Any], target: dict[str, Any], path: list[str]) -> None:
    name, *rest = path
    if name not in source:
        return
    if not rest or not isinstance(source[name], dict):
        target[name] = copy.deepcopy(source[name])
    else:
        _copy(source[name], target.setdefault(name, {}), rest)


def _drop(document: dict[str, Any], path: list[str]) -> None:
    name, *rest = path
    if not rest:
        document.pop(name, None)
    elif isinstance(document.get(name), dict):
        _drop(document[name], rest)
