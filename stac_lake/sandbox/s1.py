"""Sentinel-1 slices of the sandbox, and their RTC images; GRD products are made in `s1_grd`.

A slice is 25 s of a swath, right-looking, beginning at a multiple of 25 s of Unix time. A
deterministic third of the orbits is kept. An RTC image (`s1-rtc`: γ0 in linear power, VV and VH) is
the north-up box around the slice in the UTM zone of its centre, at 10 m; the slice lies rotated in
it, with nodata around. South of 60° S there is no RTC image, and GRD (`s1-grd`) has HH or HH and HV
in IW or EW, by the orbit; elsewhere it is IW with VV and VH. The two kinds share names and times;
an RTC image lies on the sphere of `orbits`, and a GRD image where its state vectors put it.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from stac_lake.sandbox import s1_grd, tiles
from stac_lake.sandbox.cog import LazyCog, RasterSpec
from stac_lake.sandbox.documents.envelope import stable_hex
from stac_lake.sandbox.fields import gamma0, is_sea, unit_hash
from stac_lake.sandbox.orbits import (
    ORBITS,
    absolute_orbit,
    ground_track,
    orbit_state,
    passes,
)
from stac_lake.sandbox.scene import Blob, SandboxScene
from stac_lake.sandbox.sphere import EARTH_RADIUS_KM, offset_points, unit_vectors

Bbox = tuple[float, float, float, float]
Axis = NDArray[np.float64]

SLICE_S = 25
NEAR_KM, FAR_KM = 350.0, 600.0  # ground distance of IW's incidence angles of 29 and 45 degrees
NODATA = -32768.0
POLAR_LIMIT = -60.0  # of the slice's middle; no VV or VH beyond
FAR_LIMIT = 83.0  # beyond which a UTM zone is no map of a slice, and no RTC image is made
# South of the limit, by the absolute orbit modulo 4.
_POLAR = (
    ("IW_GRDH_1SSH", ("HH",)),
    ("EW_GRDM_1SSH", ("HH",)),
    ("IW_GRDH_1SDH", ("HH", "HV")),
    ("EW_GRDM_1SDH", ("HH", "HV")),
)
_KEPT_SHARE = 1 / 3
# From a slice's middle on the sphere beyond its corners; half a step of `_may_reach` included.
_REACH_KM = {"IW": 230.0, "EW": 350.0}
_ID = re.compile(
    r"((S1[AB])_(?:IW_GRDH_1S(?:DV|SH|DH)|EW_GRDM_1S[SD]H)_(\d{8}T\d{6})_\d{8}T\d{6}_\d{6}_[0-9A-F]{6})"
    r"(?:_[0-9A-F]{4})?(?:_rtc)?"
)


def scenes(kind: str, bbox: Bbox, start: datetime, end: datetime) -> list[SandboxScene]:
    """All slices that intersect a box and a closed time interval, by start and id.

    Args:
        kind: s1-rtc or s1-grd.
        bbox: West, south, east, north in degrees; west > east goes over the antimeridian.
        start: UTC.
        end: UTC.
    """
    west, south, east, north = bbox
    spans = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
    area = shapely.union_all([shapely.box(w, south, e, north) for w, e in spans])
    margin = timedelta(seconds=2 * SLICE_S)
    # EW begins nearer and ends farther off, and geodetic latitudes are up to 22 km from spherical.
    centre, half = (
        (NEAR_KM + FAR_KM) / 2,
        (FAR_KM - NEAR_KM) / 2 + (30 if kind == "s1-rtc" else 170),
    )
    numbers = set()
    for platform in ("S1A", "S1B"):
        span = (start - margin, end + margin)
        for one in passes(platform, bbox, *span, half, centre_km=centre):
            first = int((one.start - margin).timestamp()) // SLICE_S
            last = int((one.stop + margin).timestamp()) // SLICE_S
            numbers |= {(platform, number) for number in range(first, last + 1)}
    if kind == "s1-grd":  # whose footprints are dear
        numbers = {number for number in numbers if _may_reach(*number, spans, (south, north))}
    found = [_slice(kind, *number) for number in numbers]
    return sorted(
        (
            one
            for one in found
            if one
            and one.start <= end
            and one.stop >= start
            and shapely.geometry.shape(one.footprint).intersects(area)
        ),
        key=lambda one: (one.start, one.id),
    )


def scene(kind: str, id: str) -> SandboxScene:  # noqa: A002 - the interface of all product modules
    """The slice of that product name; its last four digits and `_rtc` are not looked at.

    Raises:
        KeyError: There is no such slice.
    """
    match = _ID.fullmatch(id)
    if match:
        start = datetime.strptime(match[3], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        one = _slice(kind, match[2], int(start.timestamp()) // SLICE_S)
        if one and one.id.startswith(match[1]):
            return one
    raise KeyError(f"no slice {id} in {kind}")


def blob(scene: SandboxScene, name: str, *, cache: Path, full: bool) -> Blob:
    """`vv` or `vh` of an RTC image as a COG, or a file of a GRD product, always in its real size.

    Raises:
        KeyError: `name` is another one.
    """
    if scene.kind == "s1-grd":
        return s1_grd.blob(scene, name, cache=cache)
    if name not in ("vv", "vh"):
        raise KeyError(f"{scene.id} has no file {name}")
    facts = scene.facts
    _, _, x, _, _, y = facts["transform"]
    spec = RasterSpec(
        epsg=facts["epsg"],
        origin=(x, y),
        pixel=(10, 10),
        shape=facts["shape"],
        dtype="float32",
        nodata=f"{NODATA:.0f}",
        block=512,
        predictor=3,
        slot=0.6,
    )

    def paint(x: Axis, y: Axis, resolution: float) -> NDArray[Any]:
        power = gamma0(scene.start, name, x, y, resolution)
        power[~inside(facts["corners"], x, y)] = NODATA
        return power

    return LazyCog(spec, paint, f"{scene.kind}/{scene.id}/{name}", cache)


def inside(corners: tuple[tuple[float, float], ...], x: Axis, y: Axis) -> NDArray[np.bool_]:
    """Pixel centres within a convex polygon of counter-clockwise corners, as (y, x)."""
    held = np.ones((y.size, x.size), dtype=bool)
    for (xa, ya), (xb, yb) in zip(corners, corners[1:] + corners[:1], strict=True):
        held &= (xb - xa) * (y[:, None] - ya) >= (yb - ya) * (x[None, :] - xa)
    return held


@lru_cache(maxsize=4096)
def _slice(kind: str, platform: str, number: int) -> SandboxScene | None:
    """The slice that begins at `number` · 25 s, or None where the sandbox has none."""
    place = _place(platform, number)
    if place is None:
        return None
    lon, lat = place
    polar = float(lat[4]) < POLAR_LIMIT
    if kind == "s1-rtc" and (polar or abs(float(lat[4])) > FAR_LIMIT):
        return None
    start = _start(number)
    stop = start + timedelta(seconds=SLICE_S)
    absolute = absolute_orbit(platform, start)
    product, polarizations = _flown(absolute, float(lat[4]))
    mode = product[:2]
    if kind == "s1-rtc":
        grid, footprint = _geometry(lon, lat)
    else:
        grid, footprint = s1_grd.geometry(platform, mode, start)
    facts = grid | {
        "absolute_orbit": absolute,
        "relative_orbit": ORBITS[platform].relative(absolute),
        "orbit_state": orbit_state(platform, start),
        "platform": platform,
        "polarizations": polarizations,
        "mode": mode,
        "datatake_id": absolute * 8,
        "first": _place(platform, number - 1) is None,
        "last": _place(platform, number + 1) is None,
    }
    name = (
        f"{platform}_{product}_{start:%Y%m%dT%H%M%S}_{stop:%Y%m%dT%H%M%S}"
        f"_{absolute:06d}_{absolute * 8:06X}"
    )
    name += f"_{stable_hex(name, length=4).upper()}"
    return SandboxScene(kind, name, start, stop, footprint, facts)


def _start(number: int) -> datetime:
    return datetime.fromtimestamp(number * SLICE_S, UTC)


def _flown(absolute: int, lat: float) -> tuple[str, tuple[str, ...]]:
    """Product type and polarisations of a slice with that orbit and middle."""
    return _POLAR[absolute % 4] if lat < POLAR_LIMIT else ("IW_GRDH_1SDV", ("VV", "VH"))


def _may_reach(
    platform: str,
    number: int,
    spans: list[tuple[float, float]],
    lats: tuple[float, float],
) -> bool:
    """Whether a slice's middle is near enough to a lattice of half degrees over an area."""
    place = _place(platform, number)
    if place is None:
        return False
    lon, lat = place
    product, _ = _flown(absolute_orbit(platform, _start(number)), float(lat[4]))
    near = math.cos(_REACH_KM[product[:2]] / EARTH_RADIUS_KM)
    here = unit_vectors(lon[4], lat[4])
    y = np.linspace(*lats, math.ceil((lats[1] - lats[0]) / 0.5) + 1)
    for west, east in spans:
        x = np.linspace(west, east, math.ceil((east - west) / 0.5) + 1)
        if (unit_vectors(*np.meshgrid(x, y)) @ here).max() > near:
            return True
    return False


