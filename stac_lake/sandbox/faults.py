"""Faults on demand: what upstream has been seen to do, armed for the next matching requests."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

Kind = Literal[
    "too_many_requests",
    "unavailable",
    "gateway_timeout",
    "unprocessable",
    "expired_sas",
    "truncated",
    "short_connection",
    "flipped_byte",
    "empty_last_page",
    "duplicates",
    "two_baselines",
    "missing_asset",
    "redirect",
]
# Answered before the request reaches the API, changed in the body on its way out, or left to the
# route that knows what a page, a token or an item is.
BEFORE = ("too_many_requests", "unavailable", "gateway_timeout", "unprocessable", "missing_asset",
          "redirect")  # fmt: skip
BODY = ("truncated", "short_connection", "flipped_byte")
FOREVER = -1


@dataclass(frozen=True)
class Fault:
    """One armed fault.

    Attributes:
        kind: What happens.
        provider: `earth-search`, `planetary-computer`, `cdse`, or None for any.
        path: Regular expression that the request's path must contain a match of.
        method: HTTP method, or None for any.
        times: How many requests it hits; -1 for all.
        after: How many matching requests it lets pass first.
        retry_after_s: Value of `Retry-After` of a 429 or 503, seconds.
        wait_s: How long a 504 keeps the client waiting, seconds.
        location: Where a redirect leads; the request's path is put behind it.
        position: Share of the body, 0 to 1, at which it is cut or changed.
    """

    kind: Kind
    provider: str | None = None
    path: str = ""
    method: str | None = None
    times: int = 1
    after: int = 0
    retry_after_s: int = 2
    wait_s: float = 0.0
    location: str = ""
    position: float = 0.5

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Fault:
        """Read one fault of a plan.

        Raises:
            ValueError: A key or the kind is unknown, or the pattern is not a regular expression.
        """
        known = {item.name for item in fields(cls)}
        unknown = sorted(set(document) - known)
        if unknown:
            raise ValueError(f"unknown keys {unknown}; allowed are {sorted(known)}")
        if document.get("kind") not in get_args(Kind):
            raise ValueError(f"kind must be one of {list(get_args(Kind))}")
        fault = cls(**document)
        try:
            re.compile(fault.path)
        except re.error as error:
            raise ValueError(f"path is not a regular expression: {error}") from None
        return fault

    def hits(self, provider: str | None, path: str, method: str) -> bool:
        """Whether a request is one that the fault is armed for."""
        return (
            self.provider in (None, provider)
            and self.method in (None, method)
            and re.search(self.path, path) is not None
        )


@dataclass
class _Armed:
    fault: Fault
    seen: int = 0
    fired: int = 0


@dataclass
class FaultPlan:
    """The armed faults of a server; safe to use from many threads."""

    _armed: list[_Armed] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def arm(self, *faults: Fault) -> None:
        with self._lock:
            self._armed.extend(_Armed(fault) for fault in faults)

    def clear(self) -> None:
        with self._lock:
            self._armed.clear()

    def take(
        self, kinds: tuple[str, ...], provider: str | None, path: str, method: str
    ) -> Fault | None:
        """Use up one shot of the first armed fault of these kinds that fits the request."""
        with self._lock:
            for armed in self._armed:
                fault = armed.fault
                if fault.kind not in kinds or not fault.hits(provider, path, method):
                    continue
                armed.seen += 1
                spent = fault.times != FOREVER and armed.fired >= fault.times
                if spent or armed.seen <= fault.after:
                    continue
                armed.fired += 1
                return fault
        return None

    def report(self) -> list[dict[str, Any]]:
        """The armed faults, with how often each has fired."""
        with self._lock:
            return [
                {"kind": a.fault.kind, "provider": a.fault.provider, "path": a.fault.path,
                 "times": a.fault.times, "fired": a.fired}
                for a in self._armed
            ]  # fmt: skip
