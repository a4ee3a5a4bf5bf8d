"""Small SAFE and TROPOMI files on analytic fields, and a source that serves them from memory.

Geometry is made by pyproj, not by the code under test.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import h5py
import numpy as np
from pyproj import Proj

from stac_lake.errors import StacLakeError
from stac_lake.types import Asset, Scene

R = 6371008.8
START = datetime(2021, 3, 5, 16, tzinfo=UTC)
FILL = 9.96921e36


class MemorySource:
    """Files by href; keeps what was asked for, and raises `failing[key]` instead of answering."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.asked: list[str] = []
        self.failing: dict[str, StacLakeError] = {}

    def size(self, asset: Asset) -> int:
        self._note(asset)
        return len(self.files[asset.href])

    def read(self, asset: Asset) -> bytes:
        self._note(asset)
        return self.files[asset.href]

    def read_ranges(self, asset: Asset, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        self._note(asset)
        return [self.files[asset.href][a:b] for a, b in ranges]

    def _note(self, asset: Asset) -> None:
        self.asked.append(asset.key)
        if asset.key in self.failing:
            raise self.failing[asset.key]


def hdf5(write: Callable[[h5py.File], None]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        write(file)
    return buffer.getvalue()


def variable(file: h5py.File, name: str, data: Any, **attributes: Any) -> None:
    made = file.create_dataset(name, data=data, chunks=True, compression=1, shuffle=True)
    for key, value in attributes.items():
        made.attrs[key] = value


def make_scene(
    name: str, product: str, files: Mapping[str, bytes]
) -> tuple[Scene, dict[str, bytes]]:
    """A scene of files by asset key, and the files by href."""
    hrefs = {key: f"s3://eodata/{name}/{key}.nc" for key in files}
    assets = {key: Asset(key, href, "cdse") for key, href in hrefs.items()}
    scene = Scene(
        id=name, product=product, provider="cdse", collection="c", start=START, end=START,
        footprint={}, assets=assets, acquisition=name, version="1", href=f"https://stac/{name}",
    )  # fmt: skip
    return scene, {hrefs[key]: data for key, data in files.items()}


def field_of(lon: Any, lat: Any, phase: float) -> Any:
    """A smooth field on the sphere with waves of about 130 km; knows neither ±180° nor poles."""
    lam, phi = np.radians(lon), np.radians(lat)
    x, y, z = np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)
    return 60 + 25 * np.sin(300 * x + phase) + 15 * np.sin(300 * y - phase) + 10 * np.sin(300 * z)


@dataclass
class Lattice:
    """Pixel centres around a point, in the azimuthal equidistant plane (sphere).

    Attributes:
        lon: Of the middle.
        lat: Of the middle.
        heading: Of the flight, clockwise from north.
        shape: Rows, columns.
        size: Pixel along and across track, km.
        bump: Amplitude of a smooth disturbance of the geolocation, pixels.
    """

    lon: float
    lat: float
    heading: float = 190.0
    shape: tuple[int, int] = (260, 260)
    size: tuple[float, float] = (0.29, 0.27)
    bump: float = 0.0

    def at(self, row: Any, column: Any) -> tuple[Any, Any]:
        """Longitude and latitude of positions, the first pixel's centre being 0."""
        r, c = np.asarray(row, float), np.asarray(column, float)
        across = c - (self.shape[1] - 1) / 2
        r = r + self.bump * np.sin(r / 9) * np.cos(c / 11)
        across = across * (1 + 4e-4 * np.abs(across)) + self.bump * np.sin(c / 8 + r / 13)
        along = (r - (self.shape[0] - 1) / 2) * self.size[0]
        across = across * self.size[1]
        turn = np.radians(self.heading)
        east = along * np.sin(turn) + across * np.cos(turn)
        north = along * np.cos(turn) - across * np.sin(turn)
        plane = Proj(proj="aeqd", lon_0=self.lon, lat_0=self.lat, R=R, units="km")
        return plane(east, north, inverse=True)

    def centres(self) -> tuple[Any, Any]:
        return self.at(*np.indices(self.shape))


@dataclass
class Frame:
    """An OLCI frame; change its arrays before `files`."""

    lattice: Lattice
    bands: tuple[str, ...]
    flags: Any = None
    repeats: tuple[int, ...] = ()
    tie_step: int = 20
    azimuth: float = 175.0
    holes: dict[str, tuple[int, int]] = field(default_factory=dict)
    spikes: dict[tuple[int, int], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.flags is None:
            self.flags = np.full(self.lattice.shape, 1 << 31, np.uint32)

    def source_columns(self) -> Any:
        """Which column each one shows: those in `repeats` copy their left neighbour."""
        columns = np.arange(self.lattice.shape[1])
        return np.where(np.isin(columns, self.repeats), columns - 1, columns)

    def files(self) -> dict[str, bytes]:
        source = self.source_columns()
        lon, lat = self.lattice.centres()
        lon, lat = lon[:, source], lat[:, source]
        flags = self.flags.copy()
        flags[:, list(self.repeats)] |= 1 << 23
        found = {
            "geolocation": hdf5(lambda f: _coordinates(f, lon, lat)),
            "flags": hdf5(lambda f: _flags(f, flags)),
            "tie_geo": hdf5(self._tie_geo),
            "tie_geometries": hdf5(self._tie_geometries),
            "instrument": hdf5(self._instrument),
        }
        for i, band in enumerate(self.bands):
            values = field_of(lon, lat, i)
            for pixel, value in self.spikes.items():
                values[pixel] = value
            packed = np.rint((values - 1.5) / 0.004).astype(np.uint16)
            packed[flags & (1 << 25) != 0] = 65535
            if band in self.holes:
                packed[self.holes[band]] = 65535
            found[band] = hdf5(lambda f, b=band, p=packed: _radiance(f, b, p))
        return found

    def ties(self) -> tuple[Any, Any]:
        """Row and column positions of the tie points."""
        rows, columns = self.lattice.shape
        return np.meshgrid(np.arange(rows), np.arange(0, columns, self.tie_step), indexing="ij")

    def zenith(self, lon: Any, lat: Any) -> Any:
        return 40 + 3 * np.sin(np.radians(3 * lat)) + 0.5 * np.cos(np.radians(lon))

    def _tie_geo(self, file: h5py.File) -> None:
        _coordinates(file, *self.lattice.at(*self.ties()))
        file.attrs["ac_subsampling_factor"] = np.array([self.tie_step], np.int32)
        file.attrs["al_subsampling_factor"] = np.array([1], np.int32)

    def _tie_geometries(self, file: h5py.File) -> None:
        row, column = self.ties()
        lon, lat = self.lattice.at(row, column)
        azimuth = self.azimuth + 0.05 * (column - 100)
        azimuth = (azimuth + 180) % 360 - 180
        for body in "SO":
            zenith = np.rint(self.zenith(lon, lat) * 1e6).astype(np.uint32)
            variable(file, f"{body}ZA", zenith, scale_factor=1e-6, _FillValue=np.uint32(2**32 - 1))
            packed = np.rint(azimuth * 1e6).astype(np.int32)
            variable(file, f"{body}AA", packed, scale_factor=1e-6, _FillValue=np.int32(-(2**31)))
        file.attrs["ac_subsampling_factor"] = np.array([self.tie_step], np.int32)

    def _instrument(self, file: h5py.File) -> None:
        columns = self.lattice.shape[1]
        flux = 1000.0 * np.arange(1, 22)[:, None] + np.arange(columns)
        variable(file, "solar_flux", flux.astype(np.float32), _FillValue=np.float32(-1))
        index = np.tile(self.source_columns().astype(np.int16), (self.lattice.shape[0], 1))
        variable(file, "detector_index", index, _FillValue=np.int16(-1))


def _coordinates(file: h5py.File, lon: Any, lat: Any) -> None:
    for name, values in (("longitude", lon), ("latitude", lat)):
        packed = np.rint(values * 1e6).astype(np.int32)
        variable(file, name, packed, scale_factor=1e-6, _FillValue=np.int32(-(2**31)))


def _flags(file: h5py.File, flags: Any) -> None:
    variable(
        file, "quality_flags", flags,
        flag_masks=np.array([1 << 31, 1 << 27, 1 << 20, 1 << 3], np.uint32),
        flag_meanings="land bright saturated@Oa01 saturated@Oa18",
    )  # fmt: skip


def _radiance(file: h5py.File, band: str, packed: Any) -> None:
    variable(
        file, f"{band}_radiance", packed,
        scale_factor=np.float32(0.004), add_offset=np.float32(1.5), _FillValue=np.uint16(65535),
    )  # fmt: skip


def tropomi(
    lattice: Lattice,
    columns: Any,
    qa: Any,
    *,
    name: str,
    paths: Sequence[str] = ("PRODUCT/nitrogendioxide_tropospheric_column",),
) -> bytes:
    """A level 2 granule: footprints of a lattice, values (row, column), qa in percent."""
    row, column = np.indices(lattice.shape)
    ring = np.array([(-0.5, -0.5), (-0.5, 0.5), (0.5, 0.5), (0.5, -0.5)])
    lon, lat = lattice.at(row, column)
    east, north = lattice.at(row[..., None] + ring[:, 0], column[..., None] + ring[:, 1])
    bounds = "PRODUCT/SUPPORT_DATA/GEOLOCATIONS"

    def write(file: h5py.File) -> None:
        for path, values in (
            ("PRODUCT/longitude", lon),
            ("PRODUCT/latitude", lat),
            (f"{bounds}/longitude_bounds", east),
            (f"{bounds}/latitude_bounds", north),
        ):
            variable(file, path, values[None].astype(np.float32), _FillValue=np.float32(FILL))
        for i, path in enumerate(paths):
            data = np.where(np.isnan(columns), FILL, columns * (1 + i)).astype(np.float32)
            variable(file, path, data[None], _FillValue=np.float32(FILL))
        scale = np.float32(0.01)
        data = np.asarray(qa, np.uint8)[None]
        variable(file, "PRODUCT/qa_value", data, scale_factor=scale, _FillValue=np.uint8(255))
        file.attrs["id"] = name

    return hdf5(write)
