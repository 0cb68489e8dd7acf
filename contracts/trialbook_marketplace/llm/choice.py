"""Which policies, provider and model an order gets, and the documented refusals (facts, section 10)."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from trialbook.errors import Invalid
from trialbook.llm import LlmSettings, ProviderStatus, default_provider
from trialbook_marketplace.config import (
    AVAILABLE_PROVIDERS,
    BUSINESS_POLICIES,
    CUSTOMER_POLICIES,
    MODEL_POLICY,
    check_policy,
)

RULES = ("cheapest_with_amenities", "rule_based")
"""The policies of customers and businesses where no provider is configured."""


class Choice(Struct, frozen=True, kw_only=True):
    """What a run is started with; provider and model are None when no policy needs them."""

    customer_policy: str
    business_policy: str
    provider: str | None = None
    model: str | None = None


def choose(
    settings: LlmSettings,
    statuses: Sequence[ProviderStatus],
    *,
    customer_policy: str | None = None,
    business_policy: str | None = None,
    llm_provider: str | None = None,
    llm_model: str | None = None,
) -> Choice:
    """The choice of one order; None means not given. Raises ``Invalid`` with the documented text (HTTP 400)."""
    default = any(status.configured for status in statuses)
    customer = customer_policy or (MODEL_POLICY if default else RULES[0])
    business = business_policy or (MODEL_POLICY if default else RULES[1])
    check_policy("customer_policy", customer, CUSTOMER_POLICIES)
    check_policy("business_policy", business, BUSINESS_POLICIES)
    if llm_provider is not None and llm_provider not in AVAILABLE_PROVIDERS:
        known = ", ".join(AVAILABLE_PROVIDERS)
        raise Invalid("unknown_provider", f"Unknown llm_provider '{llm_provider}'. Choose one of: {known}.")
    if MODEL_POLICY not in {customer, business}:
        return Choice(customer_policy=customer, business_policy=business)
    provider = llm_provider or default_provider(settings, statuses)
    if provider is None:
        missing = "; ".join(status.missing[0] for status in statuses if status.missing)
        raise Invalid("no_provider", f"No LLM provider is configured: {missing}")
    status = next(status for status in statuses if status.name == provider)
    if not status.usable:
        raise Invalid("provider_not_configured", f"LLM provider '{provider}' is not configured: {status.missing[0]}")
    model = llm_model or settings.model
    if not model:
        raise Invalid("no_model", "No LLM model is named: give llm_model or set LLM_MODEL")
    return Choice(customer_policy=customer, business_policy=business, provider=provider, model=model)
