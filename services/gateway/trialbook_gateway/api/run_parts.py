"""/v1/runs/{run}/...: facts, logs, metrics, steps, rows."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from trialbook.ids import parse_id
from trialbook.queries import Answer, LogPage, LogView, Page, RunFacts, RunGet, RunLogs, RunMetrics, RunRows
from trialbook.times import parse_moment
from trialbook_gateway import replies
from trialbook_gateway.api.strict import StrictRoute
from trialbook_gateway.openapi import content, operation
from trialbook_gateway.schemas.base import Dated, Id
from trialbook_gateway.schemas.runs import FactsQuery, LogsQuery, MetricsQuery, RowsQuery
from trialbook_gateway.services import Caller, Services, caller_of

router = APIRouter(prefix="/v1/runs/{run}", tags=["runs"], route_class=StrictRoute)
NDJSON, TEXT = "application/x-ndjson", "text/plain"


class RawLogs(msgspec.Struct):
    """A LogPage whose lines stay raw."""

    items: list[msgspec.Raw]
    next_cursor: int
    has_more: bool


class TextLogs(msgspec.Struct):
    """A LogPage for printing."""

    items: list[LogView]


class Steps(msgspec.Struct):
    """The steps of a RunView, raw."""

    steps: msgspec.Raw


async def _begin(request: Request, run: str, query: Dated) -> tuple[Services, Caller, str, int]:
    services, caller = await caller_of(request)
    id_ = parse_id(run, "run id")
    return services, caller, id_, services.seen_by(caller, "run", id_, query.at_least)


@router.get("/facts", summary="The run's facts", **operation(ok={200: content(Page)}))
async def facts(request: Request, run: Id, query: Annotated[FactsQuery, Query()]) -> Response:
    """Ascending; ``after`` pages on."""
    services, caller, id_, at_least = await _begin(request, run, query)
    question = RunFacts(
        id=id_, after=query.after, up_to=query.up_to, limit=query.limit, at_least=at_least, as_of=query.as_of
    )
    answer = await services.ask.ask(caller.workspace, question, services.settings.ask_timeout_s)
    return replies.page(request, answer, "after")


@router.get("/logs", summary="Log lines", **operation(ok={200: content(LogPage, NDJSON, TEXT)}))
async def logs(request: Request, run: Id, query: Annotated[LogsQuery, Query()]) -> Response:
    """The newest lines first asked for, always in ascending order; as JSON, NDJSON or text by Accept."""
    services, caller, id_, at_least = await _begin(request, run, query)
    since_us = int(parse_moment(query.since).timestamp() * 1_000_000) if query.since else None
    question = RunLogs(
        id=id_, after=query.cursor, before=query.before, since_us=since_us, limit=query.limit,
        level=query.level, logger=query.logger, step=query.step, contains=query.q, attempt=query.attempt,
        at_least=at_least, at_least_signals=query.at_least_signals, as_of=query.as_of,
    )  # fmt: skip
    answer = await services.ask.ask(caller.workspace, question, services.settings.ask_timeout_s)
    return _logs_as(replies.accepts(request, replies.JSON, NDJSON, TEXT), answer)


def _logs_as(media_type: str, answer: Answer) -> Response:
    body = replies.result_of(answer)
    headers = {replies.SEQUENCE: str(answer.facts), "Vary": "Accept"}
    if media_type == NDJSON:
        page = msgspec.json.decode(body, type=RawLogs)
        headers["Trialbook-Next-Cursor"] = str(page.next_cursor)
        return replies.raw(b"".join(bytes(item) + b"\n" for item in page.items), 200, headers, NDJSON)
    if media_type == TEXT:
        lines = msgspec.json.decode(body, type=TextLogs).items
        text = "".join(
            f"{line.time} {line.level.upper():7} {line.logger or '-'} {line.message or ''}\n" for line in lines
        )
        return replies.raw(text.encode(), 200, headers, TEXT)
    return replies.raw(body, headers=headers)


@router.get("/metrics", summary="Metric points", **operation(ok={200: content(Page)}))
async def metrics(request: Request, run: Id, query: Annotated[MetricsQuery, Query()]) -> Response:
    """In the order of emission; ``max_points`` thins every metric evenly, keeping its first and last point."""
    services, caller, id_, at_least = await _begin(request, run, query)
    question = RunMetrics(
        id=id_, name=query.name, after=query.cursor, limit=query.limit,
        max_points=query.max_points, at_least=at_least, as_of=query.as_of,
    )  # fmt: skip
    return replies.page(request, await services.ask.ask(caller.workspace, question, services.settings.ask_timeout_s))


@router.get(
    "/steps", summary="Steps by name", **operation(ok={200: {"application/json": {"schema": {"type": "object"}}}})
)
async def steps(request: Request, run: Id, query: Annotated[Dated, Query()]) -> Response:
    """Name -> status, needs, times, result or error."""
    services, caller, id_, at_least = await _begin(request, run, query)
    question = RunGet(id=id_, at_least=at_least, as_of=query.as_of)
    answer = await services.ask.ask(caller.workspace, question, services.settings.ask_timeout_s)
    found = msgspec.json.decode(replies.result_of(answer), type=Steps)
    return replies.raw(bytes(found.steps), headers={replies.SEQUENCE: str(answer.facts)})


@router.get("/rows/{kind}", summary="Rows of a table that the run emitted", **operation(ok={200: content(Page)}))
async def rows(
    request: Request, run: Id, kind: Annotated[str, Path(max_length=200)], query: Annotated[RowsQuery, Query()]
) -> Response:
    """In index order; of the latest attempt unless ``attempt`` names another."""
    services, caller, id_, at_least = await _begin(request, run, query)
    question = RunRows(
        id=id_, kind=kind, attempt=query.attempt, after_index=query.after_index,
        limit=query.limit, at_least=at_least, as_of=query.as_of,
    )  # fmt: skip
    answer = await services.ask.ask(caller.workspace, question, services.settings.ask_timeout_s)
    return replies.page(request, answer, "after_index")
