"""Each kind of damage is planted alone; a repair puts exactly that right, once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stac_lake.catalog import mend
from stac_lake.catalog.index import Index, IndexRow
from stac_lake.catalog.item import asset_key_of
from stac_lake.catalog.mend import Mended, mend_asset, replace_rows
from stac_lake.catalog.rows import encode_document
from stac_lake.catalog.verify import Finding, verify
from stac_lake.cli.main import run as program
from stac_lake.errors import InvalidItem
from stac_lake.harvest.adopt import adopt
from stac_lake.harvest.ledger import Ledger
from stac_lake.harvest.repair import Repaired, repair
from stac_lake.harvest.slots import wants
from stac_lake.recipe import digest, product, recipe
from stac_lake.store import keys
from stac_lake.store.objects import Objects
from stac_lake.types import Outcome, Slot
from tests.catalog.damages import DAMAGES, ON_S3, Planted
from tests.catalog.verify_lakes import (
    CO,
    L2A,
    NO2,
    RTC,
    SLOTS,
    Lake,
    asset_of,
    build,
    contents,
    pixels_of,
    put_all,
)
from tests.harvest import pretrain_tree as pretrain
from tests.harvest import small

pytest_plugins = ("s3_fixtures",)


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return build(str(tmp_path_factory.mktemp("whole")))


@pytest.fixture
def lake(held: dict[str, bytes], disk: str) -> Lake:
    return put_all(disk, held)


def repaired(lake: Lake) -> list[Repaired]:
    """One run of verify and repair over every pixel."""
    found = verify(lake.objects, lake.index, depth="pixels")
    return list(repair(lake.objects, lake.index, found))


def shown(lake: Lake) -> dict[str, dict[str, Any]]:
    """What a reader of the index gets: item id → document."""
    rows = lake.index.connection().execute("SELECT id, item FROM items").fetchall()
    return {item: json.loads(text) for item, text in rows}


def check_repaired(lake: Lake, damage: Planted) -> None:
    before = shown(lake)
    damage.plant(lake)
    done = repaired(lake)
    assert sorted((one.finding.problem, one.finding.item) for one in done) == sorted(damage.found)
    assert sorted(one.mended.action for one in done) == sorted(damage.actions)
    requeued = {one.finding.item for one in done if one.mended.action == "requeued"}
    after = shown(lake)
    # What was not damaged is what it was; what is gone is in the ledger, to be made again.
    assert after.keys() == before.keys() - requeued
    touched = {item for _, item in damage.found}
    for item in after.keys() - touched:
        assert after[item] == before[item]
    ledger = Ledger(lake.objects).read()
    assert {slot for slot, e in ledger.items() if e.outcome.state == "failed"} == requeued
    assert all(e.outcome.reason == f"damaged: {problem_of(done, s)}" for s, e in ledger.items())
    kept = contents(lake.objects)
    assert repaired(lake) == []
    assert contents(lake.objects) == kept


def problem_of(done: list[Repaired], item: str) -> str:
    return next(
        one.finding.problem
        for one in done
        if one.finding.item == item and one.mended.action == "requeued"
    )


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_repaired(lake: Lake, damage: Planted) -> None:
    check_repaired(lake, damage)


@pytest.mark.parametrize("name", ON_S3)
def test_damage_is_repaired_on_s3(
    held: dict[str, bytes], make_bucket: Callable[[], str], name: str
) -> None:
    check_repaired(put_all(make_bucket(), held), DAMAGES[name])


def test_all_at_once(lake: Lake) -> None:
    lake.objects.delete(asset_of(lake, L2A))
    for name in ("orphan", "document_missing", "document_cut_short", "index_says_something_else"):
        DAMAGES[name].plant(lake)
    assert sorted(one.mended.action for one in repaired(lake)) == [
        "deleted", "reindexed", "requeued", "restored", "restored",
    ]  # fmt: skip
    assert list(verify(lake.objects, Index(lake.objects), depth="pixels")) == []
    assert shown(lake).keys() == {slot.id for slot in SLOTS} - {L2A.id}


def test_documents_come_back_as_they_were(lake: Lake, held: dict[str, bytes]) -> None:
    gone, garbled = keys.item_key(RTC, 1), keys.item_key(NO2, 1)
    lake.objects.delete(gone)
    lake.objects.put(garbled, b"{half")
    repaired(lake)
    assert lake.objects.get(gone) == held[gone]
    assert lake.objects.get(garbled) == held[garbled]
    assert lake.objects.get(f"damaged/{garbled}") == b"{half"


def test_the_bucket_is_the_truth(lake: Lake) -> None:
    DAMAGES["index_says_something_else"].plant(lake)
    repaired(lake)
    assert shown(lake)[CO.id] == json.loads(lake.objects.get(keys.item_key(CO, 1)))
    assert lake.index.log.entries(1)[0].files_removed == 1


def test_an_older_version_of_the_same_recipe_comes_back(lake: Lake) -> None:
    first = shown(lake)[L2A.id]
    lake.store(L2A, pixels_of(L2A, 7))
    lake.objects.put(asset_of(lake, L2A, 2), b"II*")
    (done,) = repaired(lake)
    assert (done.finding.problem, done.mended.action) == ("asset_truncated", "restored")
    now = shown(lake)[L2A.id]
    assert now["properties"]["version"] == "3"
    assert asset_key_of(now) == asset_key_of(first)
    told = ("version", "created")
    assert {k: v for k, v in now["properties"].items() if k not in told} == {
        k: v for k, v in first["properties"].items() if k not in told
    }
    assert [link["href"] for link in now["links"] if link["rel"] == "predecessor-version"] == [
        "./2.json"
    ]
    assert list(verify(lake.objects, Index(lake.objects), depth="pixels")) == []
    assert Ledger(lake.objects).read() == {}


def test_an_older_version_that_is_damaged_as_well_does_not(lake: Lake) -> None:
    lake.store(L2A, pixels_of(L2A, 7))
    data = bytearray(lake.objects.get(asset_of(lake, L2A, 1)))
    data[-200] ^= 1
    lake.objects.put(asset_of(lake, L2A, 1), bytes(data))
    lake.objects.delete(asset_of(lake, L2A, 2))
    (done,) = repaired(lake)
    assert done.mended.action == "requeued"
    assert L2A.id not in shown(lake)


def test_a_version_that_came_in_between_is_left_alone(lake: Lake) -> None:
    lake.objects.delete(asset_of(lake, L2A))
    index = Index(lake.objects)
    findings = list(verify(lake.objects, index))
    lake.store(L2A, pixels_of(L2A, 7))
    (done,) = repair(lake.objects, index, findings)
    assert done.mended.action == "none"
    assert shown(lake)[L2A.id]["properties"]["version"] == "2"


def test_a_lost_index_is_made_anew(lake: Lake) -> None:
    before = shown(lake)
    lake.objects.delete(keys.INDEX + lake.index.files()[0])
    (done,) = repaired(fresh(lake))
    assert (done.finding.problem, done.mended.action) == ("index_damaged", "reindexed")
    assert shown(fresh(lake)) == before
    for key in contents(lake.objects):
        if key.startswith(keys.INDEX):
            lake.objects.delete(key)
    assert {one.mended.action for one in repaired(fresh(lake))} == {"reindexed"}
    assert shown(fresh(lake)) == before


def fresh(lake: Lake) -> Lake:
    """As another process sees it."""
    return Lake(lake.objects, Index(lake.objects))


def test_an_interrupted_repair_is_taken_up(lake: Lake) -> None:
    lake.objects.delete(asset_of(lake, L2A))
    index = Index(lake.objects)
    (finding,) = verify(lake.objects, index)
    mend_asset(lake.objects, finding)  # and killed before the index and the ledger were written
    assert [one.mended.action for one in repaired(lake)] == ["reindexed"]
    assert L2A.id not in shown(lake)


def test_a_document_and_its_copy_are_lost(lake: Lake) -> None:
    document = json.loads(lake.objects.get(keys.item_key(RTC, 1)))
    document["properties"]["version"] = "7"
    replace_rows(lake.index, [IndexRow(document, 1)])
    lake.objects.delete(keys.item_key(RTC, 1))
    assert [one.mended.action for one in repaired(lake)] == ["requeued"]
    assert RTC.id not in shown(lake)
    assert list(verify(lake.objects, Index(lake.objects))) == []


@pytest.mark.parametrize("indexed", [True, False])
def test_a_document_that_makes_no_row(lake: Lake, indexed: bool) -> None:
    """What every reader relies on is there, what the index needs is not."""
    before = shown(lake)
    if not indexed:
        replace_rows(lake.index, (), dropped=[(RTC.id, 1)])
    key = keys.item_key(RTC, 1)
    document = json.loads(lake.objects.get(key))
    del document["bbox"]
    lake.objects.put(key, encode_document(document))
    assert [one.mended.action for one in repaired(lake)] == ["restored" if indexed else "requeued"]
    assert shown(lake).keys() == before.keys() - (set() if indexed else {RTC.id})
    assert list(verify(lake.objects, Index(lake.objects))) == []


def test_a_broken_document_beside_a_broken_index(lake: Lake) -> None:
    lake.objects.put(keys.item_key(RTC, 1), b"{half")
    lake.objects.delete(keys.INDEX + lake.index.files()[0])
    assert sorted(one.mended.action for one in repaired(fresh(lake))) == ["reindexed", "requeued"]
    assert shown(fresh(lake)).keys() == {slot.id for slot in SLOTS} - {RTC.id}
    assert list(verify(lake.objects, Index(lake.objects))) == []


def test_collections_follow(lake: Lake) -> None:
    key = keys.collection_key(CO.cell)
    assert lake.objects.size(key)
    lake.objects.delete(asset_of(lake, CO))
    repaired(lake)
    assert lake.objects.size(key) is None


# The command


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[Any], str]:
    capsys.readouterr()
    code = program(list(arguments))
    out, err = capsys.readouterr()
    return code, [json.loads(line) for line in out.splitlines()], err


def test_the_command(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("verify", "--json", "--lake", lake.objects.url)
    assert command(capsys, *arguments) == (0, [], "the lake is whole\n")
    DAMAGES["bit_flipped"].plant(lake)
    assert command(capsys, *arguments)[:2] == (0, [])
    code, lines, err = command(capsys, *arguments, "--deep")
    assert (code, len(lines)) == (3, 1)
    assert lines[0].keys() == {"problem", "item", "version", "key", "detail"}
    assert (lines[0]["problem"], lines[0]["item"]) == ("asset_checksum", L2A.id)
    assert "--repair" in err
    assert command(capsys, *arguments, "--deep", "--grid", "123456")[0] == 0
    code, lines, err = command(capsys, *arguments, "--deep", "--repair")
    assert (code, lines[0]["action"]) == (0, "requeued")
    assert "1 items were retired" in err
    assert command(capsys, *arguments, "--deep") == (0, [], "the lake is whole\n")


def test_what_cannot_be_repaired(
    lake: Lake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(objects: Objects, finding: Finding) -> Mended:
        raise InvalidItem("not an item")

    monkeypatch.setattr(mend, "mend_asset", unreadable)
    lake.objects.delete(asset_of(lake, L2A))
    arguments = ("verify", "--repair", "--json", "--lake", lake.objects.url)
    code, lines, _ = command(capsys, *arguments)
    assert (code, [line["action"] for line in lines]) == (3, ["failed"])


# With a harvest


def test_the_next_harvest_makes_it_again(
    sandbox: str, recipe_file: str, disk: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where a preferred product was searched in vain."""
    products = ("s2-l1c", "s2-l2a")
    assert small.states(small.run(disk, sandbox, recipe_file, *products))[small.L2A] == "stored"
    series = small.job(disk, None, recipe_file, products).recipe.series[0]
    (want,) = wants(recipe(recipe_file), series, small.CELL)
    key = digest(series.effective(product("s2-l1c")), want.windows)
    ledger, vain = Ledger(Objects.open(disk)), Outcome(small.L1C, "empty", key, "no_scene")
    ledger.write([vain], {}, datetime.now(UTC))
    pixels = small.tif(disk, small.L2A).read_bytes()
    path = small.tif(disk, small.L2A)
    path.write_bytes(pixels[:999])
    code, lines, _ = command(capsys, "verify", "--repair", "--json", "--lake", disk)
    assert (code, [line["action"] for line in lines]) == (0, ["requeued"])
    entries = Ledger(Objects.open(disk)).read()
    assert entries[small.L2A].outcome.reason == "damaged: asset_truncated"
    assert small.states(small.run(disk, sandbox, recipe_file, *products))[small.L2A] == "stored"
    assert small.tif(disk, small.L2A, 3).read_bytes() == pixels
    assert small.problems(disk) == []
    assert ledger.read()[small.L1C].outcome == replace(vain, digest="")
    before = small.snapshot(disk)
    small.run(disk, sandbox, recipe_file, *products)
    assert small.snapshot(disk) == before


