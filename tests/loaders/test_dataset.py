"""Training samples: shapes, places, masks and numbers against what went into the lake."""

from __future__ import annotations

import math
import pickle
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from pyproj import Geod
from shapely.geometry import shape
from training_lake import BARE, EAST, FARM, ICE, MONTHS, POLAR, WEST, TrainingLake

from stac_lake.errors import ConfigError, QueryError
from stac_lake.grid import Cell
from stac_lake.lake import Lake
from stac_lake.loaders import LakeDataset, sample_weights
from stac_lake.loaders.places import META, cell_area_km2
from stac_lake.types import Slot

pytest_plugins = ("s3_fixtures",)

PATCHES = sorted([EAST, WEST])
GASES = ("co", "no2", "o3", "so2")
SEASONS = {"winter": 0, "autumn": 1, "summer": 2, "spring": 3, "y2021": 2}


@pytest.fixture(scope="module")
def dataset(lake: Lake) -> LakeDataset:
    return LakeDataset(lake)


@pytest.fixture(scope="module")
def farm(dataset: LakeDataset) -> dict[str, Any]:
    return dataset[index_of(dataset, FARM)]


def index_of(dataset: LakeDataset, cell: Cell) -> int:
    return next(i for i in range(len(dataset)) if dataset.cell_of(i) == cell)


def test_fixed_shapes(dataset: LakeDataset) -> None:
    """Whatever a cell has, its arrays have the contract's shapes; N is its number of patches."""
    assert [dataset.cell_of(i) for i in range(len(dataset))] == [ICE, FARM, BARE]
    for sample, n in zip(dataset, (1, 2, 0), strict=False):
        assert len(sample["patches"]) == n
        assert sample["s2"]["data"].shape == (n, 4, 13, 264, 264)
        assert sample["s1"]["data"].shape == (n, 4, 2, 264, 264)
        for name in ("s1", "s2"):
            assert sample[name]["valid"].shape == sample[name]["qa"].shape == (n, 4, 264, 264)
            assert sample[name]["present"].shape == (n, 4)
            assert sample[name]["meta"].shape == (n, 4, len(META))
        assert sample["s3"]["data"].shape == (8, 21, 96, 96)
        assert sample["s3"]["present"].shape == (8,)
        for gas in GASES:
            assert sample[gas]["data"].shape == (12, 1, 28, 28)
            assert sample[gas]["valid"].shape == (12, 28, 28)
        assert sample["dem"]["data"].shape == sample["dem"]["valid"].shape == (960, 960)
        assert sample["dem"]["present"].shape == ()
        assert sample["dem"]["meta"].shape == (len(META),)
    assert sample["s2"]["data"].dtype == np.uint16
    assert sample["s1"]["data"].dtype == sample["dem"]["data"].dtype == np.float32


def blocks(sample: dict[str, Any]) -> list[tuple[str, int, int, str, dict[str, Any]]]:
    """(modality, patch, time, item, what there is) of every place in a sample of a cell."""
    found = []
    for name in ("s1", "s2", "s3", *GASES, "dem"):
        block = sample[name]
        per_patch = name in {"s1", "s2"}
        data = block["data"]
        whole = {
            "data": data if per_patch else data[None, None, None] if name == "dem" else data[None],
            **{
                key: block[key] if per_patch else block[key][None]
                for key in ("valid", "qa", "present", "meta")
            },
        }
        if name == "dem":
            whole |= {key: whole[key][None] for key in ("valid", "qa", "present", "meta")}
        items = (
            block["item"] if per_patch else [[block["item"]] if name == "dem" else block["item"]]
        )
        for n, line in enumerate(items):
            for t, item in enumerate(line):
                found.append((name, n, t, item, {k: v[n, t] for k, v in whole.items()}))
    return found


