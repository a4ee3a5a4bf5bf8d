"""XML as nested tuples, and how Sentinel-1's annotations write numbers and times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from xml.sax.saxutils import escape, quoteattr

Node = tuple[Any, ...]
"""A tag, its content (text, or a sequence of nodes), and perhaps its attributes."""


def rendered(root: Node) -> bytes:
    """A document."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>']
    _render(root, "", lines)
    return ("\n".join(lines) + "\n").encode()


def counted(name: str, nodes: Sequence[Node]) -> Node:
    """A list with its length as an attribute."""
    return name, nodes, {"count": len(nodes)}


def table(name: str, values: Iterable[Any], form: str) -> Node:
    """A vector of numbers with its length as an attribute."""
    texts = [form % value for value in values]
    return name, " ".join(texts), {"count": len(texts)}


def real(value: float) -> str:
    """A number with all its digits."""
    return f"{value:.15e}"


def stamp(start: datetime, seconds: float = 0.0) -> str:
    """UTC to the microsecond, without a zone."""
    return (start + timedelta(seconds=float(seconds))).strftime("%Y-%m-%dT%H:%M:%S.%f")


def _render(node: Node, indent: str, lines: list[str]) -> None:
    name, content = node[0], node[1]
    attributes = "".join(
        f" {key}={quoteattr(str(value))}"
        for key, value in (node[2] if len(node) > 2 else {}).items()
    )
    if isinstance(content, str):
        lines.append(f"{indent}<{name}{attributes}>{escape(content)}</{name}>")
    elif not content:
        lines.append(f"{indent}<{name}{attributes}/>")
    else:
        lines.append(f"{indent}<{name}{attributes}>")
        for child in content:
            _render(child, indent + "  ", lines)
        lines.append(f"{indent}</{name}>")
