"""Sleeping and waking without timers."""

from __future__ import annotations

import asyncio

import pytest

from trialbook_marketplace.agents.wakeups import Reason, Wakeups


class Floor:
    """Agents that wait on request and remember why they were woken."""

    def __init__(self, *, lockstep: bool) -> None:
        self.wakeups = Wakeups(["c1", "c2"], ["b1", "b2"], lockstep=lockstep)
        self.woken: list[tuple[str, Reason]] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def wait(self, agent: str, senders: frozenset[str] | None = None) -> None:
        async def sleep() -> None:
            self.woken.append((agent, await self.wakeups.wait(agent, senders)))

        self.tasks.append(asyncio.create_task(sleep()))
        await self.breathe()

    async def breathe(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    async def deliver(self, to: str, sender: str) -> None:
        self.wakeups.delivered(to, sender)
        await self.breathe()

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.mark.parametrize("lockstep", [False, True])
async def test_nobody_is_quiescent_while_somebody_runs(lockstep: bool) -> None:
    floor = Floor(lockstep=lockstep)
    for agent in ("c1", "c2", "b1"):
        await floor.wait(agent)
    assert floor.woken == []
    await floor.wait("b2")
    assert floor.woken == [("c1", Reason.QUIESCENT), ("c2", Reason.QUIESCENT)]
    await floor.close()


async def test_a_message_wakes_its_addressee_only() -> None:
    floor = Floor(lockstep=False)
    await floor.wait("b1")
    await floor.wait("b2")
    await floor.deliver("b1", "c1")
    assert floor.woken == [("b1", Reason.MESSAGE)]
    await floor.close()


async def test_a_message_that_came_first_is_not_missed() -> None:
    floor = Floor(lockstep=False)
    await floor.deliver("b1", "c1")
    await floor.wait("b1")
    assert floor.woken == [("b1", Reason.MESSAGE)]
    floor.wakeups.collected("b1")
    await floor.wait("b1")
    assert len(floor.woken) == 1
    await floor.close()


async def test_waiting_for_all_senders() -> None:
    floor = Floor(lockstep=False)
    await floor.deliver("c1", "b1")
    await floor.wait("c1", frozenset({"b1", "b2"}))
    assert floor.woken == []
    await floor.deliver("c1", "b1")
    assert floor.woken == []
    await floor.deliver("c1", "b2")
    assert floor.woken == [("c1", Reason.MESSAGE)]
    await floor.close()


async def test_waiting_for_nobody_in_particular_ends_at_once() -> None:
    floor = Floor(lockstep=False)
    await floor.wait("c1", frozenset())
    assert floor.woken == [("c1", Reason.MESSAGE)]
    await floor.close()


async def test_quiescence_ends_waiting_for_senders() -> None:
    floor = Floor(lockstep=False)
    await floor.wait("c1", frozenset({"b1"}))
    for agent in ("c2", "b1", "b2"):
        await floor.wait(agent)
    assert ("c1", Reason.QUIESCENT) in floor.woken
    await floor.close()


@pytest.mark.parametrize("lockstep", [False, True])
async def test_businesses_are_closed_after_the_last_customer(lockstep: bool) -> None:
    floor = Floor(lockstep=lockstep)
    await floor.wait("b1")
    await floor.wait("b2")
    floor.wakeups.leave("c1")
    assert floor.wakeups.has_left("c1")
    assert floor.woken == []
    await floor.deliver("b2", "c2")
    floor.wakeups.leave("c2")
    await floor.breathe()
    assert floor.woken == [("b2", Reason.MESSAGE)]
    floor.wakeups.collected("b2")
    await floor.wait("b2")
    assert set(floor.woken[1:]) == {("b1", Reason.CLOSED), ("b2", Reason.CLOSED)}
    await floor.close()


async def test_lockstep_wakes_businesses_together_before_customers() -> None:
    floor = Floor(lockstep=True)
    await floor.wait("b2")
    await floor.wait("b1")
    await floor.wait("c2")
    for to, sender in (("b2", "c1"), ("c2", "b1"), ("b1", "c1")):
        await floor.deliver(to, sender)
    assert floor.woken == []
    await floor.wait("c1")
    assert floor.woken == [("b1", Reason.MESSAGE), ("b2", Reason.MESSAGE)]
    for business in ("b1", "b2"):
        floor.wakeups.collected(business)
        await floor.wait(business)
    assert floor.woken[2:] == [("c2", Reason.MESSAGE)]
    await floor.close()


async def test_message_to_one_who_left_changes_nothing() -> None:
    floor = Floor(lockstep=True)
    floor.wakeups.leave("c1")
    await floor.deliver("c1", "b1")
    for agent in ("c2", "b1", "b2"):
        await floor.wait(agent)
    assert floor.woken == [("c2", Reason.QUIESCENT)]
    await floor.close()
