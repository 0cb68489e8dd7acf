"""What the scripted server says, and how it fails."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from trialbook.errors import Invalid
from trialbook.testing.llm.asked import Asked

FaultKind = Literal[
    "status",
    "timeout",
    "slow_stream",
    "malformed_body",
    "malformed_text",
    "no_tools",
    "wrong_schema",
    "drop",
    "echo_key",
]
Content = str | dict[str, Any] | list[Any]


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to fail.

    ``status`` answers with ``status``, ``message`` and ``retry_after_s``; ``timeout`` says nothing for ``delay_s``;
    ``slow_stream`` waits ``delay_s`` before every piece; ``malformed_body`` sends half of the HTTP body's JSON;
    ``malformed_text`` a text that is no JSON; ``no_tools`` refuses schemas and tools with 400, and nothing else;
    ``wrong_schema`` an object that fits no schema; ``drop`` breaks the connection in the middle of the answer;
    ``echo_key`` quotes the caller's key in an error with ``status``.
    """

    kind: FaultKind
    status: Annotated[int, Meta(ge=400, le=599)] = 500
    message: str = "injected fault"
    retry_after_s: float | None = None
    delay_s: Annotated[float, Meta(ge=0)] = 0.05


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An answer: a text, or an object that is sent as JSON (for Anthropic as the tool's input). Tokens default to a
    quarter of the characters.
    """

    content: Content = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    delay_s: float = 0.0
    fault: Fault | None = None


Answer = Content | Reply
Respond = Callable[[Asked], Answer]
Match = str | Callable[[Asked], bool] | None


class Rule(msgspec.Struct, kw_only=True):
    """Answers the requests that ``match``: a regular expression found in the prompt, a function, or None for all.

    ``times`` bounds how often it is used; None is always.
    """

    match: Match = None
    reply: Answer | Respond = ""
    fault: Fault | None = None
    times: int | None = None
    delay_s: float = 0.0
    used: int = 0

    def takes(self, asked: Asked) -> bool:
        """Whether the rule answers this request."""
        if self.times is not None and self.used >= self.times:
            return False
        if self.fault is not None and self.fault.kind == "no_tools" and asked.schema is None:
            return False
        if self.match is None:
            return True
        if isinstance(self.match, str):
            return re.search(self.match, asked.prompt, re.DOTALL) is not None
        return self.match(asked)

    def answer(self, asked: Asked) -> Reply:
        """The answer; counts the use."""
        self.used += 1
        made = self.reply(asked) if callable(self.reply) else self.reply
        reply = made if isinstance(made, Reply) else Reply(content=made)
        return msgspec.structs.replace(reply, fault=self.fault or reply.fault, delay_s=self.delay_s or reply.delay_s)


class Script:
    """Rules in order: the first that takes a request answers it."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = list(rules)

    def answer(self, asked: Asked) -> Reply:
        """The answer; a request that no rule takes is refused with 400."""
        for rule in self.rules:
            if rule.takes(asked):
                return rule.answer(asked)
        return Reply(fault=Fault(kind="status", status=400, message="no rule of the script matches this prompt"))


class _Written(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A rule as it stands in a file."""

    match: str | None = None
    reply: Content = ""
    fault: Fault | None = None
    times: Annotated[int, Meta(ge=1)] | None = None
    delay_s: Annotated[float, Meta(ge=0)] = 0.0


def load_rules(file: Path) -> list[Rule]:
    """The rules of a JSON file: a list of objects ``match, reply, fault, times, delay_s``. Raises ``Invalid``."""
    try:
        written = msgspec.json.decode(file.read_bytes(), type=list[_Written])
        for rule in written:
            re.compile(rule.match or "")
    except (OSError, msgspec.MsgspecError, re.error) as error:
        raise Invalid("invalid_rules", f"{file}: {error}") from error
    return [Rule(match=w.match, reply=w.reply, fault=w.fault, times=w.times, delay_s=w.delay_s) for w in written]