@lru_cache(maxsize=4096)
def _place(platform: str, number: int) -> tuple[Axis, Axis] | None:
    """Corners and middle of a slice on the sphere, or None where there is no slice."""
    start = _start(number)
    orbit = ORBITS[platform]
    flown = orbit.first <= start <= orbit.last
    if not flown or unit_hash("s1", platform, absolute_orbit(platform, start)) >= _KEPT_SHARE:
        return None
    lon, lat = _corners(platform, start, start + timedelta(seconds=SLICE_S))
    if all(is_sea(*point) for point in zip(lon.tolist(), lat.tolist(), strict=True)):
        return None
    return lon, lat


def _geometry(lon: Axis, lat: Axis) -> tuple[dict[str, Any], dict[str, Any]]:
    """The image grid as facts, and the footprint, of a slice's corners and middle."""
    middle = (float(lon[4]), float(lat[4]))
    epsg = (32600 if middle[1] >= 0 else 32700) + tiles.zone_of(*middle)
    x, y = tiles.from_lonlat(epsg).transform(lon[:4], lat[:4])
    ring = shapely.orient_polygons(shapely.Polygon(zip(x, y, strict=True)))
    left, bottom, right, top = (round(edge / 10) * 10 for edge in ring.bounds)
    grid = {
        "epsg": epsg,
        "transform": (10.0, 0.0, float(left), 0.0, -10.0, float(top)),
        "shape": ((top - bottom) // 10, (right - left) // 10),
        "corners": tuple(ring.exterior.coords)[:4],
    }
    dense = shapely.segmentize(ring, 50_000).exterior.coords
    return grid, tiles.footprint(epsg, list(dense))


def _corners(platform: str, start: datetime, stop: datetime) -> tuple[Axis, Axis]:
    """Lon and lat of the slice's four corners in ring order, and of its middle."""
    middle = start + (stop - start) / 2
    times = np.array(
        [moment.replace(tzinfo=None) for moment in (start, start, stop, stop, middle)],
        dtype="datetime64[us]",
    )
    lon, lat, heading = ground_track(platform, times)
    far = np.array([NEAR_KM, FAR_KM, FAR_KM, NEAR_KM, (NEAR_KM + FAR_KM) / 2])
    return offset_points(lon, lat, heading + 90.0, far)
