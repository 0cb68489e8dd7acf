"""Which policies an order gets, and the refusals of language models that cannot be used."""

from __future__ import annotations

from trialbook.errors import Invalid
from trialbook_gateway.dialects.marketplace.schemas import ExperimentRequest
from trialbook_gateway.dialects.marketplace.settings import KEYS, MarketplaceSettings
from trialbook_marketplace.config import AVAILABLE_PROVIDERS, MODEL_POLICY

RULE_BASED = ("cheapest_with_amenities", "rule_based")


def policies_of(body: ExperimentRequest) -> tuple[str, str]:
    """Customer and business policy. Runs are executed without language models, so the default is rule-based."""
    return body.customer_policy or RULE_BASED[0], body.business_policy or RULE_BASED[1]


def check_model(body: ExperimentRequest, policies: tuple[str, str], settings: MarketplaceSettings) -> None:
    """Raises ``Invalid`` when a policy needs a language model: for a missing provider, key or model, or at all."""
    provider = body.llm_provider or settings.provider
    if body.llm_provider is not None and body.llm_provider not in AVAILABLE_PROVIDERS:
        known = ", ".join(AVAILABLE_PROVIDERS)
        raise Invalid("unknown_provider", f"Unknown llm_provider '{body.llm_provider}'. Choose one of: {known}.")
    if MODEL_POLICY not in policies:
        return
    provider = provider or next((name for name in AVAILABLE_PROVIDERS if name in settings.configured), None)
    if provider is None:
        keys = ", ".join(KEYS.values())
        raise Invalid("no_provider", f"No LLM provider is configured: set one of {keys}.")
    if provider not in settings.configured:
        missing = f"{KEYS[provider]} is missing" if provider in KEYS else "it is not known"
        raise Invalid("provider_not_configured", f"LLM provider '{provider}' is not configured: {missing}")
    if not (body.llm_model or settings.model):
        raise Invalid("no_model", "No model is named: give llm_model or set LLM_MODEL.")
    raise Invalid("llm_unavailable", "Policies that use a language model are not available; choose another policy.")
