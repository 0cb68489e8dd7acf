"""/v1/llm: which language models are usable; a key's validity; what a run's calls cost."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import Field, SecretStr
from starlette.responses import Response

from trialbook.codec import fact_of
from trialbook.domain.run.events import EffectRecorded
from trialbook.errors import NotFound
from trialbook.ids import parse_id
from trialbook.llm import (
    ProviderStatus,
    Secret,
    Validation,
    accounts_of,
    default_provider,
    describe_providers,
    validate,
)
from trialbook_gateway import replies
from trialbook_gateway.api.strict import StrictRoute
from trialbook_gateway.openapi import content, operation
from trialbook_gateway.reading import moment_of
from trialbook_gateway.schemas.base import SEQUENCE_MAX, Body, DatedQuery, Id, NoQuery
from trialbook_gateway.services import Caller, Services, caller_of, services_of
from trialbook_gateway.strictjson import read_model

router = APIRouter(prefix="/v1", tags=["language models"], route_class=StrictRoute)
NoParameters = Annotated[NoQuery, Query()]


class LlmView(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway's providers in order of preference, and what a run gets that names nothing."""

    default_provider: str | None
    default_model: str | None
    providers: list[ProviderStatus]


class LlmUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over all recorded calls. ``cost_usd`` is null as soon as one call has no known price."""

    run: str
    total: dict[str, Any]
    agents: dict[str, dict[str, Any]]
    models: list[dict[str, Any]]


class KeyIn(Body):
    """A key to be checked with its provider; it is neither stored nor logged."""

    provider: Annotated[str, Field(max_length=40)]
    key: Annotated[SecretStr, Field(min_length=1, max_length=1000)]


@router.get("/llm", summary="Which language models are usable", **operation(ok={200: content(LlmView)}))
async def describe(request: Request, _: NoParameters) -> Response:
    """``missing`` says what to set or install; keys are not shown. Runners read their own environment."""
    settings = services_of(request).llm
    statuses = describe_providers(settings)
    view = LlmView(
        default_provider=default_provider(settings, statuses), default_model=settings.model, providers=statuses
    )
    return replies.json(view)


@router.post(
    "/llm/validate",
    summary="Ask a provider whether it accepts a key",
    **operation(ok={200: content(Validation)}, body=KeyIn),
)
async def validate_key(request: Request, _: NoParameters) -> Response:
    """``valid`` is null when the provider did not say. No tokens are used; the address is the configured one."""
    asked = await read_model(request, KeyIn)
    settings = services_of(request).llm.providers.get(asked.provider)
    return replies.json(await validate(asked.provider, Secret(asked.key.get_secret_value()), settings))


@router.get("/runs/{run}/usage", summary="What a run's model calls cost", **operation(ok={200: content(LlmUsage)}))
async def usage(request: Request, run: Id, query: Annotated[DatedQuery, Query()]) -> Response:
    """Per run, agent and model; also while it runs."""
    services, caller = await caller_of(request)
    id_ = parse_id(run, "run id")
    return replies.json(await usage_of(services, caller, id_, await moment_of(services, caller, query.as_of)))


async def usage_of(services: Services, caller: Caller, run: str, up_to: int = SEQUENCE_MAX) -> LlmUsage:
    """The sums of calls up to a ledger sequence, from the ledger itself. Raises ``NotFound``."""
    history = await services.log.read(caller.aggregate("run", run))
    records = [record for record in history if record.sequence <= up_to]
    if not records:
        raise NotFound("run_not_found", "There is no such run.")
    effects = (fact_of(record.event) for record in records if record.event.type == EffectRecorded.TYPE)
    return LlmUsage(run=run, **accounts_of(effect.info for effect in effects).report())
