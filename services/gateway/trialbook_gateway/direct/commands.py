"""Commands of users on NATS: what each verb's handler does, in the user's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.datastructures import Headers

from trialbook.errors import NotFound
from trialbook.outside import actor
from trialbook_gateway.auth import Principal
from trialbook_gateway.direct.desk import Answered, Asked
from trialbook_gateway.direct.verbs import VERBS, Command
from trialbook_gateway.request_id import HEADER as REQUEST_ID
from trialbook_gateway.request_id import request_id_of, traceparent_of
from trialbook_gateway.services import Caller, Services
from trialbook_gateway.strictjson import parse


async def carry_out(services: Services, asked: Asked) -> Answered:
    """The outcome of a command. Raises what HTTP would refuse."""
    verb = VERBS.get(asked.name)
    if verb is None:
        raise NotFound("unknown_command", f"There is no command {asked.name[:80]!r}; there are {', '.join(VERBS)}.")
    message = asked.message
    headers = Headers({key: value for key, value in (message.headers or {}).items() if _plain(key, value)})
    caller = caller_of(services, asked, headers)
    services.must_be_intact()
    await services.workspaces.require(asked.workspace)
    body = parse(message.data or b"{}")
    return Answered(msgspec.json.encode(await verb.carry_out(services, Command(caller, asked.user, headers, body))))


def caller_of(services: Services, asked: Asked, headers: Mapping[str, str]) -> Caller:
    """Who asks: one who may do what a token limited to this workspace may."""
    request_id = request_id_of(headers.get(REQUEST_ID, "").encode()) or services.ids.new()
    principal = Principal(actor(asked.user), frozenset({asked.workspace}))
    return Caller(principal, asked.workspace, request_id, traceparent_of(headers.get("traceparent", "").encode()))


def _plain(key: Any, value: Any) -> bool:
    """Whether a header is text that HTTP headers could be as well."""
    return isinstance(key, str) and isinstance(value, str) and key.isascii() and _latin(value)


def _latin(value: str) -> bool:
    return all(ord(character) < 256 for character in value)
