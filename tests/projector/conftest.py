"""Fixtures: an empty ledger, tables, and the real service beside a real nats-server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.projector.support import Book, Ledger, Service, Stack
from trialbook.log.nats import connect
from trialbook.log.setup import ensure_streams
from trialbook.testing.server import NatsServer
from trialbook_projector.tables.writer import Capacity


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    made = Book(tmp_path / "tables.duckdb", Capacity())
    yield made
    made.store.close()


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[Book]:
    """A book that remembers two runs, items and counts only, so that nearly everything is read back from the tables."""
    made = Book(tmp_path / "forgetful.duckdb", Capacity(runs=2, items=2, emitted=2))
    yield made
    made.store.close()


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    server = NatsServer(tmp_path / "nats").start()
    nc = await connect(server.url, name="test")
    await ensure_streams(nc)
    service = Service(server.url, tmp_path / "data")
    await service.start()
    try:
        yield Stack(nc, service)
    finally:
        await service.kill()
        await nc.close()
        server.kill()
