"""The last facts are signed too: when nothing more comes, and when the projector stops."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from tests.faults.tampering import KEY, publish
from trialbook.asking import NatsAsk
from trialbook.audit.findings import Finding
from trialbook.audit.verify import history
from trialbook.log.checkpoints import read_notes
from trialbook.log.connect import connect
from trialbook.queries import Health
from trialbook.tasks import ended
from trialbook.testing.server import NatsServer
from trialbook_projector.ledger import service, verifying
from trialbook_projector.ledger.pace import IDLE_S, SOONER, Pace
from trialbook_projector.ledger.service import Ledger
from trialbook_projector.settings import from_environment

USUAL_S = 60.0


def test_facts_that_come_all_the_time_are_signed_every_now_and_then() -> None:
    pace, signed, due = Pace(USUAL_S, 0.0), 0, []
    for second in range(1, 241):
        if pace.due(second, signed, float(second)):
            due.append(second)
            signed = second
    assert due == [60, 120, 180, 240]


def test_when_nothing_more_comes_they_are_signed_soon_and_once() -> None:
    pace = Pace(USUAL_S, 0.0)
    assert not any(pace.due(5, 0, float(second)) for second in range(1, 10))
    assert pace.due(5, 0, USUAL_S / SOONER)
    assert not any(pace.due(5, 5, float(second)) for second in range(11, 30))
    assert not pace.due(6, 5, 30.0), "more may come"
    assert pace.due(6, 5, 30.0 + IDLE_S)
    assert not any(pace.due(7, 6, 31.0 + second) for second in range(1, 10)), "not more often than that"
    assert pace.due(7, 6, 41.0)


@pytest.fixture
async def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[NatsServer, Client]]:
    monkeypatch.setattr(service, "LAST_S", 30.0)  # what is to be signed last is, on the slowest machine
    server = NatsServer(tmp_path / "nats").start()
    await publish(server.url, 50, 100)
    nc = await connect(server.url, name="test")
    yield server, nc
    await nc.close()
    server.kill()


def ledger(server: NatsServer, nc: Client, folder: Path, seconds: float) -> Ledger:
    return Ledger(nc, from_environment({
        "TRIALBOOK_NATS_URL": server.url, "TRIALBOOK_DATA_DIR": str(folder), "TRIALBOOK_LEDGER_KEY": KEY.text,
        "TRIALBOOK_CHECKPOINT_SECONDS": str(seconds),
    }))  # fmt: skip


async def signed(nc: Client) -> list[int]:
    """Sizes of the checkpoints, each of which holds."""
    read = history([noted.data async for noted in read_notes(nc)], [KEY.public])
    assert not read.findings
    return [checkpoint.size for checkpoint in read.checkpoints]


@pytest.mark.integration
async def test_a_ledger_at_rest_is_signed_once(filled: tuple[NatsServer, Client], tmp_path: Path) -> None:
    server, nc = filled
    kept = ledger(server, nc, tmp_path / "data", 6.0)
    await kept.open(0)
    running = asyncio.create_task(kept.run())
    async with asyncio.timeout(60):
        while not await signed(nc):
            await asyncio.sleep(0.05)
    await ended(running)
    await kept.finish()
    await kept.close()
    assert await signed(nc) == [50]


@pytest.mark.integration
async def test_a_stop_signs_what_came_last(filled: tuple[NatsServer, Client], tmp_path: Path) -> None:
    server, nc = filled
    kept = ledger(server, nc, tmp_path / "data", 100_000)
    await kept.open(0)
    running = asyncio.create_task(kept.run())
    await kept.checkpoint()
    for number in range(3):
        await nc.jetstream().publish(f"fact.main.run.{number}.x", b"{}")
    await ended(running)
    await kept.finish()
    await kept.close()
    assert await signed(nc) == [50, 53]


@pytest.mark.integration
async def test_a_stop_without_a_server_does_not_wait_for_it(
    filled: tuple[NatsServer, Client], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, nc = filled
    kept = ledger(server, nc, tmp_path / "data", 100_000)
    await kept.open(0)
    server.kill()
    monkeypatch.setattr(service, "LAST_S", 1.0)
    async with asyncio.timeout(60):
        await kept.finish()
    await kept.close()


@pytest.mark.integration
async def test_a_projector_that_is_stopped_signs(filled: tuple[NatsServer, Client], tmp_path: Path) -> None:
    server, nc = filled
    environment = os.environ | {
        "TRIALBOOK_NATS_URL": server.url, "TRIALBOOK_DATA_DIR": str(tmp_path / "data"),
        "TRIALBOOK_LEDGER_KEY": KEY.text, "TRIALBOOK_CHECKPOINT_SECONDS": "100000",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(sys.executable, "-P", "-m", "trialbook_projector", env=environment)
    try:
        await NatsAsk(nc).ask("_", Health(), timeout_s=90)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 60) == 0
        assert await signed(nc) == [50]
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.integration
async def test_a_checkpoint_that_is_signed_during_a_verification_harms_nobody(
    filled: tuple[NatsServer, Client], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, nc = filled
    kept = ledger(server, nc, tmp_path / "data", 100_000)
    await kept.open(0)
    facts = verifying._facts

    async def slow(*given: Any) -> list[Finding]:
        await kept.checkpoint()
        return await facts(*given)

    monkeypatch.setattr(verifying, "_facts", slow)
    await kept.reach(50)
    await kept._verify_once()
    assert await signed(nc) == [50]
    assert (kept.watch.info.state, kept.watch.info.findings) == ("verified", [])
    await kept.close()
