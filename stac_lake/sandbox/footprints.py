"""GeoJSON footprints of swaths: split at the antimeridian and closed over the poles."""

from __future__ import annotations

from typing import Any

import numpy as np
from shapely import box, polygons, set_precision
from shapely.affinity import translate
from shapely.geometry import Polygon, mapping
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from stac_lake.sandbox.sphere import Floats, wrap
from stac_lake.sandbox.swaths import Swath

_WORLD = box(-180.0, -90.0, 180.0, 90.0)


def _polar_cap(lon: Floats, lat: Floats) -> Polygon:
    """The part of the map poleward of a ring that goes round a pole, as one box-like polygon."""
    order = np.argsort(lon)
    x, y = lon[order], lat[order]
    pole = 90.0 if y.mean() > 0 else -90.0
    edge = (y[0] + y[-1]) / 2  # the ring closes over the antimeridian
    x = np.concatenate([[-180.0], x, [180.0]])
    y = np.concatenate([[edge], y, [edge]])
    return Polygon([*zip(x, y, strict=True), (180.0, pole), (-180.0, pole)])


def _cell_shapes(lon: Floats, lat: Floats) -> list[BaseGeometry]:
    """Shapes on the map of lattice cells given by their corners, (n, 4) each."""
    steps = wrap(np.diff(lon, axis=1, append=lon[:, :1]))
    round_pole = np.abs(steps.sum(axis=1)) > 180.0
    caps: list[BaseGeometry] = [
        _polar_cap(x, y) for x, y in zip(lon[round_pole], lat[round_pole], strict=True)
    ]
    unwrapped = lon[:, :1] + np.concatenate(
        [np.zeros((lon.shape[0], 1)), np.cumsum(steps[:, :-1], axis=1)], axis=1
    )
    plain = polygons(np.stack([unwrapped, lat], axis=-1)[~round_pole])
    return [*caps, *plain.tolist()]


def swath_footprint(swath: Swath) -> dict[str, Any]:
    """The area of all pixels of a (coarse) swath lattice.

    Args:
        swath: Its rows and columns are the lattice; 10 to 30 by 4 to 8 are enough.

    Returns:
        GeoJSON Polygon or MultiPolygon, longitudes in [-180, 180], rounded to 1e-4 degrees.
    """
    lon, lat = (np.asarray(part).reshape(-1, 4) for part in swath.corners())
    shape = unary_union(_cell_shapes(lon, lat))
    parts = [translate(shape, shift).intersection(_WORLD) for shift in (-360.0, 0.0, 360.0)]
    whole = set_precision(unary_union([part for part in parts if not part.is_empty]), 1e-4)
    geometry: dict[str, Any] = mapping(whole)
    return geometry
