"""The transformations that a configuration can choose. Each is a value; called, it changes tables.

How they do it is in ``joining`` and ``cascade``, imported when the first one is called.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from trialbook_algomancy.etl.messages import Message, Severity
from trialbook_algomancy.schemas import Declared, OwnTables

MAX_JOINED_ROWS = 20_000_000


class FillOptional(Struct, frozen=True):
    """Adds the optional columns that a file did not have: their default in every row, in the declared type."""

    def __call__(self, tables: OwnTables, declared: Declared) -> Iterator[Message]:
        """No messages. Raises ``ValueError`` for a default that is not of its type."""
        from trialbook_algomancy.etl.joining import with_optional

        for name, table in tables.items():
            tables[name] = with_optional(table, tuple(declared.get(name, ())))
        yield from ()


class Join(Struct, frozen=True):
    """Puts a join of two tables in the place of ``into`` (by default of ``left``, whose rows keep their order).

    ``on`` pairs columns of the left with columns of the right table, which are not repeated in the result; other
    columns of the right table get ``suffix`` if the left one has their name. Keys with a missing part match nothing.
    """

    left: str
    right: str
    on: tuple[tuple[str, str], ...]
    how: Literal["left", "inner"] = "left"
    into: str | None = None
    suffix: str = "_right"

    def __call__(self, tables: OwnTables, _declared: Declared) -> Iterator[Message]:
        """What is absent; CRITICAL if the join would have more than ``MAX_JOINED_ROWS`` rows."""
        from trialbook_algomancy.etl.findings import no_columns
        from trialbook_algomancy.etl.joining import joined

        problems = no_columns(Severity.ERROR, tables, self.left, [pair[0] for pair in self.on])
        problems += no_columns(Severity.ERROR, tables, self.right, [pair[1] for pair in self.on])
        if problems:
            yield from problems
            return
        found = joined(tables[self.left], tables[self.right], self.on, self.how, self.suffix, MAX_JOINED_ROWS)
        if found is None:
            text = f"The join of {self.left} and {self.right} has more than {MAX_JOINED_ROWS} rows."
            yield Message(Severity.CRITICAL, text, self.left, code="JOIN_TOO_LARGE")
        else:
            tables[self.into or self.left] = found


class CascadeDrop(Struct, frozen=True):
    """Drops rows by the foreign keys of the schemas, in rounds of three rules, until a round drops nothing.

    Children whose complete key has no parent; parents without children where ``parent_requires_child``; where
    ``track_partial_loss``, parents that have lost some but not all of the children that they had at first. Rows are
    numbered anew. One message for each table, rule and relation tells how many were dropped.
    """

    severity: Severity = Severity.ERROR

    def __call__(self, tables: OwnTables, declared: Declared) -> Iterator[Message]:
        """What was dropped, and which relations could not be looked at."""
        from trialbook_algomancy.etl.cascade import cascade

        return cascade(tables, declared, self.severity)
