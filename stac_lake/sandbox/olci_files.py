"""The netCDF files of an OLCI frame's SAFE directory, with the names of the real product."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stac_lake.sandbox.granule_files import Hdf5Writer
from stac_lake.sandbox.olci_pixels import (
    FLAGS,
    HEIGHT_KM,
    Frame,
    blocks,
    invalid,
    packed_radiance,
    quality_flags,
    source_columns,
)
from stac_lake.sandbox.orbits import ground_track
from stac_lake.sandbox.sphere import Floats, sun_angles, view_angles, wrap
from stac_lake.sandbox.swath_fields import OLCI_BANDS, altitude, days, gas_column

DETECTORS = 3700
_MICRODEGREE = 1e-6


def _micro(degrees: Floats, kind: type[np.integer[Any]] = np.int32) -> NDArray[Any]:
    return np.rint(degrees / _MICRODEGREE).astype(kind)


def _bounded(fill: float, limits: tuple[float, float]) -> dict[str, Any]:
    return {"_FillValue": fill, "valid_min": limits[0], "valid_max": limits[1]}


def _angle(name: str, unit: str, kind: str = "i4") -> dict[str, Any]:
    """Attributes of a packed angle; an azimuth or coordinate is signed, a zenith angle is not."""
    fill = -2147483648 if kind == "i4" else 4294967295
    limit = 90 if name.endswith("latitude") else 180
    return {
        "_FillValue": fill, "scale_factor": np.array([_MICRODEGREE]), "long_name": name,
        "valid_min": -limit * 10**6 if kind == "i4" else 0, "valid_max": limit * 10**6,
        "units": unit,
    }  # fmt: skip


def _image(writer: Hdf5Writer, frame: Frame) -> tuple[str, str]:
    writer.dimension("columns", frame.swath.columns)
    writer.dimension("rows", frame.swath.rows)
    return ("rows", "columns")


def _tie(writer: Hdf5Writer, frame: Frame) -> tuple[str, str]:
    writer.dimension("tie_columns", frame.tie_columns.size)
    writer.dimension("tie_rows", frame.swath.rows)
    return ("tie_rows", "tie_columns")


def _radiance_file(writer: Hdf5Writer, frame: Frame, band: str) -> None:
    model = OLCI_BANDS[band]
    data = np.concatenate([packed_radiance(frame, band, block) for block in blocks(frame)])
    attributes = {
        "_FillValue": 65535, "add_offset": np.array([model.offset], np.float32),
        "scale_factor": np.array([model.scale], np.float32), "valid_min": 0, "valid_max": 65534,
        "long_name": f"TOA radiance for OLCI acquisition band {band}",
        "standard_name": "toa_upwelling_spectral_radiance", "units": "mW.m-2.sr-1.nm-1",
        "coordinates": "latitude longitude",
    }  # fmt: skip
    writer.variable(f"{band}_radiance", _image(writer, frame), data, attributes)


def _geo_coordinates(writer: Hdf5Writer, frame: Frame) -> None:
    axes = _image(writer, frame)
    lon, lat = frame.swath.centres()
    for name, values, unit in (
        ("latitude", lat, "degrees_north"),
        ("longitude", lon, "degrees_east"),
    ):
        attributes = _angle(f"DEM corrected {name}", unit) | {"standard_name": name}
        writer.variable(name, axes, _micro(values), attributes)
    attributes = {
        "_FillValue": -32768, "valid_min": -1000, "valid_max": 9000, "units": "m",
        "long_name": "DEM corrected altitude", "standard_name": "altitude",
    }  # fmt: skip
    writer.variable("altitude", axes, np.rint(altitude(lon, lat)).astype(np.int16), attributes)


def _quality_flags(writer: Hdf5Writer, frame: Frame) -> None:
    data = np.concatenate([quality_flags(frame, block) for block in blocks(frame)])
    attributes = {
        "flag_masks": np.array([1 << bit for bit in FLAGS.values()], np.uint32),
        "flag_meanings": " ".join(FLAGS), "coordinates": "latitude longitude",
        "long_name": "Classification and quality flags",
    }  # fmt: skip
    writer.variable("quality_flags", _image(writer, frame), data, attributes)


def _tie_points(frame: Frame) -> tuple[Floats, Floats, NDArray[np.datetime64]]:
    rows = np.arange(0.5, frame.swath.rows)
    lon, lat = frame.swath.at(rows, frame.tie_columns)
    return lon, lat, frame.swath.row_times(rows)


def _tie_geo_coordinates(writer: Hdf5Writer, frame: Frame) -> None:
    axes = _tie(writer, frame)
    lon, lat, _ = _tie_points(frame)
    writer.variable("latitude", axes, _micro(lat), _angle("latitude", "degrees_north"))
    writer.variable("longitude", axes, _micro(lon), _angle("longitude", "degrees_east"))


def _tie_geometries(writer: Hdf5Writer, frame: Frame) -> None:
    axes = _tie(writer, frame)
    lon, lat, times = _tie_points(frame)
    track_lon, track_lat, _ = ground_track(frame.swath.platform, times)
    view = view_angles(lon, lat, track_lon[:, None], track_lat[:, None], height_km=HEIGHT_KM)
    sun = sun_angles(lon, lat, times[:, None])
    for body, name, (zenith, azimuth) in (("O", "viewing", view), ("S", "sun", sun)):
        attributes = _angle(f"{name} zenith angle", "degrees", "u4")
        writer.variable(f"{body}ZA", axes, _micro(zenith, np.uint32), attributes)
        attributes = _angle(f"{name} azimuth angle", "degrees")
        writer.variable(f"{body}AA", axes, _micro(wrap(azimuth)), attributes)


def _tie_meteo(writer: Hdf5Writer, frame: Frame) -> None:
    axes = _tie(writer, frame)
    writer.dimension("tie_pressure_levels", 25)
    writer.dimension("wind_vectors", 2)
    lon, lat, times = _tie_points(frame)
    ozone = gas_column("o3", lon, lat, days(times)[:, None]) * 0.048  # kg mol-1
    flat = np.ones(lon.shape, dtype=np.float32)
    for name, values, limit, unit in (
        ("total_ozone", ozone.astype(np.float32), 0.1, "kg.m-2"),
        ("humidity", 60 * flat, 100.0, "%"),
        ("sea_level_pressure", 1013 * flat, 1100.0, "hPa"),
        ("total_columnar_water_vapour", 20 * flat, 100.0, "kg.m-2"),
    ):
        attributes = _bounded(-1.0, (0.0, limit)) | {"units": unit}
        writer.variable(name, axes, values, attributes)
    wind = np.stack([5 * flat, -2 * flat], axis=-1)
    attributes = _bounded(9.969209968386869e36, (-100.0, 100.0)) | {"units": "m.s-1"}
    writer.variable("horizontal_wind", (*axes, "wind_vectors"), wind, attributes)
    levels = np.linspace(1000.0, 1.0, 25, dtype=np.float32)
    writer.variable("reference_pressure_level", ("tie_pressure_levels",), levels, {"units": "hPa"})
    profile = flat[..., None] * (220.0 + 0.07 * levels)
    name = "atmospheric_temperature_profile"
    attributes = _bounded(-1.0, (150.0, 350.0)) | {"units": "K"}
    writer.variable(name, (*axes, "tie_pressure_levels"), profile, attributes)


def _time_coordinates(writer: Hdf5Writer, frame: Frame) -> None:
    writer.dimension("rows", frame.swath.rows)
    times = frame.swath.row_times(np.arange(0.5, frame.swath.rows))
    stamps = (times - np.datetime64("2000-01-01T00:00:00", "us")).astype(np.int64)
    attributes = {
        "_FillValue": -1, "units": "microseconds since 2000-01-01 00:00:00",
        "long_name": "Elapsed time since 01 Jan 2000 0h", "standard_name": "time",
    }  # fmt: skip
    writer.variable("time_stamp", ("rows",), stamps, attributes)


def _detector_index(frame: Frame) -> NDArray[np.int16]:
    columns = source_columns(frame) * DETECTORS // frame.swath.columns
    index = np.tile(columns.astype(np.int16), (frame.swath.rows, 1))
    index[invalid(frame, np.arange(frame.swath.rows))] = -1
    return index


def _instrument_data(writer: Hdf5Writer, frame: Frame) -> None:
    axes = _image(writer, frame)
    writer.dimension("bands", len(OLCI_BANDS))
    writer.dimension("detectors", DETECTORS)
    smile = np.sin(np.linspace(0, 5 * np.pi, DETECTORS))  # five cameras
    models = list(OLCI_BANDS.values())
    seasonal = 1 / frame.sun_distance_au**2
    attributes: dict[str, Any]
    for name, values, slope, unit, meaning in (
        ("lambda0", [one.wavelength for one in models], 0.3, "nm", "central wavelength"),
        ("FWHM", [one.width for one in models], 0.01, "nm", "full width at half maximum"),
        (
            "solar_flux",
            [one.irradiance * seasonal for one in models],
            seasonal,
            "mW.m-2.nm-1",
            "In-band solar irradiance, seasonally corrected",
        ),
    ):
        attributes = _bounded(-1.0, (0.0, 2500.0)) | {"units": unit, "long_name": meaning}
        data = (np.array(values)[:, None] + slope * smile).astype(np.float32)
        writer.variable(name, ("bands", "detectors"), data, attributes)
    covariance = np.eye(len(models), dtype=np.float32)
    writer.variable("relative_spectral_covariance", ("bands", "bands"), covariance, {})
    attributes = _bounded(-1, (0, DETECTORS - 1)) | {"long_name": "Detector index"}
    writer.variable("detector_index", axes, _detector_index(frame), attributes)
    attributes = _bounded(-128, (-15, 15))
    offset = np.zeros((frame.swath.rows, frame.swath.columns), dtype=np.int8)
    writer.variable("frame_offset", axes, offset, attributes)


def _removed_pixels(writer: Hdf5Writer, frame: Frame) -> None:
    """Two measurements per line at the swath's edges that the image grid has no room for."""
    swath = frame.swath
    writer.dimension("rows", swath.rows)
    writer.dimension("removed_pixels", 2)
    axes = ("rows", "removed_pixels")
    lon, lat = swath.at(np.arange(0.5, swath.rows), np.array([1.0, swath.columns - 1.0]))
    writer.variable("latitude", axes, _micro(lat), _angle("latitude", "degrees_north"))
    writer.variable("longitude", axes, _micro(lon), _angle("longitude", "degrees_east"))
    count = np.full(swath.rows, 2, dtype=np.uint16)
    writer.variable(
        "nb_removed_pixels", ("rows",), count, {"long_name": "removed pixels per frame"}
    )
    detector = np.tile(np.array([0, DETECTORS - 1], np.int16), (swath.rows, 1))
    writer.variable("detector_index", axes, detector, _bounded(-1, (0, DETECTORS - 1)))


