"""The only place that touches the network: trust, pace, retries, deadlines, counters.

Redirects are followed here and checked at each hop; signed URLs reach neither a log nor an error.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin

import urllib3
from urllib3.exceptions import HTTPError

from stac_lake.errors import ProviderRejected, ProviderUnavailable, UntrustedSource
from stac_lake.recipe import Provider
from stac_lake.upstream.pace import Patience, TokenBucket
from stac_lake.upstream.standin import Routes
from stac_lake.upstream.trust import bare, check_url

# 425 and 408 are sent by load balancers; the rest is what the three providers were seen to answer.
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_HOPS = 5
_CHUNK = 1 << 17
_USER_AGENT = "stac-lake"


class _HideQueries(logging.Filter):
    """Cut the query, which may be a signature, off the paths that urllib3 logs at debug level."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                bare(arg) if isinstance(arg, str) and "?" in arg else arg for arg in record.args
            )
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_HideQueries())


@dataclass(frozen=True)
class Ask:
    """One request.

    Attributes:
        url: True or stand-in URL, signed where it must be.
        method: GET or POST.
        headers: Besides User-Agent and Accept-Encoding.
        body: Of a POST.
        max_bytes: A longer body is refused, by its Content-Length before anything is read.
        file: A file's bytes: not compressed, not paced by the API's rate, but by connections.
    """

    url: str = field(repr=False)
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = None
    max_bytes: int = 64 << 20
    file: bool = False


@dataclass(frozen=True)
class Reply:
    """An answer whose body has arrived whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class _TransientError(Exception):
    """Worth another attempt; carries why, and how long the provider asked to wait."""

    def __init__(self, why: str, retry_after_s: float | None = None) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s


class Http:
    """A pool of connections under the rules of the providers. Thread-safe."""

    def __init__(self, routes: Routes, patience: Patience) -> None:
        self.routes = routes
        self.patience = patience
        timeout = urllib3.Timeout(connect=patience.connect_s, read=patience.read_s)
        self._pool = urllib3.PoolManager(
            num_pools=32, maxsize=32, timeout=timeout, retries=False, block=False
        )
        self._lock = threading.Lock()
        self._buckets: dict[str, TokenBucket] = {}
        self._connections: dict[str, threading.Semaphore] = {}
        self._counts: Counter[str] = Counter()

    @property
    def traffic(self) -> dict[str, int]:
        """Requests sent, repetitions and redirects included, and body bytes that came in."""
        with self._lock:
            return {"requests": self._counts["requests"], "bytes_in": self._counts["bytes_in"]}

    def request(
        self, ask: Ask, provider: Provider, complaint: Callable[[Reply], str | None] | None = None
    ) -> Reply:
        """Send a request until it is answered for good.

        Args:
            ask: The request.
            provider: Whose hosts, rate and connections count.
            complaint: Says what is wrong with a 2xx answer (it is then asked for again), or None.

        Returns:
            The answer of any status that is not transient; 4xx are the caller's to explain.

        Raises:
            ProviderUnavailable: every attempt failed.
            ProviderRejected: redirects that do not end, or of a POST.
            UntrustedSource: a URL, redirect or declared size is refused.
        """
        why = ""
        for attempt in range(self.patience.attempts):
            try:
                reply = self._follow(ask, provider)
                if reply.status in TRANSIENT:
                    raise _TransientError(f"HTTP {reply.status}", _retry_after(reply.headers))
                fault = complaint(reply) if complaint and reply.status < 300 else None
                if fault is None:
                    return reply
                raise _TransientError(fault)
            except _TransientError as error:
                why = str(error)
                if attempt + 1 < self.patience.attempts:
                    wait = self.patience.wait_s(attempt, error.retry_after_s)
                    if error.retry_after_s:
                        self._bucket(provider).hold(wait)
                    time.sleep(wait)
        raise ProviderUnavailable(
            f"{provider.title} failed {self.patience.attempts} times, last with {why}: try again "
            "later, or let another provider serve it",
            provider=provider.id,
            url=bare(ask.url),
        )

    def _follow(self, ask: Ask, provider: Provider) -> Reply:
        url = ask.url
        for _ in range(_MAX_HOPS + 1):
            url = self.routes.route(url, provider)
            check_url(url, provider, self.routes.origin)
            reply = self._send(ask, url, provider)
            target = reply.headers.get("location")
            if reply.status not in _REDIRECTS or not target:
                return reply
            if ask.method != "GET" and reply.status not in {307, 308}:
                break
            url = urljoin(url, target)
        raise ProviderRejected(
            f"{provider.title} redirects without end, or away from a POST",
            provider=provider.id,
            url=bare(ask.url),
        )

    def _send(self, ask: Ask, url: str, provider: Provider) -> Reply:
        headers = {
            "User-Agent": _USER_AGENT,
            "Accept-Encoding": "identity" if ask.file else "gzip, br",
            **ask.headers,
        }
        if not ask.file:
            self._bucket(provider).take()
            return self._transfer(ask, url, headers, provider)
        with self._connection(provider):
            return self._transfer(ask, url, headers, provider)

    def _transfer(self, ask: Ask, url: str, headers: dict[str, str], provider: Provider) -> Reply:
        deadline = time.monotonic() + self.patience.deadline_s
        self._count(requests=1)
        try:
            response = self._pool.request(
                ask.method,
                url,
                body=ask.body,
                headers=headers,
                redirect=False,
                preload_content=False,
            )
            try:
                body = self._body(response, ask, deadline, provider)
            except BaseException:
                response.close()  # what is left of the body must not reach the next request
                raise
            response.release_conn()
        except (HTTPError, OSError) as error:
            # The library's messages name the URL with its query: only the kind is kept.
            raise _TransientError(type(error).__name__) from None
        lower = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status, lower, body)

    def _body(
        self, response: urllib3.BaseHTTPResponse, ask: Ask, deadline: float, provider: Provider
    ) -> bytes:
        declared = response.headers.get("Content-Length", "")
        if declared.isdigit() and int(declared) > ask.max_bytes:
            raise UntrustedSource(
                f"an answer of {declared} bytes where at most {ask.max_bytes} were expected: "
                "refused before reading it",
                provider=provider.id,
                url=bare(ask.url),
            )
        body = bytearray()
        while chunk := response.read1(_CHUNK, decode_content=not ask.file):
            body += chunk
            self._count(bytes_in=len(chunk))
            if len(body) > ask.max_bytes:
                raise UntrustedSource(
                    f"an answer longer than {ask.max_bytes} bytes: refused",
                    provider=provider.id,
                    url=bare(ask.url),
                )
            if time.monotonic() > deadline:
                raise _TransientError(f"a transfer of more than {self.patience.deadline_s:g} s")
        if ask.file and declared.isdigit() and len(body) != int(declared):
            raise _TransientError(f"{len(body)} of {declared} bytes")
        return bytes(body)

    def _bucket(self, provider: Provider) -> TokenBucket:
        with self._lock:
            if provider.id not in self._buckets:
                self._buckets[provider.id] = TokenBucket(provider.requests_per_s)
            return self._buckets[provider.id]

    def _connection(self, provider: Provider) -> threading.Semaphore:
        with self._lock:
            if provider.id not in self._connections:
                self._connections[provider.id] = threading.Semaphore(provider.connections)
            return self._connections[provider.id]

    def _count(self, **amounts: int) -> None:
        with self._lock:
            self._counts.update(amounts)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header, given as a number or as an HTTP date."""
    text = headers.get("retry-after", "")
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
