"""Environment names, their precedence and defaults; which providers are usable and what is missing."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from trialbook.clock import SystemClock
from trialbook.errors import Invalid
from trialbook.llm import default_provider, describe_providers, llm_settings
from trialbook_runner.llm import CallFailed, Providers
from trialbook_runner.llm.backoff import Backoff, parse_retry_after
from trialbook_runner.llm.providers.wall import translated
from trialbook_runner.llm.schemas import NotAnObject, parse_object

ALL = {"openai", "anthropic", "google.genai", "azure.identity"}


def test_the_documented_defaults() -> None:
    settings = llm_settings({})
    assert (settings.provider, settings.model, settings.temperature) == (None, None, None)
    assert (settings.reasoning_effort, settings.max_tokens, settings.concurrency) == ("minimal", 2000, 64)
    assert settings.providers["azure_openai"].api_version == "2025-04-01-preview"
    assert settings.providers["azure_openai"].entra


@pytest.mark.parametrize(
    ("env", "member", "value"),
    [
        ({"API_PROVIDER": "gemini"}, "provider", "gemini"),
        ({"LLM_PROVIDER": "openai", "API_PROVIDER": "gemini"}, "provider", "openai"),
        ({"LLM_PROVIDER": "", "API_PROVIDER": "gemini"}, "provider", "gemini"),
        ({"AZURE_OPENAI_DEPLOYMENT_NAME": "c"}, "model", "c"),
        ({"AME_MODEL": "b", "AZURE_OPENAI_DEPLOYMENT_NAME": "c"}, "model", "b"),
        ({"LLM_MODEL": "a", "AME_MODEL": "b", "AZURE_OPENAI_DEPLOYMENT_NAME": "c"}, "model", "a"),
        ({"REASONING_EFFORT": "high"}, "reasoning_effort", "high"),
        ({"LLM_REASONING_EFFORT": "512", "REASONING_EFFORT": "high"}, "reasoning_effort", 512),
        ({"LLM_TEMPERATURE": "0"}, "temperature", 0.0),
        ({"LLM_MAX_TOKENS": "17"}, "max_tokens", 17),
        ({"LLM_MAX_CONCURRENCY": "3"}, "concurrency", 3),
    ],
)
def test_the_first_variable_that_is_set_wins(env: dict[str, str], member: str, value: object) -> None:
    assert getattr(llm_settings(env), member) == value


@pytest.mark.parametrize(
    "env",
    [
        {"LLM_PROVIDER": "acme"},
        {"LLM_MAX_TOKENS": "0"},
        {"LLM_MAX_TOKENS": "many"},
        {"LLM_MAX_CONCURRENCY": "-1"},
        {"LLM_TEMPERATURE": "warm"},
        {"LLM_TEMPERATURE": "nan"},
        {"LLM_REASONING_EFFORT": "extreme"},
        {"LLM_OPENAI_API": "soap"},
        {"AZURE_OPENAI_USE_ENTRA_ID": "perhaps"},
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(env: dict[str, str]) -> None:
    with pytest.raises(Invalid) as caught:
        llm_settings(env)
    assert caught.value.code == "invalid_settings"
    assert next(iter(env)) in caught.value.detail


@pytest.mark.parametrize(
    ("env", "installed", "missing"),
    [
        ({}, ALL, ["OPENAI_API_KEY is missing"]),
        ({"OPENAI_API_KEY": "k"}, ALL, []),
        ({"OPENAI_API_KEY": "k"}, set(), ["the package 'openai' is not installed: pip install 'trialbook[llm]'"]),
    ],
)
def test_what_is_missing_for_openai(env: dict[str, str], installed: set[str], missing: list[str]) -> None:
    status = describe_providers(llm_settings(env), installed.__contains__)[0]
    assert (status.name, status.missing, status.usable) == ("openai", missing, not missing)


@pytest.mark.parametrize(
    ("env", "installed", "first"),
    [
        ({}, ALL, "AZURE_OPENAI_ENDPOINT is missing"),
        ({"AZURE_OPENAI_ENDPOINT": "https://x"}, ALL, None),
        ({"AZURE_OPENAI_ENDPOINT": "https://x"}, {"openai"}, "AZURE_OPENAI_API_KEY is missing"),
        ({"AZURE_OPENAI_ENDPOINT": "https://x", "AZURE_OPENAI_API_KEY": "k"}, {"openai"}, None),
        ({"AZURE_OPENAI_ENDPOINT": "https://x", "AZURE_OPENAI_USE_ENTRA_ID": "false"}, ALL,
         "AZURE_OPENAI_API_KEY is missing"),
        ({"AZURE_OPENAI_API_KEY": "k"}, ALL, "AZURE_OPENAI_ENDPOINT is missing"),
    ],
)  # fmt: skip
def test_what_is_missing_for_azure(env: dict[str, str], installed: set[str], first: str | None) -> None:
    status = describe_providers(llm_settings(env), installed.__contains__)[3]
    assert status.name == "azure_openai"
    assert (status.missing[0] if status.missing else None) == first


def test_the_default_provider_is_the_first_that_is_configured() -> None:
    def default(**env: str) -> str | None:
        settings = llm_settings(env)
        return default_provider(settings, describe_providers(settings, ALL.__contains__))

    assert default() is None
    assert default(ANTHROPIC_API_KEY="k", GEMINI_API_KEY="k") == "gemini"
    assert default(ANTHROPIC_API_KEY="k", GEMINI_API_KEY="k", OPENAI_API_KEY="k") == "openai"
    assert default(LLM_PROVIDER="anthropic", OPENAI_API_KEY="k") == "anthropic"


def test_a_provider_that_is_not_usable_says_why() -> None:
    with pytest.raises(CallFailed, match="LLM provider 'gemini' is not configured: GEMINI_API_KEY is missing"):
        Providers(llm_settings({})).get("gemini")
    with pytest.raises(CallFailed, match="Unknown LLM provider 'acme'"):
        Providers(llm_settings({})).get("acme")


async def test_entra_id_needs_no_key_until_it_is_asked() -> None:
    providers = Providers(llm_settings({"AZURE_OPENAI_ENDPOINT": "http://127.0.0.1:9"}))
    assert providers.get("azure_openai") is providers.get("azure_openai")
    await providers.close()


def test_a_refused_identity_is_no_transport_error() -> None:
    class CredentialUnavailableError(Exception):
        pass

    failure = translated(CredentialUnavailableError("no managed identity"), SystemClock())
    assert (failure.kind, failure.transient) == ("authentication", False)


def test_no_client_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, trialbook_runner.llm, trialbook.llm, trialbook_marketplace.llm, trialbook.testing.llm\n"
        "from trialbook.llm import describe_providers, llm_settings\n"
        "describe_providers(llm_settings({'OPENAI_API_KEY': 'k'}))\n"
        "print([m for m in ('openai', 'anthropic', 'google.genai', 'httpx2', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == "[]"


def test_backoff_is_exponential_bounded_and_respects_the_provider() -> None:
    backoff = Backoff(repeats=8)
    waits = [backoff.delay(n, None, lambda: 0.0) for n in range(8)]
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]
    assert backoff.delay(8, None, lambda: 0.0) is None
    assert backoff.delay(0, 9.0, lambda: 0.0) == 9
    assert backoff.delay(5, 9.0, lambda: 0.0) == 30
    assert backoff.delay(0, 121.0, lambda: 0.0) is None
    assert backoff.delay(0, None, lambda: 1.0) == 1.25
    rng = random.Random(3)
    assert all(1 <= (backoff.delay(0, None, rng.random) or 0) <= 1.25 for _ in range(100))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None), ("", None), ("5", 5), ("0.5", 0.5), ("-3", 0), ("soon", None), ("inf", None), ("nan", None),
        ("Thu, 01 Jan 2026 00:00:30 GMT", 30), ("Thu, 01 Jan 2020 00:00:30 GMT", 0),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after(header, datetime(2026, 1, 1, tzinfo=UTC)) == seconds


SIMPLE = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


@pytest.mark.parametrize(
    "text",
    ['{"a": 1}', 'Sure: {"a": 1}.', '```json\n{"a": 1}\n```', 'Of {these} I choose {"a": 1}', '\n {"a": 1} {"a": 2}'],
)
def test_an_object_is_found_in_text(text: str) -> None:
    assert parse_object(text, SIMPLE) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no JSON object"),
        ("no", "no JSON object"),
        ("[1]", "no JSON object"),
        ('{"a": ', "not valid JSON"),
        ('{"a": "x"}', "does not fit the schema at a"),
        ("{}", "'a' is a required property"),
        ("{" * 30_000, "not valid JSON"),
        ('{"a":' * 30_000, "not valid JSON"),
        ('{"a": NaN}', "not valid JSON"),
        ('{"a": -Infinity}', "not valid JSON"),
        ('{"a": 1e999}', "not valid JSON: Number out of range"),
        ('{"a": 1' + "0" * 5000 + "}", "not valid JSON: Integer value out of range"),
        ('{"a": 1, "b": "\\ud800"}', "not valid JSON"),
    ],
)
def test_what_is_no_object_says_why(text: str, why: str) -> None:
    with pytest.raises(NotAnObject, match=why):
        parse_object(text, SIMPLE)
