"""What can be asked of a run, and the documented refusals of what cannot (facts, sections 3, 10 and 17)."""

from __future__ import annotations

import re

from msgspec import Struct

from trialbook.errors import Invalid
from trialbook_marketplace import rnr
from trialbook_marketplace.agents.limits import NeverHang
from trialbook_marketplace.search import ALGORITHMS

DEFAULT_SEARCH_ALGORITHM = "simple"
DEFAULT_SEARCH_BANDWIDTH = 10
AVAILABLE_PROVIDERS = ("openai", "gemini", "anthropic", "azure_openai")
CUSTOMER_POLICIES = ("llm", "random", "cheapest", "cheapest_with_amenities", "optimal")
BUSINESS_POLICIES = ("llm", "rule_based")
MODEL_POLICY = "llm"
MAX_NAME_LENGTH = 63

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = re.compile(r"exp_[0-9a-f]{12}")


class ExperimentConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of one run beside its dataset; ``customer_max_steps`` None means no limit."""

    experiment_name: str
    search_algorithm: str = DEFAULT_SEARCH_ALGORITHM
    search_bandwidth: int = DEFAULT_SEARCH_BANDWIDTH
    customer_max_steps: int | None = None
    customer_policy: str = "cheapest_with_amenities"
    business_policy: str = "rule_based"
    seed: int = 0
    limits: NeverHang = NeverHang()


def is_experiment_name(name: str) -> bool:
    """True when the whole string is a valid name; reserved and overlong names are valid to look up."""
    return _NAME.fullmatch(name) is not None


def check_lookup_name(name: str) -> None:
    """Raise ``Invalid`` (``invalid_experiment_name``) with the documented text for a malformed name."""
    if not is_experiment_name(name):
        raise _bad_name(name, "Only alphanumeric characters and underscores are allowed.")


def check_new_name(name: str) -> None:
    """As ``check_lookup_name``; also refuses reserved and overlong names, with the reason."""
    check_lookup_name(name)
    if _RESERVED.fullmatch(name):
        raise _bad_name(name, "Names of the form exp_ and 12 hexadecimal digits are reserved.")
    if len(name) > MAX_NAME_LENGTH:
        raise _bad_name(name, f"At most {MAX_NAME_LENGTH} characters are allowed.")


def default_name(customers: int, businesses: int, epoch_ms: int) -> str:
    """The name of an experiment that was given none; count ``epoch_ms`` up until it is free."""
    return f"marketplace_{customers}_{businesses}_{epoch_ms}"


def check_config(config: ExperimentConfig) -> None:
    """Raise ``Invalid`` for the first parameter that cannot be run, in the documented order."""
    if config.search_algorithm not in ALGORITHMS:
        known = ", ".join(ALGORITHMS)
        raise Invalid(
            "unknown_search_algorithm",
            f"Unknown search_algorithm '{config.search_algorithm}'. Choose one of: {known}.",
        )
    if config.search_algorithm == "rnr" and not rnr.available():
        raise Invalid("search_algorithm_unavailable", rnr.UNAVAILABLE)
    if config.search_bandwidth < 1:
        raise Invalid("invalid_search_bandwidth", "search_bandwidth must be at least 1")
    if config.customer_max_steps is not None and config.customer_max_steps < 1:
        raise Invalid("invalid_customer_max_steps", "customer_max_steps must be at least 1")
    check_policy("customer_policy", config.customer_policy, CUSTOMER_POLICIES)
    check_policy("business_policy", config.business_policy, BUSINESS_POLICIES)


def check_policy(field: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise ``Invalid`` (``unknown_policy``) naming the choices when ``value`` is none of them."""
    if value not in choices:
        raise Invalid("unknown_policy", f"Unknown {field} '{value}'. Choose one of: {', '.join(choices)}.")


def _bad_name(name: str, why: str) -> Invalid:
    return Invalid("invalid_experiment_name", f"Invalid experiment name '{name}'. {why}")
