"""Names and parameters of a run, with the documented refusals."""

from __future__ import annotations

from typing import Any

import pytest

from trialbook.errors import Invalid
from trialbook_marketplace.config import (
    ExperimentConfig,
    check_config,
    check_lookup_name,
    check_new_name,
    default_name,
    is_experiment_name,
)

UNAVAILABLE = "search_algorithm 'rnr' needs optional packages that are not installed: pip install 'trialbook[rnr]'"


@pytest.mark.parametrize("name", ["a", "_", "my_experiment_123", "marketplace_10_5_1234567890", "x" * 63])
def test_good_names(name: str) -> None:
    check_new_name(name)


@pytest.mark.parametrize("name", ["", "1a", "test-experiment", "a b", "a;DROP", "name\n", "é", "a.b", "a/b"])
def test_bad_names(name: str) -> None:
    for check in (check_lookup_name, check_new_name):
        with pytest.raises(Invalid) as caught:
            check(name)
        assert caught.value.detail == (
            f"Invalid experiment name '{name}'. Only alphanumeric characters and underscores are allowed."
        )
    assert not is_experiment_name(name)


@pytest.mark.parametrize(("name", "why"), [("exp_0123456789ab", "reserved"), ("x" * 64, "At most 63")])
def test_reserved_and_long_names_can_be_looked_up_only(name: str, why: str) -> None:
    check_lookup_name(name)
    with pytest.raises(Invalid, match=why):
        check_new_name(name)


def test_default_name() -> None:
    assert default_name(3, 9, 1234567890) == "marketplace_3_9_1234567890"


@pytest.mark.parametrize(
    ("given", "detail"),
    [
        (
            {"search_algorithm": "magic", "search_bandwidth": 0},
            "Unknown search_algorithm 'magic'. Choose one of: simple, rnr, filtered, lexical, optimal.",
        ),
        ({"search_algorithm": "rnr"}, UNAVAILABLE),
        ({"search_bandwidth": 0, "customer_max_steps": 0}, "search_bandwidth must be at least 1"),
        ({"customer_max_steps": 0}, "customer_max_steps must be at least 1"),
        (
            {"customer_policy": "clever"},
            "Unknown customer_policy 'clever'. Choose one of: llm, random, cheapest, cheapest_with_amenities, optimal.",
        ),
        ({"business_policy": "x"}, "Unknown business_policy 'x'. Choose one of: llm, rule_based."),
    ],
)
def test_refusals(given: dict[str, Any], detail: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_config(ExperimentConfig("x", **given))
    assert caught.value.detail == detail


def test_defaults_are_valid() -> None:
    check_config(ExperimentConfig("x"))
