"""Where in an image a place on Earth is: backward geocoding, and the angle it is seen under.

1. The orbit is a cubic Hermite spline through positions and velocities. Its error is at most
   h⁴/384 · |x⁗|: 0.3 mm at the 10 s between Sentinel-1's state vectors, as measured against a
   polynomial of degree 9, too.
2. Zero Doppler, (X - P(t)) · V(t) = 0, by Newton's method ("Guide to Sentinel-1 geocoding"
   UZH-S1-GC-AD). The processor focuses to zero Doppler, so no Doppler centroid appears.
3. Slant to ground range by the annotated polynomials, linear in azimuth between two of them, as in
   ESA's earlier ASAR products (product handbook 6.6.17), in SNAP and in xarray-sentinel.
4. What is left between that and the product's geolocation grid is interpolated between the grid's
   points. In lines it is the bistatic delay, which the processor removes for the swath's middle
   only: ±0.2 lines at the edges of IW. In pixels it is up to a half at grid rows in relief, as the
   processor computes the grid with the nearest polynomial (to 1e-10 pixels in a real one); used for
   pixels, that would tear the image by up to ten of them every second, which images do not show.
   The grid's longitudes, latitudes and heights are not used.

Not modelled, as in SNAP: the delay of ionosphere and troposphere (2 to 4 m in slant range), tides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial.polynomial import polyder, polyval
from numpy.typing import NDArray
from scipy.interpolate import CubicHermiteSpline
from scipy.ndimage import map_coordinates

from stac_lake.pixels.sar.annotation import Annotation, GroundRange
from stac_lake.pixels.sar.document import Vector

LIGHT_M_S = 299_792_458.0
WGS84_A, WGS84_F = 6_378_137.0, 1 / 298.257223563
_CONVERGED_S = 1e-9
"""7 µm along the orbit."""
_ITERATIONS = 10
"""Three to four are needed from anywhere on the visible Earth."""
_INVERSIONS = 2
"""The first step leaves less than a millimetre."""
_BEYOND = 0.01
"""Share of the slant range by which places may be outside: the polynomials hold no farther."""
_STRIDE = 16
"""Newton starts from every sixteenth pixel's solution: azimuth time hardly bends in a patch."""


@dataclass(frozen=True, eq=False)
class Seen:
    """Where places are in an image; all arrays have the places' shape.

    Attributes:
        line: Line, 0 at the centre of the first; NaN where the radar does not look.
        pixel: Pixel, likewise.
        time: Zero-Doppler time in seconds from the first line.
        slant_range: Metres, NaN likewise.
        satellite: (…, 3) Earth-fixed position at that time, in metres.
    """

    line: Vector
    pixel: Vector
    time: Vector
    slant_range: Vector
    satellite: Vector


def earth_fixed(lon: Vector, lat: Vector, height: Vector) -> Vector:
    """Earth-fixed coordinates (…, 3) in metres, of degrees and metres above the ellipsoid."""
    lam, phi = np.radians(lon), np.radians(lat)
    e2 = WGS84_F * (2 - WGS84_F)
    normal = WGS84_A / np.sqrt(1 - e2 * np.sin(phi) ** 2)
    across = (normal + height) * np.cos(phi)
    return np.stack(
        [across * np.cos(lam), across * np.sin(lam), (normal * (1 - e2) + height) * np.sin(phi)],
        axis=-1,
    )


def incidence_angle(places: Vector, satellite: Vector) -> Vector:
    """Degrees between the line of sight and the geocentric radius of places (…, 3).

    This is what annotations call incidence angle (the 210 points of a real one agree to 1e-8°). The
    vertical of the ellipsoid differs by 0.2° at most.
    """
    return angle(places, satellite - places)


def angle(first: Vector, second: Vector) -> Vector:
    """Degrees between vectors (…, 3)."""
    lengths = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    cosine = np.einsum("...i,...i->...", first, second) / lengths
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))), dtype=np.float64)


