"""The policies of a run without a language model."""

from __future__ import annotations

from trialbook.errors import Invalid
from trialbook_marketplace.agents.business_rules import RuleBasedBusiness
from trialbook_marketplace.agents.customer_rules import (
    Choose,
    OptimalShopper,
    Shopper,
    at_random,
    cheapest,
    cheapest_with_amenities,
)
from trialbook_marketplace.agents.policy import BusinessPolicy, CustomerPolicy
from trialbook_marketplace.config import MODEL_POLICY, ExperimentConfig
from trialbook_marketplace.models import Business, Customer, Dataset


class RuleBasedPolicies:
    """Makes the rule-based policy named in the configuration for every agent."""

    lockstep = True

    def __init__(self, config: ExperimentConfig, dataset: Dataset) -> None:
        self._config = config
        self._businesses = dataset.businesses
        self._order = {business.id: place for place, business in enumerate(dataset.businesses)}

    def customer(self, customer: Customer) -> CustomerPolicy:
        """A shopper by the configured rule."""
        if self._config.customer_policy == "optimal":
            return OptimalShopper(customer, self._businesses, self._order)
        return Shopper(customer, self._order, self._choice(customer))

    def business(self, business: Business) -> BusinessPolicy:
        """A business that offers at menu prices."""
        return RuleBasedBusiness(business)

    def failure(self) -> str | None:
        """Rules do not fail."""
        return None

    def _choice(self, customer: Customer) -> Choose:
        match self._config.customer_policy:
            case "random":
                return at_random(customer, self._config.seed)
            case "cheapest":
                return cheapest
            case _:
                return cheapest_with_amenities(customer)


def rule_based(config: ExperimentConfig, dataset: Dataset) -> RuleBasedPolicies:
    """The policies of a run without a model; raises ``Invalid`` (``llm_not_configured``) if one is asked for."""
    if MODEL_POLICY in {config.customer_policy, config.business_policy}:
        raise Invalid("llm_not_configured", "Policy 'llm' needs a configured LLM provider")
    return RuleBasedPolicies(config, dataset)
