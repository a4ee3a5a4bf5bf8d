"""Objects of a lake, in a directory or in an S3 bucket, from one code path.

The only primitive that writers rely on is `Objects.put_new`: create-only, so that exactly one of
many writers of a key wins (`If-None-Match: *` on S3, a hard link on disk).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import LocalStore, S3Store

from stac_lake.errors import ConfigError, KeyMissing, StoreError, StoreUnavailable

P = ParamSpec("P")
T = TypeVar("T")

RETRY_TIMEOUT = timedelta(minutes=2)
"""How long one request is retried; obstore does not renew credentials in between."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One line of a listing.

    Attributes:
        key: Relative to the lake.
        size: Bytes.
        modified: When the store says that it was written, UTC.
    """

    key: str
    size: int
    modified: datetime


class Objects:
    """Bytes of one lake by key. Thread-safe; pickles as its URL.

    Attributes:
        url: ``s3://bucket/prefix``, or the absolute path; without a trailing slash.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    @classmethod
    def open(cls, url: str) -> Objects:
        """Open a lake's store; nothing is read or created yet.

        Args:
            url: ``s3://bucket[/prefix]``, ``file:///path``, or a path. Credentials, region and
                endpoint of S3 are taken where boto3 finds them.

        Raises:
            ConfigError: another scheme, or no bucket.
        """
        parts = urlsplit(url)
        if parts.scheme == "s3":
            if not parts.netloc:
                raise ConfigError(f"{url!r} names no bucket: expected s3://bucket/prefix")
            return cls(f"s3://{parts.netloc}/{parts.path.strip('/')}".rstrip("/"))
        if parts.scheme == "file":
            return cls(str(Path(unquote(parts.path)).absolute()))
        if "://" in url or not url:
            raise ConfigError(
                f"{url!r} is not a place for a lake: use a path or s3://bucket/prefix"
            )
        return cls(str(Path(url).expanduser().absolute()))

    def __reduce__(self) -> tuple[Any, ...]:
        return (Objects, (self.url,))

    def __repr__(self) -> str:
        return f"Objects({self.url!r})"

    @property
    def is_local(self) -> bool:
        """Whether the lake is a directory."""
        return not self.url.startswith("s3://")

    def get(self, key: str) -> bytes:
        """The whole object.

        Raises:
            KeyMissing, StoreUnavailable.
        """
        return self._reading(key, lambda: obstore.get(self._store, key).bytes().to_bytes())

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        """Bytes [start, stop) of an object.

        Raises:
            KeyMissing, StoreUnavailable.
        """
        return self._reading(
            key, lambda: obstore.get_range(self._store, key, start=start, end=stop).to_bytes()
        )

    def size(self, key: str) -> int | None:
        """Size in bytes, None where there is no such object."""
        try:
            return self._reading(key, lambda: int(obstore.head(self._store, key)["size"]))
        except KeyMissing:
            return None

    def put_new(self, key: str, data: bytes) -> bool:
        """Create an object; False if the key existed, and then nothing is changed.

        False may also mean that a reply was lost and this very call had created it: a writer that
        must know puts a mark of its own into the data and reads it back.

        Raises:
            StoreUnavailable: full, not writable or not reachable; nothing is half-written.
        """
        try:
            self._writing(key, lambda: obstore.put(self._store, key, data, mode="create"))
        except AlreadyExistsError:
            return False
        return True

    def put(self, key: str, data: bytes) -> None:
        """Write or overwrite an object; only for projections, which can be made again.

        Raises:
            StoreUnavailable.
        """
        self._writing(key, lambda: obstore.put(self._store, key, data))

    def delete(self, key: str) -> None:
        """Delete an object, if it is there.

        Raises:
            StoreUnavailable.
        """
        if self.is_local and not Path(self.url, key).exists():
            return
        self._writing(key, lambda: obstore.delete(self._store, key))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects below a folder (whole path segments), in no particular order.

        Raises:
            StoreUnavailable.
        """
        if self.is_local and not Path(self.url).is_dir():
            return
        batches = iter(obstore.list(self._store, prefix or None))
        while batch := self._call(prefix, lambda: next(batches, None)):
            for meta in batch:
                yield ObjectInfo(meta["path"], meta["size"], meta["last_modified"])

    def href(self, key: str) -> str:
        """Absolute address of an object: ``s3://bucket/prefix/key``, or an absolute path."""
        return f"{self.url}/{key}"

    def local_path(self, key: str) -> Path | None:
        """Where an object is on this machine's disk; None for S3."""
        return Path(self.url, key) if self.is_local else None

    def storage_options(self) -> dict[str, str]:
        """What deltalake needs to reach the same bucket: fresh credentials, region, endpoint.

        They are for passing on in memory, never for storing. Empty for a directory.
        """
        if self.is_local:
            return {}
        access = self._access
        options = {f"AWS_{name.upper()}": str(value) for name, value in access.options.items()}
        if access.credentials is None:
            return {**options, "AWS_SKIP_SIGNATURE": "true"}
        found = access.credentials()
        options |= {
            "AWS_ACCESS_KEY_ID": found["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": found["secret_access_key"],
        }
        if token := found.get("token"):
            options["AWS_SESSION_TOKEN"] = token
        return options | ({"AWS_ALLOW_HTTP": "true"} if access.plain_http else {})

    @cached_property
    def _access(self) -> _S3Access:
        return _S3Access.find(self.url)

    @cached_property
    def _store(self) -> LocalStore | S3Store:
        if self.is_local:
            return LocalStore(self.url)
        bucket, _, prefix = self.url.removeprefix("s3://").partition("/")
        access = self._access
        credentials: dict[str, Any] = (
            {"credential_provider": access.credentials}
            if access.credentials
            else {"skip_signature": True}
        )
        return S3Store(
            bucket,
            prefix=prefix or None,
            config=access.options,
            client_options={"allow_http": access.plain_http, "timeout": "5min"},
            retry_config={"retry_timeout": RETRY_TIMEOUT},
            **credentials,
        )

    def _reading(self, key: str, call: Callable[[], T]) -> T:
        if self.is_local and not Path(self.url).is_dir():
            raise KeyMissing("there is no lake here", key=key, lake=self.url)
        return self._call(key, call)

    def _writing(self, key: str, call: Callable[[], T]) -> T:
        if self.is_local:
            try:
                Path(self.url).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise self._unavailable(key, f"{error.strerror}") from error
        return self._call(key, call)

    def _call(self, key: str, call: Callable[[], T]) -> T:
        """Run one store operation and speak of its failure in the lake's terms."""
        try:
            return call()
        except AlreadyExistsError:
            raise
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise self._unavailable(key, "NoSuchBucket") from error
            raise KeyMissing("no such object", key=key, lake=self.url) from error
        except (BaseError, OSError) as error:
            raise self._unavailable(key, error) from error

    def _unavailable(self, key: str, cause: object) -> StoreError:
        # obstore appends a dump of its internals after a blank line; the first line says it all.
        text = str(cause).split("\n\nDebug source", maxsplit=1)[0]
        first = text.splitlines()[0] if text else "unknown cause"
        if "NoSuchBucket" in text:
            advice = "the bucket does not exist: create it, or correct the name"
        elif "No space left" in text or "os error 28" in text or "quota" in text.lower():
            advice = "the disk is full: free some space and run the same command again"
        elif "Read-only file system" in text:
            advice = "the file system is read-only: choose another place for the lake"
        elif "ermission denied" in text and self.is_local:
            advice = "the directory is not writable: correct its permissions or choose another"
        elif isinstance(cause, PermissionDeniedError | UnauthenticatedError):
            advice = "the store refused the credentials: set AWS_ACCESS_KEY_ID and its kin"
        elif self.is_local:
            advice = f"the lake cannot be used: {first}"
        else:
            advice = f"the store does not answer: {first}"
        return StoreUnavailable(advice, key=key, lake=self.url)


@dataclass(frozen=True)
class _S3Access:
    """How boto3 would reach S3 in this environment.

    Attributes:
        options: region, and endpoint where it is not Amazon's own.
        credentials: obstore's provider on boto3's; None reads public buckets unsigned.
        plain_http: Whether the endpoint has no TLS.
    """

    options: Any
    credentials: Any
    plain_http: bool

    @classmethod
    def find(cls, url: str) -> _S3Access:
        import boto3
        from botocore.exceptions import BotoCoreError
        from obstore.auth.boto3 import Boto3CredentialProvider

        try:
            session = boto3.Session()
            # The client knows the endpoint by boto3's whole search: AWS_ENDPOINT_URL_S3,
            # AWS_ENDPOINT_URL, the profile, its `services` section.
            meta = session.client("s3", region_name=session.region_name or "us-east-1").meta
            found = session.get_credentials()
        except BotoCoreError as error:
            raise StoreUnavailable(
                f"the AWS configuration is not usable: {error}", lake=url
            ) from error
        endpoint = str(meta.endpoint_url)
        options = {"region": session.region_name or "us-east-1"}
        host = urlsplit(endpoint).hostname or ""
        if not host.endswith((".amazonaws.com", ".amazonaws.com.cn")):
            options["endpoint"] = endpoint
        provider = Boto3CredentialProvider(session) if found else None
        return cls(options, provider, endpoint.startswith("http://"))
