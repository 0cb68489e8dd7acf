"""The laws of the ports as test classes: inherit one, provide the fixture, and every law is checked against your
adapter.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from trialbook.clock import SystemClock
from trialbook.codec import event_of, route_of
from trialbook.domain import run
from trialbook.domain.names import Claimed
from trialbook.envelope import AggregateId, Event, Metadata
from trialbook.errors import NotFound, TooLarge
from trialbook.ids import UUIDv7Source
from trialbook.ports import BlobStore, EventLog, Part, VersionConflict

IDS = UUIDv7Source()
Seal = Callable[[int], Awaitable[None]]
_AGAIN = run.events.Queued(ticket="2", reason="retry", pool="default", priority="normal")
_HISTORY: tuple[tuple[run.RunEvent, ...], ...] = (
    (run.events.Submitted(spec=run.RunSpec(workload="noop"), ticket="1"),),
    (run.events.Started(attempt=1, runner="r", isolation="process"),),
    (run.events.StepStarted(attempt=1, step="s"), run.events.StepCompleted(attempt=1, step="s", result=1)),
    (run.events.Failed(attempt=1, error={"code": "exception", "detail": "no"}, signal_sequence=0),),
)


def an_aggregate(workspace: str = "main") -> AggregateId:
    """A new aggregate."""
    return AggregateId(workspace, "name", IDS.new())


def an_event(aggregate: AggregateId, name: str = "x") -> Event:
    """An event for it."""
    return event_of(aggregate, Claimed(scope="s", name=name, owner="o"), Metadata(source="test"), IDS, SystemClock())


def a_part(aggregate: AggregateId, expected: int, count: int = 1) -> Part:
    """A part with ``count`` events."""
    events = [an_event(aggregate, str(i)) for i in range(count)]
    return Part(aggregate=aggregate, expected=expected, events=events, routes=[()] * count)


class EventLogLaws:
    """Provide a fixture ``log`` that gives an empty EventLog."""

    async def test_what_was_appended_is_read_in_order(self, log: EventLog) -> None:
        part = a_part(an_aggregate(), 0, 3)
        [end] = await log.append([part])
        records = await log.read(part.aggregate)
        assert [r.event for r in records] == list(part.events)
        assert records[-1].sequence == end == await log.last_sequence()

    async def test_an_unknown_aggregate_has_no_events(self, log: EventLog) -> None:
        assert await log.read(an_aggregate()) == []

    async def test_reading_after_a_sequence_gives_the_rest(self, log: EventLog) -> None:
        aggregate = an_aggregate()
        [first] = await log.append([a_part(aggregate, 0)])
        rest = a_part(aggregate, first, 2)
        await log.append([rest])
        assert [r.event for r in await log.read(aggregate, after=first)] == list(rest.events)

    async def test_a_wrong_expectation_conflicts_and_appends_nothing(self, log: EventLog) -> None:
        aggregate = an_aggregate()
        await log.append([a_part(aggregate, 0)])
        with pytest.raises(VersionConflict):
            await log.append([a_part(aggregate, 0)])
        assert len(await log.read(aggregate)) == 1

    async def test_one_conflicting_part_refuses_all_parts(self, log: EventLog) -> None:
        taken, new = an_aggregate(), an_aggregate()
        await log.append([a_part(taken, 0)])
        with pytest.raises(VersionConflict):
            await log.append([a_part(new, 0, 2), a_part(taken, 0)])
        assert await log.read(new) == []

    async def test_parts_give_their_own_last_sequences(self, log: EventLog) -> None:
        parts = [a_part(an_aggregate(), 0, n) for n in (1, 3, 2)]
        ends = await log.append(parts)
        for part, end in zip(parts, ends, strict=True):
            assert (await log.read(part.aggregate))[-1].sequence == end

    async def test_of_concurrent_appends_to_one_aggregate_one_wins(self, log: EventLog) -> None:
        aggregate = an_aggregate()
        results = await asyncio.gather(*(log.append([a_part(aggregate, 0)]) for _ in range(8)), return_exceptions=True)
        assert sum(not isinstance(r, BaseException) for r in results) == 1
        assert sum(isinstance(r, VersionConflict) for r in results) == 7
        assert len(await log.read(aggregate)) == 1

    async def test_concurrent_appends_to_many_aggregates_all_succeed(self, log: EventLog) -> None:
        parts = [a_part(an_aggregate(), 0, 1 + n % 3) for n in range(200)]
        ends = await asyncio.gather(*(log.append([part]) for part in parts))
        assert len({end for [end] in ends}) == len(parts)
        for part, [end] in list(zip(parts, ends, strict=True))[::20]:
            assert [r.event.id for r in await log.read(part.aggregate)] == [e.id for e in part.events]
            assert (await log.read(part.aggregate))[-1].sequence == end

    async def test_a_conflict_does_not_harm_its_neighbours(self, log: EventLog) -> None:
        taken = an_aggregate()
        await log.append([a_part(taken, 0)])
        parts = [a_part(an_aggregate(), 0) for _ in range(20)]
        calls = [log.append([p]) for p in [*parts[:10], a_part(taken, 0), *parts[10:]]]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [isinstance(r, VersionConflict) for r in results] == [n == 10 for n in range(21)]

    async def test_repeating_an_append_by_the_same_ids_changes_nothing(self, log: EventLog) -> None:
        part = a_part(an_aggregate(), 0, 2)
        first = await log.append([part])
        with contextlib.suppress(VersionConflict):  # allowed: the caller reloads and finds its events there
            assert await log.append([part]) == first
        assert len(await log.read(part.aggregate)) == 2


class SealedLogLaws:
    """Provide ``log``, an empty EventLog, and ``seal``, which seals facts up to a sequence and purges what may go."""

    async def a_finished_run(self, log: EventLog) -> list[Part]:
        """The parts of a run's history, appended: submitted, started, a step, completed."""
        aggregate, end = AggregateId("main", "run", IDS.new()), 0
        parts: list[Part] = []
        for facts in _HISTORY:
            events = [event_of(aggregate, fact, Metadata(source="test"), IDS, SystemClock()) for fact in facts]
            parts.append(
                Part(aggregate=aggregate, expected=end, events=events, routes=[route_of(fact) for fact in facts])
            )
            [end] = await log.append(parts[-1:])
        return parts

    async def test_a_sealed_history_is_read_whole(self, log: EventLog, seal: Seal) -> None:
        parts, others = await self.a_finished_run(log), await self.a_finished_run(log)
        before = await log.read(parts[0].aggregate), await log.read(others[0].aggregate)
        await seal(await log.last_sequence())
        assert (await log.read(parts[0].aggregate), await log.read(others[0].aggregate)) == before

    async def test_any_rest_of_a_sealed_history_is_read(self, log: EventLog, seal: Seal) -> None:
        parts = await self.a_finished_run(log)
        before = await log.read(parts[0].aggregate)
        await seal(await log.last_sequence())
        for count, record in enumerate(before, 1):
            assert await log.read(parts[0].aggregate, after=record.sequence) == before[count:]

    async def test_a_history_goes_on_over_the_boundary(self, log: EventLog, seal: Seal) -> None:
        parts = await self.a_finished_run(log)
        end = await log.last_sequence()
        await seal(end)
        aggregate = parts[0].aggregate
        again = event_of(aggregate, _AGAIN, Metadata(source="test"), IDS, SystemClock())
        await log.append([Part(aggregate=aggregate, expected=end, events=[again], routes=[route_of(_AGAIN)])])
        records = await log.read(aggregate)
        assert [r.event.id for r in records] == [e.id for part in parts for e in part.events] + [again.id]
        assert (await log.read(aggregate, after=end)) == records[-1:]

    async def test_a_run_that_ends_above_the_boundary_is_read_whole(self, log: EventLog, seal: Seal) -> None:
        parts = await self.a_finished_run(log)
        before = await log.read(parts[0].aggregate)
        await seal(before[1].sequence)
        assert await log.read(parts[0].aggregate) == before

    async def test_a_stale_expectation_of_a_sealed_history_conflicts(self, log: EventLog, seal: Seal) -> None:
        parts = await self.a_finished_run(log)
        aggregate = parts[0].aggregate
        stale = [0, *(record.sequence for record in (await log.read(aggregate))[:-1])]
        await seal(await log.last_sequence())
        for expected in stale:
            event = event_of(aggregate, _AGAIN, Metadata(source="test"), IDS, SystemClock())
            with pytest.raises(VersionConflict):
                await log.append([Part(aggregate=aggregate, expected=expected, events=[event], routes=[("p", "n")])])

    async def test_a_sealed_run_is_not_created_again(self, log: EventLog, seal: Seal) -> None:
        parts = await self.a_finished_run(log)
        await seal(await log.last_sequence())
        event = event_of(parts[0].aggregate, _HISTORY[0][0], Metadata(source="test"), IDS, SystemClock())
        with pytest.raises(VersionConflict):
            await log.append([Part(aggregate=parts[0].aggregate, expected=0, events=[event], routes=[("p", "n")])])


