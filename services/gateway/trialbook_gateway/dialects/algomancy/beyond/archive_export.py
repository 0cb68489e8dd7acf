"""A session as one archive: datasets, scenarios with every execution, loads with their messages."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Protocol
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, Response

from trialbook.domain.run.state import TERMINAL
from trialbook.queries import PAGE_LIMIT, RunList
from trialbook.times import rfc3339
from trialbook_gateway.dialects.algomancy import listing, shape
from trialbook_gateway.dialects.algomancy.beyond import archive_form as form
from trialbook_gateway.dialects.algomancy.beyond.exports import written_as
from trialbook_gateway.dialects.algomancy.datasets import Content, Stored
from trialbook_gateway.dialects.algomancy.executions import executions
from trialbook_gateway.dialects.algomancy.ids import shown
from trialbook_gateway.dialects.algomancy.loads import LOAD
from trialbook_gateway.dialects.algomancy.parts import Room, room_of
from trialbook_gateway.dialects.algomancy.routes.common import described
from trialbook_gateway.dialects.algomancy.routes.scenarios import ROOM
from trialbook_gateway.dialects.algomancy.segments import NamedRoute
from trialbook_gateway.dialects.algomancy.shape import Run
from trialbook_gateway.reading import pages, seen_in

router = APIRouter(route_class=NamedRoute)
ARCHIVES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The archive", "content": {form.MEDIA_TYPE: {"schema": {"type": "string"}}}}
}
TABLES = "tables"


class _Spec(Protocol):
    params: dict[str, Any]
    inputs: dict[str, str]


class _LoadRun(msgspec.Struct):
    id: str
    status: str
    params: dict[str, Any]


class _LoadPage(msgspec.Struct):
    items: list[_LoadRun]


_loads = msgspec.json.Decoder(_LoadPage).decode


@router.get(ROOM + "/archive", response_class=Response, responses={**described(400), **ARCHIVES})
async def export_session(
    request: Request,
    session_id: str,
    csv: Annotated[bool, Query(description="Also the tables of every dataset as csv.")] = False,
) -> Response:
    """Everything in the session as one ZIP, which ``POST /sessions/import`` reads. What is queued or processed is told
    as it is now.
    """
    room = await room_of(request, session_id)
    folder = Path(tempfile.mkdtemp(prefix="trialbook-archive-"))
    try:
        path = folder / "session.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:
            await _Writer(room, archive, csv=csv).write()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    done = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
    headers = {"Content-Disposition": f"attachment; filename*=utf-8''{quote(room.name[:100], safe='')}.zip"}
    return FileResponse(path, headers=headers, media_type=form.MEDIA_TYPE, background=done)


class _Writer:
    def __init__(self, room: Room, archive: zipfile.ZipFile, *, csv: bool) -> None:
        self._room, self._archive, self._csv = room, archive, csv
        self._files: dict[tuple[str, str], str] = {}
        """(tables, identity) -> file: one per version that is in use."""
        self._datasets: dict[str, str] = {}
        self._versions: dict[str, str] = {}
        self._loads_of: dict[str, str] = {}
        self._others: dict[str, str] = {}
        """Loads of datasets that were copied from other sessions -> the session."""

    async def write(self) -> None:
        """The whole archive; the manifest comes last."""
        parts, workspace = self._room.parts, self._room.caller.workspace
        for number, key in enumerate(await parts.datasets.keys(workspace), 1):
            stored = await parts.datasets.find(workspace, key)
            name = f"datasets/{number}.json"
            self._datasets[name] = key
            await self._dataset(name, stored)
            if self._csv:
                written = await written_as(self._room, stored.content.sha256, "csv", None)
                await self._copy(f"datasets/{number}.csv.zip", self._room.services.blobs.get(written.sha256))
            origin, _, load = stored.content.load.partition("/")
            if load:
                self._loads_of[name] = shown(load)
                if origin != workspace:  # the session is a copy of that one
                    self._others[load] = origin
        scenarios = 0
        async for runs in listing.everything(self._room.services, self._room.caller):
            for run in runs:
                scenarios += 1
                await self._json(f"scenarios/{scenarios}.json", await self._scenario(run))
        loads = 0
        async for record in self._loads():
            loads += 1
            await self._json(f"loads/{loads}.json", record)
        manifest = form.Manifest(
            format=form.FORMAT, version=form.VERSION, display_name=self._room.name,
            exported_at=rfc3339(self._room.services.clock.now()), datasets=self._datasets, versions=self._versions,
            loads_of=self._loads_of, scenarios=scenarios, loads=loads,
        )  # fmt: skip
        await self._json(form.MANIFEST, manifest)

    async def _dataset(self, name: str, stored: Stored) -> None:
        metadata = stored.content.metadata
        self._files[stored.content.sha256, metadata.id] = name
        _, pieces = await self._room.parts.datasets.document(stored)
        await self._copy(name, pieces)

    async def _copy(self, name: str, pieces: AsyncIterator[bytes]) -> None:
        with self._archive.open(name, "w", force_zip64=True) as file:
            async for piece in pieces:
                await asyncio.to_thread(file.write, piece)

    async def _scenario(self, run: Run) -> form.Scenario:
        room = self._room
        state = (await room.services.handler.load(room.caller.aggregate("run", run.id))).state
        parts = room.parts
        told = await executions(room.services, room.caller, parts.profile, parts.results, run.id, run.sequence)
        done = [_execution(one) for one in told]
        if done:
            done[-1] = msgspec.structs.replace(done[-1], progress=shape.progress_of(run))
        return form.Scenario(
            id=shown(run.id), tag=run.name or "", dataset=await self._file(state.spec),
            dataset_key=run.extra.dataset_key,
            algo_name=run.extra.algorithm, parameters=run.extra.parameters, data_params=run.extra.data_parameters,
            created_at=run.created_at, status=shape.status_of(run), runs=done,
        )  # fmt: skip

    async def _file(self, spec: _Spec) -> str:
        """The file of the version that a scenario works on."""
        dataset = spec.params["dataset"]
        sha256 = spec.inputs[TABLES]
        if (sha256, dataset["id"]) not in self._files:
            name = f"versions/{len(self._versions) + 1}.json"
            self._versions[name] = dataset["name"]
            stat = await self._room.services.blobs.stat(sha256)
            content = msgspec.convert(
                {"metadata": dataset, "declared": None, "sha256": sha256, "size": 0 if stat is None else stat.size},
                Content,
            )
            await self._dataset(name, Stored(id="", key=dataset["name"], content=content))
        return self._files[sha256, dataset["id"]]

    async def _loads(self) -> AsyncIterator[dict[str, Any]]:
        room = self._room
        seen = seen_in(room.services, room.caller, 0)
        query = RunList(workload=LOAD, order="created_asc", limit=PAGE_LIMIT, at_least=seen)
        async for answer in pages(room.services, room.caller, query):
            for run in _loads(answer.result or b"{}").items:
                if run.params.get("source") == "files" and run.status in TERMINAL:
                    yield await room.parts.loads.record(room.caller.workspace, run.id)
        for other, origin in self._others.items():
            yield await room.parts.loads.record(origin, other)

    async def _json(self, name: str, value: Any) -> None:
        content = msgspec.json.format(msgspec.json.encode(value), indent=1)
        await asyncio.to_thread(self._archive.writestr, name, content)


def _execution(told: dict[str, Any]) -> form.Execution:
    members = {name: value for name, value in told.items() if name != "number"}
    result = members["result"]
    if isinstance(result, msgspec.Raw):
        members["result"] = msgspec.json.decode(result)
    progress = 100.0 if told["status"] == "complete" else 0.0
    return msgspec.convert({**members, "progress": progress}, form.Execution)
