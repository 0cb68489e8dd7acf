"""What a run is asked to do."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Priority = Literal["critical", "high", "normal", "low"]
PRIORITIES: tuple[Priority, ...] = ("critical", "high", "normal", "low")
Isolation = Literal["inline", "task", "process", "sandbox"]
"""``inline``: trusted, pure and tiny, executed and decided in one step on the runner's loop; ``task``: trusted
asyncio code in the runner's process, claimed; ``process``: own process; ``sandbox``: own process that hands what
nobody vouches for to its context's sandbox, without network and rights, and is refused where there is no wall."""


class Retry(msgspec.Struct, frozen=True, omit_defaults=True):
    """How failed and lost attempts are repeated. Times in seconds."""

    max_attempts: int = 1
    """Attempts that may fail by themselves before the run fails (1: no retry)."""
    backoff_s: float = 1.0
    factor: float = 2.0
    max_backoff_s: float = 60.0
    max_lost: int = 3
    """Attempts that may be lost with their runner before the run fails."""

    def delay_s(self, failed: int) -> float:
        """Seconds to wait after the ``failed``-th failed attempt (from 1)."""
        return float(min(self.max_backoff_s, self.backoff_s * self.factor ** min(failed - 1, 64)))


class RunSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The whole order: which workload with which parameters, and under which rules."""

    workload: str
    params: dict[str, Any] = {}
    name: str | None = None
    """Unique in the workspace while the run is not deleted; ``None``: unnamed."""
    title: str = ""
    labels: dict[str, str] = {}
    pool: str = "default"
    lane: str = ""
    """Runs of one lane of the workspace are executed one after another, in the order in which they were queued."""
    priority: Priority = "normal"
    isolation: Isolation = "process"
    timeout_s: float | None = None
    """Wall-clock limit of one attempt in seconds; ``None``: no limit."""
    retry: Retry = Retry()
    seed: int = 0
    inputs: dict[str, str] = {}
    """Name -> sha256 of a blob that the workload finds under that name."""
    parent: str | None = None
    replay_of: str | None = None
    """Execute with the recorded effects of this run only, and compare the ends."""
    dialect: str = "native"
    extra: dict[str, Any] = {}
    """What a dialect needs to give its documented replies; never read by the core."""
