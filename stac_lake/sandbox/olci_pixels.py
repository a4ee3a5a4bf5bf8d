"""What the pixels of an OLCI frame hold: packed radiances and quality flags, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from stac_lake.sandbox.orbits import ground_track
from stac_lake.sandbox.sphere import Floats, sun_angles, view_angles
from stac_lake.sandbox.swath_fields import (
    OLCI_BANDS,
    SATURATED_BANDS,
    Booleans,
    Ground,
    days,
    ground,
    is_bright,
    is_saturated,
    radiance,
    sea,
)
from stac_lake.sandbox.swaths import Swath

HEIGHT_KM = 814.5
GLINT_DEGREES = 25.0
_BLOCK_ROWS = 512  # rows made at a time, so that a full frame needs little memory
_THIN_COLUMNS = 1000
# Bits from the top; one saturation bit per band follows below 21.
FLAGS: Mapping[str, int] = {
    name: 31 - place
    for place, name in enumerate(
        (
            "land", "coastline", "fresh_inland_water", "tidal_region", "bright", "straylight_risk",
            "invalid", "cosmetic", "duplicated", "sun-glint_risk", "dubious",
            *(f"saturated@{band}" for band in OLCI_BANDS),
        )
    )
}  # fmt: skip


@dataclass(frozen=True)
class Frame:
    """One frame to be written.

    Attributes:
        name: ESA product name without `.SEN3`.
        orbit: Absolute orbit number.
        swath: The pixel lattice.
    """

    name: str
    orbit: int
    swath: Swath

    @property
    def tie_step(self) -> int:
        """Columns per tie point: 64 as in the product, 23 in a thin frame of 300 columns."""
        return 64 if self.swath.columns > 1000 else 23

    @property
    def tie_columns(self) -> Floats:
        """Column coordinates of the tie points: the centres of columns 0, step, 2 step, etc."""
        return np.arange(0.5, self.swath.columns, self.tie_step)

    @property
    def sun_distance_au(self) -> float:
        """Distance of the sun in the middle of the frame, astronomical units, right to 1e-4.

        Source: The Astronomical Almanac, low-precision formulas for the sun (section C).
        """
        middle = self.swath.start + (self.swath.stop - self.swath.start) / 2
        days = (middle - datetime(2000, 1, 1, 12, tzinfo=UTC)) / timedelta(days=1)
        anomaly = np.deg2rad(357.528 + 0.9856003 * days)
        return float(1.00014 - 0.01671 * np.cos(anomaly) - 0.00014 * np.cos(2 * anomaly))

    @property
    def missing_row(self) -> int:
        """The one line that was lost."""
        return crc32(self.name.encode()) % self.swath.rows


def source_columns(frame: Frame) -> NDArray[np.int64]:
    """The column whose measurement each column shows.

    In the outer 12 % of the image on both sides every even column repeats its right neighbour, as
    duplicated pixels of real frames do: the image grid is finer there than the instrument. Those
    pixels are flagged `duplicated`.
    """
    columns = np.arange(frame.swath.columns)
    outer = np.minimum(columns, columns[::-1]) < 0.12 * frame.swath.columns
    copied = outer & (columns % 2 == 0) & (columns < columns[-1])
    return np.where(copied, columns + 1, columns)


def invalid(frame: Frame, rows: NDArray[np.int64]) -> Booleans:
    """Pixels without a measurement, (rows, columns): the ragged edges and one lost line."""
    columns = np.arange(frame.swath.columns)
    margin = frame.swath.columns // 150 + rows // 16 % 3
    from_edge = np.minimum(columns, columns[::-1])
    gone: Booleans = (from_edge[None, :] < margin[:, None]) | (rows == frame.missing_row)[:, None]
    return gone


@dataclass(frozen=True)
class Block:
    """Some rows of a frame, (rows, columns), at the pixels' own centres; degrees and days.

    Attributes:
        rows: Row numbers.
        middles: Row coordinates of the rows' centres.
        lon: Degrees east.
        lat: Degrees north.
        day: Days since the fields' epoch, (rows, 1).
        ground: What the radiances depend on.
    """

    rows: NDArray[np.int64]
    middles: Floats
    lon: Floats
    lat: Floats
    day: Floats
    ground: Ground


def _block(frame: Frame, first: int) -> Block:
    swath = frame.swath
    rows = np.arange(first, min(first + _BLOCK_ROWS, swath.rows))
    middles: Floats = rows.astype(np.float64) + 0.5
    lon, lat = swath.at(middles, np.arange(0.5, swath.columns))
    times = swath.row_times(middles)[:, None]
    zenith, _ = sun_angles(lon, lat, times)
    day = days(times)
    return Block(rows, middles, lon, lat, day, ground(lon, lat, day, zenith))


# All files of a frame are made of the same blocks. Those of a thin frame have 10 MB, and many
# frames are asked for side by side; those of a full one have 200 MB.
_thin_block = lru_cache(maxsize=24)(_block)
_full_block = lru_cache(maxsize=2)(_block)


def blocks(frame: Frame) -> Iterator[Block]:
    """A frame from its first row to its last in blocks of rows."""
    block = _thin_block if frame.swath.columns <= _THIN_COLUMNS else _full_block
    for first in range(0, frame.swath.rows, _BLOCK_ROWS):
        yield block(frame, first)


def packed_radiance(frame: Frame, band: str, block: Block) -> NDArray[np.uint16]:
    """Stored numbers of a band: (radiance - offset) / scale, 65535 where there is none."""
    model = OLCI_BANDS[band]
    lit = radiance(band, block.ground) / frame.sun_distance_au**2
    values = (lit - model.offset) / np.float32(model.scale)
    packed = np.clip(np.rint(values), 0, 65534).astype(np.uint16)
    if band in SATURATED_BANDS:
        packed[is_saturated(block.lon, block.lat, block.day)] = 65534
    packed = packed[:, source_columns(frame)]
    packed[invalid(frame, block.rows)] = 65535
    return packed


def _glint(frame: Frame, block: Block) -> Booleans:
    """At sea, where the view is within 25 degrees of the sun's mirror image."""
    times = frame.swath.row_times(block.middles)
    track_lon, track_lat, _ = ground_track(frame.swath.platform, times)
    zenith, azimuth = view_angles(
        block.lon, block.lat, track_lon[:, None], track_lat[:, None], height_km=HEIGHT_KM
    )
    sun_zenith, sun_azimuth = sun_angles(block.lon, block.lat, times[:, None])
    view, sun = np.deg2rad(zenith), np.deg2rad(sun_zenith)
    turn = np.deg2rad(azimuth - sun_azimuth)
    cosine = np.cos(sun) * np.cos(view) - np.sin(sun) * np.sin(view) * np.cos(turn)
    near: Booleans = cosine > np.cos(np.deg2rad(GLINT_DEGREES))
    return sea(block.lon, block.lat) & near


def quality_flags(frame: Frame, block: Block) -> NDArray[np.uint32]:
    """The flag words; a pixel without a measurement has the invalid flag alone."""
    source = source_columns(frame)
    saturated = is_saturated(block.lon, block.lat, block.day)[:, source]
    masks: dict[str, Booleans] = {
        "land": ~sea(block.lon, block.lat),
        "bright": is_bright(block.lon, block.lat, block.day)[:, source],
        "sun-glint_risk": _glint(frame, block),
        "duplicated": np.broadcast_to(source != np.arange(source.size), saturated.shape),
    } | {f"saturated@{band}": saturated for band in SATURATED_BANDS}
    flags = np.zeros(saturated.shape, dtype=np.uint32)
    for name, mask in masks.items():
        flags |= mask.astype(np.uint32) << np.uint32(FLAGS[name])
    flags[invalid(frame, block.rows)] = np.uint32(1 << FLAGS["invalid"])
    return flags
