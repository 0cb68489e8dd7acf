"""Anthropic's messages; structured output is one forced tool."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import msgspec

from trialbook.llm import LlmSettings, ProviderSettings
from trialbook.llm.usage import Usage
from trialbook_runner.llm.errors import CallFailed
from trialbook_runner.llm.providers.wall import behind_wall, http_client
from trialbook_runner.llm.providers.whole import answered, shaped
from trialbook_runner.llm.requests import Completion, OnText, Request
from trialbook_runner.llm.schemas import inlined


class _Tokens(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _Block(msgspec.Struct):
    type: str = ""
    text: str | None = None
    input: Any = None


class _Reply(msgspec.Struct):
    content: list[_Block]
    model: str | None = None
    stop_reason: str | None = None
    usage: _Tokens | None = None


class AnthropicMessages:
    """Adapter of Anthropic's interface."""

    def __init__(self, provider: ProviderSettings, settings: LlmSettings) -> None:
        self._client = anthropic.AsyncAnthropic(
            api_key=provider.key.reveal() if provider.key else "", base_url=provider.base_url, max_retries=0,
            timeout=settings.timeout_s, http_client=http_client(settings.timeout_s, settings.concurrency),
        )  # fmt: skip

    def arguments(self, request: Request) -> dict[str, Any]:
        """A number of tokens as effort is a thinking budget; a forced tool excludes thinking."""
        arguments: dict[str, Any] = {"model": request.model, "max_tokens": request.max_tokens}
        budget = request.reasoning_effort
        if request.output == "schema":
            arguments["thinking"] = {"type": "disabled"}
        elif isinstance(budget, int) and budget > 0:
            arguments["thinking"] = {"type": "enabled", "budget_tokens": budget}
        if request.temperature is not None:
            arguments["temperature"] = request.temperature
        return arguments

    async def complete(self, request: Request, on_text: OnText | None = None) -> Completion:
        """One call. Raises ``CallFailed``."""
        sent = self.arguments(request)
        system = "\n\n".join(m.content for m in request.messages if m.role == "system")
        if system:
            sent["system"] = system
        sent["messages"] = [{"role": m.role, "content": m.content} for m in request.messages if m.role != "system"]
        if request.output == "schema" and request.schema is not None:
            name = request.schema_name
            schema = inlined(request.schema)
            sent["tools"] = [{"name": name, "description": f"Give the {name}.", "input_schema": schema}]
            sent["tool_choice"] = {"type": "tool", "name": name, "disable_parallel_tool_use": True}
        return await behind_wall(lambda: self._call(sent, on_text))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _call(self, sent: dict[str, Any], on_text: OnText | None) -> Completion:
        if on_text is None:
            return _completion(await answered(self._client, "/v1/messages", sent, _Reply), sent)
        arguments = dict(sent)
        if "temperature" in arguments:
            # Of the interface, but no longer among the client's parameters.
            arguments["extra_body"] = {"temperature": arguments.pop("temperature")}
        async with self._client.messages.stream(**arguments) as stream:
            async for event in stream:
                if event.type == "text":
                    on_text(event.text)
                elif event.type == "input_json":
                    on_text(event.partial_json)
            reply = await stream.get_final_message()
        if reply.stop_reason is None:
            raise CallFailed("connection", "the stream ended before the answer was complete")
        return _completion(shaped(reply, _Reply), sent)


def _completion(reply: _Reply, sent: dict[str, Any]) -> Completion:
    if reply.stop_reason == "refusal":
        raise CallFailed("refused", "the model refused to answer")
    uses = [block.input for block in reply.content if block.type == "tool_use"]
    texts = [block.text or "" for block in reply.content if block.type == "text"]
    text = json.dumps(uses[0], ensure_ascii=False) if uses and "tools" in sent else "".join(texts)
    return Completion(
        text=text, model=reply.model or sent["model"], usage=_usage(reply.usage), finish=reply.stop_reason or ""
    )


def _usage(tokens: _Tokens | None) -> Usage:
    """Anthropic counts cached tokens apart from the others."""
    if tokens is None:
        return Usage()
    read, written = tokens.cache_read_input_tokens or 0, tokens.cache_creation_input_tokens or 0
    return Usage(
        input_tokens=(tokens.input_tokens or 0) + read + written, output_tokens=tokens.output_tokens or 0,
        cached_tokens=read,
    )  # fmt: skip
