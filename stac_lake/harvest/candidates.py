"""Searches upstream for one series and one block, and orders what may serve each want."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Protocol

from shapely import STRtree, union_all
from shapely.geometry import box, shape
from shapely.geometry.base import BaseGeometry

from stac_lake.errors import ProviderRejected, ProviderUnavailable
from stac_lake.grid import Bounds, projected_footprint, split_bounds
from stac_lake.harvest.lenders import with_lent_masks
from stac_lake.harvest.slots import Want
from stac_lake.harvest.sun import elevation_deg
from stac_lake.recipe import (
    Column,
    Elevation,
    Product,
    Radiance,
    Series,
    SourceCollection,
    date_windows,
    digest,
    product,
)
from stac_lake.types import PlanRow, Scene, Window
from stac_lake.upstream import newest


class Finder(Protocol):
    """What planning needs of upstream."""

    def missing_credentials(self, provider: str) -> str | None: ...

    def search(
        self,
        product: Product,
        source: SourceCollection,
        boxes: Sequence[Bounds],
        windows: Sequence[Window],
        *,
        max_cloud_pct: float | None = None,
        limit: int | None = None,
    ) -> list[Scene]: ...


class BlockSearch:
    """Searches for one series and one block; remembers who did not answer."""

    def __init__(self, series: Series, finder: Finder, without: frozenset[str]) -> None:
        self.series = series
        self.finder = finder
        self.without = without
        self.failed: dict[str, str] = {}

    def product(
        self, item: Product, open_wants: Sequence[Want]
    ) -> tuple[dict[Want, PlanRow], dict[Want, str]]:
        """Rows of the wants that this product can serve, and the reason for each other."""
        served: dict[Want, PlanRow] = {}
        reasons: dict[Want, str] = {}
        failed: dict[str, str] = {}
        for sources in _alternatives(item):
            todo = [w for w in open_wants if w not in served and _in_span(item, sources, w)]
            source = sources[0]
            if not todo or source.provider in self.without:
                continue
            missing = self.finder.missing_credentials(source.provider)
            if missing:
                for want in todo:
                    reasons.setdefault(want, f"credentials_missing({missing})")
                continue
            try:
                found = [scene for one in sources for scene in self._search(item, one, todo)]
                terrain = self._terrain(item, todo) if found else []
            except (ProviderUnavailable, ProviderRejected) as error:
                failed[source.provider] = str(error)
                continue
            held = STRtree([shape(scene.footprint) for scene in found])
            for want in todo:
                near = [
                    found[n] for n in sorted(held.query(_area(item, want), "intersects").tolist())
                ]
                candidates, superseded = self._candidates(item, want, near)
                if candidates or isinstance(item.values, Elevation):
                    served[want] = PlanRow(
                        want.slot(item.id),
                        want.windows,
                        digest(item, want.windows),
                        tuple(candidates),
                        tuple(_over(terrain, _margined(item, want))),
                        superseded=superseded,
                        providers_failed=self.failed | failed,
                    )
                else:
                    reasons[want] = self._why_none(item, source, want, found)
        for want in open_wants:
            if want not in served and failed:
                # Somebody who might have it did not answer: this is not "looked for and not found".
                reasons[want] = "unreachable(" + ", ".join(sorted(failed)) + ")"
            reasons.setdefault(want, "no_scene")
        self.failed |= failed
        return served, reasons

    def _search(self, item: Product, source: SourceCollection, todo: Sequence[Want]) -> list[Scene]:
        boxes = _boxes(item, todo)
        if isinstance(item.values, Elevation):
            return self._tiles(item, source, boxes)
        spans = _span([source], _union(want.windows for want in todo))
        if not spans:
            return []
        found = self.finder.search(
            item, source, boxes, spans, max_cloud_pct=self.series.max_scene_cloud_pct
        )

        def lent(lender: Product, where: SourceCollection, when: Sequence[Window]) -> list[Scene]:
            return self.finder.search(lender, where, boxes, when)

        return with_lent_masks(item, source, found, lent)

    def _tiles(
        self, item: Product, source: SourceCollection, boxes: Sequence[Bounds]
    ) -> list[Scene]:
        """Tiles of heights, the coarser collection's where the finer has none."""
        assert isinstance(item.values, Elevation)
        tiles = self.finder.search(item, source, boxes, ())
        fallback = item.values.fallback_collections.get(source.provider)
        gaps = _uncovered(boxes, tiles)
        if fallback and gaps:
            coarse = source.model_copy(update={"collection": fallback})
            more = self.finder.search(item, coarse, gaps, ())
            tiles += [tile for tile in more if not _same_tile(tile, tiles)]
        return tiles

    def _terrain(self, item: Product, todo: Sequence[Want]) -> list[Scene]:
        """Tiles of heights that a product's geometry needs, from the first source that answers.

        Raises:
            ProviderUnavailable: nobody who has heights answered.
        """
        if item.terrain is None:
            return []
        heights = product(item.terrain)
        last: ProviderUnavailable | ProviderRejected | None = None
        for source in heights.sources:
            if source.provider in self.without or self.finder.missing_credentials(source.provider):
                continue
            try:
                return self._tiles(heights, source, _boxes(item, todo))
            except (ProviderUnavailable, ProviderRejected) as error:
                last = error
        raise last or ProviderUnavailable(f"no provider of {heights.id} can be asked")

    def _candidates(
        self, item: Product, want: Want, found: Sequence[Scene]
    ) -> tuple[list[Scene], dict[str, str]]:
        """What may serve a want, best first, and the reprocessings that newer ones replace.

        Args:
            item: The product.
            want: What is wanted.
            found: Scenes that touch its area.
        """
        area = _area(item, want)
        if isinstance(item.values, Elevation):
            return list(found), {}
        timely = [s for s in found if any(s.middle in window for window in want.windows)]
        if isinstance(item.values, Column):
            return newest(timely)
        covering, superseded = newest(s for s in timely if shape(s.footprint).covers(area))
        if isinstance(item.values, Radiance):
            # In the midnight sun half of the frames are of the night side of the orbit.
            least = 90 - item.values.max_sun_zenith_deg - _SUN_MARGIN_DEG
            place = (want.cell.lon, want.cell.lat)
            covering = [s for s in covering if elevation_deg(*place, s.middle) > least]
        covering.sort(key=lambda scene: _preference(scene, want))
        native = [s for s in covering if _foreign(s, want) == 0]
        return (native or covering)[: self.series.max_candidates], superseded

    def _why_none(
        self, item: Product, source: SourceCollection, want: Want, found: Sequence[Scene]
    ) -> str:
        if any(scene.middle in window for scene in found for window in want.windows):
            return "not_covered"
        if self.series.max_scene_cloud_pct is not None:
            windows = _span([source], want.windows)
            if self.finder.search(item, source, _boxes(item, [want]), windows, limit=1):
                return "all_cloud"
        return "no_scene"


