"""The workload ``marketplace``: one experiment, from a dataset snapshot to its analysis."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from trialbook import Context
from trialbook import workload as as_workload
from trialbook.errors import Refusal
from trialbook.workload import Cancelled, Failure
from trialbook_marketplace.analytics import analyse
from trialbook_marketplace.config import MODEL_POLICY, ExperimentConfig, check_new_name
from trialbook_marketplace.datasets import bundled_root, load_dataset, resolve_dataset
from trialbook_marketplace.experiment import Outcome, run_experiment
from trialbook_marketplace.export import ExportFailed, export_filename, export_sqlite
from trialbook_marketplace.llm import LlmPolicies
from trialbook_marketplace.models import Dataset, from_snapshot
from trialbook_marketplace.rows import History
from trialbook_runner.llm.marketplace import StoppedByModel
from trialbook_runner.workloads.marketplace_io import HISTORY, ContextClock, ContextControl, ContextIds, Recorder, pack
from trialbook_runner.workloads.marketplace_llm import opened
from trialbook_runner.workloads.marketplace_search import search_models

SQLITE = "application/vnd.sqlite3"
LENGTHY = ("customer_summaries", "business_summaries", "proposal_errors")


class Params(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An experiment. The input ``dataset`` is a dataset snapshot; without it ``dataset`` names a bundled one.

    ``experiment_name`` defaults to one made of the run's id. ``seed`` defaults to the run's seed.
    """

    dataset: Annotated[str, Meta(min_length=1)]
    experiment_name: str | None = None
    search_algorithm: str = "simple"
    search_bandwidth: Annotated[int, Meta(ge=1)] = 10
    customer_max_steps: Annotated[int, Meta(ge=1)] | None = None
    customer_policy: str = "cheapest_with_amenities"
    business_policy: str = "rule_based"
    seed: int | None = None
    llm_provider: str | None = None
    llm_model: str | None = None
    llm_temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    llm_reasoning_effort: str | int | None = None
    """minimal, low, medium, high or a number of tokens."""
    llm_max_tokens: Annotated[int, Meta(ge=1)] | None = None
    """Per answer."""
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    """Budget of the run: input and output tokens of all calls together."""
    max_cost: Annotated[float, Meta(gt=0)] | None = None
    """Budget of the run in US dollars; refused for models without a known price."""
    export_sqlite: bool = False
    export_filename: str | None = None
    dataset_snapshot: Annotated[str, Meta(pattern="^([0-9a-f]{64})?$")] = ""
    """sha256 of a stored dataset snapshot, where there is no input (in sweeps)."""
    dataset_path: str = ""
    """Where the dataset was read; recorded only."""
    dataset_digest: str = ""
    """What its content must have; empty: anything."""
    customers: int = 0
    businesses: int = 0
    """How many it has; recorded only."""


@as_workload(
    "marketplace",
    params=Params,
    title="Marketplace experiment",
    description="Customers search, negotiate with and pay businesses of a dataset; agents follow rules or ask a model.",
    isolation="process",
    timeout_s=3600.0,
)
async def workload(ctx: Context, params: Params) -> dict[str, Any]:
    """Run an experiment; returns the analysis without its lists, which are in the artifact ``analytics.json``."""
    dataset = await _dataset(ctx, params)
    config = _config(ctx, params)
    recorder = Recorder(ctx)
    ctx.progress(0, len(dataset.customers), unit="customers")
    if MODEL_POLICY not in (config.customer_policy, config.business_policy):
        await _experiment(ctx, config, dataset, recorder, None)
        usage = None
    else:
        async with opened(ctx, params, config, dataset, ContextClock(ctx)) as models:
            try:
                await _experiment(ctx, config, dataset, recorder, models.policies)
            finally:
                usage = await models.account(ctx)
    if params.export_sqlite:
        await _export(ctx, params, config.experiment_name, recorder.history)
    found = await _analysis(ctx, recorder.history)
    return found if usage is None else {**found, "llm_usage": usage}


async def _experiment(
    ctx: Context, config: ExperimentConfig, dataset: Dataset, recorder: Recorder, policies: LlmPolicies | None
) -> None:
    """Execute, and store the history however it ends. Raises ``Failure`` and ``Cancelled``."""
    ids = ContextIds((await ctx.effect_source()).run)
    control = ContextControl(ctx)
    ended: Outcome | Failure
    try:
        models = await search_models(ctx, config)
        ended = await run_experiment(config, dataset, recorder, ContextClock(ctx), ids, control, policies, models)
    except StoppedByModel as stop:
        ended = stop.failure
    except Refusal as refusal:
        raise Failure(refusal.code, refusal.detail, retryable=False) from refusal
    ctx.check()
    await ctx.artifact(HISTORY, await asyncio.to_thread(pack, recorder.history), media_type="application/gzip")
    if isinstance(ended, Failure):
        raise ended
    _verdict(ended)


async def _dataset(ctx: Context, params: Params) -> Dataset:
    snapshot = ctx.inputs.get("dataset")
    if snapshot is None and params.dataset_snapshot:
        snapshot = ctx.workdir / "dataset.json"
        await ctx.fetch(params.dataset_snapshot, snapshot)
    try:
        if snapshot is not None:
            dataset = from_snapshot(msgspec.json.decode(snapshot.read_bytes()))
        else:
            dataset = load_dataset(resolve_dataset(params.dataset, [bundled_root()]))
    except Refusal as refusal:
        raise Failure(refusal.code, refusal.detail, retryable=False) from refusal
    if params.dataset_digest and dataset.digest() != params.dataset_digest:
        raise Failure("dataset_changed", "The dataset is not the one that was ordered.", retryable=False)
    return dataset


def _config(ctx: Context, params: Params) -> ExperimentConfig:
    name = params.experiment_name or f"run_{ctx.run}"
    try:
        check_new_name(name)
    except Refusal as refusal:
        raise Failure(refusal.code, refusal.detail, retryable=False) from refusal
    return ExperimentConfig(
        experiment_name=name, search_algorithm=params.search_algorithm, search_bandwidth=params.search_bandwidth,
        customer_max_steps=params.customer_max_steps, customer_policy=params.customer_policy,
        business_policy=params.business_policy, seed=ctx.seed if params.seed is None else params.seed,
    )  # fmt: skip


def _verdict(outcome: Outcome) -> None:
    if outcome.status == "completed":
        return
    if outcome.error == "Cancelled":
        raise Cancelled
    raise Failure("experiment_failed", outcome.error or "The experiment failed.", retryable=False)


async def _export(ctx: Context, params: Params, name: str, history: History) -> None:
    """Offer the verified SQLite file; a failed export fails the run."""
    try:
        filename = export_filename(params.export_filename, name)
        path: Path = ctx.workdir / "export.db"
        counts = await asyncio.to_thread(export_sqlite, path, history)
    except (Refusal, ExportFailed) as error:
        raise Failure("export_failed", f"Export failed: {error}", retryable=False) from error
    await ctx.artifact(filename, path, media_type=SQLITE)
    for table, count in counts.items():
        ctx.metric(f"exported_{table}", count)


async def _analysis(ctx: Context, history: History) -> dict[str, Any]:
    found = await asyncio.to_thread(analyse, history.agents, history.actions, history.logs)
    await ctx.artifact("analytics.json", msgspec.json.encode(found), media_type="application/json")
    ctx.metric("customer_utility", found["total_marketplace_customer_utility"])
    return {key: value for key, value in found.items() if key not in LENGTHY}
