"""TIFF tags of a raster's place on the Earth: an affine grid, or ground control points."""

from __future__ import annotations

import struct

Tag = tuple[int, int, int, bytes]
"""code, type, count, value"""
Tie = tuple[float, float, float, float, float]
"""column, row, then longitude, latitude in degrees and height in metres"""


def short(code: int, *values: int) -> Tag:
    """A tag of 16-bit numbers."""
    return code, 3, len(values), struct.pack(f"<{len(values)}H", *values)


def long(code: int, *values: int) -> Tag:
    """A tag of 32-bit numbers."""
    return code, 4, len(values), struct.pack(f"<{len(values)}I", *values)


def double(code: int, *values: float) -> Tag:
    """A tag of 64-bit floating-point numbers."""
    return code, 12, len(values), struct.pack(f"<{len(values)}d", *values)


def text(code: int, value: str) -> Tag:
    """A tag of ASCII text."""
    data = value.encode("ascii") + b"\0"
    return code, 2, len(data), data


def affine(
    epsg: int, origin: tuple[float, float], pixel: tuple[float, float], *, point: bool
) -> list[Tag]:
    """ModelPixelScale, ModelTiepoint and GeoKeys (OGC 19-008r4).

    Args:
        epsg: 4326 or a projected CRS in metres.
        origin: x and y of the upper-left pixel's outer corner.
        pixel: Width and height of a pixel.
        point: AREA_OR_POINT=Point: the tiepoint is the first pixel's centre.
    """
    x, y = origin
    if point:
        x, y = x + pixel[0] / 2, y - pixel[1] / 2
    raster = 2 if point else 1
    if epsg == 4326:
        keys = [(1024, 2), (1025, raster), (2048, 4326), (2054, 9102)]
    else:
        keys = [(1024, 1), (1025, raster), (3072, epsg), (3076, 9001)]
    return [double(33550, *pixel, 0.0), double(33922, 0, 0, 0, x, y, 0), _directory(keys)]


def control_points(ties: tuple[Tie, ...]) -> list[Tag]:
    """ModelTiepoints in WGS84 without a pixel scale: no affine grid exists."""
    numbers = [
        value for column, row, lon, lat, z in ties for value in (column, row, 0, lon, lat, z)
    ]
    keys = [(1024, 2), (1025, 1), (2048, 4326), (2054, 9102)]
    return [double(33922, *numbers), _directory(keys)]


def _directory(keys: list[tuple[int, int]]) -> Tag:
    directory = [1, 1, 0, len(keys)]
    for code, value in keys:
        directory += [code, 0, 1, value]
    return short(34735, *directory)
