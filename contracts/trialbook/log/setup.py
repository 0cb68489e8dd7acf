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


async def ensure_streams(nc: Client, limits: Limits | None = None) -> None:
    """Create missing streams and update changed ones. Raises ``ApiError`` when the server refuses a definition."""
    for name, config in definitions(limits or Limits()).items():
        wanted = {"name": name, **config}
        try:
            present = (await call_until_ready(nc, f"STREAM.INFO.{name}"))["config"]
        except ApiError as error:
            if error.code != STREAM_NOT_FOUND:
                raise
            await _create(nc, name, wanted)
            continue
        if _differs(wanted, present):
            await call(nc, f"STREAM.UPDATE.{name}", wanted)


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
    """Compare what we set, ignoring what the server adds; an absent member is a false one. A smaller bound on bytes
    stays: it was chosen because the disk is small, or by an operator.
    """
    if 0 < present.get("max_bytes", -1) < wanted.get("max_bytes", 0):
        wanted["max_bytes"] = present["max_bytes"]
    return any(present.get(key) != value and (key in present or value) for key, value in wanted.items())
