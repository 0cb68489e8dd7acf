"""Calls as effects: recorded under a key, taken from the record instead of made again."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from trialbook.workload import Context, EffectRecord, Failure
from trialbook_runner.differences import first_difference
from trialbook_runner.llm.requests import Request


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded call.

    ``response`` holds ``request`` (see ``Request``) and either ``completion`` or ``error`` (``kind``, ``detail``);
    ``info`` holds agent, provider, model, usage, duration_ms, cost_usd and success.
    """

    request_digest: str
    response: dict[str, Any]
    info: dict[str, Any] = {}


class Effects(Protocol):
    """Where a run's effects are kept; the runner implements it with facts and the blob store."""

    async def lookup(self, key: str) -> Effect | None:
        """The effect last recorded under ``key``, of this attempt or an earlier one."""
        ...

    async def record(self, key: str, effect: Effect) -> None:
        """Store durably: when this returns, no later attempt repeats the call."""
        ...


class MemoryEffects:
    """Effects of one process: for tests and for calls outside a run."""

    def __init__(self, recorded: dict[str, Effect] | None = None) -> None:
        self.recorded = dict(recorded or {})

    async def lookup(self, key: str) -> Effect | None:
        """From the dictionary."""
        return self.recorded.get(key)

    async def record(self, key: str, effect: Effect) -> None:
        """Into the dictionary."""
        self.recorded[key] = effect


class ContextEffects:
    """The effects of the run that a context belongs to: facts in the ledger."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    async def lookup(self, key: str) -> Effect | None:
        """From the run's facts."""
        found = await self._ctx.find_effect(key)
        if found is None:
            return None
        return Effect(request_digest=found.request_digest, response=found.response, info=found.info)

    async def record(self, key: str, effect: Effect) -> None:
        """As a fact."""
        record = EffectRecord(request_digest=effect.request_digest, response=effect.response, info=effect.info)
        await self._ctx.record_effect(key, record)


class Divergence(Failure):
    """A replay asked for something that was not recorded; ``extra`` has ``key`` and ``difference``."""

    def __init__(self, key: str, difference: str) -> None:
        super().__init__(
            "replay_diverged", f"The replay differs at call {key}: {difference}", retryable=False, key=key,
            difference=difference,
        )  # fmt: skip


def request_difference(recorded: dict[str, Any], request: Request) -> str:
    """Where the request differs from the recorded one, with both values shortened."""
    return first_difference(recorded, msgspec.to_builtins(request)) or "the recorded request is not kept"