_SUN_MARGIN_DEG = 1.0
"""A frame's middle and the cell are up to 90 s apart, in which the sun moves by 0.4°."""

_RADAR_PREFERENCE = (
    ("IW", "VV", "VH"),
    ("IW", "HH", "HV"),
    ("EW", "HH", "HV"),
    ("IW", "HH"),
    ("EW", "HH"),
)
"""Sentinel-1 modes and polarisations, best first: most widely flown, then most channels."""


def _radar_rank(scene: Scene) -> int:
    """Place in `_RADAR_PREFERENCE`, last for what is not in it; 0 where the sensor is no radar."""
    mode = scene.properties.get("sar:instrument_mode")
    if mode is None:
        return 0
    flown = (mode, *sorted(scene.properties.get("sar:polarizations", ()), key="VV VH HH HV".find))
    known = flown in _RADAR_PREFERENCE
    return _RADAR_PREFERENCE.index(flown) if known else len(_RADAR_PREFERENCE)


def _margined(item: Product, want: Want) -> BaseGeometry:
    """A want's boxes with their margin, which interpolation reaches into."""
    return union_all([box(*bounds) for bounds in _boxes(item, [want])])


def _over(scenes: Iterable[Scene], area: BaseGeometry) -> list[Scene]:
    return [scene for scene in scenes if shape(scene.footprint).intersects(area)]


def _preference(scene: Scene, want: Want) -> tuple[object, ...]:
    """Native grid, radar mode, least scene cloud, nearest to the middle of a window, id."""
    nearest = min(abs((scene.middle - window.middle).total_seconds()) for window in want.windows)
    cloud = scene.properties.get("eo:cloud_cover", 0.0)
    return (_foreign(scene, want), _radar_rank(scene), cloud, nearest, scene.id)


