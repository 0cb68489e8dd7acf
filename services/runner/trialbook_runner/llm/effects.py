"""Calls as effects: recorded under a key, taken from the record instead of made again."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from trialbook.workload import Failure
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


class Divergence(Failure):
    """A replay asked for something that was not recorded; ``extra`` has ``key`` and ``difference``."""

    def __init__(self, key: str, difference: str) -> None:
        super().__init__(
            "replay_diverged", f"The replay differs at call {key}: {difference}", retryable=False, key=key,
            difference=difference,
        )  # fmt: skip


def first_difference(recorded: dict[str, Any], request: Request) -> str:
    """Where the request differs from the recorded one, with both values shortened."""
    return _difference(recorded, msgspec.to_builtins(request), "") or "the recorded request is not kept"


def _difference(old: Any, new: Any, path: str) -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            found = _difference(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
            if found:
                return found
        return ""
    if isinstance(old, list) and isinstance(new, list):
        for place, (left, right) in enumerate(zip(old, new, strict=False)):
            found = _difference(left, right, f"{path}[{place}]")
            if found:
                return found
        return "" if len(old) == len(new) else f"{path} has {len(new)} entries instead of {len(old)}"
    if old == new:
        return ""
    if isinstance(old, str) and isinstance(new, str):
        return f"{path} {_text_difference(old, new)}"
    return f"{path} is {_short(new)} instead of {_short(old)}"


def _text_difference(old: str, new: str) -> str:
    pairs = zip(old, new, strict=False)
    at = next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(old), len(new)))
    start = max(0, at - 20)
    return f"differs at character {at}: {new[start : at + 60]!r} instead of {old[start : at + 60]!r}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
