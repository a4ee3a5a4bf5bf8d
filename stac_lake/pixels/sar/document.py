"""XML of a SAFE product: read safely, and with an error that says what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException
from numpy.typing import NDArray

from stac_lake.errors import BadRaster
from stac_lake.types import Asset, Source

_MAX_BYTES = 64 << 20
"""The largest annotations, of long EW slices, have a few megabytes."""

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Node:
    """An element of a document, and whose it is."""

    element: Any
    asset: Asset

    def all(self, path: str) -> list[Node]:
        return [Node(found, self.asset) for found in self.element.iterfind(path)]

    def has(self, path: str) -> bool:
        return self.element.find(path) is not None

    def text(self, path: str) -> str:
        """Text of the first element there.

        Raises:
            BadRaster: there is none.
        """
        found = self.element.findtext(path)
        if found is None or not found.strip():
            raise self.bad(f"has no {path}")
        return str(found).strip()

    def number(self, path: str) -> float:
        return float(self.numbers(path)[0])

    def whole(self, path: str) -> int:
        return int(self.number(path))

    def numbers(self, path: str) -> Vector:
        """All numbers of a list that is written with spaces.

        Raises:
            BadRaster: there are none, or they are not finite numbers.
        """
        try:
            values = np.array(self.text(path).split(), dtype=np.float64)
        except ValueError as error:
            raise self.bad(f"has no numbers in {path}") from error
        if not np.isfinite(values).all():
            raise self.bad(f"has no finite numbers in {path}")
        return values

    def moment(self, path: str) -> np.datetime64:
        """A UTC time.

        Raises:
            BadRaster: it is none.
        """
        try:
            return np.datetime64(self.text(path).removesuffix("Z"), "ns")
        except ValueError as error:
            raise self.bad(f"has no time in {path}") from error

    def bad(self, what: str) -> BadRaster:
        return BadRaster(f"the document {what}", asset=self.asset.href)


def read_document(source: Source, asset: Asset) -> Node:
    """The root of an XML file.

    Raises:
        BadRaster: it is too large, no XML, or defines entities.
        UpstreamError: it could not be read.
    """
    if source.size(asset) > _MAX_BYTES:
        raise BadRaster("the document is larger than 64 MiB", asset=asset.href)
    return parse_document(source.read(asset), asset)


def parse_document(data: bytes, asset: Asset) -> Node:
    """The root of an XML document.

    Raises:
        BadRaster: it is no XML, or defines entities.
    """
    try:
        return Node(ElementTree.fromstring(data), asset)
    except (ElementTree.ParseError, DefusedXmlException, ValueError) as error:
        raise BadRaster(f"the document is no plain XML: {error}", asset=asset.href) from error


def seconds(moment: np.datetime64, epoch: np.datetime64) -> float:
    """Seconds from an epoch, to the nanosecond."""
    return float((moment - epoch) / np.timedelta64(1, "ns")) * 1e-9