@pytest.mark.parametrize("cell", [FARM, ICE, BARE])
def test_every_place_holds_its_image_or_zeros(
    dataset: LakeDataset, made: TrainingLake, cell: Cell
) -> None:
    """Each image is at its patch and time, once; all that is absent is zeros."""
    sample = dataset[index_of(dataset, cell)]
    patches = {FARM: PATCHES, ICE: [POLAR], BARE: []}[cell]
    assert sample["cell"] == cell.id
    assert sample["patches"] == [patch.id for patch in patches]
    seen = set()
    for name, n, t, item, found in blocks(sample):
        if not item:
            assert not found["present"], (name, n, t)
            assert not found["data"].any()
            assert not found["valid"].any()
            assert not found["qa"].any()
            assert np.isnan(found["meta"]).all()
            continue
        assert found["present"]
        assert item not in seen
        seen.add(item)
        slot, pixels = Slot.from_id(item), made.pixels[item]
        assert slot.cell == cell
        if name in {"s1", "s2"}:
            assert slot.patch == patches[n]
            assert SEASONS[slot.name] == t
        elif name == "s3":
            assert slot.name == f"b{t + 1}"
        elif name in GASES:
            assert slot.name == MONTHS[t]
        bands = found["data"].shape[0] if name != "dem" else 1
        np.testing.assert_array_equal(
            found["data"].reshape(bands, *pixels.shape[1:]), np.nan_to_num(pixels[:bands])
        )
        if name in GASES:
            np.testing.assert_array_equal(found["qa"], pixels[1])
            np.testing.assert_array_equal(found["valid"], pixels[1] > 0)
        else:
            flags = pixels[-1].astype(int)
            np.testing.assert_array_equal(found["qa"], flags)
            np.testing.assert_array_equal(found["valid"], (flags & 1 == 1) & (flags & 64 == 0))
    # The lake has a second product for s2, which does not take the place of the first.
    wanted = {name for name in made.pixels if f"_{cell.id:07d}_" in name and "s2-l2a" not in name}
    assert seen == wanted


def test_polar_cell_lacks_three_modalities(dataset: LakeDataset) -> None:
    sample = dataset[index_of(dataset, ICE)]
    present = {name for name in dataset.shapes if np.any(sample[name]["present"])}
    assert present == set(dataset.shapes) - {"s1", "s3", "so2"}


def test_meta_is_what_the_documents_say(dataset: LakeDataset, made: TrainingLake) -> None:
    geod = Geod(ellps="WGS84")
    for sample in dataset:
        for _, _, _, item, found in blocks(sample):
            if not item:
                continue
            document = made.documents[item]
            properties = document["properties"]
            meta = dict(zip(META, found["meta"].tolist(), strict=True))
            centre = shape(document["geometry"]).centroid
            assert meta["lon"] == pytest.approx(centre.x, abs=2e-5)
            assert meta["lat"] == pytest.approx(centre.y, abs=2e-5)
            first = properties["datetime"] or properties["start_datetime"]
            last = properties["datetime"] or properties["end_datetime"]
            assert meta["time_start"] == pytest.approx(days_since_1970(first), abs=1e-8)
            assert meta["time_end"] == pytest.approx(days_since_1970(last), abs=1e-8)
            area = abs(geod.geometry_area_perimeter(shape(document["geometry"]))[0]) / 1e6
            # A patch is as large as its CRS says; UTM is true to 0.2 % near the zone's middle.
            assert meta["area_km2"] == pytest.approx(area, rel=2e-3)
            assert meta["gsd"] == properties["gsd"]
            for name in ("sun_elevation", "incidence_angle"):
                expected = properties.get(f"view:{name}", math.nan)
                assert meta[name] == pytest.approx(expected, nan_ok=True)
            orbit = {"ascending": 1.0, "descending": 0.0}.get(
                properties.get("sat:orbit_state"), math.nan
            )
            assert meta["ascending"] == pytest.approx(orbit, nan_ok=True)


def days_since_1970(text: str) -> float:
    moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() / 86400


def test_months_are_spans(farm: dict[str, Any]) -> None:
    start, end = farm["no2"]["meta"][1, 2:4]
    assert start == 18659  # 2021-02-01
    assert end == pytest.approx(
        18687 - 1 / 86_400_000, abs=1e-9
    )  # the last millisecond before March


def test_wavelengths(dataset: LakeDataset) -> None:
    assert dataset.bands["s2"]["wavelength_nm"][3] == 664.6
    assert dataset.bands["s2"]["width_nm"][3] == 30
    for name, facts in dataset.bands.items():
        count = dataset.shapes[name].bands
        assert len(facts["wavelength_nm"]) == len(facts["width_nm"]) == count
    assert np.isnan(dataset.bands["dem"]["wavelength_nm"]).all()


