"""/v1/events: the facts of the workspace, as a page or as a feed."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from trialbook.queries import EventList, Page
from trialbook_gateway import replies
from trialbook_gateway.api.live import LAST_EVENT_ID
from trialbook_gateway.api.strict import StrictRoute
from trialbook_gateway.live.sse import MEDIA_TYPE, opened
from trialbook_gateway.openapi import content, operation
from trialbook_gateway.problems import HttpRefusal
from trialbook_gateway.reading import seen_in
from trialbook_gateway.schemas.base import SEQUENCE_MAX
from trialbook_gateway.schemas.items import EventsQuery
from trialbook_gateway.services import caller_of

router = APIRouter(prefix="/v1/events", tags=["live"], route_class=StrictRoute)
NDJSON = "application/x-ndjson"


class RawPage(msgspec.Struct):
    """A page whose facts stay raw."""

    items: list[msgspec.Raw]


@router.get(
    "",
    summary="The workspace's facts",
    **operation(ok={200: content(Page, NDJSON, MEDIA_TYPE)}, parameters=(LAST_EVENT_ID,)),
)
async def events(request: Request, query: Annotated[EventsQuery, Query()]) -> Response:
    """A page as JSON or NDJSON; with Accept text/event-stream a feed without end, resuming after Last-Event-ID."""
    services, caller = await caller_of(request)
    question = EventList(
        after=query.after, up_to=query.up_to, types=list(query.type), kind=query.kind, aggregate=query.aggregate,
        limit=query.limit, at_least=seen_in(services, caller, query.at_least),
    )  # fmt: skip
    wanted = replies.accepts(request, replies.JSON, NDJSON, MEDIA_TYPE)
    if wanted == MEDIA_TYPE:
        after = _resumed(request.headers.get("last-event-id"), query.after)
        await services.ask.must_exist(after)  # a cursor of another ledger would wait for ever
        following = services.hub.follow_facts(caller.workspace, msgspec.structs.replace(question, after=after))
        return await opened(services, following)
    await services.ask.must_exist(max(query.after, query.up_to))
    answer = await services.ask.ask(caller.workspace, question, services.settings.ask_timeout_s)
    if wanted == NDJSON:
        page = msgspec.json.decode(replies.result_of(answer), type=RawPage)
        lines = b"".join(bytes(item) + b"\n" for item in page.items)
        return replies.raw(lines, headers={replies.SEQUENCE: str(answer.facts), "Vary": "Accept"}, media_type=NDJSON)
    return replies.page(request, answer, "after")


def _resumed(last_event_id: str | None, after: int) -> int:
    if not last_event_id:
        return after
    if not (last_event_id.isascii() and last_event_id.isdigit()) or int(last_event_id[:20]) > SEQUENCE_MAX:
        raise HttpRefusal(422, "invalid_cursor", "Last-Event-ID of this feed is a ledger sequence.")
    return int(last_event_id)
