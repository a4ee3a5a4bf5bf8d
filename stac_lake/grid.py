"""The ERA5 0.25° grid and the 10 m patches that stand on it.

721 rows by 1440 columns, row-major; row 0 is the South Pole, column 0 is 180° W. The point that an
id names is the centre of its cell, so the cells of rows 0 and 720 overrun a pole by 0.125°, and
those of column 0 overrun the antimeridian: `Cell.bounds` is the plain box, `Cell.footprint` is
clipped and split. Source: the published grid of Copernicus-Pretrain (arXiv 2503.11849).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from stac_lake.errors import GridError

if TYPE_CHECKING:
    from pyproj import Transformer
    from shapely.geometry.base import BaseGeometry

ROWS, COLUMNS = 721, 1440
STEP = 0.25
PATCH_PIXELS = 264
PATCH_GSD_M = 10
PATCH_SIZE_M = PATCH_PIXELS * PATCH_GSD_M

Bounds = tuple[float, float, float, float]
"""West, south, east, north in degrees (or metres, where it says so)."""


@dataclass(frozen=True, order=True, slots=True)
class Cell:
    """One cell of the ERA5 grid.

    Raises:
        GridError: `id` is not in 0 … 1,038,239.
    """

    id: int

    def __post_init__(self) -> None:
        if not 0 <= self.id < ROWS * COLUMNS:
            raise GridError(
                f"cell id {self.id} is not on the grid: use 0 … {ROWS * COLUMNS - 1}, "
                "or `stac-lake grid find LON LAT`"
            )

    @property
    def lon(self) -> float:
        """Longitude of the centre, degrees in [-180, 179.75]."""
        return -180 + STEP * (self.id % COLUMNS)

    @property
    def lat(self) -> float:
        """Latitude of the centre, degrees in [-90, 90]."""
        return -90 + STEP * (self.id // COLUMNS)

    @property
    def bounds(self) -> Bounds:
        """Centre ± 0.125°, neither clipped at the poles nor wrapped at the antimeridian."""
        half = STEP / 2
        return (self.lon - half, self.lat - half, self.lon + half, self.lat + half)

    @property
    def code(self) -> str:
        """`grid:code`, for example ``ERA5-0123456``."""
        return f"ERA5-{self.id:07d}"

    @property
    def collection_id(self) -> str:
        """The id of the cell's STAC Collection, for example ``era5-0123456``."""
        return f"era5-{self.id:07d}"

    @property
    def name(self) -> str:
        """The name that Copernicus-Pretrain gives the cell: ``0123456_84.00_-68.75``."""
        return f"{self.id:07d}_{self.lon:.2f}_{self.lat:.2f}"

    @property
    def footprint(self) -> dict[str, Any]:
        """GeoJSON Polygon, or MultiPolygon over the antimeridian; clipped at the poles."""
        return box_footprint(self.bounds)

    @property
    def bbox(self) -> Bounds:
        """GeoJSON bbox of the footprint; west > east over the antimeridian."""
        return wrap_bounds(self.bounds)

    @property
    def block(self) -> tuple[int, int]:
        """(row, column) of the 2.5° block of at most 10 × 10 cells that the cell belongs to."""
        return (self.id // COLUMNS // 10, self.id % COLUMNS // 10)

    @classmethod
    def from_code(cls, code: str) -> Cell:
        """The cell of a `grid:code` or Collection id.

        Raises:
            GridError: `code` is neither.
        """
        match = re.fullmatch(r"(?:ERA5|era5)-(\d{7})", code)
        if not match:
            raise GridError(f"{code!r} is not a cell code: expected ERA5-NNNNNNN or era5-NNNNNNN")
        return cls(int(match[1]))


def cell_at(lon: float, lat: float) -> Cell:
    """The one cell that a point belongs to; longitude wraps, an edge belongs to its east or north.

    Raises:
        GridError: latitude outside ±90°, or not a number.
    """
    if not (math.isfinite(lon) and -90 <= lat <= 90):
        raise GridError(
            f"({lon}, {lat}) is not a point on the sphere: longitude, latitude in degrees"
        )
    row = math.floor((lat + 90) * 4 + 0.5)
    # Reducing twice keeps a tiny negative longitude difference from rounding up to column 1440.
    column = math.floor(((lon + 180) % 360) * 4 + 0.5) % COLUMNS
    return Cell(row * COLUMNS + column)


def cells_over(area: BaseGeometry) -> list[Cell]:
    """All cells whose interior meets an area, in id order.

    Args:
        area: A shapely geometry in degrees; parts beyond ±180° are wrapped. A point gives the one
            cell that it belongs to.

    Raises:
        GridError: the area is empty.
    """
    import shapely

    if area.is_empty:
        raise GridError("the area is empty: nothing to harvest")
    found: set[Cell] = set()
    for part in getattr(area, "geoms", [area]):
        if part.geom_type == "Point":
            found.add(cell_at(part.x, part.y))
            continue
        shapely.prepare(part)
        west, south, east, north = part.bounds
        for row in range(max(0, _index(south, -90)), min(ROWS - 1, _index(north, -90)) + 1):
            for column in range(_index(west, -180), _index(east, -180) + 1):
                lon, lat = -180 + STEP * column, -90 + STEP * row
                box = shapely.box(lon - STEP / 2, lat - STEP / 2, lon + STEP / 2, lat + STEP / 2)
                if part.intersects(box) and not part.touches(box):
                    found.add(Cell(row * COLUMNS + column % COLUMNS))
    return sorted(found)


def _index(degrees: float, origin: float) -> int:
    return math.floor((degrees - origin) * 4 + 0.5)


def wrap_bounds(bounds: Bounds) -> Bounds:
    """A box as a GeoJSON bbox: latitudes clipped, longitudes in ±180°, west > east if it wraps."""
    west, south, east, north = bounds
    if east - west >= 360:
        west, east = -180.0, 180.0
    elif west < -180 or east > 180:
        turn = 360 * math.floor((west + 180) / 360)
        west, east = west - turn, east - turn
        east -= 360 if east > 180 else 0
    return (west, max(south, -90.0), east, min(north, 90.0))


def split_bounds(bounds: Bounds) -> list[Bounds]:
    """A box that may wrap, as one or two boxes with west < east inside ±180° and ±90°."""
    west, south, east, north = wrap_bounds(bounds)
    if west <= east:
        return [(west, south, east, north)]
    return [(west, south, 180.0, north), (-180.0, south, east, north)]


def box_footprint(bounds: Bounds) -> dict[str, Any]:
    """GeoJSON of a box in degrees, clipped at the poles and split at the antimeridian."""
    rings = [[[[w, s], [e, s], [e, n], [w, n], [w, s]]] for w, s, e, n in split_bounds(bounds)]
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings[0]}
    return {"type": "MultiPolygon", "coordinates": rings}


