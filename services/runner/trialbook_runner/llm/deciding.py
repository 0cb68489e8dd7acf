"""Structured decisions: an object that fits a schema, repaired with the model's help, from any provider."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from trialbook_runner.llm.caller import Caller, Observe
from trialbook_runner.llm.errors import CallFailed, DecisionFailed
from trialbook_runner.llm.requests import ChatMessage, Completion, Options, Request
from trialbook_runner.llm.schemas import NotAnObject, in_words, parse_object

ATTEMPTS = 3
CUT_OFF = {"length", "max_tokens", "MAX_TOKENS", "incomplete"}
Check = Callable[[dict[str, Any]], None]
"""A further check of the object; raises ``ValueError`` with a text for the model."""


class Decider:
    """Asks for objects. Remembers per scope that a model cannot be held to a schema and then asks in words."""

    def __init__(self, caller: Caller, options: Options | None = None, attempts: int = ATTEMPTS) -> None:
        self._caller = caller
        self._options = options or Options()
        self._attempts = attempts
        # Per scope: a memory shared by scopes would make requests depend on how they interleave.
        self._in_words: set[tuple[str, str, str]] = set()

    async def decide(
        self,
        agent: str,
        messages: Sequence[ChatMessage],
        schema_name: str,
        schema: dict[str, Any],
        *,
        scope: str | None = None,
        check: Check | None = None,
        observe: Observe | None = None,
        options: Options | None = None,
    ) -> dict[str, Any]:
        """The object. Raises ``DecisionFailed`` after the last attempt, ``CallFailed`` for what no attempt can mend,
        ``BudgetExceeded`` and, in a replay, ``Divergence``.
        """
        conversation, chosen = list(messages), options or self._options
        failure = ""
        for _ in range(self._attempts):
            request = self._request(scope or agent, conversation, chosen, schema_name, schema)
            try:
                request, completion = await self._complete(agent, scope or agent, request, observe)
            except CallFailed as failed:
                if not failed.transient and failed.kind != "refused":
                    raise
                failure = failed.detail
                continue
            try:
                value = parse_object(completion.text, schema)
                if check is not None:
                    check(value)
            except ValueError as error:
                failure = _explained(error, completion)
                conversation += _repair(completion.text, failure)
            else:
                return value
        raise DecisionFailed(f"No valid {schema_name} after {self._attempts} attempts: {failure}")

    def _request(
        self, scope: str, messages: list[ChatMessage], options: Options, name: str, schema: dict[str, Any]
    ) -> Request:
        request = self._caller.request(messages, options, output="schema", schema_name=name, schema=schema)
        return _worded(request) if (scope, request.provider, request.model) in self._in_words else request

    async def _complete(
        self, agent: str, scope: str, request: Request, observe: Observe | None
    ) -> tuple[Request, Completion]:
        """One call; a model without schemas is asked once more in words, which costs no attempt."""
        try:
            return request, await self._caller.complete(agent, request, scope=scope, observe=observe)
        except CallFailed as failed:
            if failed.kind != "unsupported" or request.output != "schema":
                raise
        self._in_words.add((scope, request.provider, request.model))
        worded = _worded(request)
        return worded, await self._caller.complete(agent, worded, scope=scope, observe=observe)


def _worded(request: Request) -> Request:
    """The same request with the schema in the first message instead of in the protocol."""
    assert request.schema is not None, "a decision has a schema"
    system = ChatMessage("system", in_words(request.schema))
    return msgspec.structs.replace(request, messages=[system, *request.messages], output="json_text")


def _repair(text: str, failure: str) -> list[ChatMessage]:
    """The model's own words and what is wrong with them; an empty message is refused by some providers."""
    said = [ChatMessage("assistant", text)] if text.strip() else []
    return [*said, ChatMessage("user", f"{failure}\nCorrect this and answer again with the complete object.")]


def _explained(error: ValueError, completion: Completion) -> str:
    if isinstance(error, NotAnObject) and completion.finish in CUT_OFF:
        return f"{error} (the answer was cut off at the limit of output tokens; be brief)"
    return str(error)
