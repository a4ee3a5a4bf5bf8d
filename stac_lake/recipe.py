"""Typed models of the YAML in `catalogs/`: providers, products, recipes.

Vocabularies are closed: an unknown key is refused with the file, the key and what is allowed. There
is no expression language; where a value depends on an item, code reads it from the item.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stac_lake.dem_lattice import native_dem_grid
from stac_lake.errors import ConfigError
from stac_lake.types import PixelGrid, Qa, Slot, Window, cell_grid, metric_grid, patch_grid

Resampling = Literal["nearest", "bilinear", "cubic"]


Modality = Literal["s1", "s2", "s3", "co", "no2", "o3", "so2", "dem", "landsat"]
MODALITIES: tuple[str, ...] = get_args(Modality)

COMPANIONS = ("qa", "n_orbits", "std")
"""Bands that say something about the values beside them."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Provider(_Model):
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


class Band(_Model):
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


class SourceCollection(_Model):
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


Meaning = Literal[
    "unobserved", "cloud", "cirrus", "shadow", "snow", "water", "saturated", "invalid"
]
"""What a file of flags can say of a pixel: that it was not seen, or a flag of `qa`."""


class FlagFile(_Model):
    """A file that says what each pixel shows, in one of three ways."""

    asset: str
    """The product's key of it."""
    classes: dict[int, Meaning] = {}
    """Value of the pixel → what it means; values that are not named mean nothing."""
    bits: dict[int, Meaning] = {}
    """Bit of the value, the lowest being 0 → what it means if set."""
    planes: tuple[Meaning, ...] = ()
    """One band each, in file order: what it means where it is not 0."""

    @model_validator(mode="after")
    def _in_one_way(self) -> Self:
        if sum(map(bool, (self.classes, self.bits, self.planes))) != 1:
            raise ValueError(f"file {self.asset!r} needs one of classes, bits, planes")
        return self

    @property
    def meanings(self) -> frozenset[Meaning]:
        """All that it can say."""
        return frozenset((*self.classes.values(), *self.bits.values(), *self.planes))

    @property
    def tells(self) -> Qa:
        """The flags that it can set."""
        flags = Qa(0)
        for meaning in self.meanings - {"unobserved"}:
            flags |= Qa[meaning.upper()]
        return flags


class UnlistedFile(_Model):
    """Where a file lies that no item lists."""

    beside: str
    """Asset whose folder `path` starts from."""
    path: str
    like: str
    """Asset of the same pixels."""
    since_baseline: str | None = None
    """Processing baseline from which on there is one: ``04.00``."""


class Mask(FlagFile):
    """The file of flags that says where cloud is."""

    source: str
    """How items call it: `lake:cloud_source`."""
    unlisted: UnlistedFile | None = None
    of: str | None = None
    """Product whose scene of the same acquisition, from the same provider, has the file."""

    @property
    def is_listed(self) -> bool:
        """Whether every item of the product itself has to list it."""
        return self.unlisted is None and self.of is None


class OffsetCheck(_Model):
    """Surfaces that are nearly black: where they are not, the offset is still in the pixels."""

    dark: dict[str, tuple[int, ...]]
    """Band → classes of the first mask that are dark in it."""
    percentile: float
    """Of the dark pixels; the least ones are noise."""
    above: int
    """DN that this percentile reaches only with the offset."""
    min_pixels: int
    """With fewer dark pixels nothing is decided."""


class Offset(_Model):
    """A number that the provider adds to all reflectances, so that none is negative."""

    dn: int
    since_baseline: str
    """First processing baseline that adds it: ``04.00``."""
    check: OffsetCheck | None = None
    """Applied to collections that say that it has been removed."""


