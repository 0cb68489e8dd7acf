"""What is done with scenarios: create, run, reset, cancel, delete."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request

from trialbook.algomancy import EMPTY, ParameterError, Profile, parameter_set
from trialbook.domain.names import NameState
from trialbook.domain.run import Retry, RunSpec, commands
from trialbook.errors import Conflict, NotFound, TooLarge
from trialbook.queries import RunGet
from trialbook_gateway.commanding import delete_run
from trialbook_gateway.dialects.algomancy import shape
from trialbook_gateway.dialects.algomancy.datasets import DATASET_LABEL, Datasets, Stored
from trialbook_gateway.dialects.algomancy.errors import bad_value, conflict, not_found
from trialbook_gateway.dialects.algomancy.ids import given
from trialbook_gateway.dialects.algomancy.sessions import LANE
from trialbook_gateway.dialects.algomancy.shape import SCENARIO, Run
from trialbook_gateway.idempotency import Idempotency, identify
from trialbook_gateway.ordering import create_run, name_aggregate
from trialbook_gateway.services import Caller, Services

SCOPE = "algomancy-tag"
ROUTE = "algomancy.scenarios.create"
LARGEST = (1 << 63) - 1
AUTO = "{} [auto]"
IN_USE = "A scenario with tag '{}' already exists."


class Scenarios:
    """The caller's workspace is the session."""

    def __init__(self, services: Services, profile: Profile, datasets: Datasets) -> None:
        self._services, self._profile, self._datasets = services, profile, datasets

    async def create(
        self,
        caller: Caller,
        request: Request,
        tag: str,
        dataset_key: str,
        algorithm: str,
        algo_params: dict[str, Any] | None,
        data_params: dict[str, Any] | None,
    ) -> Run:
        """Checks in the documented order. Raises 404, 409, 400; the same Idempotency-Key gives the first scenario."""
        body = [tag, dataset_key, algorithm, algo_params, data_params]
        asked = identify(request, caller.workspace, caller.principal.actor, ROUTE, body, self._services.ids.new())
        if self._profile.find(algorithm) is None:
            raise not_found("Algorithm", algorithm)
        stored = await self._datasets.find(caller.workspace, dataset_key)
        try:
            spec = self.spec(tag, stored, algorithm, algo_params, data_params)
        except ParameterError as error:  # a taken tag is said first; without this error the append finds it
            taken: NameState = (await self._services.handler.load(name_aggregate(caller.workspace, SCOPE, tag))).state
            if taken.owner and taken.owner != asked.id:
                raise conflict(IN_USE.format(tag)) from None
            raise bad_value(str(error)) from None
        return await self._append(caller.keeping(stored.datakey), spec, asked)

    async def create_auto(self, caller: Caller, key: str) -> None:
        """The scenario that a new dataset gets, unless it has it already."""
        default = self._profile.default_algorithm
        if not self._profile.autocreate or default is None:
            return
        stored = await self._datasets.find(caller.workspace, key)
        spec = self.spec(AUTO.format(key), stored, default, dict(self._profile.default_parameters), None)
        asked = Idempotency(id=self._services.ids.new(), command_id="", digest="")
        try:
            await self._append(caller.keeping(stored.datakey), spec, asked)
        except Conflict as refusal:
            if refusal.code != "tag_taken":
                raise

    async def run(self, caller: Caller, run: Run) -> Run:
        """Queue a scenario, finished ones after a reset in the same append. Raises 409 while it is active."""
        text = f"Scenario '{run.id}' is {shape.status_of(run)}."
        ticket = self._services.ids.new()
        return await self._command(caller, run, text, commands.Reset(), commands.Start(ticket=ticket))

    async def reset(self, caller: Caller, run: Run) -> Run:
        """Raises 409 while it is active."""
        return await self._command(
            caller, run, "Cannot reset a scenario while it is queued or processing.", commands.Reset()
        )

    async def cancel(self, caller: Caller, run: Run, wait_s: float) -> Run:
        """End it; the reply comes when it has ended, at the latest after ``wait_s``. Raises 409 unless it is active."""
        if run.status not in ("queued", "running", "paused"):
            raise conflict(f"Cannot cancel a scenario that is {shape.status_of(run)}.")
        text = "The scenario has finished meanwhile."
        asked = await self._command(caller, run, text, commands.RequestCancel(reason="cancelled by a client"))
        if asked.status == "running":
            ended = await self._services.verdicts.wait(caller.workspace, run.id, wait_s)
            return await self.find(caller, run.id, ended)
        return asked

    async def delete(self, caller: Caller, run: Run) -> None:
        """Remove it and free its tag; what it executes is ended. Raises 404."""
        try:
            await delete_run(self._services, caller, run.id, "", None, SCOPE, cancel=True)
        except NotFound:
            raise not_found("Scenario", run.id) from None

    async def find(self, caller: Caller, text: str, at_least: int = 0) -> Run:
        """A scenario as it is now. Raises 404."""
        services, id_ = self._services, given(text)
        if id_ is not None:
            query = RunGet(id=id_, at_least=services.seen_by(caller, "run", id_, at_least))
            try:
                answer = await services.ask.ask(caller.workspace, query, services.settings.ask_timeout_s)
            except NotFound:
                raise not_found("Scenario", text) from None
            if (run := shape.decode_run(bytes(answer.result or b"{}"))) is not None:
                # Lists come from tables, which may be behind: whoever saw a fact here will see it there.
                services.wrote(caller.aggregate("run", id_), run.sequence)
                return run
        raise not_found("Scenario", text)

    async def _command(self, caller: Caller, run: Run, refused: str, *orders: commands.Command) -> Run:
        aggregate = caller.aggregate("run", run.id)
        try:
            outcome = (await self._services.handler.handle_all([(aggregate, o) for o in orders], caller.meta))[-1]
        except NotFound:
            raise not_found("Scenario", run.id) from None
        except Conflict as refusal:
            if refusal.code == "contention":
                raise
            raise conflict(refused) from None
        self._services.wrote(aggregate, outcome.sequence)
        return shape.run_of(caller.workspace, run.id, outcome.state, outcome.sequence)

    async def _append(self, caller: Caller, spec: RunSpec, asked: Idempotency) -> Run:
        try:
            outcome, _ = await create_run(self._services, caller, spec, asked, start=self._profile.autorun, scope=SCOPE)
        except Conflict as refusal:
            if refusal.code != "name_taken":
                raise
            raise Conflict("tag_taken", IN_USE.format(spec.name)) from None
        return shape.run_of(caller.workspace, asked.id, outcome.state, outcome.sequence)

    def spec(
        self,
        tag: str,
        stored: Stored,
        algorithm: str,
        algo_params: dict[str, Any] | None,
        data_params: dict[str, Any] | None,
    ) -> RunSpec:
        """What a scenario is as a run. Raises ``ParameterError``, first for the algorithm's parameters, and 413."""
        now, content = self._services.clock.now(), stored.content
        known = self._profile.find(algorithm)
        assert known is not None, "checked by the caller"
        text = known.parameters.dumps(_storable(known.parameters.resolve(algo_params, now)))
        declared = EMPTY
        if content.declared is not None:
            declared = parameter_set(content.declared["name"], content.declared["parameters"])
        values = declared.encode(_storable(declared.resolve(data_params, now)))
        metadata = content.metadata
        params = {
            "algorithm": algorithm, "parameters": text, "data_parameters": values,
            "dataset": {
                "id": metadata.id, "name": metadata.name, "type": metadata.type.value,
                "creation_datetime": metadata.creation_datetime, "tables": list(metadata.tables),
                "declared": content.declared,
            },
        }  # fmt: skip
        limit = self._services.settings.max_params_bytes
        if len(text) + len(msgspec.json.encode(values)) > limit:
            raise TooLarge("params_too_large", f"Parameters may have {limit} bytes as JSON.")
        extra = {
            "dataset_id": metadata.id, "dataset_key": stored.key, "algorithm": algorithm, "parameters": text,
            "data_parameters": values,
        }  # fmt: skip
        return RunSpec(
            workload=SCENARIO, params=params, name=tag, title=tag, lane=LANE, dialect=SCENARIO,
            labels={DATASET_LABEL: stored.id, "algorithm": algorithm}, timeout_s=known.timeout_s,
            retry=Retry(max_attempts=1), inputs={"tables": content.sha256}, extra=extra,
        )  # fmt: skip


def _storable(values: dict[str, Any]) -> dict[str, Any]:
    """Raises ``ParameterError`` for integers beyond 64 bits, which tables and other readers of JSON lose."""
    for name, value in values.items():
        if isinstance(value, int) and abs(value) > LARGEST:
            limit = f"less than or equal to {LARGEST}" if value > 0 else f"greater than or equal to {-LARGEST}"
            raise ParameterError(f"Parameter '{name}' must be {limit}.")
    return values
