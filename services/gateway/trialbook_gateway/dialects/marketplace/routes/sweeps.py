"""Sweeps over parameters of experiments, and their welfare beside the baselines."""

from __future__ import annotations

import itertools
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Request

from trialbook.errors import Refusal
from trialbook.ids import parse_id
from trialbook.queries import PAGE_LIMIT, Page, RunGet, RunList
from trialbook_gateway.dialects.marketplace import datasets, schemas
from trialbook_gateway.dialects.marketplace.errors import bad_request, not_found
from trialbook_gateway.dialects.marketplace.parts import Here, Where
from trialbook_gateway.dialects.marketplace.policies import choice_of
from trialbook_gateway.dialects.marketplace.routes.described import described
from trialbook_gateway.dialects.marketplace.routes.documented import strict_body
from trialbook_gateway.idempotency import identify
from trialbook_gateway.ordering import create_run, spec_of
from trialbook_gateway.reading import pages
from trialbook_gateway.schemas.runs import RunCreate
from trialbook_marketplace.config import ExperimentConfig, check_config

ROUTE = "marketplace.sweeps.create"
LABEL = "marketplace_sweep"
OF_MODELS = ("llm_temperature", "llm_max_tokens", "max_tokens", "max_cost")
MEASURES = {
    "customer_utility": "total_marketplace_customer_utility", "customers_with_needs_met": "customers_with_needs_met",
    "purchase_completion_rate": "purchase_completion_rate", "llm_calls": "total_llm_calls",
}  # fmt: skip
router = APIRouter(tags=["beyond the original"])
_page = msgspec.json.Decoder(Page).decode


@router.post(
    "/api/sweeps", response_model=schemas.Sweep, responses=described(400, 409, 413, 422),
    dependencies=[Depends(strict_body)],
)  # fmt: skip
async def create_sweep(where: Where, request: Request, body: schemas.SweepRequest) -> dict[str, Any]:
    """One experiment for every combination of the lists; they share one snapshot of the dataset."""
    services, caller = where.services, where.caller
    try:
        snapshot = await where.parts.stored.snapshot(caller, body.dataset)
        grid, base = _checked(where, body)
    except Refusal as refusal:
        raise bad_request(refusal) from None
    sha256 = await datasets.store(snapshot, services.blobs)
    base |= {
        "dataset": snapshot.name, "dataset_digest": snapshot.digest, "dataset_snapshot": sha256,
        "customers": snapshot.customers, "businesses": snapshot.businesses,
    }  # fmt: skip
    plain = {
        "workload": "marketplace", "params": base, "title": f"Sweep over {snapshot.name}",
        "labels": {LABEL: snapshot.name}, "sweep": {"grid": grid, "max_parallel": body.max_parallel},
    }  # fmt: skip
    order = RunCreate.model_validate(plain)
    asked = identify(request, caller.workspace, caller.principal.actor, ROUTE, body.model_dump(), services.ids.new())
    await create_run(services, caller, await spec_of(services, caller, order), asked)
    return {"sweep": asked.id, "status": "queued", "experiments": _count(grid)}


@router.get("/api/sweeps/{sweep}", response_model=schemas.SweepTable, responses=described(404))
async def read_sweep(where: Where, sweep: Annotated[str, Path(max_length=36)]) -> dict[str, Any]:
    """Welfare of every experiment that has ended, beside the baselines of its dataset, and the means over seeds."""
    services, caller = where.services, where.caller
    missing = not_found("sweep_not_found", f"Sweep '{sweep}' not found")
    timeout_s = services.settings.ask_timeout_s
    try:
        id_ = parse_id(sweep)
        at_least = services.seen_by(caller, "run", id_, 0)
        answer = await services.ask.ask(caller.workspace, RunGet(id=id_, at_least=at_least), timeout_s)
    except Refusal as refusal:
        if refusal.code not in ("invalid_id", "run_not_found"):
            raise
        raise missing from None
    view: dict[str, Any] = msgspec.json.decode(answer.result or b"null")
    if LABEL not in view["labels"]:
        raise missing
    varied = list(view["params"]["grid"])
    rows = [_row(child, varied) for child in await _children(where, id_, answer.facts)]
    return {
        "sweep": id_, "status": view["status"], "dataset": view["labels"][LABEL], "varied": varied, "rows": rows,
        "means": _means(rows, varied),
    }  # fmt: skip


