"""Requests about effects from an attempt's own process, picked out of its frames before the others are read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import msgspec

from trialbook_runner.effects import EffectOp
from trialbook_runner.execute import wire
from trialbook_runner.execute.process import ProcessExecution
from trialbook_runner.execute.spawner import Child


class EffectRequest(msgspec.Struct, frozen=True):
    """A numbered operation, as ``wire.Request``."""

    id: int
    op: EffectOp


_decode = msgspec.json.Decoder(EffectRequest).decode


class ExecutionWithEffects(ProcessExecution):
    """A process whose workload may also record effects."""

    async def _read(self, child: Child, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def serve(request: EffectRequest) -> None:
            await self._requests.acquire()
            self._start(self._serve(cast(wire.Request, request), writer))

        await super()._read(child, cast(asyncio.StreamReader, Sifted(reader, serve)), writer)


class Sifted:
    """A reader of frames that hands requests about effects to ``take`` and everything else on."""

    def __init__(self, reader: asyncio.StreamReader, take: Callable[[EffectRequest], Awaitable[None]]) -> None:
        self._reader, self._take = reader, take
        self._inside = False
        self._payload: bytes | None = None

    async def readexactly(self, size: int) -> bytes:
        """A header or, after one, its payload. Raises ``IncompleteReadError``."""
        if self._inside:
            self._inside = False
            payload, self._payload = self._payload, None
            return await self._reader.readexactly(size) if payload is None else payload
        while True:
            head = await self._reader.readexactly(size)
            length, kind = wire.HEADER.unpack(head)
            if kind != wire.REQUEST:
                break
            payload = await self._reader.readexactly(length)
            try:
                request = _decode(payload)
            except msgspec.ValidationError:  # another operation
                self._payload = payload
                break
            await self._take(request)
        self._inside = True
        return head

    def feed_eof(self) -> None:
        """See ``StreamReader.feed_eof``."""
        self._reader.feed_eof()
