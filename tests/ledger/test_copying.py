"""Export and import between real servers: filters, holes, interruptions, and what is refused."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.aio.client import Client

from tests.ledger.support import stream_of
from trialbook import subjects
from trialbook.audit import merkle
from trialbook.audit.checkpoint import Checkpoint
from trialbook.audit.leaf import leaf_hashes
from trialbook.audit.manifests import ManifestNote
from trialbook.audit.signer import Signer
from trialbook.blobs.nats import NatsBlobStore
from trialbook.errors import Conflict, Invalid
from trialbook.ledger.appending import Appender
from trialbook.ledger.export import Exporter, Options
from trialbook.ledger.importing import Importer, checked
from trialbook.ledger.manifest import EXPORT, decode, encode, read_part
from trialbook.ledger.proofs import PROOFS, unproven
from trialbook.ledger.segments import Damaged, message_id
from trialbook.ledger.storage import Content, LocalStorage
from trialbook.log.api import call
from trialbook.log.connect import connect
from trialbook.log.tail import Message
from trialbook.streams import CHECKPOINTS, FACTS, SIGNALS
from trialbook.testing.server import NatsServer
from trialbook_projector.segments_parquet import table_of

pytestmark = pytest.mark.integration
STREAMS = {FACTS: subjects.FACTS_ALL, SIGNALS: subjects.SIGNALS_ALL, CHECKPOINTS: subjects.CHECKPOINTS_ALL}
Stream = list[tuple[int, str, bytes, str]]


@asynccontextmanager
async def empty(folder: Path) -> AsyncIterator[tuple[Client, str]]:
    """Another server, without streams."""
    server = NatsServer(folder).start()
    nc = await connect(server.url, name="other")
    try:
        yield nc, server.url
    finally:
        await nc.close()
        server.kill()


@pytest.fixture
async def filled(nc: Client) -> Client:
    """Facts of two workspaces, poison among them, signals with holes that begin late, a blob and a checkpoint."""
    publish = nc.jetstream().publish
    blob = await NatsBlobStore(nc).put(_bytes(b"some bytes" * 50_000))
    payloads = [b'{"n":1}', b"", b"\x00poison\n", b'{"a":"%s"}' % blob.sha256.encode(), b'{ "spaced" : true }']
    for number in range(700):
        workspace = "ab"[number % 2]
        subject = f"fact.{workspace}.run.{number:032x}.started"
        await publish(subject, payloads[number % 5], headers={"Nats-Msg-Id": f"id-{number}"} if number % 3 else None)
    for number in range(40):
        await publish(f"signal.{'ab'[number % 2]}.run.x.log", b"signal %d" % number)
    await call(nc, f"STREAM.PURGE.{SIGNALS}", {"seq": 11})
    for sequence in (15, 16, 30):
        await call(nc, f"STREAM.MSG.DELETE.{SIGNALS}", {"seq": sequence})
    facts = await stream_of_facts(nc)
    root = merkle.head(leaf_hashes((m.sequence, m.subject, m.data) for m in facts[:600]))
    note = f"{Checkpoint('log', 600, root).text}\n— log AAAAAAAA\n"
    await publish(subjects.checkpoint("log"), note.encode())
    return nc


async def _bytes(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def stream_of_facts(nc: Client) -> list[Message]:
    return await stream_of(f"nats://{nc.connected_url.netloc}", FACTS, subjects.FACTS_ALL)  # type: ignore[union-attr]


async def streams(url: str) -> dict[str, Stream]:
    return {
        name: [(m.sequence, m.subject, m.data, message_id(m)) for m in await stream_of(url, name, subject)]
        for name, subject in STREAMS.items()
    }


def exporter(nc: Client, url: str, target: Any, **options: Any) -> Exporter:
    return Exporter(nc, url, None, target, Options(**options))


async def test_everything_arrives_as_it_was(filled: Client, server: NatsServer, tmp_path: Path) -> None:
    target = LocalStorage(tmp_path / "export")
    manifest = await exporter(filled, server.url, target, table=table_of).run()
    assert manifest == await checked(target)
    async with empty(tmp_path / "nats") as (nc, url):
        await Importer(nc, url, target, manifest).run()
        found = await streams(url)
        assert found == await streams(server.url)
        assert [len(found[name]) for name in STREAMS] == [700, 27, 1]
        [blob] = manifest.blobs
        content = b"".join([chunk async for chunk in NatsBlobStore(nc).get(blob.sha256)])
        assert content == b"some bytes" * 50_000
        await nc.jetstream().publish("signal.a.run.x.log", b"next")
        assert (await streams(url))[SIGNALS][-1][0] == 41
        with pytest.raises(Conflict):
            await Importer(nc, url, target, manifest).run()


async def test_the_place_of_the_last_signals_is_kept_when_they_are_gone(
    filled: Client, server: NatsServer, tmp_path: Path
) -> None:
    for sequence in (39, 40):  # an erasure does this; verdicts name them all the same
        await call(filled, f"STREAM.MSG.DELETE.{SIGNALS}", {"seq": sequence})
    target = LocalStorage(tmp_path / "export")
    await exporter(filled, server.url, target).run()
    async with empty(tmp_path / "nats") as (nc, url):
        await Importer(nc, url, target, await checked(target)).run()
        assert (await call(nc, f"STREAM.INFO.{SIGNALS}"))["state"]["last_seq"] == 40
        assert (await streams(url))[SIGNALS] == (await streams(server.url))[SIGNALS]
        assert (await nc.jetstream().publish("signal.a.run.x.log", b"next")).seq == 41


async def test_without_signals_their_places_are_kept(filled: Client, server: NatsServer, tmp_path: Path) -> None:
    target = LocalStorage(tmp_path / "export")
    manifest = await exporter(filled, server.url, target, signals=False, blobs=False).run()
    async with empty(tmp_path / "nats") as (nc, url):
        await Importer(nc, url, target, await checked(target)).run()
        assert manifest.blobs == []
        assert (await nc.jetstream().publish("signal.a.run.x.log", b"next")).seq == 41


class Dying:
    """A storage that ends the process before the n-th write."""

    def __init__(self, storage: LocalStorage, left: int) -> None:
        self._storage, self.left = storage, left
        self.get, self.size, self.names, self.delete = storage.get, storage.size, storage.names, storage.delete

    async def put(self, name: str, content: Content) -> int:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return await self._storage.put(name, content)


async def test_an_interrupted_export_goes_on(
    filled: Client, server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trialbook.ledger.export.SEGMENT_MESSAGES", 64)
    target = LocalStorage(tmp_path / "export")
    for times in range(100):
        try:
            manifest = await exporter(filled, server.url, Dying(target, 4)).run()
            break
        except KeyboardInterrupt:
            if times == 3:
                await filled.jetstream().publish("fact.a.run.later.started", b"{}")  # comes too late for this export
            continue
    assert times > 3
    assert await checked(target) == manifest
    assert manifest.streams[FACTS].last == 700
    found = [m async for batch in read_part(target, manifest, FACTS) for m in batch]
    assert [m.sequence for m in found] == list(range(1, 701))
    assert len(manifest.streams[FACTS].segments) == 11
    with pytest.raises(Conflict):
        await exporter(filled, server.url, target).run()


async def test_an_export_with_other_options_does_not_go_on(filled: Client, server: NatsServer, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        await exporter(filled, server.url, Dying(LocalStorage(tmp_path), 2)).run()
    with pytest.raises(Invalid):
        await exporter(filled, server.url, LocalStorage(tmp_path), workspace="a").run()


async def test_an_interrupted_import_goes_on(
    filled: Client, server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = LocalStorage(tmp_path / "export")
    manifest = await exporter(filled, server.url, target).run()
    monkeypatch.setattr("trialbook.ledger.appending.AT_ONCE", 20)
    publish, left = Appender._publish, 0

    async def dying(self: Appender, portion: Any, position: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        await publish(self, portion, position)

    monkeypatch.setattr(Appender, "_publish", dying)
    async with empty(tmp_path / "nats") as (nc, url):
        for times in range(100):  # noqa: B007 -- looked at afterwards
            left = 6  # more than may be under way
            try:
                await Importer(nc, url, target, manifest).run()
                break
            except KeyboardInterrupt:
                continue
        assert times > 1, "it was interrupted again and again"
        assert await streams(url) == await streams(server.url)


async def test_an_import_outlives_its_server(
    filled: Client, server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = LocalStorage(tmp_path / "export")
    manifest = await exporter(filled, server.url, target).run()
    monkeypatch.setattr("trialbook.ledger.appending.AT_ONCE", 50)
    publish, published = Appender._publish, 0
    other = NatsServer(tmp_path / "nats").start()

    async def killing(self: Appender, portion: Any, position: int) -> None:
        nonlocal published
        published += 1
        await publish(self, portion, position)
        if published in (2, 9):
            await other.restart()

    monkeypatch.setattr(Appender, "_publish", killing)
    nc = await connect(other.url, name="import")
    try:
        await Importer(nc, other.url, target, manifest).run()
        assert published > 14
        assert await streams(other.url) == await streams(server.url)
    finally:
        await nc.close()
        other.kill()


@pytest.mark.parametrize("step", ["_publish", "append"])
async def test_somebody_who_writes_meanwhile_is_noticed(
    filled: Client, server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """After the first of many messages, and after the last one."""
    target = LocalStorage(tmp_path / "export")
    manifest = await exporter(filled, server.url, target).run()
    monkeypatch.setattr("trialbook.ledger.appending.AT_ONCE", 50)
    taken, written = getattr(Appender, step), 0
    async with empty(tmp_path / "nats") as (nc, url):

        async def disturbed(self: Appender, *given: Any) -> None:
            nonlocal written
            await taken(self, *given)
            written += 1
            if written == 1:
                await nc.jetstream().publish("fact.x.run.y.started", b"{}")

        monkeypatch.setattr(Appender, step, disturbed)
        with pytest.raises((Conflict, Damaged)):
            await Importer(nc, url, target, manifest).run()
        assert written


async def test_what_is_not_whole_is_refused(filled: Client, server: NatsServer, tmp_path: Path) -> None:
    extracts: list[dict[str, Any]] = [{"workspace": "a"}, {"first": 5}]
    for number, options in enumerate(extracts):
        target = LocalStorage(tmp_path / str(number))
        await exporter(filled, server.url, target, **options).run()
        with pytest.raises(Invalid):
            await checked(target)
    with pytest.raises(KeyboardInterrupt):
        await exporter(filled, server.url, Dying(LocalStorage(tmp_path / "part"), 3)).run()
    with pytest.raises(Invalid):
        await checked(LocalStorage(tmp_path / "part"))
    with pytest.raises(Invalid):
        await exporter(filled, server.url, LocalStorage(tmp_path / "none"), first=900).run()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_bytes(b"x")
    with pytest.raises(Conflict):
        await exporter(filled, server.url, LocalStorage(tmp_path / "taken")).run()


async def test_a_changed_byte_in_any_file_is_noticed(filled: Client, server: NatsServer, tmp_path: Path) -> None:
    target = LocalStorage(tmp_path)
    await exporter(filled, server.url, target, table=table_of).run()
    names = [name for name in await target.names() if name != EXPORT]
    assert len(names) == 6
    for name in names:
        content = await target.get(name)
        for place in (0, len(content) // 2, len(content) - 1):
            await target.put(name, content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :])
            with pytest.raises(Damaged):
                await checked(target)
        await target.put(name, content[:-1])
        with pytest.raises(Damaged):
            await checked(target)
        await target.put(name, content)
    await checked(target)


async def test_an_import_with_a_key_wants_the_manifest_signed(
    filled: Client, server: NatsServer, tmp_path: Path
) -> None:
    key, unsigned, target = Signer("log", b"k" * 32), LocalStorage(tmp_path / "unsigned"), LocalStorage(tmp_path / "s")
    await exporter(filled, server.url, unsigned).run()
    with pytest.raises(Invalid):
        await checked(unsigned, keys=[key.public])

    async def sign(manifest: bytes) -> bytes:
        digest = hashlib.sha256(manifest).hexdigest()
        return key.note(ManifestNote(sha256=digest, size=len(manifest), time_s=1).text).encode()

    await target.put("signals/of-an-attempt-before.ndjson.gz", b"x")
    whole = Exporter(filled, server.url, None, target, Options(), sign=sign)
    with pytest.raises(Conflict):
        await whole.run()
    await target.delete("signals/of-an-attempt-before.ndjson.gz")
    manifest = await whole.run()
    assert await checked(target, keys=[key.public]) == manifest
    with pytest.raises(Damaged, match="no known key"):
        await checked(target, keys=[Signer("log", b"x" * 32).public])
    await target.put("signals/more", b"x")
    with pytest.raises(Damaged, match="signals/more"):
        await checked(target, keys=[key.public])
    await target.delete("signals/more")
    await target.put(EXPORT, encode(manifest) + b" ")
    with pytest.raises(Damaged, match="another manifest"):
        await checked(target, keys=[key.public])


async def test_what_an_interrupted_export_left_is_removed(filled: Client, server: NatsServer, tmp_path: Path) -> None:
    target = LocalStorage(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        await exporter(filled, server.url, Dying(target, 5)).run()
    await target.put("signals/left.ndjson.gz", b"expired since")
    await target.put("README", b"of somebody else")
    await exporter(filled, server.url, target).run()
    assert "signals/left.ndjson.gz" not in await target.names()
    assert "README" in await target.names()


async def test_a_manifest_that_leaves_facts_out_is_noticed(filled: Client, server: NatsServer, tmp_path: Path) -> None:
    target = LocalStorage(tmp_path)
    manifest = await exporter(filled, server.url, target).run()
    manifest.streams[FACTS].last = 701
    await target.put(EXPORT, encode(manifest))
    with pytest.raises(Damaged):
        await checked(target)
    for content in (b"{", b"[]", b'{"format":1}'):
        with pytest.raises(Damaged):
            decode(content)
    with pytest.raises(Invalid):
        decode(encode(msgspec.structs.replace(manifest, format=2)))


async def test_an_extract_proves_itself(filled: Client, server: NatsServer, tmp_path: Path) -> None:
    target = LocalStorage(tmp_path)
    manifest = await exporter(filled, server.url, target, workspace="b").run()
    facts = [m async for batch in read_part(target, manifest, FACTS) for m in batch]
    assert {m.subject.split(".")[1] for m in facts} == {"b"}
    assert len(facts) == 350
    assert [m.data[:6] for batch in [b async for b in read_part(target, manifest, SIGNALS)] for m in batch] == [
        b"signal"
    ] * 13
    assert len(manifest.blobs) == 1
    root = merkle.head(leaf_hashes((m.sequence, m.subject, m.data) for m in (await stream_of_facts(filled))[:600]))
    trusted = Checkpoint("log", 600, root)
    later = [m.sequence for m in facts if m.sequence > 600]
    assert await unproven(target, manifest, trusted) == later
    assert len(later) == 50
    wrong = Checkpoint("log", 600, hashlib.sha256(b"x").digest())
    assert len(await unproven(target, manifest, wrong)) == 350
    await target.put(PROOFS, (await target.get(PROOFS))[:-1])
    with pytest.raises(Damaged):
        await unproven(target, manifest, trusted)
