"""Sentinel-3 OLCI level 1B: from the swath to the cell's grid, by inverse geolocation.

File layout: Sentinel-3 OLCI Level-1 product format (ESA), `geo_coordinates.nc`, `qualityFlags.nc`,
`tie_geo_coordinates.nc`, `tie_geometries.nc`, `instrument_data.nc`, `OaNN_radiance.nc`.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stac_lake.errors import BadRaster, StacLakeError
from stac_lake.pixels.netcdf import Granule
from stac_lake.pixels.olci_flags import Booleans, bridged, is_usable, qa_bits
from stac_lake.pixels.olci_ties import TieAngles, named_asset, windows
from stac_lake.pixels.swath import Floats, Target, Window, locate, sample, unit_vectors
from stac_lake.recipe import Product, Resampling
from stac_lake.recipe import Radiance as RadianceValues
from stac_lake.types import Chip, Measure, PixelGrid, Qa, Scene, Source

MARGIN = 4
"""Pixels around the located ones that are read: for interpolation across copies and cubic."""
BANDS_AT_ONCE = 8


@dataclass(frozen=True, eq=False)
class _View:
    """How one frame sees one chip.

    Attributes:
        window: Rows and columns of the frame that are read.
        row: Position of each chip pixel in the window, (y, x); NaN where it is not seen.
        column: Likewise.
        copied: Pixels of the window that repeat a neighbour.
        usable: Pixels of the window that may be interpolated.
        qa: Bits of each chip pixel, (y, x).
        angles: SZA, SAA, OZA, OAA at the chip's centre, degrees; those that the product carries.
    """

    window: Window
    row: Floats
    column: Floats
    copied: Booleans
    usable: Booleans
    qa: NDArray[np.int32]
    angles: dict[str, float]

    @property
    def observed(self) -> Booleans:
        return np.asarray((self.qa & Qa.OBSERVED) != 0)

    def sampled(self, data: Floats, resampling: Resampling) -> Floats:
        """Values of the window at the chip's pixels, interpolated between usable pixels only.

        A chip pixel whose nearest source pixel is not usable shows that one's number as it is (NaN
        where it is fill), so that nothing is made up where `qa` says saturated or invalid.
        """
        clean = bridged(np.where(self.usable, data, np.nan), self.copied)
        values = sample(clean, self.row, self.column, resampling)
        nearest = sample(data, self.row, self.column, "nearest")
        return np.where(np.isnan(values), nearest, values)


class Radiance:
    """Cuts cell chips out of OLCI frames; a chip is whole or it is ``not_covered``.

    Each frame's geolocation and flags are read once per task, for all grids.

    Args:
        product: Effective product with `values` of the operator ``radiance``.
        source: Where bytes come from.
    """

    def __init__(self, product: Product, source: Source) -> None:
        if not isinstance(product.values, RadianceValues):
            raise TypeError(f"{product.id} has no values of the operator radiance")
        self._bands = tuple(name for name in product.band_names if name != "qa")
        self._resampling: Resampling = product.values.resampling
        self._source = source
        self._views: dict[tuple[str, PixelGrid], _View | None] = {}

    def measure(self, scenes: Sequence[Scene], grids: Sequence[PixelGrid]) -> list[list[Measure]]:
        """Shares of each frame over each chip, from flags and geometry alone.

        Raises:
            ProviderUnavailable: the frame could not be asked for; a damaged one is a Measure with
                `error`.
        """
        return [self._measured(scene, grids) for scene in scenes]

    def cut(self, scenes: Sequence[Scene], grids: Sequence[PixelGrid]) -> list[Chip | str]:
        """Each grid out of the first frame that covers all of it, else ``not_covered``.

        Raises:
            BadRaster, AssetMissing, UntrustedSource: a frame cannot be used; take the next.
        """
        chips: list[Chip | str] = ["not_covered"] * len(grids)
        for scene in scenes:
            open_slots = [i for i, chip in enumerate(chips) if isinstance(chip, str)]
            if not open_slots:
                break
            views = self._seen(scene, [grids[i] for i in open_slots])
            whole = [
                (i, view)
                for i, view in zip(open_slots, views, strict=True)
                if view is not None and view.observed.all()
            ]
            found = self._read(scene, [grids[i] for i, _ in whole], [view for _, view in whole])
            for (i, _), chip in zip(whole, found, strict=True):
                chips[i] = chip
        return chips

    def _measured(self, scene: Scene, grids: Sequence[PixelGrid]) -> list[Measure]:
        try:
            views = self._seen(scene, grids)
        except StacLakeError as error:
            if error.retryable:
                raise
            return [Measure(scene.id, 0.0, error=str(error)) for _ in grids]
        found = []
        for view in views:
            if view is None:
                found.append(Measure(scene.id, 0.0))
                continue
            seen = view.observed
            count = int(seen.sum())
            bright = int((seen & ((view.qa & Qa.BRIGHT) != 0)).sum())
            found.append(
                Measure(
                    scene.id,
                    observed_pct=100.0 * count / seen.size,
                    bright_pct=100.0 * bright / count if count else None,
                    sun_zenith_deg=view.angles.get("SZA"),
                )
            )
        return found

    def _seen(self, scene: Scene, grids: Sequence[PixelGrid]) -> list[_View | None]:
        new = [grid for grid in dict.fromkeys(grids) if (scene.id, grid) not in self._views]
        if new:
            for grid, view in zip(new, _views(self._source, scene, new), strict=True):
                self._views[scene.id, grid] = view
        return [self._views[scene.id, grid] for grid in grids]

    def _read(self, scene: Scene, grids: Sequence[PixelGrid], views: Sequence[_View]) -> list[Chip]:
        """All bands of all chips: each band's file is opened once."""
        if not views:
            return []

        def band(name: str) -> list[Floats]:
            with Granule(self._source, named_asset(scene, name), scene.id) as file:
                pieces = file.values(f"{name}_radiance", [view.window for view in views])
            return [v.sampled(d, self._resampling) for d, v in zip(pieces, views, strict=True)]

        with ThreadPoolExecutor(BANDS_AT_ONCE, "olci") as pool:
            by_band = list(pool.map(band, self._bands))
        fluxes = _solar_flux(self._source, scene, views)
        chips = []
        for i, (grid, view) in enumerate(zip(grids, views, strict=True)):
            data = np.stack([values[i] for values in by_band]).astype(np.float32)
            holes = np.isnan(data).any(0)
            qa = np.where(holes, view.qa | Qa.INVALID, view.qa).astype(np.float32)
            chips.append(
                Chip(
                    grid,
                    (*self._bands, "qa"),
                    np.concatenate([data, qa[None]]),
                    (scene,),
                    _properties(view.angles),
                    {name: fluxes[i][name] for name in self._bands if fluxes},
                )
            )
        return chips


