"""Parts of the marketplace dialect by themselves: dataset cache, positions, policies, status words."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.dialects.marketplace.client import write_dataset
from trialbook.blobs.memory import MemoryBlobStore
from trialbook.errors import Invalid, NotFound, Refusal
from trialbook.llm import llm_settings
from trialbook_gateway.dialects.marketplace.datasets import Datasets, store
from trialbook_gateway.dialects.marketplace.experiments import Experiment, error_of, status_of
from trialbook_gateway.dialects.marketplace.logs import cursor_text, parse_cursor, parse_since, time_text
from trialbook_gateway.dialects.marketplace.policies import choice_of
from trialbook_gateway.dialects.marketplace.schemas import ExperimentRequest
from trialbook_gateway.dialects.marketplace.settings import MarketplaceSettings, marketplace_settings
from trialbook_gateway.dialects.masking import MaskSecrets
from trialbook_marketplace.datasets import bundled_root
from trialbook_marketplace.models import from_snapshot


def settings(*roots: Path, **more: Any) -> MarketplaceSettings:
    return MarketplaceSettings(dataset_roots=roots, **more)


async def test_a_snapshot_is_kept_until_a_file_changes(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "tiny_1_2")
    datasets = Datasets(settings(tmp_path))
    first = await datasets.snapshot("tiny_1_2")
    assert await datasets.snapshot(str(folder)) is first
    file = folder / "businesses" / "business_0002.yaml"
    file.write_text(file.read_text().replace("Copper Kettle 2", "Another Name"))
    second = await datasets.snapshot("tiny_1_2")
    assert second.digest != first.digest
    (folder / "businesses" / "business_0002.yaml").unlink()
    assert (await datasets.snapshot("tiny_1_2")).businesses == 1


async def test_a_snapshot_is_stored_once_and_read_back_whole(tmp_path: Path) -> None:
    write_dataset(tmp_path / "tiny_1_2")
    snapshot = await Datasets(settings(tmp_path)).snapshot("tiny_1_2")
    blobs = MemoryBlobStore()
    sha256 = await store(snapshot, blobs)
    assert sha256 == await store(snapshot, blobs) == hashlib.sha256(snapshot.content).hexdigest()
    content = b"".join([chunk async for chunk in blobs.get(sha256)])
    assert from_snapshot(msgspec.json.decode(content)).digest() == snapshot.digest


async def test_only_so_many_snapshots_are_kept(tmp_path: Path) -> None:
    for number in range(3):
        write_dataset(tmp_path / f"d{number}")
    datasets = Datasets(settings(tmp_path, cached_datasets=2))
    first = await datasets.snapshot("d0")
    for name in ("d1", "d2"):
        await datasets.snapshot(name)
    assert await datasets.snapshot("d0") is not first


async def test_a_missing_root_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    with pytest.raises(NotFound, match=f"^Data directory not found: {missing}$"):
        await Datasets(settings(missing)).listing()


async def test_the_first_root_wins(tmp_path: Path) -> None:
    for root in ("one", "two"):
        write_dataset(tmp_path / root / "same_1_2")
    datasets = Datasets(settings(tmp_path / "one", tmp_path / "two"))
    assert [info.path for info in await datasets.listing()] == [str(tmp_path / "one" / "same_1_2")]
    assert (await datasets.snapshot("same_1_2")).path == str(tmp_path / "one" / "same_1_2")


@pytest.mark.parametrize("position", [0, 1, 65_535, 1 << 40, (1 << 63) - 1])
def test_cursors_are_read_as_they_are_written(position: int) -> None:
    assert parse_cursor(cursor_text(position)) == position


@pytest.mark.parametrize("bad", ["c", "1", "C1", "c8000000000000000", "c1 ", "cg", "c-1", "c1\n", "\u217d1", "c\u0663"])
def test_malformed_cursors(bad: str) -> None:
    with pytest.raises(Refusal, match=r"^Invalid cursor: "):
        parse_cursor(bad)


def test_times_have_microseconds_and_back() -> None:
    assert time_text(parse_since("2026-01-15T10:30:00.123456+02:00")) == "2026-01-15T08:30:00.123456Z"
    assert parse_since("1969-12-31T23:59:59Z") == parse_since("0001-01-01T00:00:00Z") == 0
    with pytest.raises(Refusal, match=r"^Invalid timestamp format: soon$"):
        parse_since("soon")


def order(**fields: Any) -> ExperimentRequest:
    return ExperimentRequest(dataset="x", **fields)


@pytest.mark.parametrize(
    ("fields", "env", "text"),
    [
        ({"customer_policy": "llm"}, {}, "No LLM provider is configured: OPENAI_API_KEY is missing"),
        ({"business_policy": "llm", "llm_provider": "gemini"}, {}, "not configured: GEMINI_API_KEY is missing"),
        ({"customer_policy": "llm"}, {"LLM_PROVIDER": "anthropic"}, "ANTHROPIC_API_KEY is missing"),
        ({"customer_policy": "llm"}, {"OPENAI_API_KEY": "k"}, "LLM_MODEL"),
        ({}, {"OPENAI_API_KEY": "k"}, "LLM_MODEL"),
        ({"llm_provider": "acme"}, {}, "Unknown llm_provider 'acme'. Choose one of: openai, gemini, anthropic"),
    ],
)  # fmt: skip
def test_policies_that_need_a_model_are_refused_with_the_reason(
    fields: dict[str, Any], env: dict[str, str], text: str
) -> None:
    with pytest.raises(Invalid) as refused:
        choice_of(order(**fields), llm_settings(env))
    assert text in refused.value.detail


def test_policies_are_rules_without_a_provider_and_models_with_one() -> None:
    rules = choice_of(order(llm_model="m"), llm_settings({}))
    assert (rules.customer_policy, rules.business_policy) == ("cheapest_with_amenities", "rule_based")
    models = choice_of(order(llm_model="m"), llm_settings({"ANTHROPIC_API_KEY": "k"}))
    assert (models.customer_policy, models.business_policy) == ("llm", "llm")
    assert (models.provider, models.model) == ("anthropic", "m")


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    found = marketplace_settings({"TRIALBOOK_DATASET_ROOTS": f"{tmp_path}:/data"})
    assert found.dataset_roots == (tmp_path, Path("/data"), bundled_root())


def run(status: str, **more: Any) -> Experiment:
    plain: dict[str, Any] = {
        "id": "a", "name": "n", "dialect": "marketplace", "status": status, "attempt": 0, "created_at": "",
        "started_at": None, "finished_at": None, "error": None, "signal_sequence": 0, "sequence": 1,
    }  # fmt: skip
    return msgspec.convert({**plain, **more}, Experiment)


@pytest.mark.parametrize(
    ("status", "started", "expected"),
    [
        ("created", None, "pending"), ("queued", None, "pending"), ("queued", "t", "running"),
        ("running", "t", "running"),
        ("paused", "t", "running"), ("paused", None, "pending"), ("completed", "t", "completed"),
        ("failed", "t", "failed"), ("cancelled", None, "failed"),
    ],
)  # fmt: skip
def test_the_words_for_a_runs_status(status: str, started: str | None, expected: str) -> None:
    assert status_of(run(status, started_at=started)) == expected


def test_only_what_failed_has_an_error() -> None:
    error = {"code": "x", "detail": "why"}
    assert error_of(run("cancelled")) == "Cancelled"
    assert error_of(run("failed", error=error)) == "why"
    assert error_of(run("queued", error=error)) is None
    assert error_of(run("completed")) is None


def test_secrets_are_masked_in_log_records() -> None:
    record = logging.LogRecord("x", 20, "", 0, "%s %d", ("/ws?a=1&Password=p%20q&token=t&%74oken=u&b=2", 7), None)
    assert MaskSecrets().filter(record)
    assert record.getMessage() == "/ws?a=1&Password=***&token=***&%74oken=***&b=2 7"
