"""Time in queries: what a written time spans, and how spans relate."""

from __future__ import annotations

import re
from datetime import MAXYEAR, UTC, datetime, timedelta

from stac_lake.errors import QueryError
from stac_lake.types import MILLISECOND

TIME_START, TIME_END = '"time"', '"time_end"'
"""Columns of an item's first and last moment; never null, the same for an instant."""

# CQL2 1.0 table 7, on [a, b] (left) and [c, d] (right).
RELATIONS = {
    "t_after": "{a} > {d}",
    "t_before": "{b} < {c}",
    "t_contains": "({a} < {c} AND {b} > {d})",
    "t_disjoint": "({b} < {c} OR {a} > {d})",
    "t_during": "({a} > {c} AND {b} < {d})",
    "t_equals": "({a} = {c} AND {b} = {d})",
    "t_finishedby": "({a} < {c} AND {b} = {d})",
    "t_finishes": "({a} > {c} AND {b} = {d})",
    "t_intersects": "({a} <= {d} AND {b} >= {c})",
    "t_meets": "{b} = {c}",
    "t_metby": "{a} = {d}",
    "t_overlappedby": "({a} > {c} AND {a} < {d} AND {b} > {d})",
    "t_overlaps": "({a} < {c} AND {b} > {c} AND {b} < {d})",
    "t_startedby": "({a} = {c} AND {b} > {d})",
    "t_starts": "({a} = {c} AND {b} < {d})",
}


def moments(text: str) -> tuple[datetime, datetime]:
    """First and last millisecond of a time: an RFC 3339 moment, or a year, month or day.

    Raises:
        QueryError: it is none of these.
    """
    match = re.fullmatch(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?", text)
    try:
        if not match:
            # RFC 3339 lets the T and the Z be small.
            moment = datetime.fromisoformat(text.upper())
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
            return moment, moment
        year, month, day = (int(part) if part else None for part in match.groups())
        first = datetime(year or 1, month or 1, day or 1, tzinfo=UTC)
        if first.year == MAXYEAR and month in {None, 12} and day in {None, 31}:
            return first, datetime.max.replace(microsecond=999_000, tzinfo=UTC)
        if day:
            after = first + timedelta(days=1)
        elif month:
            after = (first + timedelta(days=32)).replace(day=1)
        else:
            after = datetime(first.year + 1, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise QueryError(f"{text!r} is not a time: expected like 2021-06-01T12:00:00Z") from error
    return first, after - MILLISECOND
