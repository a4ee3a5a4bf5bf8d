"""Two ways to bring pixels to a network's range: the lake's own statistics, or Copernicus-FM's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
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

    def apply(self, data: NDArray[Any]) -> NDArray[np.float32]:
        """(band, y, x) to float32; what is not finite becomes 0 afterwards."""
        shape = (-1, 1, 1)
        mean = np.asarray(self.mean, np.float32).reshape(shape)
        std = np.asarray(self.std, np.float32).reshape(shape)
        scaled: NDArray[np.float32] = (data.astype(np.float32) - mean) / std
        scaled[~np.isfinite(scaled)] = 0
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
            'use normalize="lake"'
        )
    if item.modality == "s1":
        return Normalization(*_S1)
    if item.modality == "s2":
        return Normalization(*_S2)
    if item.modality == "s3":
        return Normalization((0.0,) * 21, tuple(1 / scale for scale in _S3_SCALE))
    return Normalization((0.0,), (10000.0 if item.modality == "dem" else 1.0,))


def from_items(items: Iterable[Mapping[str, Any]], bands: int) -> Normalization:
    """Mean and standard deviation over the valid pixels of all items, from their stored statistics.

    Pooled exactly: N·mean = Σ nᵢ·meanᵢ and N·(std² + mean²) = Σ nᵢ·(stdᵢ² + meanᵢ²).

    Args:
        items: Item documents of one product.
        bands: How many bands, `qa` not counted.

    Raises:
        ConfigError: a band has no valid pixel in any item.
    """
    weight, total, squares = np.zeros(bands), np.zeros(bands), np.zeros(bands)
    for item in items:
        rows, columns = item["properties"]["proj:shape"]
        for index, band in enumerate(item["assets"]["data"]["bands"][:bands]):
            statistics = band.get("statistics") or {}
            if "mean" not in statistics:
                continue
            n = rows * columns * statistics.get("valid_percent", 100) / 100
            weight[index] += n
            total[index] += n * statistics["mean"]
            squares[index] += n * (statistics["stddev"] ** 2 + statistics["mean"] ** 2)
    if not weight.all():
        raise ConfigError("no valid pixel to take statistics from: widen the filter")
    mean = total / weight
    spread = np.sqrt(np.maximum(squares / weight - mean**2, 0))
    # A constant band is centred, not divided by zero.
    std = [value if value > 0 and math.isfinite(value) else 1.0 for value in spread.tolist()]
    return Normalization(tuple(mean.tolist()), tuple(std))
