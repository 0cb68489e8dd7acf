"""The little of HTTP/1.1 that a scripted server needs: requests with a length, keep-alive, chunked replies."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import msgspec

MAX_BODY = 64 * 1024 * 1024
MAX_HEADERS = 100


class BadRequest(Exception):
    """The bytes are no request that is understood."""


class HttpRequest(msgspec.Struct, frozen=True):
    """Header names are lower-case; the target includes the query."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


async def read_request(reader: asyncio.StreamReader) -> HttpRequest | None:
    """The next request of a connection, None at its end. Raises ``BadRequest``."""
    try:
        line = await reader.readuntil(b"\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise BadRequest("cut off") from None
        return None
    parts = line.decode("latin-1").split()
    if len(parts) != 3:
        raise BadRequest("no request line")
    headers: dict[str, str] = {}
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or len(headers) >= MAX_HEADERS:
            raise BadRequest("malformed headers")
        headers[name.strip().lower()] = value.strip()
    return HttpRequest(parts[0], parts[1], headers, await _body(reader, headers))


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        chunks = []
        while size := int(await reader.readuntil(b"\r\n"), 16):
            chunks.append(await reader.readexactly(min(size, MAX_BODY)))
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
        return b"".join(chunks)
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > MAX_BODY:
        raise BadRequest("malformed or too large")
    return await reader.readexactly(int(length))


def head(status: int, headers: dict[str, str]) -> bytes:
    """Status line and headers."""
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunk(data: bytes) -> bytes:
    """One piece of a chunked body; the empty one ends it."""
    return b"%x\r\n%b\r\n" % (len(data), data)
