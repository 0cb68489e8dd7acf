"""Small network questions: ports in use, loopback addresses, one HTTP status."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from urllib.parse import urlsplit

from trialbook.sockets import LOOPBACK, tcp_socket

NATS_PORT = 4222


def port_in_use(host: str, port: int) -> bool:
    """Whether binding `port` on `host` is refused. Raises OSError when `host` is none of this machine's addresses."""
    with tcp_socket(host) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
            raise
    return False


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on `host`. A name other than localhost counts as reachable."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def reachable_host(host: str) -> str:
    """The host for a URL that reaches a listener bound to `host` from this machine."""
    host = {"0.0.0.0": LOOPBACK, "::": "::1", "": LOOPBACK}.get(host, host)  # noqa: S104 - compared, not bound
    return f"[{host}]" if ":" in host else host


async def nats_answers(urls: str, timeout_seconds: float = 2.0) -> str:
    """Empty when one of the NATS servers (comma separated) greets, else the reason why the last one does not."""
    reason = "no address"
    for url in urls.split(","):
        address = urlsplit(url.strip() if "://" in url else f"nats://{url.strip()}")
        if address.scheme not in ("nats", "tls"):
            return ""  # a WebSocket is the client's business
        try:
            async with asyncio.timeout(timeout_seconds):
                reader, writer = await asyncio.open_connection(address.hostname or LOOPBACK, address.port or NATS_PORT)
                greeting = await reader.read(5)
                writer.close()
        except (OSError, TimeoutError, ValueError) as error:
            reason = str(error) or type(error).__name__
            continue
        if greeting.startswith(b"INFO"):
            return ""
        reason = "what listens there is no NATS server"
    return reason


async def http_status(host: str, port: int, path: str, timeout_seconds: float = 2.0) -> tuple[int, str]:
    """Status and body (at most 64 KiB) of a GET; status 0 and the reason when nobody answers.

    Written on plain sockets so that the supervisor, which lives as long as the stack, needs no HTTP library.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            return await _get(host.strip("[]"), port, path)
    except (OSError, TimeoutError, ValueError, IndexError) as error:
        return 0, f"{type(error).__name__}: {error}"


async def listens(host: str, port: int) -> bool:
    """Whether a connection is accepted; it is closed again at once."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


async def _get(host: str, port: int, path: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        answer = bytearray()
        while len(answer) < 65_536 and (chunk := await reader.read(65_536)):
            answer += chunk
    finally:
        writer.close()
    head, _, body = bytes(answer).partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), body.decode(errors="replace")
