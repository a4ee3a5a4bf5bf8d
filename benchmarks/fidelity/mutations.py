"""Errors that a crop may have without anybody noticing, each in one place.

They are put into the production code, or into what it is told, for the time of a ``with``. One
mutation covers all operators in which the same mistake can be made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import numpy as np
from scipy.spatial import cKDTree

from benchmarks.fidelity.rows import Mutation
from stac_lake.pixels import backscatter, dem_tiles, files, optical, radiance, slope
from stac_lake.pixels.footprints import Canvas, Sums
from stac_lake.pixels.raster import Level, Raster, Window
from stac_lake.pixels.sar import geometry, ground, radiometry, sigma0
from stac_lake.recipe import Product, catalogs

MIDDLE_INCIDENCE_DEG = 38.0
"""Of Sentinel-1's IW, which spans 29° to 46°."""


@dataclass(frozen=True)
class _Changed:
    """An opened raster with other levels or other pixels."""

    raster: Raster
    levels: Sequence[Level]
    pixels: Callable[[Any], Any]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raster, name)

    def read(self, windows: Sequence[Window], fill: float, level: int = 0) -> list[Any]:
        return [self.pixels(block) for block in self.raster.read(windows, fill, level)]


def _opening(change: Callable[[Raster], Any]) -> Any:
    """All raster files are opened with a change."""
    original = files.open_raster

    def opened(*arguments: Any, **options: Any) -> Any:
        return change(original(*arguments, **options))

    return patch.object(files, "open_raster", opened)


def _moved(raster: Raster) -> Any:
    """Half a pixel to the upper left on the map, as corners are taken for centres."""
    if raster.epsg in (0, 4326):  # radar images and the DEM have their own ways
        return raster
    levels = []
    for level in raster.levels:
        a, b, c, d, e, f = level.transform
        levels.append(replace(level, transform=(a, b, c - a / 2, d, e, f - e / 2)))
    return _Changed(raster, levels, lambda block: block)


@contextmanager
def _half_pixel() -> Iterator[None]:
    part, locate, column = dem_tiles._part, radiance.locate, Canvas._column
    prepared = geometry.Geometry.__init__

    def low_part(place: Any, row: float, column: float, *rest: Any, **more: Any) -> Any:
        made = part(place, row, column, *rest, **more)
        return replace(made, lat=made.lat - row / 2, lon=made.lon + column / 2)

    def located(*arguments: Any) -> Any:
        row, column = locate(*arguments)
        return row + 0.5, column + 0.5

    def late(self: geometry.Geometry, annotation: Any) -> None:
        prepared(self, annotation)
        self._line_change = self._line_change + 0.5
        self._pixel_change = self._pixel_change + 0.5

    with ExitStack() as stack:
        stack.enter_context(_opening(_moved))
        stack.enter_context(patch.object(dem_tiles, "_part", low_part))
        stack.enter_context(patch.object(radiance, "locate", located))
        stack.enter_context(patch.object(geometry.Geometry, "__init__", late))
        stack.enter_context(
            patch.object(Canvas, "_column", lambda self, vectors: column(self, vectors) + 0.5)
        )
        stack.enter_context(patch.object(Canvas, "row_edges", property(_half_row_down)))
        yield


def _half_row_down(canvas: Canvas) -> Any:
    _, _, _, _, e, f = canvas.grid.transform
    lat = np.clip(f + e * (np.arange(canvas.grid.shape[0] + 1) + 0.5), -90.0, 90.0)
    return -np.sin(np.radians(lat))


@contextmanager
def _row_flip() -> Iterator[None]:
    sample, draw = radiance.sample, Canvas.draw

    def flipped(self: Canvas, *arguments: Any) -> Sums:
        sums = draw(self, *arguments)
        return Sums(sums.total[::-1], sums.area[::-1])

    with ExitStack() as stack:
        stack.enter_context(
            _opening(lambda raster: _Changed(raster, raster.levels, lambda b: b[:, ::-1]))
        )
        stack.enter_context(patch.object(radiance, "sample", lambda *a: sample(*a)[::-1]))
        stack.enter_context(patch.object(Canvas, "draw", flipped))
        yield


@contextmanager
def _geoid_off() -> Iterator[None]:
    with patch.object(ground, "geoid_height", lambda lon, lat: np.zeros(lon.shape)):
        yield


@contextmanager
def _offset_twice() -> Iterator[None]:
    once = optical.harmonized
    with patch.object(optical, "harmonized", lambda dn, offset: once(once(dn, offset), offset)):
        yield


@contextmanager
def _products(change: Callable[[Product], Product]) -> Iterator[None]:
    changed = {name: change(product) for name, product in catalogs.products().items()}
    with patch.object(catalogs, "products", lambda: changed):
        yield


def _looser(product: Product) -> Product:
    if product.id != "s5p-no2":
        return product
    values = product.values.model_copy(update={"qa_above": 0.5})
    return product.model_copy(update={"values": values})


