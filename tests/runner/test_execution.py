"""Workloads of all isolations through a real runner process."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.integration


async def test_an_inline_run_is_finished_with_a_single_fact(ledger, start_runner):
    await start_runner()
    run = await ledger.submit("noop", {"echo": {"a": [1, None]}}, isolation="inline", pool="inline")
    state = await ledger.end(run)
    assert (state.status, state.result, state.attempt) == ("completed", {"a": [1, None]}, 1)
    assert await ledger.types(run) == ["submitted", "completed"]


async def test_a_process_run(ledger, start_runner):
    await start_runner()
    run = await ledger.submit("lines", {"count": 3})
    state = await ledger.end(run)
    assert (state.status, state.result) == ("completed", 3)
    assert await ledger.types(run) == ["submitted", "started", "completed"]
    assert [s["message"] for s in await ledger.signals(run)] == ["0", "1", "2"]
