"""Shared by all tests: where the recorded oracles are, and how hard hypothesis looks."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

_SHARED = Path(__file__).parents[2] / "shared"

SHARED: Path | None = _SHARED if _SHARED.is_dir() else None
"""Recorded STAC documents, small real files and extension schemas, where the checkout has them."""

# Deadlines would time the machine, not the code.
hypothesis.settings.register_profile("default", deadline=None, max_examples=60)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_report_header() -> str:
    """Say what a run without the recorded oracles does not check."""
    if SHARED is None:
        return "shared/ is absent: recorded STAC documents and extension schemas are NOT checked"
    return "shared/ is present: recorded STAC documents and extension schemas are checked"


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test must not depend on the keys of whoever runs it."""
    for name in ("CDSE_S3_ACCESS_KEY", "CDSE_S3_SECRET_KEY", "STAC_LAKE_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
