"""Follow the facts of a workspace with FastStream and a consumer: every fact once and in order, whatever breaks.

    pip install 'trialbook[server]'
    trialbook nats user add bob --workspace main --out bob.nk
    python python_faststream.py nats://127.0.0.1:4222 bob.nk bob main facts.ndjson

The server keeps a consumer for us. It gives out one message at a time (`max_ack_pending` 1) and the next one when we
have acknowledged it; what was not acknowledged comes again, and what comes again is dropped by the journal.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import nats.errors
from faststream import AckPolicy, FastStream
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from nats.aio.client import Client

from trialbook.credentials import connect

NAME = "main"


class Journal:
    """One line of JSON for each fact. The last whole line is the cursor: what was done and how far are one write."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a+b")
        self._file.seek(0)
        written = self._file.read()
        whole = written.rfind(b"\n") + 1
        self._file.truncate(whole)  # a line that was being written when we were killed
        lines = written[:whole].splitlines()
        self.cursor: int = json.loads(lines[-1])["sequence"] if lines else 0

    def add(self, sequence: int, event: object) -> None:
        """Write a fact down, unless it was already."""
        if sequence > self.cursor:
            self._file.write(json.dumps({"sequence": sequence, "event": event}).encode() + b"\n")
            self._file.flush()
            self.cursor = sequence


class Broker(NatsBroker):
    """FastStream's broker on a connection that is signed for without the package nkeys.

    With that package: ``NatsBroker(url, security=NatsNKey(seed="bob.nk"), js_options={"prefix": "js"})``.
    """

    def __init__(self, url: str, seed: str) -> None:
        super().__init__(url, js_options={"prefix": "js"}, logger=None)
        self._address = (url, seed)

    async def _connect(self) -> Client:
        nc = await connect(*self._address, max_reconnect_attempts=-1, reconnect_time_wait=0.25, ping_interval=5)
        self.config.connect(nc)
        return nc


async def make_consumer(nc: Client, workspace: str) -> None:
    """Ask for the consumer, until somebody answers; the same order again finds the one that is there."""
    order = {"name": NAME, "stream": "facts", "max_ack_pending": 1, "ack_wait_s": 2}
    while True:
        try:
            reply = await nc.request(f"cmd.{workspace}.consumer.create", json.dumps(order).encode(), timeout=5)
        except nats.errors.Error:  # the services are starting
            await asyncio.sleep(0.5)
            continue
        error = json.loads(reply.data).get("error")
        if error is None:
            return
        if error["kind"] != "unavailable":
            raise RuntimeError(f"{error['code']}: {error['detail']}")


def application(url: str, seed: str, user: str, workspace: str, journal: Journal) -> FastStream:
    """A FastStream application with one subscriber."""
    broker = Broker(url, seed)

    async def prepare() -> None:
        await make_consumer(await broker.connect(), workspace)

    @broker.subscriber(
        f"fact.{workspace}.>", stream=JStream("FACTS", declare=False), durable=f"{user}@{NAME}",
        pull_sub=PullSub(batch_size=1, timeout=1.0), ack_policy=AckPolicy.MANUAL,
    )  # fmt: skip
    async def fact(event: dict[str, Any], message: NatsMessage) -> None:
        sequence = message.raw_message.metadata.sequence.stream
        if sequence <= journal.cursor:
            print(f"again: sequence {sequence}", file=sys.stderr, flush=True)
        journal.add(sequence, event)
        await message.ack()

    return FastStream(broker, on_startup=[prepare])


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    url_, seed_, user_, workspace_, file_ = sys.argv[1:]
    asyncio.run(application(url_, seed_, user_, workspace_, Journal(Path(file_))).run())
