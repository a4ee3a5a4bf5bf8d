"""The plain, frozen data that flows from the plan to the lake.

    Slot ─► PlanRow (candidates: Scene) ─► Measure ─► Chip ─► Outcome

Nothing here opens a file or a socket. `Chip` is the only one that holds pixels, and it dies in the
worker that made it.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol

from stac_lake.errors import GridError
from stac_lake.grid import PATCH_GSD_M, PATCH_PIXELS, Cell, Patch, from_lonlat, zone_epsg

if TYPE_CHECKING:
    from numpy.typing import NDArray

Affine6 = tuple[float, float, float, float, float, float]
"""(a, b, c, d, e, f): x = a·column + b·row + c, y = d·column + e·row + f."""

MILLISECOND = timedelta(milliseconds=1)


def iso(moment: datetime) -> str:
    """UTC, millisecond, `Z`: the one spelling of time in every document."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


@dataclass(frozen=True, order=True, slots=True)
class Window:
    """A half-open span [start, end) of UTC time."""

    start: datetime
    end: datetime

    @property
    def last(self) -> datetime:
        """The last millisecond inside: the closed end that upstream is asked for."""
        return self.end - MILLISECOND

    @property
    def middle(self) -> datetime:
        return self.start + (self.end - self.start) / 2

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end


