"""One way to connect to NATS: endless quick reconnects, credentials in the url, problems in the log."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from urllib.parse import urlsplit

import nats.errors
from nats.aio.client import Client

from trialbook.errors import Unavailable

log = logging.getLogger(__name__)
RECONNECT_WAIT_S = 0.25
CONNECT_TIMEOUT_S = 2.0
ATTEMPT_S = 5.0
PENDING_BYTES = 32 * 1024 * 1024


def without_password(url: str) -> str:
    """The url as it may stand in a log."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or 4222}"


async def connect(url: str, *, name: str, wait_s: float = 15.0) -> Client:
    """Connect, waiting up to ``wait_s`` seconds for the server; afterwards the client reconnects for ever.

    Raises ``Unavailable`` (code ``nats_unreachable``) when nothing answers.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_s
    problems = _Problems()
    while True:
        client = Client()
        try:
            # The client itself tries for ever, also the first time; a fresh one per attempt leaves nothing half open.
            async with asyncio.timeout(min(ATTEMPT_S, max(0.1, deadline - loop.time()))):
                await client.connect(url, name=name, **_options(client, problems))
        except (OSError, TimeoutError, nats.errors.Error) as error:
            await close(client)
            if loop.time() > deadline:
                reason = problems.last or str(error) or type(error).__name__
                raise Unavailable(
                    "nats_unreachable", _what_to_do(without_password(url), reason, problems.refusal)
                ) from error
            await asyncio.sleep(RECONNECT_WAIT_S)
        else:
            return client


async def settled(nc: Client, timeout_s: int = 10) -> None:
    """Wait until the server has acted on everything this client said before: a subscription hears from now on.

    One ``flush`` does not promise that: nats-py writes its PING at once, ahead of commands that still wait for its
    own writer, so the answer may come before they are read. A second PING is behind them.
    Raises ``nats.errors.Error`` when the server does not answer within ``timeout_s`` seconds.
    """
    await nc.flush(timeout_s)
    await nc.flush(timeout_s)


def _what_to_do(at: str, reason: str, refusal: str) -> str:
    if refusal:
        return (
            f"NATS at {at} refuses us: {refusal}. Name user and password: TRIALBOOK_NATS_URL=nats://user:password@host"
        )
    return f"No NATS server answers at {at}: {reason}. Start one with `trialbook up`, or set TRIALBOOK_NATS_URL."


class _Problems:
    """The last thing that went wrong with a connection."""

    last = ""
    refusal = ""
    """The server's, which closes the connection as well: what is said of that comes before or after it."""


def _options(client: Client, problems: _Problems) -> dict[str, Any]:
    """Reconnect for ever and quickly; say in the log what happens, but nothing of a close of our own."""

    async def on_error(error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        log.log(logging.DEBUG if text == problems.last else logging.WARNING, "NATS: %s", text)
        problems.last = text
        if "authorization violation" in text.lower():
            problems.refusal = text

    async def on_disconnect() -> None:
        if not (client.is_closed or client.is_draining):
            log.warning("NATS: disconnected, reconnecting")

    async def on_reconnect() -> None:
        problems.last = ""
        log.info("NATS: reconnected")

    return {
        "allow_reconnect": True,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": RECONNECT_WAIT_S,
        "connect_timeout": CONNECT_TIMEOUT_S,
        "ping_interval": 5,
        "max_outstanding_pings": 2,
        "pending_size": PENDING_BYTES,
        "error_cb": on_error,
        "disconnected_cb": on_disconnect,
        "reconnected_cb": on_reconnect,
    }


async def connected(nc: Client, timeout_s: float) -> bool:
    """Wait until the client is connected; False when it is not after ``timeout_s`` seconds."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while not nc.is_connected:
        if nc.is_closed or asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


async def close(nc: Client) -> None:
    """Close a client, also one whose connection is gone: uvloop refuses its last flush then."""
    try:
        await nc.close()
    except RuntimeError as error:
        log.debug("NATS: closed without its connection: %s", error)
