"""/v1/audit/trail/{id}: the story of one thing, as JSON, text or a page."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from trialbook.history import Trail
from trialbook.queries import AuditTrail
from trialbook_gateway import replies
from trialbook_gateway.api.strict import StrictRoute
from trialbook_gateway.openapi import content, operation
from trialbook_gateway.reading import seen_in
from trialbook_gateway.schemas.history import TrailQuery
from trialbook_gateway.services import caller_of
from trialbook_gateway.trail import page
from trialbook_gateway.trail.story import Story, story_of

router = APIRouter(prefix="/v1/audit", tags=["audit"], route_class=StrictRoute)
HTML, TEXT = "text/html", "text/plain"
Meant = Annotated[str, Path(max_length=200, description="Id or name of a run, file, dataset, model or workspace; the "
                            "id of a request (correlation) or of a fact.")]  # fmt: skip


@router.get("/trail/{id:path}", summary="The story of one thing", **operation(ok={200: content(Story, HTML, TEXT)}))
async def trail(request: Request, id: Meant, query: Annotated[TrailQuery, Query()]) -> Response:  # noqa: A002 -- the path's name
    """Who did what when, why and where, in order; ``after`` pages on. By Accept: JSON, text/html or text/plain."""
    services, caller = await caller_of(request)
    question = AuditTrail(
        id=id, after=query.after, limit=query.limit, at_least=seen_in(services, caller, query.at_least),
        as_of=query.as_of,
    )  # fmt: skip
    answer = await services.ask.ask(caller.workspace, question, services.settings.ask_timeout_s)
    story = story_of(msgspec.json.decode(replies.result_of(answer), type=Trail))
    headers = {replies.SEQUENCE: str(answer.facts), "Vary": "Accept"}
    if story.next_cursor is not None:
        headers["Link"] = replies.next_link(request, "after", story.next_cursor)
    wanted = replies.accepts(request, replies.JSON, HTML, TEXT)
    if wanted == HTML:
        return replies.raw(page.html(story).encode(), 200, headers | page.HEADERS, "text/html; charset=utf-8")
    if wanted == TEXT:
        return replies.raw(page.text(story).encode(), 200, headers, "text/plain; charset=utf-8")
    return replies.json(story, headers=headers)
