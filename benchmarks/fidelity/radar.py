"""Rows of Sentinel-1: γ0 of RTC as it is served, geometry and radiometry of GRD."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import test_sar_geometry
import test_sar_sigma0 as simulated
from grd_files import in_space

from benchmarks.fidelity.bench import Bench
from benchmarks.fidelity.mutations import (
    gamma_for_sigma,
    geoid_off,
    half_pixel,
    mixed_in_decibel,
    noise_left_in,
    normal_of_the_ellipsoid,
    row_flip,
    sigma_for_gamma,
    straight_orbit,
)
from benchmarks.fidelity.needs import recorded
from benchmarks.fidelity.rows import Figure, Figures, Measure, Row, errors
from benchmarks.fidelity.served import Stored, served
from stac_lake.pixels.sar import geometry
from stac_lake.recipe import product
from stac_lake.types import Qa
from tests.everywhere import everywhere_fields as fields
from tests.everywhere.everywhere_sites import BY_NAME

RTC_PLACES = ("equator", "south", "32V", "coast")
GRD_PLACES = {"equator": 1, "at-180": 2, "south": 2, "82N": 1, "74S": 2}
"""Of the sandbox, and how many candidates are opened there."""
REAL = "S1B IW GRDH of 2021-12-23"
SAFE = "s1_grd_safe_sarsen/*.SAFE/annotation/*.xml"
WRONG = (half_pixel, row_flip)
PLACE_PX = dict.fromkeys(GRD_PLACES, 0.1) | {"82N": 0.25}
"""At 82° N the stand-in's mountains have slopes of 40°: a reflector's image is bent there."""
REACH_M = 120.0
BRIGHT = 0.1
"""Share of a reflector's brightest pixel from which on pixels tell its place."""
NEAR_PIXELS = 400
"""Of 452 that are within reach of a reflector inside the crop."""


def rows() -> list[Row]:
    """All of them."""
    return [
        *(
            Row(
                "s1-rtc",
                f"sandbox, {place}",
                "the formulas of docs/sandbox.md in float64",
                "sandbox",
                (
                    # A step of 2⁻¹⁶ that rounds the other way, in the weakest pixels of VH.
                    Measure("γ0", "dB", 0.02, (sigma_for_gamma, *WRONG)),
                    Measure("place", "px", 0.25, (half_pixel,)),
                ),
                partial(_rtc, place),
            )
            for place in RTC_PLACES
        ),
        Row(
            "s1-rtc",
            "everywhere",
            "the Planetary Computer calls it terrain-flattened γ0: so must title and description",
            "third-party",
            (Measure("texts without it", "texts", 0, (sigma_for_gamma,)),),
            _label,
        ),
        Row(
            "s1-grd",
            REAL,
            "the 210 points of its geolocation grid, by ESA's processor",
            "real",
            (
                Measure("line and pixel", "px", 0.1, (half_pixel,)),
                Measure("incidence angle", "°", 0.01, (normal_of_the_ellipsoid,)),
            ),
            _annotated,
            needs="shared",
        ),
        Row(
            "s1-grd",
            REAL,
            "sarsen 0.9.6, backward geocoding between those points, 700 m higher",
            "third-party",
            (
                Measure("zero-Doppler time", "lines", 0.01, (straight_orbit,)),
                Measure("slant range", "m", 0.01, (straight_orbit,)),
            ),
            _sarsen,
            needs="sarsen",
        ),
        Row(
            "s1-grd",
            "45.6° N, a scene simulated by bisection",
            "three point targets and a homogeneous ground on a slope, noise and tables known",
            "analytic",
            (
                Measure("place of targets", "px", 0.1, (half_pixel, geoid_off)),
                Measure("power of targets", "dB", 0.1, (mixed_in_decibel,)),
                # Digital numbers are whole: about 60 in VH.
                Measure("ground", "dB", 0.15, (noise_left_in,)),
            ),
            _simulated,
        ),
        *(
            Row(
                "s1-grd",
                f"sandbox, {place}",
                "the formulas of docs/sandbox.md at the pixels' places",
                "sandbox",
                (
                    Measure("bias of σ0", "dB", 0.1, (gamma_for_sigma, noise_left_in)),
                    Measure("place of reflectors", "px", PLACE_PX[place], (half_pixel, geoid_off)),
                ),
                partial(_grd, place),
            )
            for place in GRD_PLACES
        ),
    ]


