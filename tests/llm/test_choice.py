"""Which policies, provider and model an order gets, and the documented refusals."""

from __future__ import annotations

from typing import Any

import pytest

from trialbook.errors import Invalid
from trialbook.llm import describe_providers, llm_settings
from trialbook_marketplace.llm import Choice, choose

KEYED = {"OPENAI_API_KEY": "k", "LLM_MODEL": "m"}
RULES = {"customer_policy": "cheapest", "business_policy": "rule_based"}


def chosen(env: dict[str, str], installed: bool = True, **order: Any) -> Choice:
    settings = llm_settings(env)
    return choose(settings, describe_providers(settings, lambda _: installed), **order)


def test_without_a_provider_the_rules_decide() -> None:
    assert chosen({}) == Choice(customer_policy="cheapest_with_amenities", business_policy="rule_based")


def test_with_a_provider_the_model_decides() -> None:
    assert chosen(KEYED) == Choice(customer_policy="llm", business_policy="llm", provider="openai", model="m")


def test_each_side_may_be_chosen() -> None:
    assert chosen(KEYED, customer_policy="cheapest", business_policy="rule_based") == Choice(**RULES)
    mixed = chosen(KEYED, business_policy="rule_based")
    assert (mixed.customer_policy, mixed.business_policy, mixed.provider) == ("llm", "rule_based", "openai")


def test_provider_and_model_of_the_order_win() -> None:
    env = KEYED | {"GEMINI_API_KEY": "g"}
    assert chosen(env, llm_provider="gemini", llm_model="n").provider == "gemini"
    assert chosen(env, llm_model="n").model == "n"
    assert chosen(env | {"LLM_PROVIDER": "gemini"}).provider == "gemini"


@pytest.mark.parametrize(
    ("env", "order", "detail"),
    [
        ({}, {"customer_policy": "llm", "llm_provider": "openai"},
         "LLM provider 'openai' is not configured: OPENAI_API_KEY is missing"),
        ({}, {"business_policy": "llm"}, "No LLM provider is configured: OPENAI_API_KEY is missing; GEMINI_API_KEY"),
        ({"LLM_PROVIDER": "anthropic"}, {"customer_policy": "llm"},
         "LLM provider 'anthropic' is not configured: ANTHROPIC_API_KEY is missing"),
        ({"GEMINI_API_KEY": "g", "LLM_PROVIDER": "openai", "LLM_MODEL": "m"}, {},
         "LLM provider 'openai' is not configured: OPENAI_API_KEY is missing"),
        ({"OPENAI_API_KEY": "k"}, {}, "No LLM model is named: give llm_model or set LLM_MODEL"),
        (KEYED, {"customer_policy": "greedy"},
         "Unknown customer_policy 'greedy'. Choose one of: llm, random, cheapest, cheapest_with_amenities, optimal."),
        (KEYED, {"business_policy": "x"}, "Unknown business_policy 'x'. Choose one of: llm, rule_based."),
        (KEYED, {"llm_provider": "acme"},
         "Unknown llm_provider 'acme'. Choose one of: openai, gemini, anthropic, azure_openai."),
    ],
)  # fmt: skip
def test_the_documented_refusals(env: dict[str, str], order: dict[str, Any], detail: str) -> None:
    with pytest.raises(Invalid) as caught:
        chosen(env, **order)
    assert caught.value.detail.startswith(detail)


def test_a_missing_extra_says_what_to_install() -> None:
    with pytest.raises(Invalid, match=r"pip install 'trialbook\[llm\]'"):
        chosen(KEYED, installed=False)
