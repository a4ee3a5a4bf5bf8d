"""The netCDF file of a Sentinel-5P granule, with the groups and names of the real products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stac_lake.sandbox.granule_files import Hdf5Writer
from stac_lake.sandbox.orbits import ground_track
from stac_lake.sandbox.sphere import Floats, datetime64, sun_angles, view_angles
from stac_lake.sandbox.swath_fields import altitude, cloud_fraction, days, gas_column
from stac_lake.sandbox.swaths import Swath

HALF_SWATH_KM = 1300.0
HEIGHT_KM = 824.0
FILL = 9.96921e36  # netCDF's default fill of floats
_GEO = "PRODUCT/SUPPORT_DATA/GEOLOCATIONS"
_DETAIL = "PRODUCT/SUPPORT_DATA/DETAILED_RESULTS"
_INPUT = "PRODUCT/SUPPORT_DATA/INPUT_DATA"
_PIXEL = ("PRODUCT/time", "PRODUCT/scanline", "PRODUCT/ground_pixel")
_LINE = _PIXEL[:2]


@dataclass(frozen=True)
class Gas:
    """What distinguishes the product of one gas.

    Attributes:
        short_name: File type, ten characters.
        variable: Name of the column in `/PRODUCT`.
        long_name: CF long name of the column.
        standard_name: CF standard name of the column.
        cloud_qa: (cloud fraction from which it holds, qa in percent), rising.
        precision: Relative standard error of the column.
        layers: Length of the `layer` dimension.
    """

    short_name: str
    variable: str
    long_name: str
    standard_name: str
    cloud_qa: tuple[tuple[float, int], ...]
    precision: float
    layers: int


GASES: Mapping[str, Gas] = {
    "co": Gas(
        "L2__CO____", "carbonmonoxide_total_column", "Vertically integrated CO column",
        "atmosphere_mole_content_of_carbon_monoxide", ((0.0, 100), (0.5, 70), (0.8, 40)), 0.05, 50,
    ),
    "no2": Gas(
        "L2__NO2___", "nitrogendioxide_tropospheric_column",
        "Tropospheric vertical column of nitrogen dioxide",
        "troposphere_mole_content_of_nitrogen_dioxide", ((0.0, 100), (0.5, 70), (0.8, 45)), 0.2, 34,
    ),
    "o3": Gas(
        "L2__O3____", "ozone_total_vertical_column", "total ozone column",
        "atmosphere_mole_content_of_ozone", ((0.0, 100), (0.9, 40)), 0.01, 14,
    ),
    "so2": Gas(
        "L2__SO2___", "sulfurdioxide_total_vertical_column",
        "total vertical column of sulfur dioxide for the polluted scenario",
        "atmosphere_mole_content_of_sulfur_dioxide", ((0.0, 100), (0.5, 30)), 0.5, 34,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Granule:
    """One file to be written.

    Attributes:
        gas: Key of `GASES`.
        name: ESA product name without `.nc`.
        orbit: Absolute orbit number.
        mode: "RPRO" or "OFFL".
        version: Processor version, six digits.
        created: UTC.
        bias: Factor on the columns.
        swath: The pixel lattice.
    """

    gas: str
    name: str
    orbit: int
    mode: str
    version: str
    created: datetime
    bias: float
    swath: Swath

    @property
    def dotted_version(self) -> str:
        """Processor version as the file's attribute has it, for example 02.04.00."""
        return ".".join(self.version[i : i + 2] for i in (0, 2, 4))


@dataclass(frozen=True)
class Pixels:
    """Geolocation and quality of a granule, (scanline, ground_pixel); degrees, days, percent."""

    lon: Floats
    lat: Floats
    day: Floats
    sun_zenith: Floats
    sun_azimuth: Floats
    cloud: Floats
    qa: NDArray[np.uint8]
    missing: NDArray[np.bool_]


def pixels(granule: Granule) -> Pixels:
    """Where the pixels lie, how good they are and which have no value.

    A pixel has no value (qa 0) where the sun's zenith angle is above 88 degrees and at one place
    in 251; qa is 20 % at most where it is above 80 degrees.
    """
    swath = granule.swath
    lon, lat = swath.centres()
    times = swath.row_times(np.arange(0.5, swath.rows))[:, None]
    zenith, azimuth = sun_angles(lon, lat, times)
    day = days(times)
    cloud = cloud_fraction(lon, lat, day)
    qa = np.zeros(lon.shape, dtype=np.uint8)
    for limit, percent in GASES[granule.gas].cloud_qa:
        qa[cloud >= limit] = percent
    qa = np.where(zenith > 80.0, np.minimum(qa, 20), qa).astype(np.uint8)
    row, column = np.indices(lon.shape)
    missing = (zenith > 88.0) | ((row * 7919 + column * 104729 + granule.orbit * 31) % 251 == 0)
    qa[missing] = 0
    return Pixels(lon, lat, day, zenith, azimuth, cloud, qa, missing)


