"""Create the streams, or bring them up to date. Safe to call from every service at every start."""

from __future__ import annotations

import logging
from typing import Any

from nats.aio.client import Client

from trialbook.log.api import ApiError, call, call_until_ready
from trialbook.streams import Limits, definitions

log = logging.getLogger(__name__)
STREAM_EXISTS = 10058
STREAM_NOT_FOUND = 10059
NO_ROOM = 10047
LEAST_BYTES = 64 * 1024**2
OPERATORS = ("num_replicas", "max_age", "max_bytes", "duplicate_window", "placement")
"""What an operator may change on a living stream; it stays as it is."""
GROWN = ("deny_purge", "first_seq", "metadata")
"""What a living stream has for good, or what is recorded in it; it stays as it is, too."""


async def ensure_streams(nc: Client, limits: Limits | None = None) -> None:
    """Create missing streams; bring others up to date but for what an operator may have chosen.

    Raises ``ApiError`` when the server refuses a definition.
    """
    for name, config in definitions(limits or Limits()).items():
        wanted = {"name": name, **config}
        try:
            present = (await call_until_ready(nc, f"STREAM.INFO.{name}"))["config"]
        except ApiError as error:
            if error.code != STREAM_NOT_FOUND:
                raise
            await _create(nc, name, wanted)
            continue
        kept = {key: present[key] for key in (*OPERATORS, *GROWN) if key in present}
        if _differs(wanted | kept, present):
            await call(nc, f"STREAM.UPDATE.{name}", wanted | kept)


async def _create(nc: Client, name: str, wanted: dict[str, Any]) -> None:
    while True:
        try:
            await call(nc, f"STREAM.CREATE.{name}", wanted)
        except ApiError as error:
            if error.code == STREAM_EXISTS:  # another service was quicker
                return
            if error.code != NO_ROOM or wanted.get("max_bytes", 0) < 2 * LEAST_BYTES:
                raise
            wanted = {**wanted, "max_bytes": wanted["max_bytes"] // 2}
            log.warning("The server cannot reserve that much; %s is bounded to %d bytes.", name, wanted["max_bytes"])
        else:
            return


def _differs(wanted: dict[str, Any], present: dict[str, Any]) -> bool:
    """Compare what we set, ignoring what the server adds; an absent member is a false one."""
    return any(present.get(key) != value and (key in present or value) for key, value in wanted.items())
