"""The manifest of an OLCI frame: what the product says about itself in `xfdumanifest.xml`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from xml.sax.saxutils import escape

import numpy as np

from stac_lake.sandbox.olci_files import FILES
from stac_lake.sandbox.olci_pixels import Frame, invalid, source_columns
from stac_lake.sandbox.orbits import node_time
from stac_lake.sandbox.scene import SandboxScene
from stac_lake.sandbox.swath_fields import OLCI_BANDS

_NAMESPACES = (
    'xmlns:xfdu="urn:ccsds:schema:xfdu:1" '
    'xmlns:sentinel-safe="http://www.esa.int/safe/sentinel/1.1" '
    'xmlns:gml="http://www.opengis.net/gml" '
    'xmlns:sentinel3="http://www.esa.int/safe/sentinel/sentinel-3/1.0" '
    'xmlns:olci="http://www.esa.int/safe/sentinel/sentinel-3/olci/1.0"'
)
ASTRONOMICAL_UNIT_M = 149_597_870_700
_DESIGNATORS = {"S3A": "2016-011A", "S3B": "2018-039A"}


@dataclass(frozen=True)
class Quality:
    """Shares of a frame's pixels, whole percent as the product rounds them."""

    bright_pct: float
    saline_pct: float
    saturated_pct: float


def manifest(frame: Frame, scene: SandboxScene, quality: Quality) -> str:
    """The XML document.

    Args:
        frame: The pixel lattice.
        scene: Its `facts` are those that `olci.scenes` gives.
        quality: Summary of the flags.
    """
    sections = (
        _section("acquisitionPeriod", _period(scene)),
        _section("platform", _platform(scene)),
        _section("measurementFrameSet", _footprint(frame)),
        _section("generalProductInformation", _general(scene)),
        _section("olciProductInformation", _olci(frame, quality)),
        _section("measurementOrbitReference", _orbit(scene)),
        _section("measurementQualityInformation", _QUALITY),
        _section("processing", _processing(scene)),
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<xfdu:XFDU {_NAMESPACES} '
        'version="esa/safe/sentinel/sentinel-3/olci/level-1/1.0">\n'
        "<informationPackageMap/>\n"
        f"<metadataSection>\n{''.join(sections)}</metadataSection>\n"
        f"<dataObjectSection>\n{''.join(_files())}</dataObjectSection>\n</xfdu:XFDU>\n"
    )


def _section(name: str, body: str) -> str:
    kind = ("PROVENANCE", "PDI") if name == "processing" else ("DESCRIPTION", "DMD")
    return (
        f'<metadataObject ID="{name}" classification="{kind[0]}" category="{kind[1]}">'
        f'<metadataWrap mimeType="text/xml" vocabularyName="Sentinel-SAFE"><xmlData>\n{body}\n'
        "</xmlData></metadataWrap></metadataObject>\n"
    )


def _elements(namespace: str, pairs: Iterable[tuple[str, object]]) -> str:
    return "".join(
        f"<{namespace}:{name}>{escape(str(value))}</{namespace}:{name}>\n" for name, value in pairs
    )


def _period(scene: SandboxScene) -> str:
    times = [f"{time:%Y-%m-%dT%H:%M:%S.%fZ}" for time in (scene.start, scene.stop)]
    body = _elements("sentinel-safe", (("startTime", times[0]), ("stopTime", times[1])))
    return f"<sentinel-safe:acquisitionPeriod>\n{body}</sentinel-safe:acquisitionPeriod>"


def _platform(scene: SandboxScene) -> str:
    platform = str(scene.facts["platform"])
    names = _elements(
        "sentinel-safe",
        (
            ("nssdcIdentifier", _DESIGNATORS[platform]),
            ("familyName", "Sentinel-3"),
            ("number", platform[-1]),
        ),
    )
    return (
        f"<sentinel-safe:platform>\n{names}<sentinel-safe:instrument>\n"
        '<sentinel-safe:familyName abbreviation="OLCI">Ocean Land Colour Instrument'
        "</sentinel-safe:familyName>\n"
        '<sentinel-safe:mode identifier="EO">Earth Observation</sentinel-safe:mode>\n'
        "</sentinel-safe:instrument>\n</sentinel-safe:platform>"
    )


