"""Launching an experiment: the checks in their documented order, then the facts that create its run."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request

from trialbook.domain import names
from trialbook.domain.run import RunSpec, commands
from trialbook.envelope import AggregateId
from trialbook.errors import Conflict, Invalid, Refusal, Unavailable
from trialbook.handle import Loaded, fresh
from trialbook_gateway.dialects.marketplace import datasets
from trialbook_gateway.dialects.marketplace.datasets import Snapshot
from trialbook_gateway.dialects.marketplace.errors import bad_request
from trialbook_gateway.dialects.marketplace.experiments import DIALECT, LABEL, SCOPE
from trialbook_gateway.dialects.marketplace.policies import choice_of
from trialbook_gateway.dialects.marketplace.schemas import ExperimentRequest
from trialbook_gateway.dialects.marketplace.stored import StoredDatasets
from trialbook_gateway.idempotency import Idempotency, identify, same_request
from trialbook_gateway.ordering import name_aggregate
from trialbook_gateway.services import Caller, Services
from trialbook_marketplace.config import ExperimentConfig, check_config, check_new_name, default_name
from trialbook_marketplace.export import export_filename
from trialbook_marketplace.llm import Choice
from trialbook_marketplace.llm.choice import RULES

WORKLOAD = "marketplace"
ROUTE = "marketplace.experiments.create"
RERUN = "marketplace.experiments.rerun"
MAX_COLLISIONS = 1000
MAX_OVERRIDES = 8
MASK = "***"
_RECORDED = (
    "postgres_host", "postgres_port", "postgres_password", "db_pool_min_size", "db_pool_max_size", "server_host",
    "server_port", "export_dir", "override", "llm_provider", "llm_model",
)  # fmt: skip
_WISHES = ("llm_temperature", "llm_reasoning_effort", "llm_max_tokens", "max_tokens", "max_cost")


class Launcher:
    """Turns requests into runs."""

    def __init__(self, services: Services, known: StoredDatasets) -> None:
        self._services, self._datasets = services, known
        self._last_ms = 0

    async def launch(self, caller: Caller, request: Request, body: ExperimentRequest) -> str:
        """The name of the launched experiment. Raises the documented 400s, and 409 for a reused Idempotency-Key."""
        new_id = self._services.ids.new()
        asked = identify(request, caller.workspace, caller.principal.actor, ROUTE, body.model_dump(), new_id)
        if asked.keyed and (first := await self._first(caller, asked)) is not None:
            return first
        snapshot, config, choice = await self._checked(caller, body)
        sha256 = await datasets.store(snapshot, self._services.blobs)
        spec = _with_models(_spec(self._services, body, config, snapshot, sha256), body, choice)
        if body.experiment_name:
            await self._named(caller, asked, spec, override=body.override)
            return config.experiment_name
        return await self._automatic(caller, asked, spec, (snapshot.customers, snapshot.businesses))

    async def rerun(
        self, caller: Caller, request: Request, run: str, experiment_name: str | None, seed: int | None
    ) -> str:
        """Launch a run's order again under another name; returns the name. Raises 400 for a bad or taken name."""
        body = {"run": run, "experiment_name": experiment_name, "seed": seed}
        new_id = self._services.ids.new()
        asked = identify(request, caller.workspace, caller.principal.actor, RERUN, body, new_id)
        if asked.keyed and (first := await self._first(caller, asked)) is not None:
            return first
        original: Loaded[Any] = await self._services.handler.load(caller.aggregate("run", run))
        caller, order = caller.taking_over(original), original.state.order
        spec = msgspec.structs.replace(order, seed=order.seed if seed is None else seed)
        if not experiment_name:
            return await self._automatic(caller, asked, spec, _counts(order))
        try:
            check_new_name(experiment_name)
        except Invalid as refusal:
            raise bad_request(refusal) from None
        await self._named(caller, asked, _renamed(spec, experiment_name), override=False)
        return experiment_name

    async def _first(self, caller: Caller, asked: Idempotency) -> str | None:
        """The name that the first request under this key was given."""
        aggregate = caller.aggregate("run", asked.id)
        state = (await self._services.handler.load(aggregate)).state
        if asked.command_id not in state.command_ids:
            return None
        same_request(state.digest, asked, aggregate)
        return str(state.order.name)

    async def _checked(self, caller: Caller, body: ExperimentRequest) -> tuple[Snapshot, ExperimentConfig, Choice]:
        try:
            if body.experiment_name:
                check_new_name(body.experiment_name)
            snapshot = await self._datasets.snapshot(caller, body.dataset)
            config = _config(body, snapshot, self._services.clock.unix_us() // 1000)
            check_config(config)
            choice = choice_of(body, self._services.llm)
            if body.export_filename:
                export_filename(body.export_filename, config.experiment_name)
        except Refusal as refusal:
            raise bad_request(refusal) from None
        policies = {"customer_policy": choice.customer_policy, "business_policy": choice.business_policy}
        return snapshot, msgspec.structs.replace(config, **policies), choice

    async def _automatic(self, caller: Caller, asked: Idempotency, spec: RunSpec, counts: tuple[int, int]) -> str:
        """Take the first free name, counting up the milliseconds in it."""
        for _ in range(MAX_COLLISIONS):
            # Counting on from the last one spares requests of the same millisecond the collisions with one another.
            self._last_ms = max(self._last_ms + 1, self._services.clock.unix_us() // 1000)
            name = default_name(*counts, self._last_ms)
            try:
                return await self._append(caller, asked, _renamed(spec, name), [], {})
            except Conflict as conflict:
                if conflict.code != "name_taken":
                    raise
        raise Unavailable("no_free_name", f"{MAX_COLLISIONS} automatic names were taken; try again.")

    async def _named(self, caller: Caller, asked: Idempotency, spec: RunSpec, *, override: bool) -> None:
        name = str(spec.name)
        for _ in range(MAX_OVERRIDES):
            try:
                if not override:
                    await self._append(caller, asked, spec, [], {})
                else:
                    await self._override(caller, asked, spec)
            except Conflict as conflict:
                if conflict.code == "name_taken" and not override:
                    raise _exists(name) from None
                if conflict.code not in ("name_taken", "run_finished"):
                    raise
            else:
                return
        raise Unavailable("contention", f"Others keep replacing the experiment '{name}'; try again.")

    async def _override(self, caller: Caller, asked: Idempotency, spec: RunSpec) -> None:
        """Take the name over; in the same append an active run that bears it is cancelled."""
        aggregate = name_aggregate(caller.workspace, SCOPE, str(spec.name))
        named: Loaded[Any] = await self._services.handler.load(aggregate)
        if not (owner := str(named.state.owner)) or owner == asked.id:
            await self._append(caller, asked, spec, [], {})
            return
        old = caller.aggregate("run", owner)
        loaded: Loaded[Any] = await self._services.handler.load(old)
        if loaded.state.order.dialect != DIALECT:
            raise bad_request(Invalid("name_taken", f"The name '{spec.name}' belongs to a run that is no experiment."))
        cancel = commands.RequestCancel(reason=f"replaced by run {asked.id}")
        more = [] if loaded.state.terminal else [(old, cancel)]
        await self._append(caller, asked, spec, more, {aggregate: named, old: loaded}, replaces=owner)

    async def _append(
        self,
        caller: Caller,
        asked: Idempotency,
        spec: RunSpec,
        more: list[tuple[AggregateId, Any]],
        known: dict[AggregateId, Loaded[Any]],
        replaces: str = "",
    ) -> str:
        """Create the run and claim its name at once; returns the name that the run has in the ledger."""
        run = caller.aggregate("run", asked.id)
        name = name_aggregate(caller.workspace, SCOPE, str(spec.name))
        create = commands.Create(
            spec=spec, ticket=self._services.ids.new(), command_id=asked.command_id, digest=asked.digest
        )
        claim = names.Claim(scope=SCOPE, name=str(spec.name), owner=asked.id, replace=bool(replaces), replaces=replaces)
        assumed = {run: fresh("run"), name: fresh("name"), **known}
        outcomes = await self._services.handler.handle_all([(run, create), (name, claim), *more], caller.meta, assumed)
        self._services.telemetry.facts.inc(sum(len(outcome.facts) for outcome in outcomes))
        for (aggregate, _), outcome in zip(((run, create), *more), (outcomes[0], *outcomes[2:]), strict=True):
            self._services.wrote(aggregate, outcome.sequence)
        named = str(outcomes[0].state.order.name)
        if named != spec.name and outcomes[1].facts:  # a twin of this request was quicker, under another automatic name
            await self._services.handler.handle(name, names.Release(owner=asked.id), caller.meta)
        return named


def _counts(order: RunSpec) -> tuple[int, int]:
    """Customers and businesses of a run's dataset, for its automatic name."""
    return int(order.params["customers"]), int(order.params["businesses"])


def _exists(name: str) -> Refusal:
    text = f"Experiment '{name}' already exists. Use override=true to replace it."
    return bad_request(Conflict("experiment_exists", text))


def _config(body: ExperimentRequest, snapshot: Snapshot, epoch_ms: int) -> ExperimentConfig:
    # Unnamed policies are chosen after everything else was checked.
    customer, business = body.customer_policy or RULES[0], body.business_policy or RULES[1]
    return ExperimentConfig(
        experiment_name=body.experiment_name or default_name(snapshot.customers, snapshot.businesses, epoch_ms),
        search_algorithm=body.search_algorithm, search_bandwidth=body.search_bandwidth,
        customer_max_steps=body.customer_max_steps, customer_policy=customer, business_policy=business, seed=body.seed,
    )  # fmt: skip


def _spec(
    services: Services, body: ExperimentRequest, config: ExperimentConfig, snapshot: Snapshot, sha256: str
) -> RunSpec:
    """The order for the runners; defaults are those of the announced workload, if a runner has announced it yet."""
    announced = next((w for w in services.directory.workloads() if w.name == WORKLOAD), None)
    usual_limit = announced.timeout_s if announced else None
    recorded = {name: getattr(body, name) for name in _RECORDED}
    params = {
        "experiment_name": config.experiment_name, "dataset": snapshot.name, "dataset_path": snapshot.path,
        "dataset_digest": snapshot.digest, "customers": snapshot.customers, "businesses": snapshot.businesses,
        "search_algorithm": config.search_algorithm,
        "search_bandwidth": config.search_bandwidth, "customer_max_steps": config.customer_max_steps,
        "customer_policy": config.customer_policy, "business_policy": config.business_policy,
        "export_sqlite": body.export_sqlite, "export_filename": body.export_filename,
    }  # fmt: skip
    return RunSpec(
        workload=WORKLOAD, params=params, name=config.experiment_name, title=config.experiment_name,
        labels={LABEL: config.experiment_name, "dataset": snapshot.name}, seed=config.seed,
        pool=announced.pool if announced else "default", timeout_s=body.timeout_seconds or usual_limit,
        inputs={"dataset": sha256}, dialect=DIALECT, extra={"request": {**recorded, "postgres_password": MASK}},
    )  # fmt: skip


def _with_models(spec: RunSpec, body: ExperimentRequest, choice: Choice) -> RunSpec:
    """The order with its provider, model and budgets, which are recorded with the run."""
    wishes = {name: value for name in _WISHES if (value := getattr(body, name)) is not None}
    if choice.provider is None or choice.model is None:
        return spec
    models = {"llm_provider": choice.provider, "llm_model": choice.model}
    return msgspec.structs.replace(spec, params={**spec.params, **wishes, **models}, labels={**spec.labels, **models})


def _renamed(spec: RunSpec, name: str) -> RunSpec:
    return msgspec.structs.replace(
        spec,
        name=name,
        title=name,
        labels={**spec.labels, LABEL: name},
        params={**spec.params, "experiment_name": name},
    )
