"""Annotation, calibration and noise documents of a GRD product (S1-RS-MDA-52-7441, issue 3).

Of the product annotation, the parts that tell of the instrument and of the processor's estimates
(quality, downlink, raw data, replica, noise echoes, Doppler centroid, antenna pattern) are left
out: nothing here has them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stac_lake.sandbox.orbits import ground_track, node_time, orbit_state
from stac_lake.sandbox.s1_frame import (
    FIRST_RECORD_S,
    RECORDS,
    SLICE_S,
    SPEED_OF_LIGHT,
    Frame,
)
from stac_lake.sandbox.s1_grid import grid_points
from stac_lake.sandbox.s1_radiometry import DIGITAL, Radiometry
from stac_lake.sandbox.s1_xml import Node, counted, real, rendered, stamp, table
from stac_lake.sandbox.sphere import datetime64

RADAR_HZ = 5.405000454334350e9
_SAMPLING_HZ = {"IW": 6.434523812571428e7, "EW": 2.502314816000000e7}
_VECTORS, _VECTOR_STEP_S, _VECTOR_START_S = 16, 10.0, -65.0  # orbit state vectors


@dataclass(frozen=True)
class Annotated:
    """One polarisation of a product, as its documents need it.

    Attributes:
        radiometry: Geometry and tables.
        polarization: `VV`, `VH`, `HH` or `HV`.
        number: 1 or 2: place among the product's images.
        absolute_orbit: Orbit number.
        datatake: Number of the datatake.
    """

    radiometry: Radiometry
    polarization: str
    number: int
    absolute_orbit: int
    datatake: int

    @property
    def frame(self) -> Frame:
        return self.radiometry.frame


def product_document(one: Annotated) -> bytes:
    """The product annotation."""
    return rendered(
        (
            "product",
            (
                _header(one),
                ("generalAnnotation", _general(one)),
                ("imageAnnotation", (_image_information(one), _processing(one))),
                ("swathTiming", (("linesPerBurst", "0"), ("samplesPerBurst", "0"),
                                 counted("burstList", ()))),
                ("geolocationGrid", (_geolocation(one.frame),)),
                ("coordinateConversion", (_conversion(one.frame),)),
                ("swathMerging", (_merging(one),)),
            ),
        )
    )  # fmt: skip


def calibration_document(one: Annotated) -> bytes:
    """The calibration annotation: four tables in amplitude, by line and sample."""
    tables, frame = one.radiometry, one.frame
    pixels = table("pixel", tables.nodes, "%d")
    beta = np.full(tables.nodes.shape, tables.beta)
    dn = np.full(tables.nodes.shape, DIGITAL)
    vectors = [
        ("calibrationVector", (
            ("azimuthTime", stamp(frame.start, line * frame.mode.interval)),
            ("line", f"{line:d}"),
            pixels,
            table("sigmaNought", tables.sigma[row], "%.6e"),
            table("betaNought", beta, "%.6e"),
            table("gamma", tables.gamma[row], "%.6e"),
            table("dn", dn, "%.6e"),
        ))
        for row, line in enumerate(tables.vectors.tolist())
    ]  # fmt: skip
    constant = ("calibrationInformation", (("absoluteCalibrationConstant", "1.000000e+00"),))
    body = (_header(one), constant, counted("calibrationVectorList", vectors))
    return rendered(("calibration", body))


def noise_document(one: Annotated) -> bytes:
    """The noise annotation, with range and azimuth vectors as since IPF 2.90."""
    tables, frame = one.radiometry, one.frame
    pixels = table("pixel", tables.nodes, "%d")
    along = [
        ("noiseRangeVector", (
            ("azimuthTime", stamp(frame.start, line * frame.mode.interval)),
            ("line", f"{line:d}"),
            pixels,
            table("noiseRangeLut", tables.noise_range[row], "%.6e"),
        ))
        for row, line in enumerate(tables.vectors.tolist())
    ]  # fmt: skip
    lines = table("line", tables.azimuth_lines, "%d")
    across = [
        ("noiseAzimuthVector", (
            ("swath", swath),
            ("firstAzimuthLine", "0"),
            ("firstRangeSample", str(tables.seams[number])),
            ("lastAzimuthLine", str(frame.mode.lines - 1)),
            ("lastRangeSample", str(tables.seams[number + 1] - 1)),
            lines,
            table("noiseAzimuthLut", tables.scalloping(number), "%.6e"),
        ))
        for number, swath in enumerate(tables.swaths)
    ]  # fmt: skip
    lists = (counted("noiseRangeVectorList", along), counted("noiseAzimuthVectorList", across))
    return rendered(("noise", (_header(one), *lists)))


def interference_document(one: Annotated) -> bytes:
    """The radio interference annotation: nothing was looked for."""
    return rendered(("rfi", (_header(one),)))


def _header(one: Annotated) -> Node:
    frame = one.frame
    return ("adsHeader", (
        ("missionId", frame.platform),
        ("productType", "GRD"),
        ("polarisation", one.polarization),
        ("mode", frame.mode.name),
        ("swath", frame.mode.name),
        ("startTime", stamp(frame.start)),
        ("stopTime", stamp(frame.start, SLICE_S)),
        ("absoluteOrbitNumber", str(one.absolute_orbit)),
        ("missionDataTakeId", str(one.datatake)),
        ("imageNumber", f"{one.number:03d}"),
    ))  # fmt: skip


def _general(one: Annotated) -> tuple[Node, ...]:
    frame = one.frame
    _, _, heading = ground_track(frame.platform, np.array([datetime64(frame.start)]))
    product = ("productInformation", (
        ("pass", orbit_state(frame.platform, frame.start).capitalize()),
        ("timelinessCategory", "Fast-24h"),
        ("platformHeading", real((float(heading[0]) + 180) % 360 - 180)),
        ("projection", "Ground Range"),
        ("rangeSamplingRate", real(_SAMPLING_HZ[frame.mode.name])),
        ("radarFrequency", real(RADAR_HZ)),
        ("azimuthSteeringRate", real(1.590368784)),
    ))  # fmt: skip
    return product, _orbit(frame), _attitude(frame)


def _orbit(frame: Frame) -> Node:
    seconds = _VECTOR_START_S + _VECTOR_STEP_S * np.arange(_VECTORS, dtype=np.float64)
    places, speeds = frame.arc.states(seconds)
    nodes = [
        ("orbit", (
            ("time", stamp(frame.start, second)),
            ("frame", "Earth Fixed"),
            ("position", [(axis, real(value)) for axis, value in zip("xyz", place, strict=True)]),
            ("velocity", [(axis, real(value)) for axis, value in zip("xyz", speed, strict=True)]),
        ))
        for second, place, speed in zip(
            seconds.tolist(), places.tolist(), speeds.tolist(), strict=True
        )
    ]  # fmt: skip
    return counted("orbitList", nodes)


def _attitude(frame: Frame) -> Node:
    """A platform without any attitude of its own."""
    still = [(name, real(0.0)) for name in ("q1", "q2", "q3", "wx", "wy", "wz")]
    angles = [(name, real(0.0)) for name in ("roll", "pitch", "yaw")]
    nodes = [
        ("attitude", (
            ("time", stamp(frame.start, second)), ("frame", "GM2000"), ("q0", real(1.0)),
            *still, *angles,
        ))
        for second in range(SLICE_S + 1)
    ]  # fmt: skip
    return counted("attitudeList", nodes)


def _image_information(one: Annotated) -> Node:
    frame, mode = one.frame, one.frame.mode
    node = node_time(frame.platform, one.absolute_orbit)
    middle = grid_points(frame).incidence[5, 10]
    flat = (("re", "2.000000e+02"), ("im", "0.000000e+00"))
    return ("imageInformation", (
        ("productFirstLineUtcTime", stamp(frame.start)),
        ("productLastLineUtcTime", stamp(frame.start, SLICE_S)),
        ("ascendingNodeTime", stamp(node)),
        ("anchorTime", stamp(frame.start)),
        ("productComposition", "Slice"),
        ("sliceNumber", "1"),
        counted("sliceList", ()),
        ("slantRangeTime", real(2 * frame.to_slant[0, 0] / SPEED_OF_LIGHT)),
        ("pixelValue", "Detected"),
        ("outputPixels", "16 bit Unsigned Integer"),
        ("rangePixelSpacing", f"{mode.spacing:.6e}"),
        ("azimuthPixelSpacing", f"{mode.spacing:.6e}"),
        ("azimuthTimeInterval", real(mode.interval)),
        ("azimuthFrequency", real(1 / mode.interval)),
        ("numberOfSamples", str(mode.samples)),
        ("numberOfLines", str(mode.lines)),
        ("zeroDopMinusAcqTime", real(0.0)),
        ("incidenceAngleMidSwath", real(float(middle))),
        ("imageStatistics", (("outputDataMean", flat), ("outputDataStdDev", flat))),
    ))  # fmt: skip


def _processing(one: Annotated) -> Node:
    """What a reader asks of the processing: no noise was removed, the delay was corrected."""
    return ("processingInformation", (
        ("detectionPerformed", "true"),
        ("srgrConversionApplied", "true"),
        ("thermalNoiseCorrectionPerformed", "false"),
        ("ellipsoidName", "WGS84"),
        ("ellipsoidSemiMajorAxis", real(6_378_137.0)),
        ("ellipsoidSemiMinorAxis", real(6_356_752.314245)),
        ("bistaticDelayCorrectionApplied", "true"),
        ("orbitSource", "Auxiliary"),
    ))  # fmt: skip


def _geolocation(frame: Frame) -> Node:
    points = grid_points(frame)
    slant = frame.slant_range(points.line, points.sample)
    seconds = frame.zero_doppler(points.line, slant)
    columns = (
        seconds, 2 * slant / SPEED_OF_LIGHT, points.line, points.sample, points.lat, points.lon,
        points.height, points.incidence, points.elevation,
    )  # fmt: skip
    nodes = [
        ("geolocationGridPoint", (
            ("azimuthTime", stamp(frame.start, time)),
            ("slantRangeTime", real(delay)),
            ("line", f"{line:.0f}"),
            ("pixel", f"{sample:.0f}"),
            ("latitude", real(lat)),
            ("longitude", real(lon)),
            ("height", real(height)),
            ("incidenceAngle", real(incidence)),
            ("elevationAngle", real(elevation)),
        ))
        for time, delay, line, sample, lat, lon, height, incidence, elevation in np.stack(
            [column.ravel() for column in columns], axis=-1
        ).tolist()
    ]  # fmt: skip
    return counted("geolocationGridPointList", nodes)


def _conversion(frame: Frame) -> Node:
    nodes = [
        ("coordinateConversion", (
            ("azimuthTime", stamp(frame.start, FIRST_RECORD_S + number)),
            ("slantRangeTime", real(2 * frame.to_slant[number, 0] / SPEED_OF_LIGHT)),
            ("sr0", real(frame.to_slant[number, 0])),
            table("srgrCoefficients", frame.to_ground[number], "%.15e"),
            ("gr0", real(0.0)),
            table("grsrCoefficients", frame.to_slant[number], "%.15e"),
        ))
        for number in range(RECORDS)
    ]  # fmt: skip
    return counted("coordinateConversionList", nodes)


def _merging(one: Annotated) -> Node:
    tables, interval = one.radiometry, one.frame.mode.interval
    swaths = []
    for number, swath in enumerate(tables.swaths):
        bounds = [
            ("swathBounds", (
                ("azimuthTime", stamp(one.frame.start, block.first_line * interval)),
                ("firstAzimuthLine", str(block.first_line)),
                ("firstRangeSample", str(block.first_sample)),
                ("lastAzimuthLine", str(block.last_line)),
                ("lastRangeSample", str(block.last_sample)),
            ))
            for block in tables.blocks(number)
        ]  # fmt: skip
        swaths.append(("swathMerge", (("swath", swath), counted("swathBoundsList", bounds))))
    return counted("swathMergeList", swaths)
