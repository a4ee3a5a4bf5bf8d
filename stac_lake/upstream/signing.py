"""From an href as published to a request that can be sent now: signed in memory, at read time.

What a signer holds (tokens, keys) is never part of an error, a log line or a stored document.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol
from urllib.parse import quote, urlsplit

from stac_lake.errors import CredentialsMissing, ProviderRejected, ProviderUnavailable
from stac_lake.recipe import Provider
from stac_lake.upstream.http import Ask, Http, Reply
from stac_lake.upstream.moments import moment
from stac_lake.upstream.trust import check_href

_EARLY = timedelta(seconds=60)
_REGION = "default"
"""Ceph gateways take any region; this is the one that the provider documents."""


# botocore writes what it signs, and the signature, at debug level.
logging.getLogger("botocore.auth").addFilter(lambda record: record.levelno > logging.DEBUG)


@dataclass(frozen=True)
class Signed:
    """What is asked to read a file.

    Attributes:
        url: Where it is; with the signature where that is a query.
        headers: The signature where that is a header.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Signer(Protocol):
    """Signs hrefs of one provider. Thread-safe."""

    def sign(self, href: str) -> Signed:
        """The URL to read, and the headers to send.

        Raises:
            UntrustedSource: the href is not one that the provider may publish.
            CredentialsMissing: a key is not set.
            ProviderUnavailable: no token was issued.
        """

    def renew(self, href: str, signed: Signed) -> bool:
        """Drop what `signed` was signed with; False if signing again would change nothing."""


class Anonymous:
    """Public https hrefs as they are, ``s3://`` hrefs of public buckets by their host."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def sign(self, href: str) -> Signed:
        check_href(href, self._provider)
        parts = urlsplit(href)
        if parts.scheme != "s3":
            return Signed(href)
        return Signed(f"https://{self._provider.buckets[parts.netloc]}{_quoted(parts.path)}")

    def renew(self, href: str, signed: Signed) -> bool:
        return False


@dataclass(frozen=True)
class _Token:
    query: str = field(repr=False)
    expires: datetime
    stale: datetime
    """A minute, or a quarter of its life, before it expires: then a new one is asked for."""


class SasTokens:
    """Shared access signatures of Azure containers, from the provider's token endpoint.

    One token per container is kept until shortly before it expires. Tokens that had expired when
    they were issued have been seen (PlanetaryComputer#463): they are refused and asked for again.
    """

    def __init__(
        self,
        provider: Provider,
        http: Http,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._provider = provider
        self._http = http
        self._now = now
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._tokens: dict[str, _Token] = {}

    def sign(self, href: str) -> Signed:
        check_href(href, self._provider)
        container = _container(href)
        with self._lock:
            lock = self._locks.setdefault(container, threading.Lock())
        with lock:  # one request for a token, however many wait for it
            token = self._tokens.get(container)
            if token is None or self._now() >= token.stale:
                token = self._tokens[container] = self._issued(container)
        return Signed(f"{href}?{token.query}")

    def renew(self, href: str, signed: Signed) -> bool:
        container = _container(href)
        with self._lock:
            token = self._tokens.get(container)
            if token is not None and signed.url.endswith(token.query):
                del self._tokens[container]
        return True

    def _issued(self, container: str) -> _Token:
        url = f"{self._provider.sas_api}/token/{container}"
        patience = self._http.patience
        for attempt in range(patience.attempts):
            reply = self._http.request(Ask(url), self._provider, _no_token)
            if reply.status != 200:
                raise ProviderRejected(
                    f"no token for {container}: HTTP {reply.status}", provider=self._provider.id
                )
            document = json.loads(reply.body)
            expires, now = moment(document["msft:expiry"]), self._now()
            if expires > now:
                early = min(_EARLY, (expires - now) / 4)
                return _Token(document["token"].lstrip("?"), expires, expires - early)
            time.sleep(patience.wait_s(attempt, None))
        raise ProviderUnavailable(
            f"every token for {container} had expired when it was issued: try again later, and "
            "check this machine's clock",
            provider=self._provider.id,
        )


class S3Keys:
    """GETs of a private S3 endpoint, path style, Signature Version 4 in the Authorization header.

    Presigned URLs are no way in: the Copernicus Data Space refuses a signature in the query with
    ``InvalidAccessKeyId`` (rucio/rucio#8388). Each request is signed anew, as a header is good for
    a quarter of an hour only.
    """

    def __init__(self, provider: Provider, http: Http, environ: Mapping[str, str]) -> None:
        self._provider = provider
        self._routes = http.routes
        self._environ = environ

    def sign(self, href: str) -> Signed:
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        check_href(href, self._provider)
        missing = missing_credentials(self._provider, self._environ)
        if missing:
            raise CredentialsMissing(
                f"set {missing} to read from {self._provider.title}", provider=self._provider.id
            )
        key, secret = (self._environ[name] for name in self._provider.credentials)
        parts = urlsplit(href)
        url = f"{self._provider.s3_endpoint}/{parts.netloc}{_quoted(parts.path)}"
        # The signature covers host and path, so it is made for where the request really goes.
        # Range and If-Match are not covered: they are added by who reads.
        request = AWSRequest("GET", self._routes.route(url, self._provider))
        S3SigV4Auth(Credentials(key, secret), "s3", _REGION).add_auth(request)
        return Signed(str(request.url), dict(request.headers.items()))

    def renew(self, href: str, signed: Signed) -> bool:
        return True  # with the time of then


def signer_for(provider: Provider, http: Http, environ: Mapping[str, str]) -> Signer:
    """The signer that the provider's YAML names."""
    if provider.signer == "sas":
        return SasTokens(provider, http)
    if provider.signer == "s3":
        return S3Keys(provider, http, environ)
    return Anonymous(provider)


def missing_credentials(provider: Provider, environ: Mapping[str, str]) -> str | None:
    """Name of the first environment variable that the provider needs and that is not set."""
    return next((name for name in provider.credentials if not environ.get(name)), None)


def _no_token(reply: Reply) -> str | None:
    try:
        document = json.loads(reply.body)
        moment(document["msft:expiry"])
        usable = "sig=" in document["token"] and document["token"].isprintable()
    except (ValueError, TypeError, KeyError):
        usable = False
    return None if usable else "an answer that holds no token"


def _container(href: str) -> str:
    """``account/container`` of a blob's https URL."""
    parts = urlsplit(href)
    account = (parts.hostname or "").partition(".")[0]
    return f"{account}/{parts.path.split('/')[1]}"


def _quoted(path: str) -> str:
    return quote(path, safe="/-_.~")
