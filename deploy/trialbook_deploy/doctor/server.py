"""The NATS server: version, durability, streams against their definitions and their sizes."""

from __future__ import annotations

import asyncio
from typing import Any

from nats.aio.client import Client

from trialbook.log.api import ApiError, call
from trialbook.streams import SIGNALS, Limits, definitions
from trialbook_deploy.doctor.accounts import accounts
from trialbook_deploy.doctor.finding import Finding, fail, ok, size_text, warn
from trialbook_deploy.doctor.web import get

MIN_VERSION = (2, 12)  # atomic batches and asynchronous persistence
NEARLY_FULL = 0.9


async def check_server(nc: Client, monitor_url: str | None) -> list[Finding]:
    """All checks of a connected server."""
    return [version(nc), await durability(monitor_url), await accounts(nc, monitor_url), *await streams(nc)]


def version(nc: Client) -> Finding:
    """Whether the server knows what the ledger needs."""
    found = nc.connected_server_version
    numbers = (found.major, found.minor)
    at = nc.connected_url.netloc.rpartition("@")[2] if nc.connected_url else "an unknown address"
    said = f"nats-server {found.major}.{found.minor}.{found.patch} at {at}"
    if numbers < MIN_VERSION:
        return fail("nats version", said, "The ledger needs atomic batches: nats-server 2.12 or newer.")
    return ok("nats version", said)


async def durability(monitor_url: str | None) -> Finding:
    """Whether an acknowledged fact is on disk (`sync_interval: always`)."""
    remedy = "Set `jetstream { sync_interval: always }` in the server's configuration and restart it."
    if monitor_url is None:
        return warn(
            "durability", "the server's monitoring address is not known, so its sync_interval cannot be seen", remedy
        )
    try:
        config = (await asyncio.to_thread(get, f"{monitor_url.rstrip('/')}/jsz?config=1"))["config"]
    except (OSError, ValueError, KeyError) as error:
        return warn("durability", f"{monitor_url}/jsz does not answer as expected: {error!r}", remedy)
    if config.get("sync_always"):
        return ok("durability", "sync_interval is always: an acknowledged fact is on disk")
    seconds = config.get("sync_interval", 0) / 1e9
    return fail(
        "durability", f"sync_interval is {seconds:.0f} s: a power cut loses facts that were acknowledged", remedy
    )


async def streams(nc: Client) -> list[Finding]:
    """Every stream: there, as defined, how large."""
    return [await _stream(nc, name, wanted) for name, wanted in definitions(Limits()).items()]


async def _stream(nc: Client, name: str, wanted: dict[str, Any]) -> Finding:
    check = f"stream {name}"
    try:
        info = await call(nc, f"STREAM.INFO.{name}")
    except ApiError as error:
        return fail(check, str(error), "The services create their streams at start: is `trialbook up` running?")
    config, state = info["config"], info["state"]
    text = f"{state['messages']:,} messages, {size_text(state['bytes'])}"
    different = differences(wanted, config)
    if different:
        return fail(
            check,
            f"{text}; its configuration differs: {'; '.join(different)}",
            "Restart the services, which bring streams up to date, and see their logs if it stays.",
        )
    limit = config.get("max_bytes", -1)
    if name == SIGNALS and limit > 0:
        text += f" of {size_text(limit)}"
        if state["bytes"] > NEARLY_FULL * limit:
            return warn(check, text, "Nearly full: the oldest signals expire now. They stay in the projector's tables.")
    return ok(check, text)


def differences(wanted: dict[str, Any], present: dict[str, Any]) -> list[str]:
    """What a stream's configuration has other than its definition; sizes, ages and replicas are the operator's."""
    chosen = {"max_bytes", "max_age", "num_replicas", "duplicate_window"}
    found = []
    for key, value in wanted.items():
        actual = present.get(key)
        if key in chosen or actual == value or (not actual and not value):
            continue
        if isinstance(value, dict) and isinstance(actual, dict) and value.items() <= actual.items():
            continue
        found.append(f"{key} is {actual!r}, not {value!r}")
    return found
