"""Outlines of the land, and the equal-area projection that maps are drawn in."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shapely.affinity import translate
from shapely.geometry import MultiPolygon, Polygon, box
from shapely.ops import unary_union

_FILE = Path(__file__).with_name("land-110m.json")
"""Natural Earth 1:110 million, public domain, as TopoJSON of world-atlas 2.0.2: land-110m.md."""

# Source: Šavrič, Patterson and Jenny 2018, The Equal Earth map projection, equations 6-8.
_A1, _A2, _A3, _A4 = 1.340264, -0.081106, 0.000893, 0.003796
_M = np.sqrt(3) / 2


def equal_earth(
    lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Equal Earth x and y on the unit sphere, where equal areas stay equal.

    Args:
        lon: Degrees, −180 … 180.
        lat: Degrees.
    """
    theta = np.arcsin(_M * np.sin(np.radians(lat)))
    square = theta * theta
    sixth = square**3
    slope = _A1 + 3 * _A2 * square + sixth * (7 * _A3 + 9 * _A4 * square)
    x = np.radians(lon) * np.cos(theta) / (_M * slope)
    y = theta * (_A1 + _A2 * square + sixth * (_A3 + _A4 * square))
    return x, y


def inverse_equal_earth(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude and latitude in degrees; longitudes beyond ±180 are outside the world's outline.

    Args:
        x: As of `equal_earth`.
        y: Between those of the poles.
    """
    theta = y / _A1
    for _ in range(12):  # Newton's method; four steps do except near the poles
        square = theta * theta
        sixth = square**3
        slope = _A1 + 3 * _A2 * square + sixth * (7 * _A3 + 9 * _A4 * square)
        value = theta * (_A1 + _A2 * square + sixth * (_A3 + _A4 * square))
        theta = theta - (value - y) / slope
    square = theta * theta
    slope = _A1 + 3 * _A2 * square + square**3 * (7 * _A3 + 9 * _A4 * square)
    lat = np.degrees(np.arcsin(np.clip(np.sin(theta) / _M, -1, 1)))
    return np.degrees(x * _M * slope / np.cos(theta)), lat


@lru_cache(maxsize=1)
def land() -> tuple[NDArray[np.float64], ...]:
    """Outer rings of the land, (point, 2) of longitude and latitude, cut at ±180°.

    Edges are at most 1° long, so that straight lines between their points do on any map.
    """
    topology = json.loads(_FILE.read_text(encoding="utf-8"))
    arcs = [_decoded(arc, topology["transform"]) for arc in topology["arcs"]]
    polygons = [
        part
        for geometry in topology["objects"]["land"]["geometries"]
        for rings in geometry["arcs"]
        for part in _cut(_ring(rings[0], arcs))
    ]
    merged: Any = unary_union(polygons)
    return tuple(np.asarray(part.exterior.segmentize(1.0).coords) for part in merged.geoms)


def _decoded(arc: list[list[int]], transform: dict[str, list[float]]) -> NDArray[np.float64]:
    """Points of an arc, which TopoJSON stores as whole numbers and differences of them."""
    steps = np.cumsum(np.asarray(arc, np.int64), axis=0)
    points: NDArray[np.float64]
    points = steps * np.asarray(transform["scale"]) + np.asarray(transform["translate"])
    return points


def _ring(numbers: list[int], arcs: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Arcs put together; a negative number ~n is arc n backwards. Shared ends are kept once."""
    parts = [arcs[number] if number >= 0 else arcs[~number][::-1] for number in numbers]
    return np.concatenate([parts[0], *(part[1:] for part in parts[1:])])


def _cut(ring: NDArray[np.float64]) -> list[Polygon]:
    """A ring on the sphere as polygons inside ±180°; one around a pole is closed there."""
    lon = np.degrees(np.unwrap(np.radians(ring[:, 0])))
    points = np.column_stack([lon, ring[:, 1]])
    if abs(lon[-1] - lon[0]) > 180:
        pole = -90.0 if ring[:, 1].mean() < 0 else 90.0
        points = np.vstack([points, [lon[-1], pole], [lon[0], pole]])
    shape = Polygon(points).buffer(0)
    found = []
    for turn in (-360, 0, 360):
        inside: Any = shape.intersection(box(-180 + turn, -90, 180 + turn, 90))
        moved = translate(inside, xoff=-turn)
        several = moved.geoms if isinstance(moved, MultiPolygon) else [moved]
        found += [part for part in several if isinstance(part, Polygon) and not part.is_empty]
    return found
