"""Pages of large items: as many as fit into a reply, and together all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.projector.support import T0_US, Book, Ledger
from trialbook.queries import EventList, RunFacts, RunList, RunLogs, RunRows
from trialbook_projector.queries import facts, runs, signals
from trialbook_projector.queries.fitting import fitted

ROOM = 20_000
UNBOUNDED = 1 << 40
SIZES = [10, 9_000, 40, 15_000, 15_000, 15_000, 3, 3, 19_000, 1] * 4
ALL = 1000


@pytest.fixture
def run(book: Book, ledger: Ledger) -> str:
    """A run with 40 lines and 40 rows of very different sizes, among 40 runs with parameters of those sizes."""
    found = ledger.run()
    for number, size in enumerate(SIZES):
        ledger.signal(found, "log", [{"time": T0_US + number, "message": "m", "data": "x" * size}])
        row = {"time": T0_US + number, "kind": "action", "index": number + 1, "data": {"x": "y" * size}}
        ledger.signal(found, "record", [row])
        ledger.run(params={"x": "z" * size})
    book.apply(ledger)
    return found


def walk(
    book: Book, answer: Callable[..., Any], query: Any, forward: Callable[[Any, dict[str, Any]], Any], room: int
) -> list[list[dict[str, Any]]]:
    """All pages, as a client goes through them."""
    pages: list[list[dict[str, Any]]] = []
    while True:
        encoded = fitted(answer, book.reading(), query, room)
        assert len(encoded) <= room
        page = msgspec.json.decode(encoded)
        pages.append(page["items"])
        if not page.get("has_more", page["next_cursor"] is not None):
            return pages
        query = forward(query, page)


def _after(query: Any, page: dict[str, Any]) -> Any:
    names: dict[type, str] = {RunRows: "after_index", RunList: "cursor"}
    name = names.get(type(query), "after")
    value = page["next_cursor"] if name == "cursor" else int(page["next_cursor"])
    return msgspec.structs.replace(query, **{name: value})


@pytest.mark.parametrize(
    ("answer", "ask"),
    [
        (signals.logs, lambda run: RunLogs(id=run, after=0, limit=ALL)),
        (signals.rows, lambda run: RunRows(id=run, kind="action", attempt=1, limit=ALL)),
        (facts.of_run, lambda run: RunFacts(id=run, limit=ALL)),
        (facts.listing, lambda _: EventList(limit=ALL)),
        (runs.listing, lambda _: RunList(limit=ALL)),
        (runs.listing, lambda _: RunList(limit=ALL, order="created_asc")),
    ],
    ids=["logs", "rows", "facts of a run", "facts", "runs", "runs ascending"],
)
def test_small_replies_together_hold_what_a_large_one_holds(
    book: Book, run: str, answer: Any, ask: Callable[[str], Any]
) -> None:
    (whole,) = walk(book, answer, ask(run), _after, UNBOUNDED)
    pages = walk(book, answer, ask(run), _after, ROOM)
    assert [item for page in pages for item in page] == whole
    assert whole
    assert all(pages)


def test_the_newest_lines_are_given_when_not_all_fit(book: Book, run: str) -> None:
    page = msgspec.json.decode(fitted(signals.logs, book.reading(), RunLogs(id=run, limit=ALL), ROOM))
    assert page["has_more"] is True
    assert page["total"] == len(SIZES)
    assert [len(line["data"]) for line in page["items"]] == SIZES[-len(page["items"]) :]


def test_what_alone_is_too_large_is_given_as_it_is(book: Book, run: str) -> None:
    """The caller then says how large it is."""
    encoded = fitted(signals.logs, book.reading(), RunLogs(id=run, after=0, limit=ALL), 50)
    assert len(msgspec.json.decode(encoded)["items"]) == 1
