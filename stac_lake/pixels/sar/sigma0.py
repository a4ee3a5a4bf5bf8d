"""Sentinel-1 GRD: σ0 in decibel on the patch's 10 m lattice, range-Doppler terrain corrected."""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stac_lake.errors import AssetMissing, BadRaster, ConfigError, PixelError, UpstreamError
from stac_lake.pixels.backscatter import decibel
from stac_lake.pixels.files import Files, in_parallel
from stac_lake.pixels.raster import Raster, Window
from stac_lake.pixels.sar.annotation import read_annotation
from stac_lake.pixels.sar.document import Vector, read_document
from stac_lake.pixels.sar.geometry import Geometry, Seen, angle, incidence_angle
from stac_lake.pixels.sar.ground import AROUND, Ground
from stac_lake.pixels.sar.radiometry import Noise, Table, read_calibration, read_noise, sigma_nought
from stac_lake.recipe import Product
from stac_lake.recipe import Sigma0 as Sigma0Values
from stac_lake.types import Chip, Measure, PixelGrid, Qa, Scene, Source

POLARISATIONS = (("VV", "VH"), ("HH", "HV"))
"""The pairs a scene may have, of which a chip takes the first that was flown, in whole or part."""
LOCAL_INCIDENCE = "local_incidence_angle"
_MEASURED = 4
"""Every fourth pixel of a patch tells how much of it a scene has seen."""
_MAX_WINDOW = 16 << 20
"""Pixels of an image under one patch: a patch has 70,000, an image of 10 m under it 130,000."""


@dataclass(frozen=True, eq=False)
class _Placed:
    """Where the pixels of a patch are in an image; arrays are (row, column)."""

    seen: Seen
    valid: NDArray[np.bool_]


