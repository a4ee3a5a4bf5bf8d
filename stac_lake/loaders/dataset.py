"""A map-style dataset over a lake: fixed shapes, masks, and nothing repeated or made up.

It returns numpy arrays and needs no torch; `torch.utils.data.DataLoader` collates them to tensors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from stac_lake.errors import ConfigError
from stac_lake.grid import Cell, Patch
from stac_lake.loaders.normalize import Normalization, copernicus_fm, from_items
from stac_lake.loaders.read import read_chip
from stac_lake.loaders.series import SeriesShape, band_facts, choose_products, series_shapes
from stac_lake.quality.valid import valid_mask
from stac_lake.recipe import product
from stac_lake.recipe import recipe as load_recipe
from stac_lake.types import Slot

if TYPE_CHECKING:
    from stac_lake.lake import Lake

Unit = Literal["cell", "patch"]
Item = Mapping[str, Any]
Sample = dict[str, Any]

META = (
    "lon", "lat", "time_start", "time_end", "area_km2", "gsd", "sun_elevation", "incidence_angle",
    "ascending",
)  # fmt: skip
"""Numbers per image: degrees (true centre), days since 1970-01-01, km², m, degrees, degrees, and 1
for an ascending orbit, 0 for a descending one; NaN where it does not apply."""


class LakeDataset:
    """Training samples of a lake.

    One sample is a cell (or one patch with its cell's coarse modalities):

        sample["s2"] = {
            "data":    (N, 4, C, 264, 264)   values; zeros where nothing is present
            "valid":   (N, 4, 264, 264)      True where a pixel is usable
            "qa":      (N, 4, 264, 264)      bit flags, see `stac_lake.types.Qa`
            "present": (N, 4)                True where there is an image
            "meta":    (N, 4, len(META))     float64, see META
            "item":    [[id or "", …], …]
        }

    "s1" has the same N patches in the same order; "s3" is (8, 21, 96, 96), each gas
    (12, 1, 28, 28), "dem" (960, 960). With ``unit="patch"`` N disappears. S5P has no `qa`; there
    "qa" is the number of orbits.

    Args:
        lake: An open lake.
        filter: CQL2, for all products that define its properties, or per product
            (``{"s2-l1c": "eo:cloud_cover < 10"}``), so that the others are not lost.
        unit: ``cell`` or ``patch``.
        times: ``all``, ``one`` (at random per sample, seeded) or how many.
        missing: ``mask`` keeps every sample; ``drop`` leaves out the modalities that no sample has;
            ``require`` keeps the samples in which every modality has an image.
        products: Which product stands for its modality, where a lake has several.
        normalize: ``lake``, ``copernicus-fm`` or None (values as stored).
        recipe: Id or path of the recipe whose slots order the time axis.
        seed: Of the random times.

    Raises:
        ConfigError: nothing matches, or the normalisation does not fit a product.
    """

    def __init__(  # noqa: PLR0913 - each one is a decision about the training set
        self,
        lake: Lake,
        filter: str | Mapping[str, str] | None = None,  # noqa: A002 - the word of the STAC API
        *,
        unit: Unit = "cell",
        times: Literal["all", "one"] | int = "all",
        missing: Literal["mask", "drop", "require"] = "mask",
        products: Sequence[str] = (),
        normalize: Literal["lake", "copernicus-fm"] | None = None,
        recipe: str = "copernicus-pretrain",
        seed: int = 42,
    ) -> None:
        self._objects = lake.index.objects
        self.unit = unit
        self.times = times
        self.seed = seed
        self.epoch = 0
        by_product: dict[str, list[Item]] = defaultdict(list)
        for item in _search(lake, filter):
            by_product[item["properties"]["lake:product"]].append(item)
        if not by_product:
            raise ConfigError(
                f"no item of {lake.index.objects.url} matches: try `stac-lake query --count`"
            )
        loaded = load_recipe(recipe)
        chosen = choose_products(loaded, by_product, tuple(products))
        if missing != "drop":
            for series in loaded.series:
                chosen.setdefault(series.modality, series.products[0])
        self.shapes = series_shapes(loaded, chosen)
        self.bands = {name: band_facts(shape.product) for name, shape in self.shapes.items()}
        self._normal = {
            name: _normalization(normalize, shape, by_product[shape.product])
            for name, shape in self.shapes.items()
        }
        self._items = {name: by_product[shape.product] for name, shape in self.shapes.items()}
        self._samples = _samples(self._items, self.shapes, unit)
        if missing == "require":
            self._samples = [s for s in self._samples if set(s.images) == set(self.shapes)]
        if not self._samples:
            raise ConfigError("no sample has every modality: use missing='mask' or another filter")

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        where = self._samples[index]
        sample: Sample = {"cell": where.cell.id, "patches": [patch.id for patch in where.patches]}
        for name, shape in self.shapes.items():
            patches = where.patches if shape.per_patch else (None,)
            picked = self._times(index, name, shape, where)
            lines = [
                [where.images.get(name, {}).get((patch, time)) for time in picked]
                for patch in patches
            ]
            block = self._block(name, shape, lines)
            if not shape.per_patch or self.unit == "patch":
                block = {key: value[0] for key, value in block.items()}
            if name == "dem":
                # One height without a time: (960, 960), as the published data set has it.
                block = {key: value[0] for key, value in block.items()}
                block["data"] = block["data"][0]
            sample[name] = block
        return sample

    def set_epoch(self, epoch: int) -> None:
        """Draw other random times from now on; the same epoch gives the same ones."""
        self.epoch = epoch

    def cell_of(self, index: int) -> Cell:
        """The cell that a sample lies in."""
        return self._samples[index].cell

    def _times(self, index: int, name: str, shape: SeriesShape, where: _Where) -> list[int]:
        if self.times == "all" or shape.times == 1:
            return list(range(shape.times))
        count = 1 if self.times == "one" else int(self.times)
        present = sorted({time for _, time in where.images.get(name, {})}) or list(
            range(shape.times)
        )
        rng = np.random.default_rng([self.seed, self.epoch, index, len(name), ord(name[-1])])
        drawn = rng.permutation(present)[:count].tolist()
        spare = [time for time in range(shape.times) if time not in drawn]
        return sorted(drawn + spare[: count - len(drawn)])

    def _block(
        self, name: str, shape: SeriesShape, lines: Sequence[Sequence[Item | None]]
    ) -> dict[str, Any]:
        patches, times = len(lines), len(lines[0])
        size = (shape.pixels, shape.pixels)
        normal = self._normal[name]
        item = product(shape.product)
        dtype = np.dtype(np.float32 if normal else item.dtype)
        block: dict[str, Any] = {
            "data": np.zeros((patches, times, shape.bands, *size), dtype),
            "valid": np.zeros((patches, times, *size), np.bool_),
            "qa": np.zeros((patches, times, *size), np.int32),
            "present": np.zeros((patches, times), np.bool_),
            "meta": np.full((patches, times, len(META)), np.nan),
            "item": [["" for _ in line] for line in lines],
        }
        for n, line in enumerate(lines):
            for t, document in enumerate(line):
                if document is None:
                    continue
                chip = read_chip(self._objects, document)
                block["data"][n, t] = _values(chip[: shape.bands], normal)
                block["valid"][n, t] = valid_mask(item, chip)
                # `qa`, or n_orbits where a product has no flags: the first band after the data.
                block["qa"][n, t] = chip[shape.bands]
                block["present"][n, t] = True
                block["meta"][n, t] = _meta(document)
                block["item"][n][t] = document["id"]
        return block


class _Where:
    """One sample: its place, and its images by modality, patch and time."""

    def __init__(self, cell: Cell, patches: tuple[Patch, ...]) -> None:
        self.cell = cell
        self.patches = patches
        self.images: dict[str, dict[tuple[Patch | None, int], Item]] = defaultdict(dict)


def _search(lake: Lake, wanted: str | Mapping[str, str] | None) -> list[Item]:
    """Items of a filter; a per-product filter leaves the products that it does not name alone."""
    if not isinstance(wanted, Mapping):
        return list(lake.search(wanted))
    every = [item for item in lake.search() if item["properties"]["lake:product"] not in wanted]
    return every + list(lake.search(wanted))


def _samples(
    items: Mapping[str, list[Item]], shapes: Mapping[str, SeriesShape], unit: Unit
) -> list[_Where]:
    """Samples in the order of cell and patch."""
    slots = [
        (name, Slot.from_id(item["id"]), item) for name, found in items.items() for item in found
    ]
    patches: dict[Cell, set[Patch]] = defaultdict(set)
    for _, slot, _ in slots:
        patches[slot.cell] |= {slot.patch} if slot.patch else set()
    places: dict[Cell, list[_Where]] = {}
    for cell in sorted(patches):
        own = tuple(sorted(patches[cell]))
        groups = [(patch,) for patch in own] if unit == "patch" else [own]
        places[cell] = [_Where(cell, group) for group in groups]
    for name, slot, item in slots:
        position = shapes[name].positions.get(slot.name)
        if position is None:
            continue
        for where in places[slot.cell]:
            if slot.patch is None or slot.patch in where.patches:
                where.images[name][slot.patch, position] = item
    return [where for cell in places.values() for where in cell if where.images]


def _normalization(
    kind: str | None, shape: SeriesShape, items: Sequence[Item]
) -> Normalization | None:
    if kind is None:
        return None
    if kind == "copernicus-fm":
        return copernicus_fm(shape.product)
    return from_items(items, shape.bands) if items else None


def _values(data: NDArray[Any], normal: Normalization | None) -> NDArray[Any]:
    if normal:
        return normal.apply(data)
    return np.where(np.isfinite(data), data, data.dtype.type(0))


def _meta(item: Item) -> list[float]:
    properties = item["properties"]
    start = properties["datetime"] or properties["start_datetime"]
    end = properties["datetime"] or properties["end_datetime"]
    centre = properties["proj:centroid"]
    slot = Slot.from_id(item["id"])
    nan = float("nan")
    orbit = properties.get("sat:orbit_state")
    return [
        centre["lon"],
        centre["lat"],
        _days(start),
        _days(end),
        _area_km2(slot),
        properties.get("gsd", nan),
        properties.get("view:sun_elevation", nan),
        properties.get("view:incidence_angle", nan),
        nan if orbit is None else float(orbit == "ascending"),
    ]


def _days(text: str) -> float:
    return datetime.fromisoformat(text).timestamp() / 86400


def _area_km2(slot: Slot) -> float:
    """Area on the sphere of the authalic radius 6371.0072 km (GRS 80)."""
    if slot.patch:
        return 2.64**2
    _, south, _, north = slot.cell.bounds
    sines = np.sin(np.radians([max(south, -90.0), min(north, 90.0)]))
    return float(6371.0072**2 * np.radians(0.25) * (sines[1] - sines[0]))
