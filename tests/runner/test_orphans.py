"""Children whose parent is cancelled while nobody executes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.client.standing import standing
from tests.runner.conftest import META, Ledger
from trialbook.domain.run import commands as c
from trialbook.envelope import AggregateId
from trialbook.log.connect import connect
from trialbook.log.nats import NatsEventLog
from trialbook_deploy.stack import Stack

pytestmark = pytest.mark.integration
NOBODY: dict[str, Any] = {"pool": "nobody-serves-this"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with standing(tmp_path_factory.mktemp("orphans") / "data") as running:
        yield running


@pytest.fixture
async def ledger(stack: Stack) -> AsyncIterator[Ledger]:
    nc = await connect(stack.nats_url, name="test")
    log = NatsEventLog(nc)
    await log.start()
    yield Ledger(nc, log)
    await log.close()
    await nc.close()


async def child_of(ledger: Ledger, parent: AggregateId, **spec: Any) -> AggregateId:
    return await ledger.submit("command", {"argv": ["sleep", "600"]}, parent=parent.id, **spec)


async def test_children_end_with_a_parent_that_waits(ledger: Ledger) -> None:
    parent = await ledger.submit("noop", **NOBODY)
    waiting = await child_of(ledger, parent, **NOBODY)
    running = await child_of(ledger, parent)
    grandchild = await child_of(ledger, waiting, **NOBODY)
    other = await ledger.submit("noop", **NOBODY)
    await ledger.until(running, lambda s: s.status == "running")
    await ledger.command(parent, c.RequestCancel(reason="enough"))
    for run in (waiting, running, grandchild):
        state = await ledger.end(run)
        assert (state.status, state.cancel_reason) == ("cancelled", "cancelled with its parent run")
    assert (await ledger.state(other)).status == "queued"


async def test_a_parent_that_was_queued_again_keeps_its_children(ledger: Ledger) -> None:
    parent = await ledger.submit("noop", **NOBODY)
    child = await child_of(ledger, parent, **NOBODY)
    cancel = c.RequestCancel(reason="a mistake"), c.Retry(ticket=ledger.ids.new())
    await ledger.handler.handle_all([(parent, command) for command in cancel], META)
    witness = await ledger.submit("noop", **NOBODY)
    orphan = await child_of(ledger, witness, **NOBODY)
    await ledger.command(witness, c.RequestCancel())
    await ledger.end(orphan)  # verdicts are handled in order, so that of the parent was
    await asyncio.sleep(0.3)
    assert (await ledger.state(child)).status == "queued"


async def test_verdicts_given_while_no_runner_is_there_are_not_missed(ledger: Ledger, stack: Stack) -> None:
    parent = await ledger.submit("noop", **NOBODY)
    child = await child_of(ledger, parent)
    await ledger.until(child, lambda s: s.status == "running")
    stack.kill("runner-1")
    await ledger.command(parent, c.RequestCancel(reason="enough"))
    state = await ledger.end(child)
    assert state.status == "cancelled"
