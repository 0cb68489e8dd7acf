"""Loads: runs that make tables of what was sent. The gateway waits for one and adds its dataset."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from starlette.datastructures import UploadFile
from starlette.requests import Request

from trialbook.domain.run import Retry, RunSpec, commands
from trialbook.domain.run.state import TERMINAL
from trialbook.errors import Conflict, Invalid, NotFound, TimedOut
from trialbook.queries import RunGet
from trialbook.views import RunView
from trialbook_algomancy.data_document import Metadata
from trialbook_algomancy.etl.names import upload_names
from trialbook_gateway.dialects.algomancy.datasets import Content
from trialbook_gateway.dialects.algomancy.errors import INTERNAL, bad_value, not_found
from trialbook_gateway.dialects.algomancy.ids import given, shown
from trialbook_gateway.dialects.algomancy.settings import AlgomancySettings
from trialbook_gateway.idempotency import Idempotency, identify
from trialbook_gateway.ordering import create_run
from trialbook_gateway.problems import HttpRefusal
from trialbook_gateway.reading import read_run
from trialbook_gateway.services import Caller, Services

log = logging.getLogger(__name__)
LOAD = "algomancy-etl"
EXPORT = "export"
"""The source of a run that loads nothing, but writes a dataset as a file."""
DIALECT = "algomancy"
ROUTE = "algomancy.loads.create"
CHUNK_BYTES = 256 * 1024
BAD_VALUES = frozenset({"unreadable_data", "no_etl"})
MAX_LOST = 2


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """One dataset that a load has made."""

    metadata: Metadata
    declared: dict[str, Any] | None
    sha256: str
    size: int
    rows: int = 0


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a load returned; ``record`` has messages, counts, files and success, and is None for JSON."""

    datasets: list[Made]
    record: dict[str, Any] | None


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A finished load: its run, and what came of it."""

    workspace: str
    run: str
    result: Result

    def content(self, made: Made) -> Content:
        """A version of a dataset that names this load."""
        return Content(
            metadata=made.metadata, declared=made.declared, sha256=made.sha256, size=made.size,
            load=f"{self.workspace}/{self.run}",
        )  # fmt: skip


class Loads:
    """Starts loads and reads what became of them."""

    def __init__(self, services: Services, settings: AlgomancySettings) -> None:
        self._services, self._settings = services, settings

    async def of_files(self, caller: Caller, request: Request, name: str, uploads: Sequence[UploadFile]) -> Ended:
        """Store the uploads and load them. Raises 400 for names and contents that cannot be read, 413."""
        if len(uploads) > self._settings.max_upload_files:
            limit = self._settings.max_upload_files
            raise HttpRefusal(413, "too_many_files", f"At most {limit} files are accepted at once.")
        try:
            names = upload_names(upload.filename or "" for upload in uploads)
        except Invalid as refusal:
            raise bad_value(refusal.detail) from None
        inputs: dict[str, str] = {}
        files = []
        for number, (upload, known) in enumerate(zip(uploads, names, strict=True)):
            stored = await self._services.blobs.put(_pieces(upload), max_bytes=self._settings.max_upload_bytes)
            place = f"file-{number}.{known.extension}"  # readers look at extensions
            inputs[place] = stored.sha256
            files.append({"input": place, "name": known.name})
        params = {"source": "files", "dataset_name": name, "files": files}
        asked = self._identify(caller, request, [params, inputs])
        return await self.ended(caller, asked, _spec(params, inputs, name))

    async def of_json(self, caller: Caller, request: Request) -> Ended:
        """Read a document from the request's body. Raises 400 with the reader's text, 413."""
        stored = await self._services.blobs.put(request.stream(), max_bytes=self._settings.max_upload_bytes)
        if not stored.size:
            raise bad_value("Empty request body")
        asked = self._identify(caller, request, {"document": stored.sha256})
        return await self.of_document(caller, stored.sha256, asked)

    async def of_document(self, caller: Caller, sha256: str, asked: Idempotency | None = None) -> Ended:
        """Read a stored document. Raises 400 with the reader's text."""
        asked = asked or Idempotency(id=self._services.ids.new(), command_id="", digest="")
        return await self.ended(caller, asked, _spec({"source": "json"}, {"document": sha256}, ""))

    async def initial(self, caller: Caller, run: str) -> Ended:
        """The profile's own datasets, once for ever: the run has an id of its own."""
        spec = _spec({"source": "initial"}, {}, "")
        return await self.ended(caller, Idempotency(id=run, command_id=f"initial-{run}", digest=run), spec)

    async def ended(self, caller: Caller, asked: Idempotency, spec: RunSpec) -> Ended:
        """Start a load unless it was started before, and wait for its end. Raises 400, 500, ``TimedOut``."""
        await create_run(self._services, caller, spec, asked)
        view = await self._wait(caller, asked.id)
        if view.status == "completed":
            return Ended(workspace=caller.workspace, run=asked.id, result=await self._result(view))
        error = view.error or {}
        if error.get("code") in BAD_VALUES:
            raise bad_value(str(error.get("detail", "")))
        log.error("load %s of session %s failed: %s", asked.id, caller.workspace, error.get("detail"))
        raise HttpRefusal(500, "load_failed", INTERNAL)

    async def record(self, workspace: str, text: str) -> dict[str, Any]:
        """Everything about one load of a session. Raises 404."""
        id_ = given(text)
        if id_ is None:
            raise not_found("Load", text)
        view = await self._view(workspace, id_, text)
        failed = None if view.status != "failed" else str((view.error or {}).get("detail", ""))
        record = (await self._result(view)).record if view.status == "completed" else None
        found = record or {"dataset_name": view.params.get("dataset_name", ""), "success": view.status == "completed"}
        return {
            "id": shown(id_), "status": view.status, "dataset_name": found["dataset_name"],
            "success": found["success"], "counts": found.get("counts", {}), "messages": found.get("messages", []),
            "files": found.get("files", []), "error": failed, "created_at": view.created_at,
            "finished_at": view.finished_at,
        }  # fmt: skip

    async def _view(self, workspace: str, id_: str, text: str) -> RunView:
        try:
            answer = await self._services.ask.ask(workspace, RunGet(id=id_), self._services.settings.ask_timeout_s)
        except NotFound:
            raise not_found("Load", text) from None
        view = _decode_view(answer.result or b"{}")
        if view.workload != LOAD or view.params.get("source") == EXPORT:
            raise not_found("Load", text)
        return view

    async def _wait(self, caller: Caller, run: str) -> RunView:
        services, clock = self._services, self._services.clock
        deadline = clock.monotonic() + self._settings.load_wait_s
        while (left := deadline - clock.monotonic()) > 0:
            query = RunGet(id=run, at_least=services.seen_by(caller, "run", run, 0))
            answer = await read_run(services, caller.workspace, query, min(left, services.settings.max_wait_s))
            view = _decode_view(answer.result or b"{}")
            if view.status in TERMINAL:
                return view
        await self._give_up(caller, run)
        raise TimedOut("load_timeout", f"The load did not end within {self._settings.load_wait_s:g} s; it was ended.")

    async def _give_up(self, caller: Caller, run: str) -> None:
        command = commands.RequestCancel(reason="it took too long")
        try:
            await self._services.handler.handle(caller.aggregate("run", run), command, caller.meta)
        except Conflict as refusal:
            if refusal.code != "run_finished":
                raise

    async def _result(self, view: RunView) -> Result:
        if view.result_blob is None:
            return msgspec.convert(view.result, Result)
        pieces = [piece async for piece in self._services.blobs.get(view.result_blob)]
        return msgspec.json.decode(b"".join(pieces), type=Result)

    def _identify(self, caller: Caller, request: Request, body: Any) -> Idempotency:
        return identify(request, caller.workspace, caller.principal.actor, ROUTE, body, self._services.ids.new())


_decode_view = msgspec.json.Decoder(RunView).decode


def _spec(params: dict[str, Any], inputs: dict[str, str], name: str) -> RunSpec:
    return RunSpec(
        workload=LOAD, params=params, inputs=inputs, title=f"Load {name}".strip(), dialect=DIALECT, priority="high",
        retry=Retry(max_attempts=1, max_lost=MAX_LOST),
    )  # fmt: skip


async def _pieces(upload: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await upload.read(CHUNK_BYTES):
        yield chunk
