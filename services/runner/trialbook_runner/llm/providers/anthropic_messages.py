"""Anthropic's messages; structured output is one forced tool."""

from __future__ import annotations

import json
from typing import Any

import anthropic

from trialbook.llm import LlmSettings, ProviderSettings
from trialbook.llm.usage import Usage
from trialbook_runner.llm.errors import CallFailed
from trialbook_runner.llm.providers.wall import behind_wall, http_client
from trialbook_runner.llm.requests import Completion, OnText, Request
from trialbook_runner.llm.schemas import inlined


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
            # Of the interface, but no longer among the client's parameters.
            arguments["extra_body"] = {"temperature": request.temperature}
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
            return _completion(await self._client.messages.create(**sent), sent)
        async with self._client.messages.stream(**sent) as stream:
            async for event in stream:
                if event.type == "text":
                    on_text(event.text)
                elif event.type == "input_json":
                    on_text(event.partial_json)
            reply = await stream.get_final_message()
        if reply.stop_reason is None:
            raise CallFailed("connection", "the stream ended before the answer was complete")
        return _completion(reply, sent)


def _completion(reply: Any, sent: dict[str, Any]) -> Completion:
    content = getattr(reply, "content", None)
    if not isinstance(content, list):
        raise CallFailed("malformed", "the answer has no content")
    if reply.stop_reason == "refusal":
        raise CallFailed("refused", "the model refused to answer")
    uses = [block.input for block in content if getattr(block, "type", "") == "tool_use"]
    texts = [block.text for block in content if getattr(block, "type", "") == "text"]
    text = json.dumps(uses[0], ensure_ascii=False) if uses and "tools" in sent else "".join(texts)
    return Completion(
        text=text, model=reply.model or sent["model"], usage=_usage(reply.usage), finish=str(reply.stop_reason or "")
    )


def _usage(usage: Any) -> Usage:
    """Anthropic counts cached tokens apart from the others."""
    if usage is None:
        return Usage()
    read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    return Usage(
        input_tokens=(usage.input_tokens or 0) + read + written, output_tokens=usage.output_tokens or 0,
        cached_tokens=read,
    )  # fmt: skip
