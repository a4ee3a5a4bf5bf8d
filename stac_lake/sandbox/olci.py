"""Sentinel-3 OLCI level 1 full-resolution frames: which there are, and their files.

A frame is three minutes of an orbit, counted from its ascending node. The sandbox keeps the frames
in daylight of every fifth orbit or so (by a checksum of platform and orbit number), as the final
(NT) processing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from shapely import box
from shapely.geometry import shape

from stac_lake.sandbox.footprints import swath_footprint
from stac_lake.sandbox.granule_files import CachedFile, cache_path
from stac_lake.sandbox.olci_files import FILES, file_bytes
from stac_lake.sandbox.olci_manifest import Quality, manifest
from stac_lake.sandbox.olci_pixels import Frame
from stac_lake.sandbox.orbits import ORBITS, Bbox, absolute_orbit, node_time, orbit_state, passes
from stac_lake.sandbox.scene import Blob, BytesBlob, SandboxScene
from stac_lake.sandbox.sphere import sun_angles
from stac_lake.sandbox.swath_fields import days, is_bright, is_saturated, sea
from stac_lake.sandbox.swaths import Swath

KIND = "s3-olci-efr"
FRAME = timedelta(seconds=180)
HALF_SWATH_KM = 635.0
CENTRE_KM = (
    330.0  # the cameras look away from the sun's glint, to the right of the descending track
)
LARGEST_SUN_ZENITH = 78.0  # of a frame's centre
THIN = (300, 300)
FULL = (4091, 4865)
_FIRST_CYCLE = {"S3A": 2, "S3B": 12}  # cycle of the first whole repeat after the number's shift


def _is_kept(platform: str, orbit: int) -> bool:
    return crc32(f"{platform}{orbit}".encode()) % 5 == 0


def _swath(platform: str, orbit: int, index: int, size: tuple[int, int]) -> Swath:
    start = node_time(platform, orbit) + FRAME * index
    return Swath(platform, start, start + FRAME, *size, HALF_SWATH_KM, CENTRE_KM)


@lru_cache(maxsize=4096)
def _sun_zenith(platform: str, orbit: int, index: int) -> float:
    """Sun's zenith angle in the middle of a frame, degrees."""
    swath = _swath(platform, orbit, index, (1, 1))
    lon, lat = swath.centres()
    zenith, _ = sun_angles(lon, lat, swath.row_times(np.array([0.5])))
    return float(zenith[0, 0])


@lru_cache(maxsize=1024)
def _footprint(platform: str, orbit: int, index: int) -> tuple[dict[str, Any], Any]:
    footprint = swath_footprint(_swath(platform, orbit, index, (6, 5)))
    return footprint, shape(footprint)


@lru_cache(maxsize=1024)
def _quality(platform: str, orbit: int, index: int) -> Quality:
    """Shares of bright, sea and saturated pixels on a lattice of 60 x 60, in whole percent."""
    swath = _swath(platform, orbit, index, (60, 60))
    lon, lat = swath.centres()
    day = days(swath.row_times(np.arange(0.5, swath.rows)))[:, None]
    masks = (is_bright(lon, lat, day), sea(lon, lat), is_saturated(lon, lat, day))
    return Quality(*(float(round(100 * mask.mean())) for mask in masks))


def _name(platform: str, orbit: int, index: int) -> str:
    start = node_time(platform, orbit) + FRAME * index
    stop = start + FRAME
    created = start + timedelta(hours=30, minutes=orbit % 60)
    times = "_".join(f"{time:%Y%m%dT%H%M%S}" for time in (start, stop, created))
    relative = ORBITS[platform].relative(orbit)
    place = f"{_cycle(platform, orbit):03d}_{relative:03d}_{index * 180:04d}"
    return f"{platform}_OL_1_EFR____{times}_0179_{place}_LN1_O_NT_002"


def _cycle(platform: str, orbit: int) -> int:
    model = ORBITS[platform]
    return (orbit - model.relative_shift) // model.revolutions + _FIRST_CYCLE[platform]


def _scene(platform: str, orbit: int, index: int) -> SandboxScene:
    start = node_time(platform, orbit) + FRAME * index
    return SandboxScene(
        kind=KIND,
        id=_name(platform, orbit, index),
        start=start,
        stop=start + FRAME,
        footprint=_footprint(platform, orbit, index)[0],
        facts={
            "platform": platform,
            "cycle": _cycle(platform, orbit),
            "relative_orbit": ORBITS[platform].relative(orbit),
            "absolute_orbit": orbit,
            "orbit_state": orbit_state(platform, start + FRAME / 2),
            "frame": index * 180,
            "timeliness": "NT",
            "bright_pct": _quality(platform, orbit, index).bright_pct,
            "rows": THIN[0],
            "columns": THIN[1],
            "sun_elevation": round(90.0 - _sun_zenith(platform, orbit, index), 4),
            "creation_time": (start + timedelta(hours=30, minutes=orbit % 60)).replace(
                microsecond=0
            ),
        },
    )


