"""The service as a process beside a real nats-server: questions, kill -9, rebuild."""

from __future__ import annotations

import asyncio
import random
import shutil
from pathlib import Path

import msgspec
import pytest

from tests.projector.support import PATIENCE_S, Ledger, Stack
from trialbook import subjects
from trialbook.domain.run import events as e
from trialbook.errors import Invalid, NotFound
from trialbook.queries import Answer, Health, ProjectorHealth, RunGet, RunList, RunLogs, Sql
from trialbook.testing.server import NatsServer
from trialbook.views import RunView
from trialbook_projector.app import Projector
from trialbook_projector.pump import Pump
from trialbook_projector.settings import Settings

pytestmark = pytest.mark.integration


async def test_a_client_reads_its_own_writes(stack: Stack, ledger: Ledger) -> None:
    run = ""
    for number in range(30):
        run = ledger.run()
        facts, _ = await stack.publish(ledger)
        answer = await stack.ask.ask("main", RunGet(id=run, at_least=facts))
        assert msgspec.json.decode(answer.result or b"", type=RunView).status == "queued", number
        ledger.fact("run", run, e.Started(attempt=1, runner="r"))
        ledger.signal(run, "progress", [{"time": 1, "done": 1.0}])
        ledger.logs(run, 3)
        facts, signals = await stack.publish(ledger)
        answer = await stack.ask.ask("main", RunGet(id=run, at_least=facts, at_least_signals=signals))
        view = msgspec.json.decode(answer.result or b"", type=RunView)
        assert (view.status, (view.progress or {})["done"]) == ("running", 1.0)
        logs = await stack.ask.ask("main", RunLogs(id=run, at_least_signals=signals))
        assert msgspec.json.decode(logs.result or b"")["total"] == 3
    with pytest.raises(NotFound):
        await stack.ask.ask("other", RunGet(id=run))
    with pytest.raises(Invalid) as caught:
        await stack.ask.ask("main", RunGet(id=run, at_least=10**9))
    assert caught.value.code == "sequence_ahead"


BAD = [
    ("nope", b"{}", "unknown_query"),
    ("run.get.more", b"{}", "unknown_query"),
    ("run.get", b"\xff\x00", "invalid_query"),
    ("run.get", b"{", "invalid_query"),
    ("run.get", b"[]", "invalid_query"),
    ("run.get", b'{"id": 3}', "invalid_query"),
    ("run.get", b'{"id": "a", "more": 1}', "invalid_query"),
    ("run.get", b'{"id": "a", "at_least": "x"}', "invalid_query"),
    ("run.get", b"{}", "invalid_query"),
    ("run.get", b'{"id": "../../x"}', "run_not_found"),
    ("run.list", b'{"limit": 100000}', "invalid_limit"),
    ("run.list", b'{"cursor": "%%%"}', "invalid_cursor"),
    ("run.list", b"[" * 100_000, "invalid_query"),
    ("run.logs", b'{"id": "x", "after": 1e30}', "invalid_query"),
    ("run.logs", b'{"id": "x", "after": 99999999999999999999999}', "run_not_found"),
    ("item.get", b'{"kind": "house", "id": "x"}', "invalid_query"),
    ("sql", b'{"sql": "DROP TABLE runs"}', "sql_not_allowed"),
    ("sql", b'{"sql": "SELECT ?", "params": []}', "sql_failed"),
    ("rebuild", b"{}", "unknown_query"),
]


async def test_a_bad_question_is_answered_and_harms_nobody(stack: Stack, ledger: Ledger) -> None:
    ledger.run()
    facts, _ = await stack.publish(ledger)
    await stack.ready(facts)
    for name, payload, code in BAD:
        reply = await stack.nc.request(subjects.ask("main", name), payload, timeout=PATIENCE_S)
        answer = msgspec.json.decode(reply.data, type=Answer)
        assert answer.error is not None, (name, payload)
        assert (answer.error["code"], bool(answer.error["detail"])) == (code, True), (name, payload[:50])
    answer = await stack.ask.ask("main", RunList())
    assert len(msgspec.json.decode(answer.result or b"")["items"]) == 1


