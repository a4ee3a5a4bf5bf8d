"""Landsat 8 and 9 of the sandbox: Collection 2 level 2 scenes of WRS-2 as USGS's COGs.

Both platforms take every sunlit path and row once in their 16 days; one scene in ten is of tier 2,
and one path and row in ten has no surface temperature.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from stac_lake.sandbox import landsat_wrs2 as wrs2
from stac_lake.sandbox.cog import LazyCog, RasterSpec
from stac_lake.sandbox.fields import Axis, Optics, unit_hash
from stac_lake.sandbox.landsat_fields import (
    FILL,
    OLI_BANDS,
    THIN,
    pixel_quality,
    reflectance_numbers,
    saturation,
    temperature_numbers,
)
from stac_lake.sandbox.landsat_frame import PIXEL_M, Frame, footprint, frame
from stac_lake.sandbox.scene import Blob, SandboxScene
from stac_lake.sandbox.sphere import datetime64, sun_angles

Bbox = tuple[float, float, float, float]

FALSE_NORTHING_M = 10_000_000.0
MIN_SUN_ELEVATION = 14.0  # level 2 is not made for larger zenith angles than 76° (LSDS-1619)
SOUTH_LIMIT = -60.0
_REACH_KM = 140.0  # more than half of an image's diagonal
_ID = re.compile(r"LC(08|09)_L2S[PR]_(\d{3})(\d{3})_(\d{8})_(?:\d{8}_)?02_T[12]")


def scenes(kind: str, bbox: Bbox, start: datetime, end: datetime) -> list[SandboxScene]:
    """All scenes that intersect a box and a closed time interval, by start and id.

    Args:
        kind: landsat-c2-l2.
        bbox: West, south, east, north in degrees; west > east goes over the antimeridian.
        start: UTC.
        end: UTC.
    """
    west, south, east, north = bbox
    spans = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
    area = shapely.union_all([shapely.box(w, south, e, north) for w, e in spans])
    found = [
        one
        for path, row in wrs2.near(bbox, _REACH_KM)
        if shapely.geometry.shape(footprint(path, row)).intersects(area)
        for one in _acquired(kind, path, row, start, end)
    ]
    return sorted(found, key=lambda one: (one.start, one.id))


def scene(kind: str, id: str) -> SandboxScene:  # noqa: A002 - the interface of all product modules
    """The scene of a product name, or of an item id, which leaves out the day of processing.

    Raises:
        KeyError: There is no such acquisition.
    """
    match = _ID.fullmatch(id)
    if match:
        platform, path, row, day = match.groups()
        start = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
        end = start + timedelta(days=1, microseconds=-1)
        for one in _acquired(kind, int(path), int(row), start, end):
            if id in (one.id, item_id(one)) and one.facts["platform"] == platform:
                return one
    raise KeyError(f"no acquisition {id} in {kind}")


def item_id(scene: SandboxScene) -> str:
    """`LC08_L2SP_202033_20220327_02_T1`."""
    parts = scene.id.split("_")
    return "_".join((*parts[:4], *parts[5:]))


def blob(scene: SandboxScene, name: str, *, cache: Path, full: bool) -> Blob:
    """One image of a scene, always in its real size.

    Args:
        scene: From `scenes` or `scene`.
        name: `coastal` … `swir22`, `lwir11` (not of scenes of reflectance only), `qa_pixel`,
            `qa_radsat`.
        cache: Directory for computed tiles.
        full: No difference here.

    Raises:
        KeyError: The scene has no such file.
    """
    thermal = name == "lwir11" and scene.facts["correction"] == "L2SP"
    if not (name in OLI_BANDS or thermal or name in ("qa_pixel", "qa_radsat")):
        raise KeyError(f"{scene.id} has no file {name}")
    place: Frame = scene.facts["frame"]
    spec = RasterSpec(
        epsg=place.epsg,
        origin=place.origin,
        pixel=(PIXEL_M, PIXEL_M),
        shape=place.shape,
        dtype="uint16",
        nodata={"qa_pixel": str(FILL), "qa_radsat": None}.get(name, "0"),
        block=256,
        slot=0.3 if name.startswith("qa") else 0.85,
        overview_slot=1.0,
        point=True,
    )
    return LazyCog(spec, _Painter(scene, name), f"{scene.kind}/{scene.id}/{name}", cache)


class _Painter:
    """Samples one image of one scene at pixel centres."""

    def __init__(self, scene: SandboxScene, name: str) -> None:
        self._name = name
        self._frame: Frame = scene.facts["frame"]
        self._optics: Optics = scene.facts["optics"]

    def __call__(self, x: Axis, y: Axis, resolution: float) -> NDArray[Any]:
        """(y, x) of uint16."""
        seen = self._frame.inside(x, y)
        north = y + FALSE_NORTHING_M if self._optics.south else y
        fill = FILL if self._name == "qa_pixel" else 0
        if not seen.any():
            return np.full(seen.shape, fill, np.uint16)
        return np.where(seen, self._painted(x, north, resolution), np.uint16(fill))

    def _painted(self, x: Axis, y: Axis, resolution: float) -> NDArray[Any]:
        if self._name == "qa_pixel":
            return pixel_quality(self._optics, x, y)
        if self._name == "qa_radsat":
            return saturation(self._optics, x, y, resolution)
        if self._name == "lwir11":
            return temperature_numbers(self._optics, x, y)
        return reflectance_numbers(self._optics, self._name, x, y, resolution)


def _acquired(
    kind: str, path: int, row: int, start: datetime, end: datetime
) -> Iterator[SandboxScene]:
    """The scenes of a path and row whose middle is in a time interval."""
    late = wrs2.from_node(row)
    for platform in wrs2.PLATFORMS:
        for node in wrs2.node_times(platform, path, start - late, end - late):
            one = _scene(kind, platform, path, row, node)
            if one:
                yield one


@lru_cache(maxsize=4096)
def _scene(kind: str, platform: str, path: int, row: int, node: datetime) -> SandboxScene | None:
    """The scene of a pass, or None in the dark, over open sea and in the Antarctic."""
    lon, lat = wrs2.centre(path, row)
    time = (node + wrs2.from_node(row)).replace(microsecond=0)
    zenith, azimuth = sun_angles(np.array([lon]), np.array([lat]), np.array([datetime64(time)]))
    elevation, place = 90.0 - float(zenith[0]), frame(path, row)
    if elevation < MIN_SUN_ELEVATION or lat < SOUTH_LIMIT or place.at_sea:
        return None
    threshold = -0.25 + 1.1 * unit_hash("cloud", f"LC{platform}", _second(node).isoformat())
    optics = Optics(_second(node), threshold, south=lat < 0, top=False)
    tier = "T2" if unit_hash("tier", platform, path, row, f"{time:%Y%m%d}") < 1 / 10 else "T1"
    level = "L2SR" if unit_hash("emissivity", path, row) < 1 / 10 else "L2SP"
    made = time + timedelta(days=1 if platform == "09" else 6)
    cloud, over_land = _cloud_pct(place, optics)
    facts = {
        "platform": platform,
        "path": path,
        "row": row,
        "tier": tier,
        "correction": level,
        "processed": made,
        "frame": place,
        "optics": optics,
        "cloud_pct": cloud,
        "cloud_land_pct": over_land,
        "sun_elevation": elevation,
        "sun_azimuth": float(azimuth[0]),
    }
    name = f"LC{platform}_{level}_{path:03d}{row:03d}_{time:%Y%m%d}_{made:%Y%m%d}_02_{tier}"
    return SandboxScene(kind, name, time, time, footprint(path, row), facts)


def _second(time: datetime) -> datetime:
    return time.replace(microsecond=0)


def _cloud_pct(place: Frame, optics: Optics) -> tuple[float, float]:
    """Share of cloud (not of cirrus) in the image and over its land, in %, on a lattice."""
    rows, columns = place.shape
    x = place.origin[0] + (np.arange(60) + 0.5) * columns * PIXEL_M / 60
    y = place.origin[1] - (np.arange(60) + 0.5) * rows * PIXEL_M / 60
    seen = place.inside(x, y)
    north = y + FALSE_NORTHING_M if optics.south else y
    cloud = optics.cloud(x, north) >= THIN
    land = seen & ~optics.water(x, north)
    return round(100 * float(cloud[seen].mean()), 2), round(100 * float(cloud[land].mean()), 2)
