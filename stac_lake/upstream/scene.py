"""A provider's Item document reduced to a `Scene`, wrong metadata put right or refused."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from stac_lake.errors import UntrustedSource
from stac_lake.recipe import Optical, Product, SourceCollection, providers
from stac_lake.types import Affine6, Asset, Scene
from stac_lake.upstream.footprint import usable_footprint
from stac_lake.upstream.identity import Identity, identify
from stac_lake.upstream.moments import moment
from stac_lake.upstream.trust import check_href

_OPTIONAL = frozenset({"metadata", "tie_geo", "instrument"})
"""Assets that an operator can do without, by the product's key."""
_CARRIED_NUMBERS = (
    "eo:cloud_cover", "view:sun_elevation", "view:sun_azimuth", "view:azimuth",
    "view:incidence_angle", "sat:relative_orbit", "sat:absolute_orbit",
)  # fmt: skip
_CARRIED_TEXTS = ("sat:orbit_state", "sar:instrument_mode", "product:timeliness_category")
_PLATFORMS = {"S5P": "sentinel-5p", "sentinel-5-precursor": "sentinel-5p"}


def read_item(document: Any, product: Product, source: SourceCollection) -> Scene | str:
    """The scene of an upstream Item, or the reason why it cannot serve the product.

    Args:
        document: A STAC Item as the provider sent it.
        product: What it shall serve.
        source: Collection, asset keys and filters of the provider.

    Returns:
        The scene with unsigned hrefs, or a reason for people: ``no asset 'red'``.
    """
    broken = _broken(document)
    if broken:
        return broken
    wrong = _not_asked_for(document, source)
    if wrong:
        return wrong
    identity = identify(document, product)
    if isinstance(identity, str):
        return identity
    try:
        start, end = _span(document["properties"])
    except (ValueError, TypeError):
        return "no readable time"
    footprint = usable_footprint(document)
    if footprint is None:
        return "no footprint"
    assets = _assets(document, product, source, identity)
    if isinstance(assets, str):
        return assets
    provider = providers()[source.provider]
    return Scene(
        id=document["id"],
        product=product.id,
        provider=provider.id,
        collection=source.collection,
        start=start,
        end=end,
        footprint=footprint,
        assets=assets,
        acquisition=identity.acquisition,
        version=identity.version,
        # Not the self link: it names the stand-in where one serves the API.
        href=f"{provider.api}/collections/{source.collection}/items/{document['id']}",
        dn_offset=_dn_offset(document["properties"], product, source, identity),
        properties=_properties(document["properties"], identity),
    )


def newest(scenes: Iterable[Scene]) -> tuple[list[Scene], dict[str, str]]:
    """One scene per acquisition: the newest baseline, then the latest generation time.

    Returns:
        The scenes that stay, in the order given, and the ids of the others with the reason.
    """
    scenes = list(scenes)
    best: dict[str, Scene] = {}
    for scene in scenes:
        rival = best.get(scene.acquisition)
        if rival is None or (scene.version, scene.id) > (rival.version, rival.id):
            best[scene.acquisition] = scene
    kept = [scene for scene in scenes if best[scene.acquisition] is scene]
    names = {scene.id for scene in kept}
    losers = {
        scene.id: f"superseded by {best[scene.acquisition].id}"
        for scene in scenes
        if scene.id not in names
    }
    return kept, losers


def _broken(document: Any) -> str | None:
    if not isinstance(document, dict) or not isinstance(document.get("id"), str):
        return "not a STAC Item"
    properties, assets = document.get("properties"), document.get("assets")
    if not isinstance(properties, dict) or not isinstance(assets, dict):
        return "not a STAC Item"
    if not all(isinstance(a, dict) and isinstance(a.get("href"), str) for a in assets.values()):
        return "an asset without href"
    if not assets:
        return "no assets"
    # The id becomes part of a URL; what upstream calls an item is no path.
    if not document["id"] or any(c in "/\\?#%" or not c.isprintable() for c in document["id"]):
        return "an id that is no file name"
    return None


