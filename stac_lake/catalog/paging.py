"""The order of an answer, and the tokens that say where its next page starts."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from stac_lake.errors import QueryError
from stac_lake.quality.filter import KINDS, property_name
from stac_lake.quality.sql import Bindings, column
from stac_lake.quality.temporal import TIME_START


@dataclass(frozen=True)
class Key:
    """One column of the order; nulls come last either way.

    Attributes:
        sql: The column.
        descending: Whether the largest comes first.
        nullable: Whether some rows lack it.
    """

    sql: str
    descending: bool = False
    nullable: bool = True

    @property
    def order(self) -> str:
        return f"{self.sql} {'DESC' if self.descending else 'ASC'} NULLS LAST"

    def after(self, value: Any, bindings: Bindings, rest: str) -> str:
        """Rows behind `value`, or level with it and behind in what follows."""
        if value is None:
            return f"({self.sql} IS NULL AND {rest})"
        placeholder = bindings.bind(value)
        sign = "<" if self.descending else ">"
        if not self.nullable:
            # Said twice, because DuckDB skips row groups by what stands alone.
            return (
                f"({self.sql} {sign}= {placeholder} AND "
                f"({self.sql} {sign} {placeholder} OR {rest}))"
            )
        return (
            f"({self.sql} {sign} {placeholder} OR {self.sql} IS NULL"
            f" OR ({self.sql} = {placeholder} AND {rest}))"
        )


def order_of(sortby: Sequence[str]) -> list[Key]:
    """A total order: the given properties, then the id; without any, cell, time and id.

    Raises:
        QueryError: a property is unknown, or has no order.
    """
    if not sortby:
        return [
            Key('"cell"', nullable=False),
            Key(f"epoch_us({TIME_START})", nullable=False),
            Key('"id"', nullable=False),
        ]
    keys = []
    for text in sortby:
        name = property_name(text.lstrip("+-"))
        if KINDS[name] in {"geometry", "string[]"}:
            raise QueryError(f"cannot sort by {name}: it is a {KINDS[name]}")
        sql = f"epoch_us({column(name)})" if KINDS[name] == "datetime" else column(name)
        keys.append(Key(sql, text.startswith("-")))
    return [*keys, Key('"id"', nullable=False)]


@dataclass(frozen=True)
class Token:
    """Where a page starts.

    Attributes:
        digest: Of the query that it belongs to.
        version: Of the index.
        matched: Items of all pages.
        last: Sort key of the last row of the page before.
    """

    digest: str
    version: int
    matched: int
    last: Sequence[Any]

    @property
    def encoded(self) -> str:
        content = [self.digest, self.version, self.matched, list(self.last)]
        text = json.dumps(content, separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def read(cls, text: str, digest: str) -> Self:
        """Decode a token.

        Raises:
            QueryError: it is no token, or belongs to another query than that of `digest`.
        """
        try:
            plain = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            theirs, version, matched, last = json.loads(plain)
            token = cls(str(theirs), int(version), int(matched), tuple(last))
            scalar = all(value is None or isinstance(value, str | int | float) for value in last)
            if not 0 <= token.version < 2**31:
                raise ValueError(token.version)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise QueryError("the page token is not one of this lake") from error
        if token.digest != digest or not scalar:
            raise QueryError(
                "the page token belongs to another search: keep all parameters but limit"
            )
        return token