def _rtc(place: str, bench: Bench) -> Figures:
    site = BY_NAME[place]
    crop = served(bench, "s1-rtc", site)
    epsg = crop.scene.assets["VV"].epsg or crop.epsg
    start = fields.utc(crop.scene.id.split("_")[4])
    there = fields.moved(*crop.centres, crop.epsg, epsg)
    ours, expected = [], []
    for name, cross in (("VV", False), ("VH", True)):

        def value(x: Any, y: Any, cross: bool = cross) -> Any:
            return fields.power(start, cross, x, y)

        power = value(*there) if epsg == crop.epsg else fields.bilinear(value, *there, 10)
        ours.append(crop.band(name))
        expected.append(10 * np.log10(power))

    def smooth(x: Any, y: Any) -> Any:
        return fields.backscatter(start, False, *fields.moved(x, y, crop.epsg, epsg))

    return {"γ0": errors(ours, expected), "place": crop.displacement("VV", smooth)}


def _label(bench: Bench) -> Figures:
    found = bench.made(lambda: product("s1-rtc"))
    texts = (found.title, found.description)
    return {"texts without it": Figure(sum("γ0" not in text for text in texts))}


def _points() -> tuple[Any, test_sar_geometry.Points]:
    """The real annotation, as we read it, and its points, as the test reads them."""
    path = recorded(SAFE)
    return test_sar_geometry.annotation_of(path.read_bytes()), test_sar_geometry.Points(path)


def _annotated(bench: Bench) -> Figures:
    annotation, points = _points()
    places = in_space(points.lon, points.lat, points.height)
    seen = bench.made(lambda: geometry.Geometry(annotation).locate(places))
    angles = geometry.incidence_angle(places, seen.satellite)
    return {
        "line and pixel": errors([seen.line, seen.pixel], [points.line, points.pixel]),
        "incidence angle": errors(angles, points.incidence),
    }


def _sarsen(bench: Bench) -> Figures:
    annotation, points = _points()
    places = in_space(points.lon + 0.05, points.lat - 0.03, points.height + 700)
    time, slant = bench.once("sarsen", lambda: _by_sarsen(annotation, places))
    seen = bench.made(lambda: geometry.Geometry(annotation).locate(places))
    return {
        "zero-Doppler time": errors(seen.time, time, annotation.line_s),
        "slant range": errors(seen.slant_range, slant),
    }


