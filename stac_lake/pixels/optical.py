"""Optical imagery: a sensor's digital numbers on the patch's lattice, and qa from its masks.

Everything that is peculiar to a sensor stands in the product's YAML (`recipe.Optical`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stac_lake.errors import BadRaster, PixelError, UpstreamError
from stac_lake.pixels.files import Files, in_parallel
from stac_lake.pixels.operators import cut_first_seen
from stac_lake.pixels.raster import Window
from stac_lake.pixels.sampling import read_on_grids
from stac_lake.recipe import FlagFile, Mask, OffsetCheck, Product
from stac_lake.recipe import Optical as OpticalValues
from stac_lake.types import Chip, Measure, PixelGrid, Qa, Scene, Source

CLOUDY = Qa.CLOUD | Qa.CIRRUS
NODATA = 0
"""Digital number of a pixel without a measurement, at every provider of these products."""

_PROBE_PIXELS = 2048**2


@dataclass(frozen=True)
class _Offset:
    """What is subtracted from a scene's DN, and who said so: baseline, collection or pixels."""

    dn: int
    source: str


class Optical:
    """The operator of products whose values are `recipe.Optical`; see `Operator`."""

    def __init__(self, product: Product, source: Source) -> None:
        assert isinstance(product.values, OpticalValues)
        self._product = product
        self._values = product.values
        self._files = Files(source)
        self._bands = product.value_bands
        self._finest = min(self._bands, key=lambda band: band.gsd_m or 0).name
        self._coarsest = max(self._bands, key=lambda band: band.gsd_m or 0).name
        self._offsets: dict[str, _Offset] = {}

    def measure(self, scenes: Sequence[Scene], grids: Sequence[PixelGrid]) -> list[list[Measure]]:
        """Observed and cloud shares from the mask.

        Where the mask does not say which pixels were seen (MSK_CLASSI), the band with the coarsest
        pixels does: the cheapest one to read.
        """
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
        mask = self._mask_of(scene)
        try:
            flags = [np.full(grid.shape, Qa.OBSERVED, np.uint16) for grid in grids]
            if mask:
                flags = self._flags(scene, mask, grids)
            if mask is None or "unobserved" not in mask.meanings:
                raster = self._files.raster(scene, self._coarsest)
                blocks = read_on_grids(raster, grids, "nearest", NODATA)
                for block, found in zip(blocks, flags, strict=True):
                    found[block[0] == NODATA] = 0
        except (PixelError, UpstreamError) as error:
            why = f"{type(error).__name__}: {error}"
            return [Measure(scene.id, 0.0, error=why) for _ in grids]
        tells = mask is not None and bool(mask.tells & CLOUDY)
        return [_measure(scene, found, tells) for found in flags]

    def _mask_of(self, scene: Scene) -> Mask | None:
        """The first mask that the scene has, or must have: that one is missed when it is read."""
        masks = self._values.masks
        return next((m for m in masks if m.is_listed or m.asset in scene.assets), None)

    def _flags(
        self, scene: Scene, file: FlagFile, grids: Sequence[PixelGrid]
    ) -> list[NDArray[np.uint16]]:
        """What a file says of each grid's pixels, as `flags_of`; flags are never interpolated."""
        raster = self._files.raster(scene, file.asset)
        blocks = read_on_grids(raster, grids, "nearest", _unobserved(file))
        planes = len(file.planes) or 1
        if raster.dtype.kind != "u" or raster.dtype.itemsize > 2:
            raise BadRaster(f"flags of type {raster.dtype}", asset=raster.asset.href)
        if any(len(block) != planes for block in blocks):
            what = f"{file.asset} has not {planes} band" + "s" * (planes > 1)
            raise BadRaster(what, asset=raster.asset.href)
        return [flags_of(file, block) for block in blocks]

    def _cut_scene(self, scene: Scene, grids: list[PixelGrid], native: bool) -> list[Chip]:
        mask = self._mask_of(scene)
        files = [*([mask] if mask else []), *self._values.more_flags]
        told = [self._flags(scene, file, grids) for file in files]
        offset = self._offset(scene)
        names = [band.name for band in self._bands]
        bands = in_parallel(lambda name: self._band(scene, name, grids), names)
        properties: dict[str, Any] = {
            **({"lake:cloud_source": mask.source} if mask else {}),
            **({} if native else {"lake:resampled": True}),
        }
        if self._values.offset:
            properties["lake:dn_offset"] = offset.dn if self._values.harmonize else 0
            properties["lake:offset_source"] = offset.source
        kept = 0 if self._values.harmonize else offset.dn
        return [
            Chip(
                grid,
                self._product.band_names,
                self._stored(np.stack([b[i] for b in bands]), [t[i] for t in told], offset.dn),
                (scene,),
                dict(properties),
                self._offsets_in_file(kept),
            )
            for i, grid in enumerate(grids)
        ]

    def _band(
        self, scene: Scene, name: str, grids: Sequence[PixelGrid]
    ) -> list[NDArray[np.uint16]]:
        raster = self._files.raster(scene, name)
        if raster.dtype != np.uint16:
            raise BadRaster(f"{name} is {raster.dtype}, not uint16", asset=raster.asset.href)
        saturated = self._values.saturated_dn
        blocks = read_on_grids(raster, grids, self._values.resampling, NODATA, special=saturated)
        return [block[0] for block in blocks]

    def _offsets_in_file(self, kept: int) -> dict[str, dict[str, float]]:
        """What a reader has to add after scaling, where the source's offset was left in."""
        return {
            band.name: {"raster:offset": (band.offset or 0.0) - kept * (band.scale or 1.0)}
            for band in self._bands
            if kept
        }

    def _stored(
        self, dn: NDArray[np.uint16], told: Sequence[NDArray[np.uint16]], offset: int
    ) -> NDArray[np.uint16]:
        """Source DN (band, y, x) and flags (y, x) to stored values, all bands and qa in order."""
        optional = {band.name for band in self._product.optional_bands}
        counted = dn[[band.name not in optional for band in self._bands]] != NODATA
        every = self._values.observed_in == "all_bands"
        observed = counted.all(axis=0) if every else counted.any(axis=0)
        qa = np.full(observed.shape, Qa.OBSERVED, np.uint16)
        for flags in told:
            observed &= flags & np.uint16(Qa.OBSERVED) != 0
            qa |= flags
        if self._values.saturated_dn is not None:
            qa[(dn == self._values.saturated_dn).any(axis=0)] |= np.uint16(Qa.SATURATED)
        if self._values.harmonize and offset:
            qa[((dn != NODATA) & (dn <= offset)).any(axis=0)] |= np.uint16(Qa.FLOORED)
            dn = harmonized(dn, offset)
        assert self._product.qa_band is not None
        qa[~observed] = 0
        return np.insert(dn, self._product.qa_band, qa, axis=0)

    def _offset(self, scene: Scene) -> _Offset:
        if scene.id not in self._offsets:
            self._offsets[scene.id] = self._decided(scene)
        return self._offsets[scene.id]

    def _decided(self, scene: Scene) -> _Offset:
        """What metadata say; where they have been wrong, or are silent, the pixels are asked first.

        They have been wrong about collections whose provider removed the offset.
        """
        rule, said = self._values.offset, scene.dn_offset
        if rule is None:
            return _Offset(0, "baseline")
        claimed = any(
            source.offset_in_pixels == "removed"
            for source in self._product.sources
            if (source.provider, source.collection) == (scene.provider, scene.collection)
        )
        baseline = scene.properties.get("processing:version")
        before = isinstance(baseline, str) and baseline < rule.since_baseline
        if said is not None and (before or not claimed):
            return _Offset(said, "baseline")
        shifted = self._still_shifted(scene, rule.check) if rule.check else None
        if shifted is None and said is None:
            raise PixelError("nothing says if the radiometric offset is in", item=scene.id)
        found = said if shifted is None else rule.dn if shifted else 0
        assert found is not None
        return _Offset(found, "collection" if found == said else "pixels")

    def _still_shifted(self, scene: Scene, check: OffsetCheck) -> bool | None:
        """Whether dark surfaces are too bright for pixels without the offset.

        None where there are too few of them to tell, or no overview that is small enough.
        """
        mask = self._values.masks[0].asset
        keys = [mask, *check.dark]
        if any(key not in scene.assets for key in keys):
            return None
        classes, *bands = in_parallel(lambda key: self._overview(scene, key), keys)
        dark = []
        for band, wanted in zip(bands, check.dark.values(), strict=True):
            if classes is None or band is None:
                return None
            rows = np.arange(classes.shape[0]) * band.shape[0] // classes.shape[0]
            columns = np.arange(classes.shape[1]) * band.shape[1] // classes.shape[1]
            aligned = band[rows[:, None], columns]
            dark.append(aligned[np.isin(classes, wanted) & (aligned != NODATA)])
        found = np.concatenate(dark)
        if found.size < check.min_pixels:
            return None
        return bool(np.percentile(found, check.percentile) >= check.above)

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
    return np.where(dn == NODATA, np.uint16(0), shifted)


