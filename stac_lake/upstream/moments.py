"""Times as the providers really write them."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(text: str) -> datetime:
    """A UTC moment; reads more than RFC 3339 allows.

    The Planetary Computer writes a space for the T in Sentinel-1 and has written ``ZZ`` in
    Sentinel-5P; a time without a zone is UTC.

    Raises:
        ValueError: `text` is no time.
    """
    text = text.strip()
    while text.endswith("ZZ"):
        text = text[:-1]
    parsed = datetime.fromisoformat(text)
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
