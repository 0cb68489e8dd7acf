"""Carry out an erasure in the tables: what was folded from opened facts is folded again from the sealed ones.

The outcome is what a rebuild without the key gives: rows of runs and items with placeholders, and no signals.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from trialbook.aggregates import AGGREGATES, RUN
from trialbook.codec import fact_of
from trialbook.domain.datasubject import Erased, Shredded
from trialbook.envelope import Event
from trialbook_projector.tables import arrow, find
from trialbook_projector.tables.cache import ItemEntry, RunEntry
from trialbook_projector.tables.facts import ITEM_KINDS, UNSEEN, FactRow
from trialbook_projector.times import text_of

TYPES = frozenset({Erased.TYPE, Shredded.TYPE})
"""After the second one no signal of the runs is left to come, whatever the order in which the streams are read."""

_OF_KEY = "SELECT DISTINCT kind, aggregate FROM book.facts WHERE workspace = ? AND datakey = ?"
_FACTS = "SELECT type, epoch_us(time), data FROM book.facts WHERE kind = ? AND workspace = ? AND aggregate = ? ORDER BY sequence"  # noqa: E501
_UPDATE_RUN = (
    "UPDATE book.runs AS r SET name = u.name, title = u.title, labels = u.labels, state = u.state "
    "FROM batch AS u WHERE r.created = u.created"
)
_UPDATE_ITEM = "UPDATE book.items AS r SET name = u.name, data = u.data FROM batch AS u WHERE r.created = u.created"
_SIGNALS = ("logs", "metrics", "records", "emitted")


class DataSubject(msgspec.Struct, frozen=True):
    """Whose data are erased: a key within a workspace."""

    workspace: str
    datakey: str


def in_batch(rows: Iterable[FactRow]) -> list[DataSubject]:
    """The erasures among facts."""
    return [DataSubject(row.workspace, row.aggregate) for row in rows if row.event.type in TYPES]


def erase(writer: Any, subjects: Sequence[DataSubject]) -> None:
    """Within the caller's transaction, after all facts up to the erasure were inserted."""
    for subject in dict.fromkeys(subjects):
        found = writer.execute(_OF_KEY, [subject.workspace, subject.datakey]).fetchall()
        runs = [id_ for kind, id_ in found if kind == RUN.kind]
        keys = [f"{subject.workspace}/{RUN.kind}/{id_}" for id_ in runs]
        entries = [_again(writer, entry) for entry in find.runs(writer, keys)]
        if entries:
            _update(writer, _UPDATE_RUN, arrow.runs(entries))
        keys = [f"{subject.workspace}/{kind}/{id_}" for kind, id_ in found if kind in ITEM_KINDS]
        items = [_again_item(writer, entry) for entry in find.items(writer, keys)]
        if items:
            _update(writer, _UPDATE_ITEM, arrow.items(items))
        for table in _SIGNALS:
            writer.execute(
                f"DELETE FROM book.{table} WHERE workspace = ? AND run IN (SELECT unnest(?::VARCHAR[]))",  # noqa: S608 -- our own names
                [subject.workspace, runs],
            )


def _update(writer: Any, statement: str, batch: Any) -> None:
    writer.register("batch", batch)
    writer.execute(statement)
    writer.unregister("batch")


def _history(writer: Any, kind: str, workspace: str, id_: str) -> Iterable[tuple[Any, str]]:
    for type_, time, data in writer.execute(_FACTS, [kind, workspace, id_]).fetchall():
        if type_ not in UNSEEN:
            at = text_of(time)
            event = Event(
                specversion="1.0", id="", source="", type=type_, subject="", time=at, data=msgspec.Raw(data.encode())
            )
            yield fact_of(event), at


def _again(writer: Any, entry: RunEntry) -> RunEntry:
    state = RUN.decider.fold(_history(writer, RUN.kind, entry.workspace, entry.id))
    return RunEntry(entry.created, entry.workspace, entry.id, entry.sequence, state)


def _again_item(writer: Any, entry: ItemEntry) -> ItemEntry:
    state = AGGREGATES[entry.kind].decider.fold(_history(writer, entry.kind, entry.workspace, entry.id))
    return ItemEntry(entry.created, entry.kind, entry.workspace, entry.id, entry.sequence, entry.created_at, state)
