"""/v1/events: the facts of the workspace, as a page, as lines without end of memory, or as a feed."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from trialbook.errors import Invalid
from trialbook.queries import EventFilter, EventLines, EventList, Page
from trialbook.times import parse_moment, rfc3339
from trialbook_gateway import replies
from trialbook_gateway.api.live import LAST_EVENT_ID
from trialbook_gateway.api.strict import StrictRoute
from trialbook_gateway.ledger_lines import LINES_AT_ONCE, first_page, following
from trialbook_gateway.live.sse import MEDIA_TYPE, opened
from trialbook_gateway.openapi import content, operation
from trialbook_gateway.problems import HttpRefusal
from trialbook_gateway.reading import seen_in
from trialbook_gateway.schemas.base import SEQUENCE_MAX
from trialbook_gateway.schemas.history import EventsQuery
from trialbook_gateway.services import Caller, Services, caller_of

router = APIRouter(prefix="/v1/events", tags=["live"], route_class=StrictRoute)
NDJSON = "application/x-ndjson"
PAGE = 100


class RawPage(msgspec.Struct):
    """A page whose facts stay raw."""

    items: list[msgspec.Raw]


@router.get(
    "",
    summary="The workspace's facts",
    **operation(ok={200: content(Page, NDJSON, MEDIA_TYPE), 204: None}, parameters=(LAST_EVENT_ID,)),
)
async def events(request: Request, query: Annotated[EventsQuery, Query()]) -> Response:
    """A page as JSON or NDJSON. NDJSON without ``limit``: everything up to the ledger's present end, as one stream.

    With Accept text/event-stream a feed, resuming after Last-Event-ID: without end, or to ``up_to`` or ``to``.
    """
    services, caller = await caller_of(request)
    question = EventList(
        after=query.after, up_to=query.up_to, types=list(query.type), kind=query.kind, aggregate=query.aggregate,
        actor=query.actor, correlation=query.correlation, since=_time(query.since), until=_time(query.until),
        limit=query.limit or PAGE, at_least=seen_in(services, caller, query.at_least), as_of=query.as_of,
    )  # fmt: skip
    wanted = replies.accepts(request, replies.JSON, NDJSON, MEDIA_TYPE)
    if wanted == MEDIA_TYPE:
        return await _feed(request, services, caller, question)
    await services.ask.must_exist(max(query.after, query.up_to))
    if wanted == NDJSON and query.limit is None:
        return await _everything(services, caller, question)
    answer = await services.ask.ask(caller.workspace, question, services.settings.ask_timeout_s)
    if wanted == NDJSON:
        page = msgspec.json.decode(replies.result_of(answer), type=RawPage)
        lines = b"".join(bytes(item) + b"\n" for item in page.items)
        return replies.raw(lines, headers={replies.SEQUENCE: str(answer.facts), "Vary": "Accept"}, media_type=NDJSON)
    return replies.page(request, answer, "after")


def _time(text: str) -> str:
    return rfc3339(parse_moment(text)) if text else ""


async def _everything(services: Services, caller: Caller, question: EventFilter) -> Response:
    """All that match, one line each; a connection that breaks off without its end has not given everything."""
    members = msgspec.structs.asdict(question) | {"limit": LINES_AT_ONCE}
    lines = EventLines(**members | {"at_least": max(question.at_least, await services.log.last_sequence())})
    page = await first_page(services, caller.workspace, lines)
    headers = {replies.SEQUENCE: str(page.end.up_to), "Vary": "Accept"}
    return StreamingResponse(following(services, caller.workspace, lines, page), 200, headers, NDJSON)


async def _feed(request: Request, services: Services, caller: Caller, question: EventList) -> Response:
    if question.as_of:
        raise Invalid("invalid_parameters", "A feed takes up_to instead of as_of.")
    up_to = question.up_to
    if question.until:
        if question.until > rfc3339(services.clock.now()):
            raise Invalid("future_time", "`to` has not come yet; leave it out to be told what happens until you go.")
        last = await services.log.last_sequence()
        up_to = min(up_to, last) if up_to else last
    after = _resumed(request.headers.get("last-event-id"), question.after)
    await services.ask.must_exist(after)  # a cursor of another ledger would wait for ever
    if up_to and after >= up_to:
        return Response(None, 204)  # a browser comes back after every end until it is told so
    asked = msgspec.structs.replace(question, after=after, up_to=up_to)
    return await opened(services, services.hub.follow_facts(caller.workspace, asked))


def _resumed(last_event_id: str | None, after: int) -> int:
    if not last_event_id:
        return after
    if not (last_event_id.isascii() and last_event_id.isdigit()) or int(last_event_id[:20]) > SEQUENCE_MAX:
        raise HttpRefusal(422, "invalid_cursor", "Last-Event-ID of this feed is a ledger sequence.")
    return int(last_event_id)
