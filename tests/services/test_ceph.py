"""A lake on a real S3 server: Ceph's gateway, which checks signatures and keeps its promises.

The harvests run as a user runs them, in processes of their own; what they did is read back with
boto3 and from the gateway's access log.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from ceph import Ceph, Request

from stac_lake.catalog.index import Index
from stac_lake.catalog.verify import verify
from stac_lake.errors import StoreUnavailable
from stac_lake.lake import open_lake
from stac_lake.store.objects import Objects

CRASH = Path(__file__).parents[1] / "catalog" / "crash.py"
PRODUCTS = {"dem-glo30": ["static"], "s5p-no2": [f"2021-{month:02d}" for month in range(1, 13)]}
IDS = sorted(f"{name}_0772176_{slot}" for name, slots in PRODUCTS.items() for slot in slots)
WRITES = {"PUT", "POST", "DELETE"}

Make = Callable[[], str]


def command(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("stac-lake")), *arguments]


def harvest_command(url: str, origin: str) -> list[str]:
    chosen = [part for name in PRODUCTS for part in ("--product", name)]
    where = ["--grid", "772176", "--lake", url, "--upstream", origin]
    return command("harvest", *where, *chosen, "--workers", "2", "--json")


def environment() -> dict[str, str]:
    keys = {"CDSE_S3_ACCESS_KEY": "sandbox", "CDSE_S3_SECRET_KEY": "sandbox"}
    return {**os.environ, **keys}


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments, env=environment(), capture_output=True, text=True, check=False, timeout=600
    )


def harvest(url: str, origin: str) -> dict[str, Any]:
    done = run(harvest_command(url, origin))
    assert done.returncode == 0, done.stderr[-3000:]
    counts = json.loads(done.stdout)
    return {name: counts[name] for name in ("stored", "skipped", "empty", "failed")}


def objects_of(gateway: Ceph, url: str) -> dict[str, tuple[str, int, Any]]:
    """Key → ETag, size, moment of the last write; by boto3."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    pages = gateway.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    found = [one for page in pages for one in page.get("Contents", [])]
    return {
        one["Key"].removeprefix(f"{prefix}/"): (one["ETag"], one["Size"], one["LastModified"])
        for one in found
    }


def read(gateway: Ceph, url: str, key: str) -> bytes:
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    body: bytes = gateway.client().get_object(Bucket=bucket, Key=f"{prefix}/{key}")["Body"].read()
    return body


def items_of(gateway: Ceph, url: str) -> dict[str, dict[str, Any]]:
    """Key → Item, by boto3."""
    return {
        key: json.loads(read(gateway, url, key))
        for key in objects_of(gateway, url)
        if "/items/" in key
    }


def writes(requests: list[Request]) -> list[Request]:
    return [request for request in requests if request.method in WRITES]


def check_whole(gateway: Ceph, url: str) -> None:
    """`verify` says so, and boto3: each slot once, with an asset that has the promised bytes."""
    done = run(command("verify", "--lake", url))
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
    items = items_of(gateway, url)
    assert sorted(item["id"] for item in items.values()) == IDS
    assert all(key.endswith("/1.json") for key in items)
    for key, item in items.items():
        asset = item["assets"]["data"]
        data = read(gateway, url, asset_key(key, item))
        assert len(data) == asset["file:size"]
        assert "1220" + hashlib.sha256(data).hexdigest() == asset["file:checksum"]


def asset_key(key: str, item: dict[str, Any]) -> str:
    """Where a stored item says that its asset is: relative to its own place."""
    href = item["assets"]["data"]["href"]
    return posixpath.normpath(posixpath.join(posixpath.dirname(key), href))


@pytest.fixture(scope="module")
def lake(gateway: Ceph, make_lake: Make, origin: str, tmp_path_factory: Any) -> str:
    """A finished harvest that the tests only read."""
    url = make_lake()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in gateway.environment.items():
            patch.setenv(name, value)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        assert harvest(url, origin) == {"stored": 13, "skipped": 0, "empty": 0, "failed": 0}
    return url


# The primitive and the protocol


