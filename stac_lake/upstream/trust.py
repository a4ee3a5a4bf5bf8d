"""Which hrefs and URLs may be followed at all. What upstream says is untrusted.

A URL is checked before every connection, again at each redirect. Only names on the provider's list
are reached, over https; the stand-in's origin is the one exception, and where a stand-in is set it
is the only place that is reached.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from stac_lake.errors import UntrustedSource
from stac_lake.recipe import Provider
from stac_lake.upstream.standin import Origin, origin_of

# Printable ASCII without space, quotes, angle brackets and backslash: an inline <VRTDataset>, a
# control character or a path that two parsers read differently never gets further.
_PLAIN = re.compile(r"[!#-;=?-\[\]^_`a-z{|}~]+")
_MAX_LENGTH = 4096


def bare(url: str) -> str:
    """A URL without its query: what may be logged or shown of one that may be signed."""
    return url.partition("?")[0]


def check_url(url: str, provider: Provider, stand_in: Origin | None) -> None:
    """Let a URL pass that may be connected to.

    Args:
        url: Absolute, as it will be requested.
        provider: Whose hosts are allowed.
        stand_in: Origin of the stand-in; where it is set, nothing else passes.

    Raises:
        UntrustedSource: characters, scheme, user, host, port or address are not allowed.
    """
    parts = _split(url, provider)
    try:
        origin = origin_of(url)
    except ValueError as error:
        raise _refused(url, str(error), provider) from None
    if parts.username is not None or parts.password is not None:
        raise _refused(url, "a user name in the URL", provider)
    if stand_in is not None:
        if origin != stand_in:
            raise _refused(url, "not the stand-in's origin", provider)
        return
    scheme, host, port = origin
    if scheme != "https":
        raise _refused(url, f"scheme {scheme!r}, only https is allowed", provider)
    if port != 443:
        raise _refused(url, f"port {port}", provider)
    if _is_address(host):
        raise _refused(url, "a literal address", provider)
    if not host_allowed(host, provider):
        raise _refused(url, "a host that is not on the provider's list", provider)


def check_href(href: str, provider: Provider) -> None:
    """Let an asset's href pass that the provider may publish: https on its hosts, or its buckets.

    A query is refused, as it would be signed over, or be a signature that is then stored.

    Raises:
        UntrustedSource: neither, or more than a plain path.
    """
    parts = _split(href, provider)
    if not parts.path.strip("/") or "?" in href or "#" in href:
        raise _refused(href, "not a plain path", provider)
    if parts.scheme == "s3":
        if parts.netloc not in provider.buckets:
            raise _refused(href, f"bucket {parts.netloc!r} is not on the provider's list", provider)
        return
    check_url(href, provider, None)


def host_allowed(host: str, provider: Provider) -> bool:
    """Whether a host is one that the provider's API, signer or files live on."""
    roots = (provider.api, provider.sas_api, provider.s3_endpoint)
    exact = {urlsplit(root).hostname for root in roots if root} | set(provider.buckets.values())
    return host in exact or any(
        host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
        for pattern in provider.hosts
    )


def _split(url: str, provider: Provider) -> SplitResult:
    if len(url) > _MAX_LENGTH or not _PLAIN.fullmatch(url):
        raise _refused(url, "characters that no href needs", provider)
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _refused(url, "not a URL", provider) from None
    if any(part in {".", ".."} for part in re.sub("%2e", ".", parts.path, flags=re.I).split("/")):
        raise _refused(url, "dots as a path segment", provider)
    return parts


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _refused(url: str, why: str, provider: Provider) -> UntrustedSource:
    shown = bare(url)[:120]
    return UntrustedSource(f"refused {shown!r}: {why}", provider=provider.id)
