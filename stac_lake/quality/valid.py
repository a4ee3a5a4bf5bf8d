"""Which pixels of a chip are usable: the one rule, derived from the stored bands."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stac_lake.recipe import Product
from stac_lake.types import Qa

UNUSABLE = Qa.SATURATED | Qa.INVALID


def qa_flags(product: Product, data: NDArray[Any]) -> NDArray[np.uint16]:
    """The `qa` band (y, x) as integer flags; NaN, which a foreign warp may leave, counts as 0.

    Args:
        product: One with a qa band.
        data: (band, y, x), all bands.
    """
    assert product.qa_band is not None
    flags: NDArray[np.uint16] = np.nan_to_num(data[product.qa_band], nan=0.0).astype(np.uint16)
    return flags


def valid_mask(product: Product, data: NDArray[Any]) -> NDArray[np.bool_]:
    """True where a pixel is usable.

    With `qa`: observed, and neither saturated nor invalid; cloud, shadow, snow and water leave a
    pixel valid. Without it (Sentinel-5P): at least one orbit.

    Args:
        product: Says which band is what.
        data: (band, y, x), all bands.

    Returns:
        (y, x).
    """
    if product.qa_band is not None:
        flags = qa_flags(product, data)
        return np.asarray(((flags & Qa.OBSERVED) != 0) & ((flags & UNUSABLE) == 0))
    orbits = data[product.band_names.index("n_orbits")]
    return np.asarray(orbits > 0)
