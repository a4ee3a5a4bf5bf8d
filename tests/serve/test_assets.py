"""COGs over HTTP: ranges, conditions, and nothing but what an item names."""

from __future__ import annotations

import http.client
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from lake_items import CREATED, SPECS, document
from starlette.exceptions import HTTPException

from stac_lake.catalog.index import Index, IndexRow
from stac_lake.catalog.item import asset_key_of, retired
from stac_lake.serve.assets import CHUNK, span_of
from stac_lake.serve.site import make_site
from stac_lake.store.objects import Objects
from tests.loaders import training_lake
from tests.loaders.training_lake import TrainingLake
from tests.serve.running import running

pytest_plugins = ("s3_fixtures",)

SECRET = b"nobody asked for this"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> TrainingLake:
    return training_lake.make(str(tmp_path_factory.mktemp("assets") / "lake"))


@pytest.fixture(scope="module")
def url(made: TrainingLake) -> Iterator[str]:
    """A site over the lake on disk."""
    with running(make_site(Index(Objects.open(made.url)))) as address:
        yield address


@pytest.fixture
def either_url(lake_url: str, made: TrainingLake, key: str) -> Iterator[str]:
    """A site over the index and one asset of the lake, on disk and on S3."""
    source, target = Objects.open(made.url), Objects.open(lake_url)
    for one in [key, *(info.key for info in source.list("index"))]:
        target.put(one, source.get(one))
    with running(make_site(Index(target))) as address:
        yield address


@pytest.fixture(scope="module")
def key(made: TrainingLake) -> str:
    return asset_key_of(next(d for name, d in made.documents.items() if "s2-l1c" in name))


def stored(made: TrainingLake, key: str) -> bytes:
    return Path(made.url, key).read_bytes()


def test_the_whole_object_and_its_headers(either_url: str, made: TrainingLake, key: str) -> None:
    wanted = stored(made, key)
    answer = requests.get(f"{either_url}/data/{key}", timeout=30)
    assert (answer.status_code, answer.content) == (200, wanted)
    assert answer.headers["Content-Length"] == str(len(wanted))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert "immutable" in answer.headers["Cache-Control"]
    # A compressed answer would have other ranges than the file.
    assert "Content-Encoding" not in answer.headers
    assert answer.headers["Content-Type"].startswith("image/tiff")
    head = requests.head(f"{either_url}/data/{key}", timeout=30)
    assert (head.status_code, head.content) == (200, b"")
    same = {"Content-Length", "ETag", "Content-Type", "Accept-Ranges"}
    assert {name: head.headers[name] for name in same} == {n: answer.headers[n] for n in same}


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=100-299", slice(100, 300)),
        ("bytes=5000-", slice(5000, None)),
        ("bytes=-16", slice(-16, None)),
        ("bytes=7-99999999", slice(7, None)),
        (f"bytes=3-{CHUNK + 9}", slice(3, CHUNK + 10)),
    ],
)
def test_a_range(either_url: str, made: TrainingLake, key: str, asked: str, part: slice) -> None:
    whole = stored(made, key)
    answer = requests.get(f"{either_url}/data/{key}", headers={"Range": asked}, timeout=30)
    start, stop, _ = part.indices(len(whole))
    assert (answer.status_code, answer.content) == (206, whole[part])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(whole)}"
    assert answer.headers["Content-Length"] == str(stop - start)


@given(st.none() | st.integers(0, 60), st.none() | st.integers(0, 60), st.integers(1, 50))
def test_a_range_is_the_bytes_that_the_standard_names(
    first: int | None, last: int | None, size: int
) -> None:
    """RFC 9110, 14.1.2, one position after another."""
    text = ("" if first is None else str(first), "" if last is None else str(last))
    header = f"bytes={text[0]}-{text[1]}"
    if first is None:
        wanted = [at for at in range(size) if last is not None and at >= size - last]
    else:
        wanted = [at for at in range(size) if first <= at <= (size if last is None else last)]
    not_valid = (first is None and last is None) or (
        first is not None and last is not None and last < first
    )
    if not_valid:
        assert span_of(header, size) is None
    elif not wanted:
        with pytest.raises(HTTPException) as refused:
            span_of(header, size)
        assert refused.value.status_code == 416
    else:
        found = span_of(header, size)
        assert found is not None
        assert list(range(*found)) == wanted


@pytest.mark.parametrize("header", ["bytes=", "octets=0-1", "bytes=1-2,4-5", "bytes=a-b", "", "5"])
def test_what_is_no_single_range_is_ignored(header: str) -> None:
    assert span_of(header, 100) is None


def test_a_range_behind_the_end(url: str, made: TrainingLake, key: str) -> None:
    size = len(stored(made, key))
    answer = requests.get(f"{url}/data/{key}", headers={"Range": f"bytes={size}-"}, timeout=30)
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{size}"


