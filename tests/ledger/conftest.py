from collections.abc import AsyncIterator, Iterator

import pytest
from nats.aio.client import Client

from trialbook.log.connect import connect
from trialbook.log.setup import ensure_streams
from trialbook.testing.server import NatsServer


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path_factory.mktemp("nats")).start()
    yield server
    server.kill()


@pytest.fixture
async def nc(server: NatsServer) -> AsyncIterator[Client]:
    client = await connect(server.url, name="test")
    await ensure_streams(client)
    yield client
    await client.close()
