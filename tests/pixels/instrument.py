"""A push-broom imager like OLCI, for tests: two cameras resampled to an image grid by nearest.

The image grid is finer than the samples where they are wide, so that some columns repeat their
neighbour; where the cameras overlap, samples are left over (the product's removed pixels); and
across the seam the lines of the cameras do not meet. As in the product, everything about a pixel is
that of the sample which it shows, its place included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from pyproj import Proj

R = 6371008.8
GRID_KM, LINE_KM, WIDTH_KM, OVERLAP_KM = 0.27, 0.293, 70.0, 3.0
PHASES, SHIFTS = (0.13, 0.41), (0.0, 0.42)
"""Of the cameras: where their samples begin, and by how many lines they look ahead."""


@dataclass(frozen=True)
class Imager:
    """Two cameras over a place.

    Attributes:
        lon: Middle of the image, degrees.
        lat: Likewise.
        sample_km: Distance of samples across track.
        seam_km: Where the second camera takes over, to the right of the middle.
        heading: Of the flight, degrees clockwise from north.
        rows: Lines.
    """

    lon: float
    lat: float
    sample_km: float = 0.27
    seam_km: float = 2.0
    heading: float = 190.0
    rows: int = 260

    def _samples(self) -> tuple[Any, Any, Any]:
        """Across-track km, line shift and camera of every sample of a line."""
        middle, half = self.seam_km, WIDTH_KM / 2
        spans = ((-half - 3, middle + OVERLAP_KM / 2), (middle - OVERLAP_KM / 2, half + 3))
        parts = [
            np.arange(*span, self.sample_km) + phase * self.sample_km
            for span, phase in zip(spans, PHASES, strict=True)
        ]
        camera = np.repeat([0, 1], [part.size for part in parts])
        return np.concatenate(parts), np.take(SHIFTS, camera), camera

    def _columns(self) -> Any:
        return np.arange(-WIDTH_KM / 2, WIDTH_KM / 2, GRID_KM)

    def _shown(self) -> Any:
        """Which sample each column of the image shows: the nearest one of its camera."""
        across, _, camera = self._samples()
        columns = self._columns()
        distance = np.abs(across[None] - columns[:, None])
        distance[camera[None] != (columns[:, None] >= self.seam_km)] = np.inf
        return distance.argmin(1)

    def _places(self, samples: Any) -> tuple[Any, Any]:
        across, shift, _ = self._samples()
        line = np.arange(self.rows)[:, None] - (self.rows - 1) / 2 + shift[samples]
        x, y, turn = across[samples], line * LINE_KM, np.radians(self.heading)
        plane = Proj(proj="aeqd", lon_0=self.lon, lat_0=self.lat, R=R, units="km")
        east = y * np.sin(turn) + x * np.cos(turn)
        return plane(east, y * np.cos(turn) - x * np.sin(turn), inverse=True)

    def image(self) -> tuple[Any, Any, Any]:
        """Longitude, latitude (row, column) and whether a pixel repeats its left neighbour."""
        shown = self._shown()
        lon, lat = self._places(shown)
        repeats = np.concatenate([[False], shown[1:] == shown[:-1]])
        return lon, lat, np.broadcast_to(repeats, lon.shape)

    def removed(self) -> tuple[Any, Any]:
        """Longitude and latitude of the samples that no column shows, (row, n)."""
        across, _, _ = self._samples()
        inside = np.abs(across) < WIDTH_KM / 2
        left = np.setdiff1d(np.flatnonzero(inside), self._shown())
        return self._places(left)
