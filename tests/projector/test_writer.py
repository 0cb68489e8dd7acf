"""Facts and signals become rows: folding, poison, positions, and the same rows however the streams are cut."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.projector.support import T0_US, Book, Ledger
from trialbook.codec import encode
from trialbook.domain import dataset, file, workspace
from trialbook.domain.run import RunSpec
from trialbook.domain.run import events as e
from trialbook.queries import ItemGet, RunGet
from trialbook_projector.queries import items, runs
from trialbook_projector.tables import hashes
from trialbook_projector.tables.store import Limits, usable_path
from trialbook_projector.tables.writer import Capacity


def life(ledger: Ledger, number: int) -> None:
    """One run with everything that leaves rows."""
    run = ledger.run(name=f"run-{number}", labels={"n": str(number)}, params={"n": number})
    ledger.fact("run", run, e.Started(attempt=1, runner="r1"))
    ledger.logs(run, 7)
    ledger.signal(run, "metric", [{"time": T0_US, "name": "loss", "value": 0.5, "index": i} for i in range(3)])
    ledger.signal(run, "progress", [{"time": T0_US, "done": 1.0, "total": 2.0}])
    ledger.fact("run", run, e.StepStarted(attempt=1, step="one"))
    ledger.fact("run", run, e.EffectRecorded(attempt=1, key="k", request_digest="d", response={"big": "x" * 100}))
    ledger.signal(
        run, "record", [{"time": T0_US + i, "kind": "agent", "index": i + 1, "data": {"i": i}} for i in range(4)]
    )
    ledger.signal(run, "record", [{"time": T0_US, "kind": "deal", "index": 1, "data": 1}])
    ledger.fact("run", run, e.StepCompleted(attempt=1, step="one", result=[1]))
    last = ledger.logs(run, 5, start=7)
    ledger.fact("run", run, e.Completed(attempt=1, result={"ok": True}, signal_sequence=last))
    ledger.fact("dataset", f"d{number}", dataset.Created(name=f"set-{number}"))
    ledger.fact("dataset", f"d{number}", dataset.VersionAdded(number=1, files={}))
    ledger.fact("file", f"f{number}", file.Uploaded(name="a.txt", sha256="0" * 64, size=3))
    ledger.raw_fact("fact.main.run.x.nonsense", b"not json")


def test_a_run_is_folded_and_its_facts_kept(book: Book, ledger: Ledger) -> None:
    life(ledger, 1)
    book.apply(ledger)
    (row,) = book.rows(
        "SELECT status, attempt, runner, labels, deleted, terminal, signal_sequence, sequence FROM book.runs"
    )
    assert row == ("completed", 1, "r1", {"n": "1"}, False, True, 6, 6)
    assert book.rows("SELECT count(*) FROM book.facts WHERE kind = 'run'") == [(6,)]
    found = runs.get(book.reading(), RunGet(name="run-1"))
    assert found.result == {"ok": True}
    assert found.progress == {
        "time": "2026-01-01T00:00:00.000000Z", "done": 1.0, "total": 2.0, "unit": "", "message": "", "step": None,
    }  # fmt: skip
    assert found.steps["one"].status == "completed"


@pytest.mark.parametrize("seed", range(4))
def test_tables_do_not_depend_on_how_the_streams_were_cut(tmp_path: Path, ledger: Ledger, seed: int) -> None:
    """However facts and signals are interleaved and batched, however little is remembered: equal hashes."""
    for number in range(6):
        life(ledger, number)
    whole = Book(tmp_path / "whole.duckdb", Capacity())
    whole.put(ledger.facts, ledger.signals)
    chance = random.Random(seed)
    cut = Book(tmp_path / "cut.duckdb", Capacity(runs=1, items=1, emitted=1) if seed % 2 else Capacity())
    facts, signals = list(ledger.facts), list(ledger.signals)
    while facts or signals:
        n, m = chance.randint(0, 5), chance.randint(0, 5)
        if facts[:n] or signals[:m]:
            cut.put(facts[:n], signals[:m])
        facts, signals = facts[n:], signals[m:]
    assert hashes.of_tables(whole.store.cursor()) == hashes.of_tables(cut.store.cursor())
    assert whole.writer.parked == cut.writer.parked == 6
    assert whole.writer.positions == cut.writer.positions


def test_a_hash_notices_a_changed_row_and_a_repeated_pair(book: Book, ledger: Ledger) -> None:
    life(ledger, 1)
    book.apply(ledger)
    before = hashes.of_table(book.store.writer, "logs")
    book.rows("UPDATE book.logs SET message = 'other' WHERE cursor = (SELECT max(cursor) FROM book.logs)")
    changed = hashes.of_table(book.store.writer, "logs")
    assert changed.hash != before.hash
    assert changed.rows == before.rows
    book.rows("INSERT INTO book.logs SELECT * FROM book.logs UNION ALL SELECT * FROM book.logs")
    assert hashes.of_table(book.store.writer, "logs").hash != changed.hash


def poison() -> list[tuple[str, bytes]]:
    good: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "t", "time": "2026-01-01T00:00:00.000000Z"}
    run = {**good, "subject": "main/run/r", "type": "run.started.v1"}
    return [
        ("fact.main.run.r.started", b"\xff\xfe"),
        ("fact.main.run.r.started", b"{}"),
        ("fact.main.run.r.unheard", encode({**run, "type": "run.unheard.v9", "data": {}})),
        ("fact.main.run.r.started", encode({**run, "data": {"attempt": "one"}})),
        ("fact.main.run.other.started", encode({**run, "data": {"attempt": 1, "runner": "r"}})),
        ("fact.main.run.r.started", encode({**run, "data": {"attempt": 1, "runner": "never created"}})),
        ("fact.main.dataset.r.started", encode({
            **run, "subject": "main/dataset/r", "data": {"attempt": 1, "runner": "r"},
        })),
        ("fact.main.run.r.submitted", encode({
            **run, "type": "run.submitted.v1", "time": "yesterday", "data": {"spec": {"workload": "w"}, "ticket": "t"},
        })),
        ("fact.main.run.r.submitted", encode({**run, "subject": "main/run"})),
        ("fact.main.run.r.submitted", encode({
            **run, "type": "run.submitted.v1", "data": {"spec": {"workload": "w"}, "ticket": "t"},
        }).replace(b'"t"', rb'"\ud800"')),
    ]  # fmt: skip


@pytest.mark.parametrize(("subject", "data"), poison())
def test_a_poison_fact_is_parked_and_others_go_on(book: Book, ledger: Ledger, subject: str, data: bytes) -> None:
    first = ledger.run()
    ledger.raw_fact(subject, data)
    second = ledger.run()
    ledger.logs(first, 3)
    book.apply(ledger)
    assert [r[0] for r in book.rows("SELECT id FROM book.runs ORDER BY created")] == [first, second]
    ((stream, sequence, reason, stored),) = book.rows("SELECT stream, sequence, reason, data FROM book.parked")
    assert (stream, sequence, stored) == ("FACTS", 2, data)
    assert reason
    assert book.writer.parked == 1
    assert book.writer.positions.facts == 3
    assert book.rows("SELECT count(*) FROM book.logs") == [(3,)]


@pytest.mark.parametrize(
    "record",
    [
        {"time": -1, "message": "before 1970"},
        {"time": 1 << 70, "message": "a time that no table holds"},
        {"time": "soon"},
        {"message": "no time"},
    ],
)
def test_a_poison_signal_is_parked_and_others_go_on(book: Book, ledger: Ledger, record: dict[str, Any]) -> None:
    run = ledger.run()
    ledger.logs(run, 2)
    ledger.signal(run, "log", [record])
    ledger.signal(run, "metric", [{"time": T0_US, "name": "m", "value": 1.0, "index": 1 << 80}])
    ledger.logs(run, 2)
    book.apply(ledger)
    assert book.rows("SELECT stream, sequence FROM book.parked ORDER BY sequence") == [("SIGNALS", 2), ("SIGNALS", 3)]
    assert book.rows("SELECT count(*) FROM book.logs") == [(4,)]
    assert book.writer.positions.signals == 4


def test_a_restart_goes_on_where_the_file_stands(tmp_path: Path, ledger: Ledger) -> None:
    run = ledger.run()
    ledger.logs(run, 3)
    first = Book(tmp_path / "a.duckdb", Capacity())
    first.apply(ledger)
    first.store.close(checkpoint=False)
    ledger.fact("run", run, e.Started(attempt=1, runner="r"))
    ledger.logs(run, 3, start=3)
    second = Book(tmp_path / "a.duckdb", Capacity())
    assert (second.writer.positions.facts, second.writer.positions.signals) == (1, 1)
    second.apply(ledger)
    assert second.rows("SELECT status FROM book.runs") == [("running",)]
    assert second.rows("SELECT count, last_cursor FROM book.emitted") == [(6, 2 << 16 | 2)]


def test_a_workspace_can_be_opened_again(forgetful: Book, ledger: Ledger) -> None:
    for fact in (workspace.Created(title="a"), workspace.Deleted(), workspace.Created(title="b")):
        ledger.fact("workspace", "main", fact)
    for number in range(5):
        ledger.fact("workspace", f"w{number}", workspace.Created(title="x"), workspace=f"w{number}")
    ledger.fact("workspace", "main", workspace.Renamed(title="c"))
    forgetful.apply(ledger, step=1)
    found = items.get(forgetful.reading(), ItemGet(kind="workspace", id="main"))
    assert (found.data["title"], found.sequence) == ("c", 9)


def test_progress_survives_forgetting(forgetful: Book, ledger: Ledger) -> None:
    known = [ledger.run() for _ in range(5)]
    for n, run in enumerate(known):
        ledger.signal(run, "progress", [{"time": T0_US, "done": float(n)}])
    forgetful.apply(ledger, step=1)
    for run in known:
        ledger.fact("run", run, e.Started(attempt=1, runner="r"))
    forgetful.apply(ledger, step=1)
    done = [(runs.get(forgetful.reading(), RunGet(id=r)).progress or {}).get("done") for r in known]
    assert done == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_two_workspaces_may_use_one_run_id(book: Book, ledger: Ledger) -> None:
    ledger.fact("run", "r", e.Created(spec=RunSpec(workload="a")), "one")
    ledger.fact("run", "r", e.Created(spec=RunSpec(workload="b")), "two")
    book.apply(ledger)
    assert [runs.get(book.reading(w), RunGet(id="r")).workload for w in ("one", "two")] == ["a", "b"]


def test_tables_of_another_schema_version_are_built_anew(tmp_path: Path, ledger: Ledger) -> None:
    ledger.run()
    limits = Limits(memory_mb=256, threads=1)
    path = usable_path(tmp_path, limits)
    old = Book(path, Capacity())
    old.apply(ledger)
    old.store.close()
    assert usable_path(tmp_path, limits) == path
    old = Book(path, Capacity())
    old.rows("UPDATE book.meta SET schema_version = 0")
    old.store.close()
    fresh = usable_path(tmp_path, limits)
    assert fresh != path
    assert not path.exists()
    anew = Book(fresh, Capacity())
    assert anew.writer.positions.facts == 0
    anew.apply(ledger)
    assert anew.rows("SELECT count(*) FROM book.runs") == [(1,)]
    anew.store.close()
    assert usable_path(tmp_path, limits) == fresh
