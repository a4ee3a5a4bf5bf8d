"""A picture of cells over time: one row per modality, one column per slot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stac_lake.grid import Cell
from stac_lake.loaders.read import read_chip
from stac_lake.loaders.series import choose_products, series_shapes
from stac_lake.recipe import product, recipe
from stac_lake.types import Slot

if TYPE_CHECKING:
    from stac_lake.lake import Lake

COLUMNS = 12
UNITS = {
    "s2": "reflectance", "s1": "γ0 VV, dB", "s3": "radiance", "dem": "height, m",
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
    figure = Figure(figsize=(COLUMNS * 1.25 + 1.6, len(rows) * 1.42), dpi=110, layout="constrained")
    axes = figure.subplots(len(rows), COLUMNS, squeeze=False)
    for line, (title, images) in zip(axes, rows, strict=True):
        for axis in line:
            axis.axis("off")
        line[0].text(
            -0.12, 0.5, title, transform=line[0].transAxes, ha="right", va="center", fontsize=8
        )
        limits = _limits(images)
        for axis, (name, item) in zip(line, images, strict=False):
            _show(axis, lake, item, name, limits)
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


def _limits(images: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[float, float]:
    """One colour range for a whole row, from the items' own statistics."""
    means, spreads = [0.0], [1e-9]
    for _, item in images:
        statistics = item["assets"]["data"]["bands"][0].get("statistics") or {}
        if "mean" in statistics:
            means.append(statistics["mean"])
            spreads.append(statistics["stddev"])
    centre = float(np.mean(means[1:] or means))
    spread = 2.5 * max(float(np.max(spreads)), float(np.std(means[1:] or means)))
    return centre - spread, centre + spread


def _show(
    axis: Any, lake: Lake, item: Mapping[str, Any], name: str, limits: tuple[float, float]
) -> None:
    properties = item["properties"]
    shown = product(properties["lake:product"])
    data = read_chip(lake.index.objects, item)
    moment = (properties["datetime"] or properties["start_datetime"])[:10]
    axis.set_title(f"{name}\n{moment}", fontsize=6, pad=2)
    render = next(iter(shown.renders.values()))
    if len(render["bidx"]) == 3:
        axis.imshow(_composite(data, render))
    else:
        colours = mpl.colormaps[render.get("colormap_name", "viridis")].with_extremes(bad="0.8")
        axis.imshow(data[render["bidx"][0] - 1], cmap=colours, vmin=limits[0], vmax=limits[1])


def _composite(data: NDArray[Any], render: Mapping[str, Any]) -> NDArray[np.float64]:
    bands = data[[number - 1 for number in render["bidx"]]].astype(float)
    low, high = np.array(render["rescale"], float).T[..., None, None]
    scaled: NDArray[np.float64] = np.clip((bands - low) / (high - low), 0, 1)
    return np.nan_to_num(scaled).transpose(1, 2, 0)
