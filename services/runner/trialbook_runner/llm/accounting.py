"""The budgets that stop a run, beside what its calls cost."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from trialbook.llm.usage import Accounts
from trialbook.workload import Failure


class Budget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of one run: input and output tokens together, and US dollars. None: no bound."""

    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_cost: Annotated[float, Meta(gt=0)] | None = None


class BudgetExceeded(Failure):
    """The run has used up its budget; calls that were under way are still recorded."""

    def __init__(self, detail: str, **extra: Any) -> None:
        super().__init__("llm_budget_exceeded", detail, retryable=False, **extra)


class Meter(Accounts):
    """The accounts of one run and the budget that they must not exceed."""

    def __init__(self, budget: Budget | None = None) -> None:
        super().__init__()
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
