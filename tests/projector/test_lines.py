"""Facts as lines: whatever the room, the filter and the sizes, the answers one after another give every fact once."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest

from tests.projector.support import Book, Ledger
from trialbook.domain.run import events as e
from trialbook.errors import Invalid, TooLarge
from trialbook.queries import EventLines, EventList, LinesEnd
from trialbook_projector.queries import facts
from trialbook_projector.queries.lines import lines

ROOM = 8 * 1024 * 1024


def told(book: Book, room: int, **filters: Any) -> list[Any]:
    """Everything, asked for until there is no more."""
    found: list[Any] = []
    after = 0
    for _ in range(10_000):
        answer = lines(book.reading(), EventLines(**{"limit": 100_000, **filters, "after": after}), room)
        assert len(answer) <= room
        *rows, last = answer.split(b"\n")[:-1]
        end = msgspec.json.decode(last, type=LinesEnd)
        found += [json.loads(row) for row in rows]
        if not end.more:
            return found
        assert end.after > after
        after = end.after
    raise AssertionError("it never ends")


def paged(book: Book, **filters: Any) -> list[Any]:
    """The same by pages."""
    found: list[Any] = []
    cursor: str | None = "0"
    while cursor is not None:
        page = facts.listing(book.reading(), EventList(**{**filters, "limit": 1000, "after": int(cursor)}))
        found += json.loads(msgspec.json.encode(page.items))
        cursor = page.next_cursor
    return found


def fill(ledger: Ledger) -> list[str]:
    chance = random.Random(2)
    runs = [ledger.run(title='odd " \\ \u2028 \x1f ü') for _ in range(40)]
    for number in range(600):
        run = chance.choice(runs)
        data = "x" * chance.choice((1, 10, 1000, 30_000))
        ledger.fact("run", run, e.EffectRecorded(attempt=1, key=str(number), request_digest="d", response=data))
    return runs


@pytest.mark.parametrize("room", [40_000, 100_000, ROOM])
def test_every_fact_once_in_any_room(book: Book, ledger: Ledger, room: int) -> None:
    runs = fill(ledger)
    book.apply(ledger)
    everything = told(book, room)
    assert everything == paged(book)
    assert [one["sequence"] for one in everything] == list(range(1, 641))
    for filters in (
        {"aggregate": runs[3]}, {"types": [e.Submitted.TYPE]}, {"actor": "nobody"}, {"up_to": 17}, {"limit": 3},
        {"since": "2026-01-01T00:00:00Z"}, {"until": "2020-01-01T00:00:00Z"},
    ):  # fmt: skip
        assert told(book, room, **filters) == paged(book, **{**filters, "limit": 1000})


def test_what_fits_in_no_answer_is_said(book: Book, ledger: Ledger) -> None:
    fill(ledger)
    book.apply(ledger)
    with pytest.raises(TooLarge):
        told(book, 5_000)
    with pytest.raises(Invalid):
        lines(book.reading(), EventLines(limit=0), ROOM)
