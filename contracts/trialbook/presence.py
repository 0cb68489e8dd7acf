"""What services announce about themselves on ``presence.>``; the last message per subject is kept."""

from __future__ import annotations

from typing import Any

import msgspec

HEARTBEAT_S = 2.0
MISSING_AFTER_S = 7.0


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """Slots of one pool on one runner."""

    slots: int
    busy: int


class RunnerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A runner's heartbeat, every two seconds. Times RFC 3339 UTC. ``state``: ready, draining or stopped."""

    id: str
    name: str
    host: str
    pid: int
    version: str
    state: str
    labels: dict[str, str]
    pools: dict[str, Pool]
    workloads: list[str]
    broken: dict[str, str]
    """Entry point name -> why it could not be loaded."""
    runs: list[str]
    lease_s: float
    sandbox: str
    started_at: str
    heartbeat_at: str


class WorkloadInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A workload as its runners know it. ``params_schema`` is a JSON Schema (draft 2020-12)."""

    name: str
    version: str
    title: str
    description: str
    isolation: str
    pool: str
    timeout_s: float | None
    params_schema: dict[str, Any]
