"""Slots of cells: seasons, polar night, OLCI bins."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stac_lake.grid import Cell, cell_at
from stac_lake.harvest import sun
from stac_lake.harvest.slots import wants
from stac_lake.recipe import UniformPatches, recipe

RECIPE = recipe("copernicus-pretrain")


def names(cell: Cell, modality: str) -> list[tuple[str, str | None]]:
    series = next(s for s in RECIPE.series if s.modality == modality)
    return [(want.name, want.reason) for want in wants(RECIPE, series, cell)]


def test_mid_latitude_has_four_seasons() -> None:
    expected = [(n, None) for n in ("winter", "autumn", "summer", "spring")]
    assert names(Cell(772176), "s2") == expected
    assert names(Cell(772176), "s1") == expected


def test_polar_night_is_replaced_by_a_year() -> None:
    assert names(Cell(123456), "s2") == [
        ("winter", None), ("autumn", None),
        ("summer", "polar_night"), ("y2021", None), ("spring", None),
    ]  # fmt: skip
    assert names(Cell(123456), "s1") == [
        ("winter", None), ("autumn", None), ("y2021", None), ("spring", None),
    ]  # fmt: skip


def test_gases_have_no_month_without_sun() -> None:
    assert [n for n, reason in names(Cell(123456), "no2") if reason] == ["2021-06"]


@pytest.mark.parametrize(
    ("day", "declination"),
    [
        # The sun crosses the equator at 09:37 UTC on 20 March and 19:21 UTC on 22 September 2021,
        # at 0.0165° an hour, and stands at ±23.44° at the solstices.
        (date(2021, 3, 20), 0.039), (date(2021, 6, 21), 23.44),
        (date(2021, 9, 22), 0.119), (date(2021, 12, 21), -23.44),
    ],
)  # fmt: skip
def test_declination(day: date, declination: float) -> None:
    assert sun.declination_deg(day) == pytest.approx(declination, abs=0.02)


@given(st.floats(-90, 90))
def test_olci_bins_are_equal_parts_of_the_light(lat: float) -> None:
    cell = cell_at(10, lat)
    bins = list(wants(RECIPE, next(s for s in RECIPE.series if s.modality == "s3"), cell))
    assert [want.name for want in bins] == [f"b{i}" for i in range(1, 9)]
    days = [
        window.start + timedelta(days=i)
        for want in bins
        for window in want.windows
        for i in range((window.end - window.start).days)
    ]
    assert days == sorted(set(days))
    # Brute force over the year, by the sun's elevation at noon.
    year = [datetime(2021, 1, 1, tzinfo=UTC) + timedelta(days=i) for i in range(365)]
    lit = [d for d in year if abs(cell.lat - sun.declination_deg(d.date())) < 75]
    assert days == lit
    lengths = [sum((w.end - w.start).days for w in want.windows) for want in bins]
    assert max(lengths) - min(lengths) <= 1
    assert all(
        (want.reason == "polar_night") == (n == 0) for want, n in zip(bins, lengths, strict=True)
    )


def test_patches_are_shared_by_s1_and_s2() -> None:
    four = RECIPE.model_copy(update={"patches": UniformPatches(uniform=4)})
    by_modality = {
        series.modality: {want.patch for want in wants(four, series, Cell(772176))}
        for series in four.series
    }
    assert len(by_modality["s2"]) == 4
    assert by_modality["s1"] == by_modality["s2"]
    assert by_modality["dem"] == {None}


@pytest.mark.parametrize(
    ("lon", "lat", "moment", "elevation"),
    [
        # Apparent noon of the solstices, by an equation of time of two minutes: 90° - |φ - δ|.
        (0.0, 51.48, "2021-06-21T12:02", 61.96),
        (-96.0, 44.0, "2021-12-21T18:22", 22.56),
    ],
)
def test_the_sun_at_a_moment(lon: float, lat: float, moment: str, elevation: float) -> None:
    when = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert sun.elevation_deg(lon, lat, when) == pytest.approx(elevation, abs=0.05)
    # Half a day later it stands as low as its declination allows.
    noon = sun.noon_elevation_deg(lat, when.date())
    assert sun.elevation_deg(lon, lat, when) == pytest.approx(noon, abs=0.05)
    midnight = sun.elevation_deg(lon, lat, when + timedelta(hours=12))
    assert midnight == pytest.approx(noon + 2 * abs(lat) - 180, abs=0.1)
