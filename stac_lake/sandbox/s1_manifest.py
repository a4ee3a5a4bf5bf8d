"""The manifest of a GRD product (SAFE): what it is, and where its files are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stac_lake.sandbox.documents.envelope import INTERNATIONAL_DESIGNATOR
from stac_lake.sandbox.orbits import node_time
from stac_lake.sandbox.s1_xml import Node, rendered, stamp
from stac_lake.sandbox.scene import Blob, SandboxScene

_SAFE = "http://www.esa.int/safe/sentinel-1.0"
_NAMESPACES = {
    "xmlns:xfdu": "urn:ccsds:schema:xfdu:1",
    "xmlns:gml": "http://www.opengis.net/gml",
    "xmlns:safe": _SAFE,
    "xmlns:s1": f"{_SAFE}/sentinel-1",
    "xmlns:s1sarl1": f"{_SAFE}/sentinel-1/sar/level-1",
    "version": "esa/safe/sentinel-1.0/sentinel-1/sar/level-1/grd/standard/iwdp",
}


@dataclass(frozen=True)
class Listed:
    """A file of the product.

    Attributes:
        path: Below the product's folder.
        schema: Its `repID`.
        blob: Its content.
    """

    path: str
    schema: str
    blob: Blob


def manifest_document(scene: SandboxScene, files: Mapping[str, Listed]) -> bytes:
    """The manifest.

    Args:
        scene: The product.
        files: By data object id.
    """
    metadata = (
        _metadata("processing", "PROVENANCE", _processing(scene)),
        _metadata("platform", "DESCRIPTION", _platform(scene)),
        _metadata("measurementOrbitReference", "DESCRIPTION", _orbit(scene)),
        _metadata("generalProductInformation", "DESCRIPTION", _general(scene)),
        _metadata("acquisitionPeriod", "DESCRIPTION", _period(scene)),
        _metadata("measurementFrameSet", "DESCRIPTION", _frame_set(scene)),
    )
    objects = [_object(key, file) for key, file in files.items()]
    body = (("metadataSection", metadata), ("dataObjectSection", objects))
    return rendered(("xfdu:XFDU", body, _NAMESPACES))


def _metadata(name: str, kind: str, content: Node) -> Node:
    wrapped = ("metadataWrap", (("xmlData", (content,)),), {"mimeType": "text/xml"})
    category = "PDI" if kind == "PROVENANCE" else "DMD"
    return (
        "metadataObject", (wrapped,), {"ID": name, "classification": kind, "category": category}
    )  # fmt: skip


def _object(key: str, file: Listed) -> Node:
    image = file.schema == "s1Level1MeasurementSchema"
    location = ("fileLocation", (), {"locatorType": "URL", "href": f"./{file.path}"})
    checksum = ("checksum", file.blob.etag.strip('"'), {"checksumName": "MD5"})
    # An image is made tile by tile when it is read; its digest would need all of it.
    content = (location,) if image else (location, checksum)
    mime = "application/octet-stream" if image else "text/xml"
    stream = ("byteStream", content, {"mimeType": mime, "size": file.blob.size})
    return "dataObject", (stream,), {"ID": key, "repID": file.schema}


def _processing(scene: SandboxScene) -> Node:
    software = ("safe:software", (), {"name": "Sentinel-1 IPF", "version": "003.40"})
    made = {"name": "GRD Post Processing", "start": stamp(scene.stop), "stop": stamp(scene.stop)}
    return "safe:processing", (("safe:facility", (software,), {"country": "France"}),), made


def _platform(scene: SandboxScene) -> Node:
    platform, mode = scene.facts["platform"], scene.facts["mode"]
    modes = ("s1sarl1:instrumentMode", (("s1sarl1:mode", mode), ("s1sarl1:swath", mode)))
    name = ("safe:familyName", "Synthetic Aperture Radar", {"abbreviation": "SAR"})
    return ("safe:platform", (
        ("safe:nssdcIdentifier", INTERNATIONAL_DESIGNATOR[platform]),
        ("safe:familyName", "SENTINEL-1"),
        ("safe:number", platform[-1]),
        ("safe:instrument", (name, ("safe:extension", (modes,)))),
    ))  # fmt: skip


def _orbit(scene: SandboxScene) -> Node:
    facts = scene.facts
    node = node_time(facts["platform"], facts["absolute_orbit"])
    properties = ("s1:orbitProperties", (
        ("s1:pass", facts["orbit_state"].upper()),
        ("s1:ascendingNodeTime", stamp(node)),
    ))  # fmt: skip
    numbers = [
        (f"safe:{name}", str(facts[fact]), {"type": end})
        for name, fact in (
            ("orbitNumber", "absolute_orbit"), ("relativeOrbitNumber", "relative_orbit")
        )
        for end in ("start", "stop")
    ]  # fmt: skip
    return "safe:orbitReference", (*numbers, ("safe:extension", (properties,)))


def _general(scene: SandboxScene) -> Node:
    received = [
        ("s1sarl1:transmitterReceiverPolarisation", one) for one in scene.facts["polarizations"]
    ]
    return ("s1sarl1:standAloneProductInformation", (
        ("s1sarl1:instrumentConfigurationID", "7"),
        ("s1sarl1:missionDataTakeID", str(scene.facts["datatake_id"])),
        *received,
        ("s1sarl1:productClass", "S"),
        ("s1sarl1:productClassDescription", "SAR Standard L1 Product"),
        ("s1sarl1:productComposition", "Slice"),
        ("s1sarl1:productType", "GRD"),
        ("s1sarl1:productTimelinessCategory", "Fast-24h"),
        ("s1sarl1:sliceProductFlag", "true"),
        ("s1sarl1:segmentStartTime", stamp(scene.start)),
        ("s1sarl1:sliceNumber", "1"),
        ("s1sarl1:totalSlices", "1"),
    ))  # fmt: skip


def _period(scene: SandboxScene) -> Node:
    times = (("safe:startTime", stamp(scene.start)), ("safe:stopTime", stamp(scene.stop)))
    return "safe:acquisitionPeriod", times


def _frame_set(scene: SandboxScene) -> Node:
    corners = " ".join(f"{lat:.6f},{lon:.6f}" for lon, lat in scene.facts["corners"])
    coordinates = ("gml:coordinates", corners)
    srs = {"srsName": "http://www.opengis.net/gml/srs/epsg.xml#4326"}
    return "safe:frameSet", (("safe:frame", (("safe:footPrint", (coordinates,), srs),)),)
