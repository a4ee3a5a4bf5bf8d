"""A batch of samples of different sizes, for `torch.utils.data.DataLoader(collate_fn=collate)`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PADDING = {"meta": np.nan}
"""What stands for the number of an absent image; everything else is zero, `present` False."""


def collate(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Samples as one batch of tensors with a new first axis, padded to the most patches.

    torch's own `default_collate` serves as long as all samples have the same number of patches;
    cells mostly have not. A patch that a sample lacks is zeros with `present` False, and so is a
    modality (with ``missing="drop"``) that only other samples of the batch have.

    Args:
        samples: Of one `LakeDataset`.

    Returns:
        As a sample; "cell" is a tensor, "patches" and each "item" are one list per sample, without
        padding.
    """
    from torch.utils.data import default_collate

    batch: dict[str, Any] = {
        "cell": default_collate([sample["cell"] for sample in samples]),
        "patches": [sample["patches"] for sample in samples],
    }
    modalities = dict.fromkeys(name for sample in samples for name in sample if name not in batch)
    for name in modalities:
        blocks = [sample.get(name) for sample in samples]
        like = next(block for block in blocks if block is not None)
        batch[name] = {
            key: default_collate(
                _padded([block and block[key] for block in blocks], _PADDING.get(key, 0))
            )
            for key in like
            if key != "item"
        }
        batch[name]["item"] = [block["item"] if block else [] for block in blocks]
    return batch


def _padded(arrays: Sequence[NDArray[Any] | None], value: float) -> list[NDArray[Any]]:
    """Arrays of one shape, the largest of each axis; None becomes nothing but padding."""
    known = [np.asarray(array) for array in arrays if array is not None]
    shape = tuple(np.max([array.shape for array in known], axis=0).astype(int).tolist())
    padded = []
    for array in arrays:
        if array is not None and np.shape(array) == shape:
            padded.append(np.asarray(array))
            continue
        whole = np.full(shape, value, known[0].dtype)
        if array is not None:
            whole[tuple(slice(size) for size in array.shape)] = array
        padded.append(whole)
    return padded
