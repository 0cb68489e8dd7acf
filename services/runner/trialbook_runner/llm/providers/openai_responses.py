"""OpenAI's responses interface."""

from __future__ import annotations

from typing import Any

from trialbook.llm import LlmSettings, ProviderSettings
from trialbook.llm.usage import Usage
from trialbook_runner.llm.errors import CallFailed
from trialbook_runner.llm.providers.openai_client import make_client, sent_effort, sent_temperature
from trialbook_runner.llm.providers.wall import behind_wall
from trialbook_runner.llm.requests import Completion, OnText, Request
from trialbook_runner.llm.schemas import strict


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
            # As a raw member: the client would otherwise walk through the whole schema with every call.
            sent["extra_body"] = {"text": {"format": {**schema, "schema": strict(request.schema)}}}
        return await behind_wall(lambda: self._call(sent, on_text))

    async def close(self) -> None:
        """Close the connections."""
        await self._close()

    async def _call(self, sent: dict[str, Any], on_text: OnText | None) -> Completion:
        if on_text is None:
            return _completion(await self._client.responses.create(**sent), sent["model"])
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
        return _completion(final, sent["model"])


def _completion(reply: Any, model: str) -> Completion:
    output = getattr(reply, "output", None)
    if not isinstance(output, list):
        raise CallFailed("malformed", "the answer has no output")
    error = getattr(reply, "error", None)
    if error is not None:
        raise CallFailed("server_error", str(getattr(error, "message", error)))
    parts = [part for item in output for part in (getattr(item, "content", None) or [])]
    refusals = [part.refusal for part in parts if getattr(part, "type", "") == "refusal"]
    if refusals:
        raise CallFailed("refused", f"the model refused: {refusals[0]}")
    text = "".join(part.text for part in parts if getattr(part, "type", "") == "output_text")
    return Completion(
        text=text, model=getattr(reply, "model", None) or model, usage=_usage(reply.usage),
        finish=str(reply.status or ""),
    )  # fmt: skip


def _usage(usage: Any) -> Usage:
    if usage is None:
        return Usage()
    cached = getattr(getattr(usage, "input_tokens_details", None), "cached_tokens", None)
    reasoning = getattr(getattr(usage, "output_tokens_details", None), "reasoning_tokens", None)
    return Usage(
        input_tokens=usage.input_tokens or 0, output_tokens=usage.output_tokens or 0,
        cached_tokens=cached or 0, reasoning_tokens=reasoning or 0,
    )  # fmt: skip
