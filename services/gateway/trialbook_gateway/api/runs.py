"""/v1/runs: create, list, read."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from trialbook.errors import Invalid
from trialbook.ids import parse_id
from trialbook.queries import Page, RunGet, RunList
from trialbook.times import parse_moment, rfc3339
from trialbook.views import RunView
from trialbook_gateway import replies
from trialbook_gateway.acting import submit
from trialbook_gateway.api.strict import StrictRoute
from trialbook_gateway.idempotency import REPLAYED
from trialbook_gateway.openapi import IDEMPOTENCY_PARAMETER, content, operation
from trialbook_gateway.reading import read_run, seen_in
from trialbook_gateway.schemas.base import Id, QueryModel
from trialbook_gateway.schemas.runs import ChildrenQuery, RunCreate, RunGetQuery, RunListQuery
from trialbook_gateway.services import caller_of
from trialbook_gateway.strictjson import read_json

router = APIRouter(prefix="/v1/runs", tags=["runs"], route_class=StrictRoute)


@router.post(
    "",
    summary="Create a run, and start it unless start is false",
    **operation(ok={201: content(RunView)}, errors=(409,), body=RunCreate, parameters=(IDEMPOTENCY_PARAMETER,)),
)
async def create(request: Request, _: Annotated[QueryModel | None, Query()] = None) -> Response:
    """201 with Location, ETag and Trialbook-Sequence; a repeated Idempotency-Key gives the first reply again."""
    services, caller = await caller_of(request)
    done = await submit(services, caller, request, await read_json(request))
    headers = {
        "Location": f"/v1/runs/{done.run.id}",
        "ETag": replies.etag(done.sequence),
        replies.SEQUENCE: str(done.sequence),
    }
    if done.replayed:
        headers[REPLAYED] = "true"
    return replies.json(done.run, 201, headers)


def labels_of(pairs: list[str]) -> dict[str, str]:
    """``key:value`` pairs as a dictionary. Raises ``Invalid`` (code ``invalid_label``)."""
    found: dict[str, str] = {}
    for pair in pairs:
        key, colon, value = pair.partition(":")
        if not colon or not key or len(pair) > 400:
            raise Invalid("invalid_label", f"{pair[:80]!r} is not a label filter; write key:value.")
        if found.setdefault(key, value) != value:
            raise Invalid("invalid_label", f"The label {key[:80]!r} cannot have two values at once.")
    return found


def time_of(text: str) -> str:
    """A time parameter normalised to RFC 3339 UTC; empty stays empty."""
    return rfc3339(parse_moment(text)) if text else ""


@router.get("", summary="List runs", **operation(ok={200: content(Page)}))
async def index(request: Request, query: Annotated[RunListQuery, Query()]) -> Response:
    """Newest first; Link rel=next leads to the next page."""
    services, caller = await caller_of(request)
    question = RunList(
        at_least=seen_in(services, caller, query.at_least), status=list(query.status), workload=query.workload,
        dialect=query.dialect,
        parent=parse_id(query.parent, "run id") if query.parent else "", labels=labels_of(query.label), search=query.q,
        created_after=time_of(query.created_after), created_before=time_of(query.created_before), order=query.order,
        limit=query.limit, cursor=query.cursor, count=query.count, brief=query.brief, as_of=query.as_of,
    )  # fmt: skip
    return replies.page(request, await services.ask.ask(caller.workspace, question, services.settings.ask_timeout_s))


@router.get("/{run}", summary="Read a run", **operation(ok={200: content(RunView), 304: None}))
async def read(request: Request, run: Id, query: Annotated[RunGetQuery, Query()]) -> Response:
    """``wait`` holds the reply until the run has ended; ``as_of`` looks back; If-None-Match gives 304."""
    services, caller = await caller_of(request)
    id_ = parse_id(run, "run id")
    if query.as_of and query.wait:
        raise Invalid("invalid_parameters", "wait and as_of cannot be combined.")
    at_least = services.seen_by(caller, "run", id_, query.at_least)
    wait_s = min(query.wait, services.settings.max_wait_s)
    answer = await read_run(services, caller.workspace, RunGet(id=id_, at_least=at_least, as_of=query.as_of), wait_s)
    body = replies.result_of(answer)
    seen = replies.brief(body)
    headers = {"ETag": replies.etag(seen.sequence, seen.progress), replies.SEQUENCE: str(answer.facts)}
    if replies.not_modified(request, headers["ETag"]):
        return Response(None, 304, headers)
    return replies.raw(body, headers=headers)


@router.get("/{run}/children", summary="List a run's children", **operation(ok={200: content(Page)}))
async def children(request: Request, run: Id, query: Annotated[ChildrenQuery, Query()]) -> Response:
    """In the order of their creation; 404 when there is no such run."""
    services, caller = await caller_of(request)
    id_, timeout_s = parse_id(run, "run id"), services.settings.ask_timeout_s
    at_least = services.seen_by(caller, "run", id_, query.at_least)
    await read_run(services, caller.workspace, RunGet(id=id_, at_least=at_least, as_of=query.as_of))
    question = RunList(
        at_least=seen_in(services, caller, query.at_least), parent=id_, order="created_asc", status=list(query.status),
        limit=query.limit, cursor=query.cursor, count=query.count, as_of=query.as_of,
    )  # fmt: skip
    return replies.page(request, await services.ask.ask(caller.workspace, question, timeout_s))
