"""Point look-ups in the tables by id, many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from trialbook.aggregates import AGGREGATES
from trialbook.domain.run import RunState
from trialbook_projector.tables.cache import Emitted, ItemEntry, LatestProgress, RunEntry
from trialbook_projector.times import text_of

decode_state = msgspec.json.Decoder(RunState).decode
_STATES = {kind: msgspec.json.Decoder(type(a.decider.initial())).decode for kind, a in AGGREGATES.items()}

RUN_COLUMNS = "created, workspace, id, sequence, state"
ITEM_COLUMNS = "created, kind, workspace, id, sequence, epoch_us(created_at), data"
EMITTED_COLUMNS = (
    "first_cursor, workspace, run, attempt, kind, name, count, last_cursor, epoch_us(first_time), "
    "epoch_us(last_time), latest"
)


def runs(cursor: Any, subjects: Sequence[str]) -> list[RunEntry]:
    """Runs by ``workspace/run/id``; missing ones are left out."""
    wanted = set(subjects)
    ids = list({s.split("/")[2] for s in wanted})
    rows = cursor.execute(
        "SELECT created, workspace, id, sequence, state FROM book.runs WHERE id IN (SELECT unnest(?::VARCHAR[]))", [ids]
    ).fetchall()
    return [run_entry(row) for row in rows if f"{row[1]}/run/{row[2]}" in wanted]


def twice(cursor: Any) -> bool:
    """Whether a run has two rows."""
    sql = "SELECT 1 FROM book.runs GROUP BY workspace, id HAVING count(*) > 1 LIMIT 1"
    return bool(cursor.execute(sql).fetchall())


def run_entry(row: Sequence[Any]) -> RunEntry:
    """A row of ``RUN_COLUMNS``."""
    return RunEntry(row[0], row[1], row[2], row[3], decode_state(row[4]))


def items(cursor: Any, subjects: Sequence[str]) -> list[ItemEntry]:
    """Items by ``workspace/kind/id``; missing ones are left out."""
    wanted = set(subjects)
    ids = list({s.split("/")[2] for s in wanted})
    rows = cursor.execute(
        f"SELECT {ITEM_COLUMNS} FROM book.items WHERE id IN (SELECT unnest(?::VARCHAR[]))",  # noqa: S608 -- a constant
        [ids],
    ).fetchall()
    return [item_entry(row) for row in rows if f"{row[2]}/{row[1]}/{row[3]}" in wanted]


def item_entry(row: Sequence[Any]) -> ItemEntry:
    """A row of ``ITEM_COLUMNS``."""
    return ItemEntry(row[0], row[1], row[2], row[3], row[4], text_of(row[5]), _STATES[row[1]](row[6]))


def emitted(cursor: Any, run_ids: Sequence[str]) -> list[Emitted]:
    """Everything that these runs have emitted so far."""
    rows = cursor.execute(
        f"SELECT {EMITTED_COLUMNS} FROM book.emitted WHERE run IN (SELECT unnest(?::VARCHAR[]))",  # noqa: S608 -- a constant
        [list(run_ids)],
    ).fetchall()
    return [Emitted(*row) for row in rows]


def progress(cursor: Any, run_ids: Sequence[str]) -> dict[str, LatestProgress]:
    """The latest progress of these runs: ``workspace/run/id`` -> progress; runs without any are left out."""
    rows = cursor.execute(
        "SELECT workspace, run, max(last_cursor), arg_max(latest, last_cursor) FROM book.emitted "
        "WHERE kind = 'progress' AND run IN (SELECT unnest(?::VARCHAR[])) GROUP BY workspace, run",
        [list(run_ids)],
    ).fetchall()
    return {f"{row[0]}/run/{row[1]}": LatestProgress(row[2], row[3]) for row in rows}