def _frames(bbox: Bbox, start: datetime, end: datetime) -> Iterator[tuple[str, int, int]]:
    """(platform, orbit, frame index) of kept daylight frames near a bbox and a time interval."""
    for platform in ("S3A", "S3B"):
        half = HALF_SWATH_KM * 1.1
        near = passes(platform, bbox, start - FRAME, end + FRAME, half, centre_km=CENTRE_KM)
        found = set()
        for one in near:
            # the pass may begin in one orbit's last frame and end in the next orbit's first
            for orbit in {one.absolute_orbit, absolute_orbit(platform, one.start)}:
                node = node_time(platform, orbit)
                first, last = (one.start - node) // FRAME - 1, (one.stop - node) // FRAME + 1
                found |= {(orbit, index) for index in range(max(first, 0), min(last, 32) + 1)}
        for orbit, index in sorted(found):
            begin = node_time(platform, orbit) + FRAME * index
            if not _is_kept(platform, orbit) or begin > end or begin + FRAME < start:
                continue
            if begin >= ORBITS[platform].first:
                yield platform, orbit, index


def scenes(kind: str, bbox: Bbox, start: datetime, end: datetime) -> list[SandboxScene]:
    """All frames that intersect a bbox and a closed time interval, by start and id.

    Args:
        kind: "s3-olci-efr".
        bbox: West, south, east, north; west > east crosses the antimeridian.
        start: UTC, aware.
        end: UTC, aware.

    Raises:
        KeyError: `kind` is another.
    """
    if kind != KIND:
        raise KeyError(f"{kind!r} is no kind of this module")
    west, south, east, north = bbox
    areas = [box(*bbox)] if west <= east else [
        box(west, south, 180.0, north), box(-180.0, south, east, north)
    ]  # fmt: skip
    found = [
        _scene(*frame)
        for frame in _frames(bbox, start, end)
        if _sun_zenith(*frame) < LARGEST_SUN_ZENITH
        and any(_footprint(*frame)[1].intersects(area) for area in areas)
    ]
    return sorted(found, key=lambda one: (one.start, one.id))


def _parsed(name: str) -> tuple[str, int, int]:
    fields = name.split("_")
    try:
        platform, frame = fields[0], int(fields[13])
        start = datetime.strptime(fields[7] + "+0000", "%Y%m%dT%H%M%S%z")
        orbit = absolute_orbit(platform, start - timedelta(seconds=frame) + timedelta(seconds=2))
        index = frame // 180
        known = _name(platform, orbit, index) == name and _is_kept(platform, orbit)
    except (KeyError, IndexError, ValueError):
        known = False
    if not known or index > 32 or _sun_zenith(platform, orbit, index) >= LARGEST_SUN_ZENITH:
        raise KeyError(f"there is no {KIND} frame {name!r}")
    return platform, orbit, index


def scene(kind: str, id: str) -> SandboxScene:  # noqa: A002 - the interface of all product modules
    """The frame of an ESA product name without `.SEN3`.

    Raises:
        KeyError: There is no such frame.
    """
    if kind != KIND:
        raise KeyError(f"{kind!r} is no kind of this module")
    return _scene(*_parsed(id))


def blob(scene: SandboxScene, name: str, *, cache: Path, full: bool) -> Blob:
    """One file of a frame's SAFE directory.

    Args:
        scene: One of `scenes`.
        name: File name, for example "Oa01_radiance.nc" or "xfdumanifest.xml".
        cache: Directory of generated files.
        full: The real 4091 x 4865 pixels instead of 300 x 300.

    Raises:
        KeyError: The frame has no such file.
    """
    platform, orbit, index = _parsed(scene.id)
    frame = Frame(scene.id, orbit, _swath(platform, orbit, index, FULL if full else THIN))
    if name == "xfdumanifest.xml":
        text = manifest(frame, scene, _quality(platform, orbit, index))
        return BytesBlob(text.encode(), "application/xml")
    if name not in FILES:
        raise KeyError(f"{scene.id} has no file {name!r}: expected one of {sorted(FILES)}")
    path = cache_path(cache, KIND, scene.id, name, full=full)
    return CachedFile(path, "application/x-netcdf", lambda: file_bytes(frame, name))
