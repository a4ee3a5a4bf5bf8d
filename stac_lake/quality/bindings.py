"""Bound parameters and spatial functions of a statement."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import Any

from stac_lake.errors import QueryError
from stac_lake.quality.spatial import SpatialTest


@dataclass
class Bindings:
    """What one statement needs besides its text.

    Attributes:
        values: Named parameters.
        tests: Exact spatial tests by the name of their SQL function, which is to be registered
            before the statement and removed after it.
    """

    values: dict[str, Any] = field(default_factory=dict)
    tests: dict[str, SpatialTest] = field(default_factory=dict)

    def bind(self, value: Any) -> str:
        """The placeholder of a new parameter.

        Raises:
            QueryError: DuckDB cannot hold the value.
        """
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, str) and not _is_text(part):
                raise QueryError(f"{part!r} is not text: it has half of a surrogate pair")
            if isinstance(part, int) and not -(2**63) <= part < 2**63:
                raise QueryError(f"{part} is too large a number")
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"${name}"

    def used_in(self, sql: str) -> dict[str, Any]:
        """The parameters that a statement names; DuckDB refuses to be given more.

        An open interval and the like bind values that their relation then does not ask for.
        """
        named = set(re.findall(r"\$(p\d+)", sql))
        return {name: value for name, value in self.values.items() if name in named}

    def spatial(self, test: SpatialTest) -> str:
        """A condition on the item's geometry: boxes first, GEOS for what they leave open."""
        # Functions live in the database, not in the cursor: their names must be unique.
        name = f"lake_{test.operator}_{uuid.uuid4().hex}"
        self.tests[name] = test
        near = " OR ".join(self._near(box) for box in test.boxes)
        # CASE keeps rows that are far away from being handed to Python.
        met = f'(({near}) AND CASE WHEN {near} THEN {name}("geometry"::BLOB) ELSE FALSE END)'
        return f"(NOT {met})" if test.negated else met

    def _near(self, box: tuple[float, float, float, float]) -> str:
        west, south, east, north = (self.bind(float(value)) for value in box)
        # A box that crosses the antimeridian has its west east of its east (RFC 7946, 5.2).
        return (
            f"(bbox.ymin <= {north} AND bbox.ymax >= {south} AND CASE WHEN bbox.xmin <= bbox.xmax"
            f" THEN bbox.xmin <= {east} AND bbox.xmax >= {west}"
            f" ELSE bbox.xmin <= {east} OR bbox.xmax >= {west} END)"
        )


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
