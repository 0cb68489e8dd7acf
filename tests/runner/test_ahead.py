"""What a runner does ahead of an attempt, and what it says together with its verdict."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.runner.conftest import META, PATIENCE_S, Ledger, RunnerProcess
from trialbook.blobs.nats import NatsBlobStore
from trialbook.domain.run import commands as c
from trialbook.envelope import AggregateId
from trialbook_runner.execute.linux import threads
from trialbook_runner.execute.shelf import MAX_SHARED, Shelf

PARSE = "json:loads"


def children(pid: int) -> set[int]:
    """Processes started by this one; none when it is gone."""
    try:
        return {int(c) for task in Path(f"/proc/{pid}/task").iterdir() for c in (task / "children").read_text().split()}
    except OSError:
        return set()


def grandchildren(runner: RunnerProcess) -> set[int]:
    """What the fork server has started."""
    return {found for server in children(runner.process.pid) for found in children(server)}


async def one_after_another(ledger: Ledger, count: int, workload: str, **spec: Any) -> list[dict[str, Any]]:
    results = []
    for _ in range(count):
        state = await ledger.end(await ledger.submit(workload, **spec))
        assert state.status == "completed", state.error
        results.append(state.result)
    return results


@pytest.mark.integration
@pytest.mark.slow
async def test_the_next_process_is_forked_ahead_and_waits_for_a_while_only(ledger: Ledger, start_runner: Any) -> None:
    runner = await start_runner()
    used: set[int] = set()
    deadline = time.monotonic() + PATIENCE_S
    taken = False
    while not taken:
        assert time.monotonic() < deadline, "no attempt was given a process that waited for it"
        ahead = grandchildren(runner) - used
        (one,) = await one_after_another(ledger, 1, "identity")
        assert one["pid"] not in used, "each attempt has a process of its own"
        used.add(one["pid"])
        taken = one["pid"] in ahead
    deadline = time.monotonic() + PATIENCE_S
    while grandchildren(runner):
        assert time.monotonic() < deadline, "processes that nobody needs are left"
        await asyncio.sleep(0.1)


@pytest.mark.integration
async def test_an_input_is_read_once_for_all_and_changed_by_none(ledger: Ledger, start_runner: Any) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield b"one two three"

    info = await NatsBlobStore(ledger.nc).put(content())
    runner = await start_runner()
    found = await one_after_another(ledger, 4, "sharer", inputs={"words": info.sha256})
    assert [one["count"] for one in found] == [3] * 4
    readers = {one["reader"] for one in found}
    assert len(readers) == 1
    assert readers <= children(runner.process.pid), "the fork server, before it forked"


@pytest.mark.integration
@pytest.mark.parametrize("fails", [False, True])
async def test_what_is_recorded_with_the_verdict(ledger: Ledger, start_runner: Any, fails: bool) -> None:
    await start_runner()
    run = await ledger.submit("clock-reader", {"count": 2, "seconds": float(fails)})
    state = await ledger.end(run)
    assert state.status == ("failed" if fails else "completed")
    assert list(state.effects) == ["clock/0", "clock/1", "clock/2"]
    if not fails:
        assert state.result == [effect.response for effect in state.effects.values()]
    effect, kept = "effect_recorded", "checkpointed"
    assert await ledger.types(run) == ["submitted", "started", effect, kept, effect, kept, effect, state.status]
    records = await ledger.log.read(run)
    assert records[-1].sequence == records[-2].sequence + 1, "one append"


@pytest.mark.integration
async def test_a_cancelled_lane_goes_on(ledger: Ledger, start_runner: Any) -> None:
    """What the runner has foreseen while the first one ran is no longer so when it ends."""
    await start_runner()
    runs: list[AggregateId] = [await ledger.submit("sleeper", {"seconds": 30}, lane="one") for _ in range(3)]
    runs.append(await ledger.submit("identity", lane="one"))
    await ledger.until(runs[0], lambda state: state.status == "running")
    for run in (runs[1], runs[0], runs[2]):
        await ledger.handler.handle(run, c.RequestCancel(), META)
    assert (await ledger.end(runs[3])).status == "completed"
    assert [(await ledger.end(run)).status for run in runs[:3]] == ["cancelled"] * 3


def test_a_shelf_has_few_places(caplog: pytest.LogCaptureFixture) -> None:
    shelf = Shelf()
    before = threads()
    for number in range(MAX_SHARED + 1):
        shelf.put(PARSE, f"{number:x}", b"[%d]" % number)
    assert shelf.get(PARSE, "0") is None
    assert shelf.get(PARSE, "1") == [1]
    shelf.drop(PARSE, "1")
    assert shelf.get(PARSE, "1") is None
    with caplog.at_level(logging.ERROR):
        shelf.put(PARSE, "broken", b"[")
    assert "could not share" in caplog.text
    assert shelf.get(PARSE, "broken") is None
    assert threads() == before
