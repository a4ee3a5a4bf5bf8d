"""The pixels of the Copernicus DEM: points on a lattice of degrees that thins out polewards.

Rows are 1″ apart (GLO-90: 3″) and lie on whole multiples; columns are apart by the row's step times
a factor of the latitude band. The pixel of a point is the rectangle around it, so that tiles and
windows begin half a pixel north-west of the degree line (product handbook 5.0, section 3).
"""

from __future__ import annotations

from stac_lake.grid import STEP, Cell
from stac_lake.types import PixelGrid

ROWS = 3600
"""Of GLO-30 in a degree."""
THINNING = ((50.0, 1.0), (60.0, 1.5), (70.0, 2.0), (80.0, 3.0), (85.0, 5.0), (90.0, 10.0))
"""(end of the band in degrees from the equator, distance of columns by that of rows)."""


def columns_per_degree(lat: float) -> int:
    """Columns of GLO-30 in a degree of longitude; a border counts to the equator's side.

    Source: Copernicus DEM product handbook 5.0, table 3.
    """
    return int(ROWS / next(factor for end, factor in THINNING if abs(lat) <= end))


def native_dem_grid(cell: Cell) -> PixelGrid:
    """The pixels of GLO-30 whose points lie in a cell: north and west edge in, south and east out.

    Every band has a whole number of columns in an eighth of a degree, so neighbouring cells share
    no pixel and leave none out. A cell is centred on a border of latitude bands or is not touched
    by one; where it is, the columns are those of the band on the equator's side, the finer one: the
    other band's rows stay, and are interpolated along themselves. Rows beyond a pole stay, as of
    every cell grid, so that the shape is one for all cells of a band.
    """
    columns = columns_per_degree(cell.lat)
    west, _, _, north = cell.bounds
    transform = (
        1 / columns, 0.0, west - 0.5 / columns, 0.0, -1 / ROWS, north + 0.5 / ROWS,
    )  # fmt: skip
    return PixelGrid(4326, transform, (round(STEP * ROWS), round(STEP * columns)))
