"""Copernicus DEM GLO-30 and GLO-90: degree tiles of the analytic height field.

Geometry as in the Copernicus DEM Product Handbook (5.0) and recorded items: 3600 (1200) rows,
columns that thin out towards the poles, the first pixel's centre on the tile's north-western
degree corner, so that the outer corner is half a pixel off the degree line.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stac_lake.sandbox.cog import LazyCog, RasterSpec
from stac_lake.sandbox.fields import height, is_sea
from stac_lake.sandbox.scene import Blob, SandboxScene

Bbox = tuple[float, float, float, float]

DEM_TIME = datetime(2021, 4, 22, tzinfo=UTC)
MISSING_GLO30 = "Copernicus_DSM_COG_10_N40_00_E044_00_DEM"  # a tile that is on land, and in GLO-90
_ARC = {"dem-glo30": "10", "dem-glo90": "30"}
_ROWS = {"dem-glo30": 3600, "dem-glo90": 1200}
_ID = re.compile(r"Copernicus_DSM_COG_(10|30)_([NS])(\d\d)_00_([EW])(\d{3})_00_DEM")


# (upper limit of |latitude|, thinning of the columns)
_THINNING = ((50, 1.0), (60, 1.5), (70, 2.0), (80, 3.0), (85, 5.0), (90, 10.0))


def columns(kind: str, south: int) -> int:
    """Pixels per degree of longitude in the tile whose southern edge is `south` degrees."""
    lowest = min(abs(south), abs(south + 1))
    factor = next(f for limit, f in _THINNING if lowest < limit)
    return int(_ROWS[kind] / factor)


def scenes(kind: str, bbox: Bbox, start: datetime, end: datetime) -> list[SandboxScene]:
    """All tiles that touch a box; time is ignored, as the DEM has none.

    Args:
        kind: dem-glo30 or dem-glo90.
        bbox: West, south, east, north in degrees; west > east goes over the antimeridian.
        start: Ignored.
        end: Ignored.
    """
    west, low, east, high = bbox
    spans = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
    # A tile reaches half a pixel (at most 1/200°) beyond its western and northern degree lines.
    cells = {
        ((lon + 180) % 360 - 180, lat)
        for w, e in spans
        for lon in range(math.floor(w), math.floor(e + 0.005) + 1)
        for lat in range(math.floor(low - 0.005), math.floor(high) + 1)
        if -90 <= lat <= 83
    }
    found = [_scene(kind, lon, lat) for lon, lat in cells if _exists(kind, lon, lat)]
    return sorted(found, key=lambda one: one.id)


def scene(kind: str, id: str) -> SandboxScene:  # noqa: A002 - the interface of all product modules
    """The tile of that name.

    Raises:
        KeyError: There is no such tile.
    """
    match = _ID.fullmatch(id)
    if match and match[1] == _ARC[kind]:
        lat = int(match[3]) * (1 if match[2] == "N" else -1)
        lon = int(match[5]) * (1 if match[4] == "E" else -1)
        if -90 <= lat <= 83 and -180 <= lon < 180 and _exists(kind, lon, lat):
            return _scene(kind, lon, lat)
    raise KeyError(f"no tile {id} in {kind}")


def blob(scene: SandboxScene, name: str, *, cache: Path, full: bool) -> Blob:
    """The tile's only file, `data`, always in full size.

    Raises:
        KeyError: `name` is another one.
    """
    if name != "data":
        raise KeyError(f"{scene.id} has no file {name}")
    rows, width = scene.facts["shape"]
    a, _, x, _, e, y = scene.facts["transform"]
    spec = RasterSpec(
        epsg=4326,
        origin=(x, y),
        pixel=(a, -e),
        shape=(rows, width),
        dtype="float32",
        nodata=None,
        predictor=3,
        slot=0.6 if scene.kind == "dem-glo30" else 0.7,
        point=True,
    )
    return LazyCog(spec, lambda x, y, _: height(x, y), f"{scene.kind}/{scene.id}", cache)


def _exists(kind: str, lon: int, lat: int) -> bool:
    return not is_sea(lon + 0.5, lat + 0.5) and _name(kind, lon, lat) != MISSING_GLO30


def _name(kind: str, lon: int, lat: int) -> str:
    ns, ew = "N" if lat >= 0 else "S", "E" if lon >= 0 else "W"
    return f"Copernicus_DSM_COG_{_ARC[kind]}_{ns}{abs(lat):02d}_00_{ew}{abs(lon):03d}_00_DEM"


def _scene(kind: str, lon: int, lat: int) -> SandboxScene:
    rows, width = _ROWS[kind], columns(kind, lat)
    dx, dy = 1 / width, 1 / rows
    x, y = lon - dx / 2, lat + 1 + dy / 2
    left = max(x, -180.0)
    ring = [(left, y - 1), (x + 1, y - 1), (x + 1, y), (left, y), (left, y - 1)]
    footprint: dict[str, Any] = {"type": "Polygon", "coordinates": [[list(p) for p in ring]]}
    facts = {"shape": (rows, width), "transform": (dx, 0.0, x, 0.0, -dy, y), "epsg": 4326}
    return SandboxScene(kind, _name(kind, lon, lat), DEM_TIME, DEM_TIME, footprint, facts)
