"""NATS spoken on a plain blocking socket: for filling streams and for reading them as fast as a socket allows.

Use it from a thread (``asyncio.to_thread``).
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

import msgspec

CHUNK = 1 << 20
FLUSH_BYTES = 1 << 18
TIMEOUT_S = 60.0


class WireError(RuntimeError):
    """The server said something that ends the benchmark."""


class Wire:
    """A connection with one inbox; replies and pulled messages arrive there."""

    def __init__(self, url: str, inbox: str) -> None:
        """``inbox`` is a subject of this connection's own, without wildcard."""
        parts = urlsplit(url)
        self.inbox = inbox
        self._socket = socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 4222), TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        self._out = bytearray()
        self._unacknowledged = 0
        self.last_sequence = 0
        options = {
            "verbose": False, "pedantic": False, "headers": True, "no_responders": True, "lang": "python",
            "version": "0", "protocol": 1, "name": "benchmark",
        }  # fmt: skip
        if parts.username:
            options |= {"user": unquote(parts.username), "pass": unquote(parts.password or "")}
        self._out += b"CONNECT " + msgspec.json.encode(options) + f"\r\nSUB {inbox}.* 1\r\n".encode()
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._socket.close()

    def flush(self) -> None:
        """Send what is buffered."""
        self._socket.sendall(self._out)
        self._out.clear()

    def publish(self, subject: str, payload: bytes, headers: bytes = b"", *, reply: str = "") -> None:
        """Buffer one message; ``headers`` is the whole block with its version line and the empty line at its end."""
        target = f"{subject} {self.inbox}.{reply}" if reply else subject
        if headers:
            self._out += f"HPUB {target} {len(headers)} {len(headers) + len(payload)}\r\n".encode() + headers
        else:
            self._out += f"PUB {target} {len(payload)}\r\n".encode()
        self._out += payload
        self._out += b"\r\n"
        if len(self._out) > FLUSH_BYTES:
            self.flush()

    def store(self, subject: str, payload: bytes, headers: bytes = b"", *, window: int = 256) -> None:
        """Publish into a stream with at most ``window`` acknowledgements outstanding."""
        self.publish(subject, payload, headers, reply="a")
        self._unacknowledged += 1
        if self._unacknowledged > window:
            self._collect(window // 2)

    def settle(self) -> int:
        """Wait for all acknowledgements; returns the sequence in the newest one."""
        self._collect(0)
        return self.last_sequence

    def _collect(self, down_to: int) -> None:
        self.flush()
        while self._unacknowledged > down_to:
            for payload in self.receive():
                answer = msgspec.json.decode(payload)
                if "error" in answer:
                    raise WireError(str(answer["error"]))
                self.last_sequence = answer["seq"]
                self._unacknowledged -= 1

    def receive(self) -> Iterator[bytes]:
        """Payloads of the messages that the next read from the socket completes, without their headers."""
        data = self._socket.recv(CHUNK)
        if not data:
            raise WireError("the server closed the connection")
        self._buffer += data
        buffer, at = self._buffer, 0
        while (end := buffer.find(b"\r\n", at)) >= 0:
            line = buffer[at:end]
            if not line.startswith((b"MSG ", b"HMSG ")):
                self._control(line)
                at = end + 2
                continue
            words = line.split(b" ")
            size = int(words[-1])
            if len(buffer) < end + 4 + size:
                break
            head = int(words[-2]) if line[0] == 72 else 0
            yield bytes(buffer[end + 2 + head : end + 2 + size])
            at = end + 4 + size
        del buffer[:at]

    def _control(self, line: bytearray) -> None:
        if line.startswith(b"PING"):
            self._out += b"PONG\r\n"
            self.flush()
        elif line.startswith(b"-ERR"):
            raise WireError(line.decode(errors="replace"))
