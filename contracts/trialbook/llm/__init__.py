"""Which language models a deployment may use: settings, provider status and key checks. No client is imported here;
the calls themselves are the runner's (``trialbook_runner.llm``).
"""

from trialbook.llm.describe import ProviderStatus, default_provider, describe_providers
from trialbook.llm.secrets import Redactor, Secret
from trialbook.llm.settings import PROVIDERS, LlmSettings, ProviderSettings, llm_settings
from trialbook.llm.usage import Accounts, Tally, Usage, accounts_of
from trialbook.llm.validate import Validation, validate

__all__ = [
    "PROVIDERS",
    "Accounts",
    "LlmSettings",
    "ProviderSettings",
    "ProviderStatus",
    "Redactor",
    "Secret",
    "Tally",
    "Usage",
    "Validation",
    "accounts_of",
    "default_provider",
    "describe_providers",
    "llm_settings",
    "validate",
]
