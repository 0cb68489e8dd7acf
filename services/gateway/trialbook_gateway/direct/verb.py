"""What a verb is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

import msgspec
from pydantic import Field

from trialbook_gateway.schemas.base import Body
from trialbook_gateway.services import Caller, Services

ItemId = Annotated[str, Field(max_length=36)]


class Command(msgspec.Struct, frozen=True):
    """A command that came in: who sent it, in which workspace, with which headers and JSON.

    Of a verb that takes bytes, ``body`` are those, and ``arguments`` what stands behind the verb in the subject.
    """

    caller: Caller
    user: str
    headers: Mapping[str, str]
    body: Any
    arguments: tuple[str, ...] = ()


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """What was done: ``result`` by verb; ``sequence`` of the last fact, 0 where no fact was appended."""

    result: Any = None
    sequence: int = 0
    replayed: bool = False


Handler = Callable[[Services, Command], Awaitable[Carried]]


class Verb(msgspec.Struct, frozen=True):
    """A verb: what it does, the model of its body (None: bytes), the type of its result."""

    carry_out: Handler
    body: type[Body] | None
    result: Any
    summary: str
    arguments: tuple[str, ...] = ()
    """Names of the tokens behind it in the subject."""
    seals: bool = True
    """Whether the header ``Trialbook-Data-Subject`` is heeded, as in HTTP by all but reading and deleting."""


class Which(Body):
    """Which one."""

    id: ItemId


class Nothing(Body):
    """No members."""
