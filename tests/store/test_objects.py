from __future__ import annotations

import errno
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from obstore.exceptions import GenericError

from stac_lake.errors import ConfigError, KeyMissing, StoreUnavailable
from stac_lake.store.objects import Objects

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3_fixtures import S3Server

pytest_plugins = ("s3_fixtures",)


def test_bytes_come_back(lake_url: str) -> None:
    objects = Objects.open(lake_url)
    data = os.urandom(70_000)
    assert objects.put_new("a/b/c.bin", data)
    assert objects.get("a/b/c.bin") == data
    assert objects.get_range("a/b/c.bin", 17, 66_000) == data[17:66_000]
    assert objects.size("a/b/c.bin") == 70_000


def test_create_only_keeps_the_first(lake_url: str) -> None:
    objects = Objects.open(lake_url)
    assert objects.put_new("k", b"first")
    assert not objects.put_new("k", b"second")
    assert objects.get("k") == b"first"
    objects.put("k", b"third")
    assert objects.get("k") == b"third"


def test_exactly_one_of_many_writers_wins(lake_url: str) -> None:
    objects = Objects.open(lake_url)

    def race(key: int) -> list[bool]:
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda n: objects.put_new(f"r/{key}", b"%d" % n), range(8)))

    for key in range(8):
        won = race(key)
        assert sum(won) == 1
        assert objects.get(f"r/{key}") == b"%d" % won.index(True)


def test_what_is_not_there(lake_url: str) -> None:
    objects = Objects.open(lake_url)
    for _ in range(2):
        assert objects.size("nope") is None
        assert list(objects.list("nope/")) == []
        with pytest.raises(KeyMissing, match="nope"):
            objects.get("nope")
        with pytest.raises(KeyMissing, match="nope"):
            objects.get_range("nope", 0, 1)
        objects.delete("nope")
        objects.put("something", b"")


def test_reading_creates_nothing(tmp_path: Path) -> None:
    objects = Objects.open(str(tmp_path / "absent"))
    assert list(objects.list("")) == []
    assert objects.size("x") is None
    assert not (tmp_path / "absent").exists()


def test_listing(lake_url: str) -> None:
    objects = Objects.open(lake_url)
    names = [f"cells/x/{n:04d}" for n in range(1_050)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: objects.put_new(name, b"ab"), names))
    objects.put_new("cells/xy/other", b"")
    before = datetime.now(UTC)
    found = list(objects.list("cells/x/"))
    assert sorted(info.key for info in found) == names
    assert {info.size for info in found} == {2}
    assert all(abs(info.modified - before) < timedelta(hours=1) for info in found)
    objects.delete("cells/xy/other")
    assert len(list(objects.list(""))) == len(names)


def test_it_pickles_as_its_url(lake_url: str) -> None:
    objects = Objects.open(lake_url)
    objects.put_new("k", b"v")
    again = pickle.loads(pickle.dumps(objects))
    assert again.url == objects.url
    assert again.get("k") == b"v"
    assert b"test-secret" not in pickle.dumps(objects)
    assert "test-secret" not in repr(objects)


def test_hrefs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in ("./lake", "lake/", (tmp_path / "lake").as_uri(), str(tmp_path / "lake")):
        objects = Objects.open(text)
        assert objects.href("a/b") == str(tmp_path / "lake" / "a" / "b")
        assert objects.local_path("a/b") == tmp_path / "lake" / "a" / "b"
    bucket = Objects.open("s3://bucket/some/prefix/")
    assert bucket.href("a/b") == "s3://bucket/some/prefix/a/b"
    assert bucket.local_path("a/b") is None
    assert Objects.open("s3://bucket").href("a") == "s3://bucket/a"


@pytest.mark.parametrize("url", ["", "http://example.org/lake", "s3://", "gs://bucket"])
def test_places_that_cannot_be_a_lake(url: str) -> None:
    with pytest.raises(ConfigError):
        Objects.open(url)


def test_objects_land_where_other_clients_look(make_bucket: Callable[[], str]) -> None:
    url = make_bucket()
    Objects.open(url).put_new("a/b", b"xyz")
    bucket = url.split("/")[2]
    body = boto3.client("s3").get_object(Bucket=bucket, Key="lake/a/b")["Body"]
    assert body.read() == b"xyz"


def test_endpoint_and_keys_of_a_profile(
    s3: S3Server,
    make_bucket: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    url = make_bucket()
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    (tmp_path / "config").write_text(
        f"[profile lake]\nregion = us-east-1\nendpoint_url = {s3.url}\n"
        "aws_access_key_id = a\naws_secret_access_key = b\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "lake")
    objects = Objects.open(url)
    assert objects.put_new("k", b"1")
    assert objects.storage_options()["AWS_ACCESS_KEY_ID"] == "a"


def test_a_lost_reply_looks_like_a_loss(s3: S3Server, make_bucket: Callable[[], str]) -> None:
    """The store retries a PUT whose answer was lost, and then its own object is in the way."""
    objects = Objects.open(make_bucket())
    pending = ["lake/k"]

    def lose(method: str, path: str) -> bool:
        return method == "PUT" and path.endswith("lake/k") and bool(pending and pending.pop())

    s3.lose = lose
    assert not objects.put_new("k", b"mine")
    assert objects.get("k") == b"mine"


@pytest.mark.usefixtures("make_bucket")
def test_a_missing_bucket_is_named() -> None:
    objects = Objects.open("s3://there-is-none/lake")
    for call in (lambda: objects.put_new("k", b""), lambda: list(objects.list("a"))):
        with pytest.raises(StoreUnavailable, match="bucket does not exist"):
            call()


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("not a directory")
    with pytest.raises(StoreUnavailable, match=str(tmp_path / "lake")):
        Objects.open(str(tmp_path / "lake")).put_new("a/b", b"")


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "not writable"),
    ],
)
def test_trouble_with_the_disk_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, advice: str
) -> None:
    """obstore's own wording, as it was seen on a full file system, with each system error."""
    objects = Objects.open(str(tmp_path / "lake"))

    def fail(*_: object, **__: object) -> None:
        raise GenericError(
            f"Generic LocalFileSystem error: Unable to copy data to file: {os.strerror(code)} "
            f"(os error {code})\n\nDebug source:\nGeneric {{"
        )

    monkeypatch.setattr("obstore.put", fail)
    with pytest.raises(StoreUnavailable, match=advice) as caught:
        objects.put_new("a/b", b"x")
    assert caught.value.retryable
    assert "Debug" not in str(caught.value)