def _not_asked_for(document: dict[str, Any], source: SourceCollection) -> str | None:
    if document.get("collection") != source.collection:
        return f"is of collection {document.get('collection')!r}"
    for name, wanted in source.filters.items():
        if document["properties"].get(name) != wanted:
            return f"{name} is {document['properties'].get(name)!r}, not {wanted!r}"
    return None


def _span(properties: dict[str, Any]) -> tuple[datetime, datetime]:
    """First and last moment; `datetime` alone is an instant, and may be null beside the two."""
    instant = properties.get("datetime")
    start = properties.get("start_datetime") or instant
    end = properties.get("end_datetime") or start
    first, last = moment(str(start)), moment(str(end))
    return (first, last) if first <= last else (last, first)


def _assets(
    document: dict[str, Any], product: Product, source: SourceCollection, identity: Identity
) -> dict[str, Asset] | str:
    found: dict[str, Asset] = {}
    provider = providers()[source.provider]
    spare = _OPTIONAL | {band.name for band in product.optional_bands} - set(product.band_names)
    if product.values.operator == "sigma0":
        spare |= set(source.assets)  # one polarisation is enough
    for key, name in source.assets.items():
        raw = document["assets"].get(name)
        if raw is None:
            if key in spare:
                continue
            return f"no asset {name!r}"
        try:
            check_href(raw["href"], provider)
        except UntrustedSource as error:
            return f"asset {name!r} is not trusted: {error.message}"
        found[key] = _asset(key, raw, document["properties"], product, source)
    if product.values.operator == "sigma0":
        documents = _sar_documents(found)
        return documents if isinstance(documents, str) else found | documents
    return found | _unlisted(found, product, identity)


def _asset(
    key: str,
    raw: dict[str, Any],
    properties: dict[str, Any],
    product: Product,
    source: SourceCollection,
) -> Asset:
    """Georeference of the asset, else of the item; none where it is known to be made up.

    Swaths have 2-D geolocation, whatever ``proj:code`` says, and GRD has ground control points:
    transform and (columns, rows) shape of Earth Search's sentinel-1-grd are its bbox divided.
    """
    if product.values.operator not in {"optical", "backscatter", "elevation"} or key in _OPTIONAL:
        return Asset(key, raw["href"], source.provider)
    epsg = _epsg(raw) or _epsg(properties)
    transform = _transform(raw.get("proj:transform") or properties.get("proj:transform"))
    shape = _shape(raw.get("proj:shape") or properties.get("proj:shape"))
    return Asset(key, raw["href"], source.provider, epsg, transform, shape)


def _unlisted(found: dict[str, Asset], product: Product, identity: Identity) -> dict[str, Asset]:
    """Masks that no item lists, but that lie beside a file that it does."""
    if not isinstance(product.values, Optical):
        return {}
    masks: dict[str, Asset] = {}
    for mask in product.values.masks:
        place = mask.unlisted
        if place is None or (identity.baseline or "") < (place.since_baseline or ""):
            continue
        beside, like = found.get(place.beside), found.get(place.like)
        if beside and like:
            href = f"{beside.href.rpartition('/')[0]}/{place.path}"
            masks[mask.asset] = dataclasses.replace(
                like, key=mask.asset, href=href, provider=beside.provider
            )
    return masks


def _sar_documents(images: dict[str, Asset]) -> dict[str, Asset] | str:
    """Annotation, calibration and noise of each image of a SAFE product, by their place in it.

    Items are not asked: the Planetary Computer and Earth Search list ``annotation/rfi/rfi-*.xml``
    as the annotation. Names follow the image's own, CDSE's ``-cog`` and the shortened ``iw-vv``
    included (product specification S1-RS-MDA-52-7441).
    """
    if not images:
        return "no asset of any polarisation"
    documents: dict[str, Asset] = {}
    for polarisation, image in images.items():
        safe, _, file = image.href.rpartition("/measurement/")
        name = file.removesuffix(".tiff")
        if not safe or name == file:
            return f"the image of {polarisation} is not in a SAFE product"
        for kind, place in (
            ("annotation", f"{name}.xml"),
            ("calibration", f"calibration/calibration-{name}.xml"),
            ("noise", f"calibration/noise-{name}.xml"),
        ):
            key = f"{kind}-{polarisation}"
            documents[key] = Asset(key, f"{safe}/annotation/{place}", image.provider)
    return documents