class Geometry:
    """The imaging geometry of one product; its polarisations share it."""

    def __init__(self, annotation: Annotation) -> None:
        self.annotation = annotation
        orbit = annotation.orbit
        self._position = CubicHermiteSpline(
            orbit.time, orbit.position, orbit.velocity, extrapolate=False
        )
        self._velocity = self._position.derivative()
        self._acceleration = self._position.derivative(2)
        grid = annotation.grid
        line, pixel = self._by_formula(grid.time, grid.slant_range_time * LIGHT_M_S / 2)
        self._rows, self._columns = grid.line[:, 0], grid.pixel[0]
        middle = annotation.line_s * annotation.shape[0] / 2
        self._right = np.cross(self._velocity(middle), self._position(middle))
        near, far = grid.slant_range_time.min(), grid.slant_range_time.max()
        self._near, self._far = (
            near * (1 - _BEYOND) * LIGHT_M_S / 2,
            far * (1 + _BEYOND) * LIGHT_M_S / 2,
        )
        self._line_change, self._pixel_change = grid.line - line, grid.pixel - pixel

    def locate(self, places: Vector) -> Seen:
        """Line and pixel of places; NaN far from the image, and on the left of the track.

        Args:
            places: (row, column, 3) Earth-fixed, in metres.
        """
        time = self._zero_doppler(places, self._first_guess(places))
        satellite = self._position(time)
        slant_range = np.linalg.norm(satellite - places, axis=-1)
        # Zero Doppler and range have two solutions; Sentinel-1 looks to the right.
        seen = (places - satellite) @ self._right > 0
        seen &= (slant_range > self._near) & (slant_range < self._far)
        slant_range = np.where(seen, slant_range, np.nan)
        line, pixel = self._by_formula(time, slant_range)
        at = np.stack([_position_in(self._rows, line), _position_in(self._columns, pixel)])
        line = line + map_coordinates(self._line_change, at, order=1, mode="nearest")
        pixel = pixel + map_coordinates(self._pixel_change, at, order=1, mode="nearest")
        return Seen(line, pixel, time, slant_range, satellite)

    def valid(self, seen: Seen) -> NDArray[np.bool_]:
        """Whether the four pixels around each place lie in a swath, by the annotated bounds."""
        inside = np.isfinite(seen.line) & np.isfinite(seen.pixel)
        if not inside.any():
            return inside
        line, pixel = seen.line[inside], seen.pixel[inside]
        lines, pixels = self.annotation.shape
        near = [
            bounds
            for bounds in self.annotation.bounds
            if bounds.first_line <= line.max() + 1
            and bounds.last_line >= line.min() - 1
            and bounds.first_pixel <= pixel.max() + 1
            and bounds.last_pixel >= pixel.min() - 1
        ]
        every = np.ones(line.shape, dtype=np.bool_)
        for row in (np.floor(line), np.ceil(line)):
            for column in (np.floor(pixel), np.ceil(pixel)):
                held = np.zeros(line.shape, dtype=np.bool_)
                for bounds in near:
                    held |= (
                        (row >= max(bounds.first_line, 0))
                        & (row <= min(bounds.last_line, lines - 1))
                        & (column >= max(bounds.first_pixel, 0))
                        & (column <= min(bounds.last_pixel, pixels - 1))
                    )
                every &= held
        inside[inside] = every
        return inside

    def _first_guess(self, places: Vector) -> Vector:
        """Azimuth time of a few places, spread over all of them."""
        rows, columns = places.shape[:2]
        few = places[::_STRIDE, ::_STRIDE]
        middle = np.full(few.shape[:2], self.annotation.line_s * self.annotation.shape[0] / 2)
        coarse = self._zero_doppler(few, middle)
        at = np.meshgrid(np.arange(rows) / _STRIDE, np.arange(columns) / _STRIDE, indexing="ij")
        return np.asarray(map_coordinates(coarse, np.stack(at), order=1, mode="nearest"))

    def _zero_doppler(self, places: Vector, time: Vector) -> Vector:
        """Newton's method; NaN where it leaves the orbit."""
        first, last = self.annotation.orbit.time[[0, -1]]
        for _ in range(_ITERATIONS):
            sight = places - self._position(time)
            velocity = self._velocity(time)
            value = np.einsum("...i,...i->...", sight, velocity)
            slope = np.einsum("...i,...i->...", sight, self._acceleration(time)) - np.einsum(
                "...i,...i->...", velocity, velocity
            )
            step = value / slope
            time = time - step
            time = np.where((time >= first) & (time <= last), time, np.nan)
            if not (np.abs(step) > _CONVERGED_S).any():  # NaN compares False
                break
        return time

    def _by_formula(self, time: Vector, slant_range: Vector) -> tuple[Vector, Vector]:
        """Line and pixel without the geolocation grid."""
        records = self.annotation.ground_range
        place = np.interp(time, [r.time for r in records], np.arange(len(records)))
        ground = np.zeros(time.shape)
        before = np.nan_to_num(np.floor(place)).astype(np.int64)
        weight = place - before
        for number in np.unique(np.concatenate([before.ravel(), before.ravel() + 1])):
            if number >= len(records):
                continue
            record = records[number]
            share = np.where(
                before == number, 1 - weight, np.where(before + 1 == number, weight, 0)
            )
            ground = ground + share * _ground(record, slant_range)
        return time / self.annotation.line_s, ground / self.annotation.pixel_m


def _ground(record: GroundRange, slant_range: Vector) -> Vector:
    """Ground range in metres.

    The image was made from ground to slant range, so that polynomial is inverted, by Newton's
    method from where the other one leads, which is a fit of its inverse and 0.1 m off in a real IW.
    """
    ground = polyval(slant_range - record.slant_origin, record.to_ground)
    slope = polyder(record.to_slant)
    for _ in range(_INVERSIONS):
        along = ground - record.ground_origin
        ground = ground - (polyval(along, record.to_slant) - slant_range) / polyval(along, slope)
    return np.asarray(ground, dtype=np.float64)


def _position_in(nodes: Vector, values: Vector) -> Vector:
    """Fractional index among ascending nodes, clamped; NaN becomes 0."""
    return np.nan_to_num(np.interp(values, nodes, np.arange(nodes.size, dtype=np.float64)))
