import pytest
from nats.aio.client import Client

from trialbook.blobs.memory import MemoryBlobStore
from trialbook.blobs.nats import NatsBlobStore
from trialbook.testing.laws import BlobStoreLaws


class TestMemoryBlobStore(BlobStoreLaws):
    @pytest.fixture
    async def blobs(self) -> MemoryBlobStore:
        return MemoryBlobStore()


@pytest.mark.integration
class TestNatsBlobStore(BlobStoreLaws):
    @pytest.fixture
    async def blobs(self, nc: Client) -> NatsBlobStore:
        return NatsBlobStore(nc)