def granule_bytes(granule: Granule) -> bytes:
    """The granule's netCDF-4 file."""
    writer = Hdf5Writer(_global_attributes(granule))
    writer.annotate("METADATA/GRANULE_DESCRIPTION", _description(granule))
    at = pixels(granule)
    _write_coordinates(writer, granule, at)
    _write_columns(writer, granule, at)
    _write_geometry(writer, granule, at)
    _write_inputs(writer, granule, at)
    return writer.close()


def _global_attributes(granule: Granule) -> dict[str, Any]:
    swath = granule.swath
    reference = swath.start.replace(hour=0, minute=0, second=0, microsecond=0)
    line = (swath.stop - swath.start).total_seconds() / swath.rows
    return {
        "Conventions": "CF-1.7",
        "institution": "stac-lake sandbox",
        "source": "Sentinel 5 precursor, TROPOMI, generated",
        "title": f"TROPOMI/S5P {granule.gas.upper()} Column 1-Orbit L2 Swath",
        "id": granule.name,
        "time_reference": f"{reference:%Y-%m-%dT%H:%M:%SZ}",
        "time_reference_seconds_since_1970": np.array([int(reference.timestamp())], np.int64),
        "time_coverage_start": f"{swath.start:%Y-%m-%dT%H:%M:%SZ}",
        "time_coverage_end": f"{swath.stop:%Y-%m-%dT%H:%M:%SZ}",
        "time_coverage_duration": f"PT{(swath.stop - swath.start).total_seconds():.3f}S",
        "time_coverage_resolution": f"PT{line:.3f}S",
        "orbit": np.array([granule.orbit], np.int32),
        "processor_version": granule.dotted_version,
        "date_created": f"{granule.created:%Y-%m-%dT%H:%M:%SZ}",
        "cdm_data_type": "Swath",
        "platform": "S5P",
        "sensor": "TROPOMI",
        "processing_status": "Nominal",
    }


def _description(granule: Granule) -> dict[str, Any]:
    swath = granule.swath
    return {
        "GranuleStart": f"{swath.start:%Y-%m-%dT%H:%M:%SZ}",
        "GranuleEnd": f"{swath.stop:%Y-%m-%dT%H:%M:%SZ}",
        "InstrumentName": "TROPOMI",
        "MissionName": "Sentinel-5 precursor",
        "MissionShortName": "S5P",
        "ProcessLevel": "2",
        "ProcessorVersion": granule.dotted_version,
        "ProcessingMode": "Reprocessing" if granule.mode == "RPRO" else "Offline",
        "ProductShortName": GASES[granule.gas].short_name,
    }


