"""σ0 of GRD pixels: thermal noise taken off, then the calibration table.

    σ0 = (DN² - η) / A²

with A from `sigmaNought`, linear between its points in range and between its vectors in azimuth
(ESA-EOPG-CSCOP-TN-0002), and the noise η from range vectors, likewise linear, times the
azimuth vectors that IPF 2.90 (March 2018) introduced: one factor per line of a block of a swath
(MPC-0392). η is subtracted before any interpolation of pixels, and what becomes negative
stays negative until then, so that means are unbiased.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stac_lake.pixels.sar.document import Node, Vector

_LEAST_NOISE = 1.0
"""DN²: below it the table has the unit of processors before IPF 2.50 (July 2015), or is empty."""


@dataclass(frozen=True, eq=False)
class Table:
    """A table over lines, each with points of its own.

    Attributes:
        lines: (vector,) ascending.
        pixels: Per vector, its points, ascending.
        values: Per vector, one value per point.
    """

    lines: Vector
    pixels: tuple[Vector, ...]
    values: tuple[Vector, ...]

    def at(self, rows: Vector, columns: Vector) -> Vector:
        """Values (row, column), bilinear, constant beyond the ends."""
        place = np.interp(rows, self.lines, np.arange(self.lines.size, dtype=np.float64))
        first, last = int(place.min()), min(int(place.max()) + 1, self.lines.size - 1)
        near = np.stack(
            [np.interp(columns, self.pixels[n], self.values[n]) for n in range(first, last + 1)]
        )
        before = np.minimum(place.astype(np.int64), max(last - 1, first))
        weight = (place - before)[:, None]
        after = np.minimum(before + 1, last)
        mixed = near[before - first] * (1 - weight) + near[after - first] * weight
        return np.asarray(mixed, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class AzimuthBlock:
    """Factors of the noise along the lines of one rectangle, ends included."""

    first_line: int
    last_line: int
    first_pixel: int
    last_pixel: int
    lines: Vector
    values: Vector


@dataclass(frozen=True, eq=False)
class Noise:
    """Thermal noise in DN²."""

    across: Table
    along: tuple[AzimuthBlock, ...]

    def at(self, rows: Vector, columns: Vector) -> Vector:
        """Noise power (row, column)."""
        factor = np.ones((rows.size, columns.size))
        for block in self.along:
            inside = np.ix_(
                (rows >= block.first_line) & (rows <= block.last_line),
                (columns >= block.first_pixel) & (columns <= block.last_pixel),
            )
            factor[inside] = np.interp(rows, block.lines, block.values)[inside[0]]
        return self.across.at(rows, columns) * factor


def sigma_nought(
    dn: NDArray[np.uint16],
    corner: tuple[int, int],
    calibration: Table,
    noise: Noise | None,
) -> NDArray[np.float32]:
    """Linear σ0 of a window of digital numbers, negative where noise outweighs the signal.

    NaN where an image with its noise still in it is 0: since IPF 2.90 that is no value at the
    sides, whose width varies along track and which annotated swath bounds do not leave out (those
    of a real IW are the whole image, while its noise table is 0 in the last 40 to 160 samples).
    No measurement is 0: noise alone is tens of DN.

    Args:
        dn: (row, column) amplitudes as they are in the file.
        corner: Line and pixel of the first one.
        calibration: `sigmaNought`.
        noise: What has still to be subtracted.
    """
    rows = corner[0] + np.arange(dn.shape[0], dtype=np.float64)
    columns = corner[1] + np.arange(dn.shape[1], dtype=np.float64)
    power = dn.astype(np.float64) ** 2
    if noise is not None:
        power -= noise.at(rows, columns)
        power[dn == 0] = np.nan
    return np.asarray(power / calibration.at(rows, columns) ** 2, dtype=np.float32)


def read_calibration(root: Node) -> Table:
    """`sigmaNought` of a calibration document.

    Raises:
        BadRaster: it has none, or numbers that cannot be divided by.
    """
    vectors = root.all("calibrationVectorList/calibrationVector")
    table = _table(root, vectors, "sigmaNought")
    if any((values <= 0).any() for values in table.values):
        raise root.bad("has a sigmaNought that is not positive")
    return table


def read_noise(root: Node) -> Noise:
    """The noise of a document of today's format, or of that before IPF 2.90.

    Raises:
        BadRaster: it has none, or is of the first year, with a scale that is not in the product.
    """
    if root.has("noiseRangeVectorList"):
        vectors = root.all("noiseRangeVectorList/noiseRangeVector")
        across = _table(root, vectors, "noiseRangeLut")
    else:
        across = _table(root, root.all("noiseVectorList/noiseVector"), "noiseLut")
    if max(float(values.max()) for values in across.values) < _LEAST_NOISE:
        raise root.bad("has noise in the scale of before IPF 2.50, which is not in the product")
    blocks = root.all("noiseAzimuthVectorList/noiseAzimuthVector")
    return Noise(across, tuple(_block(root, block) for block in blocks))


def _table(root: Node, vectors: list[Node], name: str) -> Table:
    if not vectors:
        raise root.bad(f"has no {name}")
    vectors = sorted(vectors, key=lambda vector: vector.number("line"))
    lines = np.array([vector.number("line") for vector in vectors])
    pixels = tuple(vector.numbers("pixel") for vector in vectors)
    values = tuple(vector.numbers(name) for vector in vectors)
    for points, column in zip(pixels, values, strict=True):
        if points.size != column.size or (np.diff(points) <= 0).any():
            raise root.bad(f"has a {name} that does not fit its pixels")
    return Table(lines, pixels, values)


def _block(root: Node, block: Node) -> AzimuthBlock:
    lines, values = block.numbers("line"), block.numbers("noiseAzimuthLut")
    if lines.size != values.size or (np.diff(lines) <= 0).any():
        raise root.bad("has a noiseAzimuthLut that does not fit its lines")
    return AzimuthBlock(
        block.whole("firstAzimuthLine"),
        block.whole("lastAzimuthLine"),
        block.whole("firstRangeSample"),
        block.whole("lastRangeSample"),
        lines,
        values,
    )
