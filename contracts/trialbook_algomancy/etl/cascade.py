"""Dropping rows whose relations are broken, and what breaks by that, until nothing changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from trialbook_algomancy.etl.findings import Flags, absent
from trialbook_algomancy.etl.keys import NULL, Codes, Relation, codes, relations
from trialbook_algomancy.etl.messages import Message, Severity
from trialbook_algomancy.schemas import Declared, OwnTables

ORPHAN = "CASCADE_ORPHAN_DROP"
REQUIRED_CHILD = "CASCADE_REQUIRED_CHILD_DROP"
PARTIAL_LOSS = "CASCADE_PARTIAL_LOSS_DROP"


def cascade(tables: OwnTables, declared: Declared, severity: Severity) -> Iterator[Message]:
    """What ``CascadeDrop`` does."""
    sides = []
    for relation in relations(declared):
        if relation.child not in tables:
            continue
        problems = absent(severity, relation, tables)
        yield from problems
        if not problems:
            sides.append(_Side(relation, tables))
    state = _State({name: np.ones(len(table), dtype=bool) for name, table in tables.items()})
    state.settle(sides)
    for name, kept in state.kept.items():
        if not kept.all():
            tables[name] = tables[name][kept].reset_index(drop=True)
    for (table, code, number), count in state.dropped.items():
        text = f"{count} row(s) dropped from '{table}' by {code} on relation {_arrow(sides[number].relation)}"
        yield Message(severity, text, table, code=code)


def _arrow(relation: Relation) -> str:
    child, parent = ",".join(relation.columns), ",".join(relation.parent_columns)
    return f"{relation.child}.{child}->{relation.parent}.{parent}"


class _Side:
    """A relation with the keys of both its tables as numbers, and each key's number of children at first."""

    def __init__(self, relation: Relation, tables: dict[str, pd.DataFrame]) -> None:
        self.relation = relation
        child, parent = tables[relation.child], tables[relation.parent]
        self.child, self.parent = codes((child, relation.columns), (parent, relation.parent_columns))
        self._keys = max(int(self.child.max(initial=0)), int(self.parent.max(initial=0))) + 1
        self._at_first = self._children(np.ones(len(child), dtype=bool))

    def _children(self, kept: Flags) -> Codes:
        """Number of kept children of each key."""
        counts: Codes = np.bincount(self.child[kept & (self.child != NULL)], minlength=self._keys)
        return counts

    def orphans(self, kept: dict[str, Flags]) -> Flags:
        """Children with a complete key that no kept parent has."""
        present = np.zeros(self._keys + 1, dtype=bool)
        present[self.parent[kept[self.relation.parent]]] = True
        present[NULL] = True  # the last entry: an incomplete key needs no parent
        found: Flags = ~present[self.child]
        return found

    def childless(self, kept: dict[str, Flags]) -> Flags:
        """Parents without a kept child."""
        counts = np.append(self._children(kept[self.relation.child]), 0)
        found: Flags = counts[self.parent] == 0
        return found

    def partial(self, kept: dict[str, Flags]) -> Flags:
        """Parents with some, but fewer kept children than at first."""
        now = np.append(self._children(kept[self.relation.child]), 0)
        first = np.append(self._at_first, 0)
        found: Flags = (now[self.parent] > 0) & (now[self.parent] < first[self.parent])
        return found


class _State:
    """Which rows are kept, and how many were dropped by (table, rule, number of the relation)."""

    def __init__(self, kept: dict[str, Flags]) -> None:
        self.kept = kept
        self.dropped: dict[tuple[str, str, int], int] = {}

    def settle(self, sides: Sequence[_Side]) -> None:
        """Apply the rules in rounds until one drops nothing. Every round but the last drops a row, so it ends."""
        while self._round(sides):
            pass

    def _round(self, sides: Sequence[_Side]) -> bool:
        changed = False
        for number, side in enumerate(sides):
            changed |= self._drop(side.relation.child, ORPHAN, number, side.orphans(self.kept))
        for number, side in enumerate(sides):
            if side.relation.parent_requires_child:
                changed |= self._drop(side.relation.parent, REQUIRED_CHILD, number, side.childless(self.kept))
        for number, side in enumerate(sides):
            if side.relation.track_partial_loss:
                changed |= self._drop(side.relation.parent, PARTIAL_LOSS, number, side.partial(self.kept))
        return changed

    def _drop(self, table: str, code: str, number: int, flags: np.ndarray[Any, np.dtype[np.bool_]]) -> bool:
        lost = flags & self.kept[table]
        count = int(lost.sum())
        if count:
            self.kept[table] = self.kept[table] & ~lost
            self.dropped[table, code, number] = self.dropped.get((table, code, number), 0) + count
        return count > 0
