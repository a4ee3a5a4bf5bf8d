"""The product annotation of a GRD image: orbit, timing, ground range, geolocation grid, bounds.

Elements: Sentinel-1 product specification S1-RS-MDA-52-7441. Times are seconds from
the image's first line, distances metres, lines and pixels count from 0 at the centre of the first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stac_lake.pixels.raster import MAX_SIDE
from stac_lake.pixels.sar.document import Node, Vector, seconds


@dataclass(frozen=True, eq=False)
class StateVectors:
    """The orbit, Earth-fixed.

    Attributes:
        time: (vector,) seconds from the first line, ascending.
        position: (vector, 3) metres.
        velocity: (vector, 3) metres per second.
    """

    time: Vector
    position: Vector
    velocity: Vector


@dataclass(frozen=True, eq=False)
class GroundRange:
    """The polynomials between slant and ground range at one azimuth time.

    Attributes:
        time: Azimuth time at which they hold, in seconds from the first line.
        slant_origin: Slant range sr0 in metres.
        to_ground: (degree + 1,): ground range = Σ c_i (slant range - sr0)^i.
        ground_origin: Ground range gr0 in metres.
        to_slant: (degree + 1,): slant range = Σ c_i (ground range - gr0)^i.
    """

    time: float
    slant_origin: float
    to_ground: Vector
    ground_origin: float
    to_slant: Vector


@dataclass(frozen=True, eq=False)
class GeolocationGrid:
    """What the product itself says of where its pixels lie; all arrays are (row, column).

    Attributes:
        line: Lines, ascending along rows.
        pixel: Pixels, ascending along columns.
        time: Zero-Doppler azimuth time in seconds from the first line.
        slant_range_time: Two-way, in seconds.
    """

    line: Vector
    pixel: Vector
    time: Vector
    slant_range_time: Vector


@dataclass(frozen=True)
class Bounds:
    """A rectangle of valid pixels, first and last ones included."""

    first_line: int
    last_line: int
    first_pixel: int
    last_pixel: int


@dataclass(frozen=True, eq=False)
class Annotation:
    """What geocoding needs of one image.

    Attributes:
        shape: (lines, pixels).
        start: UTC of the first line.
        line_s: Seconds between lines.
        pixel_m: Metres of ground range between pixels.
        orbit: State vectors.
        ground_range: Polynomials in the order of time.
        grid: The geolocation grid.
        bounds: Where a swath was merged in; all of the image where it has one swath.
        denoised: Whether the processor has already removed thermal noise.
    """

    shape: tuple[int, int]
    start: np.datetime64
    line_s: float
    pixel_m: float
    orbit: StateVectors
    ground_range: tuple[GroundRange, ...]
    grid: GeolocationGrid
    bounds: tuple[Bounds, ...]
    denoised: bool


def read_annotation(root: Node) -> Annotation:
    """The annotation of a document.

    Raises:
        BadRaster: it is not that of a GRD image, or lacks what it must have.
    """
    if root.text("adsHeader/productType") != "GRD":
        raise root.bad("is not of a ground range detected image")
    image = "imageAnnotation/imageInformation/"
    start = root.moment(f"{image}productFirstLineUtcTime")
    shape = (root.whole(f"{image}numberOfLines"), root.whole(f"{image}numberOfSamples"))
    line_s = root.number(f"{image}azimuthTimeInterval")
    pixel_m = root.number(f"{image}rangePixelSpacing")
    if not (all(1 < side <= MAX_SIDE for side in shape) and line_s > 0 and pixel_m > 0):
        raise root.bad(f"declares an image of {shape[0]} × {shape[1]} pixels")
    whole = Bounds(0, shape[0] - 1, 0, shape[1] - 1)
    denoised = "imageAnnotation/processingInformation/thermalNoiseCorrectionPerformed"
    return Annotation(
        shape,
        start,
        line_s,
        pixel_m,
        _orbit(root, start),
        _ground_range(root, start),
        _grid(root, start),
        _bounds(root) or (whole,),
        root.has(denoised) and root.text(denoised) == "true",
    )


def _orbit(root: Node, start: np.datetime64) -> StateVectors:
    vectors = root.all("generalAnnotation/orbitList/orbit")
    if any(vector.text("frame") != "Earth Fixed" for vector in vectors):
        raise root.bad("has an orbit that is not Earth-fixed")
    time = np.array([seconds(vector.moment("time"), start) for vector in vectors])
    if time.size < 4 or (np.diff(time) <= 0).any():
        raise root.bad("has fewer than four state vectors, or not in order of time")
    return StateVectors(time, *(_xyz(vectors, name) for name in ("position", "velocity")))


def _xyz(vectors: list[Node], name: str) -> NDArray[np.float64]:
    return np.array([[vector.number(f"{name}/{axis}") for axis in "xyz"] for vector in vectors])


def _ground_range(root: Node, start: np.datetime64) -> tuple[GroundRange, ...]:
    found = root.all("coordinateConversion/coordinateConversionList/coordinateConversion")
    records = [
        GroundRange(
            seconds(record.moment("azimuthTime"), start),
            record.number("sr0"),
            record.numbers("srgrCoefficients"),
            record.number("gr0"),
            record.numbers("grsrCoefficients"),
        )
        for record in found
    ]
    if not records:
        raise root.bad("has no polynomial from slant to ground range")
    return tuple(sorted(records, key=lambda record: record.time))


def _grid(root: Node, start: np.datetime64) -> GeolocationGrid:
    points = root.all("geolocationGrid/geolocationGridPointList/geolocationGridPoint")
    lines = np.array([point.number("line") for point in points])
    pixels = np.array([point.number("pixel") for point in points])
    rows, columns = np.unique(lines).size, np.unique(pixels).size
    if min(rows, columns) < 2 or len(points) != rows * columns:
        raise root.bad("has a geolocation grid that is none")
    order = np.lexsort((pixels, lines))

    def table(values: list[float]) -> Vector:
        return np.array(values)[order].reshape(rows, columns)

    return GeolocationGrid(
        table(list(lines)),
        table(list(pixels)),
        table([seconds(point.moment("azimuthTime"), start) for point in points]),
        table([point.number("slantRangeTime") for point in points]),
    )


def _bounds(root: Node) -> tuple[Bounds, ...]:
    found = root.all("swathMerging/swathMergeList/swathMerge/swathBoundsList/swathBounds")
    return tuple(
        Bounds(
            bounds.whole("firstAzimuthLine"),
            bounds.whole("lastAzimuthLine"),
            bounds.whole("firstRangeSample"),
            bounds.whole("lastRangeSample"),
        )
        for bounds in found
    )