def _by_sarsen(annotation: Any, places: Any) -> tuple[Any, Any]:
    """Seconds from the first line, and metres."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own
        import sarsen.geocoding
        import sarsen.orbit
        import xarray as xr
        import xarray_sentinel

        vectors = xarray_sentinel.sentinel1.open_orbit_dataset(recorded(SAFE)).position
        orbit = sarsen.orbit.OrbitPolyfitInterpolator.from_position(vectors)
        found = sarsen.geocoding.backward_geocode(
            xr.DataArray(places, dims=("y", "x", "axis"), coords={"axis": [0, 1, 2]}),
            orbit,
            maxiter=20,
            zero_doppler_distance=1e-4,
        )
    time = (found.azimuth_time.values - annotation.start) / np.timedelta64(1, "ns") * 1e-9
    return time, np.linalg.norm(found.dem_distance.transpose(..., "axis").values, axis=-1)


def _scene() -> tuple[simulated.Truth, dict[str, bytes]]:
    truth = simulated.Truth(simulated.centre())
    files = {"dem": simulated.dem_tile()}
    for name, share in (("VV", 1.0), ("VH", 0.1)):
        files[f"{name}.tiff"] = truth.at.image(share * truth.power)
        files[f"annotation-{name}"] = truth.at.annotation()
        files[f"calibration-{name}"] = truth.at.calibration_file()
        files[f"noise-{name}"] = truth.at.noise_file()
    return truth, files


def _simulated(bench: Bench) -> Figures:
    truth, files = bench.once("simulated", _scene)
    chip = bench.made(lambda: simulated.made(files))
    found = simulated.centroids(10 ** (chip.data[0].astype(float) / 10))
    places = [(x, y) for x, y, _ in found]
    peak = simulated.PEAK * 2 * np.pi * simulated.WIDTH**2
    powers = [peak / truth.pixels_per_m2(x, y) for x, y in simulated.TARGETS]
    quiet = simulated.away(simulated.GRID.shape)
    ground = 10 * np.log10(simulated.BACK * np.array([[1.0], [0.1]]))
    # Where noise was left in, targets may have no power of their own.
    total = np.maximum([power for *_, power in found], 1e-9)
    return {
        "place of targets": Figure(
            float(np.hypot(*(np.array(places) - simulated.TARGETS).T).max() / 10)
        ),
        "power of targets": errors(10 * np.log10(total), 10 * np.log10(powers)),
        "ground": errors(chip.data[:2, quiet], ground + np.zeros(int(quiet.sum()))),
    }


def _grd(place: str, bench: Bench) -> Figures:
    site = BY_NAME[place]
    crop = served(bench, "s1-grd", site, (), GRD_PLACES[place])
    start = fields.utc(crop.scene.id.split("_")[4])
    x, y = crop.centres
    seen = (crop.band("qa") == Qa.OBSERVED) & ~fields.near_reflector(x, y, crop.epsg)
    off = []

    def field(x: Any, y: Any, cross: bool = False) -> Any:
        return fields.sigma0(start, cross, x, y, crop.epsg)

    for name in crop.bands[:-1]:
        off.append((crop.band(name) - field(x, y, name in ("VH", "HV")))[seen])
    found = errors(np.stack(off), np.zeros((len(off), int(seen.sum()))))
    return {
        "bias of σ0": replace(found, value=max(abs(float(band.mean())) for band in off)),
        "place of reflectors": _beside_reflectors(crop, field),
    }


def _beside_reflectors(crop: Stored, field: Callable[..., Any]) -> Figure:
    """Greatest distance of the reflectors' images from their places, in pixels."""
    x, y = crop.centres
    excess = 10 ** (crop.band(crop.bands[0]).astype(np.float64) / 10) - 10 ** (field(x, y) / 10)
    centre = fields.moved(x[132, 132], y[132, 132], crop.epsg, 4326)
    lon, lat = (round(4 * degrees) / 4 for degrees in centre)
    off = []
    for east, north in fields.TARGETS:
        at_x, at_y = fields.moved(lon + east, lat + north, 4326, crop.epsg)
        near = np.hypot(x - at_x, y - at_y) < REACH_M
        if near.sum() < NEAR_PIXELS:
            continue  # beyond the border of the crop
        off.append(float(np.hypot(*_summit(x[near] - at_x, y[near] - at_y, excess[near]))))
    return Figure(max(off) / float(crop.transform.a))


def _summit(x: Any, y: Any, power: Any) -> Any:
    """Where a Gaussian of any shape that is fitted to the brightest pixels has its maximum."""
    bright = power > BRIGHT * power.max()
    u, v, log = x[bright] / 10, y[bright] / 10, np.log(power[bright])
    terms = np.stack([u * u, u * v, v * v, u, v, np.ones_like(u)], axis=-1)
    a, b, c, d, e, _ = np.linalg.lstsq(terms, log, rcond=None)[0]
    return 10 * np.linalg.solve([[2 * a, b], [b, 2 * c]], [-d, -e])