def test_conditions(url: str, made: TrainingLake, key: str) -> None:
    address, whole = f"{url}/data/{key}", stored(made, key)
    etag = requests.head(address, timeout=30).headers["ETag"]
    fresh = requests.get(address, headers={"If-None-Match": f'"x", {etag}'}, timeout=30)
    assert (fresh.status_code, fresh.content) == (304, b"")
    for tag, status in ((etag, 206), ('"another"', 200)):
        sent = {"Range": "bytes=0-9", "If-Range": tag}
        answer = requests.get(address, headers=sent, timeout=30)
        assert answer.status_code == status
        assert answer.content == (whole[:10] if status == 206 else whole)


def test_pages_of_other_origins_may_read_ranges(url: str, key: str) -> None:
    asked = {"Origin": "https://example.org", "Access-Control-Request-Method": "GET"}
    asked["Access-Control-Request-Headers"] = "range"
    before = requests.options(f"{url}/data/{key}", headers=asked, timeout=30)
    assert before.status_code == 200
    assert before.headers["Access-Control-Allow-Origin"] == "*"
    assert "Range" in before.headers["Access-Control-Allow-Headers"]
    sent = {"Origin": "https://example.org", "Range": "bytes=0-3"}
    answer = requests.get(f"{url}/data/{key}", headers=sent, timeout=30)
    assert "Content-Range" in answer.headers["Access-Control-Expose-Headers"]
    lost = requests.get(f"{url}/data/none.tif", headers={"Origin": "https://a.org"}, timeout=30)
    assert lost.headers["Access-Control-Allow-Origin"] == "*"


def test_gdal_reads_it_by_ranges(
    either_url: str, made: TrainingLake, key: str, tmp_path: Path
) -> None:
    # In a process of its own: rasterio keeps the interpreter's lock while it waits for the server.
    read = "import numpy, rasterio, sys; numpy.save(sys.argv[2], rasterio.open(sys.argv[1]).read())"
    words = [f"/vsicurl/{either_url}/data/{key}", str(tmp_path / "read.npy")]
    subprocess.run([sys.executable, "-c", read, *words], check=True, timeout=60)
    item = next(name for name in made.documents if name in key)
    np.testing.assert_array_equal(np.load(tmp_path / "read.npy"), made.pixels[item])


def test_nothing_else_is_handed_out(url: str, made: TrainingLake, key: str) -> None:
    """Keys that exist, but are no asset of an item; and ways out of the lake."""
    objects = Objects.open(made.url)
    folder = key.rsplit("/", 1)[0]
    beside = f"{folder}/{'0' * 16}.tif"
    objects.put(beside, SECRET)
    name = next(name for name in made.documents if name in key)
    others = [info.key for info in objects.list("") if not info.key.endswith(".tif")]
    wrong = [
        beside,
        *others[:3],
        "",
        "catalog.json",
        key[1:],
        f"{key}/",
        f"/{key}",
        f"./{key}",
        f"cells/../{key}",
        key.replace("assets", "assets/../assets"),
        key.replace(name, f"{name}/../{name}"),
        "../" * 6 + "etc/passwd",
        "../../../../etc/assets/" + "/".join(key.split("/")[-3:]),
        key + "\0",
    ]
    parts = urlsplit(url)
    for one in wrong:
        # Both spellings; http.client sends paths as they are, where others tidy them up.
        for path in (quote(one), quote(one, safe="")):
            connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
            connection.request("GET", f"/data/{path}")
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            assert answer.status in {404, 307}, (one, answer.status)
            assert SECRET not in body
            assert b"root:" not in body


def test_superseded_and_retired_items_keep_their_assets(tmp_path: Path) -> None:
    index = Index(Objects.open(str(tmp_path)))
    old, new = document(SPECS[0]), document(SPECS[0], 2, sha256="ab" * 32)
    gone = document(SPECS[1])
    index.append([IndexRow(old, 1), IndexRow(new, 2), IndexRow(gone, 1)])
    index.append([IndexRow(retired(gone, 2, CREATED), 2)])
    for number, one in enumerate((old, new, gone)):
        index.objects.put(asset_key_of(one), b"%d" % number)
    with running(make_site(index)) as url:
        for number, one in enumerate((old, new, gone)):
            answer = requests.get(f"{url}/data/{asset_key_of(one)}", timeout=30)
            assert (answer.status_code, answer.content) == (200, b"%d" % number)
        key = asset_key_of(new)
        index.objects.delete(key)
        assert requests.get(f"{url}/data/{key}", timeout=30).status_code == 404


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
def test_nothing_is_written(url: str, made: TrainingLake, key: str, method: str) -> None:
    answer = requests.request(method, f"{url}/data/{key}", data=b"x", timeout=30)
    assert answer.status_code == 405
    assert requests.get(f"{url}/data/{key}", timeout=30).content == stored(made, key)
