"""The 21 × 10 points of a GRD image that its annotation and its TIFF locate, and its outline."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import shapely
from shapely.geometry.polygon import orient

from stac_lake.sandbox.ellipsoid import to_ecef
from stac_lake.sandbox.geokeys import Tie
from stac_lake.sandbox.s1_frame import Frame
from stac_lake.sandbox.s1_radiometry import incidence
from stac_lake.sandbox.s1_terrain import ground
from stac_lake.sandbox.sphere import Floats, wrap


@dataclass(frozen=True)
class GridPoints:
    """Where some pixels lie; all arrays are (10, 21).

    Attributes:
        line: Whole numbers, 0 to the last line.
        sample: Whole numbers, 0 to the last sample.
        lon: Degrees east.
        lat: Geodetic degrees north.
        height: Metres of the ground above the ellipsoid.
        incidence: Degrees between the ellipsoid's normal and the line of sight.
        elevation: Degrees between the satellite's geocentric nadir and the line of sight.
    """

    line: Floats
    sample: Floats
    lon: Floats
    lat: Floats
    height: Floats
    incidence: Floats
    elevation: Floats

    @property
    def ties(self) -> tuple[Tie, ...]:
        """The points as ground control points."""
        parts = (self.sample, self.line, self.lon, self.lat, self.height)
        rows = np.stack([part.ravel() for part in parts], axis=-1).tolist()
        return tuple((a, b, c, d, e) for a, b, c, d, e in rows)


@lru_cache(maxsize=4096)
def grid_points(frame: Frame) -> GridPoints:
    """Locate the lattice of a frame's pixels, both ends included."""
    mode = frame.mode
    line, sample = np.meshgrid(
        np.rint(np.linspace(0, mode.lines - 1, 10)),
        np.rint(np.linspace(0, mode.samples - 1, 21)),
        indexing="ij",
    )
    lon, lat, height = ground(*frame.cubic(line, sample))
    position, _ = frame.arc.states(frame.zero_doppler(line, frame.slant_range(line, sample)))
    sight = to_ecef(lon, lat, height) - position
    cosine = -(sight * position).sum(-1)
    cosine /= np.linalg.norm(sight, axis=-1) * np.linalg.norm(position, axis=-1)
    theta = incidence(frame, line, sample, lon, lat, height)
    return GridPoints(
        line, sample, wrap(lon), lat, height, np.rad2deg(theta), np.rad2deg(np.arccos(cosine))
    )


def outline(points: GridPoints) -> dict[str, Any]:
    """The image's outline as GeoJSON in degrees, counter-clockwise, split at ±180°."""
    parts = []
    for lines, samples in ((0, slice(0, -1)), (slice(0, -1), -1), (-1, slice(None, 0, -1)),
                           (slice(None, 0, -1), 0)):  # fmt: skip
        parts.append(np.stack([points.lon[lines, samples], points.lat[lines, samples]], axis=-1))
    ring = np.concatenate(parts)
    ring[:, 0] = ring[0, 0] + np.cumsum(np.append(0.0, wrap(np.diff(ring[:, 0]))))
    whole = shapely.Polygon(ring)
    rings = [
        [[round(x - shift, 9), round(y, 9)] for x, y in orient(part).exterior.coords]
        for shift in (-360.0, 0.0, 360.0)
        for part in shapely.get_parts(whole & shapely.box(shift - 180.0, -90, shift + 180.0, 90))
        if isinstance(part, shapely.Polygon) and not part.is_empty
    ]
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings}
    return {"type": "MultiPolygon", "coordinates": [[ring] for ring in rings]}