class Optical(_Model):
    """Reflectances as their source has them: offset removed, masks to qa, least crop cloud."""

    operator: Literal["optical"]
    masks: tuple[Mask, ...]
    """Tried in order: the first that a scene has is taken."""
    more_flags: tuple[FlagFile, ...] = ()
    """Files whose flags are added to the mask's."""
    observed_in: Literal["all_bands", "any_band"] = "all_bands"
    """Which bands must have a number other than nodata; optional ones never count."""
    saturated_dn: int | None = None
    """Number that stands for a saturated pixel."""
    offset: Offset | None = None
    harmonize: bool = True
    """Remove the offset; False keeps the source's numbers."""
    resampling: Resampling = "nearest"
    """Of bands that are coarser than the product's grid; flags are always nearest."""

    @property
    def files(self) -> set[str]:
        """Assets with flags that every source has to list."""
        listed = {mask.asset for mask in self.masks if mask.is_listed}
        return listed | {file.asset for file in self.more_flags}


class Backscatter(_Model):
    """Sentinel-1 RTC: linear power to decibel."""

    operator: Literal["backscatter"]
    source_nodata: float
    resampling: Resampling = "bilinear"


class Sigma0(_Model):
    """Sentinel-1 GRD: noise and calibration tables, range-Doppler terrain correction, decibel."""

    operator: Literal["sigma0"]
    terrain: str
    """Product whose heights the geometry needs."""
    resampling: Resampling = "bilinear"
    """Of linear power, at exact positions; cubic is refused."""


class Radiance(_Model):
    """Sentinel-3 OLCI: swath to cell grid by inverse geolocation."""

    operator: Literal["radiance"]
    resampling: Resampling = "bilinear"
    max_sun_zenith_deg: float = 75
    max_opened: int = 6


class Column(_Model):
    """Sentinel-5P: area-weighted footprints per orbit, then the mean over orbits."""

    operator: Literal["column"]
    variables: dict[str, str]
    """First processor version (``01``, ``02`` …) that has it → path of the variable."""
    qa_above: float
    """A footprint is used if its qa_value, a multiple of 0.01, is greater than this."""
    collections: tuple[str, ...] = ("03",)
    """Collections that may be used; a month takes the newest of them that it has, and no other."""
    min_orbit_coverage: float = 0.5
    """Share of a pixel that an orbit must cover to count."""


class Elevation(_Model):
    """Copernicus DEM: mosaic of degree tiles, warped to the cell grid."""

    operator: Literal["elevation"]
    resampling: Resampling = "bilinear"
    fallback_collections: dict[str, str] = {}
    """Provider → collection of GLO-90, for land tiles that GLO-30 lacks."""


Values = Annotated[
    Optical | Backscatter | Sigma0 | Radiance | Column | Elevation,
    Field(discriminator="operator"),
]


class Product(_Model):
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


class DaylightBins(_Model):
    """Equal parts of the days of a span on which the noon sun is high enough."""

    count: int = Field(gt=0)
    start: date
    end: date
    max_noon_sun_zenith_deg: float


