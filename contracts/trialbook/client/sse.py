"""Server-sent events from raw bytes (WHATWG HTML, "Interpreting an event stream").

Lines end at LF, CR LF or CR only. Readers that split text at every Unicode line separator would cut JSON in two where a
log line holds U+2028 or U+0085, so the splitting happens on bytes.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import msgspec

MAX_EVENT_BYTES = 16 * 1024 * 1024
_LINE_END = re.compile(rb"\r\n|\n|\r")


class ServerEvent(msgspec.Struct, frozen=True):
    """One event: ``event`` is its type, ``id`` the last event id seen so far, ``data`` the joined data lines."""

    event: str
    data: bytes
    id: str


class EventTooLarge(ValueError):
    """A peer sent an event without end; nothing sensible can follow."""


class Parser:
    """Feed it bytes as they come; it gives back the events they complete."""

    def __init__(self) -> None:
        self.last_id = ""
        self.retry_s: float | None = None
        """Reconnection time that the server asked for, in seconds."""
        self._rest = bytearray()
        self._event = ""
        self._data: list[bytes] = []
        self._held = 0

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """Events completed by ``chunk``. Raises ``EventTooLarge`` past 16 MiB of one event."""
        self._rest += chunk
        events: list[ServerEvent] = []
        start = 0
        for match in _LINE_END.finditer(self._rest):
            if match.group() == b"\r" and match.end() == len(self._rest):
                break  # the LF of a CR LF may still be on its way
            event = self._line(bytes(self._rest[start : match.start()]))
            start = match.end()
            if event is not None:
                events.append(event)
        del self._rest[:start]
        if len(self._rest) + self._held > MAX_EVENT_BYTES:
            raise EventTooLarge(f"an event of more than {MAX_EVENT_BYTES} bytes")
        return events

    def _line(self, line: bytes) -> ServerEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._held += len(value)
        elif name == b"event":
            self._event = value.decode(errors="replace")
        elif name == b"id" and b"\0" not in value:
            self.last_id = value.decode(errors="replace")
        elif name == b"retry" and value.isdigit():
            self.retry_s = int(value) / 1000
        return None

    def _dispatch(self) -> ServerEvent | None:
        event, data = self._event, self._data
        self._event, self._data, self._held = "", [], 0
        return ServerEvent(event or "message", b"\n".join(data), self.last_id) if data else None


async def events(chunks: AsyncIterator[bytes], parser: Parser) -> AsyncIterator[ServerEvent]:
    """The events of a byte stream; an unfinished one at its end is dropped, as the standard says."""
    async for chunk in chunks:
        for event in parser.feed(chunk):
            yield event
