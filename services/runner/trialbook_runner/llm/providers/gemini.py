"""Google's Gemini by its developer interface."""

from __future__ import annotations

from typing import Any

from google import genai
from google.genai import types

from trialbook.llm import LlmSettings, ProviderSettings
from trialbook.llm.usage import Usage
from trialbook_runner.llm.errors import CallFailed
from trialbook_runner.llm.providers.wall import behind_wall, http_client
from trialbook_runner.llm.requests import Completion, OnText, Request
from trialbook_runner.llm.schemas import for_gemini

WITHHELD = {"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"}


class Gemini:
    """Adapter of Gemini's interface."""

    def __init__(self, provider: ProviderSettings, settings: LlmSettings) -> None:
        self._wire = http_client(settings.timeout_s, settings.concurrency)
        options = types.HttpOptions(
            base_url=provider.base_url, timeout=max(1, int(settings.timeout_s * 1000)),
            httpx_async_client=self._wire, retry_options=types.HttpRetryOptions(attempts=1),
        )  # fmt: skip
        key = provider.key.reveal() if provider.key else ""
        self._client = genai.Client(api_key=key, vertexai=False, http_options=options)

    def arguments(self, request: Request) -> dict[str, Any]:
        """A number of tokens as effort is a thinking budget."""
        arguments: dict[str, Any] = {"max_output_tokens": request.max_tokens}
        if request.temperature is not None:
            arguments["temperature"] = request.temperature
        if isinstance(request.reasoning_effort, int):
            arguments["thinking_config"] = types.ThinkingConfig(thinking_budget=request.reasoning_effort)
        if request.output == "schema":
            arguments["response_mime_type"] = "application/json"
        return arguments

    async def complete(self, request: Request, on_text: OnText | None = None) -> Completion:
        """One call. Raises ``CallFailed``."""
        config: dict[str, Any] = self.arguments(request)
        system = "\n\n".join(m.content for m in request.messages if m.role == "system")
        if system:
            config["system_instruction"] = system
        if request.output == "schema" and request.schema is not None:
            config["response_schema"] = for_gemini(request.schema)
        contents = [
            {"role": "model" if m.role == "assistant" else "user", "parts": [{"text": m.content}]}
            for m in request.messages
            if m.role != "system"
        ]
        sent = {"model": request.model, "contents": contents, "config": types.GenerateContentConfig(**config)}
        return await behind_wall(lambda: self._call(sent, on_text))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aio.aclose()
        self._client.close()
        await self._wire.aclose()

    async def _call(self, sent: dict[str, Any], on_text: OnText | None) -> Completion:
        if on_text is None:
            reply = await self._client.aio.models.generate_content(**sent)
            return _completion(_text(reply), reply, sent["model"])
        pieces: list[str] = []
        last: Any = None
        async for chunk in await self._client.aio.models.generate_content_stream(**sent):
            last = chunk
            if piece := _text(chunk):
                pieces.append(piece)
                on_text(piece)
        if last is None or not _finish(last):
            raise CallFailed("connection", "the stream ended before the answer was complete")
        return _completion("".join(pieces), last, sent["model"])


def _text(reply: Any) -> str:
    """The text of the first candidate, without the model's thoughts."""
    candidates = reply.candidates or []
    parts = candidates[0].content.parts if candidates and candidates[0].content else None
    return "".join(part.text for part in parts or [] if part.text and not part.thought)


def _finish(reply: Any) -> str:
    reason = reply.candidates[0].finish_reason if reply.candidates else None
    return str(getattr(reason, "value", reason) or "")


def _completion(text: str, reply: Any, model: str) -> Completion:
    feedback = reply.prompt_feedback
    if feedback is not None and feedback.block_reason is not None:
        raise CallFailed("refused", f"the prompt was refused: {feedback.block_reason.value}")
    if not reply.candidates:
        raise CallFailed("malformed", "the answer has no candidates")
    finish = _finish(reply)
    if finish in WITHHELD:
        raise CallFailed("refused", f"the answer was withheld: {finish}")
    if not text and not finish:
        raise CallFailed("malformed", "the answer has neither a text nor a reason for its end")
    return Completion(text=text, model=reply.model_version or model, usage=_usage(reply.usage_metadata), finish=finish)


def _usage(usage: Any) -> Usage:
    """Gemini counts thoughts apart from the answer."""
    if usage is None:
        return Usage()
    thoughts = usage.thoughts_token_count or 0
    return Usage(
        input_tokens=usage.prompt_token_count or 0, output_tokens=(usage.candidates_token_count or 0) + thoughts,
        cached_tokens=usage.cached_content_token_count or 0, reasoning_tokens=thoughts,
    )  # fmt: skip