def _dn_offset(
    properties: dict[str, Any], product: Product, source: SourceCollection, identity: Identity
) -> int | None:
    """What still has to be subtracted, as far as metadata can tell.

    The baseline decides, never the date: baselines from 05.00 on reprocess older acquisitions.
    ``raster:bands`` is not asked: Earth Search says -0.1 of sentinel-2-l2a pixels that have had the
    offset removed, the Planetary Computer says nothing, and CDSE says -0.1 of every item.
    """
    offset = getattr(product.values, "offset", None)
    if offset is None or identity.baseline is None:
        return None
    if identity.baseline < offset.since_baseline:
        return 0
    if source.offset_in_pixels == "removed":
        return offset.dn if properties.get("earthsearch:boa_offset_applied") is False else 0
    return int(offset.dn)


def _properties(properties: dict[str, Any], identity: Identity) -> dict[str, Any]:
    """What the lake's item carries over, under STAC names; what is not of its type is left out."""
    named = identity.properties or {}
    carried: dict[str, Any] = {k: v for k, v in named.items() if k != "platform"}
    for name in _CARRIED_NUMBERS:
        value = properties.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            carried[name] = value
    carried |= {n: properties[n] for n in _CARRIED_TEXTS if isinstance(properties.get(n), str)}
    zenith = properties.get("s2:mean_solar_zenith")
    azimuth = properties.get("s2:mean_solar_azimuth")
    if isinstance(zenith, int | float) and isinstance(azimuth, int | float):
        carried.setdefault("view:sun_elevation", 90.0 - zenith)
        carried.setdefault("view:sun_azimuth", float(azimuth))
    polarizations = properties.get("sar:polarizations")
    if isinstance(polarizations, list):
        carried["sar:polarizations"] = [str(p) for p in polarizations]
    if identity.baseline:
        carried["processing:version"] = identity.baseline
    platform = _platform(properties.get("platform"), named.get("platform"))
    return carried | ({"platform": platform} if platform else {})


def _platform(spelled: Any, short: str | None) -> str | None:
    """``sentinel-2a`` out of ``Sentinel-2A``, ``SENTINEL-2A`` or ``S2A``."""
    if short and short not in _PLATFORMS:
        return f"sentinel-{short[1:].lower()}"
    text = short or "-".join(str(spelled or "").lower().split())
    return _PLATFORMS.get(text, text) or None


def _epsg(fields: dict[str, Any]) -> int | None:
    code = fields.get("proj:code") or fields.get("proj:epsg")
    if isinstance(code, str) and code.upper().startswith("EPSG:"):
        code = code[5:]
    text = str(code)
    return int(text) if text.isdecimal() else None


def _transform(values: Any) -> Affine6 | None:
    """Six numbers, or nine with the trailing row 0, 0, 1 of a 3 × 3 matrix."""
    if not isinstance(values, Sequence) or len(values) not in (6, 9):
        return None
    try:
        a, b, c, d, e, f = (float(value) for value in values[:6])
    except (TypeError, ValueError):
        return None
    usable = all(map(math.isfinite, (a, b, c, d, e, f))) and a * e - b * d != 0
    return (a, b, c, d, e, f) if usable else None


def _shape(values: Any) -> tuple[int, int] | None:
    if not isinstance(values, Sequence) or len(values) != 2:
        return None
    rows, columns = values
    if not (isinstance(rows, int) and isinstance(columns, int) and rows > 0 and columns > 0):
        return None
    return (rows, columns)
