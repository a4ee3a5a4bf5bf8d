"""Sentinel-2 tiles of the sandbox: L2A as COGs, L1C as JPEG 2000 with its mask and metadata.

A scene is one MGRS tile in one pass of S2A or S2B over it. A deterministic third of the passes is
kept. Tiles at the edge of the 290 km swath are partly covered, with 0 outside.

To get the pixels of a provider that has already subtracted the radiometric offset (Earth Search's
`sentinel-2-l2a`), ask for the blob of `offset_applied(scene)`.
"""

from __future__ import annotations

import dataclasses
import math
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from stac_lake.sandbox import tiles
from stac_lake.sandbox.cog import LazyCog, RasterSpec
from stac_lake.sandbox.fields import (
    S2_BANDS,
    Optics,
    digital_numbers,
    mask_classes,
    scene_classes,
    unit_hash,
)
from stac_lake.sandbox.jp2 import LazyJp2
from stac_lake.sandbox.s2_metadata import product_xml, tile_xml
from stac_lake.sandbox.s2_passes import (
    HALF_SWATH_M,
    Overflight,
    across_track,
    covered,
    overflights,
)
from stac_lake.sandbox.scene import Blob, BytesBlob, SandboxScene
from stac_lake.sandbox.sphere import datetime64, sun_angles

Bbox = tuple[float, float, float, float]
Axis = NDArray[np.float64]

ALTITUDE_M = 786_000.0
MIN_SUN_ELEVATION = 2.0
OFFSET = 1000  # in the pixels since processing baseline 04.00
_LEVEL = {"s2-l1c": "1C", "s2-l2a": "2A"}
_ID = re.compile(
    r"(S2[AB])_MSIL(1C|2A)_(\d{8}T\d{6})_N(\d\d)(\d\d)_R(\d{3})_T(\w{5})_(\d{8}T\d{6})"
)


def scenes(kind: str, bbox: Bbox, start: datetime, end: datetime) -> list[SandboxScene]:
    """All scenes that intersect a box and a closed time interval, by start and id.

    Args:
        kind: s2-l1c or s2-l2a.
        bbox: West, south, east, north in degrees; west > east goes over the antimeridian.
        start: UTC.
        end: UTC.
    """
    west, south, east, north = bbox
    spans = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
    area = shapely.union_all([shapely.box(w, south, e, north) for w, e in spans])
    found = []
    for tile in tiles.tiles_over(bbox):
        for flight in overflights(tile, start, end):
            one = _scene(kind, tile, flight)
            if one and start <= one.start <= end:
                shape = shapely.geometry.shape(one.footprint)
                if shape.intersects(area):
                    found.append(one)
    return sorted(found, key=lambda one: (one.start, one.id))