def _footprint(frame: Frame) -> str:
    """The outline as latitude longitude pairs, closed, as the product writes it."""
    rows = np.linspace(0.0, frame.swath.rows, 10)
    columns = np.linspace(0.0, frame.swath.columns, 13)
    lon, lat = frame.swath.at(rows, columns)
    ring = [
        np.concatenate([part[0, :-1], part[:-1, -1], part[-1, :0:-1], part[:0:-1, 0], part[0, :1]])
        for part in (lat, lon)
    ]
    pairs = " ".join(f"{y:.6g} {x:.6g}" for y, x in zip(*ring, strict=True))
    return (
        "<sentinel-safe:frameSet>\n"
        '<sentinel-safe:footPrint srsName="http://www.opengis.net/def/crs/EPSG/0/4326">\n'
        f"<gml:posList>{pairs}</gml:posList>\n"
        "</sentinel-safe:footPrint>\n</sentinel-safe:frameSet>"
    )


def _general(scene: SandboxScene) -> str:
    pairs = (
        ("productName", f"{scene.id}.SEN3"),
        ("productType", "OL_1_EFR___"),
        ("timeliness", scene.facts["timeliness"]),
        ("baselineCollection", "002"),
        ("creationTime", f"{scene.facts['creation_time']:%Y%m%dT%H%M%S}"),
    )
    unit = _elements(
        "sentinel3",
        (("type", "FRAME"), ("duration", 179), ("alongtrackCoordinate", scene.facts["frame"])),
    )
    return (
        f"<sentinel3:generalProductInformation>\n{_elements('sentinel3', pairs)}"
        f"<sentinel3:productUnit>\n{unit}</sentinel3:productUnit>\n"
        "</sentinel3:generalProductInformation>"
    )


def _olci(frame: Frame, quality: Quality) -> str:
    swath = frame.swath
    gone = int(invalid(frame, np.arange(swath.rows)).sum())
    columns = source_columns(frame)
    copies = int((columns != np.arange(columns.size)).sum()) * swath.rows
    total = swath.rows * swath.columns
    summary = "".join(
        f'<olci:{name} value="{count}" percentage="{round(100 * count / total)}.000000"/>\n'
        for name, count in (
            ("invalidPixels", gone),
            ("cosmeticPixels", 0),
            ("duplicatedPixels", copies),
            ("saturatedPixels", round(quality.saturated_pct / 100 * total)),
            ("dubiousSamples", 0),
        )
    )
    shares = "".join(
        f'<sentinel3:{name} percentage="{share:.6f}"/>\n'
        for name, share in (
            ("salineWaterPixels", quality.saline_pct),
            ("coastalPixels", 0.0),
            ("freshInlandWaterPixels", 0.0),
            ("tidalRegionPixels", 0.0),
            ("brightPixels", quality.bright_pct),
        )
    )
    line = (swath.stop - swath.start) / swath.rows
    distance_m = round(ASTRONOMICAL_UNIT_M * frame.sun_distance_au)
    sampling = (
        ("alTimeSampling", round(line.total_seconds() * 1e6)),
        ("alSpatialSampling", 294),
        ("acSpatialSampling", 270),
        ("rowsPerTiePoint", 1),
        ("columnsPerTiePoint", frame.tie_step),
    )
    size = _elements("sentinel3", (("rows", swath.rows), ("columns", swath.columns)))
    return (
        "<olci:olciProductInformation>\n"
        f"<olci:classificationSummary>\n{shares}</olci:classificationSummary>\n"
        + _elements("olci", (("measurementAccuracy", 2.0), ("accuracyReference", 0)))
        + f"<olci:imageSize>\n{size}</olci:imageSize>\n"
        f"<olci:pixelQualitySummary>\n{summary}</olci:pixelQualitySummary>\n"
        '<olci:ecmwfType timeRelevance="0">ANALYSIS</olci:ecmwfType>\n'
        + _elements("olci", (("earthSunDistance", distance_m), ("oclStatus", "true")))
        + f"<olci:samplingParameters>\n{_elements('olci', sampling)}</olci:samplingParameters>\n"
        f'<olci:bandDescriptions bands="{len(OLCI_BANDS)}">\n{_bands()}</olci:bandDescriptions>\n'
        "</olci:olciProductInformation>"
    )


