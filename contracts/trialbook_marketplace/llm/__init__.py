"""Agents whose decisions a language model makes (facts, sections 8 and 10); the model itself is a port."""

from trialbook_marketplace.llm.choice import Choice, choose
from trialbook_marketplace.llm.policies import LlmPolicies
from trialbook_marketplace.llm.port import Model

__all__ = ["Choice", "LlmPolicies", "Model", "choose"]
