"""Dropping rows whose relations are broken, and what breaks by that, until nothing changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

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
    state = _State({name: np.ones(len(table), dtype=bool) for name, table in tables.items()}, sides)
    state.settle()
    for name, kept in state.kept.items():
        if not kept.all():
            tables[name] = tables[name][kept].reset_index(drop=True)
    for (table, code, number), count in state.dropped.items():
        text = f"{count} row(s) dropped from '{table}' by {code} on relation {_arrow(sides[number].relation)}"
        yield Message(severity, text, table, code=code)


def _arrow(relation: Relation) -> str:
    child, parent = ",".join(relation.columns), ",".join(relation.parent_columns)
    return f"{relation.child}.{child}->{relation.parent}.{parent}"


class _Rows:
    """The rows of a table by their key. ``count`` is the number of different keys."""

    def __init__(self, keys: Codes, count: int) -> None:
        self.keys = keys
        self._order = np.argsort(keys, kind="stable")
        self._start = np.searchsorted(keys, np.arange(count + 1), sorter=self._order)

    def with_keys(self, keys: Codes) -> Codes:
        """Positions of the rows that have one of these (different) keys."""
        start, lengths = self._start[keys], self._start[keys + 1] - self._start[keys]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        found: Codes = self._order[np.repeat(start, lengths) + within]
        return found


def _rules(relation: Relation) -> list[str]:
    chosen = {REQUIRED_CHILD: relation.parent_requires_child, PARTIAL_LOSS: relation.track_partial_loss}
    return [ORPHAN, *(rule for rule, applies in chosen.items() if applies)]


class _Side:
    """A relation: how many parents and children of each key are left, and for which keys a rule has to look again.

    A round costs as much as the last one dropped, not as the tables are long: a chain of rows, each the parent of the
    next, falls in as many rounds as it has rows.
    """

    def __init__(self, relation: Relation, tables: OwnTables) -> None:
        self.relation, self.rules = relation, _rules(relation)
        keys = codes((tables[relation.child], relation.columns), (tables[relation.parent], relation.parent_columns))
        count = max(int(part.max(initial=NULL)) for part in keys) + 1
        self._children, self._parents = (_Rows(part, count) for part in keys)
        self._children_left, self._parents_left = (np.bincount(part[part != NULL], minlength=count) for part in keys)
        self._at_first = self._children_left.copy()
        self._look_again = {rule: [np.arange(count)] for rule in self.rules}
        self._without_key = np.flatnonzero(self._parents.keys == NULL)  # parents that no child can point to

    def lost(self, table: str, rows: Codes) -> None:
        """These rows of a table, of this relation or not, were dropped."""
        if table == self.relation.parent:
            self._count_down(self._parents.keys[rows], self._parents_left, ORPHAN)
        if table == self.relation.child:
            self._count_down(self._children.keys[rows], self._children_left, REQUIRED_CHILD, PARTIAL_LOSS)

    def _count_down(self, keys: Codes, left: Codes, *rules: str) -> None:
        complete = keys[keys != NULL]
        np.subtract.at(left, complete, 1)
        for rule in self._look_again.keys() & set(rules):
            self._look_again[rule].append(complete)

    def _changed(self, rule: str) -> Codes:
        """The keys for which this rule has to look; then none, until rows are lost."""
        keys = self._look_again[rule]
        self._look_again[rule] = []
        found: Codes = np.unique(np.concatenate(keys)) if keys else np.empty(0, dtype=np.int64)
        return found

    def orphans(self) -> Codes:
        """Children with a complete key that no parent has any more."""
        keys = self._changed(ORPHAN)
        return self._children.with_keys(keys[self._parents_left[keys] == 0])

    def childless(self) -> Codes:
        """Parents without a child."""
        keys = self._changed(REQUIRED_CHILD)
        without_key, self._without_key = self._without_key, np.empty(0, dtype=np.int64)
        found: Codes = np.append(without_key, self._parents.with_keys(keys[self._children_left[keys] == 0]))
        return found

    def partial(self) -> Codes:
        """Parents with some, but fewer children than at first."""
        keys = self._changed(PARTIAL_LOSS)
        left = self._children_left[keys]
        return self._parents.with_keys(keys[(left > 0) & (left < self._at_first[keys])])


class _State:
    """Which rows are kept, and how many were dropped by (table, rule, number of the relation)."""

    def __init__(self, kept: dict[str, Flags], sides: Sequence[_Side]) -> None:
        self.kept = kept
        self.dropped: dict[tuple[str, str, int], int] = {}
        self._sides = sides

    def settle(self) -> None:
        """Apply the rules in rounds until one drops nothing. Every round but the last drops a row, so it ends."""
        while self._round():
            pass

    def _round(self) -> bool:
        changed = False
        for number, side in enumerate(self._sides):
            changed |= self._drop(side.relation.child, ORPHAN, number, side.orphans())
        for number, side in enumerate(self._sides):
            if REQUIRED_CHILD in side.rules:
                changed |= self._drop(side.relation.parent, REQUIRED_CHILD, number, side.childless())
        for number, side in enumerate(self._sides):
            if PARTIAL_LOSS in side.rules:
                changed |= self._drop(side.relation.parent, PARTIAL_LOSS, number, side.partial())
        return changed

    def _drop(self, table: str, code: str, number: int, rows: Codes) -> bool:
        lost = rows[self.kept[table][rows]]
        if not lost.size:
            return False
        self.kept[table][lost] = False
        self.dropped[table, code, number] = self.dropped.get((table, code, number), 0) + int(lost.size)
        for side in self._sides:
            side.lost(table, lost)
        return True
