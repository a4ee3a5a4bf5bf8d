"""Providers, and the products that are made of what they have."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Literal, Self, get_args

from pydantic import Field, model_validator

from stac_lake.dem_lattice import native_dem_grid
from stac_lake.recipe.strict import Strict, known
from stac_lake.recipe.values import Backscatter, Optical, Radiance, Values
from stac_lake.types import PixelGrid, Slot, cell_grid, metric_grid, patch_grid

Modality = Literal["s1", "s2", "s3", "co", "no2", "o3", "so2", "dem", "landsat"]
MODALITIES: tuple[str, ...] = get_args(Modality)

COMPANIONS = ("qa", "n_orbits", "std")
"""Bands that say something about the values beside them."""


class Provider(Strict):
    """One public STAC API: where it is, how it pages, filters and signs, what it may serve from."""

    id: str
    title: str
    api: str
    """Root of the STAC API, without a trailing slash."""
    filter: Literal["query", "cql2-json"]
    """How a property filter is sent: the `query` extension, or CQL2 JSON."""
    page_limit: int = Field(gt=0)
    requests_per_s: float = Field(gt=0)
    """Upper bound that the client keeps to in the API; files are bounded by `connections`."""
    connections: int = Field(default=16, gt=0)
    """How many files are read from at the same time."""
    signer: Literal["anonymous", "sas", "s3"]
    sas_api: str | None = None
    """Root of the token endpoint: ``{sas_api}/token/{account}/{container}``."""
    s3_endpoint: str | None = None
    credentials: tuple[str, ...] = ()
    """Environment variables that the signer needs, in the order key, secret."""
    buckets: dict[str, str] = {}
    """``s3://`` buckets that may be read, and the host that serves each."""
    hosts: tuple[str, ...] = ()
    """Hosts that assets may come from; ``*.`` stands for one label or more."""


class Band(Strict):
    """One band of a product, in file order."""

    name: str
    description: str = ""
    common_name: str | None = None
    """eo:common_name, where the vocabulary has one."""
    wavelength_nm: float | None = None
    width_nm: float | None = None
    gsd_m: float | None = None
    unit: str | None = None
    scale: float | None = None
    """What turns the stored number into `unit`; None means 1."""
    offset: float | None = None
    """Added after `scale`; None means 0."""


class SourceCollection(Strict):
    """Where a product comes from: one collection of one provider."""

    provider: str
    collection: str
    assets: dict[str, str]
    """The product's asset key → the provider's."""
    filters: dict[str, str] = {}
    """Property = value, asked of the provider and checked again on each item."""
    since: date | None = None
    """First day of acquisition that is taken from here."""
    until: date | None = None
    """Day before which the acquisition must be."""
    offset_in_pixels: Literal["by_baseline", "removed"] | None = None
    """Sentinel-2: is the radiometric offset of baseline 04.00 and later still in the pixels?"""


class Product(Strict):
    """One sensor product: its bands, grid, values and sources."""

    id: str
    title: str
    description: str
    modality: Modality
    license: str
    attribution: str
    platform_ids: tuple[str, ...]
    constellation: str
    instruments: tuple[str, ...]
    processing_level: str
    unit_of: Literal["patch", "cell"]
    """Whether a slot is a 264-pixel patch at 10 m or the whole cell."""
    pixels: int
    gsd_m: float
    dtype: Literal["uint16", "float32"]
    nodata: float
    """Of the file; NaN is written ``.nan``."""
    bands: tuple[Band, ...]
    """In file order; qa (or n_orbits and std) stand after all values but the optional ones."""
    optional_bands: tuple[Band, ...] = ()
    """Bands that a recipe may ask for (`Series.extra_bands`), or that take the place of others."""
    grid: Literal["cell", "metric", "native"] = "cell"
    """Of a cell's product: 0.25° / `pixels` in EPSG:4326; `pixels` × `gsd_m` in the UTM zone or
    polar projection of the cell's centre; or the source's own pixels (elevation)."""
    lattice_origin_m: tuple[float, float] = (0, 0)
    """Of a patch's product: what the corners of the sensor's pixels are modulo `gsd_m`."""
    values: Values
    sources: tuple[SourceCollection, ...] = ()
    """In order of preference."""
    overview: int | None = None
    """Size of the one overview, where the chip is larger than 512 pixels."""
    renders: dict[str, dict[str, Any]] = {}
    """`render` extension: name → assets, bidx, rescale, colormap_name."""

    @model_validator(mode="after")
    def _bands_have_assets(self) -> Self:
        for source in self.sources:
            if isinstance(self.values, Optical | Backscatter | Radiance):
                wanted = {band.name for band in self.bands} - {"qa"}
                if isinstance(self.values, Optical):
                    wanted |= self.values.files
                missing = sorted(wanted - set(source.assets))
                if missing:
                    raise ValueError(
                        f"source {source.provider}/{source.collection} names no asset for {missing}"
                    )
        return self

    @property
    def band_names(self) -> tuple[str, ...]:
        return tuple(band.name for band in self.bands)

    @property
    def value_bands(self) -> tuple[Band, ...]:
        """The bands without `qa`, or n_orbits and std."""
        return tuple(band for band in self.bands if band.name not in COMPANIONS)

    @property
    def qa_band(self) -> int | None:
        """Index of `qa`; None where a product has none."""
        return self.band_names.index("qa") if "qa" in self.band_names else None

    @property
    def terrain(self) -> str | None:
        """Product whose heights the geometry of the pixels needs."""
        return getattr(self.values, "terrain", None)

    def with_bands(self, names: Sequence[str]) -> Self:
        """The product with exactly these of its bands, optional ones included.

        Raises:
            ConfigError: a name is not among them.
        """
        every = {band.name: band for band in (*self.bands, *self.optional_bands)}
        chosen = tuple(known(name, every, f"band of {self.id}") for name in names)
        return self.model_copy(update={"bands": chosen})

    def grid_of(self, slot: Slot) -> PixelGrid:
        """Where the pixels of a slot lie."""
        if slot.patch:
            return patch_grid(slot.patch, self.pixels, self.gsd_m, self.lattice_origin_m)
        if self.grid == "metric":
            return metric_grid(slot.cell, self.pixels, self.gsd_m)
        if self.grid == "native":
            return native_dem_grid(slot.cell)
        return cell_grid(slot.cell, self.pixels)
