"""The OpenAPI document against the running service: no 5xx, no status or body that is not documented."""

from __future__ import annotations

import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS
from schemathesis.core.result import Ok

from tests.dialects.marketplace.conftest import Processes

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
WANTED = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
EXAMPLES = int(os.environ.get("TRIALBOOK_TEST_EXAMPLES", "12"))


def can_be_wrong(operation: Any) -> bool:
    """Any text is a valid name and an absent body no body: a wrong type needs a typed parameter or a body."""
    return bool(operation.body) or any(
        p.name in ("limit", "fuzzy_match_distance", "seed", "format", "dataset") for p in operation.query
    )


@pytest.mark.parametrize("mode", [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE])
def test_replies_are_documented(stack: Processes, mode: schemathesis.GenerationMode) -> None:
    api = schemathesis.openapi.from_url(f"{stack.url}/marketplace/openapi.json")
    checks: list[Any] = [CHECKS.get_one(name) for name in WANTED]
    operations = 0
    for found in api.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        if mode is schemathesis.GenerationMode.NEGATIVE and not can_be_wrong(operation):
            continue

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=EXAMPLES, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck),
            database=None, derandomize=True,
        )  # fmt: skip
        def check(case: Any) -> None:
            reply = case.call(base_url=f"{stack.url}/marketplace")
            case.validate_response(reply, checks=checks)

        check()
        operations += 1
    assert operations == (25 if mode is schemathesis.GenerationMode.POSITIVE else 14)