def _checked(where: Here, body: schemas.SweepRequest) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """What varies, and what all have in common. Every combination is checked. Raises ``Invalid``."""
    given: dict[str, list[Any]] = {name: values for name in schemas.SWEPT if (values := getattr(body, name))}
    grid = {name: list(dict.fromkeys(values)) for name, values in given.items()}
    base: dict[str, Any] = {"customer_max_steps": body.customer_max_steps}
    wishes = {name: value for name in OF_MODELS if (value := getattr(body, name)) is not None}
    names = [name for name in grid if name != "seed"]
    for values in itertools.islice(itertools.product(*(grid[name] for name in names)), 1000):
        point = dict(zip(names, values, strict=True))
        order = schemas.ExperimentRequest(dataset=body.dataset, llm_provider=body.llm_provider, **point)
        config = ExperimentConfig(
            "sweep", order.search_algorithm, order.search_bandwidth, body.customer_max_steps,
            order.customer_policy or "cheapest", order.business_policy or "rule_based",
        )  # fmt: skip
        check_config(config)
        choice = choice_of(order, where.services.llm)
        for name in ("customer_policy", "business_policy"):
            if name not in grid:
                base[name] = getattr(choice, name)
        if choice.provider is not None:
            base |= {"llm_provider": choice.provider, **wishes}
            if "llm_model" not in grid:
                base["llm_model"] = choice.model
    return grid, base


def _count(grid: dict[str, list[Any]]) -> int:
    total = 1
    for values in grid.values():
        total *= len(values)
    return total


async def _children(where: Here, sweep: str, at_least: int) -> list[dict[str, Any]]:
    query = RunList(parent=sweep, order="created_asc", limit=PAGE_LIMIT, at_least=at_least)
    found: list[dict[str, Any]] = []
    async for answer in pages(where.services, where.caller, query):
        found += _page(answer.result or b"{}").items
    return found


def _row(child: dict[str, Any], varied: list[str]) -> dict[str, Any]:
    result = child["result"] or {}
    baselines = result.get("baselines") or {}
    usage = result.get("llm_usage") or {}
    return {
        "run": child["id"], "status": child["status"],
        "error": (child["error"] or {}).get("detail"),
        "parameters": {name: child["params"].get(name) for name in varied},
        **{name: result.get(member) for name, member in MEASURES.items()},
        "llm_tokens": usage.get("total_tokens"), "llm_cost_usd": usage.get("cost_usd"),
        "share_of_optimal": baselines.get("welfare_share_of_optimal"),
        "baselines": {name: value for name, value in baselines.items() if name != "welfare_share_of_optimal"},
    }  # fmt: skip


def _means(rows: list[dict[str, Any]], varied: list[str]) -> list[dict[str, Any]]:
    """Over the seeds: one entry per combination of the other parameters, of its completed experiments."""
    groups: dict[bytes, list[dict[str, Any]]] = {}
    for row in rows:
        if row["status"] == "completed":
            point = [row["parameters"][name] for name in varied if name != "seed"]
            groups.setdefault(msgspec.json.encode(point), []).append(row)
    names = [name for name in varied if name != "seed"]
    return [
        {
            "parameters": {name: group[0]["parameters"][name] for name in names},
            "experiments": len(group),
            "customer_utility": _mean([row["customer_utility"] for row in group]),
            "share_of_optimal": _mean([row["share_of_optimal"] for row in group]),
        }
        for group in groups.values()
    ]


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