class Series(_Model):
    """One modality of a recipe: which product, in which slots."""

    modality: str
    products: tuple[str, ...]
    """In order of preference; the first that can be served takes the slot, under its own id."""
    windows: dict[str, tuple[tuple[date, date], ...]] = {}
    """Slot name → half-open date windows, OR-ed."""
    daylight_bins: DaylightBins | None = None
    pairs_with: str | None = None
    """Modality of another series whose slots this one takes over, patch by patch."""
    min_noon_sun_deg: float | None = None
    """A slot whose noon sun stays lower even on the best day of its windows is polar night."""
    polar_night: dict[str, str] = {}
    """Slot name → the annual slot that takes its place in polar night."""
    annual: dict[str, tuple[tuple[date, date], ...]] = {}
    max_scene_cloud_pct: float | None = None
    """Scenes above it are no candidates."""
    max_candidates: int = Field(default=8, gt=0, le=8)
    extra_bands: tuple[str, ...] = ()
    """Optional bands, appended to the bands of the products that have them."""
    grid: Literal["cell", "metric", "native"] | None = None
    """Overrides the product's."""
    resampling: Resampling | None = None
    """Overrides the product's."""
    harmonize: bool | None = None
    """Overrides the product's (Sentinel-2)."""
    qa_above: float | None = None
    """Overrides the product's (Sentinel-5P)."""
    allow_superseded: bool = False
    """Take older collections of Sentinel-5P where there is no newer one; never mixed in a month."""

    def effective(self, product: Product) -> Product:
        """The product with this series' overrides."""
        changes = {
            name: value
            for name in ("resampling", "harmonize", "qa_above")
            if (value := getattr(self, name)) is not None and hasattr(product.values, name)
        }
        sources = product.sources
        if self.allow_superseded and isinstance(product.values, Column):
            changes["collections"] = ("01", "02", "03")
            sources = tuple(source.model_copy(update={"since": None}) for source in sources)
        update = {"values": product.values.model_copy(update=changes), "sources": sources}
        made = product.model_copy(update=update | ({"grid": self.grid} if self.grid else {}))
        offered = {band.name for band in product.optional_bands}
        extra = [name for name in self.extra_bands if name in offered]
        return made.with_bands((*made.band_names, *extra))


class UniformPatches(_Model):
    """That many patches per cell, spread evenly and seeded."""

    uniform: int = Field(gt=0)


class Recipe(_Model):
    """What to harvest."""

    id: str
    title: str
    description: str
    seed: int = 42
    patches: Literal["centre"] | UniformPatches = "centre"
    series: tuple[Series, ...]

    def leader(self, series: Series) -> Series:
        """The series whose slots a series takes over, or itself."""
        if not series.pairs_with:
            return series
        return next(
            one for one in self.series if one.modality == series.pairs_with and not one.pairs_with
        )

    @model_validator(mode="after")
    def _slots_are_defined(self) -> Self:
        paired = {series.modality for series in self.series if not series.pairs_with}
        for series in self.series:
            kinds = [bool(series.windows), bool(series.daylight_bins), bool(series.pairs_with)]
            if sum(kinds) != 1:
                raise ValueError(
                    f"series {series.modality} needs one of windows, daylight_bins, pairs_with"
                )
            if series.pairs_with and series.pairs_with not in paired:
                raise ValueError(
                    f"series {series.modality} pairs with unknown {series.pairs_with!r}"
                )
            names = [*series.windows, *series.annual]
            bad = [name for name in names if not slot_name_allowed(name)]
            unknown = sorted(set(series.polar_night.values()) - set(series.annual))
            if bad or unknown:
                raise ValueError(f"series {series.modality}: bad slot names {bad + unknown}")
        return self


Model = TypeVar("Model", bound=_Model)


def catalogs_dir() -> Path:
    """The folder of YAML that came with the package, or the checkout's own."""
    installed = Path(__file__).parent / "catalogs"
    return installed if installed.is_dir() else Path(__file__).parents[1] / "catalogs"


