"""Maps and histograms of a lake's coverage, as PNG.

Maps are in the Equal Earth projection: a cell near a pole, which is small, looks small, and the
share of the land that is coloured is the share that is covered.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import BoundaryNorm, ListedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from numpy.typing import NDArray

from stac_lake.atlas.coverage import TITLES, Coverage, Histogram, ModalityCoverage
from stac_lake.atlas.land import equal_earth, inverse_equal_earth, land
from stac_lake.grid import COLUMNS, ROWS, STEP

SPARSE = 5_000
"""Cells below which each is drawn as a dot, too: at its true size nobody would see it."""
DPI = 160

# Okabe and Ito's blue and orange, told apart by every kind of colour vision.
ALIGNED, UNION = "#0072B2", "#E69F00"
_LAND, _COAST, _FRAME, _TEXT = "#ECEAE4", "#A5A199", "#8A8A8A", "#262626"


def coverage_map(found: Coverage) -> bytes:
    """The world: cells that have every modality, and those that have some."""
    figure = Figure(figsize=(10, 5.5), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    _world(axes)
    values = np.zeros(ROWS * COLUMNS, np.uint8)
    values[found.union], values[found.aligned] = 1, 2
    colours = np.array([(0, 0, 0, 0), to_rgba(UNION), to_rgba(ALIGNED)])
    _paint(axes, values, colours, 2400)
    some = len(found.union) - len(found.aligned)
    axes.legend(
        handles=[
            _key(ALIGNED, f"every modality ({len(found.aligned):,} cells)"),
            _key(UNION, f"some of them ({some:,} cells)"),
        ],
        loc="lower center", bbox_to_anchor=(0.5, -0.09), ncols=2, frameon=False, fontsize=10,
        labelcolor=_TEXT, handletextpad=0.2,
    )  # fmt: skip
    _title(axes, f"{len(found.union):,} cells of 0.25°", 13)
    return _png(figure)


def modality_maps(found: Coverage) -> bytes:
    """One small world per modality, coloured by how much of the series each cell has."""
    rows = -(-len(found.modalities) // 2)
    figure = Figure(figsize=(11, 2.62 * rows), dpi=DPI, layout="constrained")
    places = figure.subplots(rows, 2, squeeze=False).ravel()
    for axes, one in zip(places, found.modalities, strict=False):
        _world(axes)
        _series_map(figure, axes, one)
    for axes in places[len(found.modalities) :]:
        axes.axis("off")
    return _png(figure)


def histograms(found: Coverage) -> bytes:
    """How many patches a cell has, and how complete the series are."""
    rows = -(-len(found.histograms) // 2)
    figure = Figure(figsize=(11, 2.5 * rows), dpi=DPI, layout="constrained")
    places = figure.subplots(rows, 2, squeeze=False).ravel()
    for axes, one in zip(places, found.histograms, strict=False):
        _bars(axes, one)
    for axes in places[len(found.histograms) :]:
        axes.axis("off")
    figure.legend(
        handles=[_key(UNION, "all cells"), _key(ALIGNED, "cells with every modality")],
        loc="outside lower center", ncols=2, frameon=False, labelcolor=_TEXT,
    )  # fmt: skip
    return _png(figure)


def _series_map(figure: Figure, axes: Axes, one: ModalityCoverage) -> None:
    values = np.zeros(ROWS * COLUMNS, np.uint8)
    values[one.cells] = np.minimum(one.slots, one.full)
    shades = colormaps["viridis_r"](np.linspace(0.12, 1, one.full))
    if one.full == 1:
        shades = np.array([to_rgba(ALIGNED)])
    _paint(axes, values, np.vstack([np.zeros((1, 4)), shades]), 1200)
    _title(axes, f"{TITLES[one.modality]}: {len(one.cells):,} cells", 10)
    if one.full > 1:
        scale = BoundaryNorm(np.arange(0.5, one.full + 1), one.full)
        mappable = ScalarMappable(scale, ListedColormap(shades))
        bar = figure.colorbar(mappable, ax=axes, shrink=0.7, aspect=14, pad=0.01)
        step = 1 if one.full < 6 else 4
        bar.set_ticks([1, *range(max(step, 2), one.full + 1, step)])
        bar.minorticks_off()
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=8, length=0, labelcolor=_TEXT)
        bar.set_label("filled slots", fontsize=8, color=_TEXT)


def _bars(axes: Axes, one: Histogram) -> None:
    last = max([*one.union, one.full or 1])
    # A long tail is cut where all but a thousandth is shown, and the rest put into the last bar.
    limit = min(last, max(one.full or 1, _tail(one.union)))
    for counts, colour, width in ((one.union, UNION, 0.82), (one.aligned, ALIGNED, 0.5)):
        heights = np.zeros(limit + 1)
        for parts, things in counts.items():
            heights[min(parts, limit)] += things
        axes.bar(np.arange(limit + 1), heights, width, color=colour, linewidth=0)
    axes.set_title(one.title, fontsize=10, loc="left", color=_TEXT)
    axes.set_xlabel(one.parts, fontsize=8, color=_TEXT)
    axes.set_ylabel(one.things, fontsize=8, color=_TEXT)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_FRAME)
    axes.grid(axis="y", color="#E3E3E3", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, length=0, labelcolor=_TEXT)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.set_xlim(-0.6, limit + 0.6)
    axes.margins(y=0.08)
    ticks = np.arange(0, limit + 1, 1 if limit < 15 else 5)
    ticks = ticks if ticks[-1] == limit else np.append(ticks, limit)
    axes.set_xticks(ticks, [f"≥ {n}" if n == limit < last else f"{n}" for n in ticks])


def _tail(counts: dict[int, int]) -> int:
    total, above = sum(counts.values()), 0
    for parts in sorted(counts, reverse=True):
        above += counts[parts]
        if above * 1000 > total:
            return parts
    return 1


def _world(axes: Axes) -> None:
    """Land, the outline of the map and a graticule of 30°."""
    rings = [np.column_stack(equal_earth(ring[:, 0], ring[:, 1])) for ring in land()]
    axes.add_collection(
        PolyCollection(rings, facecolor=_LAND, edgecolor=_COAST, linewidth=0.35, zorder=1)
    )
    turn, across = np.linspace(-90, 90, 181), np.linspace(-180, 180, 3)
    lines = [(np.full(181, float(east)), turn) for east in range(-150, 180, 30)]
    lines += [(across, np.full(3, float(north))) for north in range(-60, 90, 30)]
    for line in lines:
        axes.plot(*equal_earth(*line), color="#DDDDDD", linewidth=0.3, zorder=0)
    lon = np.concatenate([np.full(181, -180.0), np.full(181, 180.0), [-180.0]])
    lat = np.concatenate([turn, turn[::-1], [-90.0]])
    axes.plot(*equal_earth(lon, lat), color=_FRAME, linewidth=0.6, zorder=4)
    axes.set_aspect("equal")
    axes.axis("off")
    axes.margins(0.01)


def _paint(axes: Axes, values: NDArray[np.uint8], colours: NDArray[np.float64], width: int) -> None:
    """Colour every cell by its value, each at its true place and size.

    Args:
        axes: With the world in it.
        values: One per cell of the grid; 0 is not drawn.
        colours: (value, 4).
        width: Pixels of the world from west to east.
    """
    filled = np.flatnonzero(values)
    cells, extent = _lattice(width)
    image = np.zeros((*cells.shape, 4))
    inside = cells >= 0
    image[inside] = colours[values[cells[inside]]]
    axes.imshow(image, extent=extent, interpolation="nearest", zorder=2)
    if len(filled) <= SPARSE:
        rows, columns = np.divmod(filled.astype(np.float64), COLUMNS)
        size = np.clip(2_600 / max(len(filled), 1), 4, 26)  # square points
        x, y = equal_earth(-180 + STEP * columns, -90 + STEP * rows)
        axes.scatter(
            x, y, s=size, c=colours[values[filled]], edgecolors="white", linewidths=0.4, zorder=3
        )


@lru_cache(maxsize=2)
def _lattice(width: int) -> tuple[NDArray[np.int64], tuple[float, float, float, float]]:
    """Cell under each pixel of a map (-1 outside the world), and the extent of its image."""
    (right,), _ = equal_earth(np.array([180.0]), np.array([0.0]))
    _, (top,) = equal_earth(np.array([0.0]), np.array([90.0]))
    height = round(width * top / right)
    columns, rows = (np.arange(number, dtype=np.float64) + 0.5 for number in (width, height))
    x, y = np.meshgrid(columns / width * 2 * right - right, top - rows / height * 2 * top)
    lon, lat = inverse_equal_earth(x, y)
    inside = np.abs(lon) <= 180
    row = np.floor((lat + 90) * 4 + 0.5).astype(np.int64)
    column = np.floor((np.where(inside, lon, 0.0) + 180) * 4 + 0.5).astype(np.int64) % COLUMNS
    return np.where(inside, row * COLUMNS + column, -1), (-right, right, -top, top)


def _key(colour: str, label: str) -> Line2D:
    return Line2D([], [], marker="s", linestyle="", color=colour, markersize=8, label=label)


def _title(axes: Axes, text: str, size: float) -> None:
    axes.set_title(text, fontsize=size, loc="left", color=_TEXT, pad=4)


def _png(figure: Figure) -> bytes:
    sink = io.BytesIO()
    # Without the program's name and date, the same lake gives the same file.
    figure.savefig(sink, format="png", facecolor="white", metadata={"Software": None})
    return sink.getvalue()
