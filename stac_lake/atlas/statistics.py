"""Statistics of the valid pixels of a query, read chip by chip: mean, spread, quantiles, histogram.

Chips are counted in batches that do not depend on how many processes count, and the batches are
merged in order: the same query on the same version of a lake gives the same digits, on a laptop and
on a large machine. What is held in memory is a few chips and one histogram per band and process.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from stac_lake.atlas.chips import read_values, usable_values
from stac_lake.atlas.histogram import RELATIVE_ERROR, Histogram
from stac_lake.catalog.stats import Moments
from stac_lake.errors import BadRaster, InvalidItem, KeyMissing
from stac_lake.loaders.places import cell_area_km2
from stac_lake.recipe import product
from stac_lake.types import Slot

if TYPE_CHECKING:
    from stac_lake.lake import ItemSearch
    from stac_lake.store.objects import Objects

Weight = Literal["pixel", "cell-area"]
SHARES = (0.01, 0.02, 0.25, 0.5, 0.75, 0.98, 0.99)
"""Quantiles that are reported: the quartiles, and what pictures and networks clip at."""
BUCKETS = 256
BATCH = 64
"""Items that are counted together: half a second of work."""
READERS = 8
"""Items that a process reads ahead, as a bucket answers in tens of milliseconds."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class BandStatistics:
    """One band over all valid pixels.

    Attributes:
        name: Of the band.
        unit: Of the stored numbers times the band's scale; None where it has none.
        scale: What turns stored numbers into `unit`; the statistics are of stored numbers.
        moments: Count, weight, mean, spread, minimum, maximum.
        quantiles: Share → value, by `Histogram.quantiles`; empty without a valid pixel.
        buckets: Weights of equally wide buckets from minimum to maximum.
        quantile_error: Relative error that a quantile may have: 0 for integers.
    """

    name: str
    unit: str | None
    scale: float | None
    moments: Moments
    quantiles: Mapping[float, float]
    buckets: tuple[float, ...]
    quantile_error: float


@dataclass(frozen=True)
class ProductStatistics:
    """All bands of a product.

    Attributes:
        product: Its id.
        items: How many were read.
        bands: In the order of the product; optional ones last.
    """

    product: str
    items: int
    bands: tuple[BandStatistics, ...]


@dataclass(frozen=True)
class LakeStatistics:
    """The answer to `pixel_statistics`.

    Attributes:
        products: In order of their ids.
        unread: Items that could not be read, and are not in the numbers: id → why.
    """

    products: tuple[ProductStatistics, ...]
    unread: Mapping[str, str]


@dataclass
class _Band:
    """A band while it is counted."""

    moments: Moments
    histogram: Histogram

    def add(self, values: NDArray[Any], weight: float) -> None:
        self.histogram.add(values, weight)
        if values.dtype == np.uint16:
            # All else follows from the histogram, which is exact.
            self.moments += Moments(values.size, weight * values.size)
            return
        exact = values.astype(np.float64)
        mean = float(exact.mean())
        spread = float(np.square(exact - mean).sum())
        self.moments += Moments(
            values.size,
            weight * values.size,
            mean,
            weight * spread,
            float(exact.min()),
            float(exact.max()),
        )

    def merge(self, other: _Band) -> None:
        self.moments += other.moments
        self.histogram.merge(other.histogram)


@dataclass
class _Counted:
    """Bands of all products while they are counted."""

    bands: dict[tuple[str, str], _Band] = field(default_factory=dict)
    items: dict[str, int] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)

    def band(self, name: str, band: str, dtype: str) -> _Band:
        return self.bands.setdefault((name, band), _Band(Moments(), Histogram(dtype)))

    def merge(self, other: _Counted) -> None:
        for (name, band), found in other.bands.items():
            self.band(name, band, found.histogram.dtype).merge(found)
        for name, count in other.items.items():
            self.items[name] = self.items.get(name, 0) + count
        self.unread |= other.unread


