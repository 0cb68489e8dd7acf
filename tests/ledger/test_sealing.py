"""The sealer beside a real server and real tables: boundaries, interruptions at every step, and writers meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.aio.client import Client

from tests.ledger.support import StoredFacts, stream_of
from trialbook import subjects
from trialbook.aggregates import RUN
from trialbook.clock import SystemClock
from trialbook.codec import event_of, fact_of, route_of
from trialbook.domain.run import RunSpec, commands
from trialbook.domain.run import events as e
from trialbook.envelope import AggregateId, Metadata
from trialbook.errors import Conflict, Forbidden, Invalid, Refusal
from trialbook.handle import Handler
from trialbook.ids import UUIDv7Source
from trialbook.ledger.reader import LedgerGap, read_ledger
from trialbook.ledger.storage import Content, LocalStorage
from trialbook.log import purging
from trialbook.log.api import call
from trialbook.log.nats import NatsEventLog
from trialbook.log.purged import GRACE_S, RECENT_S, Recent, boundary
from trialbook.log.setup import ensure_streams
from trialbook.log.tail import Message
from trialbook.ports import Part, VersionConflict
from trialbook.queries import LedgerSegments, SegmentList
from trialbook.streams import FACTS
from trialbook.tasks import ended
from trialbook.testing.server import NatsServer
from trialbook_projector import seal_write
from trialbook_projector.live import Live, Tables
from trialbook_projector.pump import Pump
from trialbook_projector.seal import Order, Sealer
from trialbook_projector.segments import Segments
from trialbook_projector.settings import Settings
from trialbook_projector.tables.store import current_path

pytestmark = pytest.mark.integration
IDS, CLOCK, META = UUIDv7Source(), SystemClock(), Metadata(source="test")


class Killed(BaseException):
    """What a test throws where a process is to have been killed."""


class Fragile:
    """A storage, and calls to the server, that end the process before the n-th operation."""

    def __init__(self, storage: LocalStorage) -> None:
        self._storage, self.left = storage, 10**9
        self.done = 0

    def step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed
        self.done += 1

    async def put(self, name: str, content: Content) -> int:
        self.step()
        return await self._storage.put(name, content)

    async def get(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        return await self._storage.get(name, start, end)

    async def size(self, name: str) -> int | None:
        return await self._storage.size(name)

    async def names(self, prefix: str = "") -> list[str]:
        return await self._storage.names(prefix)

    async def delete(self, name: str) -> None:
        await self._storage.delete(name)

    async def call(self, nc: Client, subject: str, *rest: Any) -> dict[str, Any]:
        if not subject.startswith("STREAM.INFO"):
            self.step()
        return await call(nc, subject, *rest)


class Bench:
    """A ledger, its tables, and a sealer."""

    def __init__(self, nc: Client, url: str, folder: Path) -> None:
        self.nc, self.url = nc, url
        self.settings = Settings(nats_url=url, data_dir=folder)
        self.live = Live(Tables(current_path(self.settings.folder), self.settings))
        self.segments = Segments(nc, self.live, self.settings)
        self.fragile = Fragile(LocalStorage(folder / "segments"))
        self.segments.storage = self.fragile
        self.sealer = Sealer(nc, self.live, self.segments, self.settings, grace_s=0.0)
        self.log = NatsEventLog(nc)
        self.log.purged = StoredFacts(nc, self.fragile)
        self.log._recent = Recent(nc, 0)  # nobody waits here before purging

    async def run(self, *facts: e.RunEvent, id_: str = "") -> AggregateId:
        """A run with these facts, one append each."""
        aggregate, end = AggregateId("main", "run", id_ or IDS.new()), 0
        for fact in facts:
            event = event_of(aggregate, fact, META, IDS, CLOCK)
            [end] = await self.log.append(
                [Part(aggregate=aggregate, expected=end, events=[event], routes=[route_of(fact)])]
            )
        return aggregate

    async def finished(self) -> AggregateId:
        return await self.run(SUBMITTED, STARTED, FAILED)

    async def settle(self) -> int:
        """Until the tables have everything; the last sequence."""
        last = await self.log.last_sequence()
        await self.live.watermarks.wait(last, 0, 60)
        return last

    async def seal(self, before: str = "", **more: Any) -> Any:
        last = await self.settle()
        return await self.sealer.seal(Order(before=before or str(last + 1), **more))

    async def everything(self) -> list[tuple[int, str, bytes]]:
        storage = self.fragile
        return [
            (m.sequence, m.subject, m.data)
            async for batch in read_ledger(self.nc, self.url, storage) for m in batch
        ]  # fmt: skip

    async def left(self) -> list[Message]:
        return await stream_of(self.url, FACTS, subjects.FACTS_ALL)


SUBMITTED = e.Submitted(spec=RunSpec(workload="noop"), ticket="1")
STARTED = e.Started(attempt=1, runner="r", isolation="process")
FAILED = e.Failed(attempt=1, error={"code": "exception", "detail": "no"}, signal_sequence=0)
QUEUED = e.Queued(ticket="2", reason="retry", pool="default", priority="normal")


@pytest.fixture
async def bench(nc: Client, server: NatsServer, tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(nc, server.url, tmp_path)
    await made.log.start()
    pump = asyncio.create_task(Pump(nc, made.live, made.fragile).run())
    yield made
    await ended(pump)
    await made.log.close()
    await made.live.close()


async def test_everything_is_still_read_and_little_is_left(bench: Bench) -> None:
    runs = [await bench.finished() for _ in range(20)]
    before, histories = await bench.everything(), [await bench.log.read(run) for run in runs]
    report = await bench.seal()
    assert (report.sealed_to, report.segments, report.purged, report.holding) == (60, 1, 40, None)
    assert [m.subject.split(".")[4] for m in await bench.left()] == ["failed"] * 20
    assert await bench.everything() == before
    assert [await bench.log.read(run) for run in runs] == histories
    assert (await bench.seal()).segments == 0


async def test_a_run_that_is_not_finished_holds_the_boundary(bench: Bench) -> None:
    await bench.finished()
    waiting = await bench.run(SUBMITTED)
    done = await bench.finished()
    report = await bench.seal()
    assert (report.sealed_to, report.holding.run) == (3, waiting.id)
    assert len(await bench.log.read(done)) == 3
    [end] = await bench.log.append([_part(waiting, 4, e.Cancelled(attempt=0, reason="", signal_sequence=0))])
    report = await bench.seal()
    assert (report.sealed_to, report.holding) == (end, None)


async def test_runs_that_only_wait_for_somebody_hold_nothing(bench: Bench) -> None:
    created = await bench.run(e.Created(spec=RunSpec(workload="noop")))
    paused = await bench.run(SUBMITTED, STARTED, e.PauseRequested(), e.Paused(attempt=1, signal_sequence=0))
    begun = await bench.run(e.Created(spec=RunSpec(workload="noop")), QUEUED, STARTED, FAILED)
    before = [await bench.log.read(run) for run in (created, paused, begun)]
    report = await bench.seal()
    assert (report.sealed_to, report.purged, report.holding) == (9, 5, None)
    assert [await bench.log.read(run) for run in (created, paused, begun)] == before
    await bench.log.append([_part(created, 1, QUEUED), _part(paused, 5, e.ResumeRequested())])
    assert [len(await bench.log.read(run)) for run in (created, paused)] == [2, 5]


async def test_who_remembers_the_boundary_still_reads_everything(bench: Bench) -> None:
    assert GRACE_S > 2 * RECENT_S
    bench.log._recent = Recent(bench.nc)
    run = await bench.finished()
    before = await bench.log.read(run)
    sealing = asyncio.create_task(
        Sealer(bench.nc, bench.live, bench.segments, bench.settings).seal(Order(before=str(await bench.settle() + 1)))
    )
    while not sealing.done():
        assert await bench.log.read(run) == before
        await asyncio.sleep(0.005)
    assert (await sealing).purged == 2
    assert await bench.log.read(run) == before


async def test_a_sealed_run_that_is_retried_holds_only_what_is_new(bench: Bench) -> None:
    run = await bench.finished()
    await bench.seal()
    await bench.log.append([_part(run, 3, QUEUED)])
    await bench.finished()
    report = await bench.seal()
    assert (report.sealed_to, report.holding.run, report.holding.sequence) == (3, run.id, 4)
    await bench.log.append([_part(run, 4, e.Completed(attempt=2, result=1, signal_sequence=0))])
    before = await bench.log.read(run)
    assert (await bench.seal()).sealed_to == 8
    assert [r.sequence for r in before] == [1, 2, 3, 4, 8]
    assert await bench.log.read(run) == before


async def test_what_is_not_about_runs_stays_in_the_stream(bench: Bench, nc: Client) -> None:
    await bench.finished()
    await nc.jetstream().publish("fact.main.name.x.claimed", b"anything")
    await nc.jetstream().publish("fact.main.run.x.exploded", b"\x00poison\n")
    before = await bench.everything()
    assert (await bench.seal()).purged == 2
    assert [m.subject.split(".")[2:] for m in await bench.left()][1:] == [["name", "x", "claimed"],
                                                                         ["run", "x", "exploded"]]  # fmt: skip
    assert await bench.everything() == before


async def test_ages_and_sequences(bench: Bench) -> None:
    for _ in range(3):
        await bench.finished()
    assert (await bench.seal("1h")).sealed_to == 0
    assert (await bench.seal("4")).sealed_to == 3
    await asyncio.sleep(1.1)
    assert (await bench.seal("1s")).sealed_to == 9
    for nonsense in ("d", "-1d", "0d", "1w", "1d ", "0s1"):
        with pytest.raises(Invalid):
            await bench.seal(nonsense)


async def test_only_the_last_two_manifests_are_kept(bench: Bench) -> None:
    for _ in range(4):
        await bench.finished()
        await bench.seal()
    names = [name for name in await bench.fragile.names() if "manifest" in name]
    assert names == [f"sealed/manifest-{last:020d}.json" for last in (9, 12)]


async def test_segments_are_told_to_the_whole_ledgers_askers_only(bench: Bench) -> None:
    await bench.finished()
    await bench.seal()
    found = await bench.segments.answer("_", LedgerSegments(verify=True))
    assert isinstance(found, SegmentList)
    assert [(s.first, s.last, s.problem) for s in found.segments] == [(1, 3, None)]
    with pytest.raises(Forbidden):
        await bench.segments.answer("main", LedgerSegments())


async def test_kept_in_the_stream_and_purged_later(bench: Bench) -> None:
    await bench.finished()
    assert (await bench.seal(keep_stream=True)).purged == 0
    assert len(await bench.left()) == 3
    assert (await bench.seal()).purged == 2


async def test_an_old_ledger_says_the_way_out(bench: Bench, nc: Client) -> None:
    await bench.finished()
    config = (await call(nc, f"STREAM.INFO.{FACTS}"))["config"]
    await call(nc, f"STREAM.UPDATE.{FACTS}", config | {"deny_purge": True})
    with pytest.raises(Conflict) as refused:
        await bench.seal()
    assert "export" in refused.value.detail
    assert (await bench.seal(keep_stream=True)).segments == 1
    assert len(await bench.everything()) == 3


async def test_killed_before_any_step_nothing_is_lost(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purging, "call", bench.fragile.call)
    monkeypatch.setattr("trialbook_projector.seal.SEGMENTS_PER_STEP", 2)
    monkeypatch.setattr(seal_write, "SEGMENT_MESSAGES", 4)
    runs = [await bench.finished() for _ in range(6)]
    before, histories = await bench.everything(), [await bench.log.read(run) for run in runs]
    killed = 0
    while True:
        bench.fragile.left = killed
        try:
            await bench.seal()
            break
        except Killed:
            killed += 1
        bench.fragile.left = 10**9
        assert await bench.everything() == before
        assert [await bench.log.read(run) for run in runs] == histories
        if killed % 10 == 0:  # somebody works meanwhile
            again = await bench.finished()
            runs, histories = [*runs, again], [*histories, await bench.log.read(again)]
            before = await bench.everything()
    bench.fragile.left = 10**9
    assert killed >= 20
    assert await bench.everything() == before
    assert [await bench.log.read(run) for run in runs] == histories
    assert {m.subject.split(".")[4] for m in await bench.left()} == {"failed"}


async def test_commands_and_seals_at_the_same_time(bench: Bench) -> None:
    """Runs are retried, deleted and created again by many, while their facts are sealed and purged beneath them."""
    handler = Handler(bench.log, CLOCK, IDS)
    runs = [await bench.finished() for _ in range(30)]
    outcomes: list[str] = []

    async def disturb(run: AggregateId, number: int) -> None:
        await asyncio.sleep(0.01 * (number % 10))
        for command in (
            commands.Retry(ticket=IDS.new(), command_id=IDS.new()),
            commands.Create(spec=RunSpec(workload="noop"), ticket="x", start=True, command_id="c", digest="d"),
            commands.RequestCancel(reason="", command_id=IDS.new()),
            commands.Delete(command_id=IDS.new()),
        ):
            try:
                outcome = await handler.handle(run, command, META)
                outcomes.extend(fact.TYPE for fact in outcome.facts)
            except Refusal as refusal:
                outcomes.append(refusal.code)
            with pytest.raises(VersionConflict):
                await bench.log.append([_part(run, 0, SUBMITTED)])

    async def seal() -> None:
        for _ in range(4):
            await bench.seal()

    await asyncio.gather(seal(), *(disturb(run, n) for n, run in enumerate(runs * 2)))
    await bench.seal()
    for run in runs:
        records = await bench.log.read(run)
        types = [r.event.type for r in records]
        assert types[0] == "run.submitted.v1"
        assert types.count("run.submitted.v1") == 1
        assert types[-1] == "run.deleted.v1"
        assert types.count("run.deleted.v1") == 1
        state = RUN.decider.fold((fact_of(r.event), r.event.time) for r in records)
        assert state.deleted
    assert outcomes.count("run.deleted.v1") == len(runs)
    sequences = [m[0] for m in await bench.everything()]
    assert sequences == list(range(1, len(sequences) + 1))


async def test_a_real_gap_is_an_error(bench: Bench, nc: Client) -> None:
    for _ in range(3):
        await bench.finished()
    await bench.settle()
    await call(nc, f"STREAM.PURGE.{FACTS}", {"filter": "fact.*.run.*.started", "seq": 6})
    with pytest.raises(LedgerGap) as gap:
        await bench.everything()
    assert (gap.value.after, gap.value.before) == (1, 3)
    with pytest.raises(Refusal):
        await bench.seal()


async def test_tables_behind_the_boundary_are_filled_from_segments(bench: Bench, tmp_path: Path) -> None:
    for _ in range(10):
        await bench.finished()
    await bench.seal("16")
    settings = msgspec.structs.replace(bench.settings, data_dir=tmp_path / "other")
    live = Live(Tables(current_path(settings.folder), settings))
    pump = asyncio.create_task(Pump(bench.nc, live, bench.fragile).run())
    try:
        await live.watermarks.wait(30, 0, 60)
        rows = await live.tables.sql.run(lambda c: c.execute("SELECT count(*) FROM book.facts").fetchone())
        assert rows == (30,)
    finally:
        await ended(pump)
        await live.close()


async def test_boundaries_survive_a_start_of_the_services(bench: Bench, nc: Client) -> None:
    await bench.finished()
    await bench.seal()
    known = await boundary(nc)
    await ensure_streams(nc)
    assert await boundary(nc) == known
    assert known.sequence == 3


def _part(aggregate: AggregateId, expected: int, fact: e.RunEvent) -> Part:
    return Part(
        aggregate=aggregate, expected=expected, events=[event_of(aggregate, fact, META, IDS, CLOCK)],
        routes=[route_of(fact)],
    )  # fmt: skip
