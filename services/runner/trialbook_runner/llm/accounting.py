"""What a run's calls cost: per run, per agent and per model, and the budgets that stop it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from trialbook.workload import Failure
from trialbook_runner.llm.requests import Usage


class Budget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of one run: input and output tokens together, and US dollars. None: no bound."""

    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_cost: Annotated[float, Meta(gt=0)] | None = None


class BudgetExceeded(Failure):
    """The run has used up its budget; calls that were under way are still recorded."""

    def __init__(self, detail: str, **extra: Any) -> None:
        super().__init__("llm_budget_exceeded", detail, retryable=False, **extra)


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


class Meter:
    """The accounts of one run."""

    def __init__(self, budget: Budget | None = None) -> None:
        self.total = Tally()
        self.by_agent: dict[str, Tally] = {}
        self.by_model: dict[tuple[str, str], Tally] = {}
        self._budget = budget or Budget()

    @property
    def needs_prices(self) -> bool:
        """Whether a call without a known price cannot be allowed."""
        return self._budget.max_cost is not None

    def check(self) -> None:
        """Raise ``BudgetExceeded`` when no further call may start."""
        most, limit = self._budget.max_tokens, self._budget.max_cost
        if most is not None and self.total.total_tokens >= most:
            used = self.total.total_tokens
            raise BudgetExceeded(f"{used} of max_tokens {most} are used", used=used, max_tokens=most)
        if limit is not None and self.total.known_cost_usd >= limit:
            spent = round(self.total.known_cost_usd, 6)
            raise BudgetExceeded(f"{spent:g} USD of max_cost {limit:g} are spent", spent=spent, max_cost=limit)

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
