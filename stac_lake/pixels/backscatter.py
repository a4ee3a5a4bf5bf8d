"""Sentinel-1 RTC: terrain-flattened γ0, linear power to decibel, on the patch's 10 m lattice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stac_lake.errors import AssetMissing, BadRaster, PixelError, UpstreamError
from stac_lake.pixels.files import Files, in_parallel
from stac_lake.pixels.operators import cut_first_seen
from stac_lake.pixels.sampling import read_on_grids
from stac_lake.recipe import Backscatter as BackscatterValues
from stac_lake.recipe import Product
from stac_lake.types import Chip, Measure, PixelGrid, Qa, Scene, Source

FLOOR_DB = -50.0
"""Power at or below 0, which denoising leaves, and anything under this floor."""
_MEASURED_PIXEL_M = 80
"""Edges of a slice are straight lines: an overview of this pixel size shows them well enough."""


class Backscatter:
    """The operator of Sentinel-1 RTC; see `Operator`."""

    def __init__(self, product: Product, source: Source) -> None:
        assert isinstance(product.values, BackscatterValues)
        self._product = product
        self._values = product.values
        self._nodata = product.values.source_nodata
        self._files = Files(source)
        self._names = [band.name for band in product.bands if band.name != "qa"]

    def measure(self, scenes: Sequence[Scene], grids: Sequence[PixelGrid]) -> list[list[Measure]]:
        """Observed share from an overview of the first polarisation: there is no mask file."""
        return in_parallel(lambda scene: self._measured(scene, grids), scenes)

    def cut(self, scenes: Sequence[Scene], grids: Sequence[PixelGrid]) -> list[Chip | str]:
        """Per grid the first scene that has seen any of it; those on its lattice go before."""
        return cut_first_seen(
            scenes,
            grids,
            lambda scene: self._files.raster(scene, self._flown(scene)[0]),
            self._cut_scene,
        )

    def _flown(self, scene: Scene) -> list[str]:
        flown = [name for name in self._names if name in scene.assets]
        if not flown:
            raise AssetMissing(f"the scene has none of {', '.join(self._names)}", item=scene.id)
        return flown

    def _measured(self, scene: Scene, grids: Sequence[PixelGrid]) -> list[Measure]:
        try:
            raster = self._files.raster(scene, self._flown(scene)[0])
            fine = [
                n
                for n, level in enumerate(raster.levels)
                if level.transform[0] <= _MEASURED_PIXEL_M
            ]
            blocks = read_on_grids(raster, grids, "nearest", self._nodata, max(fine, default=0))
        except (PixelError, UpstreamError) as error:
            why = f"{type(error).__name__}: {error}"
            return [Measure(scene.id, 0.0, error=why) for _ in grids]
        return [
            Measure(scene.id, 100.0 * float(self._seen(block[0], raster.nodata).mean()))
            for block in blocks
        ]

    def _seen(self, power: NDArray[Any], nodata: float | None) -> NDArray[np.bool_]:
        seen: NDArray[np.bool_] = np.isfinite(power) & (power != self._nodata)
        return seen if nodata is None else np.asarray(seen & (power != nodata))

    def _cut_scene(self, scene: Scene, grids: list[PixelGrid], native: bool) -> list[Chip]:
        flown = self._flown(scene)

        def read(name: str) -> list[NDArray[np.float32]]:
            raster = self._files.raster(scene, name)
            if raster.dtype.kind != "f":
                raise BadRaster(f"{name} is {raster.dtype}, not float", asset=raster.asset.href)
            blocks = read_on_grids(raster, grids, self._values.resampling, self._nodata)
            return [
                np.where(self._seen(block[0], raster.nodata), block[0], np.nan).astype(np.float32)
                for block in blocks
            ]

        powers = dict(zip(flown, in_parallel(read, flown), strict=True))
        properties = {} if native else {"lake:resampled": True}
        chips = []
        for number, grid in enumerate(grids):
            missing = np.full(grid.shape, np.nan, np.float32)
            power = np.stack([powers[n][number] if n in powers else missing for n in self._names])
            seen = np.logical_and.reduce([np.isfinite(powers[n][number]) for n in flown])
            db, floored = decibel(power)
            qa = np.where(seen, np.float32(Qa.OBSERVED), np.float32(0))
            qa[seen & floored.any(axis=0)] += np.float32(Qa.FLOORED)
            data = np.concatenate([db, qa[None]])
            chips.append(Chip(grid, self._product.band_names, data, (scene,), dict(properties)))
        return chips


def decibel(power: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """10·log10 of linear power, floored at -50 dB; NaN stays NaN.

    Returns:
        Decibel, and where it was floored.
    """
    least = np.float32(10 ** (FLOOR_DB / 10))
    floored = power < least  # NaN compares False
    with np.errstate(invalid="ignore"):
        db = 10 * np.log10(np.where(floored, np.float32(1), power))
    return np.where(floored, np.float32(FLOOR_DB), db).astype(np.float32), floored