async def test_poison_is_counted_in_health(stack: Stack, ledger: Ledger) -> None:
    ledger.raw_fact("fact.main.run.x.y", b"nonsense")
    ledger.run()
    facts, _ = await stack.publish(ledger)
    await stack.ready(facts)
    answer = await stack.ask.ask("_", Health())
    health = msgspec.json.decode(answer.result or b"", type=ProjectorHealth)
    assert (health.parked, health.facts, health.lag_facts) == (1, 2, 0)
    assert health.database_bytes > 0


async def identical(stack: Stack) -> bool:
    """Compare the tables with a rebuild from zero, with the service running or not."""
    code, output = await stack.service.command("rebuild", "--check")
    report = msgspec.json.decode(output)
    assert report["identical"] == (code == 0), output
    assert not report["swapped"]
    return code == 0


def story(ledger: Ledger, chance: random.Random) -> None:
    """A few runs with facts and signals, and now and then poison."""
    for _ in range(chance.randint(1, 5)):
        run = ledger.run(labels={"a": "b"})
        ledger.fact("run", run, e.Started(attempt=1, runner="r"))
        for start in range(chance.randint(0, 5)):
            ledger.logs(run, chance.randint(1, 100), start=start * 100)
            ledger.signal(run, "progress", [{"time": start, "done": float(start)}])
        if chance.random() < 0.5:
            ledger.fact("run", run, e.Completed(attempt=1, result=1))
        if chance.random() < 0.1:
            ledger.raw_fact("fact.main.run.x.y", b"poison")


@pytest.mark.timeout(600)  # seven starts and two rebuilds
async def test_kill_9_at_any_moment_leaves_the_same_tables(stack: Stack, ledger: Ledger) -> None:
    chance = random.Random(7)
    facts = signals = 0
    for _ in range(6):
        await stack.ready()

        async def publish() -> None:
            nonlocal facts, signals
            for _ in range(10):
                story(ledger, chance)
                f, s = await stack.publish(ledger)
                facts, signals = max(facts, f), max(signals, s)

        publishing = asyncio.create_task(publish())
        await asyncio.sleep(chance.random() * 0.4)
        await stack.service.kill()
        await publishing
        await stack.service.start()
    await stack.ready(facts, signals)
    assert await identical(stack), "while it runs"
    assert await stack.service.terminate() == 0
    assert await identical(stack), "after a clean stop"


async def test_a_rebuild_swaps_without_a_failed_read(stack: Stack, ledger: Ledger, tmp_path: Path) -> None:
    chance = random.Random(1)
    for _ in range(60):
        story(ledger, chance)
    known = ledger.run(name="known")
    facts, signals = await stack.publish(ledger)
    await stack.ready(facts, signals)
    stop = asyncio.Event()
    reads = 0

    async def read() -> None:
        nonlocal reads
        while not stop.is_set():
            await stack.ask.ask("main", RunGet(id=known))
            await stack.ask.ask("main", RunGet(name="known"))
            await stack.ask.ask("main", Sql(sql="SELECT count(*) FROM logs"))
            await stack.ask.ask("main", RunList(limit=5))
            reads += 1

    async def write() -> None:
        nonlocal facts, signals
        while not stop.is_set():
            story(ledger, chance)
            f, s = await stack.publish(ledger)
            facts, signals = max(facts, f), max(signals, s)
            await stack.ask.ask("main", RunList(limit=1, at_least=f, at_least_signals=s))

    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        group.create_task(write())
        code, output = await stack.service.command("rebuild")
        stop.set()
    report = msgspec.json.decode(output)
    assert (code, report["identical"], report["swapped"]) == (0, True, True), report
    assert reads > 0
    await stack.ready(facts, signals)
    assert sorted(p.name for p in stack.service.folder.glob("*.duckdb")) == ["trialbook.1.duckdb", "trialbook.duckdb"]
    await stack.service.kill()
    await stack.service.start()
    await stack.ready(facts, signals)
    assert await identical(stack)


