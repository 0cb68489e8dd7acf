"""The child's end of the socket: replies may come after the one who asked has gone."""

import asyncio
import contextlib
import socket

from trialbook_runner.context import Flags
from trialbook_runner.execute import wire
from trialbook_runner.execute.child import ChildChannel, Interrupts


async def test_a_reply_to_somebody_who_was_cancelled_is_dropped() -> None:
    ours, theirs = socket.socketpair()
    with contextlib.closing(ours), contextlib.closing(theirs):
        channel = ChildChannel(ours, Flags(False), Interrupts())
        gone = asyncio.create_task(channel.request(wire.BeginStep(step="a", needs=[])))
        waiting = asyncio.create_task(channel.request(wire.EndStep(step="b", result=1)))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        for number in (1, 2):
            channel._handle(wire.REPLY, wire.encode(wire.Reply(id=number, value=None)))
        assert await asyncio.wait_for(waiting, 60) is None
