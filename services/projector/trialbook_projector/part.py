"""A helper of a build: reads and folds the parts of the ledger that it is told of, until its input ends.

``python -m trialbook_projector.part``: each line of standard input is a part, two sequences (after, up to); for each a
block goes to standard output, its length in eight bytes first. An empty block: the builder has to do it.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from typing import BinaryIO

import msgspec
import uvloop

from trialbook import subjects
from trialbook.log.bulk import read_stream
from trialbook.streams import FACTS
from trialbook_projector import without_pandas

LENGTH_BYTES = 8


async def fold(url: str, after: int, up_to: int) -> bytes:
    """A part as ``Folded`` in MessagePack; empty when it cannot be folded by itself. Raises ``Unavailable``."""
    from trialbook_projector.tables.part import PartFold, Unfit

    part = PartFold(after)
    try:
        async for batch in read_stream(url, FACTS, [subjects.FACTS_ALL], after, up_to):
            part.add(batch)
        folded = part.folded()
    except Unfit:
        return b""
    return msgspec.msgpack.encode(folded) if folded.up_to == up_to else b""


async def serve(url: str, asked: BinaryIO, out: BinaryIO) -> None:
    """Answer until the input ends."""
    while line := await asyncio.to_thread(asked.readline):
        after, up_to = line.split()
        block = await fold(url, int(after), int(up_to))
        await asyncio.to_thread(_write, out, block)


def _write(out: BinaryIO, block: bytes) -> None:
    out.write(len(block).to_bytes(LENGTH_BYTES))
    out.write(block)
    out.flush()


def main(url: str) -> None:
    """Serve with standard input and output, buffered in any case: unbuffered writes are partial."""
    gc.disable()  # as in the builder: it would take half of the time, and a part leaves no cycles
    with open(sys.stdin.fileno(), "rb", closefd=False) as asked, open(sys.stdout.fileno(), "wb", closefd=False) as out:
        uvloop.run(serve(url, asked, out))


if __name__ == "__main__":
    without_pandas.install()  # before Arrow is imported
    main(os.environ["TRIALBOOK_NATS_URL"])