@contextmanager
def _centres_only() -> Iterator[None]:
    def drawn(self: Canvas, corners: Any, values: Any) -> Sums:
        """Each pixel takes the footprint whose centre is nearest."""
        known = np.isfinite(self.target.vectors).all(-1)
        area, total = np.zeros(known.shape), np.zeros(known.shape)
        area[known] = 1.0
        total[known] = values[cKDTree(corners.mean(1)).query(self.target.vectors[known])[1]]
        return Sums(total, area)

    with patch.object(Canvas, "draw", drawn):
        yield


@contextmanager
def _short_month() -> Iterator[None]:
    from stac_lake.harvest import slots

    whole, day = slots.date_windows, timedelta(days=1)
    with patch.object(
        slots, "date_windows", lambda spans: whole(tuple((a, b - day) for a, b in spans))
    ):
        yield


@contextmanager
def _sigma_for_gamma() -> Iterator[None]:
    decibel = backscatter.decibel
    cosine = np.float32(np.cos(np.radians(MIDDLE_INCIDENCE_DEG)))

    def renamed(product: Product) -> Product:
        words = {
            name: getattr(product, name).replace("γ0", "σ0") for name in ("title", "description")
        }
        return product.model_copy(update=words)

    with (
        _products(renamed),
        patch.object(backscatter, "decibel", lambda power: decibel(power * cosine)),
    ):
        yield


@contextmanager
def _gamma_for_sigma() -> Iterator[None]:
    table = radiometry._table

    def other(root: Any, vectors: Any, name: str) -> Any:
        return table(root, vectors, "gamma" if name == "sigmaNought" else name)

    with patch.object(radiometry, "_table", other):
        yield


@contextmanager
def _noise_left_in() -> Iterator[None]:
    with patch.object(
        sigma0,
        "sigma_nought",
        lambda dn, corner, calibration, noise: radiometry.sigma_nought(
            dn, corner, calibration, None
        ),
    ):
        yield


@contextmanager
def _mixed_in_decibel() -> Iterator[None]:
    sampled = sigma0.Sigma0._sampled

    def mixed(self: sigma0.Sigma0, power: Any, *rest: Any) -> Any:
        return 10 ** (sampled(self, np.log10(np.maximum(power, 1e-5)), *rest))

    with patch.object(sigma0.Sigma0, "_sampled", mixed):
        yield


@contextmanager
def _normal_of_the_ellipsoid() -> Iterator[None]:
    def to_the_normal(places: Any, satellite: Any) -> Any:
        axis = 1 / (1 - geometry.WGS84_F) ** 2
        return geometry.angle(places * np.array([1.0, 1.0, axis]), satellite - places)

    with (
        patch.object(geometry, "incidence_angle", to_the_normal),
        patch.object(sigma0, "incidence_angle", to_the_normal),
    ):
        yield


class _Straight:
    """Straight lines through the positions of an orbit, in place of a spline."""

    def __init__(self, time: Any, position: Any, velocity: Any, extrapolate: bool) -> None:
        self.time, self.values = time, (position, velocity, np.gradient(velocity, time, axis=0))

    def __call__(self, time: Any, order: int = 0) -> Any:
        known = self.values[order]
        inside = (time >= self.time[0]) & (time <= self.time[-1])
        parts = [np.interp(time, self.time, known[:, axis]) for axis in range(3)]
        return np.where(np.asarray(inside)[..., None], np.stack(parts, axis=-1), np.nan)

    def derivative(self, order: int = 1) -> Callable[[Any], Any]:
        return lambda time: self(time, order)


@contextmanager
def _straight_orbit() -> Iterator[None]:
    with patch.object(geometry, "CubicHermiteSpline", _Straight):
        yield


@contextmanager
def _metres_of_a_sphere() -> Iterator[None]:
    metres = np.radians(6371008.8)

    def sphere(lat: Any) -> Any:
        return metres * np.cos(np.radians(lat)), np.full(np.shape(lat), metres)

    with patch.object(slope, "metres_per_degree", sphere):
        yield


@contextmanager
def _columns_as_long_as_rows() -> Iterator[None]:
    true = slope.metres_per_degree
    with patch.object(slope, "metres_per_degree", lambda lat: (true(lat)[1], true(lat)[1])):
        yield


half_pixel = Mutation("half-pixel shift", _half_pixel)
row_flip = Mutation("row flip", _row_flip)
geoid_off = Mutation("geoid off", _geoid_off)
offset_twice = Mutation("offset applied twice", _offset_twice)
qa_half = Mutation("qa 0.5 for NO2", lambda: _products(_looser))
centres_only = Mutation("footprint centres only", _centres_only)
short_month = Mutation("month one day short", _short_month)
sigma_for_gamma = Mutation("σ0 for γ0", _sigma_for_gamma)
gamma_for_sigma = Mutation("γ0 for σ0", _gamma_for_sigma)
noise_left_in = Mutation("noise left in", _noise_left_in)
mixed_in_decibel = Mutation("interpolated in decibel", _mixed_in_decibel)
normal_of_the_ellipsoid = Mutation("normal of the ellipsoid", _normal_of_the_ellipsoid)
straight_orbit = Mutation("orbit by straight lines", _straight_orbit)
metres_of_a_sphere = Mutation("metres of a sphere", _metres_of_a_sphere)
columns_as_long_as_rows = Mutation("columns as long as rows", _columns_as_long_as_rows)
