"""The one table from the providers' true origins to a stand-in that serves all of them.

A stand-in has each provider under its id (``URL/earth-search/v1``), and assets under the routes of
`Routes.route`. Documents keep the true hrefs; they are rewritten here, on the way to the socket, so
that what works against the stand-in works against the providers.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from stac_lake.errors import ConfigError, UntrustedSource
from stac_lake.recipe import Provider

Origin = tuple[str, str, int]
"""Scheme, lower-case host, port."""

_PORTS = {"http": 80, "https": 443}
_BLOBS = ".blob.core.windows.net"
_S3 = ".amazonaws.com"


def origin_of(url: str) -> Origin:
    """Scheme, host and port of a URL; the port is the scheme's where none is written.

    Raises:
        ValueError: the URL has no host, or a port that is no number.
    """
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError("no host")
    return (parts.scheme, parts.hostname.lower(), parts.port or _PORTS.get(parts.scheme, 0))


@dataclass(frozen=True)
class Routes:
    """Where requests really go.

    Attributes:
        base: Root URL of the stand-in without a trailing slash; None for the real providers.

    Raises:
        ConfigError: `base` is not an http or https URL.
    """

    base: str | None = None

    def __post_init__(self) -> None:
        if self.base is None:
            return
        object.__setattr__(self, "base", self.base.rstrip("/"))
        try:
            scheme = origin_of(self.base)[0]
        except ValueError as error:
            scheme = str(error)
        if scheme not in _PORTS:
            raise ConfigError(f"--upstream {self.base!r} is not an http or https URL of a stand-in")

    @property
    def origin(self) -> Origin | None:
        """Of the stand-in, or None."""
        return origin_of(self.base) if self.base else None

    def route(self, url: str, provider: Provider) -> str:
        """The URL to connect to for a true URL; one that is the stand-in's already stays.

        Raises:
            UntrustedSource: the stand-in does not stand in for that host.
        """
        if self.base is None or url == self.base or url.startswith(self.base + "/"):
            return url
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        apis = {urlsplit(root).hostname for root in (provider.api, provider.sas_api) if root}
        if host in apis:
            path = f"{provider.id}{parts.path}"
        elif host.endswith(_BLOBS):
            path = f"planetary-computer/blob/{host.removesuffix(_BLOBS)}{parts.path}"
        elif provider.s3_endpoint and host == urlsplit(provider.s3_endpoint).hostname:
            path = f"{provider.id}/s3{parts.path}"
        elif host.endswith(_S3):
            path = f"earth-search/s3/{host}{parts.path}"
        else:
            raise UntrustedSource(
                f"the stand-in serves nothing for {host or 'a URL without a host'}: refused",
                provider=provider.id,
            )
        return f"{self.base}/{path}" + (f"?{parts.query}" if parts.query else "")
