"""The policies of a run in which a model decides for customers, businesses or both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trialbook_marketplace.agents.policy import AgentLog, BusinessPolicy, CustomerPolicy
from trialbook_marketplace.agents.rule_based import RuleBasedPolicies
from trialbook_marketplace.config import MODEL_POLICY, ExperimentConfig
from trialbook_marketplace.llm.business import LlmBusiness
from trialbook_marketplace.llm.customer import LlmCustomer
from trialbook_marketplace.llm.port import Check, Model, Observe
from trialbook_marketplace.models import Business, Customer, Dataset

SUCCEEDED, FAILED = "LLM call succeeded", "LLM call failed"


class LlmPolicies:
    """Makes the policy that the configuration names for each side.

    Agents act in lockstep: customers decide together, then businesses answer together. What an agent is asked then
    does not depend on how long other calls took, so a resumed or replayed run asks the same questions.
    """

    lockstep = True

    def __init__(self, config: ExperimentConfig, dataset: Dataset, model: Model) -> None:
        self._config = config
        self._rules = RuleBasedPolicies(config, dataset)
        self._customers = frozenset(customer.id for customer in dataset.customers)
        self._model = _Watched(model)
        self._log: AgentLog | None = None

    def attach(self, log: AgentLog) -> None:
        """Write call logs with ``log`` from now on."""
        self._log = log

    def customer(self, customer: Customer) -> CustomerPolicy:
        """A model or a rule."""
        if self._config.customer_policy != MODEL_POLICY:
            return self._rules.customer(customer)
        return LlmCustomer(customer.id, self._customers, self._model, self._observer(customer.id))

    def business(self, business: Business) -> BusinessPolicy:
        """A model or a rule."""
        if self._config.business_policy != MODEL_POLICY:
            return self._rules.business(business)
        return LlmBusiness(business, self._model, self._observer(business.id))

    def failure(self) -> str | None:
        """The last error when decisions were asked for and no call succeeded."""
        model = self._model
        return model.error if model.asked and not model.succeeded else None

    def _observer(self, agent_id: str) -> Observe:
        def observe(call: dict[str, Any]) -> None:
            self._model.observe(call)
            if self._log is not None:
                self._log("debug", SUCCEEDED if call["success"] else FAILED, call, agent_id)

        return observe


class _Watched:
    """The model, and whether it ever answered."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.asked = 0
        self.succeeded = 0
        self.error = "no LLM call succeeded"

    def observe(self, call: dict[str, Any]) -> None:
        """Count one call."""
        if call["success"]:
            self.succeeded += 1
        else:
            self.error = str(call["error_message"])

    async def decide(
        self, agent_id: str, thread: str, prompt: str, schema_name: str, schema: dict[str, Any], check: Check,
        observe: Callable[[dict[str, Any]], None],
    ) -> dict[str, Any]:  # fmt: skip
        """As the model."""
        self.asked += 1
        try:
            return await self._model.decide(agent_id, thread, prompt, schema_name, schema, check, observe)
        except Exception as error:
            self.error = str(error)
            raise
