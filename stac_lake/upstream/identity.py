"""Which acquisition an upstream item is of, and which of its copies is newer.

Ids differ from provider to provider and drop fields, so ESA's product name is looked for in the id,
in properties and in the assets' hrefs. Name fields: Sentinel-2 PSD 15, Sentinel-1 product
specification S1-RS-MDA-52-7441, Sentinel-3 PDGS file naming convention, Sentinel-5P file naming,
Landsat Collection 2 (USGS LSDS-1619).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from stac_lake.recipe import Product
from stac_lake.upstream.moments import moment

_S2 = re.compile(
    r"(S2[A-Z])_MSIL(?:1C|2A)_(\d{8}T\d{6})_N(\d{2})(\d{2})_R(\d{3})_T(\w{5})_(\d{8}T\d{6})"
)
_S2_NO_BASELINE = re.compile(r"(S2[A-Z])_MSIL(?:1C|2A)_(\d{8}T\d{6})_R(\d{3})_T(\w{5})")
_S1 = re.compile(r"(S1[A-Z])_(\w\w)_GRD\w_\w{4}_(\d{8}T\d{6})_(\d{8}T\d{6})_(\d{6})_")
_OLCI = re.compile(
    r"(S3[A-Z])_OL_1_EFR____(\d{8}T\d{6})_(\d{8}T\d{6})_(\d{8}T\d{6})"
    r"_\d{4}_(\d{3})_(\d{3})_(\d{4})_\w{3}_\w_(NR|ST|NT)_(\d{3})"
)
_S5P = re.compile(
    r"S5P_(NRTI|OFFL|RPRO)_L2__(\w{6})_(\d{8}T\d{6})_(\d{8}T\d{6})"
    r"_(\d{5})_(\d{2})_(\d{6})_(\d{8}T\d{6})"
)
_LANDSAT = re.compile(r"(L[CEMT]\d{2})_L2S[PR]_(\d{6})_(\d{8})_(\d{8})_(\d{2})_(RT|T1|T2)")
_DEM = re.compile(r"_(10|30)_([NS]\d{2})_\d{2}_([EW]\d{3})_\d{2}")
_BASELINE = re.compile(r"\d{2}\.\d{2}")
_STRIP = re.compile(r"_S(\d{8}T\d{6})(?:_|$)")


@dataclass(frozen=True)
class Identity:
    """What an item is a copy of.

    Attributes:
        acquisition: The same for all copies and reprocessings, at every provider.
        version: Sorts them: the greatest is the newest.
        baseline: Processing baseline or processor version, None where there is none.
        properties: What the name says and the item's properties may not (orbit, mode …).
    """

    acquisition: str
    version: str
    baseline: str | None = None
    properties: dict[str, Any] | None = None


def identify(document: dict[str, Any], product: Product) -> Identity | str:
    """The identity of an item, or the reason why it has none or is not of this product."""
    family = {
        "s2": _sentinel2,
        "s1": _sentinel1,
        "s3": _olci,
        "dem": _dem,
        "landsat": _landsat,
    }
    return family.get(product.modality, _tropomi)(document, product)


def _sentinel2(document: dict[str, Any], product: Product) -> Identity | str:
    """Baseline and generation time sort; a second datastrip of a tile is another acquisition."""
    properties = document["properties"]
    name = _search(_S2, document)
    short = _search(_S2_NO_BASELINE, document)
    if name:
        satellite, datatake, major, minor, orbit, tile, generated = name.groups()
        baseline: str | None = f"{major}.{minor}"
    elif short:
        satellite, datatake, orbit, tile = short.groups()
        baseline, generated = None, ""
    else:
        return "names no Sentinel-2 product"
    for key in ("s2:processing_baseline", "processing:version"):
        if _BASELINE.fullmatch(str(properties.get(key, ""))):
            baseline = str(properties[key])
            break
    if baseline is None:
        return "no processing baseline: the radiometric offset is not known"
    for key in ("s2:generation_time", "processing:datetime"):
        generated = _compact(properties.get(key)) or generated
    strip = properties.get("s2:datastrip_id") or properties.get("eopf:datastrip_id") or ""
    sensed = _STRIP.search(str(strip))
    acquisition = "-".join(
        part for part in (satellite.lower(), datatake, tile, sensed and sensed[1]) if part
    )
    sequence = str(properties.get("s2:sequence", "0"))
    return Identity(
        acquisition,
        f"{baseline} {generated} {sequence}",
        baseline,
        {"sat:relative_orbit": int(orbit), "s2:mgrs_tile": tile, "platform": satellite},
    )


def _sentinel1(document: dict[str, Any], product: Product) -> Identity | str:
    name = _search(_S1, document)
    if not name:
        return "names no Sentinel-1 GRD product"
    satellite, mode, start, _, orbit = name.groups()
    return Identity(
        f"{satellite.lower()}-{mode.lower()}-{start}",
        str(document["properties"].get("created") or ""),
        None,
        {"platform": satellite, "sar:instrument_mode": mode, "sat:absolute_orbit": int(orbit)},
    )


def _olci(document: dict[str, Any], product: Product) -> Identity | str:
    """Not time critical beats near real time, then baseline collection, then creation time."""
    name = _search(_OLCI, document)
    if not name:
        return "names no OLCI EFR product"
    satellite, _, _, created, cycle, orbit, frame, timeliness, collection = name.groups()
    rank = ("NR", "ST", "NT").index(timeliness)
    version = document["properties"].get("processing:version")
    return Identity(
        f"{satellite.lower()}-{cycle}-{orbit}-{frame}",
        f"{rank} {collection} {created}",
        str(version) if version else collection,
        {
            "platform": satellite,
            "sat:relative_orbit": int(orbit),
            "product:timeliness_category": timeliness,
        },
    )


def _tropomi(document: dict[str, Any], product: Product) -> Identity | str:
    name = _search(_S5P, document)
    if not name:
        return "names no Sentinel-5P level 2 product"
    mode, gas, _, _, orbit, collection, processor, created = name.groups()
    if gas.strip("_").lower() != product.modality:
        return f"is of gas {gas.strip('_')}"
    if product.values.operator == "column" and collection not in product.values.collections:
        return f"superseded: collection {collection}"
    return Identity(
        f"s5p-{product.modality}-{orbit}",
        f"{collection} {processor} {created}",
        ".".join((processor[:2], processor[2:4], processor[4:])),
        {"platform": "S5P", "sat:absolute_orbit": int(orbit), "s5p:processing_mode": mode,
         "s5p:collection_identifier": collection},
    )  # fmt: skip


def _landsat(document: dict[str, Any], product: Product) -> Identity | str:
    """Path, row and day; real-time processing is replaced by that with final calibration."""
    name = _search(_LANDSAT, document)
    if not name:
        return "names no Landsat level 2 product"
    satellite, path_row, day, processed, collection, category = name.groups()
    return Identity(
        f"{satellite.lower()}-{path_row}-{day}",
        f"{collection} {int(category != 'RT')} {processed}",
        collection,
    )


def _dem(document: dict[str, Any], product: Product) -> Identity | str:
    name = _DEM.search(document["id"]) or _search(_DEM, document)
    if not name:
        return "names no degree tile"
    arcseconds, south, west = name.groups()
    gsd = {"10": 30, "30": 90}[arcseconds]  # the name's tenths of an arc second, in metres
    return Identity(f"glo{gsd}-{south}{west}", "", None, {"gsd": gsd})


def _search(pattern: re.Pattern[str], document: dict[str, Any]) -> re.Match[str] | None:
    properties = document["properties"]
    texts = [document["id"], properties.get("s2:product_uri")]
    texts += [asset.get("href") for asset in document["assets"].values()]
    found = (pattern.search(text) for text in texts if isinstance(text, str))
    return next((match for match in found if match), None)


def _compact(text: Any) -> str:
    """A time as it stands in product names, so that properties and names sort alike."""
    try:
        return moment(str(text)).strftime("%Y%m%dT%H%M%S") if text else ""
    except ValueError:
        return ""