@dataclass(frozen=True, slots=True)
class PixelGrid:
    """Where the pixels of a chip lie: north-up, pixel-is-area.

    Attributes:
        epsg: CRS.
        transform: Pixel corner (column, row) to CRS coordinates.
        shape: (rows, columns).
    """

    epsg: int
    transform: Affine6
    shape: tuple[int, int]

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top in CRS units; unclipped and unwrapped in EPSG:4326."""
        a, _, c, _, e, f = self.transform
        rows, columns = self.shape
        return (c, f + e * rows, c + a * columns, f)


def patch_grid(
    patch: Patch,
    pixels: int = PATCH_PIXELS,
    gsd_m: float = PATCH_GSD_M,
    origin_m: tuple[float, float] = (0, 0),
) -> PixelGrid:
    """A patch in the pixels of a sensor.

    Args:
        patch: The patch.
        pixels: Rows and columns.
        gsd_m: Size of a pixel in metres.
        origin_m: What the corners of the sensor's pixels are modulo `gsd_m`, in x and in northern
            y. The grid begins at the pixel that holds the patch's own corner.
    """
    # A false northing of 10 000 km is no multiple of 30 m.
    southern = 1e7 if 32700 < patch.epsg <= 32760 else 0.0
    x = patch.x - (patch.x - origin_m[0]) % gsd_m
    y = patch.y + (origin_m[1] + southern - patch.y) % gsd_m
    return PixelGrid(patch.epsg, (gsd_m, 0.0, x, 0.0, -gsd_m, y), (pixels, pixels))


def metric_grid(cell: Cell, pixels: int, gsd_m: float) -> PixelGrid:
    """Square pixels around the cell's centre, in its UTM zone or polar projection.

    Args:
        cell: The cell.
        pixels: Rows and columns.
        gsd_m: Size of a pixel in metres, of which the corners are multiples.
    """
    epsg = zone_epsg(cell.lon, cell.lat)
    x, y = from_lonlat(epsg).transform(cell.lon, cell.lat)
    half = pixels * gsd_m / 2
    left, top = (round(edge / gsd_m) * gsd_m for edge in (x - half, y + half))
    return PixelGrid(epsg, (gsd_m, 0.0, left, 0.0, -gsd_m, top), (pixels, pixels))


def cell_grid(cell: Cell, pixels: int) -> PixelGrid:
    """The unclipped 0.25° cell in EPSG:4326 as `pixels` × `pixels`, the same at every latitude."""
    west, _, _, north = cell.bounds
    step = 0.25 / pixels
    return PixelGrid(4326, (step, 0.0, west, 0.0, -step, north), (pixels, pixels))


@dataclass(frozen=True, order=True, slots=True)
class Slot:
    """What is planned, tried, stored and named: a product of a cell (or patch) at a named time."""

    product: str
    cell: Cell
    patch: Patch | None
    name: str

    @property
    def id(self) -> str:
        """The Item id: ``{product}_{cell:07d}[_{patch}]_{name}``."""
        middle = f"_{self.patch.id}" if self.patch else ""
        return f"{self.product}_{self.cell.id:07d}{middle}_{self.name}"

    @classmethod
    def from_id(cls, text: str) -> Slot:
        """The slot of an Item id.

        Raises:
            GridError: `text` is not an Item id of a lake.
        """
        match = re.fullmatch(
            r"([a-z0-9-]+)_(\d{7})(?:_(\d{4,5}-m?\d+-m?\d+))?_([A-Za-z0-9-]+)", text
        )
        if not match:
            raise GridError(f"{text!r} is not an item id of a lake")
        product, cell, patch, name = match.groups()
        return cls(product, Cell(int(cell)), Patch.from_id(patch) if patch else None, name)


@dataclass(frozen=True, slots=True)
class Asset:
    """One upstream file, unsigned.

    Attributes:
        key: The product's own name for it: a band (``B04``), or a role (``scl``, ``mask``,
            ``metadata``, ``geolocation`` …).
        href: As the provider publishes it; never with a signature or token.
        provider: Whose rules sign and allow it.
        epsg: CRS of the pixels, None where the metadata do not say or must not be believed.
        transform: Pixel to CRS, None likewise.
        shape: (rows, columns), None likewise.
    """

    key: str
    href: str
    provider: str
    epsg: int | None = None
    transform: Affine6 | None = None
    shape: tuple[int, int] | None = None


@dataclass(frozen=True)
class Scene:
    """An upstream STAC Item reduced to what the pixels and the provenance need.

    Attributes:
        id: Upstream item id.
        product: Product of `catalogs/products` that it serves.
        provider: Provider of `catalogs/providers` that listed it.
        collection: Upstream collection.
        start: First moment of the acquisition, UTC; equal to `end` for an instant.
        end: Last moment, UTC.
        footprint: GeoJSON geometry in degrees.
        assets: By `Asset.key`.
        acquisition: The same for all copies and reprocessings of one acquisition.
        version: Sorts reprocessings of one acquisition: the greatest is the newest.
        href: Where the upstream item itself can be read, unsigned.
        dn_offset: Sentinel-2 only: what still has to be subtracted from DN (0 or 1000); None where
            it does not apply.
        properties: Upstream properties that the lake's item carries over, under STAC names
            (``platform``, ``sat:relative_orbit``, ``view:sun_elevation`` …), and the scene's own
            cloud share as ``eo:cloud_cover``.
    """

    id: str
    product: str
    provider: str
    collection: str
    start: datetime
    end: datetime
    footprint: dict[str, Any] = field(hash=False, repr=False)
    assets: dict[str, Asset] = field(hash=False, repr=False)
    acquisition: str
    version: str
    href: str
    dn_offset: int | None = None
    properties: dict[str, Any] = field(default_factory=dict, hash=False, repr=False)

    @property
    def middle(self) -> datetime:
        return self.start + (self.end - self.start) / 2


Reason = str
"""no_scene, not_covered, all_cloud, polar_night or credentials_missing(NAME)."""


@dataclass(frozen=True)
class PlanRow:
    """A slot with its ordered candidates, or the reason why there are none.

    Attributes:
        slot: What is asked for.
        windows: When it may have been acquired.
        digest: Hash of all that determines the pixels (`recipe.digest`).
        candidates: Best first; at most eight, but every granule of a composite.
        terrain: Tiles of the elevation model around it, where the pixels' geometry needs them.
        reason: Why there is nothing to try, else None.
        superseded: Reprocessings that a newer one of the same acquisition replaces: id → which.
        providers_failed: Providers that were asked in vain, with the cause: ``{"cdse": "503"}``.
    """

    slot: Slot
    windows: tuple[Window, ...]
    digest: str
    candidates: tuple[Scene, ...] = ()
    terrain: tuple[Scene, ...] = field(default=(), hash=False)
    reason: Reason | None = None
    superseded: dict[str, str] = field(default_factory=dict, hash=False)
    providers_failed: dict[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Measure:
    """What the mask of one scene says about one chip, before any band is read.

    Attributes:
        scene: Scene id.
        observed_pct: Share of the chip's pixels that the scene has really seen.
        cloud_pct: Cloud and cirrus among the observed, None where the sensor cannot say.
        bright_pct: Bright pixels (cloud, snow, glint) among the observed, OLCI only.
        sun_zenith_deg: At the chip's centre, where the product carries it.
        error: Why the mask could not be read, else None.
    """

    scene: str
    observed_pct: float
    cloud_pct: float | None = None
    bright_pct: float | None = None
    sun_zenith_deg: float | None = None
    error: str | None = None


@dataclass(eq=False)
class Chip:
    """Pixels of one slot.

    Attributes:
        grid: Where they lie.
        bands: Names in file order, `qa` (or n_orbits, std) last.
        data: (band, y, x), in the product's dtype, qa included. Which pixels are valid follows from
            it by `quality.valid`.
        scenes: What it was made of.
        properties: Item properties that only the pixels' maker knows (``lake:dn_offset``,
            ``lake:cloud_source``, ``view:sun_elevation`` …).
        band_metadata: Extra keys per band for the Item (``solar_flux`` of OLCI …).
    """

    grid: PixelGrid
    bands: tuple[str, ...]
    data: NDArray[Any]
    scenes: tuple[Scene, ...]
    properties: dict[str, Any] = field(default_factory=dict)
    band_metadata: dict[str, dict[str, Any]] = field(default_factory=dict)


class Qa(enum.IntFlag):
    """Bits of the `qa` band; bits 0–15 are exact in float32. Zero is nodata: nothing observed."""

    OBSERVED = 1 << 0
    CLOUD = 1 << 1
    CIRRUS = 1 << 2
    SHADOW = 1 << 3
    SNOW = 1 << 4
    WATER = 1 << 5
    SATURATED = 1 << 6
    FLOORED = 1 << 7
    SEA_FILLED = 1 << 8
    BRIGHT = 1 << 9
    SUN_GLINT = 1 << 10
    INVALID = 1 << 11
    DUPLICATED = 1 << 12


State = Literal["stored", "skipped", "empty", "failed"]


@dataclass(frozen=True)
class Outcome:
    """How a slot ended in one run.

    Attributes:
        slot: Item id.
        state: stored, skipped (was there already), empty (looked for and not found) or failed.
        digest: As in the plan row.
        reason: For empty and failed: why.
        scene: For stored: the chosen scene, or the first of a composite.
        provider: Who served it.
        losers: Candidates that were not taken: id → why.
        version: For stored: which version of the item this is.
    """

    slot: str
    state: State
    digest: str
    reason: Reason | None = None
    scene: str | None = None
    provider: str | None = None
    losers: dict[str, str] = field(default_factory=dict, hash=False)
    version: int | None = None


class Source(Protocol):
    """Bytes of upstream assets: signed at read time, checked, retried, counted. Thread-safe."""

    def size(self, asset: Asset) -> int:
        """Size of the file in bytes."""

    def read(self, asset: Asset) -> bytes:
        """The whole file."""

    def read_ranges(self, asset: Asset, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Half-open byte ranges (start, stop), in the order asked; near ones share a request."""
