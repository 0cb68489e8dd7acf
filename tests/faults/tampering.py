"""A store of FACTS to be tampered with: built once, copied for each case, changed on disk, and looked at again."""

from __future__ import annotations

import asyncio
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from trialbook.audit.signer import Signer
from trialbook.log.api import call
from trialbook.log.connect import close, connect
from trialbook.log.setup import ensure_streams
from trialbook.proofs import LedgerInfo
from trialbook.streams import FACTS
from trialbook.testing.server import NatsServer
from trialbook_projector.ledger.service import Ledger
from trialbook_projector.settings import from_environment

FOLDER = Path("nats/store/jetstream/$G/streams/FACTS/msgs")
KEY = Signer("trialbook-test", bytes(range(32)))
LOOK_S = 60.0
HEADER = b"NATS/1.0\r\n"


class Record(NamedTuple):
    """One record of a block: length, sequence, time, length of the subject, subject, headers, payload, hash."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        return self.offset + self.length

    def places(self, block: bytes) -> dict[str, int]:
        """Offset of one byte in each part."""
        subject = self.offset + 22
        headers = subject + struct.unpack_from("<H", block, self.offset + 20)[0]
        payload = headers + 4 + struct.unpack_from("<I", block, headers)[0]
        return {
            "length": self.offset, "high length": self.offset + 2, "sequence": self.offset + 4,
            "high sequence": self.offset + 5, "time": self.offset + 13, "subject length": self.offset + 20,
            "subject": subject + 11, "headers length": headers, "headers": headers + 4 + 25, "payload": payload + 8,
            "end of payload": self.end - 9, "hash": self.end - 3,
        }  # fmt: skip


def records(block: bytes) -> list[Record]:
    """The records of a block file."""
    found, offset = [], 0
    while offset < len(block):
        length = struct.unpack_from("<I", block, offset)[0] & 0x7FFFFFFF
        found.append(Record(offset, length))
        offset += length
    return found


def facts(count: int, size: int, changed: int = 0) -> Iterator[tuple[int, str, bytes]]:
    """Facts of ``size`` bytes and a little; the payload of the one of sequence ``changed`` is another, as long."""
    for number in range(1, count + 1):
        filler = b"z" if number == changed else b"y"
        yield number, f"fact.main.run.{number % 50}.x", b'{"n":%d,"x":"%s"}' % (number, filler * size)


async def publish(url: str, count: int, size: int, changed: int = 0) -> None:
    """Fill FACTS."""
    nc = await connect(url, name="test")
    await ensure_streams(nc)
    for number, subject, payload in facts(count, size, changed):
        await nc.publish(subject, payload, headers={"Nats-Msg-Id": f"id{number}"})
        if number % 200 == 0:
            await nc.flush()
    async with asyncio.timeout(90):
        while int((await call(nc, f"STREAM.INFO.{FACTS}"))["state"]["last_seq"]) < count:
            await asyncio.sleep(0.02)
    await close(nc)


def stop(server: NatsServer) -> None:
    """End the server in order, as somebody would before touching its files."""
    assert server.process is not None
    server.process.terminate()
    server.process.wait()


async def build(folder: Path, count: int, size: int, unsigned: int = 0) -> None:
    """A stopped server whose facts are hashed and signed, but for the last ``unsigned``, which are only hashed."""
    server = NatsServer(folder / "nats").start()
    await publish(server.url, count - unsigned, size)
    await look(folder, server, sign=True)
    if unsigned:
        nc = await connect(server.url, name="test")
        for number, subject, payload in list(facts(count, size))[count - unsigned :]:
            await nc.request(subject, payload, headers={"Nats-Msg-Id": f"id{number}"})
        await close(nc)
        await look(folder, server)
    stop(server)


async def look(folder: Path, server: NatsServer | None = None, *, sign: bool = False) -> LedgerInfo:
    """Start the server (unless one is given) and a ledger on the data, until it has verified or found damage."""
    running = server or NatsServer(folder / "nats").start()
    environment = {
        "TRIALBOOK_NATS_URL": running.url, "TRIALBOOK_DATA_DIR": str(folder), "TRIALBOOK_LEDGER_KEY": KEY.text,
        "TRIALBOOK_CHECKPOINT_SECONDS": "1000",
    }  # fmt: skip
    nc = await connect(running.url, name="test")
    try:
        await ensure_streams(nc)
        ledger = Ledger(nc, from_environment(environment))
        await ledger.open(0)
        task = asyncio.create_task(ledger.run())
        async with asyncio.timeout(LOOK_S):
            while ledger.watch.info.state == "verifying" and not task.done():
                await asyncio.sleep(0.01)
            if sign:
                await ledger.checkpoint()
        task.cancel()
        await asyncio.wait([task])
        await ledger.close()
        return ledger.watch.info
    finally:
        await close(nc)
        if server is None:
            running.kill()


def copied(template: Path, to: Path) -> Path:
    """A copy to tamper with."""
    shutil.copytree(template, to)
    return to
