"""Lane and runs together, through the real handler: one at a time, in order, and nobody is forgotten."""

import asyncio
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from trialbook import subjects
from trialbook.clock import FixedClock
from trialbook.codec import fact_of
from trialbook.domain import lane
from trialbook.domain.run import RunSpec, RunState
from trialbook.domain.run import commands as c
from trialbook.domain.run import events as e
from trialbook.domain.run.spec import Retry
from trialbook.draft import Loaded
from trialbook.envelope import AggregateId, Metadata, Recorded
from trialbook.errors import PreconditionFailed, Refusal
from trialbook.handle import Handler
from trialbook.ids import CountingIds
from trialbook.lanes import lane_aggregate
from trialbook.log.memory import MemoryEventLog
from trialbook.testing import given
from trialbook.testing.specification import NOW

LANE = lane_aggregate("w", "l")
META = Metadata(source="t")
SPEC = RunSpec(workload="w", lane="l", retry=Retry(max_attempts=2, backoff_s=0, max_lost=1))


def run(number: int) -> AggregateId:
    return AggregateId("w", "run", f"r{number}")


class Book:
    """A ledger, and handlers that know it to different degrees, as several services do."""

    def __init__(self) -> None:
        self.log = MemoryEventLog()
        self.tickets = CountingIds()
        self.handlers = [Handler(self.log, FixedClock(NOW), self.tickets) for _ in range(3)]
        self.turn = 0

    def give(self, *commands: tuple[AggregateId, Any]) -> bool:
        self.turn += 1
        handler = self.handlers[self.turn % len(self.handlers)]
        try:
            asyncio.run(handler.handle_all(commands, META))
        except Refusal:
            return False
        return True

    def state(self, aggregate: AggregateId) -> Any:
        return asyncio.run(self.handlers[0].load(aggregate)).state

    def create(self, number: int, *, start: bool = True, spec: RunSpec = SPEC) -> None:
        assert self.give((run(number), c.Create(spec=spec, start=start, ticket=self.tickets.new() if start else "")))

    def claim(self, number: int) -> bool:
        return self.give((run(number), c.Claim(ticket=self.state(run(number)).ticket, runner="a")))

    def complete(self, number: int) -> bool:
        return self.give((run(number), c.Complete(attempt=self.state(run(number)).attempt)))

    def in_lane(self) -> list[str]:
        return [place.run for place in self.state(LANE).places]

    def routes(self) -> list[tuple[str, str]]:
        """Run and pool of every queue entry that could be delivered, in order."""
        found = []
        for aggregate, record in self.log.records:
            fact = fact_of(record.event)
            if isinstance(fact, e.Submitted) and not fact.held:
                found.append((aggregate.id, fact.spec.pool))
            elif isinstance(fact, e.Queued) and not fact.held:
                found.append((aggregate.id, fact.pool))
        return found


def test_a_lane_is_a_queue() -> None:
    join = [lane.Joined(lane="l", run=r, ticket="t" + r) for r in "ab"]
    queue = given("lane").when(lane.Join(lane="l", run="a", ticket="ta")).then(join[0])
    queue.when(lane.Join(lane="l", run="b", ticket="tb")).then(join[1])
    assert queue.state.inside == lane.Place("a", "ta")
    queue.when(lane.Leave(run="a")).then(lane.Left(run="a"))
    queue.when(lane.Leave(run="a")).then_nothing()
    assert queue.state.inside == lane.Place("b", "tb")


def test_the_next_run_is_let_in_by_the_end_of_the_one_before() -> None:
    book = Book()
    for number in range(3):
        book.create(number)
    assert book.routes() == [("r0", "default")]
    assert not book.claim(1), "a held run cannot be claimed"
    assert book.claim(0)
    assert book.complete(0)
    assert book.routes() == [("r0", "default"), ("r1", "default")]
    assert book.claim(1)
    assert book.state(run(1)).status == "running"
    assert book.in_lane() == ["r1", "r2"]


def test_held_entries_are_in_no_pool() -> None:
    book = Book()
    book.create(0)
    book.create(1)
    held = [fact_of(r.event) for a, r in book.log.records if a == run(1)]
    assert [fact.held for fact in held] == [True]
    assert subjects.HELD == "_held"


