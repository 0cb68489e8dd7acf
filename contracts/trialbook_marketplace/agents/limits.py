"""Bounds that keep a run from going on for ever (facts, section 8.4)."""

from __future__ import annotations

from typing import Annotated, Protocol

from msgspec import Meta, Struct

Positive = Annotated[int, Meta(ge=1)]


class NeverHang(Struct, frozen=True, forbid_unknown_fields=True):
    """Consecutive failed decisions that stop an agent, and fruitless checks in a quiescent run."""

    failed_decisions: Positive = 3
    idle_checks: Positive = 20


class RunStopped(Exception):
    """The run must end now: no agent takes this for a failed decision of its own."""


class RunCancelled(RunStopped):
    """The run was asked to stop."""


class Control(Protocol):
    """The runner's hand on a run."""

    def cancelled(self) -> bool:
        """True once the run shall stop; looked at before every step."""
        ...

    async def checkpoint(self) -> None:
        """Awaited before every step: yields to the event loop, may hold the run back (pause, backpressure)."""
        ...

    def progress(self, finished: int, total: int) -> None:
        """Told after every customer that stopped: customers finished, customers in all."""
        ...


async def pass_checkpoint(control: Control) -> None:
    """Wait at the checkpoint; raises ``RunCancelled`` when the run shall stop."""
    await control.checkpoint()
    if control.cancelled():
        raise RunCancelled
