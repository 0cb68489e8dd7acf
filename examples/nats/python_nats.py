"""Follow the facts of a workspace with nats-py: every fact once and in order, whatever breaks meanwhile.

    pip install 'trialbook[server]'
    trialbook nats user add alice --workspace main --out alice.nk
    python python_nats.py nats://127.0.0.1:4222 alice.nk main facts.ndjson

A tap says what happens while you listen. What happened before, or while the connection was gone, is asked for with
`event.list`; how much that was is said on standard error. Kill it when you like: it goes on where its file ends.
"""

import asyncio
import json
import sys
from pathlib import Path

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from trialbook.credentials import connect  # with the package nkeys: nats.connect(url, nkeys_seed=seed)

PAUSE_S = 0.5
QUIET_S = 5.0


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


async def catch_up(nc: Client, workspace: str, journal: Journal, at_least: int = 0) -> None:
    """Ask for everything after the cursor; the answer has seen `at_least` that sequence of the ledger."""
    began, limit = journal.cursor, 500
    while True:
        question = {"after": journal.cursor, "limit": limit, "at_least": at_least}
        reply = await nc.request(f"ask.{workspace}.event.list", json.dumps(question).encode(), timeout=10)
        answer = json.loads(reply.data)
        if error := answer.get("error"):
            if error["code"] == "reply_too_large" and limit > 1:
                limit //= 2
                continue
            raise RuntimeError(f"{error['code']}: {error['detail']}")
        page = answer["result"]
        for item in page["items"]:
            journal.add(item["sequence"], item["event"])
        if page["next_cursor"] is None:
            break
    if journal.cursor > began:
        print(f"gap: caught up from sequence {began} to {journal.cursor}", file=sys.stderr, flush=True)


async def session(nc: Client, workspace: str, journal: Journal) -> None:
    """Everything on one connection, until it is lost."""
    tap = await nc.subscribe(f"tap.fact.{workspace}.>")
    await catch_up(nc, workspace, journal)
    joined = False
    while True:
        try:
            message: Msg = await tap.next_msg(timeout=QUIET_S)
        except nats.errors.TimeoutError:
            await catch_up(nc, workspace, journal)
            continue
        sequence = int((message.headers or {})["Nats-Sequence"])
        if not joined:  # the first one on the tap: what lies between the last answer and it?
            await catch_up(nc, workspace, journal, at_least=sequence - 1)
            joined = True
        journal.add(sequence, json.loads(message.data))


async def follow(url: str, seed: str, workspace: str, journal: Journal) -> None:
    """A new session whenever a connection is lost: the client's own reconnect would hide the gap."""
    while True:
        nc: Client | None = None
        lost = asyncio.Event()

        async def on_error(error: Exception, lost: asyncio.Event = lost) -> None:
            print(f"nats: {error}", file=sys.stderr, flush=True)
            lost.set()  # a slow consumer as well: the client has dropped messages

        async def on_closed(lost: asyncio.Event = lost) -> None:
            lost.set()

        try:
            nc = await connect(
                url, seed, allow_reconnect=False, connect_timeout=2, ping_interval=5, max_outstanding_pings=2,
                error_cb=on_error, closed_cb=on_closed, disconnected_cb=on_closed,
            )  # fmt: skip
            work = asyncio.create_task(session(nc, workspace, journal))
            gone = asyncio.create_task(lost.wait())
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
            work.cancel()
            await work
        except (nats.errors.Error, OSError, TimeoutError, RuntimeError, asyncio.CancelledError) as error:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            print(f"connection lost, beginning again: {error!r}", file=sys.stderr, flush=True)
        finally:
            if nc is not None:
                await nc.close()
        await asyncio.sleep(PAUSE_S)


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    url_, seed_, workspace_, file_ = sys.argv[1:]
    asyncio.run(follow(url_, seed_, workspace_, Journal(Path(file_))))
