"""The server's HTTP protocol with bounds on its patience.

With heads that do not come, bodies that nobody waits for any more, replies that nobody takes. Bodies that somebody
waits for are the business of ``limits.BodyLimit``.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from trialbook_gateway.problems import MEDIA_TYPE

MAX_HEAD_BYTES = 64 * 1024
LINGER_S = 5.0
"""How long the rest of a request may come that was answered before."""
UNTAKEN_S = 60.0
"""How long a client may take nothing of what is buffered for it (64 KiB and more)."""


class Patient(HttpToolsProtocol):
    """``head_s``: seconds from the beginning of a connection, or a later request on it, to the end of its head."""

    head_s = 10.0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._timers: dict[str, asyncio.TimerHandle] = {}  # at most one of each kind
        self._in_head = True
        self._head_bytes = 0
        self._receiving = self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection that says nothing is closed."""
        super().connection_made(transport)
        self._arm("head", self.head_s, self._no_head)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more to wait for."""
        for kind in list(self._timers):
            self._disarm(kind)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes before a head is complete; what comes after a refusal is read and forgotten."""
        if self._refused:
            return
        self._head_bytes += len(data)
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        if self._head_bytes > MAX_HEAD_BYTES:
            text = f"The head of a request has at most {MAX_HEAD_BYTES} bytes; send fewer or shorter headers."
            self._refuse(431, "head_too_large", text)
        elif "head" not in self._timers:
            self._arm("head", self.head_s, self._no_head)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._in_head = self._receiving = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """From here on the application decides."""
        self._in_head = False
        self._disarm("head")
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        self._receiving = False
        self._disarm("linger")
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Nobody reads the rest of the body, but the next request would come behind it."""
        super().on_response_complete()
        if self._receiving and self.cycle.response_complete and not self.transport.is_closing():
            self._arm("linger", LINGER_S, self.transport.close)

    def pause_writing(self) -> None:
        """The client does not keep up."""
        super().pause_writing()
        self._arm("untaken", UNTAKEN_S, self.transport.abort)

    def resume_writing(self) -> None:
        """It does again."""
        self._disarm("untaken")
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP, in the shape of every refusal."""
        self._refuse(400, "malformed_request", f"{msg} See RFC 9112.")

    def _no_head(self) -> None:
        self._timers.pop("head", None)
        if self.transport.is_closing():
            return
        if self._receiving:
            text = f"The head of the request was not complete after {self.head_s:g} s."
            self._refuse(408, "head_timeout", text)
        else:
            self.transport.close()

    def _refuse(self, status: int, code: str, detail: str) -> None:
        if self._refused:
            return
        cycle: Any = self.cycle  # None before the first request
        if cycle is not None and not cycle.response_complete:  # nothing may stand amid another reply
            self.transport.close()
            return
        body = {"type": f"urn:trialbook:problem:{code}", "status": status, "code": code, "detail": detail}
        content = msgspec.json.encode(body)
        head = f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(content)}\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + head.encode() + content)
        self._refused = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        # Closed with bytes unread, a connection is reset, and with it goes a reply that the client has not read yet.
        self._arm("linger", LINGER_S, self.transport.close)

    def _arm(self, kind: str, seconds: float, act: Any) -> None:
        self._disarm(kind)
        self._timers[kind] = self.loop.call_later(seconds, act)

    def _disarm(self, kind: str) -> None:
        if (timer := self._timers.pop(kind, None)) is not None:
            timer.cancel()


def patient(head_s: float) -> type[asyncio.Protocol]:
    """The protocol with this patience."""
    return type("Patient", (Patient,), {"head_s": head_s})
