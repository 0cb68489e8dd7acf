from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.client import Client

from tests.ledger.support import StoredFacts
from trialbook.ledger.reader import read_ledger
from trialbook.ledger.storage import LocalStorage
from trialbook.log import purging
from trialbook.log.memory import MemoryEventLog
from trialbook.log.nats import NatsEventLog
from trialbook.log.purged import Recent
from trialbook.testing.laws import EventLogLaws, Seal, SealedLogLaws
from trialbook.testing.server import NatsServer
from trialbook_projector.seal_write import cut, write_manifest, write_segment

NOW = "2026-01-01T00:00:00.000000Z"


class TestMemoryEventLog(SealedLogLaws):
    @pytest.fixture
    def log(self) -> MemoryEventLog:
        return MemoryEventLog()

    @pytest.fixture
    def seal(self, log: MemoryEventLog) -> Seal:
        async def nothing_goes(_up_to: int) -> None:
            return

        return nothing_goes


@pytest.mark.integration
class TestNatsEventLog(SealedLogLaws, EventLogLaws):
    @pytest.fixture
    async def log(self, nc: Client, tmp_path: Path) -> AsyncIterator[NatsEventLog]:
        log = NatsEventLog(nc)
        log.purged = StoredFacts(nc, LocalStorage(tmp_path))
        log._recent = Recent(nc, 0)  # nobody waits here before purging
        await log.start()
        yield log
        await log.close()

    @pytest.fixture
    def seal(self, nc: Client, server: NatsServer, tmp_path: Path) -> Seal:
        storage = LocalStorage(tmp_path)

        async def seal(up_to: int) -> None:
            facts = read_ledger(nc, server.url, storage, 0, up_to, headers=True)
            written = [await write_segment(storage, portion, NOW) async for portion in cut(facts)]
            await purging.record_boundary(nc, await write_manifest(storage, None, written, NOW))
            assert await purging.purge(nc, grace_s=0) > 0

        return seal
