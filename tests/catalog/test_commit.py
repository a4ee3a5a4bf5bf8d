from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import crash
import pytest
from made_items import DATA, FARM, ICE, facts, slot_of

from stac_lake.catalog import commit as commit_module
from stac_lake.catalog.commit import commit, read_item, retire, stored
from stac_lake.catalog.index import Index
from stac_lake.catalog.item import asset_key_of
from stac_lake.catalog.verify import verify
from stac_lake.errors import CommitConflict, InvalidItem, StoreUnavailable
from stac_lake.store import keys
from stac_lake.store.objects import Objects

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3_fixtures import S3Server

pytest_plugins = ("s3_fixtures",)

SLOT = slot_of("s2-l2a")


def listing(objects: Objects, prefix: str = "") -> dict[str, int]:
    return {info.key: info.size for info in objects.list(prefix)}


def run(what: str, url: str, number: int) -> list[int]:
    """Exit codes of `crash.main` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", crash.__file__, what, url, str(number)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        check=True,
    )
    return list(json.loads(done.stdout))


def test_an_item_and_its_asset(lake_url: str) -> None:
    objects = Objects.open(lake_url)
    done = commit(objects, facts(SLOT), DATA)
    assert (done.version, done.won) == (1, True)
    assert read_item(objects, SLOT, 1) == done.document
    key = asset_key_of(done.document)
    assert objects.get(key) == DATA
    assert set(listing(objects)) == {key, keys.item_key(SLOT, 1)}
    checksum = done.document["assets"]["data"]["file:checksum"]
    assert checksum == "1220" + hashlib.sha256(DATA).hexdigest()
    assert stored(objects, FARM) == {SLOT.id: (1, "0123456789abcdef")}
    assert stored(objects, ICE) == {}


def test_the_same_digest_writes_nothing(lake_url: str) -> None:
    objects = Objects.open(lake_url)
    first = commit(objects, facts(SLOT), DATA)
    before = listing(objects)
    again = commit(objects, facts(SLOT), DATA)
    assert (again.version, again.won, again.document) == (1, False, first.document)
    assert listing(objects) == before


def test_another_digest_and_refresh_make_versions(lake_url: str) -> None:
    objects = Objects.open(lake_url)
    first = commit(objects, facts(SLOT), DATA)
    other = commit(objects, facts(SLOT, b"other", digest="f" * 16), b"other")
    fresh = commit(objects, facts(SLOT, b"fresh", digest="f" * 16), b"fresh", refresh=True)
    assert (other.version, fresh.version, other.won, fresh.won) == (2, 3, True, True)
    assert stored(objects, FARM) == {SLOT.id: (3, "f" * 16)}
    assert objects.get(asset_key_of(first.document)) == DATA
    assert read_item(objects, SLOT, 1) == first.document
    versions = [link["href"] for link in fresh.document["links"] if "version" in link["rel"]]
    assert versions == ["./2.json"]


def test_more_than_nine_versions_are_counted_as_numbers(lake_url: str) -> None:
    objects = Objects.open(lake_url)
    for number in range(11):
        commit(objects, facts(SLOT, digest=f"{number:016x}"), DATA)
    assert stored(objects, FARM)[SLOT.id] == (11, f"{10:016x}")


def test_a_retired_item_comes_back_as_a_version(lake_url: str) -> None:
    objects = Objects.open(lake_url)
    assert retire(objects, SLOT) is None
    commit(objects, facts(SLOT), DATA)
    stone = retire(objects, SLOT)
    assert stone is not None
    assert stone.version == 2
    assert stored(objects, FARM) == {}
    assert retire(objects, SLOT) is None
    assert commit(objects, facts(SLOT), DATA).version == 3
    assert stored(objects, FARM)[SLOT.id][0] == 3


def test_a_lost_reply_is_a_commit(s3: S3Server, make_bucket: Callable[[], str]) -> None:
    objects = Objects.open(make_bucket())
    pending = ["asset", "item"]

    def lose(method: str, path: str) -> bool:
        due = bool(pending) and ("/assets/" in path) == (pending[0] == "asset")
        return method == "PUT" and due and bool(pending.pop(0))

    s3.lose = lose
    done = commit(objects, facts(SLOT), DATA)
    assert not pending
    assert (done.version, done.won) == (1, True)
    assert len(listing(objects, keys.items_prefix(FARM))) == 1
    assert verify_problems(objects) == {"not_in_index"}


def test_a_faster_rival_with_the_same_digest_is_kept(tmp_path: Path, monkeypatch: Any) -> None:
    """The rival commits after we have looked, before our PUT."""
    objects = Objects.open(str(tmp_path))
    original = commit_module._store_asset

    def rival_first(*args: Any) -> None:
        monkeypatch.setattr(commit_module, "_store_asset", original)
        commit(objects, facts(SLOT, b"rival"), b"rival")
        original(*args)

    monkeypatch.setattr(commit_module, "_store_asset", rival_first)
    done = commit(objects, facts(SLOT), DATA)
    assert (done.version, done.won) == (1, False)
    assert objects.get(asset_key_of(done.document)) == b"rival"


def test_a_faster_rival_with_another_digest_is_followed(tmp_path: Path, monkeypatch: Any) -> None:
    objects = Objects.open(str(tmp_path))
    original = commit_module._store_asset

    def rival_first(*args: Any) -> None:
        monkeypatch.setattr(commit_module, "_store_asset", original)
        commit(objects, facts(SLOT, b"rival", digest="e" * 16), b"rival")
        original(*args)

    monkeypatch.setattr(commit_module, "_store_asset", rival_first)
    done = commit(objects, facts(SLOT), DATA)
    assert (done.version, done.won) == (2, True)
    assert done.document["properties"]["version"] == "2"


def test_an_asset_that_is_cut_short_is_not_committed(tmp_path: Path, monkeypatch: Any) -> None:
    objects = Objects.open(str(tmp_path))
    original = Objects.put_new
    monkeypatch.setattr(Objects, "put_new", lambda o, k, data: original(o, k, data[:-1]))
    with pytest.raises(StoreUnavailable, match="bytes instead of"):
        commit(objects, facts(SLOT), DATA)
    assert stored(objects, FARM) == {}


def test_facts_that_make_no_item_leave_nothing(tmp_path: Path) -> None:
    objects = Objects.open(str(tmp_path))
    with pytest.raises(InvalidItem):
        commit(objects, facts(SLOT, bands=()), DATA)
    assert listing(objects) == {}


def test_an_attempt_that_took_days_is_given_up(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(commit_module, "GRACE", timedelta(seconds=-1))
    with pytest.raises(CommitConflict, match="too long"):
        commit(Objects.open(str(tmp_path)), facts(SLOT), DATA)


def test_a_corrupt_item_is_named(tmp_path: Path) -> None:
    objects = Objects.open(str(tmp_path))
    objects.put_new(keys.item_key(SLOT, 1), b"{half")
    with pytest.raises(InvalidItem, match=SLOT.id):
        stored(objects, FARM)


def test_writers_with_one_digest_make_one_version(lake_url: str) -> None:
    objects = Objects.open(lake_url)

    def write(number: int) -> tuple[int, bool]:
        data = b"writer %d" % number
        done = commit(objects, facts(SLOT, data), data)
        return done.version, done.won

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(write, range(8)))
    assert sorted(results) == [(1, False)] * 7 + [(1, True)]
    assert list(listing(objects, keys.items_prefix(FARM))) == [keys.item_key(SLOT, 1)]


def test_writers_with_many_digests_make_a_version_each(lake_url: str) -> None:
    objects = Objects.open(lake_url)

    def write(number: int) -> int:
        data = b"writer %d" % number
        return commit(objects, replace(facts(SLOT, data), digest=f"{number:016x}"), data).version

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(write, range(8))) == list(range(1, 9))
    assets = {asset_key_of(read_item(objects, SLOT, n)) for n in range(1, 9)}
    assert len(assets) == 8


def verify_problems(objects: Objects) -> set[str]:
    return {finding.problem for finding in verify(objects, Index(objects))}


def check_after_death(url: str) -> None:
    """Whatever was interrupted: no half item, a re-run completes, and the next writes nothing."""
    objects = Objects.open(url)
    assert verify_problems(objects) <= {"not_in_index"}
    crash.harvest(url)
    assert verify_problems(objects) == set()
    found = {**stored(objects, FARM), **stored(objects, ICE)}
    assert {item: version for item, (version, _) in found.items()} == {
        slot.id: 1 for slot in crash.SLOTS
    }
    rows = Index(objects).connection().execute("SELECT id FROM items ORDER BY id").fetchall()
    assert [row[0] for row in rows] == sorted(slot.id for slot in crash.SLOTS)
    for slot in crash.SLOTS:
        assert objects.size(keys.collection_key(slot.cell)) is not None
    before = {info.key: info for info in objects.list("")}
    assert crash.harvest(url) == 0
    assert {info.key: info for info in objects.list("")} == before


def test_kill_at_every_store_call_on_disk(tmp_path: Path) -> None:
    """Call by call, until one harvest gets through alive."""
    codes = run("each", str(tmp_path), 30)
    alive = codes.index(0)
    assert codes[:alive] == [-9] * alive
    assert alive > 20
    for at in range(alive):
        check_after_death(str(tmp_path / f"{at}"))


@pytest.mark.parametrize("at", [5, 8, 13, 17, 21])
def test_kill_on_s3(at: int, make_bucket: Callable[[], str]) -> None:
    url = make_bucket()
    assert run("at", url, at) == [-9]
    check_after_death(url)


def test_two_harvesters_of_one_cell(lake_url: str) -> None:
    assert run("harvest", lake_url, 2) == [0, 0]
    check_after_death(lake_url)


def test_a_second_run_makes_no_put(s3: S3Server, make_bucket: Callable[[], str]) -> None:
    url = make_bucket()
    assert crash.harvest(url) == len(crash.SLOTS)
    s3.requests.clear()
    assert crash.harvest(url) == 0
    assert s3.requests["GET"] > 0
    assert {method for method, count in s3.requests.items() if count} <= {"GET", "HEAD"}