def test_unit_patch(lake: Lake, made: TrainingLake) -> None:
    """One sample per patch, with its cell's coarse modalities."""
    dataset = LakeDataset(lake, unit="patch")
    samples = list(map(dataset.__getitem__, range(len(dataset))))
    assert [(s["cell"], s["patches"]) for s in samples] == [
        (ICE.id, [POLAR.id]),
        *((FARM.id, [patch.id]) for patch in PATCHES),
    ]
    for sample, patch in zip(samples[1:], PATCHES, strict=True):
        assert sample["s2"]["data"].shape == (4, 13, 264, 264)
        assert sample["s1"]["present"].shape == (4,)
        assert sample["s3"]["data"].shape == (8, 21, 96, 96)
        assert sample["dem"]["data"].shape == (960, 960)
        item = f"s2-l1c_0772176_{patch.id}_winter"
        assert sample["s2"]["item"][0] == item
        np.testing.assert_array_equal(sample["s2"]["data"][0], made.pixels[item][:13])
        assert {Slot.from_id(name).patch for name in sample["s1"]["item"] if name} == {patch}


def test_filter_per_product(lake: Lake) -> None:
    """A product that the filter does not name keeps its images."""
    dataset = LakeDataset(lake, {"s2-l1c": "lake:slot = 'winter'", "s5p-co": "lake:n_orbits > 99"})
    sample = dataset[index_of(dataset, FARM)]
    assert sample["s2"]["present"].tolist() == [[True, False, False, False]] * 2
    assert not sample["co"]["present"].any()
    assert sample["no2"]["present"].all()
    assert sample["s1"]["present"].sum() == 4
    assert dataset.not_applied == ()


def test_one_filter_for_all(lake: Lake) -> None:
    """Products that lack a property of the filter are left out, and named."""
    dataset = LakeDataset(lake, "eo:cloud_cover >= 0")
    assert len(dataset) == 2
    assert {name for name in dataset.shapes if np.any(dataset[0][name]["present"])} == {"s2"}
    assert set(dataset.not_applied) >= {"s1-rtc", "s5p-co", "dem-glo30", "s3-olci-efr"}
    assert not {"s2-l1c", "s2-l2a"} & set(dataset.not_applied)


def test_times(lake: Lake) -> None:
    for times, count in (("one", 1), (3, 3), (9, 9)):
        dataset = LakeDataset(lake, times=times)
        sample = dataset[index_of(dataset, FARM)]
        assert sample["s2"]["data"].shape[:2] == (2, min(count, 4))
        assert sample["s3"]["data"].shape[0] == min(count, 8)
        assert sample["co"]["present"].shape == (min(count, 12),)
        # What is there is drawn first: three of the eight OLCI images, five of twelve months.
        assert sample["s3"]["present"].sum() == min(count, 3)
        assert sample["co"]["present"].sum() == min(count, 5)
        assert sample["dem"]["data"].shape == (960, 960)
        kept = [item for item in sample["co"]["item"] if item]
        assert kept == sorted(set(kept))


def drawn(lake: Lake, epoch: int = 0, **options: Any) -> list[Any]:
    dataset = LakeDataset(lake, times="one", modalities=["no2", "so2"], **options)
    dataset.set_epoch(epoch)
    sample = dataset[index_of(dataset, FARM)]
    return [sample[name]["item"][0][-7:] for name in ("no2", "so2")]


def test_times_are_drawn_by_seed_and_epoch(lake: Lake) -> None:
    assert drawn(lake) == drawn(lake)
    assert drawn(lake, 3) == drawn(lake, 3)
    epochs = [drawn(lake, epoch) for epoch in range(12)]
    seeds = [drawn(lake, seed=seed) for seed in range(12)]
    for draws in (epochs, seeds):
        months, others = zip(*draws, strict=True)
        assert len(set(months)) > 4
        # Each modality draws for itself.
        assert months != others
    # A filter that drops another cell does not change what is drawn here.
    assert drawn(lake, 5, filter="grid:code = 'ERA5-0772176'") == drawn(lake, 5)


def test_missing_drop(lake: Lake) -> None:
    dataset = LakeDataset(lake, missing="drop")
    ice, bare = dataset[index_of(dataset, ICE)], dataset[index_of(dataset, BARE)]
    assert set(ice) == {"cell", "patches", "s2", "co", "no2", "o3", "dem"}
    assert set(bare) == {"cell", "patches", "co", "dem"}
    assert ice["s2"]["present"].tolist() == [[True, False, True, False]]


