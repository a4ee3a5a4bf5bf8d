"""Every error that stac-lake raises on purpose, grouped by what the handler does.

    StacLakeError
    ├── ConfigError (ValueError)          the user corrects a file, an option or a name
    ├── GridError (ValueError)            the user corrects a cell id, a point or an area
    ├── QueryError (ValueError)           the user corrects a filter
    ├── UpstreamError                     a public STAC API or its files
    │   ├── ProviderUnavailable *         wait, retry, then fail over to the next provider
    │   ├── ProviderRejected              the request is wrong for this provider: fail over
    │   ├── AssetMissing (KeyError)       the file is gone: next candidate
    │   ├── CredentialsMissing            the user sets the named variable
    │   └── UntrustedSource               refused: scheme, host, redirect, driver or size
    ├── PixelError                        what was read is not what it should be
    │   └── BadRaster                     corrupt or of another shape: next candidate
    ├── StoreError                        the lake's bucket or directory
    │   ├── KeyMissing (KeyError)         the object is not there
    │   └── StoreUnavailable *            wait and retry
    └── CatalogError                      the lake's own catalogue
        ├── InvalidItem (ValueError)      a document breaks its schema
        └── CommitConflict *              another writer was faster: reload and retry

`*` marks classes with ``retryable = True``. Retrying itself lives in one place per kind of traffic:
``upstream.http`` for requests and ``catalog.index`` for commits.
"""

from __future__ import annotations

from typing import Any


class StacLakeError(Exception):
    """Base of all errors of this package; keyword context is appended to the message.

    Args:
        message: What happened and what to do next.
        **context: Where it happened (``cell=``, ``item=``, ``key=``, ``provider=`` …).
    """

    retryable = False

    def __init__(self, message: str, **context: Any) -> None:
        super().__init__(message)
        self.message = message
        self.context = context

    def __str__(self) -> str:
        where = ", ".join(f"{name}={value}" for name, value in self.context.items())
        return f"{self.message} ({where})" if where else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions pickle by calling cls(*args); dask needs the context to survive as well.
        return _rebuild, (type(self), self.message, self.context)


def _rebuild(cls: type[StacLakeError], message: str, context: dict[str, Any]) -> StacLakeError:
    return cls(message, **context)


class ConfigError(StacLakeError, ValueError):
    """A provider, product, recipe or option is not valid."""


class GridError(StacLakeError, ValueError):
    """A cell id, patch id, point or area does not exist on the grid."""


class QueryError(StacLakeError, ValueError):
    """A filter, sort key or page token is not valid."""


class UpstreamError(StacLakeError):
    """A public STAC API or one of its files failed."""


class ProviderUnavailable(UpstreamError):
    """The provider did not answer, or answered 429 or 5xx until the retries ran out."""

    retryable = True


class ProviderRejected(UpstreamError):
    """The provider refused the request (4xx) and will refuse it again."""


class AssetMissing(UpstreamError, KeyError):
    """An asset that the item promises is not there."""

    __str__ = StacLakeError.__str__


class CredentialsMissing(UpstreamError):
    """An environment variable that the provider needs is not set."""


class UntrustedSource(UpstreamError):
    """An href, redirect, driver or declared size was refused before anything was read."""


class PixelError(StacLakeError):
    """Pixels could not be made."""


class BadRaster(PixelError):
    """A file is corrupt, or its header contradicts what was asked for."""


class StoreError(StacLakeError):
    """The lake's bucket or directory failed."""


class KeyMissing(StoreError, KeyError):
    """No object has this key."""

    __str__ = StacLakeError.__str__


class StoreUnavailable(StoreError):
    """The store did not answer, is full, or is not writable."""

    retryable = True


class CatalogError(StacLakeError):
    """The lake's catalogue is not as it should be."""


class InvalidItem(CatalogError, ValueError):
    """A STAC document breaks the specification or the lake's own schema."""


class CommitConflict(CatalogError):
    """Another writer committed first, and the retries ran out."""

    retryable = True