def load_yaml(path: Path, model: type[Model]) -> Model:
    """Read and check one YAML file.

    Raises:
        ConfigError: the file is missing, is no YAML, or a key or value is not allowed; the message
            names the file, the key and the allowed keys.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    try:
        loaded = model.model_validate(document)
    except ValidationError as error:
        raise ConfigError(f"{path}: " + "; ".join(_explain(model, error))) from error
    identifier = getattr(loaded, "id", path.stem)
    if identifier != path.stem:
        raise ConfigError(f"{path}: id is {identifier!r}, but the file is called {path.stem!r}")
    return loaded


def _explain(model: type[_Model], error: ValidationError) -> list[str]:
    lines = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            allowed = sorted(_fields_at(model, problem["loc"][:-1]))
            lines.append(f"unknown key {where!r}; allowed: {', '.join(allowed)}")
        else:
            lines.append(f"{where}: {problem['msg']}")
    return lines


def _fields_at(model: type[_Model], path: tuple[int | str, ...]) -> set[str]:
    """Names of the fields of the model that a location of a validation error points into."""
    found: list[type[_Model]] = [model]
    for part in path:
        if isinstance(part, int):
            continue
        deeper = [
            inner
            for candidate in found
            if part in candidate.model_fields
            for inner in _models_in(candidate.model_fields[part].annotation)
        ]
        by_operator = [
            inner
            for inner in found
            if "operator" in inner.model_fields
            and part in str(inner.model_fields["operator"].annotation)
        ]
        found = deeper or by_operator or found
    return {name for candidate in found for name in candidate.model_fields}


def _models_in(annotation: Any) -> list[type[_Model]]:
    if isinstance(annotation, type) and issubclass(annotation, _Model):
        return [annotation]
    return [m for inner in getattr(annotation, "__args__", ()) for m in _models_in(inner)]


@lru_cache
def providers() -> Mapping[str, Provider]:
    """All providers, by id."""
    return {
        p.stem: load_yaml(p, Provider)
        for p in sorted((catalogs_dir() / "providers").glob("*.yaml"))
    }


@lru_cache
def products() -> Mapping[str, Product]:
    """All products, by id.

    Raises:
        ConfigError: a source names a provider that does not exist.
    """
    loaded = {
        p.stem: load_yaml(p, Product) for p in sorted((catalogs_dir() / "products").glob("*.yaml"))
    }
    for product in loaded.values():
        for source in product.sources:
            known(source.provider, providers(), f"provider of product {product.id}")
    return loaded


def product(name: str) -> Product:
    """One product by id; raises ConfigError with a suggestion."""
    return known(name, products(), "product")


def recipe(name: str) -> Recipe:
    """A recipe by id, or by the path of a YAML file.

    Raises:
        ConfigError: there is no such recipe, or it names a product that does not exist.
    """
    path = Path(name)
    if path.suffix not in {".yaml", ".yml"}:
        paths = {p.stem: p for p in sorted((catalogs_dir() / "recipes").glob("*.yaml"))}
        path = known(name, paths, "recipe")
    loaded = load_yaml(path, Recipe)
    for series in loaded.series:
        if series.grid == "native" and series.modality != "dem":
            raise ConfigError(f"{path}: grid native is for dem, not for {series.modality}")
        for identifier in series.products:
            if product(identifier).modality != series.modality:
                raise ConfigError(f"{path}: {identifier} is not of modality {series.modality}")
        offered = {b.name: b for name in series.products for b in product(name).optional_bands}
        for extra in series.extra_bands:
            known(extra, offered, f"optional band of {', '.join(series.products)}")
    return loaded


Thing = TypeVar("Thing")


def known(name: str, things: Mapping[str, Thing], kind: str) -> Thing:
    """Look a name up, or raise ConfigError that suggests the nearest one and lists all."""
    if name in things:
        return things[name]
    near = difflib.get_close_matches(name, things, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ConfigError(f"unknown {kind} {name!r}: {hint}known are {', '.join(sorted(things))}")


def digest(product: Product, windows: tuple[Window, ...]) -> str:
    """Sixteen hex digits that change whenever the pixels of a slot would.

    It covers the effective product (bands, values, resampling, offsets, sources) and the windows;
    titles and pictures are left out.
    """
    content = product.model_dump(
        mode="json",
        exclude={"title", "description", "license", "attribution", "renders", "optional_bands"},
    )
    spans = [[w.start.isoformat(), w.end.isoformat()] for w in windows]
    text = json.dumps([content, spans], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def date_windows(spans: tuple[tuple[date, date], ...]) -> tuple[Window, ...]:
    """Half-open date spans as UTC windows."""
    return tuple(Window(_midnight(start), _midnight(end)) for start, end in spans)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def slot_name_allowed(name: str) -> bool:
    """Slot names become parts of ids and keys: letters, digits and single hyphens."""
    return re.fullmatch(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*", name) is not None
