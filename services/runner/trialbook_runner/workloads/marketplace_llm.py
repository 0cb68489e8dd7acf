"""The models of one marketplace experiment: settled once per run, called as effects, counted, bounded."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import msgspec

from trialbook import Context
from trialbook.clock import Clock
from trialbook.errors import Refusal
from trialbook.llm import LlmSettings, describe_providers, llm_settings
from trialbook.llm.settings import Effort
from trialbook.workload import Failure
from trialbook_marketplace.config import ExperimentConfig
from trialbook_marketplace.llm import LlmPolicies
from trialbook_marketplace.llm.choice import choose
from trialbook_marketplace.models import Dataset
from trialbook_runner.llm import Budget, Caller, ContextEffects, Decider, Meter, Options, Providers, load_prices
from trialbook_runner.llm.marketplace import MarketplaceModel

USAGE = "llm_usage.json"
SETTLED = "settings/llm"


class Wishes(Protocol):
    """What an order may say about its models; None takes the deployment's setting."""

    llm_provider: str | None
    llm_model: str | None
    llm_temperature: float | None
    llm_reasoning_effort: Effort | None
    llm_max_tokens: int | None
    max_tokens: int | None
    max_cost: float | None


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """What the first attempt found; later attempts and replays use the same, whatever their environment says."""

    provider: str
    model: str
    temperature: float | None
    reasoning_effort: Effort
    max_tokens: int


class Models:
    """The policies that ask models, and what that costs."""

    def __init__(self, policies: LlmPolicies, meter: Meter) -> None:
        self.policies, self.meter = policies, meter

    async def account(self, ctx: Context) -> dict[str, Any]:
        """Store the accounts as an artifact and as metrics; returns the sums of the run."""
        report = self.meter.report()
        await ctx.artifact(USAGE, msgspec.json.encode(report), media_type="application/json")
        total: dict[str, Any] = report["total"]
        ctx.metric("llm_calls", total["calls"])
        ctx.metric("llm_tokens", total["total_tokens"])
        if total["cost_usd"] is not None:
            ctx.metric("llm_cost", total["cost_usd"], unit="USD")
        return total


@asynccontextmanager
async def opened(
    ctx: Context, wishes: Wishes, config: ExperimentConfig, dataset: Dataset, clock: Clock
) -> AsyncIterator[Models]:
    """The models until the end of the block. Raises ``Failure`` when they are not usable."""
    try:
        settings = llm_settings(os.environ)
        prices = load_prices(settings.prices)
    except Refusal as refusal:
        raise Failure(refusal.code, refusal.detail, retryable=False) from refusal
    settled = await _settle(ctx, wishes, config, settings)
    settings = msgspec.structs.replace(settings, **msgspec.structs.asdict(settled))
    providers = Providers(settings)
    meter = Meter(Budget(max_tokens=wishes.max_tokens, max_cost=wishes.max_cost))
    source = await ctx.effect_source()
    caller = Caller(
        providers, ContextEffects(ctx), clock, prices=prices, random=ctx.random.random, mode=source.mode, meter=meter,
        provider=settled.provider,
    )  # fmt: skip
    model = MarketplaceModel(Decider(caller, Options(provider=settled.provider, model=settled.model)))
    try:
        yield Models(LlmPolicies(config, dataset, model), meter)
    finally:
        await providers.close()


async def _settle(ctx: Context, wishes: Wishes, config: ExperimentConfig, settings: LlmSettings) -> Settled:
    async def resolve() -> Settled:
        try:
            choice = choose(
                settings, describe_providers(settings), customer_policy=config.customer_policy,
                business_policy=config.business_policy, llm_provider=wishes.llm_provider, llm_model=wishes.llm_model,
            )  # fmt: skip
        except Refusal as refusal:
            raise Failure(refusal.code, refusal.detail, retryable=False) from refusal
        assert choice.provider is not None, "a choice with a model policy names a provider"
        assert choice.model is not None, "and a model"
        effort, most = wishes.llm_reasoning_effort, wishes.llm_max_tokens
        return Settled(
            provider=choice.provider, model=choice.model,
            temperature=settings.temperature if wishes.llm_temperature is None else wishes.llm_temperature,
            reasoning_effort=settings.reasoning_effort if effort is None else effort,
            max_tokens=settings.max_tokens if most is None else most,
        )  # fmt: skip

    asked = {
        "provider": wishes.llm_provider, "model": wishes.llm_model, "temperature": wishes.llm_temperature,
        "reasoning_effort": wishes.llm_reasoning_effort, "max_tokens": wishes.llm_max_tokens,
    }  # fmt: skip
    return msgspec.convert(await ctx.effect(SETTLED, asked, resolve), Settled)
