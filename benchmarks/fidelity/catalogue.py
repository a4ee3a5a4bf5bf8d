"""All rows, in the order of the page."""

from __future__ import annotations

from benchmarks.fidelity import columns, heights, optical, radar, radiances
from benchmarks.fidelity.rows import Row

PARTS = (optical, radar, radiances, columns, heights)


def rows() -> list[Row]:
    """Those of a product stand together."""
    found = [row for part in PARTS for row in part.rows()]
    order = list(dict.fromkeys(row.product for row in found))
    return sorted(found, key=lambda row: order.index(row.product))
