"""Exact spatial tests of item footprints against a literal, by GEOS on whole Arrow columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa
import shapely
from shapely.affinity import translate
from shapely.geometry import box, shape
from shapely.geometry.base import BaseGeometry

from stac_lake.errors import QueryError
from stac_lake.grid import Bounds, split_bounds

# With the literal first, which can be prepared, an asymmetric test becomes its mirror image:
# an item is within the literal if the literal contains the item.
_LITERAL_FIRST: dict[str, Callable[..., Any]] = {
    "s_intersects": shapely.intersects,
    "s_disjoint": shapely.intersects,
    "s_within": shapely.contains,
    "s_contains": shapely.within,
    "s_crosses": shapely.crosses,
    "s_touches": shapely.touches,
    "s_overlaps": shapely.overlaps,
    "s_equals": shapely.equals,
}

OPERATORS = frozenset(_LITERAL_FIRST)
"""CQL2's spatial operators, lower case."""

_NO_GEOMETRY = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    RecursionError,
    shapely.errors.ShapelyError,
)
"""What shapely raises on JSON that is no geometry."""

_MIRRORED = {"s_within": "s_contains", "s_contains": "s_within"}


@dataclass(frozen=True, eq=False)
class SpatialTest:
    """One comparison of footprints with a literal.

    Attributes:
        operator: With the item's footprint on the left.
        geometry: The literal on the right, prepared, in degrees within ±180° and ±90°.
        boxes: West, south, east, north of its parts: a footprint near none of them cannot pass.
    """

    operator: str
    geometry: BaseGeometry
    boxes: tuple[Bounds, ...]

    @classmethod
    def of(cls, operator: str, geometry: BaseGeometry, *, swapped: bool = False) -> Self:
        """A test; `swapped` says that the literal stood on the left."""
        shapely.prepare(geometry)
        parts = [part for part in getattr(geometry, "geoms", [geometry]) if not part.is_empty]
        # A literal split at the antimeridian is near where one of its halves is; beyond a few
        # parts the one box around all is cheaper.
        boxes = [part.bounds for part in parts] if len(parts) <= 4 else [geometry.bounds]
        operator = _MIRRORED.get(operator, operator) if swapped else operator
        return cls(operator, geometry, tuple(boxes))

    @property
    def negated(self) -> bool:
        """Disjoint is what does not intersect; all others need nearness."""
        return self.operator == "s_disjoint"

    def __call__(self, footprints: pa.Array) -> pa.Array:
        """(n,) WKB → (n,) booleans."""
        geometries = shapely.from_wkb(footprints.to_numpy(zero_copy_only=False))
        return pa.array(_LITERAL_FIRST[self.operator](self.geometry, geometries))


def geometry_of(literal: object) -> BaseGeometry:
    """A GeoJSON geometry, or CQL2's ``{"bbox": […]}``, in degrees within ±180°.

    Raises:
        QueryError: it is neither, is empty, or leaves ±90° or ±540°.
    """
    if not isinstance(literal, Mapping):
        raise QueryError(f"expected a GeoJSON geometry, not {literal!r}")
    if "bbox" in literal:
        return box_geometry(literal["bbox"])
    if literal.get("type") == "Feature":
        return geometry_of(literal.get("geometry"))
    try:
        geometry = shape(dict(literal))
        if not geometry.is_valid:
            geometry = shapely.make_valid(geometry)
    except _NO_GEOMETRY as error:
        raise QueryError(f"not a GeoJSON geometry: {error}") from error
    if geometry.is_empty:
        raise QueryError("the geometry is empty")
    west, south, east, north = geometry.bounds
    if not (-540 <= west <= east <= 540 and -90 <= south <= north <= 90):
        raise QueryError(f"the geometry leaves the Earth: {geometry.bounds}")
    return geometry if west >= -180 and east <= 180 else _wrapped(geometry)


def box_geometry(bbox: Sequence[float]) -> BaseGeometry:
    """A GeoJSON bbox of 4 or 6 numbers; west > east crosses the antimeridian.

    Raises:
        QueryError: it has another number of values, or is upside down.
    """
    try:
        values = [float(value) for value in bbox]
    except (TypeError, ValueError, OverflowError) as error:
        raise QueryError(f"a bbox is made of numbers, not {bbox!r}") from error
    if len(values) not in {4, 6}:
        raise QueryError(f"a bbox has 4 or 6 numbers, not {len(values)}")
    half = len(values) // 2
    west, south, east, north = values[0], values[1], values[half], values[half + 1]
    if not (-90 <= south <= north <= 90 and all(-540 <= x <= 540 for x in (west, east))):
        raise QueryError(f"bbox {values}: expected west, south, east, north in degrees")
    if west > east and abs(west) <= 180 and abs(east) <= 180:
        parts = [(west, south, 180.0, north), (-180.0, south, east, north)]
    else:
        parts = split_bounds((west, south, east, north))
    return shapely.union_all([box(*part) for part in parts])


def _wrapped(geometry: BaseGeometry) -> BaseGeometry:
    """What lies beyond ±180° brought back to the other side."""
    turns = (
        translate(shapely.intersection(geometry, box(turn - 180, -90, turn + 180, 90)), xoff=-turn)
        for turn in (-360, 0, 360)
    )
    return shapely.union_all([part for part in turns if not part.is_empty])