def test_cancelling_a_held_run_works_at_once_and_keeps_the_order() -> None:
    book = Book()
    for number in range(3):
        book.create(number)
    assert book.give((run(1), c.RequestCancel()))
    assert book.state(run(1)).status == "cancelled"
    assert book.claim(0)
    assert book.complete(0)
    assert book.in_lane() == ["r2"]
    assert book.claim(2)


def test_a_paused_run_leaves_and_comes_back_at_the_end() -> None:
    book = Book()
    book.create(0)
    book.create(1)
    assert book.give((run(0), c.RequestPause()))
    assert book.in_lane() == ["r1"]
    assert book.give((run(0), c.RequestResume(ticket="again")))
    assert book.in_lane() == ["r1", "r0"]
    assert book.state(run(0)).held == "resume"


def test_attempts_that_fail_or_are_lost_stay_inside() -> None:
    book = Book()
    book.create(0)
    book.create(1)
    assert book.claim(0)
    assert book.give((run(0), c.Fail(attempt=1, error={"code": "x"})))
    assert book.in_lane() == ["r0", "r1"]
    assert book.claim(0)
    assert book.claim(0), "a redelivered ticket: the attempt was lost"
    assert book.in_lane() == ["r0", "r1"]
    assert book.claim(0), "lost for good"
    assert book.state(run(0)).status == "failed"
    assert book.in_lane() == ["r1"]
    assert book.claim(1)


def test_a_run_that_is_deleted_while_running_holds_the_lane_until_it_has_ended() -> None:
    book = Book()
    book.create(0)
    book.create(1)
    assert book.claim(0)
    assert book.give((run(0), c.Delete(cancel=True)))
    assert book.state(run(0)).deleted
    assert book.in_lane() == ["r0", "r1"]
    assert book.give((run(0), c.ConfirmCancelled(attempt=1)))
    assert book.in_lane() == ["r1"]


def test_one_that_was_deleted_and_lost_its_runner_ends_with_the_next_delivery() -> None:
    book = Book()
    book.create(0)
    book.create(1)
    assert book.claim(0)
    assert book.give((run(0), c.Delete(cancel=True)))
    assert book.claim(0)
    assert book.state(run(0)).status == "cancelled"
    assert book.in_lane() == ["r1"]


def test_reset_and_start_in_one_append() -> None:
    book = Book()
    book.create(0)
    assert book.claim(0)
    assert book.complete(0)
    assert book.give((run(0), c.Reset()), (run(0), c.Start(ticket="again")))
    state: RunState = book.state(run(0))
    assert (state.status, state.attempt, state.result, state.finished_at) == ("queued", 1, None, "")
    assert book.in_lane() == ["r0"]


def test_two_runs_created_at_once_get_one_place_each() -> None:
    book = Book()
    assert book.give(*((run(n), c.Create(spec=SPEC, ticket=f"t{n}")) for n in range(3)))
    assert book.in_lane() == ["r0", "r1", "r2"]
    assert book.give((run(0), c.RequestCancel()), (run(1), c.RequestCancel()))
    assert book.in_lane() == ["r2"]
    assert book.state(run(2)).held == ""


async def test_a_pinned_aggregate_must_not_have_changed() -> None:
    log, ids = MemoryEventLog(), CountingIds()
    handler = Handler(log, FixedClock(NOW), ids)
    made = await handler.handle(run(0), c.Create(spec=SPEC, ticket="t"), META)
    await handler.handle(run(0), c.RequestPause(), META)
    with pytest.raises(PreconditionFailed):
        await handler.handle_all(
            [(run(0), c.RequestCancel())], META, {run(0): made.loaded}, pinned={run(0): made.sequence}
        )


class CountingLog(MemoryEventLog):
    reads = 0

    async def read(self, aggregate: AggregateId, after: int = 0) -> list[Recorded]:
        self.reads += 1
        return await super().read(aggregate, after)


async def ended_after(log: CountingLog, handler: Handler, number: int, known: Loaded[Any] | None) -> int:
    """Claim, look ahead, and end; the reads that the end took."""
    claimed = await handler.handle(run(number), c.Claim(ticket=f"t{number}", runner="a"), META, known)
    await handler.foresee(run(number), "l")
    before = log.reads
    await handler.handle(run(number), c.Complete(attempt=1), META, claimed.loaded)
    return log.reads - before


