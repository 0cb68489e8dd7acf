"""Language models as recorded effects: one port over the providers' clients, with budgets, repair and replay.

No provider's client is imported before its first call.
"""

from trialbook.llm.usage import Usage
from trialbook_runner.llm.accounting import Budget, BudgetExceeded, Meter
from trialbook_runner.llm.caller import Caller, Mode
from trialbook_runner.llm.deciding import Decider
from trialbook_runner.llm.effects import ContextEffects, Divergence, Effect, Effects, MemoryEffects
from trialbook_runner.llm.errors import CallFailed, DecisionFailed
from trialbook_runner.llm.prices import Prices, load_prices
from trialbook_runner.llm.providers import Providers
from trialbook_runner.llm.requests import ChatMessage, Completion, Options, Request

__all__ = [
    "Budget",
    "BudgetExceeded",
    "CallFailed",
    "Caller",
    "ChatMessage",
    "Completion",
    "ContextEffects",
    "Decider",
    "DecisionFailed",
    "Divergence",
    "Effect",
    "Effects",
    "MemoryEffects",
    "Meter",
    "Mode",
    "Options",
    "Prices",
    "Providers",
    "Request",
    "Usage",
    "load_prices",
]
