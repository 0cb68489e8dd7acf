"""What files, datasets and models have in common: lists and single views from the projector."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from fastapi import Request
from starlette.responses import Response

from trialbook.aggregates import AGGREGATES
from trialbook.envelope import AggregateId
from trialbook.errors import NotFound
from trialbook.ids import parse_id
from trialbook.queries import ItemGet, ItemList, ItemView
from trialbook_gateway import replies
from trialbook_gateway.reading import seen_in
from trialbook_gateway.schemas.base import Dated
from trialbook_gateway.schemas.items import ItemListQuery
from trialbook_gateway.services import Caller, Services, caller_of

Kind = Literal["file", "dataset", "model"]


async def item_page(request: Request, kind: Kind, query: ItemListQuery) -> Response:
    """A page of ItemView."""
    services, caller = await caller_of(request)
    at_least = seen_in(services, caller, query.at_least)
    question = ItemList(
        kind=kind, search=query.q, limit=query.limit, cursor=query.cursor, at_least=at_least, as_of=query.as_of
    )
    return replies.page(request, await services.ask.ask(caller.workspace, question, services.settings.ask_timeout_s))


async def item_view(request: Request, kind: Kind, item: str, query: Dated) -> Response:
    """One ItemView with its ETag."""
    services, caller = await caller_of(request)
    id_ = parse_id(item, f"{kind} id")
    at_least = services.seen_by(caller, kind, id_, query.at_least)
    question = ItemGet(kind=kind, id=id_, at_least=at_least, as_of=query.as_of)
    answer = await services.ask.ask(caller.workspace, question, services.settings.ask_timeout_s)
    body = replies.result_of(answer)
    tag = replies.etag(msgspec.json.decode(body, type=_Head).sequence)
    headers = {"ETag": tag, replies.SEQUENCE: str(answer.facts)}
    return Response(None, 304, headers) if replies.not_modified(request, tag) else replies.raw(body, headers=headers)


class _Head(msgspec.Struct):
    sequence: int


async def state_at(request: Request, kind: Kind, item: str, as_of: str) -> Any:
    """The state in the ledger, or as it was at a moment. Raises ``NotFound`` when it does not exist or is deleted."""
    services, caller = await caller_of(request)
    return await state_in(services, caller, kind, item, as_of)


async def state_in(services: Services, caller: Caller, kind: Kind, item: str, as_of: str) -> Any:
    """As ``state_at``, for a caller."""
    if not as_of:
        return (await found(services, caller, kind, item))[1]
    question = ItemGet(kind=kind, id=parse_id(item, f"{kind} id"), as_of=as_of)
    answer = await services.ask.ask(caller.workspace, question, services.settings.ask_timeout_s)
    view = msgspec.json.decode(replies.result_of(answer), type=ItemView)
    return msgspec.convert(view.data, type(AGGREGATES[kind].decider.initial()))


async def found(services: Services, caller: Caller, kind: Kind, item: str) -> tuple[AggregateId, Any]:
    """The state in the ledger. Raises ``NotFound`` when it does not exist or is deleted."""
    aggregate = caller.aggregate(kind, parse_id(item, f"{kind} id"))
    state = (await services.handler.load(aggregate)).state
    if not state.exists or state.deleted:
        raise NotFound(
            f"{kind}_not_found", f"There is no such {kind} in this workspace; list them to see those there are."
        )
    return aggregate, state


def view_of(aggregate: AggregateId, sequence: int, state: Any) -> ItemView:
    """The view of a state that was just decided, in the projector's shape."""
    return ItemView(
        kind=aggregate.kind, id=aggregate.id, workspace=aggregate.workspace, sequence=sequence,
        data=msgspec.to_builtins(state),
    )  # fmt: skip
