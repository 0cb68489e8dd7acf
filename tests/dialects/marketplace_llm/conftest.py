"""One stack with a scripted model server for the whole folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.dialects.marketplace.client import Market
from tests.dialects.marketplace.conftest import ANSWER_S
from tests.dialects.marketplace_llm.scripted import ModelProcesses, Scripted, write_prices
from trialbook.ids import UUIDv7Source
from trialbook_marketplace.llm.script import marketplace_rules


@pytest.fixture(scope="session")
def server() -> Iterator[Scripted]:
    running = Scripted()
    yield running
    running.close()


@pytest.fixture
def script(server: Scripted) -> Scripted:
    """Playing the rule-based policies unless the test says otherwise."""
    server.use(marketplace_rules())
    return server


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, server: Scripted) -> Iterator[ModelProcesses]:
    directory = tmp_path_factory.mktemp("models")
    roots: Path = directory / "roots"
    roots.mkdir()
    models = server.environment(write_prices(directory / "prices.json"))
    processes = ModelProcesses(directory, roots, models)
    try:
        processes.start()
        yield processes
    finally:
        processes.stop()


@pytest.fixture
async def market(stack: ModelProcesses) -> AsyncIterator[Market]:
    async with httpx.AsyncClient(base_url=stack.url, timeout=ANSWER_S) as http:
        yield Market(http)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name of this test's own."""
    words = "".join(c if c.isascii() and c.isalnum() else "_" for c in request.node.originalname)
    return f"e_{words[5:35]}_{UUIDv7Source().new()[-8:]}"
