"""Each kind of damage is planted alone, and exactly it must be found, on disk and on S3."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from made_items import DATA, FARM, ICE, facts, slot_of

from stac_lake.catalog.commit import commit, new_attempt, retire
from stac_lake.catalog.compact import compact
from stac_lake.catalog.index import Index, IndexRow
from stac_lake.catalog.item import asset_key_of, build_item
from stac_lake.catalog.rows import encode_document
from stac_lake.catalog.verify import Depth, verify
from stac_lake.store import keys
from stac_lake.store.objects import Objects
from stac_lake.types import Qa
from tests.catalog.damages import DAMAGES, OLD_ATTEMPT, ON_S3, Planted
from tests.catalog.verify_lakes import (
    CO,
    L1C,
    L2A,
    NO2,
    RTC,
    SLOTS,
    Lake,
    asset_of,
    build,
    contents,
    file_of,
    pixels_of,
    put_all,
)

pytest_plugins = ("s3_fixtures",)

DEPTHS: tuple[Depth, ...] = ("listing", "header", "pixels")


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return build(str(tmp_path_factory.mktemp("whole")))


@pytest.fixture
def lake(held: dict[str, bytes], lake_url: str) -> Lake:
    return put_all(lake_url, held)


@pytest.fixture
def on_disk(held: dict[str, bytes], tmp_path: Path) -> Lake:
    return put_all(str(tmp_path / "lake"), held)


def found(lake: Lake, depth: Depth = "listing") -> list[tuple[str, str]]:
    """(problem, item), sorted."""
    return sorted((f.problem, f.item) for f in verify(lake.objects, lake.index, depth=depth))


def test_a_whole_lake(lake: Lake) -> None:
    before = contents(lake.objects)
    for depth in DEPTHS:
        assert found(lake, depth) == []
    assert contents(lake.objects) == before


def test_the_files_are_what_the_tests_take_them_for(on_disk: Lake) -> None:
    for number, slot in enumerate(SLOTS):
        path = on_disk.objects.local_path(asset_of(on_disk, slot))
        with rasterio.open(path) as file:
            np.testing.assert_array_equal(file.read(), pixels_of(slot, number))


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_found(on_disk: Lake, damage: Planted) -> None:
    check_found(on_disk, damage)


@pytest.mark.parametrize("name", ON_S3)
def test_damage_is_found_on_s3(
    held: dict[str, bytes], make_bucket: Callable[[], str], name: str
) -> None:
    check_found(put_all(make_bucket(), held), DAMAGES[name])


def check_found(lake: Lake, damage: Planted) -> None:
    """Not before its depth, and there exactly it."""
    damage.plant(lake)
    least = DEPTHS.index(damage.at)
    if least > 0:
        assert found(lake, DEPTHS[least - 1]) == []
    for depth in {damage.at, "pixels"}:
        assert found(lake, depth) == sorted(damage.found)


def test_every_damage_says_where_and_what_to_do(on_disk: Lake) -> None:
    key = asset_of(on_disk, L2A)
    on_disk.objects.delete(key)
    (finding,) = verify(on_disk.objects, on_disk.index)
    assert (finding.key, finding.version, finding.is_waiting) == (key, 1, False)
    assert "--repair" in finding.detail
    assert "--refresh" in finding.detail


def test_every_problem_is_documented_and_planted() -> None:
    root = Path(__file__).parents[2]
    table = re.findall(r"^\| `(\w+)` \|", (root / "docs/verify.md").read_text("utf-8"), re.M)
    sources = [root / f"stac_lake/catalog/{n}.py" for n in ("verify", "damage", "doubtful")]
    text = "".join(path.read_text("utf-8") for path in sources)
    raised = set(re.findall(r"(?:Finding|Damage)\(\s*\"(\w+)\"", text))
    assert set(table) == raised
    planted = {problem for damage in DAMAGES.values() for problem, _ in damage.found}
    assert raised - planted == {"not_in_index", "index_damaged"}  # they have tests of their own


def test_only_some_cells(on_disk: Lake) -> None:
    on_disk.objects.delete(asset_of(on_disk, L2A))
    on_disk.objects.delete(keys.item_key(CO, 1))

    def of(*cells: Any) -> set[str]:
        return {f.item for f in verify(on_disk.objects, on_disk.index, cells)}

    assert of(FARM) == {L2A.id}
    assert of(ICE) == {CO.id}
    assert of(ICE, FARM) == {L2A.id, CO.id}
    assert of() == set()


def test_a_cell_that_is_gone(on_disk: Lake) -> None:
    """All of its objects: only the index knows of it."""
    for key in list(contents(on_disk.objects)):
        if key.startswith(keys.cell_prefix(ICE)):
            on_disk.objects.delete(key)
    assert found(on_disk) == [("asset_missing", CO.id), ("item_missing", CO.id)]
    assert found(on_disk, "pixels") == [("asset_missing", CO.id), ("item_missing", CO.id)]


def test_shallow_reads_only_the_beginning_of_a_file(
    on_disk: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: list[str] = []
    ranges: list[int] = []
    get, get_range = Objects.get, Objects.get_range

    def counted(self: Objects, key: str) -> bytes:
        if key.startswith(keys.CELLS):
            whole.append(key)
        return get(self, key)

    def counted_range(self: Objects, key: str, start: int, stop: int) -> bytes:
        ranges.append(stop - start)
        return get_range(self, key, start, stop)

    monkeypatch.setattr(Objects, "get", counted)
    monkeypatch.setattr(Objects, "get_range", counted_range)
    assert found(on_disk, "listing") == []
    assert (whole, ranges) == ([], [])
    assert found(on_disk, "header") == []
    assert whole == []
    assert len(ranges) == len(SLOTS)
    assert max(ranges) < 8000
    assert found(on_disk, "pixels") == []
    assert len(whole) == 2 * len(SLOTS)


# Assets without items


def test_a_running_attempt_is_no_orphan(lake: Lake) -> None:
    attempt = new_attempt(datetime.now(UTC))
    lake.objects.put_new(keys.asset_key(L2A, attempt, "0" * 64), b"not yet")
    assert found(lake) == []


def test_older_versions_name_their_assets(on_disk: Lake) -> None:
    """Even where the index has forgotten them."""
    document = json.loads(on_disk.objects.get(keys.item_key(L2A, 1)))
    old = keys.asset_key(L2A, OLD_ATTEMPT, "0" * 64)
    document["assets"]["data"]["href"] = f"../../{old.split('/', 4)[4]}"
    assert asset_key_of(document) == old
    on_disk.objects.put(keys.item_key(L2A, 1), encode_document(document))
    on_disk.objects.put_new(old, b"whatever")
    on_disk.store(L2A, pixels_of(L2A, 3), digest="e" * 16)
    Index(on_disk.objects).rebuild()
    assert found(on_disk, "pixels") == []
    on_disk.objects.delete(keys.item_key(L2A, 1))
    assert found(on_disk) == [("asset_orphan", L2A.id)]


# The index


def test_an_item_that_waits_for_the_index(on_disk: Lake) -> None:
    """Young ones belong to a harvest that may still run; after the grace time it has died."""
    slot = slot_of("s5p-co")
    done = commit(on_disk.objects, facts(slot), DATA)
    (finding,) = verify(on_disk.objects, on_disk.index)
    assert (finding.problem, finding.item) == ("not_in_index", slot.id)
    assert finding.is_waiting
    path = on_disk.objects.local_path(keys.item_key(slot, 1))
    assert path is not None
    past = (datetime.now(UTC) - timedelta(days=4)).timestamp()
    os.utime(path, (past, past))
    (finding,) = verify(on_disk.objects, on_disk.index)
    assert not finding.is_waiting
    on_disk.index.append([IndexRow(done.document, 1)])
    assert found(on_disk) == []


def test_a_newer_version_than_the_index_has(on_disk: Lake) -> None:
    retire(on_disk.objects, L2A)
    assert found(on_disk) == [("not_in_index", L2A.id)]


def test_a_data_file_of_the_index_is_lost(lake: Lake) -> None:
    lake.objects.delete(keys.INDEX + lake.index.files()[0])
    lake.objects.delete(asset_of_document(lake))
    assert found(Lake(lake.objects, Index(lake.objects))) == [
        ("asset_missing", RTC.id),
        ("index_damaged", ""),
    ]


def asset_of_document(lake: Lake) -> str:
    return asset_key_of(json.loads(lake.objects.get(keys.item_key(RTC, 1))))


def test_a_data_file_of_the_index_is_garbage(on_disk: Lake) -> None:
    on_disk.objects.put(keys.INDEX + on_disk.index.files()[0], b"PAR1 no more PAR1")
    assert found(Lake(on_disk.objects, Index(on_disk.objects))) == [("index_damaged", "")]


def test_the_whole_index_is_lost(on_disk: Lake) -> None:
    for key in contents(on_disk.objects):
        if key.startswith(keys.INDEX):
            on_disk.objects.delete(key)
    fresh = Lake(on_disk.objects, Index(on_disk.objects))
    assert found(fresh) == sorted(("not_in_index", slot.id) for slot in SLOTS)


def test_rows_that_two_writers_added_and_compaction(on_disk: Lake) -> None:
    document = json.loads(on_disk.objects.get(keys.item_key(RTC, 1)))
    on_disk.index.append([IndexRow(document, 1)])
    assert found(on_disk) == []
    compact(on_disk.index)
    assert found(on_disk, "pixels") == []


# Items


def test_a_retired_item_needs_no_asset(on_disk: Lake) -> None:
    key = asset_of(on_disk, L2A)
    stone = retire(on_disk.objects, L2A)
    assert stone is not None
    on_disk.index.append([IndexRow(stone.document, stone.version)])
    on_disk.objects.delete(key)
    assert found(on_disk, "pixels") == []


def test_the_naive_order_is_found_out(tmp_path: Path) -> None:
    """An item before its asset, as a writer without the protocol would leave it when killed."""
    objects = Objects.open(str(tmp_path))
    document = build_item(facts(L2A), new_attempt(facts(L2A).created), 1)
    objects.put_new(keys.item_key(L2A, 1), encode_document(document))
    assert found(Lake(objects, Index(objects))) == [
        ("asset_missing", L2A.id),
        ("not_in_index", L2A.id),
    ]


@pytest.mark.parametrize(
    "data", [b"", b"{half", b"[]", b"{}", b"\xff{}", b'{"properties": {}, "id": "other"}']
)
def test_a_broken_item(on_disk: Lake, data: bytes) -> None:
    on_disk.objects.put(keys.item_key(L2A, 1), data)
    assert found(on_disk) == [("item_invalid", L2A.id)]


def test_an_item_that_points_elsewhere(on_disk: Lake) -> None:
    document = json.loads(on_disk.objects.get(keys.item_key(L2A, 1)))
    document["assets"]["data"]["href"] = "../../../../../../../../etc/passwd"
    on_disk.objects.put(keys.item_key(L2A, 1), encode_document(document))
    assert found(on_disk) == [("item_invalid", L2A.id)]


def test_an_item_that_says_another_version(on_disk: Lake) -> None:
    data = on_disk.objects.get(keys.item_key(L2A, 1))
    on_disk.objects.put(keys.item_key(L2A, 2), data)
    assert found(on_disk) == [("item_invalid", L2A.id)]


# What must not be taken for damage


def test_flat_sea_is_constant_and_whole(on_disk: Lake) -> None:
    slot = slot_of("dem-glo30", ICE)
    data = pixels_of(slot)
    data[0] = 0
    on_disk.store(slot, data)
    assert found(on_disk, "pixels") == []


@pytest.mark.parametrize("seen_as", [Qa.CLOUD, Qa.CIRRUS, Qa.SNOW])
def test_high_cloud_and_high_snow_shine_in_the_cirrus_band(on_disk: Lake, seen_as: Qa) -> None:
    data = pixels_of(L1C)
    data[10] += 3000
    data[-1] |= np.uint16(seen_as)
    data[-1, :1, :49] = Qa.OBSERVED
    on_disk.store(L1C, data)
    assert found(on_disk, "pixels") == []
    data[-1, :1, :50] = Qa.OBSERVED
    on_disk.store(L1C, data)
    assert found(on_disk, "pixels") == [("offset_left_in", L1C.id)]


def test_sun_glint_is_bright_water(on_disk: Lake) -> None:
    data = pixels_of(L2A)
    data[:-1] += 1000
    data[-1] |= np.uint16(Qa.WATER)
    on_disk.store(L2A, data, properties={"lake:dn_offset": 1000, "lake:cloud_source": "scl"})
    assert found(on_disk, "pixels") == []


def test_an_offset_that_is_declared(on_disk: Lake) -> None:
    data = pixels_of(L1C)
    data[:-1] += 1000
    offsets = {name: {"raster:offset": -0.1} for name in ("B01", "B10")}
    on_disk.store(L1C, data, properties={"lake:dn_offset": 0}, band_metadata=offsets)
    assert found(on_disk, "pixels") == []


def test_a_polarisation_that_was_not_flown(on_disk: Lake) -> None:
    data = pixels_of(RTC)
    data[1] = np.nan
    on_disk.store(RTC, data)
    assert found(on_disk, "pixels") == []


def test_exchanged_files_of_one_size(on_disk: Lake) -> None:
    """Only the whole file tells."""
    first, second = pixels_of(NO2), pixels_of(NO2)
    other = slot_of("s5p-o3")
    second[0, 0, 0] = 2.0
    on_disk.store(NO2, first, digest="e" * 16)
    on_disk.store(other, second)
    one, two = asset_of(on_disk, NO2, 2), asset_of(on_disk, other)
    data = on_disk.objects.get(one), on_disk.objects.get(two)
    assert data[0] != data[1]
    assert file_of(NO2, first) == data[0]
    on_disk.objects.put(one, data[1])
    on_disk.objects.put(two, data[0])
    assert found(on_disk, "pixels") == [
        ("asset_swapped", NO2.id),
        ("asset_swapped", other.id),
    ]
