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
from trialbook_gateway.direct.verb import Command, Verb
from trialbook_gateway.direct.verbs import VERBS
from trialbook_gateway.request_id import HEADER as REQUEST_ID
from trialbook_gateway.request_id import request_id_of, traceparent_of
from trialbook_gateway.services import Caller, Services
from trialbook_gateway.strictjson import parse


async def carry_out(services: Services, asked: Asked) -> Answered:
    """The outcome of a command. Raises what HTTP would refuse."""
    verb, arguments = _verb(asked.name)
    message = asked.message
    headers = Headers({key: value for key, value in (message.headers or {}).items() if _plain(key, value)})
    caller = caller_of(services, asked, headers)
    services.must_be_intact()
    await services.workspaces.require(asked.workspace)
    if verb.seals:
        caller = caller.keeping(await services.data_subjects.key_for(headers, caller.workspace, caller.meta))
    body = message.data if verb.body is None else parse(message.data or b"{}")
    command = Command(caller, asked.user, headers, body, arguments)
    return Answered(msgspec.json.encode(await verb.carry_out(services, command)))


def _verb(name: str) -> tuple[Verb, tuple[str, ...]]:
    """A verb and its arguments. Raises ``NotFound`` (code ``unknown_command``)."""
    kind, _, rest = name.partition(".")
    action, *arguments = rest.split(".")
    verb = VERBS.get(f"{kind}.{action}")
    if verb is None or len(arguments) != len(verb.arguments):
        known = (".".join((known, *(f"<{part}>" for part in verb.arguments))) for known, verb in VERBS.items())
        raise NotFound("unknown_command", f"There is no command {name[:80]!r}; there are {', '.join(known)}.")
    return verb, tuple(arguments)


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