@dataclass(frozen=True, order=True, slots=True)
class Patch:
    """A square of 264 × 264 pixels of 10 m, fixed for all dates and for Sentinel-1 and -2 alike.

    Attributes:
        epsg: MGRS zone of the centre (326zz north, 327zz south, exceptions included), 3413 beyond
            84° N, 3031 beyond 80° S.
        x: Easting of the upper-left corner in metres, a multiple of 60.
        y: Northing of the upper-left corner in metres: 0 modulo 60, in southern UTM zones 40.
    """

    epsg: int
    x: int
    y: int

    @property
    def id(self) -> str:
        """``{epsg}-{x/10:06d}-{y/10:06d}``; a negative number is written ``m00123``."""
        return f"{self.epsg}-{_signed(self.x // 10)}-{_signed(self.y // 10)}"

    @property
    def bounds_m(self) -> Bounds:
        """Left, bottom, right, top in metres of the patch's CRS."""
        return (self.x, self.y - PATCH_SIZE_M, self.x + PATCH_SIZE_M, self.y)

    @property
    def transform(self) -> tuple[float, float, float, float, float, float]:
        """Affine (a, b, c, d, e, f): x = a·column + b·row + c, y = d·column + e·row + f."""
        return (float(PATCH_GSD_M), 0.0, float(self.x), 0.0, -float(PATCH_GSD_M), float(self.y))

    @property
    def centre(self) -> tuple[float, float]:
        """(longitude, latitude) of the true centre in degrees."""
        half = PATCH_SIZE_M / 2
        lon, lat = to_lonlat(self.epsg).transform(self.x + half, self.y - half)
        return (float(lon), float(lat))

    @property
    def footprint(self) -> dict[str, Any]:
        """GeoJSON of the square in degrees, split at the antimeridian."""
        return projected_footprint(self.epsg, self.bounds_m)

    @classmethod
    def from_id(cls, text: str) -> Patch:
        """The patch of an id.

        Raises:
            GridError: `text` is not a patch id.
        """
        match = re.fullmatch(r"(\d{4,5})-(m?)(\d{5,7})-(m?)(\d{5,7})", text)
        if not match:
            raise GridError(f"{text!r} is not a patch id: expected EPSG-X-Y in units of 10 m")
        epsg, x_sign, x, y_sign, y = match.groups()
        patch = cls(int(epsg), _unsigned(x_sign, x) * 10, _unsigned(y_sign, y) * 10)
        if patch.id != text:
            raise GridError(f"{text!r} is not a patch id: did you mean {patch.id!r}?")
        return patch


