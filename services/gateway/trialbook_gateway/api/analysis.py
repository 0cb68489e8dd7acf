"""/v1/sql and /v1/metrics/compare: questions over many runs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from trialbook.ids import parse_id
from trialbook.queries import MetricCompare, Sql, SqlResult
from trialbook_gateway import replies
from trialbook_gateway.api.strict import StrictRoute
from trialbook_gateway.openapi import content, operation
from trialbook_gateway.problems import malformed
from trialbook_gateway.reading import seen_in
from trialbook_gateway.schemas.base import DatedQuery
from trialbook_gateway.schemas.items import CompareQuery, SqlIn
from trialbook_gateway.services import caller_of
from trialbook_gateway.strictjson import into, media_type_of, read_model

router = APIRouter(prefix="/v1", tags=["analysis"], route_class=StrictRoute)
ARROW, CSV, PARQUET = "application/vnd.apache.arrow.stream", "text/csv", "application/vnd.apache.parquet"
FORMATS = {replies.JSON: "json", ARROW: "arrow", CSV: "csv", PARQUET: "parquet"}
TEXT_BODY = {"text/plain": {"schema": {"type": "string", "minLength": 1}}}
LISTED = {"application/json": {"schema": {"type": "array", "items": {"type": "object"}}}}
MARGIN_S = 2.0


async def _order(request: Request) -> SqlIn:
    if media_type_of(request) != "text/plain":
        return await read_model(request, SqlIn)
    try:
        return into(SqlIn, {"sql": (await request.body()).decode()})
    except UnicodeDecodeError:
        raise malformed("The statement is not UTF-8.") from None


@router.post(
    "/sql",
    summary="One SELECT over the workspace's tables",
    **operation(ok={200: content(SqlResult, ARROW, CSV, PARQUET)}, errors=(403,), body=SqlIn, bodies=TEXT_BODY),
)
async def sql(request: Request, query: Annotated[DatedQuery, Query()]) -> Response:
    """JSON, Arrow stream, CSV or Parquet by Accept; at most ``max_rows`` rows and ``timeout_s`` seconds."""
    services, caller = await caller_of(request)
    order = await _order(request)
    as_of = order.as_of or query.as_of
    format_ = FORMATS[replies.accepts(request, *FORMATS)]
    question = Sql(
        sql=order.sql, params=order.params, format=format_, max_rows=order.max_rows, timeout_s=order.timeout_s,  # type: ignore[arg-type]
        at_least=seen_in(services, caller, order.at_least), as_of=as_of,
    )  # fmt: skip
    body, media_type = await services.ask.ask_bytes(caller.workspace, question, order.timeout_s + MARGIN_S)
    return replies.raw(body, headers={"Vary": "Accept"}, media_type=media_type)


@router.get("/metrics/compare", summary="One metric over many runs", **operation(ok={200: LISTED}))
async def compare(request: Request, query: Annotated[CompareQuery, Query()]) -> Response:
    """Last, least, greatest, count and evenly chosen points for every run."""
    services, caller = await caller_of(request)
    runs = [parse_id(run, "run id") for run in query.run]
    at_least = seen_in(services, caller, query.at_least)
    question = MetricCompare(
        metric=query.metric, runs=runs, max_points=query.max_points, at_least=at_least, as_of=query.as_of
    )
    answer = await services.ask.ask(caller.workspace, question, services.settings.ask_timeout_s)
    return replies.raw(replies.result_of(answer), headers={replies.SEQUENCE: str(answer.facts)})
