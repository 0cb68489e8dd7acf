"""What calls of models cost: sums per run, per agent and per model, from effects or while they are made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens. ``input_tokens`` includes the cached ones, ``output_tokens`` those spent on reasoning."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Input and output."""
        return self.input_tokens + self.output_tokens


class Tally(msgspec.Struct, kw_only=True):
    """Sums. ``cost_usd`` is None as soon as one call has no known price; ``known_cost_usd`` sums the others."""

    calls: int = 0
    failed_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    unpriced_calls: int = 0
    known_cost_usd: float = 0.0
    duration_ms: float = 0.0

    @property
    def total_tokens(self) -> int:
        """Input and output."""
        return self.input_tokens + self.output_tokens

    @property
    def cost_usd(self) -> float | None:
        """The cost, or None when a part of it is unknown."""
        return None if self.unpriced_calls else round(self.known_cost_usd, 10)

    def add(self, usage: Usage | None, cost_usd: float | None, duration_ms: float) -> None:
        """Count one call; without ``usage`` it failed, which costs nothing."""
        self.calls += 1
        self.duration_ms += duration_ms
        if usage is None:
            self.failed_calls += 1
            return
        self.input_tokens += usage.input_tokens
        self.output_tokens += usage.output_tokens
        self.cached_tokens += usage.cached_tokens
        self.reasoning_tokens += usage.reasoning_tokens
        if cost_usd is None:
            self.unpriced_calls += 1
        else:
            self.known_cost_usd += cost_usd

    def report(self) -> dict[str, Any]:
        """JSON-able sums."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        # Rounded, because sums of floats depend on the order in which calls ended.
        sums = {"known_cost_usd": round(self.known_cost_usd, 10), "duration_ms": round(self.duration_ms, 3)}
        return plain | sums | {"total_tokens": self.total_tokens, "cost_usd": self.cost_usd}


class Accounts:
    """The sums of one run."""

    def __init__(self) -> None:
        self.total = Tally()
        self.by_agent: dict[str, Tally] = {}
        self.by_model: dict[tuple[str, str], Tally] = {}

    def add(
        self, agent: str, provider: str, model: str, usage: Usage | None, cost_usd: float | None, duration_ms: float
    ) -> None:
        """Count one call, made or taken from the record."""
        tallies = (
            self.total,
            self.by_agent.setdefault(agent, Tally()),
            self.by_model.setdefault((provider, model), Tally()),
        )
        for tally in tallies:
            tally.add(usage, cost_usd, duration_ms)

    def report(self) -> dict[str, Any]:
        """JSON-able: ``total``, ``agents`` by id and ``models`` as a list, sorted."""
        return {
            "total": self.total.report(),
            "agents": {agent: tally.report() for agent, tally in sorted(self.by_agent.items())},
            "models": [
                {"provider": provider, "model": model, **tally.report()}
                for (provider, model), tally in sorted(self.by_model.items())
            ],
        }


def accounts_of(infos: Iterable[dict[str, Any]]) -> Accounts:
    """The sums over effects' ``info``; effects of other kinds are passed over."""
    found = Accounts()
    for info in infos:
        if info.get("kind") != "llm":
            continue
        usage = msgspec.convert(info["usage"], Usage) if info.get("success") else None
        duration_ms = float(info.get("duration_ms", 0.0))
        found.add(info["agent"], info["provider"], info["model"], usage, info.get("cost_usd"), duration_ms)
    return found