def _signed(value: int) -> str:
    return f"m{-value:05d}" if value < 0 else f"{value:06d}"


def _unsigned(sign: str, digits: str) -> int:
    return -int(digits) if sign else int(digits)


def patch_at(lon: float, lat: float) -> Patch:
    """The patch on the sensors' shared lattice whose centre is nearest to a point, in its zone.

    The corner is snapped to 60 m so that pixels of 10, 20 and 60 m are whole in it. Sentinel-2
    tile origins are 0 modulo 60 m in x and, in y, 0 in northern and 40 in southern zones (read off
    recorded items).
    """
    cell_at(lon, lat)
    lon = (lon + 180) % 360 - 180
    epsg = zone_epsg(lon, lat)
    x, y = from_lonlat(epsg).transform(lon, lat)
    y_phase = 40 if 32700 < epsg < 32761 else 0
    exact_x, exact_y = x - PATCH_SIZE_M / 2, y + PATCH_SIZE_M / 2
    corner_x = round(exact_x / 60) * 60
    corner_y = round((exact_y - y_phase) / 60) * 60 + y_phase
    nearest = Patch(epsg, corner_x, corner_y)
    if zone_epsg(*nearest.centre) == epsg:
        return nearest
    # The point lies on a seam, and snapping has carried the centre over it.
    around = [
        Patch(epsg, corner_x + dx, corner_y + dy) for dx in (-60, 0, 60) for dy in (-60, 0, 60)
    ]
    around.sort(key=lambda patch: math.hypot(patch.x - exact_x, patch.y - exact_y))
    return next(patch for patch in around if zone_epsg(*patch.centre) == epsg)


