"""Answers that no provider should give and some server will: none passes for an answer, and none breaks the caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from tests.llm.support import KEY, WIRES, rig
from trialbook.clock import SystemClock
from trialbook.llm import LlmSettings, llm_settings
from trialbook.testing.llm import Asked, Rule
from trialbook.testing.llm.http import head, read_request
from trialbook.testing.llm.wires import Said, api_of, events, read, whole
from trialbook_runner.llm import Caller, CallFailed, ChatMessage, MemoryEffects, Options, Providers, load_prices

Wire = tuple[str, str]
every_wire = pytest.mark.parametrize("wire", WIRES, ids="-".join)
ONCE = {"connection": "close"}
JSON = {"content-type": "application/json", **ONCE}
STREAM = {"content-type": "text/event-stream", **ONCE}


def _changed(value: Any, place: list[Any], new: Any) -> Any:
    """A copy with another value at a place."""
    if not place:
        return new
    copy = value.copy()
    copy[place[0]] = _changed(value[place[0]], place[1:], new)
    return copy


PLACES: dict[str, dict[str, list[Any]]] = {
    "openai_chat": {
        "text": ["choices", 0, "message", "content"], "answers": ["choices"], "tokens": ["usage", "prompt_tokens"],
        "usage": ["usage"], "finish": ["choices", 0, "finish_reason"], "model": ["model"],
    },
    "openai_responses": {
        "text": ["output", 0, "content", 0, "text"], "answers": ["output"], "tokens": ["usage", "input_tokens"],
        "usage": ["usage"], "finish": ["status"], "model": ["model"],
    },
    "anthropic": {
        "text": ["content", 0, "text"], "answers": ["content"], "tokens": ["usage", "input_tokens"],
        "usage": ["usage"], "finish": ["stop_reason"], "model": ["model"],
    },
    "gemini": {
        "text": ["candidates", 0, "content", "parts", 0, "text"], "answers": ["candidates"],
        "tokens": ["usageMetadata", "promptTokenCount"], "usage": ["usageMetadata"],
        "finish": ["candidates", 0, "finishReason"], "model": ["modelVersion"],
    },
}  # fmt: skip


async def _asked(reader: asyncio.StreamReader) -> Asked:
    request = await read_request(reader)
    assert request is not None
    assert request.headers["content-type"] == "application/json"
    path = request.target.partition("?")[0]
    api = api_of(path)
    assert api is not None, path
    return read(api, path, msgspec.json.decode(request.body))


@asynccontextmanager
async def answering(wire: Wire, place: str, value: Any) -> AsyncIterator[LlmSettings]:
    """A server that answers everything in the right form, but for the value at one place."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await _asked(reader)
        said = Said(text="fine", tool=None, model="scripted", input_tokens=3, output_tokens=2)
        body = msgspec.json.encode(_changed(whole(asked, said), PLACES[asked.api][place], value))
        body = body.replace(b'"HALF"', b'"a \\ud83d b"')
        writer.write(head(200, JSON | {"content-length": str(len(body))}) + body)
        writer.close()

    provider, api = wire
    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        names = {"openai": {"OPENAI_BASE_URL": f"{url}/v1"}, "azure_openai": {"AZURE_OPENAI_ENDPOINT": url}}
        env = names.get(provider, {f"{provider.upper()}_BASE_URL": url})
        keyed = {f"{provider.upper()}_API_KEY": KEY, "LLM_PROVIDER": provider, "LLM_MODEL": "scripted"}
        yield llm_settings(env | keyed | {"LLM_OPENAI_API": api, "LLM_RETRIES": "0"})


async def _called(settings: LlmSettings) -> tuple[str | CallFailed, MemoryEffects]:
    providers, effects = Providers(settings), MemoryEffects()
    caller = Caller(providers, effects, SystemClock(), prices=load_prices(), random=lambda: 0.0)
    request = caller.request([ChatMessage("user", "Hello?")], Options())
    try:
        return (await caller.complete("a1", request)).text, effects
    except CallFailed as failed:
        return failed, effects
    finally:
        await providers.close()


@every_wire
@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("text", 7), ("text", {"a": 1}), ("text", "HALF"), ("answers", None), ("answers", "none"),
        ("tokens", "many"), ("tokens", -5), ("usage", "12"), ("finish", 3), ("model", {"name": "x"}),
    ],
)  # fmt: skip
async def test_an_answer_of_another_shape_is_a_failed_call_that_is_recorded(wire: Wire, place: str, value: Any) -> None:
    async with answering(wire, place, value) as settings:
        outcome, effects = await _called(settings)
    recorded = msgspec.json.encode(effects.recorded).decode()
    assert isinstance(outcome, CallFailed), outcome
    assert outcome.kind == "malformed", outcome.detail
    assert '"kind":"malformed"' in recorded
    assert KEY not in recorded


@every_wire
@pytest.mark.parametrize(("place", "value"), [("usage", None), ("tokens", None), ("finish", None), ("model", None)])
async def test_what_an_answer_may_lack_it_may_lack(wire: Wire, place: str, value: Any) -> None:
    async with answering(wire, place, value) as settings:
        outcome, effects = await _called(settings)
    assert outcome == "fine"
    assert effects.recorded["llm/a1/1"].response["completion"]["finish"] is not None


@every_wire
async def test_texts_of_all_scripts_and_sizes_pass(wire: Wire) -> None:
    text = "naïve 😀 \x00 \u2028 שלום " + "x" * 200_000
    async with rig([Rule(reply=text)], wire) as r:
        assert await r.say() == text
        pieces: list[str] = []
        assert await r.say(on_text=pieces.append) == text
        assert "".join(pieces) == text
        msgspec.json.encode(r.logs)


@every_wire
async def test_a_character_that_a_stream_cuts_in_two_is_put_together(wire: Wire) -> None:
    """Servers that count in UTF-16 units cut there."""
    asked_for: list[Asked] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await _asked(reader)
        asked_for.append(asked)
        # Pieces are of 24 characters, so that the border is between the two.
        said = Said(text="x" * 23 + "LR" + "end", tool=None, model="m", input_tokens=1, output_tokens=1)
        body = b"".join(events(asked, said)).replace(b"xL", b"x\\ud83d").replace(b"Rend", b"\\ude00end")
        body = body.replace(b"LR", b"\\ud83d\\ude00")
        writer.write(head(200, STREAM | {"content-length": str(len(body))}) + body)
        writer.close()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        address = {"OPENAI_BASE_URL": f"{url}/v1", "AZURE_OPENAI_ENDPOINT": url, "ANTHROPIC_BASE_URL": url}
        async with rig([], wire, env=address | {"GEMINI_BASE_URL": url, "LLM_RETRIES": "0"}) as r:
            completion = await r.caller.complete("a1", r.request(), on_text=lambda _: None)
    assert completion.text == "x" * 23 + "😀end"
    assert asked_for[0].stream