def test_every_product_of_a_harvest_verifies(
    sandbox: str, recipe_file: str, disk: str, keys: None
) -> None:
    """Every pixel of every product is what its item says: no false alarm."""
    report = small.run(disk, sandbox, recipe_file)
    assert report.counts()["stored"] >= 5
    objects = Objects.open(disk)
    assert list(verify(objects, Index(objects), depth="pixels")) == []
    names = {
        Slot.from_id(path.parent.name).product for path in Path(disk).glob("cells/*/*/*/items/*/*")
    }
    assert {"s2-l1c", "s3-olci-efr", "s5p-no2", "dem-glo30"} <= names


# Adopted files


@pytest.mark.parametrize("measure", [False, True])
def test_an_adopted_tree(tmp_path: Path, disk: str, measure: bool) -> None:
    tree = pretrain.make(tmp_path / "tree")
    adopt(tree, disk, measure=measure)
    objects, index = Objects.open(disk), Index(Objects.open(disk))
    for depth in ("listing", "header", "pixels"):
        assert list(verify(objects, index, depth=depth)) == []
    gone, cut, swollen = sorted(path for path in tree.rglob("*.tif") if "s2_toa" in str(path))[:3]
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:500])
    swollen.write_bytes(swollen.read_bytes() + b"more")
    found = {one.key: one.problem for one in verify(objects, index)}
    assert found == {
        str(gone): "asset_missing",
        str(cut): "asset_truncated",
        str(swollen): "asset_checksum",
    }
    before = contents(objects)
    done = repair(objects, index, verify(objects, index))
    assert {one.mended.action for one in done} == {"failed"}
    assert contents(objects) == before