def zone_epsg(lon: float, lat: float) -> int:
    """EPSG code of the MGRS zone of a point, 3413 beyond 84° N, 3031 beyond 80° S.

    Source: NGA.STND.0037 (UTM/UPS and MGRS), zones 32V and 31X, 33X, 35X, 37X.
    """
    if lat > 84:
        return 3413
    if lat < -80:
        return 3031
    zone = int((lon + 180) // 6) % 60 + 1
    if 56 <= lat < 64 and 3 <= lon < 12:
        zone = 32
    elif lat >= 72 and 0 <= lon < 42:
        zone = 31 if lon < 9 else 33 if lon < 21 else 35 if lon < 33 else 37
    return (32600 if lat >= 0 else 32700) + zone


def uniform_patches(cell: Cell, count: int, seed: int) -> list[Patch]:
    """Patches spread evenly over a cell, without overlap, the same for the same seed.

    Points are uniform on the sphere (in longitude and in the sine of latitude). Fewer than `count`
    come back only where the cell has no room, as near a pole.
    """
    import numpy as np

    rng = np.random.default_rng([seed, cell.id])
    west, south, east, north = cell.bounds
    sines = [math.sin(math.radians(lat)) for lat in (max(south, -90.0), min(north, 90.0))]
    patches: list[Patch] = []
    for _ in range(100 * count):
        if len(patches) == count:
            break
        lat = math.degrees(math.asin(rng.uniform(sines[0], sines[1])))
        candidate = patch_at(rng.uniform(west, east), lat)
        # Snapping may carry a centre over the cell's edge.
        if cell_at(*candidate.centre) == cell and not any(
            _overlap(candidate, other) for other in patches
        ):
            patches.append(candidate)
    return patches


def _overlap(one: Patch, other: Patch) -> bool:
    if one.epsg == other.epsg:
        return abs(one.x - other.x) < PATCH_SIZE_M and abs(one.y - other.y) < PATCH_SIZE_M
    # Across a zone seam the axes differ by the convergence: compare centres on the sphere, and
    # take the diagonal as the distance from which two squares cannot touch.
    (lon1, lat1), (lon2, lat2) = one.centre, other.centre
    dx = math.radians((lon1 - lon2 + 180) % 360 - 180) * math.cos(math.radians(lat1)) * 6371008.8
    dy = math.radians(lat1 - lat2) * 6371008.8
    return math.hypot(dx, dy) < PATCH_SIZE_M * math.sqrt(2)


@lru_cache(maxsize=256)
def from_lonlat(epsg: int) -> Transformer:
    """Transformer from (longitude, latitude) degrees to a CRS."""
    from pyproj import Transformer

    return Transformer.from_crs(4326, epsg, always_xy=True)


@lru_cache(maxsize=256)
def to_lonlat(epsg: int) -> Transformer:
    """Transformer from a CRS to (longitude, latitude) degrees."""
    from pyproj import Transformer

    return Transformer.from_crs(epsg, 4326, always_xy=True)


def projected_footprint(epsg: int, bounds: Bounds) -> dict[str, Any]:
    """GeoJSON in degrees of a box in a projected CRS, its edges densified and split at ±180°.

    A box over a pole becomes the cap that contains it, as GeoJSON cannot enclose a pole otherwise.
    Outer rings run counter-clockwise (RFC 7946, section 3.1.6).
    """
    import numpy as np
    from shapely.geometry import Polygon, box, mapping
    from shapely.geometry.polygon import orient

    left, bottom, right, top = bounds
    steps = np.linspace(0, 1, 9)[:-1]
    xs = np.concatenate(
        [
            left + steps * (right - left),
            np.full(8, right),
            right - steps * (right - left),
            np.full(8, left),
        ]
    )
    ys = np.concatenate(
        [
            np.full(8, bottom),
            bottom + steps * (top - bottom),
            np.full(8, top),
            top - steps * (top - bottom),
        ]
    )
    lon, lat = to_lonlat(epsg).transform(xs, ys)
    lon, lat = np.asarray(lon), np.asarray(lat)
    unwrapped = np.degrees(np.unwrap(np.radians(np.append(lon, lon[0]))))
    if abs(unwrapped[-1] - unwrapped[0]) > 180:
        pole = 90.0 if lat.mean() > 0 else -90.0
        cap = (-180.0, min(pole, lat.min()), 180.0, max(pole, lat.max()))
        return box_footprint(cap)
    ring = Polygon(zip(unwrapped[:-1].tolist(), lat.tolist(), strict=True))
    parts = [
        _shifted(ring.intersection(box(-180 + turn, -90, 180 + turn, 90)), -turn)
        for turn in (-360, 0, 360)
    ]
    polygons = [orient(part) for part in parts if not part.is_empty]
    if len(polygons) == 1:
        return dict(mapping(polygons[0]))
    return {"type": "MultiPolygon", "coordinates": [mapping(p)["coordinates"] for p in polygons]}


def _shifted(geometry: BaseGeometry, degrees: float) -> BaseGeometry:
    from shapely.affinity import translate

    return translate(geometry, xoff=degrees)


def footprint_bbox(footprint: dict[str, Any]) -> Bounds:
    """GeoJSON bbox of a footprint; west > east where it is split at the antimeridian."""
    from shapely.geometry import shape

    geometry = shape(footprint)
    west, south, east, north = geometry.bounds
    if west == -180 and east == 180 and geometry.geom_type == "MultiPolygon":
        eastern = [part.bounds for part in geometry.geoms if part.bounds[2] == 180]
        western = [part.bounds for part in geometry.geoms if part.bounds[0] == -180]
        if eastern and western and min(b[0] for b in eastern) > max(b[2] for b in western):
            return (min(b[0] for b in eastern), south, max(b[2] for b in western), north)
    return (west, south, east, north)


def parse_cells(text: str) -> Iterator[Cell]:
    """Cells of a list of ids and codes, ``123456,ERA5-0772176``.

    Raises:
        GridError: a part is not an id or code.
    """
    for part in map(str.strip, text.split(",")):
        if part.isdigit():
            yield Cell(int(part))
        else:
            yield Cell.from_code(part)
