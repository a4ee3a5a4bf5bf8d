"""Sentinel-2: digital numbers on the patch's 10 m lattice, and qa from the scene's own mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stac_lake.errors import BadRaster, PixelError, UpstreamError
from stac_lake.pixels.files import Files, in_parallel
from stac_lake.pixels.operators import cut_first_seen
from stac_lake.pixels.raster import Window
from stac_lake.pixels.sampling import read_on_grids
from stac_lake.recipe import Optical as OpticalValues
from stac_lake.recipe import Product
from stac_lake.types import Chip, Measure, PixelGrid, Qa, Scene, Source

OFFSET = 1000
"""DN added by ESA since processing baseline 04.00 (RADIO_ADD_OFFSET = BOA_ADD_OFFSET = -1000)."""
SATURATED_DN = 65535
"""Special value SATURATED of the product metadata."""
REFLECTANCE_PER_DN = 1e-4

SCL_FLAGS: Mapping[int, Qa] = {
    1: Qa.SATURATED,  # saturated or defective
    3: Qa.SHADOW,
    6: Qa.WATER,
    8: Qa.CLOUD,  # medium probability
    9: Qa.CLOUD,  # high probability
    10: Qa.CIRRUS,
    11: Qa.SNOW,
}
"""Classes of the L2A scene classification (Sentinel-2 L2A ATBD 2.10, table 3) with a flag."""
MSK_CLASSI_FLAGS = (Qa.CLOUD, Qa.CIRRUS, Qa.SNOW)
"""Bands of MSK_CLASSI_B00: opaque clouds, cirrus, snow and ice (product specification 14.9)."""
CLOUDY = Qa.CLOUD | Qa.CIRRUS

_DARK = (2, 3, 6)
"""SCL: dark area, cloud shadow, water: dark in the short-wave infrared."""
_VEGETATION = 4
_SHIFTED_DN = 900
"""Where the offset is still in, dark surfaces stay above it: 1000 less noise and overcorrection."""
_WITNESSES = 50
"""Dark pixels from which on their first percentile is trusted."""
_PROBE_PIXELS = 2048**2


@dataclass(frozen=True)
class _Offset:
    """What is subtracted from a scene's DN, and who said so: baseline, collection or pixels."""

    dn: int
    source: str