_OTHERS: Mapping[str, Callable[[Hdf5Writer, Frame], None]] = {
    "geo_coordinates.nc": _geo_coordinates,
    "instrument_data.nc": _instrument_data,
    "qualityFlags.nc": _quality_flags,
    "removed_pixels.nc": _removed_pixels,
    "tie_geo_coordinates.nc": _tie_geo_coordinates,
    "tie_geometries.nc": _tie_geometries,
    "tie_meteo.nc": _tie_meteo,
    "time_coordinates.nc": _time_coordinates,
}
FILES = frozenset({f"{band}_radiance.nc" for band in OLCI_BANDS} | set(_OTHERS))


def file_bytes(frame: Frame, name: str) -> bytes:
    """One netCDF file of the frame.

    Raises:
        KeyError: `name` is none of `FILES`.
    """
    swath = frame.swath
    stop = swath.stop - timedelta(microseconds=1)
    writer = Hdf5Writer(
        {
            "absolute_orbit_number": np.array([frame.orbit], np.uint32),
            "ac_subsampling_factor": np.array([frame.tie_step], np.uint16),
            "al_subsampling_factor": np.array([1], np.uint16),
            "institution": "LN1",
            "product_name": f"{frame.name}.SEN3",
            "resolution": "[ 270 294 ]",
            "source": "stac-lake sandbox",
            "start_time": f"{swath.start:%Y-%m-%dT%H:%M:%S.%fZ}",
            "stop_time": f"{stop:%Y-%m-%dT%H:%M:%S.%fZ}",
            "title": f"OLCI Level 1b Product, {name.removesuffix('.nc')}",
        }
    )
    if name in _OTHERS:
        _OTHERS[name](writer, frame)
    else:
        _radiance_file(writer, frame, name.removesuffix("_radiance.nc"))
    return writer.close()