def test_create_only_put_has_one_winner_of_sixteen(on_gateway: Ceph, make_lake: Make) -> None:
    url = make_lake()
    stores = [Objects.open(url) for _ in range(16)]
    barrier = threading.Barrier(16)

    def write(number: int) -> list[bool]:
        won = []
        for key in range(20):
            barrier.wait()
            won.append(stores[number].put_new(f"race/{key}", f"writer {number}".encode()))
        return won

    with ThreadPoolExecutor(16) as pool:
        results = np.array(list(pool.map(write, range(16))))
    assert results.sum(axis=0).tolist() == [1] * 20
    for key, winner in enumerate(results.argmax(axis=0)):
        assert read(on_gateway, url, f"race/{key}") == f"writer {winner}".encode()


def test_commit_survives_a_kill_before_every_third_store_call(
    on_gateway: Ceph, make_lake: Make
) -> None:
    """The small harvest of the first tier kills itself before call 0, 3, 6 … until one ends."""
    base = make_lake()
    for at in range(0, 90, 3):
        url = f"{base}/{at}"
        code = crash("at", url, at)[0]
        objects = Objects.open(url)
        problems = {finding.problem for finding in verify(objects, Index(objects))}
        assert problems <= {"not_in_index"}
        since = on_gateway.log_size()
        assert crash("harvest", url, 1) == [0]
        assert list(verify(objects, Index(objects))) == []
        items = [key for key in objects_of(on_gateway, url) if "/items/" in key]
        assert [key[-7:] for key in items] == ["/1.json", "/1.json"]
        if code == 0:
            assert writes(on_gateway.settled_requests(since)) == []
            break
        assert code == -signal.SIGKILL
    assert code == 0
    assert at > 20


def test_four_writers_append_to_one_index(on_gateway: Ceph, make_lake: Make) -> None:
    """Twenty commits of four writers to one Delta log: none is lost."""
    url = make_lake()
    assert crash("append", url, 4) == [0] * 4
    rows = Index(Objects.open(url)).connection().execute("SELECT id FROM items").fetchall()
    assert len({row[0] for row in rows}) == 20


def crash(what: str, url: str, number: int) -> list[int]:
    """Exit codes of `tests/catalog/crash.py` in a process of its own."""
    arguments = [sys.executable, "-W", "ignore", str(CRASH), what, url, str(number)]
    done = run(arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    return list(json.loads(done.stdout))


# Harvests


def test_a_harvest_is_whole_and_a_second_one_makes_no_put(
    on_gateway: Ceph, lake: str, origin: str
) -> None:
    check_whole(on_gateway, lake)
    before = objects_of(on_gateway, lake)
    since = on_gateway.log_size()
    assert harvest(lake, origin) == {"stored": 0, "skipped": 13, "empty": 0, "failed": 0}
    requests = on_gateway.settled_requests(since)
    assert any(request.method == "GET" for request in requests)
    assert writes(requests) == []
    assert objects_of(on_gateway, lake) == before


@pytest.mark.parametrize("at", [1, 5, 14, 28])
def test_kill_of_a_harvester(at: int, on_gateway: Ceph, make_lake: Make, origin: str) -> None:
    """SIGKILL as soon as the gateway has logged that many writes."""
    url = make_lake()
    since = on_gateway.log_size()
    with subprocess.Popen(
        harvest_command(url, origin),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        while process.poll() is None:
            if len(writes(on_gateway.requests(since))) >= at:
                process.kill()
                break
            time.sleep(0.005)
        assert process.wait() == -signal.SIGKILL
    objects = Objects.open(url)
    problems = {finding.problem for finding in verify(objects, Index(objects))}
    assert problems <= {"not_in_index"}
    survivors = {key: objects_of(on_gateway, url)[key] for key in items_of(on_gateway, url)}
    counts = harvest(url, origin)
    assert counts == {
        "stored": 13 - len(survivors),
        "skipped": len(survivors),
        "empty": 0,
        "failed": 0,
    }
    check_whole(on_gateway, url)
    after = objects_of(on_gateway, url)
    assert {key: after[key] for key in survivors} == survivors


def test_two_harvesters_of_one_cell(on_gateway: Ceph, make_lake: Make, origin: str) -> None:
    url = make_lake()
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: harvest(url, origin), range(2)))
    for counts in both:
        assert counts["stored"] + counts["skipped"] == 13
        assert (counts["empty"], counts["failed"]) == (0, 0)
    check_whole(on_gateway, url)
    found = open_lake(url).search()
    assert sorted(item["id"] for item in found) == IDS


