"""The one dictionary of item properties: JSON schema, queryables and index columns come from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["string", "number", "integer", "boolean", "datetime", "string[]"]


@dataclass(frozen=True, slots=True)
class Property:
    """One queryable property of an item.

    Attributes:
        name: As in the item's ``properties``.
        kind: JSON type; a datetime is an RFC 3339 string in documents and a timestamp in the index.
        description: What it says, for people.
        unit: UCUM-like, None where it has none.
        modalities: Which modalities carry it; empty means all.
    """

    name: str
    kind: Kind
    description: str
    unit: str | None = None
    modalities: tuple[str, ...] = ()


_OPTICAL = ("s2", "landsat")
_GASES = ("co", "no2", "o3", "so2")
_SCENES = ("s1", "s2", "s3", "landsat")
_PATCHES = ("s1", "s2", "landsat")
_SUNLIT = ("s2", "s3", "landsat")

PROPERTIES: tuple[Property, ...] = (
    Property("datetime", "datetime", "moment of acquisition; null for composites"),
    Property("start_datetime", "datetime", "first moment of a composite", None, _GASES),
    Property("end_datetime", "datetime", "last millisecond of a composite", None, _GASES),
    Property("created", "datetime", "when this version of the item was written"),
    Property("platform", "string", "satellite, lower case"),
    Property("constellation", "string", "family of satellites"),
    Property("instruments", "string[]", "instruments"),
    Property("gsd", "number", "ground sample distance", "m"),
    Property("grid:code", "string", "ERA5 cell, ERA5-NNNNNNN"),
    Property("proj:code", "string", "CRS of the pixels"),
    Property("proj:epsg", "integer", "EPSG number of the CRS, for older readers"),
    Property("processing:level", "string", "processing level of the product"),
    Property(
        "eo:cloud_cover", "number", "cloud and cirrus among the observed pixels", "%", _OPTICAL
    ),
    Property("view:sun_elevation", "number", "sun above the horizon", "deg", _SUNLIT),
    Property("view:sun_azimuth", "number", "sun, clockwise from north", "deg", _SUNLIT),
    Property("view:azimuth", "number", "sensor, clockwise from north", "deg", _SCENES),
    Property("view:incidence_angle", "number", "at the surface, from the vertical", "deg", _SCENES),
    Property("sat:orbit_state", "string", "ascending or descending", None, _SCENES),
    Property("sat:relative_orbit", "integer", "orbit within the repeat cycle", None, _SCENES),
    Property("sat:absolute_orbit", "integer", "orbit since launch", None, _SCENES),
    Property("sar:instrument_mode", "string", "IW, EW …", None, ("s1",)),
    Property("sar:polarizations", "string[]", "polarisations flown", None, ("s1",)),
    Property("lake:product", "string", "product of the lake"),
    Property("lake:modality", "string", "s1 s2 s3 co no2 o3 so2 dem landsat"),
    Property("lake:slot", "string", "slot of the plan"),
    Property(
        "lake:patch",
        "string",
        "patch id, absent for products of the whole cell",
        None,
        _PATCHES,
    ),
    Property("lake:source_patch_id", "string", "id of the patch in the data set it was taken from"),
    Property("lake:valid_pct", "number", "valid among all pixels", "%"),
    Property("lake:nodata_pct", "number", "not observed among all pixels", "%"),
    Property("lake:shadow_pct", "number", "cloud shadow among the observed pixels", "%", _OPTICAL),
    Property("lake:snow_pct", "number", "snow and ice among the observed pixels", "%", _OPTICAL),
    Property("lake:water_pct", "number", "water among the observed pixels", "%", _SUNLIT),
    Property("lake:saturated_pct", "number", "saturated or defective pixels", "%", _SUNLIT),
    Property(
        "lake:floored_pct",
        "number",
        "pixels floored at 1 when the offset was removed",
        "%",
        ("s2",),
    ),
    Property("lake:noise_floor_pct", "number", "pixels floored at -50 dB", "%", ("s1",)),
    Property(
        "lake:bright_pct", "number", "bright (cloud, snow, glint) among the observed", "%", ("s3",)
    ),
    Property("lake:glint_pct", "number", "sun-glint risk among the observed", "%", ("s3",)),
    Property("lake:sea_filled_pct", "number", "filled with 0 m for want of a tile", "%", ("dem",)),
    Property("lake:cloud_source", "string", "scl, msk_classi, l2a_scl or qa_pixel", None, _OPTICAL),
    Property("lake:cloud_confidence", "string", "low over snow, else normal", None, _OPTICAL),
    Property(
        "lake:scene_cloud_cover_pct", "number", "the whole scene's cloud cover", "%", _OPTICAL
    ),
    Property("lake:dn_offset", "integer", "subtracted from the digital numbers", None, ("s2",)),
    Property("lake:offset_source", "string", "baseline, collection or pixels", None, ("s2",)),
    Property("lake:resampled", "boolean", "warped from a foreign grid", None, _PATCHES),
    Property("lake:source_gsd_m", "number", "coarsest source, where it differs", "m", ("dem",)),
    Property("lake:n_orbits", "integer", "orbits of the composite", None, _GASES),
    Property("lake:upstream_id", "string", "upstream item, or the first of a composite"),
    Property("lake:upstream_count", "integer", "upstream items that it was made of"),
    Property("lake:provider", "string", "provider that served it"),
    Property("lake:failed_over_from", "string[]", "providers that were asked in vain before"),
    Property("lake:upstream_collection", "string", "collection of the provider"),
    Property("lake:baseline", "string", "processing baseline or processor version upstream"),
    Property("lake:recipe_digest", "string", "hash of all that determines the pixels"),
    Property("lake:software", "string", "stac-lake version"),
    Property("lake:size_bytes", "integer", "size of the COG", "By"),
)

BY_NAME = {item.name: item for item in PROPERTIES}