def _views(source: Source, scene: Scene, grids: Sequence[PixelGrid]) -> list[_View | None]:
    """Locate all chips in one frame; None where it does not come near."""
    targets = [Target.of(grid) for grid in grids]
    with (
        Granule(source, named_asset(scene, "geolocation"), scene.id) as places,
        Granule(source, named_asset(scene, "flags"), scene.id) as flags,
    ):
        shape = places.shape("latitude")
        if len(shape) != 2 or flags.shape("quality_flags") != shape:
            raise BadRaster("geolocation and flags have different shapes", item=scene.id)
        near = windows(source, scene, places, targets)
        boxes = [window for window in near if window]
        lon = places.values("longitude", boxes)
        lat = places.values("latitude", boxes)
        words = flags.raw("quality_flags", boxes)
        names = flags.flags("quality_flags")
    ties = TieAngles.read(source, scene, (shape[0], shape[1])) if boxes else None
    read = iter(zip(lon, lat, words, strict=True))
    found: list[_View | None] = []
    for target, window in zip(targets, near, strict=True):
        if window is None:
            found.append(None)
            continue
        east, north, word = next(read)
        qa = qa_bits(word, names)
        found.append(_view(target, window, unit_vectors(east, north), qa, ties))
    return found


def _view(
    target: Target,
    window: Window,
    vectors: Floats,
    qa: NDArray[np.int32],
    ties: TieAngles | None,
) -> _View | None:
    """Locate one chip in a window of the frame; None if it does not see any of it."""
    copied = (qa & Qa.DUPLICATED) != 0
    vectors = np.stack([bridged(vectors[..., i], copied) for i in range(3)], axis=-1)
    row, column = locate(target, vectors)
    seen = np.isfinite(row)
    if not seen.any():
        return None
    r, c = (np.rint(np.where(seen, p, 0.0)).astype(np.intp) for p in (row, column))
    (first_row, _), (first_column, _) = window
    rows, columns = _around(row, qa.shape[0]), _around(column, qa.shape[1])
    angles = {}
    if ties is not None:
        angles = ties.at(_middle(row) + first_row, _middle(column) + first_column)
    inner = slice(*rows), slice(*columns)
    return _View(
        (
            (first_row + rows[0], first_row + rows[1]),
            (first_column + columns[0], first_column + columns[1]),
        ),
        row - rows[0],
        column - columns[0],
        copied[inner],
        is_usable(qa[inner]),
        np.where(seen, qa[r, c], 0).astype(np.int32),
        angles,
    )


