"""Plan rows as lines of JSON, for `plan --out` and `harvest --plan`."""

from __future__ import annotations

import json
from dataclasses import replace

from pydantic import TypeAdapter

from stac_lake.errors import ConfigError
from stac_lake.types import PlanRow, Slot

_ROW = TypeAdapter(PlanRow)


def row_to_json(row: PlanRow) -> str:
    """A plan row as one line of JSON; `row_from_json` reads it back."""
    document = _ROW.dump_python(row, mode="json")
    document["slot"] = row.slot.id
    return json.dumps(document, separators=(",", ":"))


def row_from_json(line: str) -> PlanRow:
    """Read a stored plan row.

    Raises:
        ConfigError: the line is not a plan row.
    """
    try:
        document = json.loads(line)
        slot = Slot.from_id(document.pop("slot"))
        placeholder = {
            "product": slot.product,
            "cell": {"id": slot.cell.id},
            "patch": None,
            "name": slot.name,
        }
        return replace(_ROW.validate_python({**document, "slot": placeholder}), slot=slot)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"not a plan row: {error}") from error
