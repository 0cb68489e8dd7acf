"""OpenAI's chat completions: OpenAI itself, Azure OpenAI, and every compatible server."""

from __future__ import annotations

from typing import Any

import msgspec

from trialbook.llm import LlmSettings, ProviderSettings
from trialbook.llm.usage import Usage
from trialbook_runner.llm.errors import CallFailed
from trialbook_runner.llm.providers.openai_client import (
    chat_path,
    is_reasoning,
    make_client,
    sent_effort,
    sent_temperature,
)
from trialbook_runner.llm.providers.wall import behind_wall
from trialbook_runner.llm.providers.whole import answered, shaped
from trialbook_runner.llm.requests import Completion, OnText, Request
from trialbook_runner.llm.schemas import strict


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Tokens(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Reply(msgspec.Struct):
    choices: list[_Choice] = []
    model: str | None = None
    usage: _Tokens | None = None


class OpenAIChat:
    """Adapter of one OpenAI-compatible address."""

    def __init__(self, provider: ProviderSettings, settings: LlmSettings) -> None:
        self._client, self._close = make_client(provider, settings)
        self._provider = provider.name

    def arguments(self, request: Request) -> dict[str, Any]:
        """Names and values by the rules for reasoning models."""
        limit = "max_completion_tokens" if is_reasoning(request.model) else "max_tokens"
        arguments: dict[str, Any] = {"model": request.model, limit: request.max_tokens}
        if (temperature := sent_temperature(request)) is not None:
            arguments["temperature"] = temperature
        if (effort := sent_effort(request)) is not None:
            arguments["reasoning_effort"] = effort
        return arguments

    async def complete(self, request: Request, on_text: OnText | None = None) -> Completion:
        """One call. Raises ``CallFailed``."""
        sent = self.arguments(request)
        sent["messages"] = [{"role": m.role, "content": m.content} for m in request.messages]
        if request.output == "schema" and request.schema is not None:
            schema = {"name": request.schema_name, "strict": True, "schema": strict(request.schema)}
            sent["response_format"] = {"type": "json_schema", "json_schema": schema}
        if on_text is not None:
            return await behind_wall(lambda: self._stream(sent, on_text))
        return await behind_wall(lambda: self._call(sent))

    async def close(self) -> None:
        """Close the connections."""
        await self._close()

    async def _call(self, sent: dict[str, Any]) -> Completion:
        reply = await answered(self._client, chat_path(self._provider, sent["model"]), sent, _Reply)
        if not reply.choices:
            raise CallFailed("malformed", "the answer has no choices")
        message, finish = reply.choices[0].message, reply.choices[0].finish_reason or ""
        if message.refusal:
            raise CallFailed("refused", f"the model refused: {message.refusal}")
        _check_finish(finish)
        return Completion(
            text=message.content or "", model=reply.model or sent["model"], usage=_usage(reply.usage), finish=finish
        )

    async def _stream(self, sent: dict[str, Any], on_text: OnText) -> Completion:
        pieces: list[str] = []
        finish, usage, model = "", Usage(), str(sent["model"])
        stream = await self._client.chat.completions.create(**sent, stream=True, stream_options={"include_usage": True})
        async with stream:
            async for chunk in stream:
                model = chunk.model or model
                if chunk.usage is not None:
                    usage = _usage(shaped(chunk.usage, _Tokens))
                if chunk.choices:
                    finish = str(chunk.choices[0].finish_reason or finish)
                    if piece := chunk.choices[0].delta.content:
                        pieces.append(piece)
                        on_text(piece)
        if not finish:
            raise CallFailed("connection", "the stream ended before the answer was complete")
        _check_finish(finish)
        return Completion(text="".join(pieces), model=model, usage=usage, finish=finish)


def _check_finish(finish: str) -> None:
    if finish == "content_filter":
        raise CallFailed("refused", "the answer was withheld by the provider's content filter")


def _usage(tokens: _Tokens | None) -> Usage:
    if tokens is None:
        return Usage()
    read, made = tokens.prompt_tokens_details or _Details(), tokens.completion_tokens_details or _Details()
    return Usage(
        input_tokens=tokens.prompt_tokens or 0, output_tokens=tokens.completion_tokens or 0,
        cached_tokens=read.cached_tokens or 0, reasoning_tokens=made.reasoning_tokens or 0,
    )  # fmt: skip
