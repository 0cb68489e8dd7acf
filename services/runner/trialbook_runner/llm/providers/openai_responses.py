"""OpenAI's responses interface."""

from __future__ import annotations

from typing import Any

import msgspec

from trialbook.llm import LlmSettings, ProviderSettings
from trialbook.llm.usage import Usage
from trialbook_runner.llm.errors import CallFailed
from trialbook_runner.llm.providers.openai_client import make_client, sent_effort, sent_temperature
from trialbook_runner.llm.providers.wall import behind_wall
from trialbook_runner.llm.providers.whole import answered, shaped
from trialbook_runner.llm.requests import Completion, OnText, Request
from trialbook_runner.llm.schemas import strict


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Tokens(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Part(msgspec.Struct):
    type: str = ""
    text: str | None = None
    refusal: str | None = None


class _Item(msgspec.Struct):
    content: list[_Part] | None = None


class _Error(msgspec.Struct):
    message: str = "no reason was given"


class _Reply(msgspec.Struct):
    output: list[_Item]
    error: _Error | None = None
    model: str | None = None
    status: str | None = None
    usage: _Tokens | None = None


class OpenAIResponses:
    """Adapter; the conversation is sent whole with every call and not kept by the provider."""

    def __init__(self, provider: ProviderSettings, settings: LlmSettings) -> None:
        self._client, self._close = make_client(provider, settings)

    def arguments(self, request: Request) -> dict[str, Any]:
        """Names and values by the rules for reasoning models."""
        arguments: dict[str, Any] = {"model": request.model, "max_output_tokens": request.max_tokens, "store": False}
        if (temperature := sent_temperature(request)) is not None:
            arguments["temperature"] = temperature
        if (effort := sent_effort(request)) is not None:
            arguments["reasoning"] = {"effort": effort}
        return arguments

    async def complete(self, request: Request, on_text: OnText | None = None) -> Completion:
        """One call. Raises ``CallFailed``."""
        sent = self.arguments(request)
        sent["input"] = [{"role": m.role, "content": m.content} for m in request.messages]
        if request.output == "schema" and request.schema is not None:
            schema = {"type": "json_schema", "name": request.schema_name, "strict": True}
            sent["text"] = {"format": {**schema, "schema": strict(request.schema)}}
        return await behind_wall(lambda: self._call(sent, on_text))

    async def close(self) -> None:
        """Close the connections."""
        await self._close()

    async def _call(self, sent: dict[str, Any], on_text: OnText | None) -> Completion:
        if on_text is None:
            return _completion(await answered(self._client, "/responses", sent, _Reply), sent["model"])
        final: Any = None
        stream = await self._client.responses.create(**sent, stream=True)
        async with stream:
            async for event in stream:
                if event.type == "response.output_text.delta":
                    on_text(event.delta)
                elif event.type in {"response.completed", "response.incomplete", "response.failed"}:
                    final = event.response
        if final is None:
            raise CallFailed("connection", "the stream ended before the answer was complete")
        return _completion(shaped(final, _Reply), sent["model"])


def _completion(reply: _Reply, model: str) -> Completion:
    if reply.error is not None:
        raise CallFailed("server_error", reply.error.message)
    parts = [part for item in reply.output for part in item.content or []]
    refusals = [part.refusal for part in parts if part.type == "refusal"]
    if refusals:
        raise CallFailed("refused", f"the model refused: {refusals[0]}")
    text = "".join(part.text or "" for part in parts if part.type == "output_text")
    return Completion(text=text, model=reply.model or model, usage=_usage(reply.usage), finish=reply.status or "")


def _usage(tokens: _Tokens | None) -> Usage:
    if tokens is None:
        return Usage()
    read, made = tokens.input_tokens_details or _Details(), tokens.output_tokens_details or _Details()
    return Usage(
        input_tokens=tokens.input_tokens or 0, output_tokens=tokens.output_tokens or 0,
        cached_tokens=read.cached_tokens or 0, reasoning_tokens=made.reasoning_tokens or 0,
    )  # fmt: skip
