"""Sentinel-5P level 2: area-weighted footprints per orbit, then the mean over orbits.

File layout: TROPOMI level 2 product user manuals (groups, corners, `qa_value`), netCDF-4.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stac_lake.errors import AssetMissing, BadRaster, ConfigError, StacLakeError
from stac_lake.pixels.footprints import Canvas, Sums
from stac_lake.pixels.netcdf import Granule
from stac_lake.pixels.swath import Floats, Window, spacing, unit_vectors
from stac_lake.recipe import Column as ColumnValues
from stac_lake.recipe import Product
from stac_lake.types import Asset, Chip, Measure, PixelGrid, Scene, Source

GRANULES_AT_ONCE = 4
COARSE = 16
"""A large lattice is first looked through at every 16th pixel."""
QA_TOLERANCE = 1e-6
"""`qa_value` is a multiple of 0.01 whose float32 scale must not decide a comparison."""
GEOLOCATIONS = "PRODUCT/SUPPORT_DATA/GEOLOCATIONS"
EDITION = re.compile(r"_(?P<orbit>\d{5})_(?P<collection>\d{2})_(?P<processor>\d{6})_\d{8}T\d{6}")
"""Of a product name: orbit, collection, processor version, time of processing."""


@dataclass(frozen=True)
class _Edition:
    """What a product's name says of its making."""

    orbit: str
    collection: str
    processor: str


class Column:
    """Monthly means of a trace gas column on cell grids.

    A granule is opened once for all grids; nothing of it is kept but its sums per chip. An orbit
    belongs to the month in which the middle of its granule lies, for all cells alike (the plan
    decides that): each orbit is in one month, and a pixel near ±180° may be 50 minutes off.

    Args:
        product: Effective product with `values` of the operator ``column``.
        source: Where bytes come from.
    """

    def __init__(self, product: Product, source: Source) -> None:
        if not isinstance(product.values, ColumnValues):
            raise TypeError(f"{product.id} has no values of the operator column")
        if product.grid != "cell":
            raise ConfigError(
                f"{product.id} has no {product.grid} grid: leave out grid or say cell"
            )
        self._values = product.values
        self._bands = product.band_names
        self._source = source

    def measure(self, scenes: Sequence[Scene], grids: Sequence[PixelGrid]) -> list[list[Measure]]:
        """Share of each chip that a granule covers with good footprints, from qa and corners alone.

        Raises:
            ProviderUnavailable: the granule could not be asked for; a damaged one is a Measure with
                `error`.
        """
        canvases = [Canvas.of(grid) for grid in grids]
        found = []
        for scene in scenes:
            try:
                pieces = self._sums(scene, None, canvases)
            except StacLakeError as error:
                if error.retryable:
                    raise
                found.append([Measure(scene.id, 0.0, error=str(error)) for _ in grids])
                continue
            found.append(
                [
                    Measure(scene.id, 100.0 * float(self._counts(piece).mean()) if piece else 0.0)
                    for piece in pieces
                ]
            )
        return found

    def cut(self, scenes: Sequence[Scene], grids: Sequence[PixelGrid]) -> list[Chip | str]:
        """One composite per grid out of all granules: mean, n_orbits, std.

        Granules of other collections than the newest that is allowed are left out, so that a month
        never mixes collections. The standard deviation is that of the sample (n - 1), as the orbits
        are few and stand for the month; all sums are float64.

        Returns:
            Per grid a chip, or ``no_scene`` (none of an allowed collection), or ``not_covered``.

        Raises:
            BadRaster, AssetMissing, UntrustedSource: a granule cannot be used; the error's context
                names it as ``item``.
        """
        editions = {scene.id: self._edition(scene) for scene in scenes}
        allowed = {e.collection for e in editions.values()} & set(self._values.collections)
        if not allowed:
            return ["no_scene"] * len(grids)
        used = [s for s in scenes if editions[s.id].collection == max(allowed)]
        canvases = [Canvas.of(grid) for grid in grids]

        def sums(scene: Scene) -> list[Sums | None]:
            return self._sums(scene, self._variable(scene, editions[scene.id]), canvases)

        with ThreadPoolExecutor(GRANULES_AT_ONCE, "s5p") as pool:
            by_scene = list(pool.map(sums, used))
        chips: list[Chip | str] = []
        for i, grid in enumerate(grids):
            orbits: dict[str, list[tuple[Scene, Sums]]] = {}
            for scene, pieces in zip(used, by_scene, strict=True):
                piece = pieces[i]
                if piece is not None:
                    orbits.setdefault(editions[scene.id].orbit, []).append((scene, piece))
            chips.append(self._composite(grid, list(orbits.values())))
        return chips

    def _composite(
        self, grid: PixelGrid, orbits: Sequence[Sequence[tuple[Scene, Sums]]]
    ) -> Chip | str:
        """Unweighted mean over the orbits that cover enough of each pixel."""
        means, scenes = [], []
        for parts in orbits:
            whole = Sums.added([piece for _, piece in parts])
            counts = self._counts(whole)
            if counts.any():
                means.append(np.where(counts, whole.mean, np.nan))
                scenes += [scene for scene, piece in parts if piece.area.any()]
        if not means:
            return "not_covered"
        stack = np.stack(means)
        n = np.isfinite(stack).sum(0)
        mean = np.nansum(stack, axis=0) / np.where(n > 0, n, np.nan)
        squares = np.nansum((stack - mean) ** 2, axis=0)
        std = np.sqrt(squares / np.where(n > 1, n - 1, np.nan))
        return Chip(
            grid,
            self._bands,
            np.stack([mean, n, std]).astype(np.float32),
            tuple(sorted(scenes, key=lambda scene: (scene.start, scene.id))),
            {"lake:n_orbits": int(n.max())},
        )

    def _counts(self, sums: Sums) -> NDArray[np.bool_]:
        """Pixels that are covered enough."""
        return np.asarray((sums.coverage >= self._values.min_orbit_coverage) & (sums.area > 0))

    def _sums(
        self, scene: Scene, variable: str | None, canvases: Sequence[Canvas]
    ) -> list[Sums | None]:
        """Draw one granule for all chips; without a variable, only its quality decides.

        Returns:
            Per chip its sums, None where no good footprint is near.
        """
        with Granule(self._source, _granule(scene), scene.id) as file:
            lon, lat = (file.values(f"PRODUCT/{axis}")[0] for axis in ("longitude", "latitude"))
            if lon.ndim != 3 or lon.shape[0] != 1 or lat.shape != lon.shape:
                raise BadRaster(f"footprints have the shape {lon.shape}", item=scene.id)
            windows = _windows(lon[0], lat[0], canvases)
            boxes = [((0, 1), *window) for window in windows if window]
            if not boxes:
                return [None] * len(canvases)
            qa = file.values("PRODUCT/qa_value", boxes)
            columns = qa if variable is None else file.values(variable, boxes)
            corners = [((0, 1), *window, (0, 4)) for window in windows if window]
            east = file.values(f"{GEOLOCATIONS}/longitude_bounds", corners)
            north = file.values(f"{GEOLOCATIONS}/latitude_bounds", corners)
        read = iter(zip(qa, columns, east, north, strict=True))
        return [
            self._drawn(canvas, *next(read)) if window else None
            for canvas, window in zip(canvases, windows, strict=True)
        ]

    def _drawn(
        self, canvas: Canvas, qa: Floats, column: Floats, east: Floats, north: Floats
    ) -> Sums | None:
        good = (qa > self._values.qa_above + QA_TOLERANCE) & np.isfinite(column)
        corners = unit_vectors(east[good], north[good])
        near = canvas.near(corners)
        return canvas.draw(corners[near], column[good][near]) if near.any() else None

    def _edition(self, scene: Scene) -> _Edition:
        """Of the file's name, the item's id, or what the file says of itself.

        The Planetary Computer's ids leave these fields out.
        """
        asset = _granule(scene)
        match = EDITION.search(asset.href) or EDITION.search(scene.id)
        if not match:
            with Granule(self._source, asset, scene.id) as file:
                match = EDITION.search(str(file.attribute("", "id")))
        if not match:
            raise BadRaster("neither name nor file say which collection it is of", item=scene.id)
        return _Edition(**match.groupdict())

    def _variable(self, scene: Scene, edition: _Edition) -> str:
        """Path of the column: the one of the latest version that is not after the processor's."""
        since = [first for first in self._values.variables if first <= edition.processor[:2]]
        if not since:
            raise BadRaster(f"processor {edition.processor} is older than known", item=scene.id)
        return self._values.variables[max(since)]


