"""How the pixels of a product are made: one class per operator, with what its YAML may say."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stac_lake.recipe.strict import Strict
from stac_lake.types import Qa

Resampling = Literal["nearest", "bilinear", "cubic"]

Meaning = Literal[
    "unobserved", "cloud", "cirrus", "shadow", "snow", "water", "saturated", "invalid"
]
"""What a file of flags can say of a pixel: that it was not seen, or a flag of `qa`."""


class FlagFile(Strict):
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


class UnlistedFile(Strict):
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


class OffsetCheck(Strict):
    """Surfaces that are nearly black: where they are not, the offset is still in the pixels."""

    dark: dict[str, tuple[int, ...]]
    """Band → classes of the first mask that are dark in it."""
    percentile: float
    """Of the dark pixels; the least ones are noise."""
    above: int
    """DN that this percentile reaches only with the offset."""
    min_pixels: int
    """With fewer dark pixels nothing is decided."""


class Offset(Strict):
    """A number that the provider adds to all reflectances, so that none is negative."""

    dn: int
    since_baseline: str
    """First processing baseline that adds it: ``04.00``."""
    check: OffsetCheck | None = None
    """Applied to collections that say that it has been removed."""


class Optical(Strict):
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


class Backscatter(Strict):
    """Sentinel-1 RTC: linear power to decibel."""

    operator: Literal["backscatter"]
    source_nodata: float
    resampling: Resampling = "bilinear"


class Sigma0(Strict):
    """Sentinel-1 GRD: noise and calibration tables, range-Doppler terrain correction, decibel."""

    operator: Literal["sigma0"]
    terrain: str
    """Product whose heights the geometry needs."""
    resampling: Resampling = "bilinear"
    """Of linear power, at exact positions; cubic is refused."""


class Radiance(Strict):
    """Sentinel-3 OLCI: swath to cell grid by inverse geolocation."""

    operator: Literal["radiance"]
    resampling: Resampling = "bilinear"
    max_sun_zenith_deg: float = 75
    max_opened: int = 6


class Column(Strict):
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


class Elevation(Strict):
    """Copernicus DEM: mosaic of degree tiles, warped to the cell grid."""

    operator: Literal["elevation"]
    resampling: Resampling = "bilinear"
    fallback_collections: dict[str, str] = {}
    """Provider → collection of GLO-90, for land tiles that GLO-30 lacks."""


Values = Annotated[
    Optical | Backscatter | Sigma0 | Radiance | Column | Elevation,
    Field(discriminator="operator"),
]
