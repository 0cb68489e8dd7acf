"""Every typed question against tables that were written by hand."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from tests.projector.support import T0_US, Book, Ledger
from trialbook.domain import dataset, file
from trialbook.domain.run import events as e
from trialbook.errors import Invalid, NotFound
from trialbook.queries import (
    EventList,
    ItemGet,
    ItemList,
    MetricCompare,
    RunActivity,
    RunFacts,
    RunGet,
    RunList,
    RunLogs,
    RunMetrics,
    RunRows,
)
from trialbook_projector.queries import facts, items, runs, signals


def test_runs_are_paged_both_ways_without_gap_or_repetition(book: Book, ledger: Ledger) -> None:
    made = [ledger.run() for _ in range(23)]
    ledger.run(workspace="other")
    ledger.fact("run", made[5], e.Deleted())
    expected = [r for r in made if r != made[5]]
    book.apply(ledger)
    for order, wanted in (("created_asc", expected), ("created_desc", expected[::-1])):
        seen: list[str] = []
        cursor = ""
        while True:
            page = runs.listing(book.reading(), RunList(order=order, limit=5, cursor=cursor, count=True))  # type: ignore[arg-type]
            assert page.total == 22
            seen += [r.id for r in page.items]
            if page.next_cursor is None:
                break
            cursor = page.next_cursor
        assert seen == wanted


def test_filters_of_runs_are_combined(book: Book, ledger: Ledger) -> None:
    parent = ledger.run(title="The Parent", workload="sweep")
    child = ledger.run(parent=parent, labels={"a'b": "1", "c": "2"}, name="Child-1", dialect="marketplace")
    ledger.fact("run", child, e.Started(attempt=1, runner="r"))
    book.apply(ledger)

    def ids(**filters: Any) -> list[str]:
        return [r.id for r in runs.listing(book.reading(), RunList(**filters)).items]

    assert ids(status=["running"]) == ids(parent=parent) == ids(labels={"a'b": "1"}) == ids(search="CHILD") == [child]
    assert ids(workload="sweep") == ids(search="the par") == ids(status=["queued", "created"]) == [parent]
    assert ids(dialect="marketplace", labels={"c": "2"}, status=["running"]) == [child]
    assert ids(labels={"c": "2", "a'b": "x"}) == ids(search="%") == ids(parent="' OR 1=1 --") == []
    assert ids(created_after="2025-12-31T23:00:00+01:00") == [child, parent]
    assert ids(created_before="2025-12-31T00:00:00Z") == []
    brief = runs.listing(book.reading(), RunList(brief=True)).items[0]
    assert (brief.params, brief.result, brief.steps, brief.extra) == ({}, None, {}, {})


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (RunList(limit=0), "invalid_limit"),
        (RunList(limit=1001), "invalid_limit"),
        (RunList(cursor="rubbish"), "invalid_cursor"),
        (RunList(cursor="\x00"), "invalid_cursor"),
        (RunList(cursor="Y3JlYXRlZF9kZXNjOi0x"), "invalid_cursor"),
        (RunList(status=["nope"]), "invalid_status"),
        (RunList(created_after="yesterday"), "invalid_time"),
        (RunList(created_before="2026-01-01T00:00:00"), "invalid_time"),
    ],
)
def test_a_bad_list_is_refused(book: Book, query: RunList, code: str) -> None:
    with pytest.raises(Invalid) as caught:
        runs.listing(book.reading(), query)
    assert caught.value.code == code


def test_a_run_is_found_by_name_while_it_bears_it(book: Book, ledger: Ledger) -> None:
    first = ledger.run(name="champion")
    ledger.fact("run", first, e.Deleted())
    book.apply(ledger)
    for query in (RunGet(name="champion"), RunGet(id=first), RunGet(id="x")):
        with pytest.raises(NotFound):
            runs.get(book.reading(), query)
    second = ledger.run(name="champion")
    book.apply(ledger)
    assert runs.get(book.reading(), RunGet(name="champion")).id == second
    assert runs.get(book.reading("_"), RunGet(id=second)).workspace == "main"
    with pytest.raises(NotFound):
        runs.get(book.reading("other"), RunGet(id=second))


def lines(page: Any) -> list[str]:
    return [v.message for v in page.items]


@pytest.fixture
def talker(book: Book, ledger: Ledger) -> str:
    """A completed run of 30 lines in three chunks; ten more came after its verdict."""
    run = ledger.run()
    other = ledger.run()
    ledger.fact("run", run, e.Started(attempt=1, runner="r"))
    last = 0
    for start in (0, 10, 20):
        last = ledger.logs(run, 10, start=start)
        ledger.logs(other, 3)
    ledger.fact("run", run, e.Completed(attempt=1, signal_sequence=last))
    ledger.logs(run, 10, start=30)
    book.apply(ledger)
    return run


def test_logs_are_read_from_the_end_backwards(book: Book, talker: str) -> None:
    page = signals.logs(book.reading(), RunLogs(id=talker, limit=12))
    assert lines(page) == [f"line {n}" for n in range(18, 30)]
    assert (page.has_more, page.total, page.complete) == (True, 30, True)
    before = signals.logs(book.reading(), RunLogs(id=talker, limit=100, before=page.items[0].cursor))
    assert lines(before) == [f"line {n}" for n in range(18)]
    assert not before.has_more


def test_logs_are_followed_forwards(book: Book, talker: str) -> None:
    seen: list[str] = []
    after, more = 0, True
    while more:
        page = signals.logs(book.reading(), RunLogs(id=talker, limit=7, after=after))
        seen += lines(page)
        after, more = page.next_cursor, page.has_more
    assert seen == [f"line {n}" for n in range(30)]
    assert signals.logs(book.reading(), RunLogs(id=talker, after=after)).next_cursor == after
    late = signals.logs(book.reading(), RunLogs(id=talker, since_us=T0_US + 27))
    assert lines(late) == ["line 28", "line 29"]


def test_logs_are_filtered(book: Book, ledger: Ledger) -> None:
    run = ledger.run()
    ledger.signal(run, "log", [
        {"time": T0_US, "level": "debug", "message": "Fine"},
        {"time": T0_US, "level": "warning", "message": "100% odd", "logger": "agent-1", "data": {"k": [1]}},
        {"time": T0_US, "level": "error", "message": None, "step": "two"},
    ])  # fmt: skip
    ledger.logs(run, 1, start=7, attempt=2)
    book.apply(ledger)

    def texts(**filters: Any) -> list[str | None]:
        return [v.message for v in signals.logs(book.reading(), RunLogs(id=run, **filters)).items]

    assert texts(level="warning") == ["100% odd", None]
    assert texts(level="info") == ["100% odd", None, "line 7"]
    assert texts(logger="agent-1") == texts(contains="100% ODD") == ["100% odd"]
    assert texts(step="two") == [None]
    assert texts(attempt=2) == ["line 7"]
    assert texts(contains="%_") == []
    (odd,) = signals.logs(book.reading(), RunLogs(id=run, logger="agent-1")).items
    assert bytes(odd.data or b"") == b'{"k":[1]}'
    with pytest.raises(Invalid):
        texts(level="loud")


def test_a_running_run_is_not_complete_and_a_silent_one_has_nothing(book: Book, ledger: Ledger) -> None:
    run = ledger.run()
    book.apply(ledger)
    page = signals.logs(book.reading(), RunLogs(id=run))
    assert (page.items, page.total, page.complete, page.has_more) == ([], 0, False, False)
    ledger.fact("run", run, e.Completed(attempt=1, signal_sequence=5))
    book.apply(ledger)
    assert not signals.logs(book.reading(), RunLogs(id=run)).complete, "five signals are announced and none is stored"


def measured(ledger: Ledger, run: str, name: str, count: int) -> int:
    points = [{"time": T0_US + i, "name": name, "value": float(i * i), "index": i} for i in range(count)]
    return ledger.signal(run, "metric", points)


@pytest.mark.parametrize(
    ("count", "points"), [(1, 1), (1, 5), (2, 2), (100, 7), (101, 100), (1000, 10), (5, 1), (50, 50)]
)
def test_sampled_metrics_are_bounded_and_keep_the_ends(book: Book, ledger: Ledger, count: int, points: int) -> None:
    run = ledger.run()
    measured(ledger, run, "loss", count)
    measured(ledger, run, "accuracy", 3)
    book.apply(ledger)
    page = signals.metrics(book.reading(), RunMetrics(id=run, max_points=points))
    chosen = [p.index for p in page.items if p.name == "loss"]
    assert 1 <= len(chosen) <= points
    assert chosen == sorted(set(chosen))
    assert chosen[-1] == count - 1
    if points > 1:
        assert chosen[0] == 0
        assert len(chosen) == min(points, count)
        steps = [b - a for a, b in itertools.pairwise(chosen)]
        assert not steps or max(steps) - min(steps) <= 2, "evenly chosen"


def test_metrics_are_paged_and_end_with_the_verdict(book: Book, ledger: Ledger) -> None:
    run = ledger.run()
    last = measured(ledger, run, "loss", 10)
    measured(ledger, run, "loss", 10)
    ledger.fact("run", run, e.Completed(attempt=1, signal_sequence=last))
    book.apply(ledger)
    page = signals.metrics(book.reading(), RunMetrics(id=run, limit=6))
    rest = signals.metrics(book.reading(), RunMetrics(id=run, limit=6, after=int(page.next_cursor or 0)))
    assert [p.index for p in page.items + rest.items] == list(range(10))
    assert rest.next_cursor is None
    (compared,) = signals.compare(book.reading(), MetricCompare(metric="loss", runs=[run, "unknown"], max_points=3))
    assert {k: v for k, v in compared.items() if k != "points"} == {
        "run": run, "last": 81.0, "min": 0.0, "max": 81.0, "count": 10,
    }  # fmt: skip
    assert [p["index"] for p in compared["points"]] == [0, 5, 9]
    assert signals.compare(book.reading("other"), MetricCompare(metric="loss", runs=[run])) == []


def test_rows_are_those_of_the_latest_attempt(book: Book, ledger: Ledger) -> None:
    run = ledger.run()
    for attempt in (1, 2):
        ledger.fact("run", run, e.Started(attempt=attempt, runner="r"))
        ledger.signal(run, "record", [
            {"time": T0_US + i, "kind": kind, "index": i, "id": f"{attempt}.{i}", "data": {"i": i}}
            for i in range(1, 6) for kind in ("agent", "deal") if kind == "agent" or i < 3
        ], attempt=attempt)  # fmt: skip
    ledger.logs(run, 4, attempt=1)
    ledger.logs(run, 2, attempt=2)
    book.apply(ledger)
    page = signals.rows(book.reading(), RunRows(id=run, kind="agent", limit=3))
    assert [(r.id, msgspec.json.decode(r.data)) for r in page.items] == [(f"2.{i}", {"i": i}) for i in (1, 2, 3)]
    rest = signals.rows(book.reading(), RunRows(id=run, kind="agent", after_index=int(page.next_cursor or 0)))
    assert [r.index for r in rest.items] == [4, 5]
    first = signals.rows(book.reading(), RunRows(id=run, kind="deal", attempt=1))
    assert [r.id for r in first.items] == ["1.1", "1.2"]
    (activity,) = runs.activity(book.reading(), RunActivity(ids=["unknown", run]))
    assert (activity.logs, activity.rows) == (2, {"agent": 5, "deal": 2})
    assert activity.first_row_at["agent"] == "2026-01-01T00:00:00.000001Z"
    assert activity.last_at == "2026-01-01T00:00:00.000005Z"


def test_activity_does_not_count_beyond_the_verdict(book: Book, ledger: Ledger, talker: str) -> None:
    (activity,) = runs.activity(book.reading(), RunActivity(ids=[talker]))
    assert activity.logs == 30
    assert activity.last_at == "2026-01-01T00:00:00.000029Z"


def test_facts_come_back_as_they_were_written(book: Book, ledger: Ledger) -> None:
    run = ledger.run(params={"a": 1})
    ledger.run(workspace="other")
    ledger.fact("run", run, e.Started(attempt=1, runner="r"))
    ledger.fact("file", "f", file.Uploaded(name="n", sha256="0" * 64, size=1))
    ledger.fact("run", run, e.Deleted())
    book.apply(ledger)
    page = facts.of_run(book.reading(), RunFacts(id=run, limit=2))
    assert [i["sequence"] for i in page.items] == [1, 3]
    assert [msgspec.json.encode(i["event"]) for i in page.items] == [ledger.facts[0].data, ledger.facts[2].data]
    rest = facts.of_run(book.reading(), RunFacts(id=run, after=int(page.next_cursor or 0)))
    assert [i["sequence"] for i in rest.items] == [5]
    assert len(facts.of_run(book.reading(), RunFacts(id=run, up_to=3)).items) == 2

    def sequences(workspace: str = "main", **filters: Any) -> list[int]:
        return [i["sequence"] for i in facts.listing(book.reading(workspace), EventList(**filters)).items]

    assert sequences() == [1, 3, 4, 5]
    assert sequences("_") == [1, 2, 3, 4, 5]
    assert sequences(types=["run.started.v1", "run.deleted.v1"]) == [3, 5]
    assert sequences(kind="file") == [4]
    assert sequences(aggregate=run, after=1, up_to=4) == [3]


def test_items_are_listed_in_creation_order(book: Book, ledger: Ledger) -> None:
    for n in range(5):
        ledger.fact("dataset", f"d{n}", dataset.Created(name=f"Set-{n}"))
    ledger.fact("dataset", "d2", dataset.Deleted())
    ledger.fact("dataset", "d4", dataset.VersionAdded(number=1, files={}))
    ledger.fact("dataset", "x", dataset.Created(name="Set-1"), "other")
    book.apply(ledger)
    page = items.listing(book.reading(), ItemList(kind="dataset", limit=2))
    rest = items.listing(book.reading(), ItemList(kind="dataset", cursor=page.next_cursor or ""))
    assert [i.id for i in page.items + rest.items] == ["d0", "d1", "d3", "d4"]
    assert items.get(book.reading(), ItemGet(kind="dataset", name="Set-1")).id == "d1"
    assert len(items.get(book.reading(), ItemGet(kind="dataset", id="d4")).data["versions"]) == 1
    assert [i.id for i in items.listing(book.reading(), ItemList(kind="dataset", search="SET-3")).items] == ["d3"]
    with pytest.raises(NotFound):
        items.get(book.reading(), ItemGet(kind="dataset", id="d2"))
    with pytest.raises(Invalid):
        items.listing(book.reading(), ItemList(kind="file", cursor=page.next_cursor or ""))
