"""Swaths on the sphere: which part of a granule a cell needs, and where each pixel lies in it.

All of it works on unit vectors and on the tangent plane of the chip's centre, so that neither ±180°
nor the poles are special.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from stac_lake.grid import to_lonlat
from stac_lake.recipe import Resampling
from stac_lake.types import PixelGrid

Floats = NDArray[np.float64]
Window = tuple[tuple[int, int], tuple[int, int]]
"""Half-open rows and columns."""

HALF_PIXEL = 0.5
"""A point is seen if it lies within half a pixel of the lattice of pixel centres."""
ITERATIONS = 30
DAMPING = 0.8
"""Share of a correction that is applied: across the seam of two cameras a pixel may be more than
twice as wide as the polynomial says, and whole steps would then go to and fro for ever."""
SETTLED_PX = 1e-4
FIT_POINTS = 1000


def unit_vectors(lon: Floats, lat: Floats) -> Floats:
    """Earth-centred unit vectors (…, 3) of degrees on the sphere; NaN stays NaN."""
    lam, phi = np.radians(lon), np.radians(lat)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


@dataclass(frozen=True, eq=False)
class TangentPlane:
    """Gnomonic plane: great circles are straight lines; the unit is the Earth's radius.

    Attributes:
        centre: Unit vector of the point of contact, (3,).
        east: Unit vector of the x axis, (3,).
        north: Unit vector of the y axis, (3,).
    """

    centre: Floats
    east: Floats
    north: Floats

    @classmethod
    def at(cls, lon: float, lat: float) -> TangentPlane:
        """The plane that touches at a point in degrees; at a pole, `lon` says where north is."""
        lam = np.radians(lon)
        centre = unit_vectors(np.asarray(lon), np.asarray(lat))
        east = np.array([-np.sin(lam), np.cos(lam), 0.0])
        return cls(centre, east, np.cross(centre, east))

    def project(self, vectors: Floats) -> tuple[Floats, Floats]:
        """x, y of unit vectors (…, 3); NaN from 60° of arc on."""
        depth = vectors @ self.centre
        depth = np.where(depth > 0.5, depth, np.nan)
        return vectors @ self.east / depth, vectors @ self.north / depth


@dataclass(frozen=True, eq=False)
class Target:
    """The points of a chip that a swath is sampled at.

    Attributes:
        plane: Tangent plane at the chip's centre.
        vectors: Unit vectors of the points, (y, x, 3); NaN beyond a pole.
    """

    plane: TangentPlane
    vectors: Floats

    @classmethod
    def of(cls, grid: PixelGrid, parts: int = 1) -> Target:
        """Centres of the `parts` × `parts` parts of each pixel of a grid in any CRS."""
        a, _, c, _, e, f = grid.transform
        rows, columns = grid.shape
        x = c + a / parts * (np.arange(columns * parts) + 0.5)
        y = f + e / parts * (np.arange(rows * parts) + 0.5)
        middle = np.array([c + a * columns / 2]), np.array([f + e * rows / 2])
        if grid.epsg == 4326:
            # A cell around a pole is centred on it: what lies beyond is no ground.
            y, middle = np.where(np.abs(y) <= 90.0, y, np.nan), (middle[0], middle[1].clip(-90, 90))
        (lon,), (lat,) = _lonlat(grid.epsg, *middle)
        plane = TangentPlane.at(float(lon), float(lat))
        return cls(plane, unit_vectors(*_lonlat(grid.epsg, *np.meshgrid(x, y))))

    @cached_property
    def points(self) -> tuple[Floats, Floats]:
        """x, y of the points in the plane, (y, x) each."""
        return self.plane.project(self.vectors)

    @cached_property
    def radius(self) -> float:
        """Chord from the centre to the farthest point, Earth radii."""
        return float(np.sqrt(np.nanmax(chord_squared(self.vectors, self.plane.centre))))

    def window(self, vectors: Floats, margin: float) -> Window | None:
        """The part of a lattice within `margin` of the chip.

        Args:
            vectors: Unit vectors of the lattice, (row, column, 3).
            margin: Chord, Earth radii.

        Returns:
            The smallest window with all such nodes; None if there are none.
        """
        reach = (self.radius + margin) ** 2
        near = chord_squared(vectors, self.plane.centre) <= reach
        rows, columns = np.flatnonzero(near.any(1)), np.flatnonzero(near.any(0))
        if not rows.size:
            return None
        return (int(rows[0]), int(rows[-1]) + 1), (int(columns[0]), int(columns[-1]) + 1)


def _lonlat(epsg: int, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Longitude and latitude, degrees; NaN where the CRS has no such point."""
    if epsg == 4326:
        return x, y
    lon, lat = to_lonlat(epsg).transform(x, y)
    nowhere = ~(np.isfinite(lon) & np.isfinite(lat))
    return np.where(nowhere, np.nan, lon), np.where(nowhere, np.nan, lat)


def chord_squared(vectors: Floats, point: Floats) -> Floats:
    """Squared chords between unit vectors (…, 3) and one point (3,), Earth radii."""
    squared: Floats = 2.0 - 2.0 * (vectors @ point)
    return np.maximum(squared, 0.0)


def spacing(vectors: Floats) -> float:
    """Greatest chord between diagonal neighbours of a lattice (row, column, 3), Earth radii."""
    found = 0.0
    for one, other in (
        (vectors[1:, 1:], vectors[:-1, :-1]),
        (vectors[1:, :-1], vectors[:-1, 1:]),
    ):
        steps = ((one - other) ** 2).sum(-1)
        if np.isfinite(steps).any():
            found = max(found, float(np.sqrt(np.nanmax(steps))))
    return found


