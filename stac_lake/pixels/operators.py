"""What every operator does, and which product needs which."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Protocol, cast

from stac_lake.pixels.raster import Raster
from stac_lake.pixels.sampling import on_lattice
from stac_lake.recipe import Product
from stac_lake.types import Chip, Measure, PixelGrid, Scene, Source


class Operator(Protocol):
    """Turns scenes of one product into chips. One per task; it keeps what it has opened."""

    def measure(self, scenes: Sequence[Scene], grids: Sequence[PixelGrid]) -> list[list[Measure]]:
        """What the masks say, by scene and grid; no band is read.

        A scene whose mask cannot be read gets `Measure.error`; nothing is raised for it.
        """

    def cut(self, scenes: Sequence[Scene], grids: Sequence[PixelGrid]) -> list[Chip | str]:
        """One chip per grid, or the reason why there is none.

        Args:
            scenes: In order of preference; of composites and mosaics, all of them.
            grids: All that these scenes are to serve; scenes and tiles are read once for all.

        Raises:
            PixelError: a file is not what it should be.
            UpstreamError: a file could not be read.
        """


_OPERATORS = {
    "optical": "stac_lake.pixels.optical:Optical",
    "backscatter": "stac_lake.pixels.backscatter:Backscatter",
    "sigma0": "stac_lake.pixels.sar.sigma0:Sigma0",
    "elevation": "stac_lake.pixels.elevation:Elevation",
    "radiance": "stac_lake.pixels.radiance:Radiance",
    "column": "stac_lake.pixels.column:Column",
}


def operator_for(product: Product, source: Source, terrain: Sequence[Scene] = ()) -> Operator:
    """A new operator of the kind that the product's values ask for.

    Args:
        product: The effective product.
        source: Where the bytes come from.
        terrain: Tiles of heights, for products whose geometry needs them.
    """
    # By name, because the swath operators need HDF5, which the others do without.
    module, name = _OPERATORS[product.values.operator].split(":")
    found = getattr(importlib.import_module(module), name)
    if product.terrain:
        return cast(Operator, found(product, source, terrain))
    return cast(Operator, found(product, source))


def cut_first_seen(
    scenes: Sequence[Scene],
    grids: Sequence[PixelGrid],
    lattice_of: Callable[[Scene], Raster],
    cut_scene: Callable[[Scene, list[PixelGrid], bool], list[Chip]],
) -> list[Chip | str]:
    """Per grid, the chip of the first scene that has seen any of it, without a mosaic.

    Scenes on the grid's own lattice go before those that have to be warped to it.

    Args:
        scenes: In order of preference.
        grids: One chip each.
        lattice_of: The raster of a scene that tells its lattice.
        cut_scene: Chips with a qa band, of a scene and grids; True if on the lattice.
    """
    chips: list[Chip | str] = ["not_covered"] * len(grids)
    for native in (True, False):
        for scene in scenes:
            empty = [number for number, chip in enumerate(chips) if isinstance(chip, str)]
            wanted = [n for n in empty if on_lattice(lattice_of(scene), grids[n]) == native]
            if not wanted:
                continue
            made = cut_scene(scene, [grids[n] for n in wanted], native)
            for number, chip in zip(wanted, made, strict=True):
                if chip.data[chip.bands.index("qa")].any():
                    chips[number] = chip
    return chips