async def test_a_rebuild_repairs_tables_and_says_that_they_differed(stack: Stack, ledger: Ledger) -> None:
    import duckdb

    run = ledger.run()
    ledger.logs(run, 5)
    facts, signals = await stack.publish(ledger)
    await stack.ready(facts, signals)
    await stack.service.terminate()
    with duckdb.connect(str(stack.service.folder / "trialbook.duckdb")) as connection:
        connection.execute("DELETE FROM book.logs WHERE message = 'line 3'")
    code, output = await stack.service.command("rebuild")
    report = msgspec.json.decode(output)
    assert (code, report["identical"], report["swapped"]) == (2, False, True)
    assert [name for name, table in report["tables"].items() if not table["equal"]] == ["logs"]
    await stack.service.start()
    answer = await stack.ask.ask("main", Sql(sql="SELECT count(*) FROM logs"))
    assert msgspec.json.decode(answer.result or b"")["rows"] == [[5]]


async def test_signals_that_have_expired_survive_a_rebuild(stack: Stack, ledger: Ledger) -> None:
    runs = [ledger.run() for _ in range(3)]
    for start in range(4):
        for run in runs:
            ledger.logs(run, 10, start=start * 10)
            ledger.signal(run, "metric", [{"time": 1, "name": "m", "value": 1.0}])
    ledger.raw_signal("signal.main.run.x.log", b"poison")
    for run in runs:
        ledger.logs(run, 5, start=40)
    facts, signals = await stack.publish(ledger)
    await stack.ready(facts, signals)
    await stack.nc.jetstream().purge_stream("SIGNALS", seq=14)
    for command in (("rebuild",), ("rebuild", "--check")):
        code, output = await stack.service.command(*command)
        assert code == 0, output
    answer = await stack.ask.ask("main", RunLogs(id=runs[0], limit=100))
    page = msgspec.json.decode(answer.result or b"")
    assert [i["message"] for i in page["items"]] == [f"line {n}" for n in range(45)]


async def test_nobody_waits_for_signals_that_are_gone(stack: Stack, ledger: Ledger) -> None:
    run = ledger.run()
    ledger.logs(run, 3)
    ledger.logs(run, 3)
    facts, signals = await stack.publish(ledger)
    await stack.ready(facts, signals)
    await stack.nc.jetstream().delete_msg("SIGNALS", signals)  # an erasure does this, and has the tables made anew

    async def total() -> int:
        answer = await stack.ask.ask("main", RunLogs(id=run, at_least_signals=signals))
        return int(msgspec.json.decode(answer.result or b"")["total"])

    async def anew() -> int:
        await stack.service.kill()
        shutil.rmtree(stack.service.folder)
        await stack.service.start()
        await stack.ready(facts)
        return await total()

    code, output = await stack.service.command("rebuild")
    assert code == 2, output  # the lines of the signal that is gone are only in the old tables
    await total()
    assert await anew() == 3
    await stack.nc.jetstream().purge_stream("SIGNALS")
    assert await anew() == 0
    ledger.logs(run, 2)
    _, signals = await stack.publish(ledger)
    assert await total() == 2, "and what comes then is applied"


async def test_two_rebuilds_at_once_are_refused(stack: Stack, ledger: Ledger) -> None:
    ledger.run()
    facts, _ = await stack.publish(ledger)
    await stack.ready(facts)
    codes = await asyncio.gather(*(stack.service.command("rebuild", "--check") for _ in range(2)))
    assert sorted(code for code, _ in codes) in ([0, 0], [0, 1])
    first = stack.nc.request(subjects.ask("_", subjects.REBUILD), b'{"check": true}', timeout=PATIENCE_S)
    second = stack.nc.request(subjects.ask("_", subjects.REBUILD), b'{"check": true}', timeout=PATIENCE_S)
    answers = [msgspec.json.decode(r.data, type=Answer) for r in await asyncio.gather(first, second)]
    errors = [a.error["code"] for a in answers if a.error]
    assert errors == ["rebuild_running"]


async def test_a_pump_that_forgets_its_cancellation_does_not_hang_the_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pumping, forgot = asyncio.Event(), asyncio.Event()

    async def forgetful(_self: Pump) -> None:
        pumping.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            forgot.set()  # as wait_for does when the reply comes in the same moment
        await asyncio.Event().wait()

    monkeypatch.setattr(Pump, "run", forgetful)
    server = NatsServer(tmp_path / "nats").start()
    try:
        app = Projector(Settings(nats_url=server.url, data_dir=tmp_path / "data")).app
        running = asyncio.create_task(app.run())
        async with asyncio.timeout(60):
            await pumping.wait()
            app.exit()
            await running
        assert forgot.is_set()
    finally:
        server.kill()