def scene(kind: str, id: str) -> SandboxScene:  # noqa: A002 - the interface of all product modules
    """The scene of that product name.

    Another processing baseline or generation time than the sandbox's own is accepted: it is the
    same acquisition, processed another time.

    Raises:
        KeyError: There is no such acquisition.
    """
    match = _ID.fullmatch(id)
    if not match or match[2] != _LEVEL[kind]:
        raise KeyError(f"{id!r} is not the name of a {kind} product")
    take = datetime.strptime(match[3], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    tile = tiles.tile(match[7])
    for flight in overflights(tile, take, take + timedelta(seconds=420)):
        one = _scene(kind, tile, flight)
        orbit = (flight.platform, flight.datatake, flight.relative_orbit)
        if one and orbit == (match[1], take, int(match[6])):
            generated = datetime.strptime(match[8], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
            baseline = f"{match[4]}.{match[5]}"
            facts = {
                **one.facts,
                "baseline": baseline,
                "generation_time": generated,
                "datatake_id": _datatake_id(flight, baseline),
            }
            return dataclasses.replace(one, id=id, facts=facts)
    raise KeyError(f"no acquisition {id} in {kind}")


def offset_applied(scene: SandboxScene) -> SandboxScene:
    """The same L2A scene with the radiometric offset already subtracted from its pixels."""
    return dataclasses.replace(scene, facts={**scene.facts, "boa_offset_applied": True})


def blob(scene: SandboxScene, name: str, *, cache: Path, full: bool) -> Blob:
    """One file of a scene, always in its real size.

    Args:
        scene: From `scenes`, `scene` or `offset_applied`.
        name: `B01` … `B12`, `B8A`; `SCL` (L2A); `B10`, `MSK_CLASSI_B00`, `MTD_MSIL1C.xml`,
            `MTD_TL.xml` (L1C). An L2A raster is a COG, and with `.jp2` behind its name JPEG 2000.
        cache: Directory for computed tiles.
        full: No difference here.

    Raises:
        KeyError: The scene has no such file.
    """
    top = scene.kind == "s2-l1c"
    if top and name in ("MTD_MSIL1C.xml", "MTD_TL.xml"):
        text = product_xml(scene) if name == "MTD_MSIL1C.xml" else tile_xml(scene)
        return BytesBlob(text.encode(), "application/xml")
    raster = name.removesuffix(".jp2")
    if raster in S2_BANDS and (top or raster != "B10"):
        resolution, bits = S2_BANDS[raster].resolution, 16
    elif raster == ("MSK_CLASSI_B00" if top else "SCL"):
        resolution, bits = (60 if top else 20), 8
    else:
        raise KeyError(f"{scene.id} has no file {name}")
    pixels = tiles.TILE_M // resolution
    x, y = scene.facts["origin"]
    spec = RasterSpec(
        epsg=scene.facts["epsg"],
        origin=(x, y),
        pixel=(resolution, resolution),
        shape=(pixels, pixels),
        dtype=f"uint{bits}",
        nodata="0",
        predictor=2 if bits == 16 else 1,
        slot=_slot(raster, jp2=top or raster != name),
    )
    key = f"{scene.kind}/{scene.id}/{raster}{'+' * _is_applied(scene)}"
    painter = _Painter(scene, raster)
    if top or raster != name:
        return LazyJp2(spec, painter, key, cache, bands=3 if raster.startswith("MSK") else 1)
    return LazyCog(spec, painter, key, cache)


def _slot(raster: str, jp2: bool) -> float:
    """Share of a tile's raw bytes that its slot keeps; measured maxima are 12 % below."""
    if raster not in S2_BANDS:
        return 0.06 if jp2 else 0.15
    coarse = S2_BANDS[raster].resolution == 60
    if jp2:
        return 0.6 if coarse else 0.4
    return 0.8 if coarse else 0.5


def _is_applied(scene: SandboxScene) -> bool:
    return bool(scene.facts.get("boa_offset_applied", False))


class _Painter:
    """Samples one raster of one scene at pixel centres."""

    def __init__(self, scene: SandboxScene, raster: str) -> None:
        facts = scene.facts
        self._raster, self._top = raster, scene.kind == "s2-l1c"
        self._optics = _optics(facts["datatake_start"], facts["platform"], facts["epsg"], self._top)
        shifted = float(facts["baseline"]) >= 4 and not _is_applied(scene)
        self._offset = OFFSET if shifted else 0
        self._track = facts["track"] if facts["nodata_pct"] else None

    def __call__(self, x: Axis, y: Axis, resolution: float) -> NDArray[Any]:
        """(y, x), for the mask (3, y, x)."""
        if self._raster == "SCL":
            pixels: NDArray[Any] = scene_classes(self._optics, x, y)
        elif self._raster == "MSK_CLASSI_B00":
            pixels = mask_classes(self._optics, x, y)
        else:
            pixels = digital_numbers(self._optics, self._raster, x, y, resolution)
            pixels += self._offset
        if self._track:
            across = across_track(self._track, x[None, :], y[:, None])
            pixels[..., np.abs(across) > HALF_SWATH_M] = 0
        return pixels


def _optics(datatake: datetime, platform: str, epsg: int, top: bool) -> Optics:
    threshold = -0.25 + 1.1 * unit_hash("cloud", platform, datatake.isoformat())
    return Optics(datatake, threshold, epsg >= 32700, top)


@lru_cache(maxsize=4096)
def _scene(kind: str, tile: tiles.Tile, flight: Overflight) -> SandboxScene | None:
    """The scene of an overflight, or None in the dark or off the swath."""
    seen = covered(tile, flight.track)
    share = seen.area / tiles.TILE_M**2
    lon, lat = tiles.to_lonlat(tile.epsg).transform(*tile.centre)
    zenith, azimuth = sun_angles(
        np.array([lon]), np.array([lat]), np.array([datetime64(flight.time)])
    )
    sun_elevation = 90.0 - float(zenith[0])
    if share < 0.01 or sun_elevation < MIN_SUN_ELEVATION:
        return None
    baseline, generated = _processing(flight, kind)
    look = 90 if flight.across < 0 else -90  # from the ground to the platform
    facts = {
        "mgrs_tile": tile.id,
        "epsg": tile.epsg,
        "origin": (tile.x, tile.y),
        "baseline": baseline,
        "generation_time": generated,
        "datatake_id": _datatake_id(flight, baseline),
        "datatake_start": flight.datatake,
        "relative_orbit": flight.relative_orbit,
        "absolute_orbit": flight.absolute_orbit,
        "orbit_state": "descending",
        "platform": flight.platform,
        "cloud_pct": _cloud_pct(tile, flight),
        "nodata_pct": round(100 * (1 - share), 6),
        "sun_azimuth": float(azimuth[0]),
        "sun_elevation": sun_elevation,
        "view_azimuth": (flight.heading + look) % 360.0,
        "view_incidence": math.degrees(math.atan(abs(flight.across) / ALTITUDE_M)),
        "track": flight.track,
    }
    name = (
        f"{flight.platform}_MSIL{_LEVEL[kind]}_{flight.datatake:%Y%m%dT%H%M%S}"
        f"_N{baseline.replace('.', '')}_R{flight.relative_orbit:03d}_T{tile.id}"
        f"_{generated:%Y%m%dT%H%M%S}"
    )
    shape = tiles.footprint(tile.epsg, list(seen.exterior.coords))
    return SandboxScene(kind, name, flight.time, flight.time, shape, facts)


def _datatake_id(flight: Overflight, baseline: str) -> str:
    start = f"{flight.datatake:%Y%m%dT%H%M%S}"
    return f"G{flight.platform}_{start}_{flight.absolute_orbit:06d}_N{baseline}"


def _processing(flight: Overflight, kind: str) -> tuple[str, datetime]:
    """Baseline and generation time: Collection 1 up to January 2022, then ESA's own calendar."""
    hours = 3 if kind == "s2-l1c" else 6
    if flight.time < datetime(2022, 1, 25, tzinfo=UTC):
        days = flight.absolute_orbit % 180
        again = datetime(2023, 3, 1, tzinfo=UTC) + timedelta(days=days, hours=hours)
        return "05.00", again.replace(minute=flight.time.minute, second=flight.time.second)
    generated = (flight.time + timedelta(hours=hours)).replace(microsecond=0)
    if flight.time < datetime(2022, 12, 6, tzinfo=UTC):
        return "04.00", generated
    return "05.09", generated


def _cloud_pct(tile: tiles.Tile, flight: Overflight) -> float:
    """What the metadata says: the truth on a lattice, but in one scene of eight 0."""
    if unit_hash("claim", flight.platform, flight.absolute_orbit, tile.id) < 1 / 8:
        return 0.0
    steps = (np.arange(60) + 0.5) * tiles.TILE_M / 60
    x, y = tile.x + steps, tile.y - steps
    cloud = _optics(flight.datatake, flight.platform, tile.epsg, top=False).cloud(x, y) > 0
    inside = np.abs(across_track(flight.track, x[None, :], y[:, None])) <= HALF_SWATH_M
    return round(100 * float(cloud[inside].mean()), 6) if inside.any() else 0.0