def _bands() -> str:
    return "".join(
        f'<sentinel3:band name="{name}">\n'
        + _elements(
            "sentinel3",
            (("centralWavelength", f"{band.wavelength:g}"), ("bandwidth", f"{band.width:g}")),
        )
        + "</sentinel3:band>\n"
        for name, band in OLCI_BANDS.items()
    )


def _orbit(scene: SandboxScene) -> str:
    facts = scene.facts
    node = node_time(str(facts["platform"]), int(facts["absolute_orbit"]))
    direction = f'type="start" groundTrackDirection="{facts["orbit_state"]}"'
    numbers = "".join(
        f"<sentinel-safe:{name} {direction}>{facts[key]}</sentinel-safe:{name}>\n"
        for name, key in (
            ("orbitNumber", "absolute_orbit"),
            ("relativeOrbitNumber", "relative_orbit"),
        )
    )
    cycle = _elements("sentinel-safe", (("cycleNumber", facts["cycle"]), ("phaseIdentifier", 1)))
    return (
        f"<sentinel-safe:orbitReference>\n{numbers}{cycle}<sentinel-safe:elementSet>\n"
        "<sentinel-safe:ephemeris>\n"
        f'<sentinel-safe:epoch type="UTC">{node:%Y-%m-%dT%H:%M:%S.%fZ}</sentinel-safe:epoch>\n'
        "</sentinel-safe:ephemeris>\n</sentinel-safe:elementSet>\n</sentinel-safe:orbitReference>"
    )


_QUALITY = (
    "<sentinel-safe:qualityInformation><sentinel-safe:extension><sentinel3:productQuality>\n"
    "<sentinel3:onlineQualityCheck>PASSED</sentinel3:onlineQualityCheck>\n"
    "</sentinel3:productQuality></sentinel-safe:extension></sentinel-safe:qualityInformation>"
)


def _processing(scene: SandboxScene) -> str:
    created = f"{scene.facts['creation_time']:%Y-%m-%dT%H:%M:%S.000000}"
    facility = (
        '<sentinel-safe:facility name="sandbox" organisation="stac-lake" site="loopback" '
        'country="--"><sentinel-safe:hardware name="OPE"/>'
        '<sentinel-safe:software name="stac-lake-sandbox" version="1"/></sentinel-safe:facility>\n'
    )
    attributes = f'name="DataProcessing" outputLevel="1" start="{created}" stop="{created}"'
    return (
        f"<sentinel-safe:processing {attributes}>\n{facility}"
        f'<sentinel-safe:resource name="{scene.id}.SEN3" role="L1 Product">'
        f"<sentinel-safe:processing {attributes}>{facility}</sentinel-safe:processing>"
        "</sentinel-safe:resource>\n</sentinel-safe:processing>"
    )


def _files() -> list[str]:
    return [
        f'<dataObject ID="{name.removesuffix(".nc")}Data">'
        '<byteStream mimeType="application/x-netcdf">'
        f'<fileLocation locatorType="URL" href="./{name}"/></byteStream></dataObject>\n'
        for name in sorted(FILES)
    ]