class Sigma0:
    """The operator of Sentinel-1 GRD; see `Operator`. Documents are read once per scene."""

    def __init__(self, product: Product, source: Source, terrain: Sequence[Scene]) -> None:
        assert isinstance(product.values, Sigma0Values)
        if product.values.resampling == "cubic":
            raise ConfigError(
                "σ0 is resampled by bilinear or nearest: cubic makes negative power beside bright "
                "targets",
                product=product.id,
            )
        self._nearest = product.values.resampling == "nearest"
        self._product = product
        self._source = source
        self._files = Files(source, georeferenced=False)
        self._ground = Ground(product.values.terrain, source, terrain)
        self._geometries: dict[str, Geometry] = {}
        self._tables: dict[tuple[str, str], tuple[Table, Noise | None]] = {}
        self._lock = threading.Lock()

    def measure(self, scenes: Sequence[Scene], grids: Sequence[PixelGrid]) -> list[list[Measure]]:
        """Observed share by orbit, terrain and the annotated bounds; no pixel is read."""
        try:
            places = [
                place[AROUND:-AROUND, AROUND:-AROUND][::_MEASURED, ::_MEASURED]
                for place in self._ground.places(grids)
            ]
        except (PixelError, UpstreamError) as error:
            return [[_failed(scene, error) for _ in grids] for scene in scenes]
        return in_parallel(lambda scene: self._measured(scene, places), scenes)

    def cut(self, scenes: Sequence[Scene], grids: Sequence[PixelGrid]) -> list[Chip | str]:
        """Per grid the first scene that has seen any of it."""
        chips: list[Chip | str] = ["not_covered"] * len(grids)
        places = self._ground.places(grids)
        for scene in scenes:
            wanted = [number for number, chip in enumerate(chips) if isinstance(chip, str)]
            if not wanted:
                break
            geometry = self._geometry(scene)
            placed = {n: _placed(geometry, _inner(places[n])) for n in wanted}
            covered = [n for n in wanted if placed[n].valid.any()]
            powers = self._powers(scene, geometry, [placed[n] for n in covered])
            for index, n in enumerate(covered):
                power = {name: blocks[index] for name, blocks in powers.items()}
                seen = placed[n].valid & np.isfinite(np.stack([*power.values()])).all(axis=0)
                if seen.any():
                    place = dataclasses.replace(placed[n], valid=seen)
                    chips[n] = self._chip(scene, grids[n], places[n], place, power)
        return chips

    def _measured(self, scene: Scene, places: list[Vector]) -> list[Measure]:
        try:
            geometry = self._geometry(scene)
        except (PixelError, UpstreamError) as error:
            return [_failed(scene, error) for _ in places]
        return [
            Measure(scene.id, 100.0 * float(_placed(geometry, place).valid.mean()))
            for place in places
        ]

    def _geometry(self, scene: Scene) -> Geometry:
        """Of the first polarisation that was flown: one radar pulse serves both receivers."""
        with self._lock:
            found = self._geometries.get(scene.id)
        if found is None:
            asset = scene.assets[f"annotation-{_flown(scene)[0]}"]
            found = Geometry(read_annotation(read_document(self._source, asset)))
            with self._lock:
                found = self._geometries.setdefault(scene.id, found)
        return found

    def _radiometry(self, scene: Scene, name: str) -> tuple[Table, Noise | None]:
        with self._lock:
            found = self._tables.get((scene.id, name))
        if found is None:
            noise = None
            if not self._geometry(scene).annotation.denoised:
                noise = read_noise(read_document(self._source, scene.assets[f"noise-{name}"]))
            asset = scene.assets[f"calibration-{name}"]
            found = (read_calibration(read_document(self._source, asset)), noise)
            with self._lock:
                found = self._tables.setdefault((scene.id, name), found)
        return found

    def _powers(
        self, scene: Scene, geometry: Geometry, placed: list[_Placed]
    ) -> dict[str, list[NDArray[np.float32]]]:
        """Linear σ0 per flown polarisation and place, NaN where there is no value."""
        windows = [self._window(scene, place) for place in placed]

        def read(name: str) -> list[NDArray[np.float32]]:
            if not placed:
                return []
            raster = self._image(scene, name, geometry)
            calibration, noise = self._radiometry(scene, name)
            return [
                self._sampled(
                    sigma_nought(block[0], (window.row, window.column), calibration, noise),
                    window,
                    place,
                )
                for block, window, place in zip(
                    raster.read(windows, 0), windows, placed, strict=True
                )
            ]

        flown = _flown(scene)
        return dict(zip(flown, in_parallel(read, flown), strict=True))

    def _image(self, scene: Scene, name: str, geometry: Geometry) -> Raster:
        raster = self._files.raster(scene, name)
        shape = geometry.annotation.shape
        if raster.dtype != np.uint16 or raster.levels[0].shape != shape:
            found = "{} × {}".format(*raster.levels[0].shape)
            raise BadRaster(
                f"the image is {found} {raster.dtype}, its annotation says "
                f"{shape[0]} × {shape[1]} uint16",
                asset=raster.asset.href,
            )
        return raster

    def _window(self, scene: Scene, place: _Placed) -> Window:
        """The pixels around all valid places."""
        line, pixel = place.seen.line[place.valid], place.seen.pixel[place.valid]
        top, left = math.floor(line.min()), math.floor(pixel.min())
        rows, columns = math.floor(line.max()) + 2 - top, math.floor(pixel.max()) + 2 - left
        if rows * columns > _MAX_WINDOW:
            raise BadRaster(
                f"a patch would need {rows} × {columns} pixels of the image: its annotation is "
                "corrupt",
                item=scene.id,
            )
        return Window(top, left, rows, columns)

    def _sampled(
        self, power: NDArray[np.float32], window: Window, place: _Placed
    ) -> NDArray[np.float32]:
        """Power at exact positions: bilinear keeps means, and 10 m pixels are finer than the beam.

        GRDH has a resolution of 20 × 22 m in pixels of 10 m (IW), 93 × 87 m in 40 m (EW GRDM).
        """
        out = np.full(place.valid.shape, np.nan, np.float32)
        line = place.seen.line[place.valid] - window.row
        pixel = place.seen.pixel[place.valid] - window.column
        if self._nearest:
            near = (np.floor(line + 0.5).astype(np.int64), np.floor(pixel + 0.5).astype(np.int64))
            out[place.valid] = power[near]
            return out
        top, left = line.astype(np.int64), pixel.astype(np.int64)
        down, right = (line - top).astype(np.float32), (pixel - left).astype(np.float32)
        upper = power[top, left] * (1 - right) + power[top, left + 1] * right
        lower = power[top + 1, left] * (1 - right) + power[top + 1, left + 1] * right
        out[place.valid] = upper * (1 - down) + lower * down
        return out

    def _chip(
        self,
        scene: Scene,
        grid: PixelGrid,
        places: Vector,
        placed: _Placed,
        power: dict[str, NDArray[np.float32]],
    ) -> Chip:
        pair = _pair(scene)
        missing = np.full(grid.shape, np.nan, np.float32)
        known = {name: np.where(placed.valid, found, missing) for name, found in power.items()}
        db, floored = decibel(np.stack([known.get(name, missing) for name in pair]))
        qa = np.where(placed.valid, np.float32(Qa.OBSERVED), np.float32(0))
        qa[placed.valid & floored.any(axis=0)] += np.float32(Qa.FLOORED)
        bands = {**dict(zip(pair, db, strict=True)), "qa": qa}
        if LOCAL_INCIDENCE in self._product.band_names:
            bands[LOCAL_INCIDENCE] = _local_incidence(places, placed)
        centre = tuple(side // 2 for side in grid.shape)
        incidence = incidence_angle(_inner(places)[centre], placed.seen.satellite[centre])
        return Chip(
            grid,
            tuple(bands),
            np.stack(list(bands.values())),
            (scene,),
            {"view:incidence_angle": round(float(incidence), 4)} if np.isfinite(incidence) else {},
        )


def _local_incidence(places: Vector, placed: _Placed) -> NDArray[np.float32]:
    """Degrees between the line of sight and the normal of the terrain; above 90° it is turned away.

    The normal is that of the DEM's surface in space, by the neighbours on either side, so that no
    projection takes part.
    """
    down = places[2:, 1:-1] - places[:-2, 1:-1]
    right = places[1:-1, 2:] - places[1:-1, :-2]
    normal = np.cross(down, right)
    inner = _inner(places)
    # Rows go south and columns east, or the other way round in a polar projection: up is outwards.
    normal *= np.sign(np.einsum("...i,...i->...", normal, inner))[..., None]
    local = angle(normal, placed.seen.satellite - inner)
    return np.where(placed.valid, local, np.nan).astype(np.float32)


def _placed(geometry: Geometry, places: Vector) -> _Placed:
    seen = geometry.locate(places)
    return _Placed(seen, geometry.valid(seen))


def _inner(places: Vector) -> Vector:
    """Without the pixels around."""
    return places[AROUND:-AROUND, AROUND:-AROUND]


def _pair(scene: Scene) -> tuple[str, str]:
    for pair in POLARISATIONS:
        if any(name in scene.assets for name in pair):
            return pair
    names = ", ".join(name for pair in POLARISATIONS for name in pair)
    raise AssetMissing(f"the scene has none of {names}", item=scene.id)


def _flown(scene: Scene) -> list[str]:
    """Polarisations of the chip's pair that the scene has with all documents."""
    flown = [name for name in _pair(scene) if name in scene.assets]
    for name in flown:
        for kind in ("annotation", "calibration", "noise"):
            if f"{kind}-{name}" not in scene.assets:
                raise AssetMissing(f"the scene has no {kind} of {name}", item=scene.id)
    return flown


def _failed(scene: Scene, error: Exception) -> Measure:
    return Measure(scene.id, 0.0, error=f"{type(error).__name__}: {error}")
