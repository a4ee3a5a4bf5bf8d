"""How often each sample should be drawn, for `torch.utils.data.WeightedRandomSampler`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

import numpy as np

from stac_lake.errors import ConfigError
from stac_lake.loaders.places import cell_area_km2

if TYPE_CHECKING:
    from stac_lake.loaders.dataset import LakeDataset


def sample_weights(dataset: LakeDataset, by: Literal["cell_area", "1/n_patches"]) -> list[float]:
    """One weight per sample, summing to 1.

    Args:
        dataset: The dataset.
        by: ``cell_area`` weighs a sample by the area of its cell (cells shrink towards the poles);
            ``1/n_patches`` by one over the samples of its cell, so that with ``unit="patch"`` every
            cell is equally likely, however many patches it has. Their product makes every km²
            equally likely.

    Raises:
        ConfigError: `by` is something else.
    """
    cells = [dataset.cell_of(index) for index in range(len(dataset))]
    if by == "cell_area":
        weights = np.array([cell_area_km2(cell) for cell in cells])
    elif by == "1/n_patches":
        per_cell = Counter(cells)
        weights = np.array([1 / per_cell[cell] for cell in cells])
    else:
        raise ConfigError(f"weights by {by!r}: expected cell_area or 1/n_patches")
    total: list[float] = (weights / weights.sum()).tolist()
    return total
