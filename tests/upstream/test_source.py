"""Bytes of assets: ranges, changes, truncation, signing and signing again."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import pickle
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from stac_lake.errors import (
    AssetMissing,
    BadRaster,
    CredentialsMissing,
    ProviderRejected,
    ProviderUnavailable,
)
from stac_lake.types import Asset
from stac_lake.upstream import Upstream
from stac_lake.upstream.source import GAP_BYTES, HEAD_BYTES, PIECE_BYTES, planned

from .conftest import QUICK, Answer, Heard, Server, ranged

COG = "https://sentinel-cogs.s3.us-west-2.amazonaws.com/a/B04.tif"
DATA = random.Random(1).randbytes(3_000_000)
PUBLIC = Asset("B04", COG, "earth-search")
BLOB = Asset("B04", "https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/a.tif",
             "planetary-computer")  # fmt: skip
PRIVATE = Asset("B04", "s3://eodata/Sentinel-2/a+b.jp2", "cdse")


def test_ranges_are_the_bytes_that_were_asked_for(server: Server, upstream: Upstream) -> None:
    server.reply = lambda heard: ranged(DATA, heard)
    asked = [(2_999_990, 3_000_000), (0, 8), (100, 40_000), (5, 5), (1_000_000, 1_300_000), (3, 9)]
    found = upstream.source.read_ranges(PUBLIC, asked)
    assert found == [DATA[start:stop] for start, stop in asked]
    assert upstream.source.size(PUBLIC) == len(DATA)
    assert upstream.source.read(PUBLIC) == DATA
    assert upstream.traffic["requests"] == len(server.heard)
    assert {h.path for h in server.heard} == {
        "/earth-search/s3/sentinel-cogs.s3.us-west-2.amazonaws.com/a/B04.tif"
    }
    assert {h.headers["accept-encoding"] for h in server.heard} == {"identity"}


def test_near_ranges_share_a_request_and_the_header_is_kept(
    server: Server, upstream: Upstream
) -> None:
    server.reply = lambda heard: ranged(DATA, heard)
    upstream.source.size(PUBLIC)
    upstream.source.read_ranges(PUBLIC, [(0, 100), (500, HEAD_BYTES)])
    assert len(server.heard) == 1
    near = [(100_000, 200_000), (210_000, 220_000), (420_000, 500_000)]
    upstream.source.read_ranges(PUBLIC, near)
    assert [h.headers["range"] for h in server.heard[1:]] == ["bytes=100000-499999"]
    assert server.heard[1].headers["if-match"] == '"1"'


@given(
    st.lists(st.tuples(st.integers(0, 60 << 20), st.integers(0, 20 << 20)), max_size=8),
    st.integers(0, HEAD_BYTES),
)
def test_plan_covers_ranges_without_overlap(spans: list[tuple[int, int]], head: int) -> None:
    ranges = [(start, start + length) for start, length in spans]
    pieces = planned(ranges, head)
    assert all(0 < stop - start <= PIECE_BYTES for start, stop in pieces)
    for (_, before), (after, _) in pairwise(pieces):
        assert before == after or after - before > GAP_BYTES
    for start, stop in ranges:
        begin = max(start, head)
        inside = [(max(a, begin), min(b, stop)) for a, b in pieces if a < stop and b > begin]
        assert sum(b - a for a, b in inside) == max(0, stop - begin)


def test_many_threads_get_their_own_bytes(server: Server, upstream: Upstream) -> None:
    server.reply = lambda heard: ranged(DATA, heard)
    spans = [(at, at + 5000) for at in range(0, 2_900_000, 60_000)]
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda s: upstream.source.read_ranges(PUBLIC, [s])[0], spans))
    assert found == [DATA[start:stop] for start, stop in spans]


def test_a_range_beyond_the_end_is_an_error(server: Server, upstream: Upstream) -> None:
    server.reply = lambda heard: ranged(DATA, heard)
    with pytest.raises(BadRaster, match="truncated"):
        upstream.source.read_ranges(PUBLIC, [(0, len(DATA) + 1)])
    server.reply = lambda heard: ranged(b"", heard)
    with pytest.raises(BadRaster, match="empty"):
        upstream.source.size(Asset("x", COG + "f", "earth-search"))


def test_a_file_that_changes_is_an_error_and_then_read_anew(
    server: Server, upstream: Upstream
) -> None:
    server.reply = lambda heard: ranged(DATA, heard)
    upstream.source.size(PUBLIC)
    other = bytes(reversed(DATA))
    server.reply = lambda heard: ranged(other, heard, '"2"')
    with pytest.raises(BadRaster, match="changed"):
        upstream.source.read_ranges(PUBLIC, [(1_000_000, 1_000_010)])
    assert upstream.source.read_ranges(PUBLIC, [(0, 5)]) == [other[:5]]


def test_a_changed_file_is_noticed_without_preconditions(
    server: Server, upstream: Upstream
) -> None:
    """Weak ETags cannot be sent as If-Match; the answers are compared."""
    server.reply = lambda heard: ranged(DATA, heard, 'W/"1"')
    upstream.source.size(PUBLIC)
    assert upstream.source.read_ranges(PUBLIC, [(50_000, 50_001)]) == [DATA[50_000:50_001]]
    server.reply = lambda heard: ranged(DATA, heard, 'W/"2"')
    with pytest.raises(BadRaster, match="changed"):
        upstream.source.read_ranges(PUBLIC, [(1_000_000, 1_000_010)])


def _shorter(answer: Answer) -> Answer:
    answer.body = answer.body[:-1]
    return answer


def _elsewhere(answer: Answer) -> Answer:
    answer.headers["Content-Range"] = f"bytes 7-{6 + len(answer.body)}/{len(DATA)}"
    return answer


def _whole(answer: Answer) -> Answer:
    return Answer(DATA, headers={"ETag": '"1"'})


def _cut(answer: Answer) -> Answer:
    answer.sent = 3
    return answer


@pytest.mark.parametrize("fault", [_shorter, _elsewhere, _whole, _cut])
@pytest.mark.parametrize("times", [1, 9])
def test_wrong_bytes_are_never_handed_out(
    server: Server, upstream: Upstream, fault: object, times: int
) -> None:
    """A short body with a matching length, another range, the whole file, a broken connection."""
    server.reply = lambda heard: ranged(DATA, heard)
    upstream.source.size(PUBLIC)
    left = iter(range(times))

    def reply(heard: Heard) -> Answer:
        answer = ranged(DATA, heard)
        return answer if next(left, None) is None else fault(answer)  # type: ignore[operator]

    server.reply = reply
    if times == 1:
        assert upstream.source.read_ranges(PUBLIC, [(90_000, 90_100)]) == [DATA[90_000:90_100]]
    else:
        with pytest.raises(ProviderUnavailable):
            upstream.source.read_ranges(PUBLIC, [(90_000, 90_100)])


def test_md5_of_a_small_blob(server: Server, upstream: Upstream) -> None:
    data = b"small"
    digest = base64.b64encode(hashlib.md5(data).digest()).decode()

    def reply(heard: Heard, body: bytes) -> Answer:
        answer = ranged(body, heard)
        answer.headers["Content-MD5"] = digest
        return answer

    server.reply = lambda heard: reply(heard, b"smaul")
    with pytest.raises(BadRaster, match="MD5"):
        upstream.source.read(PUBLIC)
    server.reply = lambda heard: reply(heard, data)
    assert upstream.source.read(PUBLIC) == data


def test_a_missing_file(server: Server, upstream: Upstream) -> None:
    with pytest.raises(AssetMissing, match="not there"):
        upstream.source.size(PUBLIC)
    server.reply = lambda heard: Answer(status=403)
    with pytest.raises(ProviderRejected, match="403"):
        upstream.source.size(PUBLIC)
    assert len(server.heard) == 2  # nothing to sign again for


class Azure:
    """Tokens that are good for so many seconds each, and blobs that ask for the latest one."""

    def __init__(self, *lives_s: float) -> None:
        self.lives = list(lives_s)
        self.issued = 0
        self.valid = ""

    def __call__(self, heard: Heard) -> Answer:
        if "/token/" in heard.path:
            assert heard.path.endswith("/api/sas/v1/token/sentinel2l2a01/sentinel2-l2")
            life = self.lives.pop(0) if len(self.lives) > 1 else self.lives[0]
            self.issued += 1
            self.valid = f"signature{self.issued}"
            expiry = datetime.now(UTC) + timedelta(seconds=life)
            token = {"msft:expiry": expiry.isoformat(), "token": f"se=x&sig={self.valid}"}
            return Answer(json.dumps(token).encode())
        assert heard.path == "/planetary-computer/blob/sentinel2l2a01/sentinel2-l2/a.tif"
        return ranged(DATA, heard) if heard.query.get("sig") == self.valid else Answer(status=403)


def test_one_token_serves_a_container(server: Server, upstream: Upstream) -> None:
    server.reply = azure = Azure(3600)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda at: upstream.source.read_ranges(BLOB, [(at, at + 9)]),
                      range(40_000, 2_000_000, 100_000)))  # fmt: skip
    assert azure.issued == 1


def test_a_token_that_expires_soon_is_renewed_early(server: Server, upstream: Upstream) -> None:
    server.reply = azure = Azure(0.05, 3600)
    upstream.source.size(BLOB)
    time.sleep(0.06)
    assert upstream.source.read_ranges(BLOB, [(90_000, 90_001)]) == [DATA[90_000:90_001]]
    assert azure.issued == 2


def test_a_token_that_was_issued_expired_is_refused(server: Server, upstream: Upstream) -> None:
    server.reply = azure = Azure(-5, -5, 3600)
    assert upstream.source.size(BLOB) == len(DATA)
    assert azure.issued == 3
    server.reply = Azure(-5)
    fresh = Upstream(stand_in=server.url, environ={}, patience=QUICK)
    with pytest.raises(ProviderUnavailable, match="had expired"):
        fresh.source.size(BLOB)


def test_a_403_signs_again_once(server: Server, upstream: Upstream) -> None:
    server.reply = azure = Azure(3600)
    upstream.source.size(BLOB)
    azure.valid = "revoked"  # until the next token
    assert upstream.source.read_ranges(BLOB, [(90_000, 90_001)]) == [DATA[90_000:90_001]]
    assert azure.issued == 2

    def refuse(heard: Heard) -> Answer:
        return azure(heard) if "/token/" in heard.path else Answer(status=403)

    server.reply = refuse
    with pytest.raises(ProviderRejected, match="HTTP 403") as caught:
        upstream.source.read_ranges(BLOB, [(90_000, 90_001)])
    assert azure.issued == 3
    assert "sig" not in str(caught.value)


def test_gets_are_signed_in_the_header_as_botocore_does(server: Server, upstream: Upstream) -> None:
    """Never in the query: the Copernicus Data Space refuses presigned URLs."""
    server.reply = lambda heard: ranged(DATA, heard)
    assert upstream.source.read(PRIVATE) == DATA
    assert len(server.heard) > 1
    for heard in server.heard:
        assert heard.path == "/cdse/s3/eodata/Sentinel-2/a%2Bb.jp2"
        assert heard.query == {}
        assert heard.headers["range"].startswith("bytes=")
        # The server's view: the same credentials, host, path and time give the same signature.
        request = AWSRequest("GET", f"{server.url}{heard.path}")
        request.headers["X-Amz-Date"] = heard.headers["x-amz-date"]
        request.headers["X-Amz-Content-SHA256"] = heard.headers["x-amz-content-sha256"]
        request.context["timestamp"] = heard.headers["x-amz-date"]
        auth = S3SigV4Auth(Credentials("sandbox", "sandbox"), "s3", "default")
        signature = auth.signature(
            auth.string_to_sign(request, auth.canonical_request(request)), request
        )
        sent = heard.headers["authorization"]
        assert sent.endswith(f"Signature={signature}")
        assert "SignedHeaders=host;x-amz-content-sha256;x-amz-date" in sent
        assert "Credential=sandbox/" in sent


def test_secrets_stay_out_of_errors_and_logs(
    server: Server, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    server.reply = lambda heard: Answer(status=403)
    with caplog.at_level(logging.DEBUG), pytest.raises(ProviderRejected) as caught:
        upstream.source.size(PRIVATE)
    assert len(server.heard) == 2
    said = repr(caught.value) + str(caught.value) + caplog.text + repr(upstream.__dict__)
    for heard in server.heard:
        assert heard.headers["authorization"].rpartition("=")[2] not in said
    assert "AWS4-HMAC-SHA256" not in said
    assert "403" in caplog.text  # something was logged


def test_keys_do_not_travel_with_a_pickle(server: Server, upstream: Upstream) -> None:
    data = pickle.dumps(upstream)
    assert b"sandbox" not in data
    copy: Upstream = pickle.loads(data)
    assert copy.missing_credentials("cdse") == "CDSE_S3_ACCESS_KEY"
    server.reply = lambda heard: ranged(DATA, heard)
    assert copy.source.size(PUBLIC) == len(DATA)


def test_connections_are_reused_and_bounded(server: Server, upstream: Upstream) -> None:
    """CDSE serves four connections per user."""
    lock, now, most = threading.Lock(), 0, 0

    def reply(heard: Heard) -> Answer:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.005)
        with lock:
            now -= 1
        return ranged(DATA, heard)

    server.reply = reply
    upstream.source.size(PRIVATE)
    spans = [(at, at + 10) for at in range(40_000, 2_900_000, 50_000)]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda span: upstream.source.read_ranges(PRIVATE, [span]), spans))
    assert most <= 4
    assert len({heard.client for heard in server.heard}) <= 4
    assert len(server.heard) == len(spans) + 1


def test_missing_keys_are_named(server: Server) -> None:
    with pytest.raises(CredentialsMissing, match="CDSE_S3_SECRET_KEY"):
        Upstream(stand_in=server.url, environ={"CDSE_S3_ACCESS_KEY": "x"}).source.size(PRIVATE)
    assert server.heard == []