def _around(positions: Floats, size: int) -> tuple[int, int]:
    low, high = np.nanmin(positions), np.nanmax(positions)
    return max(int(low) - MARGIN, 0), min(int(high) + MARGIN + 2, size)


def _middle(positions: Floats) -> float:
    """At the chip's centre: the mean of the pixels around it; NaN if one is not seen."""
    rows, columns = positions.shape
    return float(
        positions[(rows - 1) // 2 : rows // 2 + 1, (columns - 1) // 2 : columns // 2 + 1].mean()
    )


def _properties(angles: dict[str, float]) -> dict[str, float]:
    """STAC view extension, degrees; azimuths clockwise from north."""
    found = {}
    if "SZA" in angles:
        found["view:sun_elevation"] = round(90.0 - angles["SZA"], 4)
        found["view:sun_azimuth"] = round(angles["SAA"], 4)
    if "OZA" in angles:
        found["view:incidence_angle"] = round(angles["OZA"], 4)
        found["view:azimuth"] = round(angles["OAA"], 4)
    return found


def _solar_flux(
    source: Source, scene: Scene, views: Sequence[_View]
) -> list[dict[str, dict[str, float]]]:
    """In-band solar irradiance of each chip: mean over the detectors that saw it, and its spread.

    `solar_flux` of the product is "in-band solar irradiance, seasonally corrected" (ESA, long name
    of the variable): that of the day, in mW m⁻² nm⁻¹, to which no distance of the sun must be
    applied again. It differs between detectors as their wavelengths do; the spread (greatest less
    least, in percent of the mean) says what a chip's one number leaves out.

    Returns:
        Per chip, band → its metadata; empty if the item does not list the instrument file.
    """
    if "instrument" not in scene.assets:
        return []
    with Granule(source, scene.assets["instrument"], scene.id) as file:
        (flux,) = file.values("solar_flux")
        indexes = file.raw("detector_index", [view.window for view in views])
    found = []
    for view, index in zip(views, indexes, strict=True):
        r, c = (np.rint(p).astype(np.intp) for p in (view.row, view.column))
        detectors = index[r, c].astype(np.intp)
        detectors = detectors[(detectors >= 0) & (detectors < flux.shape[1])]
        # Where no pixel names its detector, all of them.
        seen = flux[:, detectors] if detectors.size else flux
        mean, spread = np.nanmean(seen, axis=1), np.nanmax(seen, axis=1) - np.nanmin(seen, axis=1)
        found.append(
            {
                f"Oa{i + 1:02d}": {
                    "solar_flux": round(float(m), 4),
                    "solar_flux_spread_pct": round(float(100 * s / m), 4),
                }
                for i, (m, s) in enumerate(zip(mean, spread, strict=True))
            }
        )
    return found
