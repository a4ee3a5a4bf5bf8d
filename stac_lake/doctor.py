"""What `stac-lake doctor` looks at: the lake, the providers, the credentials."""

from __future__ import annotations

import secrets
from typing import Any

from stac_lake import __version__
from stac_lake.errors import StacLakeError
from stac_lake.recipe import products, providers
from stac_lake.store.objects import Objects
from stac_lake.upstream.upstream import Upstream


def check(lake: str, stand_in: str | None) -> list[dict[str, Any]]:
    """One line per thing that must work: ``{"what", "ok", "detail"}``; no secret is ever in it."""
    lines = [_line("stac-lake", True, f"version {__version__}, {len(products())} products")]
    lines.append(_lake(lake))
    upstream = Upstream(stand_in=stand_in)
    for name, provider in providers().items():
        try:
            said = upstream.check(name)
            lines.append(_line(name, "NOT reachable" not in said, said))
        except StacLakeError as error:
            lines.append(_line(name, False, str(error)))
        missing = upstream.missing_credentials(name)
        if provider.credentials:
            # Without keys a product is empty with a reason: that is no fault of the set-up.
            lines.append(_line(f"{name} keys", True, f"{missing} is not set" if missing else "set"))
    return lines


def _lake(url: str) -> dict[str, Any]:
    key = f"doctor/{secrets.token_hex(8)}"
    try:
        objects = Objects.open(url)
        created, again = objects.put_new(key, b"probe"), objects.put_new(key, b"probe")
        objects.delete(key)
    except StacLakeError as error:
        return _line(f"lake {url}", False, str(error))
    safe = created and not again
    detail = (
        "writable, create-only writes work" if safe else "create-only writes are NOT kept apart"
    )
    return _line(f"lake {url}", safe, detail)


def _line(what: str, ok: bool, detail: str) -> dict[str, Any]:
    return {"what": what, "ok": ok, "detail": detail}