async def chunks_of(content: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    """A stream of bytes."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def whole(chunks: AsyncIterator[bytes]) -> bytes:
    """All bytes of a stream."""
    return b"".join([chunk async for chunk in chunks])


class BlobStoreLaws:
    """Provide a fixture ``blobs`` that gives an empty BlobStore."""

    @pytest.mark.parametrize("size", [0, 1, 262_143, 262_144, 262_145, 3_000_000])
    async def test_what_was_put_is_got(self, blobs: BlobStore, size: int) -> None:
        content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
        info = await blobs.put(chunks_of(content))
        assert (info.sha256, info.size) == (hashlib.sha256(content).hexdigest(), size)
        assert await whole(blobs.get(info.sha256)) == content
        assert await blobs.stat(info.sha256) == info

    @pytest.mark.parametrize(("start", "end"), [(0, 10), (262_100, 262_200), (700_000, None), (5, 5), (0, 10**9)])
    async def test_ranges(self, blobs: BlobStore, start: int, end: int | None) -> None:
        content = bytes(range(256)) * 3000
        info = await blobs.put(chunks_of(content))
        assert await whole(blobs.get(info.sha256, start, end)) == content[start:end]

    async def test_the_same_bytes_are_one_blob(self, blobs: BlobStore) -> None:
        first, second = await blobs.put(chunks_of(b"same")), await blobs.put(chunks_of(b"same"))
        assert first == second
        assert await whole(blobs.get(first.sha256)) == b"same"

    async def test_missing_bytes_are_not_found(self, blobs: BlobStore) -> None:
        assert await blobs.stat("0" * 64) is None
        with pytest.raises(NotFound):
            await whole(blobs.get("0" * 64))

    async def test_too_many_bytes_are_refused_and_not_stored(self, blobs: BlobStore) -> None:
        content = b"x" * 1_000_000
        with pytest.raises(TooLarge):
            await blobs.put(chunks_of(content), max_bytes=999_999)
        assert await blobs.stat(hashlib.sha256(content).hexdigest()) is None
