"""A training lake of Sentinel crops on the ERA5 grid, catalogued in STAC.

The rooms, in the order of the flow: `grid` and `recipe` say what to ask for, `upstream` finds
scenes, `pixels` cuts chips, `quality` measures them, `store` keeps bytes, `catalog` makes a lake of
them, `harvest` runs it all, `lake` answers queries, `serve` and `loaders` hand it out.
"""

from stac_lake.errors import StacLakeError
from stac_lake.grid import Cell, Patch, cell_at, cells_over, patch_at

__version__ = "0.1.0"

__all__ = [
    "Cell",
    "Patch",
    "StacLakeError",
    "__version__",
    "cell_at",
    "cells_over",
    "open_lake",
    "patch_at",
]


def __getattr__(name: str) -> object:
    # The lake pulls in DuckDB; a user of the grid alone should not wait for it.
    if name == "open_lake":
        from stac_lake.lake import open_lake

        return open_lake
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