def flags_of(file: FlagFile, pixels: NDArray[np.unsignedinteger]) -> NDArray[np.uint16]:
    """Pixels (band, y, x) of a file to qa flags (y, x).

    OBSERVED is set unless the file says that a pixel was not seen.
    """
    flags = np.zeros(pixels.shape[1:], np.uint16)
    seen = np.ones(flags.shape, bool)
    said = [(meaning, plane != 0) for meaning, plane in zip(file.planes, pixels, strict=False)]
    said += [(meaning, pixels[0] >> bit & 1 != 0) for bit, meaning in file.bits.items()]
    said += [(meaning, pixels[0] == code) for code, meaning in file.classes.items()]
    for meaning, where in said:
        if meaning == "unobserved":
            seen &= ~where
        else:
            flags[where] |= np.uint16(Qa[meaning.upper()])
    return flags | np.where(seen, np.uint16(Qa.OBSERVED), np.uint16(0))


def _unobserved(file: FlagFile) -> int:
    """The value that a file has where it saw nothing, and where it ends."""
    values: Mapping[int, str] = file.classes or {1 << bit: m for bit, m in file.bits.items()}
    return next((value for value, meaning in values.items() if meaning == "unobserved"), 0)


def _measure(scene: Scene, flags: NDArray[np.uint16], tells_cloud: bool) -> Measure:
    seen = flags & np.uint16(Qa.OBSERVED) != 0
    cloudy = (flags & np.uint16(CLOUDY) != 0) & seen
    cloud = 100.0 * float(cloudy.sum()) / float(seen.sum()) if seen.any() else None
    share = 100.0 * float(seen.mean())
    return Measure(scene.id, share, cloud_pct=cloud if tells_cloud else None)
