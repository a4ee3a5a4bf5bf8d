"""Retries, deadlines, encodings, redirects and counters of the one network client."""

from __future__ import annotations

import gzip
import itertools
import json
import logging
import pickle
import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import brotli
import pytest

from stac_lake.errors import ProviderRejected, ProviderUnavailable, UntrustedSource
from stac_lake.recipe import providers
from stac_lake.upstream.http import Ask, Http
from stac_lake.upstream.pace import Patience, TokenBucket
from stac_lake.upstream.standin import Routes

from .conftest import QUICK, Answer, Heard, Server

ES = providers()["earth-search"]


def client(server: Server, patience: Patience = QUICK) -> Http:
    return Http(Routes(server.url), patience)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_transient_status_is_asked_again(server: Server, status: int) -> None:
    answers = iter([Answer(status=status), Answer(status=status), Answer(b"fine")])
    server.reply = lambda heard: next(answers)
    http = client(server)
    assert http.request(Ask(f"{ES.api}/"), ES).body == b"fine"
    assert http.traffic == {"requests": 3, "bytes_in": 4}


def test_retries_run_out(server: Server) -> None:
    server.reply = lambda heard: Answer(status=503)
    with pytest.raises(ProviderUnavailable, match="3 times, last with HTTP 503") as caught:
        client(server).request(Ask(f"{ES.api}/search?sig=secret"), ES)
    assert len(server.heard) == 3
    assert "secret" not in str(pickle.loads(pickle.dumps(caught.value)))
    assert caught.value.retryable


@pytest.mark.parametrize("status", [400, 404, 405, 422])
def test_a_refusal_is_not_repeated(server: Server, status: int) -> None:
    server.reply = lambda heard: Answer(b"no", status)
    assert client(server).request(Ask(f"{ES.api}/"), ES).status == status
    assert len(server.heard) == 1


@pytest.mark.parametrize(
    "asked",
    ["2", format_datetime(datetime.now(UTC) + timedelta(hours=1))],
    ids=["seconds", "date"],
)
def test_retry_after_is_heeded_up_to_a_limit(
    server: Server, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("stac_lake.upstream.http.time.sleep", waits.append)
    answers = iter([Answer(status=429, headers={"Retry-After": asked}), Answer(b"fine")])
    server.reply = lambda heard: next(answers)
    http = client(server, replace(QUICK, longest_s=0.1))
    assert http.request(Ask(f"{ES.api}/"), ES).body == b"fine"
    assert max(waits) == 0.1  # the backoff alone would be a hundredth of it


@pytest.mark.parametrize("attempt", range(8))
def test_waits_grow_and_heed_retry_after(attempt: int) -> None:
    patience = Patience(backoff_s=0.5, longest_s=30)
    assert 0 <= patience.wait_s(attempt, None) <= min(30, 0.5 * 2**attempt)
    assert 2 <= patience.wait_s(attempt, 2.0) <= 30


@pytest.mark.parametrize("sent", [0, 5])
def test_a_connection_that_breaks_is_asked_again(server: Server, sent: int) -> None:
    answers = iter([Answer(b"0123456789", sent=sent), Answer(b"0123456789")])
    server.reply = lambda heard: next(answers)
    assert client(server).request(Ask(f"{ES.api}/"), ES).body == b"0123456789"
    assert len(server.heard) == 2


def test_a_trickle_ends_at_the_deadline(server: Server) -> None:
    server.reply = lambda heard: Answer(b"x" * 1000, pause_s=0.02)
    patience = replace(QUICK, attempts=1, deadline_s=0.1)
    with pytest.raises(ProviderUnavailable, match=r"more than 0\.1 s"):
        client(server, patience).request(Ask(f"{ES.api}/"), ES)


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ProviderUnavailable, match="NewConnectionError"):
        Http(Routes(f"http://127.0.0.1:{port}"), QUICK).request(Ask(f"{ES.api}/"), ES)