def _write_coordinates(writer: Hdf5Writer, granule: Granule, at: Pixels) -> None:
    swath, gas = granule.swath, GASES[granule.gas]
    midnight = swath.start.replace(hour=0, minute=0, second=0, microsecond=0)
    since_2010 = (midnight - datetime(2010, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    writer.dimension("PRODUCT/scanline", swath.rows, np.arange(swath.rows, dtype=np.int32))
    writer.dimension(
        "PRODUCT/ground_pixel", swath.columns, np.arange(swath.columns, dtype=np.int32)
    )
    writer.dimension("PRODUCT/time", 1, np.array([since_2010], np.int32))
    writer.dimension("PRODUCT/corner", 4, np.arange(4, dtype=np.int32))
    writer.dimension("PRODUCT/layer", gas.layers)
    if granule.gas == "o3":
        writer.dimension("PRODUCT/level", gas.layers + 1)
    writer.annotate("PRODUCT/time", {"units": "seconds since 2010-01-01 00:00:00"})
    times = swath.row_times(np.arange(0.5, swath.rows))
    elapsed = (times - datetime64(midnight)).astype(np.int64) // 1000
    units = {"units": f"milliseconds since {midnight:%Y-%m-%d} 00:00:00", "_FillValue": -2147483647}
    writer.variable("PRODUCT/delta_time", _LINE, elapsed[None].astype(np.int32), units)
    for name, values, direction, standard in (
        ("latitude", at.lat, "degrees_north", "latitude"),
        ("longitude", at.lon, "degrees_east", "longitude"),
    ):
        attributes = {
            "long_name": f"pixel center {name}", "units": direction, "standard_name": standard,
            "bounds": f"/{_GEO}/{name}_bounds", "_FillValue": FILL,
        }  # fmt: skip
        writer.variable(f"PRODUCT/{name}", _PIXEL, _packed(values), attributes)
    bounds = (*_PIXEL, "PRODUCT/corner")
    for name, corners in zip(("longitude", "latitude"), swath.corners(), strict=True):
        writer.variable(f"{_GEO}/{name}_bounds", bounds, _packed(corners), {"_FillValue": FILL})


def _packed(values: Floats, missing: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """float32 with the leading time axis, and the fill value where there is none."""
    packed = values.astype(np.float32)
    if missing is not None:
        packed[missing] = np.float32(FILL)
    return packed[None]


def _write_columns(writer: Hdf5Writer, granule: Granule, at: Pixels) -> None:
    gas = GASES[granule.gas]
    writer.variable(
        "PRODUCT/qa_value", _PIXEL, at.qa[None],
        {
            "units": "1", "scale_factor": np.float32(0.01), "add_offset": np.float32(0.0),
            "valid_min": 0, "valid_max": 100, "_FillValue": 255,
            "long_name": "data quality value",
            "coordinates": "longitude latitude",
        },
    )  # fmt: skip
    column = granule.bias * gas_column(granule.gas, at.lon, at.lat, at.day)
    attributes = {
        "units": "mol m-2", "standard_name": gas.standard_name, "long_name": gas.long_name,
        "coordinates": "longitude latitude", "_FillValue": FILL,
        "multiplication_factor_to_convert_to_molecules_percm2": np.float32(6.02214e19),
        "ancillary_variables": f"{gas.variable}_precision qa_value",
    }  # fmt: skip
    error = gas.precision * np.abs(column)
    if granule.gas == "co":
        # The instrument's stripes are in the plain column; from version 2 on there is another.
        if granule.version >= "02":
            path = f"PRODUCT/{gas.variable}_corrected"
            writer.variable(path, _PIXEL, _packed(column, at.missing), attributes)
        stripes = np.where(np.arange(granule.swath.columns) % 2 == 0, 5e-4, -5e-4)
        column = column + stripes
    writer.variable(f"PRODUCT/{gas.variable}", _PIXEL, _packed(column, at.missing), attributes)
    attributes = {"units": "mol m-2", "_FillValue": FILL, "long_name": "standard error"}
    path = f"PRODUCT/{gas.variable}_precision"
    writer.variable(path, _PIXEL, _packed(error, at.missing), attributes)


def _write_geometry(writer: Hdf5Writer, granule: Granule, at: Pixels) -> None:
    swath = granule.swath
    lon, lat, _ = ground_track("S5P", swath.row_times(np.arange(0.5, swath.rows)))
    view_zenith, view_azimuth = view_angles(
        at.lon, at.lat, lon[:, None], lat[:, None], height_km=HEIGHT_KM
    )
    for name, values in (
        ("solar_zenith_angle", at.sun_zenith),
        ("solar_azimuth_angle", at.sun_azimuth),
        ("viewing_zenith_angle", view_zenith),
        ("viewing_azimuth_angle", view_azimuth),
    ):
        attributes = {"units": "degree", "_FillValue": FILL, "long_name": name.replace("_", " ")}
        writer.variable(f"{_GEO}/{name}", _PIXEL, _packed(values), attributes)
    height = np.full(swath.rows, HEIGHT_KM * 1000.0)
    for name, track, unit in (
        ("satellite_longitude", lon, "degrees_east"),
        ("satellite_latitude", lat, "degrees_north"),
        ("satellite_altitude", height, "m"),
    ):
        writer.variable(
            f"{_GEO}/{name}", _LINE, _packed(track), {"units": unit, "_FillValue": FILL}
        )


def _write_inputs(writer: Hdf5Writer, granule: Granule, at: Pixels) -> None:
    flags = at.missing.astype(np.uint32)[None]  # any value below 128 other than 0 is an error
    path = f"{_DETAIL}/processing_quality_flags"
    writer.variable(path, _PIXEL, flags, {"_FillValue": 4294967295})
    height = altitude(at.lon, at.lat)
    pressure = 101325.0 * np.exp(-height / 8000.0)
    fraction = {"units": "1", "_FillValue": FILL}
    for name, values, attributes in (
        ("surface_altitude", height, {"units": "m", "_FillValue": FILL}),
        ("surface_pressure", pressure, {"units": "Pa", "_FillValue": FILL}),
        ("cloud_fraction_crb", at.cloud, fraction),
    ):
        writer.variable(f"{_INPUT}/{name}", _PIXEL, _packed(values), attributes)
    if granule.gas == "no2":
        path = f"{_DETAIL}/cloud_fraction_crb_nitrogendioxide_window"
        writer.variable(path, _PIXEL, _packed(at.cloud), fraction)
        _write_layers(writer)


def _write_layers(writer: Hdf5Writer) -> None:
    """Hybrid pressure levels of the 34 model layers: p = a + b * surface pressure, Pa."""
    writer.dimension("PRODUCT/vertices", 2)
    levels = np.linspace(0.0, 1.0, 35)
    b = (1.0 - levels) ** 2
    a = 20000.0 * levels * (1.0 - levels)
    for name, values in (("tm5_constant_a", a), ("tm5_constant_b", b)):
        pairs = np.stack([values[:-1], values[1:]], axis=-1).astype(np.float32)
        attributes = {"units": "Pa" if name.endswith("a") else "1"}
        dimensions = ("PRODUCT/layer", "PRODUCT/vertices")
        writer.variable(f"PRODUCT/{name}", dimensions, pairs, attributes)
