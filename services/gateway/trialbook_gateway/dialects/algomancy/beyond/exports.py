"""Datasets as files for other programs. A runner writes them, once for each content and form."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from trialbook.domain.run import Retry, RunSpec
from trialbook.domain.run.state import TERMINAL
from trialbook.errors import TimedOut
from trialbook.ids import derived_id
from trialbook.queries import RunGet
from trialbook_gateway.dialects.algomancy.errors import INTERNAL, bad_value, not_found
from trialbook_gateway.dialects.algomancy.loads import DIALECT, EXPORT, LOAD, MAX_LOST
from trialbook_gateway.dialects.algomancy.parts import Room, room_of
from trialbook_gateway.dialects.algomancy.routes.common import described
from trialbook_gateway.dialects.algomancy.routes.data import ONE
from trialbook_gateway.dialects.algomancy.segments import NamedRoute
from trialbook_gateway.idempotency import Idempotency
from trialbook_gateway.ordering import create_run
from trialbook_gateway.problems import HttpRefusal
from trialbook_gateway.reading import read_run

router = APIRouter(route_class=NamedRoute)
Form = Literal["csv", "xlsx", "parquet"]
MAX_TRIES = 3
MEDIA_TYPES = (
    "text/csv", "application/zip", "application/vnd.apache.parquet",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
)  # fmt: skip
FILES = {media_type: {"schema": {"type": "string"}} for media_type in MEDIA_TYPES}


class Written(msgspec.Struct):
    """A stored file; ``size`` in bytes."""

    sha256: str
    size: int
    media_type: str
    extension: str


class _View(msgspec.Struct):
    status: str
    result: Any = None
    error: dict[str, Any] | None = None


_decode = msgspec.json.Decoder(_View).decode


@router.get(ONE + "/export", response_class=Response, responses={**described(400, 422), 200: {"content": FILES}})
async def export_data(
    request: Request,
    session_id: str,
    data_key: str,
    form: Annotated[Form, Query(alias="format")] = "xlsx",
    table: Annotated[str | None, Query(max_length=500, description="One table instead of all.")] = None,
) -> Response:
    """The dataset as a workbook, or as csv or Parquet: one table as it is, all of them in a ZIP."""
    room = await room_of(request, session_id)
    stored = await room.parts.datasets.find(room.caller.workspace, data_key)
    if table is not None and table not in stored.content.metadata.tables:
        raise not_found("Table", table)
    written = await written_as(room, stored.content.sha256, form, table)
    name = quote(f"{data_key if table is None else table}.{written.extension}", safe="")
    headers = {"Content-Length": str(written.size), "Content-Disposition": f"attachment; filename*=utf-8''{name}"}
    return StreamingResponse(room.services.blobs.get(written.sha256), 200, headers, written.media_type)


async def written_as(room: Room, sha256: str, form: Form, table: str | None) -> Written:
    """Tables as a stored file, written now unless they were before.

    Raises 400 for what the form cannot hold, 500, ``TimedOut``.
    """
    params = {"source": EXPORT, "form": form, "table": table}
    spec = RunSpec(
        workload=LOAD, params=params, inputs={"tables": sha256}, title=f"Export {form}", dialect=DIALECT,
        priority="high", retry=Retry(max_attempts=1, max_lost=MAX_LOST),
    )  # fmt: skip
    for number in range(MAX_TRIES):
        id_ = derived_id("algomancy-export", room.caller.workspace, sha256, form, repr(table), str(number))
        view = await _ended(room, spec, id_)
        if view.status == "completed":
            return msgspec.convert(view.result, Written)
        if (view.error or {}).get("code") == "unreadable_data":
            raise bad_value(str((view.error or {}).get("detail", "")))
    raise HttpRefusal(500, "export_failed", INTERNAL)


async def _ended(room: Room, spec: RunSpec, id_: str) -> _View:
    """The run with this id when it has ended; it is started unless it was started before."""
    services, caller = room.services, room.caller
    await create_run(services, caller, spec, Idempotency(id=id_, command_id=f"export-{id_}", digest=id_))
    deadline = services.clock.monotonic() + room.parts.settings.load_wait_s
    while (left := deadline - services.clock.monotonic()) > 0:
        query = RunGet(id=id_, at_least=services.seen_by(caller, "run", id_, 0))
        answer = await read_run(services, caller.workspace, query, min(left, services.settings.max_wait_s))
        view = _decode(answer.result or b"{}")
        if view.status in TERMINAL:
            return view
    raise TimedOut("export_timeout", "The file was not written in time; ask again.")