@pytest.mark.parametrize(
    ("name", "encode"), [("gzip", gzip.compress), ("br", brotli.compress), ("", bytes)]
)
def test_content_encodings(server: Server, name: str, encode: object) -> None:
    body = json.dumps({"a": list(range(1000))}).encode()
    headers = {"Content-Encoding": name} if name else {}
    server.reply = lambda heard: Answer(encode(body), headers=headers)  # type: ignore[operator]
    assert client(server).request(Ask(f"{ES.api}/"), ES).body == body
    assert {"gzip", "br"} <= set(server.heard[0].headers["accept-encoding"].split(", "))


def test_a_compression_bomb_is_refused(server: Server) -> None:
    bomb = gzip.compress(bytes(50 << 20))
    server.reply = lambda heard: Answer(bomb, headers={"Content-Encoding": "gzip"})
    http = client(server)
    with pytest.raises(UntrustedSource, match="longer than 1048576"):
        http.request(Ask(f"{ES.api}/", max_bytes=1 << 20), ES)
    assert http.traffic["bytes_in"] < 4 << 20


def test_a_huge_content_length_is_refused_unread(server: Server) -> None:
    server.reply = lambda heard: Answer(b"", headers={"Content-Length": str(1 << 50)}, sent=0)
    http = client(server)
    with pytest.raises(UntrustedSource, match="refused before reading"):
        http.request(Ask(f"{ES.api}/"), ES)
    assert http.traffic == {"requests": 1, "bytes_in": 0}


def test_redirects_within_the_stand_in_are_followed(server: Server) -> None:
    def reply(heard: Heard) -> Answer:
        if heard.path.endswith("/new"):
            return Answer(b"here")
        return Answer(status=302, headers={"Location": "/earth-search/v1/new"})

    server.reply = reply
    assert client(server).request(Ask(f"{ES.api}/old"), ES).body == b"here"


def test_redirects_to_a_true_origin_are_routed_to_the_stand_in(server: Server) -> None:
    target = "https://sentinel-cogs.s3.us-west-2.amazonaws.com/a.tif"
    answers = iter([Answer(status=307, headers={"Location": target}), Answer(b"here")])
    server.reply = lambda heard: next(answers)
    assert client(server).request(Ask(f"{ES.api}/old"), ES).body == b"here"
    assert server.heard[1].path == (
        "/earth-search/s3/sentinel-cogs.s3.us-west-2.amazonaws.com/a.tif"
    )


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_redirects_that_do_not_end(server: Server, method: str) -> None:
    server.reply = lambda heard: Answer(status=302, headers={"Location": "/earth-search/v1/x"})
    with pytest.raises(ProviderRejected, match="redirects"):
        client(server).request(Ask(f"{ES.api}/x", method), ES)
    assert len(server.heard) == (6 if method == "GET" else 1)


def test_debug_logs_hold_no_query(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.reply = lambda heard: Answer(b"fine")
    with caplog.at_level(logging.DEBUG):
        client(server).request(Ask(f"{ES.api}/?sig=secret"), ES)
    assert "earth-search/v1" in caplog.text
    assert "secret" not in caplog.text


class _Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_token_bucket_keeps_the_rate() -> None:
    clock = _Clock()
    bucket = TokenBucket(4.0, clock, clock.sleep)
    moments = []
    for _ in range(40):
        bucket.take()
        moments.append(clock.now)
    for first, last in itertools.pairwise(moments[4:]):
        assert last - first == pytest.approx(0.25)
    assert moments[3] == 0.0  # a burst of one second's worth
    assert moments[-1] == pytest.approx(9.0)


def test_token_bucket_holds_everybody() -> None:
    clock = _Clock()
    bucket = TokenBucket(10.0, clock, clock.sleep)
    bucket.hold(2.0)
    bucket.take()
    assert clock.now == pytest.approx(2.1)