def test_missing_require(lake: Lake) -> None:
    dataset = LakeDataset(lake, missing="require")
    assert [dataset.cell_of(i) for i in range(len(dataset))] == [FARM]
    assert len(LakeDataset(lake, missing="require", modalities=["dem", "co"])) == 3
    only_ice = "grid:code = 'ERA5-0123456'"
    with pytest.raises(ConfigError, match=r"no s1, s3, so2 .*modalities="):
        LakeDataset(lake, only_ice, missing="require")


def test_products_and_modalities(lake: Lake, made: TrainingLake) -> None:
    dataset = LakeDataset(lake, products=["s2-l2a"], modalities=["s2", "dem"])
    sample = dataset[index_of(dataset, FARM)]
    assert set(sample) == {"cell", "patches", "s2", "dem"}
    assert sample["patches"] == [EAST.id]
    assert sample["s2"]["data"].shape == (1, 4, 12, 264, 264)
    item = f"s2-l2a_0772176_{EAST.id}_winter"
    np.testing.assert_array_equal(sample["s2"]["data"][0, 0], made.pixels[item][:12])
    radar = LakeDataset(lake, modalities=["s1"])
    assert radar[0]["s1"]["present"].sum() == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unit": "tile"}, "unit='tile'.*cell.*patch"),
        ({"times": "some"}, "times='some'"),
        ({"times": 0}, "times=0"),
        ({"missing": "skip"}, "missing='skip'.*require"),
        ({"normalize": "imagenet"}, "normalize='imagenet'.*copernicus-fm"),
        ({"modalities": ["s4"]}, "modality of the recipe.*s4|s4.*modality of the recipe"),
        ({"products": ["s2-l3a"]}, "s2-l3a"),
        ({"products": ["s2-l2a", "s2-l1c"]}, "one modality"),
        ({"recipe": "nothing"}, "nothing"),
        ({"filter": "eo:cloud_cover < -5"}, "no item"),
        ({"unit": "patch", "filter": "lake:modality = 'dem'"}, "unit='cell'"),
    ],
)
def test_bad_arguments(lake: Lake, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LakeDataset(lake, **options)


def test_bad_filter(lake: Lake) -> None:
    with pytest.raises(QueryError, match="cloud_cover"):
        LakeDataset(lake, {"s2-l1c": "eo:cloud_covr < 5"})


def test_pickles_small(lake: Lake) -> None:
    """Workers get the places of tiles, not the documents."""
    dataset = LakeDataset(lake, times="one")
    data = pickle.dumps(dataset)
    images = sum(len(found) for place in dataset._places for found in place.images.values())
    assert len(data) < 1000 * images
    again = pickle.loads(data)
    a, b = dataset[1], again[1]
    assert a["s2"]["item"] == b["s2"]["item"]
    np.testing.assert_array_equal(a["s2"]["data"], b["s2"]["data"])


def test_index_error(dataset: LakeDataset) -> None:
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_cell_area_weights(dataset: LakeDataset) -> None:
    """In proportion to the true area: here by the geodesic one of the footprint."""
    geod = Geod(ellps="WGS84")
    areas = [abs(geod.geometry_area_perimeter(shape(c.footprint))[0]) for c in (ICE, FARM, BARE)]
    weights = sample_weights(dataset, "cell_area")
    np.testing.assert_allclose(weights, np.array(areas) / sum(areas), rtol=1e-5)
    assert math.isclose(sum(weights), 1)


def test_all_cells_make_the_earth() -> None:
    """Area of the WGS 84 ellipsoid: 510 065 621.7 km² (NIMA TR8350.2, mean of its formula)."""
    rows = sum(1440 * cell_area_km2(Cell(row * 1440)) for row in range(721))
    assert rows == pytest.approx(510_065_621.7, rel=1e-8)


def test_patch_weights(lake: Lake) -> None:
    dataset = LakeDataset(lake, unit="patch")
    assert sample_weights(dataset, "1/n_patches") == pytest.approx([0.5, 0.25, 0.25])
    with pytest.raises(ConfigError, match="cell_area"):
        sample_weights(dataset, "area")  # type: ignore[arg-type]