def locate(target: Target, vectors: Floats) -> tuple[Floats, Floats]:
    """Inverse geolocation: where in a lattice the points of a chip lie.

    A cubic polynomial from the tangent plane to (row, column) is fitted to the lattice; then each
    position is corrected by what the polynomial says of the true geolocation there, until it stays.
    The polynomial's error cancels, and the result is exact for the bilinear lattice.

    Args:
        target: The chip.
        vectors: Unit vectors of pixel centres, (row, column, 3); NaN where there are none.

    Returns:
        Row and column (y, x), the first pixel's centre being 0; NaN outside the lattice.
    """
    x, y = target.plane.project(vectors)
    size = target.radius
    inverse = _Polynomial.fit(x / size, y / size)
    nowhere = np.full(target.vectors.shape[:2], np.nan)
    if inverse is None:
        return nowhere, nowhere
    limits = np.array([[[n - 1.0]] for n in x.shape])
    tx, ty = target.points
    aim = inverse(tx / size, ty / size)
    here = np.clip(aim, 0.0, limits)
    best, error = np.full(here.shape, np.nan), np.full(here.shape[1:], HALF_PIXEL)
    for _ in range(ITERATIONS):
        corners = _Corners.at(here, x.shape)
        step = aim - inverse(corners.mean(x) / size, corners.mean(y) / size)
        off = np.abs(step).max(0)
        better = off <= error
        best[:, better], error[better] = here[:, better], off[better]
        moved = np.clip(here + DAMPING * step, 0.0, limits)
        settled = np.nanmax(np.abs(moved - here), initial=0.0) < SETTLED_PX
        here = moved
        if settled:
            break
    return best[0], best[1]


def sample(data: Floats, row: Floats, column: Floats, resampling: Resampling) -> Floats:
    """Values of a lattice at positions of `locate`.

    Where a neighbour is NaN, the others share its weight; where the nearest pixel is NaN, so is the
    result. Cubic falls back to bilinear within two pixels of NaN.

    Args:
        data: (row, column).
        row: Positions (y, x), NaN outside.
        column: Likewise.
        resampling: Method.
    """
    inside = np.isfinite(row) & np.isfinite(column)
    here = np.stack([np.where(inside, row, 0.0), np.where(inside, column, 0.0)])
    nearest = data[tuple(np.rint(here).astype(np.intp))]
    keep = inside & np.isfinite(nearest)
    if resampling == "nearest":
        return np.where(keep, nearest, np.nan)
    corners = _Corners.at(here, data.shape)
    hole = ~np.isfinite(data)
    weight = corners.mean((~hole).astype(np.float64))
    out = corners.mean(np.where(hole, 0.0, data)) / np.where(weight > 0, weight, np.nan)
    if resampling == "cubic":
        rough = ndimage.binary_dilation(hole, np.ones((5, 5), bool))
        smooth = ndimage.map_coordinates(np.where(hole, 0.0, data), here, order=3, mode="nearest")
        out = np.where(rough[tuple(np.rint(here).astype(np.intp))], out, smooth)
    return np.where(keep, out, np.nan)


@dataclass(frozen=True, eq=False)
class _Corners:
    """The four neighbours of positions, and their bilinear weights."""

    index: tuple[NDArray[np.intp], NDArray[np.intp]]
    step: tuple[NDArray[np.intp], NDArray[np.intp]]
    part: Floats

    @classmethod
    def at(cls, here: Floats, shape: tuple[int, ...]) -> _Corners:
        """Of positions (2, y, x), within the lattice or NaN."""
        known = np.where(np.isfinite(here), here, 0.0)
        last = np.array([[[n - 1]] for n in shape])
        low = np.minimum(known.astype(np.intp), np.maximum(last - 1, 0))
        step = np.minimum(low + 1, last) - low
        return cls((low[0], low[1]), (step[0], step[1]), here - low)

    def mean(self, data: Floats) -> Floats:
        """Weighted mean of the neighbours; NaN if one with weight is NaN."""
        (r, c), (dr, dc), (fr, fc) = self.index, self.step, self.part
        top = _blend(data[r, c], data[r, c + dc], fc)
        bottom = _blend(data[r + dr, c], data[r + dr, c + dc], fc)
        return _blend(top, bottom, fr)


def _blend(one: Floats, other: Floats, part: Floats) -> Floats:
    return np.where(part == 0.0, one, np.where(part == 1.0, other, one + part * (other - one)))


@dataclass(frozen=True, eq=False)
class _Polynomial:
    """(x, y) → (row, column), by powers up to `degree`."""

    degree: int
    factors: Floats

    @classmethod
    def fit(cls, x: Floats, y: Floats) -> _Polynomial | None:
        """Least squares over a lattice; None if it is too small."""
        row, column = np.nonzero(np.isfinite(x) & np.isfinite(y))
        every = max(1, row.size // FIT_POINTS)
        row, column = row[::every], column[::every]
        # Four times as many points as terms, else the plane's affine part alone.
        degree = 3 if row.size >= 40 else 1
        if row.size < 4:
            return None
        terms = cls._terms(x[row, column], y[row, column], degree)
        wanted = np.stack([row, column], axis=-1).astype(np.float64)
        factors = np.linalg.lstsq(terms, wanted, rcond=None)[0]
        return cls(degree, np.asarray(factors, np.float64))

    def __call__(self, x: Floats, y: Floats) -> Floats:
        """(2, …): row and column."""
        return np.moveaxis(self._terms(x, y, self.degree) @ self.factors, -1, 0)

    @staticmethod
    def _terms(x: Floats, y: Floats, degree: int) -> Floats:
        return np.stack(
            [x**i * y**j for i in range(degree + 1) for j in range(degree + 1 - i)], axis=-1
        )