# Readers


def test_queries_find_what_the_bucket_holds(on_gateway: Ceph, lake: str) -> None:
    stored = items_of(on_gateway, lake)
    items = {item["id"]: item for item in stored.values()}
    opened = open_lake(lake)
    told = {item["id"]: item for item in opened.search()}
    assert sorted(told) == IDS
    for key, item in stored.items():
        found = told[item["id"]]
        # Only addresses differ: stored ones are relative, so that a lake can be moved.
        assert found["assets"]["data"]["href"] == f"{lake}/{asset_key(key, item)}"
        for name in item.keys() - {"assets", "links"}:
            assert found[name] == item[name]
    assert sorted(item["id"] for item in opened.search(products="dem-glo30")) == IDS[:1]
    orbits = {
        name: item["properties"]["lake:n_orbits"]
        for name, item in items.items()
        if name.startswith("s5p")
    }
    middle = sorted(orbits.values())[len(orbits) // 2]
    # Products that a filter per product does not name pass whole.
    wanted = {"s5p-no2": f"lake:n_orbits >= {middle}"}
    many = opened.search(wanted, cells=[772176], products="s5p-no2")
    assert {item["id"] for item in many} == {n for n, v in orbits.items() if v >= middle}
    spring = opened.search(datetime="2021-03-01T00:00:00Z/2021-05-31T23:59:59Z", products="s5p-no2")
    assert sorted(item["id"] for item in spring) == IDS[3:6]
    assert sorted(item.id for item in opened.client().search(max_items=50).items()) == IDS


def test_readers_of_the_index_fetch_each_file_once(
    on_gateway: Ceph, lake: str, tmp_path: Path
) -> None:
    def fetched(since: int) -> list[str]:
        requests = on_gateway.settled_requests(since)
        return [one.path for one in requests if one.path.endswith(".parquet")]

    since = on_gateway.log_size()
    assert open_lake(lake, cache=tmp_path / "copies").search().matched() == 13
    names = sorted(Index(Objects.open(lake)).files())
    # The log's own checkpoints are Parquet, too: only data files are counted.
    assert sorted(path.rpartition("/")[2] for path in fetched(since)) == names
    assert sorted(path.name for path in (tmp_path / "copies").iterdir()) == names
    for name in names:
        copy = (tmp_path / "copies" / name).read_bytes()
        assert copy == read(on_gateway, lake, f"index/{name}")
    since = on_gateway.log_size()
    again = open_lake(lake, cache=tmp_path / "copies")
    assert again.search(products="s5p-no2").matched() == 12
    assert fetched(since) == []


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # odc-geo
@pytest.mark.filterwarnings("ignore:The 'shapely.ops.transform:DeprecationWarning")  # odc-geo
def test_pixels_by_gdal_and_odc_stac(on_gateway: Ceph, lake: str) -> None:
    """GDAL's own S3 client reads the COG where it is, as the downloaded bytes say."""
    opened = open_lake(lake)
    item = next(iter(opened.search(products="dem-glo30")))
    key = next(k for k in objects_of(on_gateway, lake) if k.endswith(".tif") and item["id"] in k)
    data = read(on_gateway, lake, key)
    with rasterio.MemoryFile(data) as memory, memory.open() as source:
        height = source.read(1)
    assert height.shape == (960, 960)
    name = item["assets"]["data"]["bands"][0]["name"]
    loaded = opened.open([item], bands=[name])[name].isel(time=0).values
    assert np.array_equal(loaded, height)


# Refusals


def test_wrong_credentials_and_a_missing_bucket_are_told(
    on_gateway: Ceph, lake: str, origin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoreUnavailable, match="bucket does not exist"):
        Objects.open("s3://no-such-bucket/lake").put_new("a", b"a")
    before = objects_of(on_gateway, lake)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "guessed")
    with pytest.raises(StoreUnavailable, match="refused the credentials"):
        Objects.open(lake).put_new("a", b"a")
    done = run(harvest_command(lake, origin))
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "guessed" not in done.stdout + done.stderr
    assert objects_of(on_gateway, lake) == before
