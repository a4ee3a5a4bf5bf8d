"""What the three providers' documents share: times, boxes, and where an asset's file comes from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from stac_lake.sandbox.scene import SandboxScene

Document = dict[str, Any]
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
SENTINEL_LICENSE = "https://sentinel.esa.int/documents/247904/690755/Sentinel_Data_Legal_Notice"
DEM_TIME = "2021-04-22T00:00:00Z"
DEM_HANDBOOK = {
    "rel": "handbook",
    "href": (
        "https://object.cloud.sdsc.edu/v1/AUTH_opentopography/www/metadata/Copernicus_metadata.pdf"
    ),
    "type": "application/pdf",
    "title": "Copernicus DEM User handbook",
}
INTERNATIONAL_DESIGNATOR = {
    "S1A": "2014-016A",
    "S1B": "2016-025A",
    "S2A": "2015-028A",
    "S2B": "2017-013A",
    "S3A": "2016-011A",
    "S3B": "2018-039A",
    "S5P": "2017-064A",
}


@dataclass(frozen=True)
class Served:
    """A file behind an item's href.

    Attributes:
        scene: Whose file it is.
        name: Name of the file for the product module's `blob`.
    """

    scene: SandboxScene
    name: str


@dataclass(frozen=True)
class Draft:
    """An item before the provider's envelope is put around it.

    Attributes:
        collection: Its Collection's id.
        id: The provider's id of the scene.
        geometry: Footprint.
        properties: All properties.
        assets: All assets.
        links: Links besides those that every item of the provider has.
        extensions: Extension schemas, as `name/version` or as whole addresses.
    """

    collection: str
    id: str
    geometry: Document
    properties: Mapping[str, Any]
    assets: Document
    links: Sequence[Document]
    extensions: Sequence[str]

    @property
    def schemas(self) -> list[str]:
        """Addresses of the extension schemas."""
        root = "https://stac-extensions.github.io"
        return [e if "://" in e else f"{root}/{e}/schema.json" for e in self.extensions]


def as_time(value: str | datetime) -> datetime:
    """An aware UTC time; text is RFC 3339."""
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return datetime.fromisoformat(value.replace("Z", "+00:00")).astimezone(UTC)


def micro(time: datetime) -> str:
    """`2024-04-18T19:19:49.024000Z`."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


def milli(time: datetime) -> str:
    """`2023-11-06T09:10:59.024Z`."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def second(time: datetime) -> str:
    """`2026-06-10T17:24:44Z`."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def spaced(time: datetime) -> str:
    """`2025-03-12 05:22:36.604436+00:00`: not RFC 3339, as the Planetary Computer has it for S1."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00:00")


def compact(time: datetime) -> str:
    """`20240418T191949`, as in product names."""
    return time.astimezone(UTC).strftime("%Y%m%dT%H%M%S")


def stable_hex(*parts: object, length: int = 32) -> str:
    """Lower-case hex digits that depend on the parts only; stands for upstream's opaque ids."""
    text = "\n".join(str(part) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def rings(geometry: Document) -> Iterator[list[list[float]]]:
    """The outer rings of a Polygon or MultiPolygon."""
    polygons = geometry["coordinates"]
    for polygon in [polygons] if geometry["type"] == "Polygon" else polygons:
        yield polygon[0]


def bbox(geometry: Document) -> list[float]:
    """West, south, east, north; west > east where the parts meet at the antimeridian."""
    boxes = []
    for ring in rings(geometry):
        lons, lats = [p[0] for p in ring], [p[1] for p in ring]
        boxes.append((min(lons), min(lats), max(lons), max(lats)))
    west, east = min(b[0] for b in boxes), max(b[2] for b in boxes)
    if len(boxes) > 1 and west == -180.0 and east == 180.0 and west_of_line(boxes):
        west = min(b[0] for b in boxes if b[2] == 180.0)
        east = max(b[2] for b in boxes if b[2] != 180.0)
    return [west, min(b[1] for b in boxes), east, max(b[3] for b in boxes)]


def west_of_line(boxes: list[tuple[float, float, float, float]]) -> bool:
    """Whether each part of a split footprint touches the antimeridian on one side only."""
    return all((b[0] == -180.0) != (b[2] == 180.0) for b in boxes)


def centroid(geometry: Document) -> dict[str, float]:
    """Middle of the box, as Earth Search's `proj:centroid`."""
    west, south, east, north = bbox(geometry)
    lon = (west + (east if east >= west else east + 360.0)) / 2
    return {"lat": round((south + north) / 2, 5), "lon": round((lon + 180) % 360 - 180, 5)}
