"""A map-style dataset over a lake: fixed shapes, masks, and nothing repeated or made up.

It returns numpy arrays and needs no torch; `torch.utils.data.DataLoader` makes tensors of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from stac_lake.errors import ConfigError
from stac_lake.grid import Cell
from stac_lake.loaders.forked import CONNECTIONS
from stac_lake.loaders.normalize import Normalization, band_statistics, copernicus_fm, pooled
from stac_lake.loaders.places import META, Image, Place, Unit, places
from stac_lake.loaders.read import read_tiles
from stac_lake.loaders.series import (
    SeriesShape,
    band_facts,
    choose_products,
    series_shapes,
)
from stac_lake.loaders.units import Reflectance, Units, has_reflectance
from stac_lake.quality.valid import qa_flags, valid_mask
from stac_lake.recipe import Recipe, known, product
from stac_lake.recipe import recipe as load_recipe

if TYPE_CHECKING:
    from stac_lake.lake import Lake
    from stac_lake.quality.filter import Filter

Missing = Literal["mask", "drop", "require"]
Normalize = Literal["lake", "copernicus-fm"]
Sample = dict[str, Any]
Job = tuple[dict[str, Any], tuple[int, int], str, Image]
"""Block, (patch, time) in it, modality, and the image that belongs there."""


class LakeDataset:
    """Training samples of a lake.

    One sample is a cell (or one patch with its cell's coarse modalities):

        sample["cell"], sample["patches"]    id of the cell, ids of its N patches
        sample["s2"] = {
            "data":    (N, 4, C, 264, 264)   values; zeros where nothing is present
            "valid":   (N, 4, 264, 264)      True where a pixel is usable
            "qa":      (N, 4, 264, 264)      bit flags, see `stac_lake.types.Qa`
            "present": (N, 4)                True where there is an image
            "meta":    (N, 4, len(META))     float64, see `stac_lake.loaders.places.META`
            "item":    [[id or "", …], …]
        }

    "s1" has the same N patches in the same order; "s3" is (8, 21, 96, 96), each gas
    (12, 1, 28, 28), "dem" (960, 960). With ``unit="patch"`` N disappears; with ``times`` the time
    axis is shorter. S5P has no `qa`; there "qa" is the number of orbits.

    Cells differ in N, which torch's default collation refuses: pass
    ``collate_fn=stac_lake.loaders.collate``. Workers may be forked, spawned or served, on disk and
    on S3. With ``persistent_workers=True`` they keep the epoch that they were started with.

    Attributes:
        shapes: Modality → `SeriesShape`: product, slots, bands, pixels.
        bands: Modality → wavelengths and widths in nanometres.
        normalization: Modality → what is applied; None where values are as stored.
        not_applied: Products left out because they lack a property of the filter.

    Args:
        lake: An open lake.
        filter: CQL2 per product (``{"s2-l1c": "eo:cloud_cover < 10"}``), which leaves the others
            alone; or one, and then items of products that lack one of its properties are left out.
        unit: ``cell`` or ``patch``.
        times: ``all``, ``one`` (at random per sample and modality, among those present; the same
            for the same seed and epoch) or how many.
        missing: A modality that a sample lacks is zeros (``mask``) or no key (``drop``);
            ``require`` keeps the samples that have an image of every modality.
        units: ``reflectance`` turns the stored numbers of optical products into reflectances
            (float32): by the scale and offset of their bands, and OLCI's radiances, at the top of
            the atmosphere, by solar flux and sun. Other products stay as they are.
        products: Which product stands for its modality, where a lake has several.
        modalities: Which ones to load; None for all of the recipe.
        normalize: ``lake`` (mean and standard deviation of the valid pixels of all items that
            match), ``copernicus-fm``, or None; both are for stored values. Nodata is 0 afterwards.
        recipe: Id or path of the recipe whose slots order the time axis.
        seed: Of the random times.

    Raises:
        ConfigError: nothing matches, an argument is not one of those above, or the normalisation
            does not fit a product.
        QueryError: the filter is not valid.
        BadRaster: an item does not say how to read it.
    """

    def __init__(  # noqa: PLR0913 - each one is a decision about the training set
        self,
        lake: Lake,
        filter: Filter | None = None,  # noqa: A002 - the word of the STAC API
        *,
        unit: Unit = "cell",
        times: Literal["all", "one"] | int = "all",
        missing: Missing = "mask",
        products: Sequence[str] = (),
        modalities: Sequence[str] | None = None,
        units: Units = "stored",
        normalize: Normalize | None = None,
        recipe: str = "copernicus-pretrain",
        seed: int = 42,
    ) -> None:
        _check(unit, times, missing, normalize)
        _check_units(units, normalize)
        self._objects = lake.index.objects
        self._times, self._missing, self._unit = times, missing, unit
        self._seed, self._epoch = seed, 0
        self._units = units
        self._reflectances: dict[str, Reflectance] = {}
        loaded = load_recipe(recipe)
        wanted = _modalities(loaded, modalities)
        candidates = {name for s in loaded.series if s.modality in wanted for name in s.products}
        images: dict[str, list[Image]] = defaultdict(list)
        statistics: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
        self.not_applied: tuple[str, ...] = ()
        for page in lake.search(filter, products=sorted(candidates | {*products})).pages():
            self.not_applied = page.not_applied
            for item in page.items:
                name = item["properties"]["lake:product"]
                images[name].append(Image.of(item, self._objects.url))
                if self._as_reflectance(name):
                    self._reflectances[item["id"]] = Reflectance.of(product(name), item)
                if normalize == "lake":
                    count = len(product(name).value_bands)
                    statistics[name].append(band_statistics(item, count))
        chosen = _products(loaded, images, products)
        self.shapes = series_shapes(loaded, {name: chosen[name] for name in wanted})
        self.bands = {name: band_facts(shape.product) for name, shape in self.shapes.items()}
        self.normalization = {
            name: _normalization(normalize, shape, statistics.get(shape.product, ()))
            for name, shape in self.shapes.items()
        }
        by_modality = {name: images.get(s.product, []) for name, s in self.shapes.items()}
        self._places = places(by_modality, self.shapes, unit)
        if missing == "require":
            self._places = [p for p in self._places if p.images.keys() == self.shapes.keys()]
        if not self._places:
            raise ConfigError(self._nothing(by_modality))

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Sample:
        place = self._places[index]
        sample: Sample = {"cell": place.cell.id, "patches": [patch.id for patch in place.patches]}
        jobs: list[Job] = []
        for name, shape in self.shapes.items():
            if self._missing == "drop" and name not in place.images:
                continue
            patches = place.patches if shape.per_patch else (None,)
            times = self._drawn(name, shape, place)
            block = self._empty(name, len(patches), len(times))
            images = place.images.get(name, {})
            for n, patch in enumerate(patches):
                for t, time in enumerate(times):
                    if image := images.get((patch, time)):
                        jobs.append((block, (n, t), name, image))
            sample[name] = block
        self._read(jobs)
        for name in self.shapes.keys() & sample.keys():
            sample[name] = self._squeezed(name, sample[name])
        return sample

    def set_epoch(self, epoch: int) -> None:
        """Draw other random times from now on; the same epoch gives the same ones.

        To be called before the DataLoader is iterated.
        """
        self._epoch = epoch

    def cell_of(self, index: int) -> Cell:
        """The cell that a sample lies in."""
        return self._places[index].cell

    def _drawn(self, name: str, shape: SeriesShape, place: Place) -> list[int]:
        """Indices on the time axis: those with images first, in the order of time."""
        if self._times == "all":
            return list(range(shape.times))
        count = min(1 if self._times == "one" else self._times, shape.times)
        # By what the sample is, not by its number: other samples of the lake do not matter.
        what = f"{place.cell.id} {place.patches} {name}"
        rng = np.random.default_rng([self._seed, self._epoch, *what.encode()])
        present = place.times(name)
        absent = [time for time in range(shape.times) if time not in present]
        return sorted([*rng.permutation(present).tolist(), *absent][:count])

    def _as_reflectance(self, name: str) -> bool:
        return self._units == "reflectance" and has_reflectance(product(name))

    def _empty(self, name: str, patches: int, times: int) -> dict[str, Any]:
        """A block in which nothing is present."""
        shape = self.shapes[name]
        stored = np.dtype(product(shape.product).dtype)
        scaled = self.normalization[name] or self._as_reflectance(shape.product)
        size = (shape.pixels, shape.pixels)
        return {
            "data": np.zeros(
                (patches, times, shape.bands, *size),
                np.float32 if scaled else stored,
            ),
            "valid": np.zeros((patches, times, *size), np.bool_),
            "qa": np.zeros((patches, times, *size), np.int32),
            "present": np.zeros((patches, times), np.bool_),
            "meta": np.full((patches, times, len(META)), np.nan),
            "item": [[""] * times for _ in range(patches)],
        }

    def _read(self, jobs: Sequence[Job]) -> None:
        """Fill blocks: one after the other from disk, many at a time from S3."""
        if self._objects.is_local:
            for job in jobs:
                self._fill(job)
            return
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            for _ in pool.map(self._fill, jobs):
                pass

    def _fill(self, job: Job) -> None:
        block, (n, t), name, image = job
        item = product(self.shapes[name].product)
        chip = read_tiles(self._objects, image.tiles)
        data = chip[: self.shapes[name].bands]
        how = self.normalization[name] or self._reflectances.get(image.slot.id)
        block["data"][n, t] = how.apply(data, item.nodata) if how else _finite(data)
        block["valid"][n, t] = valid_mask(item, chip)
        orbits = None if item.qa_band is not None else chip[item.band_names.index("n_orbits")]
        block["qa"][n, t] = qa_flags(item, chip) if orbits is None else orbits
        block["present"][n, t] = True
        block["meta"][n, t] = image.meta
        block["item"][n][t] = image.slot.id

    def _squeezed(self, name: str, block: dict[str, Any]) -> dict[str, Any]:
        """Without the axes that a modality, or a sample, does not have."""
        if not self.shapes[name].per_patch or self._unit == "patch":
            block = {key: value[0] for key, value in block.items()}
        if name == "dem":
            # One height without a time: (960, 960), as the published data set has it.
            block = {key: value[0] for key, value in block.items()}
            block["data"] = block["data"][0]
        return block

    def _nothing(self, images: dict[str, list[Image]]) -> str:
        """Why there is no sample, and what to do."""
        lacking = [name for name, found in images.items() if not found]
        if self._missing == "require" and len(lacking) < len(images):
            what = (
                f"the lake has no {', '.join(lacking)} that match" if lacking else "each lacks one"
            )
            return f"no sample has every modality ({what}): use missing='mask', or modalities=[…]"
        return (
            f"no item of {self._objects.url} matches: try `stac-lake query --count`, "
            "or unit='cell' where there are no patches"
        )


def _finite(data: NDArray[Any]) -> NDArray[Any]:
    return data if data.dtype.kind == "u" else np.where(np.isfinite(data), data, 0)


def _check(unit: str, times: str | int, missing: str, normalize: str | None) -> None:
    for what, value, allowed in (
        ("unit", unit, get_args(Unit)),
        ("missing", missing, get_args(Missing)),
        ("normalize", normalize, (None, *get_args(Normalize))),
    ):
        if value not in allowed:
            raise ConfigError(f"{what}={value!r}: expected one of {allowed}")
    if times not in ("all", "one") and not (isinstance(times, int) and times > 0):
        raise ConfigError(f"times={times!r}: expected 'all', 'one' or a number above 0")


def _check_units(units: str, normalize: str | None) -> None:
    if units not in get_args(Units):
        raise ConfigError(f"units={units!r}: expected one of {get_args(Units)}")
    if units != "stored" and normalize is not None:
        raise ConfigError(
            f"normalize={normalize!r} is made for stored values: use it with units='stored', or "
            "normalise the reflectances yourself"
        )


def _modalities(recipe: Recipe, wanted: Sequence[str] | None) -> tuple[str, ...]:
    every = {series.modality: series.modality for series in recipe.series}
    names = every if wanted is None else wanted
    return tuple(known(name, every, "modality of the recipe") for name in names)


def _products(
    recipe: Recipe, images: dict[str, list[Image]], wanted: Sequence[str]
) -> dict[str, str]:
    """Modality → product; one that has no items still gives the shape of what is absent."""
    first = {series.modality: series.products[0] for series in recipe.series}
    return first | choose_products(recipe, images, wanted)


def _normalization(
    kind: Normalize | None, shape: SeriesShape, statistics: Sequence[NDArray[np.float64]]
) -> Normalization | None:
    if kind is None:
        return None
    if kind == "copernicus-fm":
        return copernicus_fm(shape.product)
    return pooled(statistics or [np.zeros((3, shape.bands))])
