"""The tiling grid of Sentinel-2: MGRS squares as 109.8 km tiles on a 60 m lattice.

A tile is named after its 100 km square of the Military Grid Reference System (zone, latitude band,
column letter, row letter; NGA.STND.0037). Its upper-left corner is snapped outwards to a lattice on
which 10, 20 and 60 m pixels are whole: x to the largest multiple of 60 m that is not east of the
square, y to the smallest value that is not south of its top and is 0 (north) or 40 (south) modulo
60 m. Every tile is 109.8 km wide, so that neighbours overlap. Both rules were read off recorded
items of three providers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from shapely.geometry.polygon import orient

TILE_M = 109_800
SQUARE_M = 100_000
BANDS = "CDEFGHJKLMNPQRSTUVWX"
_COLUMNS = ("ABCDEFGH", "JKLMNPQR", "STUVWXYZ")  # by (zone - 1) mod 3; eastings 100 to 800 km
_ROWS = "ABCDEFGHJKLMNPQRSTUV"  # northings 0 to 1900 km, again every 2000 km
_ROW_CYCLE_M = 2_000_000
SOUTH_LIMIT, NORTH_LIMIT = -84.0, 84.0  # Sentinel-2's band C goes on south of MGRS's 80° S
Bbox = tuple[float, float, float, float]


@dataclass(frozen=True, order=True)
class Tile:
    """One tile of the Sentinel-2 grid.

    Attributes:
        id: MGRS square, zone with two digits, e.g. `14TPP` or `01CCV`.
        epsg: 326zz north, 327zz south of the equator.
        x: Easting of the upper-left corner, metres.
        y: Northing of the upper-left corner, metres.
    """

    id: str
    epsg: int
    x: int
    y: int

    @property
    def zone(self) -> int:
        return self.epsg % 100

    @property
    def bounds(self) -> tuple[int, int, int, int]:
        """Left, bottom, right, top in metres."""
        return (self.x, self.y - TILE_M, self.x + TILE_M, self.y)

    @property
    def centre(self) -> tuple[float, float]:
        """Easting and northing of the middle, metres."""
        return (self.x + TILE_M / 2, self.y - TILE_M / 2)


@lru_cache(maxsize=256)
def to_lonlat(epsg: int) -> Transformer:
    """Projected metres (x, y) to (lon, lat) degrees."""
    return Transformer.from_crs(epsg, 4326, always_xy=True)


@lru_cache(maxsize=256)
def from_lonlat(epsg: int) -> Transformer:
    """(lon, lat) degrees to projected metres (x, y)."""
    return Transformer.from_crs(4326, epsg, always_xy=True)


def zone_span(zone: int, lat: float) -> tuple[float, float] | None:
    """West and east edge of a UTM zone at a latitude, with Norway's and Svalbard's exceptions.

    Returns:
        Degrees, or None for zones 32, 34 and 36 in band X, which do not exist there.
    """
    west, east = 6.0 * zone - 186.0, 6.0 * zone - 180.0
    if 56 <= lat < 64:
        return {31: (0.0, 3.0), 32: (3.0, 12.0)}.get(zone, (west, east))
    if lat >= 72 and 31 <= zone <= 37:
        svalbard = {31: (0.0, 9.0), 33: (9.0, 21.0), 35: (21.0, 33.0), 37: (33.0, 42.0)}
        return svalbard.get(zone)
    return (west, east)


def zone_of(lon: float, lat: float) -> int:
    """UTM zone of a point, with the exceptions."""
    lon = (lon + 180.0) % 360.0 - 180.0
    near = int((lon + 180.0) // 6.0) + 1
    for zone in (near, near - 1, near + 1):
        span = zone_span(zone, lat)
        if span and span[0] <= lon < span[1]:
            return zone
    raise ValueError(f"no UTM zone at {lon}, {lat}")  # unreachable: the spans tile the circle


def tile(name: str) -> Tile:
    """The tile of that MGRS name.

    Raises:
        KeyError: `name` is not the name of a 100 km square.
    """
    try:
        zone, band, column, row = (
            int(name[:-3]),
            BANDS.index(name[-3]),
            name[-2],
            _ROWS.index(name[-1]),
        )
        easting = (_COLUMNS[(zone - 1) % 3].index(column) + 1) * SQUARE_M
    except ValueError:
        raise KeyError(f"{name!r} is not an MGRS 100 km square, e.g. 14TPP") from None
    if not 1 <= zone <= 60:
        raise KeyError(f"{name!r}: there is no UTM zone {zone}")
    south = band < BANDS.index("N")
    low, high = _band_northings(band)
    start = (row - (0 if zone % 2 else 5)) % 20 * SQUARE_M
    bottom = start + -(-(low - SQUARE_M + 1 - start) // _ROW_CYCLE_M) * _ROW_CYCLE_M
    if bottom > high:
        raise KeyError(f"{name!r}: row {name[-1]} does not occur in band {name[-3]} of zone {zone}")
    return _snapped(f"{zone:02d}{name[-3:]}", zone, south, easting, bottom)


def _snapped(name: str, zone: int, south: bool, easting: int, bottom: int) -> Tile:
    rest = 40 if south else 0
    top = -(-(bottom + SQUARE_M - rest) // 60) * 60 + rest
    return Tile(name, (32700 if south else 32600) + zone, easting // 60 * 60, top)


@lru_cache(maxsize=32)
def _band_northings(band: int) -> tuple[int, int]:
    """Lowest and highest northing of a latitude band, metres, over the width of a zone."""
    south = band < BANDS.index("N")
    low = SOUTH_LIMIT if band == 0 else 8.0 * band - 80.0
    high = NORTH_LIMIT if band == 19 else 8.0 * band - 72.0
    # Zone 31 stands for all; 6° off the meridian covers the wide zones 32V and 31X to 37X.
    _, y = from_lonlat(32731 if south else 32631).transform([3, 9, 3, 9], [low, low, high, high])
    return int(min(y)), int(max(y))


def _square_id(zone: int, south: bool, easting: int, bottom: int) -> str:
    """MGRS name of a square; the band is that of the square's middle."""
    column = _COLUMNS[(zone - 1) % 3][easting // SQUARE_M - 1]
    row = _ROWS[(bottom // SQUARE_M + (0 if zone % 2 else 5)) % 20]
    epsg = (32700 if south else 32600) + zone
    _, lat = to_lonlat(epsg).transform(easting + SQUARE_M / 2, bottom + SQUARE_M / 2)
    return f"{zone:02d}{BANDS[min(max(int((lat + 80) // 8), 0), 19)]}{column}{row}"


def tiles_over(bbox: Bbox) -> list[Tile]:
    """All tiles that touch a box.

    A square has a tile in a zone if the tile's 109.8 km reach into that zone, so that a chip that
    sticks out of its zone or its square lies whole in one tile.

    Args:
        bbox: West, south, east, north in degrees; west > east goes over the antimeridian.

    Returns:
        Sorted by id; a superset by some 100 m along the box's edges, which are sampled.
    """
    west, south, east, north = bbox
    spans = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
    found = {
        tile
        for w, e in spans
        for zone in range(1, 61)
        for below in (True, False)
        for tile in _tiles_in_zone(zone, below, (w, south, e, north))
    }
    return sorted(found)


def _tiles_in_zone(zone: int, south: bool, bbox: Bbox) -> Iterator[Tile]:
    limits = (SOUTH_LIMIT, 0.0) if south else (0.0, NORTH_LIMIT)
    low, high = max(bbox[1], limits[0] - 0.1), min(bbox[3], limits[1] + 0.1)
    meridian = 6.0 * zone - 183.0
    # Half of the widest zone (32V; 33X) and the reach of a tile beyond it, in degrees.
    reach = 9.0 if max(abs(low), abs(high)) < 64 else 16.0
    for shift in (-360.0, 0.0, 360.0):  # zones 1 and 60 reach over the antimeridian
        west = max(bbox[0] + shift, meridian - reach)
        east = min(bbox[2] + shift, meridian + reach)
        if low <= high and west <= east:
            yield from _squares(zone, south, (west, low, east, high))


def _squares(zone: int, south: bool, bbox: Bbox) -> Iterator[Tile]:
    w, low, e, high = bbox
    epsg = (32700 if south else 32600) + zone
    lon, lat = np.meshgrid(np.linspace(w, e, 9), np.linspace(low, high, 9))
    x, y = from_lonlat(epsg).transform(lon.ravel(), lat.ravel())
    left, right = int((min(x) - TILE_M) // SQUARE_M), int(max(x) // SQUARE_M)
    # A tile hangs from the top of its square: it reaches 9.8 km below the square's bottom.
    first = int((min(y) - TILE_M) // SQUARE_M)
    last = int((max(y) + TILE_M - SQUARE_M) // SQUARE_M)
    floor, ceiling = (0, 10_000_000) if south else (0, 9_400_000)
    for column in range(max(left, 1), min(right, 8) + 1):
        for row in range(first, last + 1):
            easting, bottom = column * SQUARE_M, row * SQUARE_M
            if not floor <= bottom < ceiling:
                continue
            candidate = _snapped("", zone, south, easting, bottom)
            lons, lats = lattice(candidate, 5)
            if _in_zone(zone, lons, lats) and _touches(lons, lats, bbox):
                yield _snapped(
                    _square_id(zone, south, easting, bottom), zone, south, easting, bottom
                )


def lattice(tile: Tile, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`count` × `count` points over a tile, edges included, as lon and lat in degrees.

    Longitudes are continuous around the zone's meridian, so they may leave [-180, 180].
    """
    left, bottom, right, top = tile.bounds
    x, y = np.meshgrid(np.linspace(left, right, count), np.linspace(top, bottom, count))
    lon, lat = to_lonlat(tile.epsg).transform(x.ravel(), y.ravel())
    meridian = 6.0 * tile.zone - 183.0
    lon = meridian + (np.asarray(lon) - meridian + 180.0) % 360.0 - 180.0
    return lon, np.asarray(lat)


def footprint(epsg: int, ring: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """A polygon in a UTM zone as GeoJSON in degrees, counter-clockwise, split at ±180°.

    Args:
        epsg: 326zz or 327zz.
        ring: (x, y) metres, closed or not; its edges become straight in degrees.
    """
    x, y = np.array(ring, dtype=float).T
    lon, lat = (np.asarray(values) for values in to_lonlat(epsg).transform(x, y))
    meridian = 6.0 * (epsg % 100) - 183.0
    lon = meridian + (lon - meridian + 180.0) % 360.0 - 180.0
    whole = shapely.Polygon(np.column_stack([lon, lat]))
    parts = [
        shapely.transform(part, lambda xy, by=shift: xy - (by, 0.0))
        for shift in (-360.0, 0.0, 360.0)
        for part in _polygons(whole & shapely.box(shift - 180.0, -90.0, shift + 180.0, 90.0))
    ]
    rings = [
        [[round(a, 9), round(b, 9)] for a, b in orient(part).exterior.coords] for part in parts
    ]
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings}
    return {"type": "MultiPolygon", "coordinates": [[ring] for ring in rings]}


def _polygons(shape: shapely.Geometry) -> list[shapely.Polygon]:
    parts = shapely.get_parts(shape)
    return [part for part in parts if isinstance(part, shapely.Polygon) and not part.is_empty]


def _in_zone(zone: int, lons: NDArray[np.float64], lats: NDArray[np.float64]) -> bool:
    for lon, lat in zip(lons.tolist(), lats.tolist(), strict=True):
        span = zone_span(zone, lat)
        if span and span[0] <= lon <= span[1] and SOUTH_LIMIT <= lat <= NORTH_LIMIT:
            return True
    return False


def _touches(lons: NDArray[np.float64], lats: NDArray[np.float64], bbox: Bbox) -> bool:
    return bool(
        lons.max() >= bbox[0]
        and lons.min() <= bbox[2]
        and lats.max() >= bbox[1]
        and lats.min() <= bbox[3]
    )
