"""Export, import and sealing over an S3-compatible store that checks signatures, with trouble on the way."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from nats.aio.client import Client

from tests.ledger import s3
from tests.ledger.test_copying import empty, streams
from tests.ledger.test_sealing import Bench
from trialbook.blobs.nats import NatsBlobStore
from trialbook.errors import Unavailable
from trialbook.ledger.export import Exporter, Options
from trialbook.ledger.importing import Importer, checked
from trialbook.ledger.storage import SegmentStorage
from trialbook.log.purged import boundary
from trialbook.tasks import ended
from trialbook.testing.server import NatsServer
from trialbook_projector.pump import Pump
from trialbook_projector.segments_store import open_storage

pytestmark = pytest.mark.integration
BLOB = 13 * 1024 * 1024


@pytest.fixture(scope="module")
def serving() -> Iterator[s3.S3]:
    with s3.serving() as server:
        yield server


@pytest.fixture
def store(serving: s3.S3) -> Iterator[s3.S3]:
    serving.objects.clear()
    yield serving
    serving.busy = serving.torn = 0


async def chunks() -> AsyncIterator[bytes]:
    for number in range(13):
        yield bytes([number]) * (BLOB // 13)


def opened(store: s3.S3, **environment: str) -> SegmentStorage:
    return open_storage("s3://bucket/trialbook", store.environment | environment)


async def test_an_export_goes_on_after_trouble_and_is_imported(
    nc: Client, server: NatsServer, tmp_path: Path, store: s3.S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trialbook.ledger.export.SEGMENT_MESSAGES", 64)
    for number in range(300):
        await nc.jetstream().publish(f"fact.a.run.{number:032x}.started", b'{"n":%d}' % number)
    await NatsBlobStore(nc).put(chunks())

    def exporter(target: SegmentStorage) -> Exporter:
        return Exporter(nc, server.url, None, target, Options())

    with pytest.raises(Unavailable):
        await exporter(opened(store, AWS_SECRET_ACCESS_KEY="wrong")).run()
    assert not store.objects

    async def revoke() -> None:
        while len(store.objects) < 4:
            await asyncio.sleep(0)
        store.buckets.discard("bucket")

    revoking = asyncio.create_task(revoke())
    with pytest.raises(Unavailable):
        await exporter(opened(store)).run()
    await revoking
    store.buckets.add("bucket")
    store.busy = 3
    manifest = await exporter(opened(store)).run()
    assert len(manifest.streams["FACTS"].segments) == 5
    with pytest.raises(Unavailable):
        await checked(opened(store, AWS_SECRET_ACCESS_KEY="wrong"))
    store.busy = 2
    assert await checked(opened(store)) == manifest
    async with empty(tmp_path / "other") as (there, url):
        await Importer(there, url, opened(store), manifest).run()
        assert await streams(url) == await streams(server.url)
        [blob] = manifest.blobs
        assert sum([len(chunk) async for chunk in NatsBlobStore(there).get(blob.sha256)]) == BLOB


async def test_facts_are_sealed_into_it_and_read_again(
    nc: Client, server: NatsServer, tmp_path: Path, store: s3.S3
) -> None:
    bench = Bench(nc, server.url, tmp_path)
    bench.fragile._storage = opened(store)  # type: ignore[assignment]  # any storage does
    await bench.log.start()
    pump = asyncio.create_task(Pump(nc, bench.live, bench.fragile).run())
    try:
        runs = [await bench.finished() for _ in range(20)]
        before, histories = await bench.everything(), [await bench.log.read(run) for run in runs]
        bench.fragile._storage = opened(store, AWS_SECRET_ACCESS_KEY="wrong")  # type: ignore[assignment]
        with pytest.raises(Unavailable) as refused:
            await bench.seal()
        assert refused.value.code == "segment_storage_unavailable"
        assert (await boundary(nc)).sequence == 0
        bench.fragile._storage = opened(store)  # type: ignore[assignment]
        store.busy = 2
        report = await bench.seal()
        assert (report.sealed_to, report.purged) == (60, 40)
        assert await bench.everything() == before
        assert [await bench.log.read(run) for run in runs] == histories
        store.objects.pop(next(name for name in store.objects if name.endswith(".ndjson.gz")))
        with pytest.raises(Exception, match="not in the storage"):
            await bench.everything()
    finally:
        await ended(pump)
        await bench.log.close()
        await bench.live.close()
