"""A picture of cells over time: one row per modality, one column per slot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from stac_lake.grid import Cell
from stac_lake.loaders.read import read_chip
from stac_lake.loaders.series import choose_products, series_shapes
from stac_lake.recipe import Product, product, recipe
from stac_lake.types import Slot

if TYPE_CHECKING:
    from stac_lake.lake import Lake

COLUMNS = 12
UNITS = {
    "s2": "reflectance × 10⁴", "s1": "dB, first polarisation", "s3": "mW m⁻² sr⁻¹ nm⁻¹",
    "dem": "height, m",
    "co": "mol m⁻²", "no2": "mol m⁻²", "o3": "mol m⁻²", "so2": "mol m⁻²",
}  # fmt: skip


def draw(lake: Lake, cells: Sequence[Cell], path: Path) -> None:
    """Draw all items of some cells, the first patch of each, as one PNG.

    Args:
        lake: An open lake.
        cells: One block of rows each.
        path: Where the PNG goes.
    """
    rows = [line for cell in cells for line in _lines(lake, cell)]
    size = (COLUMNS * 1.05 + 1.7, len(rows) * 1.24)
    packed = ConstrainedLayoutEngine(w_pad=0.01, h_pad=0.01, wspace=0.02, hspace=0.02)
    figure = Figure(figsize=size, dpi=100, layout=packed)
    axes = figure.subplots(len(rows), COLUMNS, squeeze=False)
    for line, (title, images) in zip(axes, rows, strict=True):
        for axis in line:
            axis.axis("off")
        chips = [read_chip(lake.index.objects, item) for _, item in images]
        shown = product(images[0][1]["properties"]["lake:product"])
        bands = next(iter(shown.renders.values()))["bidx"]
        low, high = _limits(chips, bands)
        text = f"{title}\n{low.min():,.4g} … {high.max():,.4g}"
        line[0].text(
            -0.1, 0.5, text, transform=line[0].transAxes, ha="right", va="center", fontsize=7
        )
        for axis, (name, item), chip in zip(line, images, chips, strict=False):
            properties = item["properties"]
            moment = (properties["datetime"] or properties["start_datetime"])[:10]
            axis.set_title(f"{name}  {moment}", fontsize=5, pad=2)
            _show(axis, chip[[number - 1 for number in bands]], (low, high), shown)
    figure.savefig(path)


def _lines(lake: Lake, cell: Cell) -> list[tuple[str, list[tuple[str, Mapping[str, Any]]]]]:
    by_product: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for item in lake.search(cells=[cell]):
        by_product[item["properties"]["lake:product"]].append(item)
    loaded = recipe("copernicus-pretrain")
    chosen = choose_products(loaded, by_product, ())
    lines = []
    for modality, shape in series_shapes(loaded, chosen).items():
        slots = [(Slot.from_id(item["id"]), item) for item in by_product[shape.product]]
        first = min((slot.patch for slot, _ in slots if slot.patch), default=None)
        images = sorted(
            (
                (shape.positions[slot.name], slot.name, item)
                for slot, item in slots
                if slot.patch == first
            ),
            key=lambda image: image[:2],
        )
        title = f"{cell.code}\n{shape.product}\n{UNITS[modality]}"
        lines.append((title, [(name, item) for _, name, item in images[:COLUMNS]]))
    return lines


def _limits(
    chips: Sequence[NDArray[Any]], bands: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One range per band for a whole row, its 1st to 99th percentile, so that dates compare."""
    low, high = [], []
    for number in bands:
        values = np.concatenate([chip[number - 1].ravel() for chip in chips]).astype(float)
        values = values[np.isfinite(values)]
        ends = np.percentile(values, [1, 99]) if values.size else np.zeros(2)
        low.append(ends[0])
        high.append(max(ends[1], ends[0] + 1e-12))
    return np.array(low), np.array(high)


def _show(
    axis: Any,
    data: NDArray[Any],
    limits: tuple[NDArray[np.float64], NDArray[np.float64]],
    shown: Product,
) -> None:
    """One chip, (band, y, x): three bands as colours, one band by the product's colour map."""
    low, high = limits
    if len(data) == 3:
        scaled = np.clip((data - low[:, None, None]) / (high - low)[:, None, None], 0, 1)
        # The square root opens the dark tones beside snow and cloud.
        axis.imshow(np.nan_to_num(np.sqrt(scaled)).transpose(1, 2, 0))
        return
    name = next(iter(shown.renders.values())).get("colormap_name", "viridis")
    colours = mpl.colormaps[name].with_extremes(bad="0.8")
    axis.imshow(data[0], cmap=colours, vmin=low[0], vmax=high[0])
