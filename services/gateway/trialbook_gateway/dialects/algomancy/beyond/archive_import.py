"""A new session from an archive: its datasets are read by runners like any upload, its scenarios are recorded as facts.

What had ended is recorded as executed by ``archive``, so that everybody can see that no runner of this service has
computed it; what was queued or processed is created, to be run again. Scenarios and loads get ids of their own.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from trialbook.algomancy import SENTINEL, ParameterError
from trialbook.domain import names
from trialbook.domain.run import Retry, RunSpec, commands
from trialbook.envelope import AggregateId
from trialbook.errors import Conflict
from trialbook_gateway.dialects.algomancy import schemas
from trialbook_gateway.dialects.algomancy.beyond import archive_form as form
from trialbook_gateway.dialects.algomancy.beyond.quotas import check_datasets, check_rows
from trialbook_gateway.dialects.algomancy.datasets import Content, Stored
from trialbook_gateway.dialects.algomancy.errors import bad_value
from trialbook_gateway.dialects.algomancy.loads import DIALECT, LOAD, Made
from trialbook_gateway.dialects.algomancy.parts import Room
from trialbook_gateway.dialects.algomancy.routes.common import described, reply
from trialbook_gateway.dialects.algomancy.routes.sessions import SESSIONS, administer, listed
from trialbook_gateway.dialects.algomancy.scenarios import SCOPE
from trialbook_gateway.dialects.algomancy.segments import NamedRoute
from trialbook_gateway.dialects.algomancy.sessions import checked
from trialbook_gateway.ordering import name_aggregate
from trialbook_gateway.services import services_of

router = APIRouter(route_class=NamedRoute)
RUNNER = "archive"
RESULT = "result.json"
INLINE_BYTES = 32 * 1024
MAX_EXECUTIONS = 100
ARCHIVE = {media_type: {"schema": {"type": "string"}} for media_type in (form.MEDIA_TYPE, "application/octet-stream")}
Orders = list[tuple[AggregateId, Any]]


@router.post(
    SESSIONS + "/import",
    status_code=201,
    response_model=schemas.SessionList,
    responses=described(400, 409, 422),
    openapi_extra={"requestBody": {"required": True, "content": ARCHIVE}},
)
async def import_session(
    request: Request,
    display_name: Annotated[str, Query(max_length=5000, description="Instead of the archived one.")] = "",
) -> Response:
    """Open a session with everything that an archive holds; nothing is opened when any of it cannot be read."""
    parts, caller, asked = administer(request, "import", None, create=True)
    services = services_of(request)
    with tempfile.TemporaryDirectory(prefix="trialbook-archive-") as folder:
        path = Path(folder) / "session.zip"
        with path.open("wb") as file:
            async for piece in request.stream():
                await asyncio.to_thread(file.write, piece)
        reader = await asyncio.to_thread(form.Reader, path, 4 * parts.settings.max_upload_bytes)
        try:
            name = checked(display_name or reader.manifest.display_name)
            await parts.sessions.check_free(name, asked)
            inside = await services.for_data_subject(request, services.anywhere(request, asked.id))
            await _Importer(Room(services=services, parts=parts, caller=inside, name=name), reader).read()
            await parts.sessions.create(name, caller.meta, asked)
        finally:
            reader.close()
    return reply(await listed(parts, caller), 201)


class _Importer:
    def __init__(self, room: Room, reader: form.Reader) -> None:
        self._room, self._reader = room, reader
        self._contents: dict[str, Stored] = {}
        self._ids: dict[str, str] = {}
        """Dataset key -> id of the aggregate."""

    async def read(self) -> None:
        """Raises 400 and 413 for what cannot be read."""
        manifest = self._reader.manifest
        await check_datasets(self._room, list(manifest.datasets.values()))
        limit = self._room.parts.settings.max_scenarios
        if limit and manifest.scenarios > limit:
            raise bad_value(f"The archive has {manifest.scenarios} scenarios; a session may have {limit}.")
        loads = await self._loads()
        for file, key in manifest.datasets.items():
            id_ = self._ids[key] = self._room.services.ids.new()
            content = await self._content(file, key, loads.get(manifest.loads_of.get(file, ""), ""))
            await self._room.parts.datasets.put(self._room.caller, key, content, new_id=id_, only_new=True)
            self._contents[file] = Stored(id=id_, key=key, content=content)
        for file, key in manifest.versions.items():
            id_ = self._ids.get(key) or self._room.services.ids.new()
            self._contents[file] = Stored(id=id_, key=key, content=await self._content(file, key, ""))
        scenarios = self._reader.scenarios()
        while (scenario := await asyncio.to_thread(next, scenarios, None)) is not None:
            await self._scenario(scenario)

    async def _content(self, file: str, key: str, load: str) -> Content:
        parts = self._room.parts
        stored = await self._room.services.blobs.put(self._pieces(file), max_bytes=parts.settings.max_upload_bytes)
        ended = await parts.loads.of_document(self._room.caller, stored.sha256)
        made: Made = ended.result.datasets[0]
        check_rows(self._room, made)
        if made.metadata.name != key:
            raise bad_value(f"The file '{file}' of the archive is not the dataset '{key}'.")
        content = ended.content(made)
        return content if not load else msgspec.structs.replace(content, load=f"{ended.workspace}/{load}")

    async def _pieces(self, file: str) -> AsyncIterator[bytes]:
        pieces = self._reader.pieces(file)
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            yield piece

    async def _loads(self) -> dict[str, str]:
        """Records all loads; the archive's id -> the new one."""
        found: dict[str, str] = {}
        for load in self._reader.loads():
            id_ = found[load.id] = self._room.services.ids.new()
            spec = RunSpec(
                workload=LOAD, params={"source": "files", "dataset_name": load.dataset_name, "files": []},
                title=f"Load {load.dataset_name}".strip(), dialect=DIALECT, retry=Retry(max_attempts=1),
            )  # fmt: skip
            run = self._room.caller.aggregate("run", id_)
            ticket = self._room.services.ids.new()
            orders: Orders = [(run, commands.Create(spec=spec, start=True, ticket=ticket)), (run, _claimed(ticket))]
            if load.status != "completed":
                error = {"code": "unreadable_data", "detail": load.error or ""}
                orders.append((run, commands.Fail(attempt=1, error=error, retryable=False)))
            else:
                record = msgspec.to_builtins(load)
                result = msgspec.json.encode({"datasets": [], "record": record})
                sha256 = (await self._room.services.blobs.put(_once(result))).sha256
                orders.append((run, commands.Complete(attempt=1, result_blob=sha256)))
            await self._carry_out(orders)
        return found

    async def _scenario(self, scenario: form.Scenario) -> None:
        if scenario.dataset not in self._contents:
            raise bad_value(f"Scenario '{scenario.tag}': the archive has no file '{scenario.dataset}'.")
        spec = self._spec(scenario, self._contents[scenario.dataset])
        id_ = self._room.services.ids.new()
        claim = names.Claim(scope=SCOPE, name=scenario.tag, owner=id_)
        orders: Orders = [(name_aggregate(self._room.caller.workspace, SCOPE, scenario.tag), claim)]
        orders += [order async for order in self._executed(id_, spec, scenario)]
        try:
            await self._carry_out(orders)
        except Conflict as refusal:
            if refusal.code != "name_taken":
                raise
            raise bad_value(f"The archive has two scenarios with the tag '{scenario.tag}'.") from None

    def _spec(self, scenario: form.Scenario, stored: Stored) -> RunSpec:
        parts = self._room.parts
        if parts.profile.find(scenario.algo_name) is None:
            raise bad_value(f"Scenario '{scenario.tag}': Algorithm '{scenario.algo_name}' not found")
        try:
            told = json.loads(scenario.parameters)["parameters"]
            values = {name: value for name, value in told.items() if value is not None}  # null is the default of a time
            spec = parts.scenarios.spec(scenario.tag, stored, scenario.algo_name, values, scenario.data_params)
        except (ParameterError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise bad_value(f"Scenario '{scenario.tag}': {error}") from None
        return msgspec.structs.replace(spec, seed=scenario.runs[-1].seed if scenario.runs else 0)

    async def _executed(
        self, id_: str, spec: RunSpec, scenario: form.Scenario
    ) -> AsyncIterator[tuple[AggregateId, Any]]:
        """Creation, and every execution that has ended; a reset before each but the first, and at the end unless the
        last one is what the scenario shows.
        """
        run = self._room.caller.aggregate("run", id_)
        yield run, commands.Create(spec=spec, start=False)
        ended = [one for one in scenario.runs if one.status in ("complete", "failed")][-MAX_EXECUTIONS:]
        for attempt, execution in enumerate(ended, 1):
            ticket = self._room.services.ids.new()
            if attempt > 1:
                yield run, commands.Reset()
            yield run, commands.Start(ticket=ticket)
            yield run, _claimed(ticket)
            async for order in self._verdict(attempt, execution):
                yield run, order
        if ended and scenario.status not in ("complete", "failed"):
            yield run, commands.Reset()

    async def _verdict(self, attempt: int, execution: form.Execution) -> AsyncIterator[commands.Command]:
        kpis = {key: value for key, value in execution.kpis.items() if value != SENTINEL}
        reached = {"kpis": kpis, "progress": execution.progress}
        result = execution.result or {}
        if execution.status == "failed":
            text = str(result.get("error", ""))
            error = {"code": "scenario_failed", "detail": text, "text": text, **reached}
            yield commands.Fail(attempt=attempt, error=error, retryable=False)
            return
        encoded = msgspec.json.encode(execution.result)
        if len(encoded) <= INLINE_BYTES:
            yield commands.Complete(attempt=attempt, result={"result": execution.result, **reached})
            return
        stored = await self._room.services.blobs.put(_once(encoded))
        yield commands.RecordArtifact(
            attempt=attempt, name=RESULT, sha256=stored.sha256, size=stored.size, media_type="application/json"
        )
        yield commands.Complete(attempt=attempt, result={"artifact": RESULT, **reached})

    async def _carry_out(self, orders: Orders) -> None:
        services = self._room.services
        outcomes = await services.handler.handle_all(orders, self._room.caller.meta)
        for (aggregate, _), outcome in zip(orders, outcomes, strict=True):
            services.wrote(aggregate, outcome.sequence)


def _claimed(ticket: str) -> commands.Claim:
    return commands.Claim(ticket=ticket, runner=RUNNER)


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
