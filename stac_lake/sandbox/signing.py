"""Access checks of the two stores that want a key: Azure SAS tokens and AWS Signature Version 4.

SAS: a token names its container and expiry, and carries an HMAC-SHA256 over both with a key that
only this module knows. SigV4: "Signature Version 4 signing process" of the Amazon S3 API
reference, in the Authorization header or in the query.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, unquote, urlencode

ACCESS_KEY = "sandbox"
SECRET_KEY = "sandbox"
_SAS_KEY = b"stac-lake sandbox"
_SAS_VERSION = "2024-05-04"
_SKEW = timedelta(minutes=15)
_STAMP = "%Y%m%dT%H%M%SZ"


@dataclass(eq=False)
class Denied(Exception):  # noqa: N818 - the store's word
    """Access is refused.

    Attributes:
        status: HTTP status.
        code: The store's error code.
        message: Its text.
    """

    status: int
    code: str
    message: str


def _sas_signature(account: str, container: str, expiry: str) -> str:
    text = "\n".join((account, container, expiry, _SAS_VERSION))
    return base64.b64encode(hmac.digest(_SAS_KEY, text.encode(), "sha256")).decode()


def sas_token(account: str, container: str, now: datetime, expires: datetime) -> str:
    """A read token for one container, as the query of a URL without its question mark."""
    expiry = expires.strftime("%Y-%m-%dT%H:%M:%SZ")
    return urlencode(
        {
            "st": (now - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "se": expiry,
            "sp": "rl",
            "sv": _SAS_VERSION,
            "sr": "c",
            "sig": _sas_signature(account, container, expiry),
        }
    )


def check_sas(account: str, container: str, query: Mapping[str, str], now: datetime) -> None:
    """Check the token of a request for a blob.

    Raises:
        Denied: 409 without a token, 403 with one that is wrong or has expired.
    """
    if "sig" not in query:
        message = "Public access is not permitted on this storage account."
        raise Denied(409, "PublicAccessNotPermitted", message)
    expiry = query.get("se", "")
    expected = _sas_signature(account, container, expiry)
    refused = (
        "Server failed to authenticate the request. Make sure the value of Authorization header "
        "is formed correctly including the signature."
    )
    if not hmac.compare_digest(query["sig"].encode(), expected.encode()):
        raise Denied(403, "AuthenticationFailed", f"{refused} Signature did not match.")
    if datetime.fromisoformat(expiry) <= now:
        detail = "Signature not valid in the specified time frame"
        raise Denied(403, "AuthenticationFailed", f"{refused} {detail}: Expiry [{expiry}]")


@dataclass(frozen=True)
class Signed:
    """The parts of a request that Signature Version 4 covers.

    Attributes:
        method: HTTP method.
        path: Path as it was sent, percent-encoded.
        query: Query as it was sent, percent-encoded.
        headers: Header values by lower-case name.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]


def check_sigv4(request: Signed, now: datetime) -> None:
    """Check a request to the S3 store.

    As at CDSE, a signature counts in the header only: one in the query is answered as if the key
    did not exist.

    Raises:
        Denied: 403, with the code that S3 gives.
    """
    pairs = parse_qsl(request.query, keep_blank_values=True)
    if "X-Amz-Signature" in dict(pairs):
        raise Denied(403, "InvalidAccessKeyId", "Signatures in the query are not accepted.")
    if request.headers.get("authorization", "").startswith("AWS4-HMAC-SHA256"):
        _check_header(request, pairs, now)
    else:
        raise Denied(403, "AccessDenied", "Access Denied.")


def _check_header(request: Signed, pairs: Sequence[tuple[str, str]], now: datetime) -> None:
    _, _, listed = request.headers["authorization"].partition(" ")
    parts = dict(part.strip().split("=", 1) for part in listed.split(","))
    date = request.headers.get("x-amz-date", "")
    if abs(now - _stamp(date)) > _SKEW:
        message = "The difference between the request time and the server's time is too large."
        raise Denied(403, "RequestTimeTooSkewed", message)
    payload = request.headers.get("x-amz-content-sha256", hashlib.sha256(b"").hexdigest())
    canonical = _canonical(request, pairs, parts.get("SignedHeaders", "").split(";"), payload)
    _compare(canonical, parts.get("Credential", "").split("/", 1), date, parts.get("Signature", ""))


def _stamp(text: str) -> datetime:
    try:
        return datetime.strptime(text, _STAMP).replace(tzinfo=UTC)
    except ValueError:
        raise Denied(403, "AccessDenied", "X-Amz-Date must be ISO 8601 basic format") from None


def _canonical(
    request: Signed, pairs: Sequence[tuple[str, str]], names: Sequence[str], payload: str
) -> str:
    """The canonical request; S3 encodes the path once, keeping its slashes."""
    path = quote(unquote(request.path), safe="/-_.~")
    query = "&".join(
        sorted(f"{quote(key, safe='-_.~')}={quote(value, safe='-_.~')}" for key, value in pairs)
    )
    lines = [f"{name}:{' '.join(request.headers.get(name, '').split())}" for name in names]
    return "\n".join((request.method, path, query, *lines, "", ";".join(names), payload))


def _compare(canonical: str, credential: Sequence[str], date: str, signature: str) -> None:
    if len(credential) != 2 or credential[0] != ACCESS_KEY:
        message = "The AWS Access Key Id you provided does not exist in our records."
        raise Denied(403, "InvalidAccessKeyId", message)
    scope = credential[1]
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(("AWS4-HMAC-SHA256", date, scope, digest))
    key = f"AWS4{SECRET_KEY}".encode()
    for part in scope.split("/"):  # day, region, service, aws4_request
        key = hmac.digest(key, part.encode(), "sha256")
    expected = hmac.digest(key, text.encode(), "sha256").hex()
    if not hmac.compare_digest(signature.encode(), expected.encode()):
        message = (
            "The request signature we calculated does not match the signature you provided. "
            "Check your key and signing method."
        )
        raise Denied(403, "SignatureDoesNotMatch", message)
