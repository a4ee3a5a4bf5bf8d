"""Stretches of a swath as pixel lattices on the ground."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from stac_lake.sandbox.orbits import ground_track
from stac_lake.sandbox.sphere import Floats, Times, datetime64, offset_points


@dataclass(frozen=True)
class Swath:
    """A stretch of a swath, cut into rows (along track, in time) and columns (left to right).

    Attributes:
        platform: Key of `ORBITS`.
        start: UTC of the first edge of the first row.
        stop: UTC of the last edge of the last row.
        rows: Number of rows.
        columns: Number of columns.
        half_swath_km: Half of the swath's width.
        centre_km: Distance of the swath's middle from the ground track, to the right of flight.
    """

    platform: str
    start: datetime
    stop: datetime
    rows: int
    columns: int
    half_swath_km: float
    centre_km: float = 0.0

    def row_times(self, fractions: Floats) -> Times:
        """UTC (datetime64[us]) at row coordinates (0 = first edge, `rows` = last edge)."""
        span_us = (self.stop - self.start) / timedelta(microseconds=1)
        steps = np.rint(fractions / self.rows * span_us).astype(np.int64)
        return datetime64(self.start) + steps.astype("timedelta64[us]")

    def at(self, row: Floats, column: Floats) -> tuple[Floats, Floats]:
        """Longitude and latitude on the outer product of row and column coordinates.

        Args:
            row: 1-D, pixels from the first edge; the first row's centre is 0.5.
            column: 1-D, pixels from the left edge.

        Returns:
            lon, lat of shape (row, column), degrees.
        """
        lon, lat, heading = ground_track(self.platform, self.row_times(row))
        across = self.centre_km + (2.0 * column / self.columns - 1.0) * self.half_swath_km
        return offset_points(lon[:, None], lat[:, None], heading[:, None] + 90.0, across[None, :])

    def centres(self) -> tuple[Floats, Floats]:
        """Longitude and latitude of the pixel centres, (rows, columns)."""
        return self.at(np.arange(0.5, self.rows), np.arange(0.5, self.columns))

    def edges(self) -> tuple[Floats, Floats]:
        """Longitude and latitude of the corner lattice, (rows + 1, columns + 1)."""
        return self.at(np.arange(self.rows + 1.0), np.arange(self.columns + 1.0))

    def corners(self) -> tuple[Floats, Floats]:
        """Longitude and latitude of each pixel's corners, (rows, columns, 4).

        Counter-clockwise as flown: (row, column), (row, column + 1), (row + 1, column + 1),
        (row + 1, column). Neighbours share their corners exactly.
        """
        lon, lat = self.edges()
        return _ring(lon), _ring(lat)


def _ring(lattice: Floats) -> Floats:
    """The four corners of each cell of a lattice, on a new last axis."""
    quad = [lattice[:-1, :-1], lattice[:-1, 1:], lattice[1:, 1:], lattice[1:, :-1]]
    return np.stack(quad, axis=-1)