class Optical:
    """The operator of Sentinel-2 L1C and L2A; see `Operator`."""

    def __init__(self, product: Product, source: Source) -> None:
        assert isinstance(product.values, OpticalValues)
        self._product = product
        self._values = product.values
        self._files = Files(source)
        self._bands = [band for band in product.bands if band.name != "qa"]
        self._finest = min(self._bands, key=lambda band: band.gsd_m or 0).name
        self._coarsest = max(self._bands, key=lambda band: band.gsd_m or 0).name
        self._offsets: dict[str, _Offset] = {}

    def measure(self, scenes: Sequence[Scene], grids: Sequence[PixelGrid]) -> list[list[Measure]]:
        """Observed and cloud shares from SCL, or MSK_CLASSI and, as that has no nodata, a band."""
        return in_parallel(lambda scene: self._measured(scene, grids), scenes)

    def cut(self, scenes: Sequence[Scene], grids: Sequence[PixelGrid]) -> list[Chip | str]:
        """Per grid the first scene that has seen any of it; those on its lattice go before."""
        return cut_first_seen(
            scenes,
            grids,
            lambda scene: self._files.raster(scene, self._finest),
            self._cut_scene,
        )

    def _measured(self, scene: Scene, grids: Sequence[PixelGrid]) -> list[Measure]:
        try:
            masks, source = self._masks(scene, grids)
            if source == "scl":
                observed = [mask[0] != 0 for mask in masks]
            else:
                raster = self._files.raster(scene, self._coarsest)
                blocks = read_on_grids(raster, grids, "nearest", 0)
                observed = [block[0] != 0 for block in blocks]
        except (PixelError, UpstreamError) as error:
            why = f"{type(error).__name__}: {error}"
            return [Measure(scene.id, 0.0, error=why) for _ in grids]
        line = []
        for mask, seen in zip(masks, observed, strict=True):
            cloudy = (_flags(mask, source) & CLOUDY != 0) & seen
            cloud = 100.0 * float(cloudy.sum()) / float(seen.sum()) if seen.any() else None
            share = 100.0 * float(seen.mean())
            line.append(Measure(scene.id, share, cloud_pct=cloud if source else None))
        return line

    def _masks(
        self, scene: Scene, grids: Sequence[PixelGrid]
    ) -> tuple[list[NDArray[np.uint8]], str]:
        """The scene's mask on each grid and its `lake:cloud_source`, "" where there is none."""
        if self._values.mask == "scl":
            key, source = "scl", "scl"
        elif "mask" in scene.assets:
            key, source = "mask", "msk_classi"
        elif "scl" in scene.assets:  # of the L2A of the same datatake and tile
            key, source = "scl", "l2a_scl"
        else:
            return [np.zeros((1, *grid.shape), np.uint8) for grid in grids], ""
        raster = self._files.raster(scene, key)
        masks = read_on_grids(raster, grids, "nearest", 0)
        if source == "msk_classi" and any(mask.shape[0] != 3 for mask in masks):
            raise BadRaster("MSK_CLASSI has not three bands", asset=raster.asset.href)
        return masks, source

    def _cut_scene(self, scene: Scene, grids: list[PixelGrid], native: bool) -> list[Chip]:
        offset = self._offset(scene)

        def read(band: str) -> list[NDArray[np.uint16]]:
            raster = self._files.raster(scene, band)
            if raster.dtype != np.uint16:
                raise BadRaster(f"{band} is {raster.dtype}, not uint16", asset=raster.asset.href)
            return [b[0] for b in read_on_grids(raster, grids, self._values.resampling, 0)]

        names = [band.name for band in self._bands]
        masks, source = self._masks(scene, grids)
        bands = in_parallel(read, names)
        properties = {
            "lake:dn_offset": offset.dn if self._values.harmonize else 0,
            "lake:offset_source": offset.source,
            **({"lake:cloud_source": source} if source else {}),
            **({} if native else {"lake:resampled": True}),
        }
        kept = 0 if self._values.harmonize else offset.dn
        extra = {"raster:offset": -kept * REFLECTANCE_PER_DN}
        return [
            Chip(
                grid,
                self._product.band_names,
                self._stored(np.stack([band[i] for band in bands]), masks[i], source, offset.dn),
                (scene,),
                dict(properties),
                {name: dict(extra) for name in names} if kept else {},
            )
            for i, grid in enumerate(grids)
        ]

    def _stored(
        self, dn: NDArray[np.uint16], mask: NDArray[np.uint8], source: str, offset: int
    ) -> NDArray[np.uint16]:
        """Source DN (band, y, x) and mask to stored values with qa as the last band.

        L2A has seen a pixel where its classification says so and any band is not 0: providers that
        removed the offset have clipped dark water to 0. L1C, which has no such class, must have
        all bands.
        """
        if self._values.mask == "scl":
            observed = (mask[0] != 0) & (dn != 0).any(axis=0)
        else:
            observed = (dn != 0).all(axis=0)
        qa = _flags(mask, source)
        qa[(dn == SATURATED_DN).any(axis=0)] |= np.uint16(Qa.SATURATED)
        if self._values.harmonize and offset:
            qa[((dn != 0) & (dn <= offset)).any(axis=0)] |= np.uint16(Qa.FLOORED)
            dn = harmonized(dn, offset)
        qa |= np.uint16(Qa.OBSERVED)
        return np.concatenate([dn, np.where(observed, qa, np.uint16(0))[None]])

    def _offset(self, scene: Scene) -> _Offset:
        if scene.id not in self._offsets:
            removed = any(
                source.offset_in_pixels == "removed"
                for source in self._product.sources
                if (source.provider, source.collection) == (scene.provider, scene.collection)
            )
            if not removed:
                found = _Offset(scene.dn_offset or 0, "baseline")
            elif self._still_shifted(scene):
                found = _Offset(OFFSET, "pixels")
            else:
                found = _Offset(0, "collection")
            self._offsets[scene.id] = found
        return self._offsets[scene.id]

    def _still_shifted(self, scene: Scene) -> bool:
        """Whether dark surfaces of a scene are too bright for pixels without the offset.

        Water and shadow reflect less than a few per cent in band 12, vegetation in band 4; with the
        offset in, both stay above 900. Decided on the whole scene, at its coarsest overview, so
        that all its chips are treated alike; a scene without dark pixels is believed.
        """
        values = []
        classes, *bands = in_parallel(lambda key: self._overview(scene, key), ["scl", "B12", "B04"])
        if classes is None or any(band is None for band in bands):
            return False
        for band, wanted in zip(bands, (_DARK, (_VEGETATION,)), strict=True):
            assert band is not None
            rows = np.arange(classes.shape[0]) * band.shape[0] // classes.shape[0]
            columns = np.arange(classes.shape[1]) * band.shape[1] // classes.shape[1]
            aligned = band[rows[:, None], columns]
            values.append(aligned[np.isin(classes, wanted) & (aligned != 0)])
        dark = np.concatenate(values)
        return dark.size >= _WITNESSES and bool(np.percentile(dark, 1) >= _SHIFTED_DN)

    def _overview(self, scene: Scene, key: str) -> NDArray[np.uint16] | None:
        """The whole extent at the coarsest level; None where that is too large to read for this."""
        raster = self._files.raster(scene, key)
        level = len(raster.levels) - 1
        rows, columns = raster.levels[level].shape
        if rows * columns > _PROBE_PIXELS:
            return None
        whole: NDArray[np.uint16] = raster.read([Window(0, 0, rows, columns)], 0, level)[0][0]
        return whole


def harmonized(dn: NDArray[np.uint16], offset: int) -> NDArray[np.uint16]:
    """0 where the source is 0, else max(DN - offset, 1)."""
    shifted = np.maximum(dn, np.uint16(offset + 1)) - np.uint16(offset)
    return np.where(dn == 0, np.uint16(0), shifted)


def _flags(mask: NDArray[np.uint8], source: str) -> NDArray[np.uint16]:
    """Mask (band, y, x) to flags (y, x), without OBSERVED."""
    if source == "msk_classi":
        flags = np.zeros(mask.shape[1:], np.uint16)
        for band, flag in zip(mask, MSK_CLASSI_FLAGS, strict=True):
            flags[band != 0] |= np.uint16(flag)
        return flags
    table = np.zeros(256, np.uint16)
    for code, flag in SCL_FLAGS.items():
        table[code] = flag
    return np.asarray(table[mask[0]])
