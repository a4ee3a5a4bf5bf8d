"""Footprints as providers publish them, made valid, inside ±180° and ±90°."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import shapely
from shapely.affinity import translate
from shapely.errors import ShapelyError
from shapely.geometry import MultiPolygon, Polygon, box, mapping, shape
from shapely.geometry.base import BaseGeometry

from stac_lake.grid import Bounds, box_footprint

Point = tuple[float, float]


def usable_footprint(document: dict[str, Any]) -> dict[str, Any] | None:
    """GeoJSON Polygon or MultiPolygon of an item, in degrees; None if it has none.

    Rings that jump over the antimeridian are unwrapped and split there, rings around a pole are
    closed over it, self-intersections are repaired, empty members dropped. Where nothing is left of
    the geometry, the bbox is taken.
    """
    try:
        parts = [part for ring in _rings(document.get("geometry")) for part in _parts(ring)]
    except (TypeError, ValueError, IndexError, KeyError, ShapelyError):
        parts = []
    merged = _polygons(shapely.union_all(parts)) if parts else []
    if not merged:
        return _of_bbox(document.get("bbox"))
    return dict(mapping(merged[0] if len(merged) == 1 else MultiPolygon(merged)))


def touches_any(footprint: dict[str, Any], boxes: Sequence[Bounds]) -> bool:
    """Whether a footprint has a point in one of the boxes (west, south, east, north)."""
    geometry = shape(footprint)
    return any(geometry.intersects(box(*bounds)) for bounds in boxes)


def _rings(geometry: dict[str, Any] | None) -> list[list[Point]]:
    """The outer rings; holes are rare (and wrong) in footprints and are filled."""
    if not geometry:
        return []
    coordinates = geometry["coordinates"]
    polygons = [coordinates] if geometry["type"] == "Polygon" else coordinates
    return [[_point(*pair[:2]) for pair in polygon[0]] for polygon in polygons if polygon]


def _point(lon: Any, lat: Any) -> Point:
    """A position; up to one turn beyond ±180° is a habit, more is nonsense that overflows."""
    point = (float(lon), float(lat))
    if not (abs(point[0]) <= 540 and abs(point[1]) <= 90):
        raise ValueError(f"{point} is no position")
    return point


def _parts(ring: list[Point]) -> list[BaseGeometry]:
    path = _unwrapped(ring)
    turn = path[-1][0] - path[0][0]
    if abs(turn) > 180:
        # The ring runs once around a pole: the nearer one is inside.
        pole = 90.0 if sum(lat for _, lat in path) > 0 else -90.0
        path = [*path, (path[-1][0], pole), (path[0][0], pole)]
    valid = shapely.make_valid(Polygon(path))
    world = [
        translate(valid.intersection(box(-180 + shift, -90, 180 + shift, 90)), xoff=-shift)
        for shift in (-720, -360, 0, 360, 720)
    ]
    return [part for piece in world for part in _polygons(piece)]


def _unwrapped(ring: list[Point]) -> list[Point]:
    """Longitudes continued over ±180°.

    A step of exactly 360° is no jump but the edge along a pole that some providers draw.
    """
    path = [ring[0]]
    shift = 0.0
    for (before, _), (lon, lat) in pairwise(ring):
        step = lon - before
        if 180 < abs(step) < 360:
            shift -= 360 if step > 0 else -360
        path.append((lon + shift, lat))
    return path


def _polygons(geometry: BaseGeometry) -> list[Polygon]:
    found = [part for part in getattr(geometry, "geoms", [geometry]) if part.area > 0]
    return [
        polygon
        for part in found
        for polygon in (_polygons(part) if not isinstance(part, Polygon) else [part])
    ]


def _of_bbox(bbox: Any) -> dict[str, Any] | None:
    """The box of a GeoJSON bbox of four numbers, or of six with heights."""
    if not isinstance(bbox, list) or len(bbox) not in (4, 6):
        return None
    half = len(bbox) // 2
    try:
        (west, south), (east, north) = _point(*bbox[:2]), _point(*bbox[half : half + 2])
    except (TypeError, ValueError):
        return None
    if south >= north or west == east:
        return None
    return box_footprint((west, south, east, north))