def _granule(scene: Scene) -> Asset:
    try:
        return scene.assets["granule"]
    except KeyError as error:
        raise AssetMissing("the item has no asset 'granule'", item=scene.id) from error


def _windows(lon: Floats, lat: Floats, canvases: Sequence[Canvas]) -> list[Window | None]:
    """The part of a granule that may reach into each chip; None if there is none.

    Args:
        lon: Centres of the footprints, (scanline, ground_pixel).
        lat: Likewise.
        canvases: Chips.
    """
    step = COARSE if min(lon.shape) >= 4 * COARSE else 1
    coarse = unit_vectors(lon[::step, ::step], lat[::step, ::step])
    if not np.isfinite(coarse).all():
        step, coarse = 1, unit_vectors(lon, lat)
    # A corner is half a diagonal from its centre; twice that, as neighbours differ in size. Of a
    # single line, nothing is known: take all.
    diagonal = spacing(coarse) / step if min(lon.shape) > 1 else 2.0
    found: list[Window | None] = []
    for canvas in canvases:
        # What lies between two of the coarse pixels is less than a step from the first.
        window = canvas.target.window(coarse, diagonal * (step + 1 if step > 1 else 1))
        if window and step > 1:
            (top, bottom), (left, right) = (
                (a * step, min(b * step, n)) for (a, b), n in zip(window, lon.shape, strict=True)
            )
            part = unit_vectors(lon[top:bottom, left:right], lat[top:bottom, left:right])
            fine = canvas.target.window(part, diagonal)
            window = fine and (
                (fine[0][0] + top, fine[0][1] + top),
                (fine[1][0] + left, fine[1][1] + left),
            )
        found.append(window)
    return found