def _foreign(scene: Scene, want: Want) -> int:
    """1 if the scene's pixels are known to lie in another CRS than the patch, else 0."""
    if want.patch is None:
        return 0
    codes = {asset.epsg for asset in scene.assets.values() if asset.epsg is not None}
    own = {want.patch.epsg}
    if 32700 < want.patch.epsg <= 32760:
        own.add(want.patch.epsg - 100)  # of Landsat, with a negative northing
    return int(bool(codes) and not codes & own)


def _area(item: Product, want: Want) -> BaseGeometry:
    """What the pixels of a want cover; a metric grid reaches beyond its cell."""
    grid = item.grid_of(want.slot(item.id))
    if grid.epsg == 4326:
        return shape(want.cell.footprint)
    return shape(projected_footprint(grid.epsg, grid.bounds))


def _boxes(item: Product, wanted: Iterable[Want]) -> list[Bounds]:
    """One box around all areas (two over the antimeridian), a little larger for interpolation."""
    margin = 0.01
    west, south, east, north = zip(*(_want_bounds(item, want) for want in wanted), strict=True)
    return split_bounds(
        (min(west) - margin, min(south) - margin, max(east) + margin, max(north) + margin)
    )


def _want_bounds(item: Product, want: Want) -> Bounds:
    """Unwrapped bounds: a patch may overhang its cell, but never by more than itself."""
    if item.grid_of(want.slot(item.id)).epsg == 4326:
        return want.cell.bounds
    area, turn = _area(item, want), want.cell.lon
    parts = [part.bounds for part in getattr(area, "geoms", [area])]
    lons = [(lon - turn + 180) % 360 - 180 + turn for b in parts for lon in (b[0], b[2])]
    lats = [lat for b in parts for lat in (b[1], b[3])]
    return (min(lons), min(lats), max(lons), max(lats))


def _uncovered(boxes: Sequence[Bounds], tiles: Sequence[Scene]) -> list[Bounds]:
    """The degree squares that boxes touch and no tile covers the middle of."""
    covers = [shape(tile.footprint) for tile in tiles]
    gaps = []
    for west, south, east, north in boxes:
        for lat in range(int(south // 1), int(-(-north // 1))):
            for lon in range(int(west // 1), int(-(-east // 1))):
                square = box(lon + 0.1, lat + 0.1, lon + 0.9, lat + 0.9)
                if not any(cover.intersects(square) for cover in covers):
                    gaps.append((lon + 0.1, lat + 0.1, lon + 0.9, lat + 0.9))
    return gaps


def _same_tile(tile: Scene, tiles: Sequence[Scene]) -> bool:
    middle = shape(tile.footprint).centroid
    return any(shape(other.footprint).contains(middle) for other in tiles)


def _union(groups: Iterable[tuple[Window, ...]]) -> tuple[Window, ...]:
    """Windows merged where they touch or overlap."""
    merged: list[Window] = []
    for window in sorted({window for group in groups for window in group}):
        if merged and window.start <= merged[-1].end:
            merged[-1] = Window(merged[-1].start, max(merged[-1].end, window.end))
        else:
            merged.append(window)
    return tuple(merged)


def _alternatives(item: Product) -> list[list[SourceCollection]]:
    """Sources that are asked one after the other; those in one list serve a slot together.

    A month of Sentinel-5P may lie in two collections of one provider.
    """
    if not isinstance(item.values, Column):
        return [[source] for source in item.sources]
    together: dict[str, list[SourceCollection]] = {}
    for source in item.sources:
        together.setdefault(source.provider, []).append(source)
    return list(together.values())


def _span(sources: Sequence[SourceCollection], windows: Sequence[Window]) -> tuple[Window, ...]:
    """Windows cut to the days that sources are good for."""
    clipped = []
    for source, window in itertools.product(sources, windows):
        start, end = window.start, window.end
        if source.since:
            start = max(start, date_windows(((source.since, source.since),))[0].start)
        if source.until:
            end = min(end, date_windows(((source.until, source.until),))[0].start)
        if start < end:
            clipped.append(Window(start, end))
    return _union([tuple(clipped)])


def _in_span(item: Product, sources: Sequence[SourceCollection], want: Want) -> bool:
    """Whether sources are good for a want; half a month would make no monthly mean."""
    good = _span(sources, want.windows)
    return good == _union([want.windows]) if isinstance(item.values, Column) else bool(good)