def pixel_statistics(
    found: ItemSearch,
    *,
    weight: Weight = "pixel",
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> LakeStatistics:
    """Statistics of the bands of all items that a search finds, over their valid pixels.

    Args:
        found: Of `Lake.search`.
        weight: ``pixel`` counts each valid pixel once, so that an item counts by its valid pixels;
            ``cell-area`` weighs it by the area of its cell, as cells shrink towards the poles.
        workers: Processes; each reads with several threads.
        progress: Told how many items are done.

    Raises:
        QueryError: the search is not valid.
        StoreUnavailable: the store failed.
    """
    count = partial(_count, found.index.objects, weight)
    total, done = _Counted(), 0
    for part in _parts(count, _batches(found), workers):
        total.merge(part)
        done += sum(part.items.values()) + len(part.unread)
        if progress:
            progress(done)
    products = tuple(_product(name, total) for name in sorted(total.items))
    return LakeStatistics(products, dict(sorted(total.unread.items())))


def _batches(items: Iterable[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], ...]]:
    rest = iter(items)
    while batch := tuple(islice(rest, BATCH)):
        yield batch


def _parts(
    count: Callable[[tuple[dict[str, Any], ...]], _Counted],
    batches: Iterable[tuple[dict[str, Any], ...]],
    workers: int,
) -> Iterator[_Counted]:
    if workers == 1:
        yield from map(count, batches)
        return
    # Started afresh: the store's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context)
    try:
        yield from _in_order(pool, count, batches, 2 * workers)
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(
    pool: Executor, function: Callable[[T], R], things: Iterable[T], ahead: int
) -> Iterator[R]:
    """Results in the order of the things, of which only `ahead` are taken before their turn."""
    waiting: deque[Future[R]] = deque()
    for thing in things:
        waiting.append(pool.submit(function, thing))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _count(objects: Objects, weight: Weight, items: tuple[dict[str, Any], ...]) -> _Counted:
    counted = _Counted()

    def read(item: dict[str, Any]) -> NDArray[Any] | str:
        try:
            return read_values(objects, item)
        except (BadRaster, KeyMissing, InvalidItem) as error:
            return f"{type(error).__name__}: {error}"

    with ThreadPoolExecutor(READERS) as pool:
        for item, data in zip(items, _in_order(pool, read, items, READERS), strict=True):
            if isinstance(data, str):
                counted.unread[item["id"]] = data
            else:
                _add(counted, item, data, weight)
    return counted


def _add(counted: _Counted, item: Mapping[str, Any], data: NDArray[Any], weight: Weight) -> None:
    name = item["properties"]["lake:product"]
    made = product(name)
    of_one = cell_area_km2(Slot.from_id(item["id"]).cell) if weight == "cell-area" else 1.0
    counted.items[name] = counted.items.get(name, 0) + 1
    for band, numbers in usable_values(made, item, data).items():
        entry = counted.band(name, band, made.dtype)
        if numbers.size:
            entry.add(numbers, of_one)


def _product(name: str, total: _Counted) -> ProductStatistics:
    made = product(name)
    bands = {band.name: band for band in (*made.bands, *made.optional_bands)}
    present = [band for band in bands if (name, band) in total.bands]
    return ProductStatistics(
        name,
        total.items[name],
        tuple(
            _finished(band, bands[band].unit, bands[band].scale, total.bands[name, band])
            for band in present
        ),
    )


def _finished(name: str, unit: str | None, scale: float | None, band: _Band) -> BandStatistics:
    histogram, moments = band.histogram, band.moments
    if not moments.count:
        return BandStatistics(name, unit, scale, moments, {}, (), 0.0)
    if histogram.dtype == "uint16":
        moments = _exact(histogram, moments.count)
    values = histogram.quantiles(np.array(SHARES))
    # The middle of a bin may lie beyond the outermost number in it.
    values = np.clip(values, moments.minimum, moments.maximum)
    return BandStatistics(
        name,
        unit,
        scale,
        moments,
        dict(zip(SHARES, values.tolist(), strict=True)),
        tuple(histogram.buckets(moments.minimum, moments.maximum, BUCKETS).tolist()),
        0.0 if histogram.dtype == "uint16" else RELATIVE_ERROR,
    )


def _exact(histogram: Histogram, count: int) -> Moments:
    """Moments of the integers of a histogram."""
    values, weights = histogram.centres, histogram.weights
    filled = np.flatnonzero(weights)
    weight = float(weights.sum())
    mean = float((values * weights).sum() / weight)
    spread = float((weights * np.square(values - mean)).sum())
    return Moments(count, weight, mean, spread, float(values[filled[0]]), float(values[filled[-1]]))
