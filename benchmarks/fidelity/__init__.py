"""Pixels against independent references: ``python -m benchmarks.fidelity`` (``make fidelity``).

A row compares what the production code makes of one product at one place with a reference, and
does so again under mutations, errors that are put into the production code or its recipe on
purpose: a comparison that does not see them proves nothing.

The references are those of the tests, whose modules find each other by their plain names.
"""

import sys
from pathlib import Path

_TESTS = Path(__file__).parents[2] / "tests"
for _room in ("pixels", "services"):
    if str(_TESTS / _room) not in sys.path:
        sys.path.append(str(_TESTS / _room))
