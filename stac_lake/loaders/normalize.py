"""Two ways to bring pixels to a network's range: the lake's own statistics, or Copernicus-FM's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stac_lake.errors import ConfigError
from stac_lake.recipe import product

# Source: pretraining code of Copernicus-FM (github.com/zhu-xlab/Copernicus-FM, main_pretrain.py).
_S1 = ((-12.59, -20.26), (5.26, 5.91))
_S2 = (
    (1612.9, 1397.6, 1322.3, 1373.1, 1561.0, 2108.4, 2390.7, 2318.7, 2581.0, 837.7, 22.0,
     2195.2, 1537.4),
    (791.0, 854.3, 878.7, 1144.9, 1127.5, 1164.2, 1276.0, 1249.5, 1345.9, 577.5, 47.5,
     1340.0, 1142.9),
)  # fmt: skip
_S3_SCALE = (
    0.0139465, 0.0133873, 0.0121481, 0.0115198, 0.0100953, 0.0123538, 0.00879161, 0.00876539,
    0.0095103, 0.00773378, 0.00675523, 0.0071996, 0.00749684, 0.0086512, 0.00526779, 0.00530267,
    0.00493004, 0.00549962, 0.00502847, 0.00326378, 0.00324118,
)  # fmt: skip


@dataclass(frozen=True)
class Normalization:
    """(value − mean) / std per band, in the product's band order without `qa`."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, data: NDArray[Any], nodata: float) -> NDArray[np.float32]:
        """(band, y, x) to float32; nodata and what is not finite becomes 0 afterwards."""
        shape = (-1, 1, 1)
        mean = np.asarray(self.mean, np.float32).reshape(shape)
        std = np.asarray(self.std, np.float32).reshape(shape)
        scaled: NDArray[np.float32] = (data.astype(np.float32) - mean) / std
        scaled[~np.isfinite(scaled) | (data == nodata)] = 0
        return scaled


def copernicus_fm(name: str) -> Normalization:
    """The constants that Copernicus-FM was trained with.

    Raises:
        ConfigError: the product is not what the model saw (L2A is not TOA, γ0 is not σ0).
    """
    item = product(name)
    if name in {"s2-l2a", "s1-rtc"}:
        raise ConfigError(
            f"{name} is not what Copernicus-FM was trained on (it saw L1C reflectance and σ0): "
            f'use normalize="lake", or modalities without {item.modality}'
        )
    if item.modality == "s1":
        return Normalization(*_S1)
    if item.modality == "s2":
        return Normalization(*_S2)
    if item.modality == "s3":
        return Normalization((0.0,) * 21, tuple(1 / scale for scale in _S3_SCALE))
    return Normalization((0.0,), (10000.0 if item.modality == "dem" else 1.0,))


def band_statistics(item: Mapping[str, Any], bands: int) -> NDArray[np.float64]:
    """Count, mean and standard deviation of the valid pixels of an item, as it states them.

    Args:
        item: An Item document.
        bands: How many bands, `qa` not counted.

    Returns:
        (3, bands); zeros for a band without valid pixels.
    """
    rows, columns = item["properties"]["proj:shape"]
    found = np.zeros((3, bands))
    for index, band in enumerate(item["assets"]["data"]["bands"][:bands]):
        known = band.get("statistics", {})
        if "mean" in known:
            # The share has six decimals: enough to tell the pixels of the largest chip.
            count = round(rows * columns * known["valid_percent"] / 100)
            found[:, index] = count, known["mean"], known["stddev"]
    return found


def pooled(statistics: Sequence[NDArray[np.float64]]) -> Normalization:
    """Mean and standard deviation over the valid pixels of many items, exactly.

    Σnᵢ·mean = Σ nᵢ·meanᵢ and Σnᵢ·std² = Σ nᵢ·(stdᵢ² + (meanᵢ − mean)²). A band that is constant is
    only centred, and one without any valid pixel is left as it is.

    Args:
        statistics: Of each item, (3, bands) as `band_statistics` gives them; at least one.
    """
    counts, means, spreads = np.stack(statistics, axis=1)
    weights = counts / np.maximum(counts.sum(axis=0), 1)
    mean = (weights * means).sum(axis=0)
    std = np.sqrt((weights * (spreads**2 + (means - mean) ** 2)).sum(axis=0))
    return Normalization(tuple(mean.tolist()), tuple(np.where(std > 0, std, 1.0).tolist()))
