"""Routes about what models saw and said: audit of proposals, traces, usage; and about biases."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import Response

from trialbook_gateway.api.llm import usage_of
from trialbook_gateway.dialects.marketplace import experiments
from trialbook_gateway.dialects.marketplace.errors import not_found
from trialbook_gateway.dialects.marketplace.parts import Where
from trialbook_gateway.dialects.marketplace.routes.beyond import Distance
from trialbook_gateway.dialects.marketplace.routes.described import described
from trialbook_marketplace.analytics import audit, biases, traces

JSON, MARKDOWN = "application/json", "text/markdown"
router = APIRouter(tags=["beyond the original"])


@router.get("/api/experiments/{name}/audit", response_model=dict[str, Any], responses=described(400, 404, 422))
async def experiment_audit(where: Where, name: str, fuzzy_match_distance: Distance = 0) -> Response:
    """Whether every proposal was in its customer's last LLM call, and who could have bought better."""
    found = await experiments.require(where.services, where.caller, name)
    result = await where.parts.histories.compute(
        where.caller, found, lambda h: msgspec.json.encode(audit(h.agents, h.actions, h.logs, fuzzy_match_distance))
    )
    return Response(result, media_type=JSON)


@router.get(
    "/api/experiments/{name}/traces",
    response_model=dict[str, str],
    responses={200: {"content": {MARKDOWN: {}}}, **described(400, 404, 422)},
)
async def experiment_traces(
    where: Where, name: str, document: Annotated[str | None, Query(description="Only this one, as Markdown.")] = None
) -> Response:
    """Markdown by name: one document per customer, one per business and customer that wrote to one another."""
    found = await experiments.require(where.services, where.caller, name)
    documents = await where.parts.histories.compute(where.caller, found, lambda h: traces(h.agents, h.actions, h.logs))
    if document is None:
        return Response(msgspec.json.encode(documents), media_type=JSON)
    if document not in documents:
        raise not_found("no_such_trace", f"Experiment '{name}' has no trace '{document[:200]}'")
    return Response(documents[document], media_type=f"{MARKDOWN}; charset=utf-8")


@router.get("/api/experiments/{name}/usage", response_model=dict[str, Any], responses=described(400, 404))
async def experiment_usage(where: Where, name: str) -> Response:
    """Calls, tokens, cost and time per run, agent and model; also while the run is going on."""
    found = await experiments.require(where.services, where.caller, name)
    return Response(msgspec.json.encode(await usage_of(where.services, where.caller, found.id)), media_type=JSON)


@router.get("/api/experiments/{name}/biases", response_model=dict[str, Any], responses=described(400, 404))
async def experiment_biases(where: Where, name: str) -> Response:
    """How often the first proposal received and the first place in the search results were paid, and who was paid."""
    found = await experiments.require(where.services, where.caller, name)
    result = await where.parts.histories.compute(
        where.caller, found, lambda h: msgspec.json.encode(biases(h.agents, h.actions))
    )
    return Response(result, media_type=JSON)
