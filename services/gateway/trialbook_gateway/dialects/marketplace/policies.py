"""Which policies, provider and model an order gets; the texts of the refusals are the library's."""

from __future__ import annotations

from trialbook.llm import LlmSettings, describe_providers
from trialbook_gateway.dialects.marketplace.schemas import ExperimentRequest
from trialbook_marketplace.llm import Choice, choose


def choice_of(body: ExperimentRequest, settings: LlmSettings) -> Choice:
    """The choice: ``llm`` where a provider is configured, else rules. Raises ``Invalid`` for what cannot be used."""
    return choose(
        settings, describe_providers(settings), customer_policy=body.customer_policy or None,
        business_policy=body.business_policy or None, llm_provider=body.llm_provider, llm_model=body.llm_model,
    )  # fmt: skip
