"""How often each sample should be drawn, for `torch.utils.data.WeightedRandomSampler`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from stac_lake.loaders.dataset import LakeDataset


def sample_weights(dataset: LakeDataset, by: Literal["cell_area", "1/n_patches"]) -> list[float]:
    """One weight per sample, summing to 1.

    Args:
        dataset: The dataset.
        by: ``cell_area`` makes every km² equally likely (cells shrink towards the poles);
            ``1/n_patches`` makes every cell equally likely, however many patches it has.
    """
    cells = [dataset.cell_of(index) for index in range(len(dataset))]
    if by == "cell_area":
        weights = np.cos(np.radians([cell.lat for cell in cells]))
    else:
        per_cell = Counter(cells)
        weights = np.array([1 / per_cell[cell] for cell in cells])
    total: list[float] = (weights / weights.sum()).tolist()
    return total
