"""Sentinel-5P level 2 granules of CO, NO2, O3 and SO2: which there are, and their one file.

A granule is the day side of one orbit. The sandbox flies the orbits whose day side begins on the
5th, 15th or 25th of a month; a search of a small area gets the nearest orbit of each such day. Of
each there are several editions, as in the archives: until 2022-07-25 the reprocessing (RPRO) in
collection 03 and the superseded first processing (OFFL) in collection 01 or 02, after that OFFL in
collection 03. Every third orbit has a second, older RPRO.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from shapely import box
from shapely.geometry import shape

from stac_lake.sandbox.footprints import swath_footprint
from stac_lake.sandbox.granule_files import CachedFile, cache_path
from stac_lake.sandbox.orbits import ORBITS, Bbox, ground_track, node_time, passes
from stac_lake.sandbox.s5p_file import GASES, HALF_SWATH_KM, Granule, granule_bytes
from stac_lake.sandbox.scene import Blob, SandboxScene
from stac_lake.sandbox.sphere import datetime64, unit_vectors
from stac_lake.sandbox.swaths import Swath

DAYS_OF_MONTH = (5, 15, 25)
DAY_SIDE = timedelta(seconds=3503.56)  # the length of a real granule
LAST_RPRO = datetime(2022, 7, 26, tzinfo=UTC)
COLLECTION_02 = datetime(2021, 7, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Edition:
    """One processing of an orbit.

    Attributes:
        mode: "RPRO" or "OFFL".
        collection: Two digits.
        version: Processor version, six digits.
        created: UTC.
        bias: Factor on the columns: superseded processings differ from the newest one.
    """

    mode: str
    collection: str
    version: str
    created: datetime
    bias: float


def _editions(orbit: int) -> list[Edition]:
    """All processings of an orbit, the best one first."""
    start = _day_side(orbit)[0]
    prompt = start.replace(microsecond=0) + timedelta(days=3, hours=2)
    if start >= LAST_RPRO:
        return [Edition("OFFL", "03", "020400", prompt, 1.0)]
    campaign = datetime(2022, 11, 1, tzinfo=UTC) + timedelta(minutes=orbit % 40000)
    found = [Edition("RPRO", "03", "020400", campaign, 1.0)]
    if orbit % 3 == 0:
        found.append(Edition("RPRO", "03", "020301", campaign - timedelta(days=200), 1.10))
    if start >= COLLECTION_02:
        found.append(Edition("OFFL", "02", "020200", prompt, 1.25))
    else:
        found.append(Edition("OFFL", "01", "010302", prompt, 1.25))
    return found


def _day_side(orbit: int) -> tuple[datetime, datetime]:
    node = node_time("S5P", orbit)
    return node - DAY_SIDE / 2, node + DAY_SIDE / 2


def _is_flown(orbit: int) -> bool:
    start = _day_side(orbit)[0]
    return start.day in DAYS_OF_MONTH and start >= ORBITS["S5P"].first


@lru_cache(maxsize=2048)
def _footprint(orbit: int) -> tuple[dict[str, Any], Any]:
    footprint = swath_footprint(Swath("S5P", *_day_side(orbit), 30, 6, HALF_SWATH_KM))
    return footprint, shape(footprint)


def _name(kind: str, orbit: int, edition: Edition) -> str:
    half = ORBITS["S5P"].period / 2
    node = node_time("S5P", orbit)
    short = GASES[kind.removeprefix("s5p-")].short_name
    times = "_".join(f"{time:%Y%m%dT%H%M%S}" for time in (node - half, node + half))
    tail = f"{edition.collection}_{edition.version}_{edition.created:%Y%m%dT%H%M%S}"
    return f"S5P_{edition.mode}_{short}_{times}_{orbit:05d}_{tail}"


def _scene(kind: str, orbit: int, edition: Edition) -> SandboxScene:
    start, stop = _day_side(orbit)
    return SandboxScene(
        kind=kind,
        id=_name(kind, orbit, edition),
        start=start,
        stop=stop,
        footprint=_footprint(orbit)[0],
        facts={
            "orbit": orbit,
            "orbit_state": "ascending",
            "processing_mode": edition.mode,
            "collection": edition.collection,
            "processor_version": edition.version,
            "creation_time": edition.created,
            "platform": "S5P",
        },
    )


def _orbits(bbox: Bbox, start: datetime, end: datetime) -> Iterator[int]:
    """Flown orbits whose day side comes near a bbox within a closed time interval."""
    margin = DAY_SIDE  # a pass is the moment over the bbox, a granule reaches an hour around it
    near = passes("S5P", bbox, start - margin, end + margin, HALF_SWATH_KM * 1.1)
    for orbit in sorted({one.absolute_orbit + turn for one in near for turn in (0, 1)}):
        begin, finish = _day_side(orbit)
        if _is_flown(orbit) and begin <= end and finish >= start:
            yield orbit


def _nearest_of_each_day(orbits: list[int], bbox: Bbox) -> list[int]:
    """Of each day's orbits, the one that passes nearest to the middle of the bbox.

    Ten orbits a day see a polar place; three a month, as everywhere else, are enough of a month.
    An area wider than ten degrees has no middle to speak of, and keeps them all.
    """
    west, south, east, north = bbox
    width = (east - west) % 360
    if not 0 < width <= 10 or north - south > 10:
        return orbits
    middle = unit_vectors(np.array(west + width / 2), np.array((south + north) / 2))
    nearest: dict[date, tuple[float, int]] = {}
    for orbit in orbits:
        begin, finish = (datetime64(time) for time in _day_side(orbit))
        times = begin + (finish - begin) // 120 * np.arange(121)
        lon, lat, _ = ground_track("S5P", times)
        closeness = float((unit_vectors(lon, lat) @ middle).max())
        day = _day_side(orbit)[0].date()
        nearest[day] = max(nearest.get(day, (-2.0, 0)), (closeness, orbit))
    return sorted(orbit for _, orbit in nearest.values())


def scenes(kind: str, bbox: Bbox, start: datetime, end: datetime) -> list[SandboxScene]:
    """All granules of a gas that intersect a bbox and a closed time interval, by start and id.

    Args:
        kind: "s5p-co", "s5p-no2", "s5p-o3" or "s5p-so2".
        bbox: West, south, east, north; west > east crosses the antimeridian.
        start: UTC, aware.
        end: UTC, aware.

    Raises:
        KeyError: `kind` is none of the four.
    """
    if kind.removeprefix("s5p-") not in GASES:
        raise KeyError(f"{kind!r} is no kind of this module")
    west, south, east, north = bbox
    areas = [box(*bbox)] if west <= east else [
        box(west, south, 180.0, north), box(-180.0, south, east, north)
    ]  # fmt: skip
    seen = [
        orbit
        for orbit in _orbits(bbox, start, end)
        if any(_footprint(orbit)[1].intersects(area) for area in areas)
    ]
    found = [
        _scene(kind, orbit, edition)
        for orbit in _nearest_of_each_day(seen, bbox)
        for edition in _editions(orbit)
    ]
    return sorted(found, key=lambda one: (one.start, one.id))


def scene(kind: str, id: str) -> SandboxScene:  # noqa: A002 - the interface of all product modules
    """The granule of an ESA product name without `.nc`.

    Raises:
        KeyError: There is no such granule.
    """
    return _scene(kind, *_parsed(kind, id))


def _parsed(kind: str, name: str) -> tuple[int, Edition]:
    fields = name.split("_")
    if kind.removeprefix("s5p-") in GASES and len(fields) > 4 and fields[-4].isdigit():
        orbit = int(fields[-4])
        if _is_flown(orbit):
            for edition in _editions(orbit):
                if _name(kind, orbit, edition) == name:
                    return orbit, edition
    raise KeyError(f"there is no {kind} granule {name!r}")


def blob(scene: SandboxScene, name: str, *, cache: Path, full: bool) -> Blob:
    """The granule's file.

    Args:
        scene: One of `scenes`.
        name: "netcdf".
        cache: Directory of generated files.
        full: The real 4172 scanlines of 450 pixels (215 for CO) instead of 120 of 60.

    Raises:
        KeyError: `name` is another.
    """
    if name != "netcdf":
        raise KeyError(f"{scene.id} has no file {name!r}: expected 'netcdf'")
    orbit, edition = _parsed(scene.kind, scene.id)
    gas = scene.kind.removeprefix("s5p-")
    columns = (215 if gas == "co" else 450) if full else 60
    swath = Swath("S5P", *_day_side(orbit), 4172 if full else 120, columns, HALF_SWATH_KM)
    granule = Granule(
        gas, scene.id, orbit, edition.mode, edition.version, edition.created, edition.bias, swath
    )
    path = cache_path(cache, scene.kind, scene.id, "granule.nc", full=full)
    return CachedFile(path, "application/x-netcdf", lambda: granule_bytes(granule))