async def test_a_lane_is_handed_over_without_reading() -> None:
    log, ids = CountingLog(), CountingIds()
    handler, other = (Handler(log, FixedClock(NOW), ids) for _ in range(2))
    for number in range(3):
        await other.handle(run(number), c.Create(spec=SPEC, ticket=f"t{number}"), META)
    assert await ended_after(log, handler, 0, None) == 0
    state = handler.let_in(run(1), len(log.records))
    assert state == await other.load(run(1))
    assert handler.let_in(run(1), len(log.records)) is None, "it is given once"
    assert await ended_after(log, handler, 1, state) == 0


async def test_what_was_foreseen_and_changed_is_read_again() -> None:
    log, ids = CountingLog(), CountingIds()
    handler, other = (Handler(log, FixedClock(NOW), ids) for _ in range(2))
    for number in range(3):
        await other.handle(run(number), c.Create(spec=SPEC, ticket=f"t{number}"), META)
    claimed = await handler.handle(run(0), c.Claim(ticket="t0", runner="a"), META)
    await handler.foresee(run(0), "l")
    await other.handle(run(1), c.RequestCancel(), META)
    await handler.handle(run(0), c.Complete(attempt=1), META, claimed.loaded)
    assert [place.run for place in (await other.load(LANE)).state.places] == ["r2"]
    assert (await other.load(run(1))).state.status == "cancelled"
    assert handler.let_in(run(1), 4) is None
    assert (await other.load(run(2))).state.held == ""


class LaneLife(RuleBasedStateMachine):
    """Anything may be asked of any of five runs, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.book = Book()
        self.made = 0

    @rule(start=st.booleans())
    def create(self, start: bool) -> None:
        if self.made < 5:
            self.book.create(self.made, start=start)
            self.made += 1

    @rule(
        number=st.integers(0, 4),
        what=st.sampled_from(["start", "retry", "resume", "cancel", "pause", "delete", "end it", "reset", "again"]),
    )
    def ask(self, number: int, what: str) -> None:
        ticket = self.book.tickets.new()
        commands: dict[str, list[c.Command]] = {
            "start": [c.Start(ticket=ticket)], "retry": [c.Retry(ticket=ticket)],
            "resume": [c.RequestResume(ticket=ticket)], "cancel": [c.RequestCancel()], "pause": [c.RequestPause()],
            "delete": [c.Delete()], "end it": [c.Delete(cancel=True)], "reset": [c.Reset()],
            "again": [c.Reset(), c.Start(ticket=ticket)],
        }  # fmt: skip
        if number < self.made:
            self.book.give(*((run(number), command) for command in commands[what]))

    @rule(number=st.integers(0, 4))
    def take(self, number: int) -> None:
        if number < self.made:
            self.book.claim(number)

    @rule(number=st.integers(0, 4), service=st.integers(0, 2))
    def look_ahead(self, number: int, service: int) -> None:
        asyncio.run(self.book.handlers[service].foresee(run(number), "l"))

    @rule(number=st.integers(0, 4), what=st.sampled_from([c.Complete, c.ConfirmCancelled, c.ConfirmPaused, None]))
    def end(self, number: int, what: Any) -> None:
        if number < self.made and (attempt := self.book.state(run(number)).attempt):
            command = c.Fail(attempt=attempt, error={"code": "x"}) if what is None else what(attempt=attempt)
            self.book.give((run(number), command))

    @invariant()
    def who_is_active_is_in_the_lane_and_only_the_first_is_let_in(self) -> None:
        states = {f"r{n}": self.book.state(run(n)) for n in range(self.made)}
        active = {r for r, state in states.items() if state.status in ("queued", "running")}
        places = self.book.state(LANE).places
        assert {place.run for place in places} == active
        assert len(places) == len(active)
        for position, place in enumerate(places):
            assert states[place.run].ticket == place.ticket
            assert bool(states[place.run].held) == (position > 0)

    @invariant()
    def entries_reach_the_pool_in_the_order_of_joining(self) -> None:
        joined, left, let_in = [], [], []
        for aggregate, record in self.book.log.records:
            fact = fact_of(record.event)
            if isinstance(fact, lane.Joined):
                joined.append(fact.ticket)
            elif isinstance(fact, e.Submitted | e.Queued) and not fact.held:
                let_in.append(fact.ticket)
            elif isinstance(fact, lane.Left):
                left.append(aggregate)
        assert let_in == [ticket for ticket in joined if ticket in let_in]
        assert len(set(let_in)) == len(let_in), "a queue entry was let in twice"


LaneLife.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestLaneLife = LaneLife.TestCase
