"""The providers' wire forms: a request as ``Asked``, and a reply as one body or as a stream of events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import msgspec

from trialbook.testing.llm.asked import Api, Asked

PIECE = 24
"""Characters per piece of a streamed answer."""


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be sent: the text (JSON for an object), whether it is a tool's input, and the tokens."""

    text: str
    tool: str | None
    model: str
    input_tokens: int
    output_tokens: int


def api_of(path: str) -> Api | None:
    """Which interface a path belongs to."""
    if path.endswith("/chat/completions"):
        return "openai_chat"
    if path.endswith("/responses"):
        return "openai_responses"
    if path.endswith("/messages"):
        return "anthropic"
    if ":generateContent" in path or ":streamGenerateContent" in path:
        return "gemini"
    return None


def read(api: Api, path: str, body: dict[str, Any]) -> Asked:
    """The request of one interface. Raises ``KeyError``, ``TypeError`` or ``AttributeError`` for a malformed one."""
    name, schema = None, None
    stream = bool(body.get("stream"))
    model = str(body.get("model", ""))
    if api == "openai_chat":
        messages = [(m["role"], _text(m["content"])) for m in body["messages"]]
        form = (body.get("response_format") or {}).get("json_schema")
        name, schema = (form["name"], form["schema"]) if form else (None, None)
    elif api == "openai_responses":
        entries = body["input"]
        messages = (
            [("user", entries)] if isinstance(entries, str) else [(m["role"], _text(m["content"])) for m in entries]
        )
        form = (body.get("text") or {}).get("format") or {}
        name, schema = form.get("name"), form.get("schema")
    elif api == "anthropic":
        system = [("system", _text(body["system"]))] if body.get("system") else []
        messages = system + [(m["role"], _text(m["content"])) for m in body["messages"]]
        if tools := body.get("tools"):
            name, schema = tools[0]["name"], tools[0]["input_schema"]
    else:
        last = path.rpartition("/")[2]
        model, stream = unquote(last.partition(":")[0]), ":stream" in last
        system = [("system", _parts(body["systemInstruction"]))] if body.get("systemInstruction") else []
        roles = {"model": "assistant"}
        messages = system + [(roles.get(c.get("role"), "user"), _parts(c)) for c in body["contents"]]
        config = body.get("generationConfig") or {}
        schema = config.get("responseSchema") or config.get("responseJsonSchema")
    return Asked(
        api=api, path=path, model=model, messages=messages, stream=stream, schema_name=name, schema=schema, body=body
    )


def whole(asked: Asked, said: Said) -> dict[str, Any]:
    """The body of an answer that is not streamed."""
    total = said.input_tokens + said.output_tokens
    if asked.api == "openai_chat":
        message = {"role": "assistant", "content": said.text, "refusal": None}
        usage = {"prompt_tokens": said.input_tokens, "completion_tokens": said.output_tokens, "total_tokens": total}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        return {
            "id": "c1",
            "object": "chat.completion",
            "created": 0,
            "model": said.model,
            "choices": [choice],
            "usage": usage,
        }
    if asked.api == "openai_responses":
        part = {"type": "output_text", "text": said.text, "annotations": []}
        item = {"type": "message", "id": "m1", "status": "completed", "role": "assistant", "content": [part]}
        tokens: dict[str, Any] = {
            "input_tokens": said.input_tokens, "input_tokens_details": {"cached_tokens": 0}, "total_tokens": total,
            "output_tokens": said.output_tokens, "output_tokens_details": {"reasoning_tokens": 0},
        }  # fmt: skip
        return {
            "id": "r1", "object": "response", "created_at": 0, "status": "completed", "error": None,
            "model": said.model, "output": [item], "usage": tokens,
            "parallel_tool_calls": False, "tool_choice": "auto", "tools": [],
        }  # fmt: skip
    if asked.api == "anthropic":
        return _anthropic(said) | {"content": [_block(said, said.text)]}
    return _gemini(said, said.text, final=True)


def events(asked: Asked, said: Said) -> Iterator[bytes]:
    """The server-sent events of a streamed answer."""
    pieces = [said.text[at : at + PIECE] for at in range(0, len(said.text), PIECE)]
    if asked.api == "openai_chat":
        yield from _chat_events(asked, said, pieces)
    elif asked.api == "openai_responses":
        place = {"item_id": "m1", "output_index": 0, "content_index": 0, "logprobs": []}
        for number, piece in enumerate(pieces):
            delta = {"type": "response.output_text.delta", **place, "sequence_number": number, "delta": piece}
            yield _event(delta, "response.output_text.delta")
        done = {"type": "response.completed", "sequence_number": len(pieces), "response": whole(asked, said)}
        yield _event(done, "response.completed")
    elif asked.api == "anthropic":
        yield from _anthropic_events(said, pieces)
    else:
        for number, piece in enumerate(pieces or [""], start=1):
            yield _event(_gemini(said, piece, final=number >= len(pieces)))


def _chat_events(asked: Asked, said: Said, pieces: list[str]) -> Iterator[bytes]:
    base = {"id": "c1", "object": "chat.completion.chunk", "created": 0, "model": said.model}
    for piece in pieces:
        yield _event(base | {"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]})
    yield _event(base | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    usage = whole(asked, said)["usage"]
    yield _event(base | {"choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _anthropic_events(said: Said, pieces: list[str]) -> Iterator[bytes]:
    start = _anthropic(said) | {"content": [], "stop_reason": None}
    yield _event({"type": "message_start", "message": start}, "message_start")
    block = _block(said, "")
    yield _event({"type": "content_block_start", "index": 0, "content_block": block}, "content_block_start")
    kind, member = ("input_json_delta", "partial_json") if said.tool else ("text_delta", "text")
    for piece in pieces:
        delta = {"type": "content_block_delta", "index": 0, "delta": {"type": kind, member: piece}}
        yield _event(delta, "content_block_delta")
    yield _event({"type": "content_block_stop", "index": 0}, "content_block_stop")
    stop = {"stop_reason": _anthropic(said)["stop_reason"], "stop_sequence": None}
    end = {"type": "message_delta", "delta": stop, "usage": {"output_tokens": said.output_tokens}}
    yield _event(end, "message_delta")
    yield _event({"type": "message_stop"}, "message_stop")


def _anthropic(said: Said) -> dict[str, Any]:
    return {
        "id": "m1", "type": "message", "role": "assistant", "model": said.model, "content": [], "stop_sequence": None,
        "stop_reason": "tool_use" if said.tool else "end_turn",
        "usage": {"input_tokens": said.input_tokens, "output_tokens": said.output_tokens},
    }  # fmt: skip


def _block(said: Said, text: str) -> dict[str, Any]:
    if said.tool is None:
        return {"type": "text", "text": text}
    return {"type": "tool_use", "id": "t1", "name": said.tool, "input": json.loads(text) if text else {}}


def _gemini(said: Said, text: str, *, final: bool) -> dict[str, Any]:
    candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": [{"text": text}]}}
    if final:
        candidate["finishReason"] = "STOP"
    usage = {
        "promptTokenCount": said.input_tokens, "candidatesTokenCount": said.output_tokens,
        "totalTokenCount": said.input_tokens + said.output_tokens,
    }  # fmt: skip
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": said.model}


def _event(data: dict[str, Any], name: str = "") -> bytes:
    prefix = f"event: {name}\n".encode() if name else b""
    return prefix + b"data: " + msgspec.json.encode(data) + b"\n\n"


def _text(content: Any) -> str:
    """A content is a text or a list of parts with texts."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


def _parts(content: Any) -> str:
    return "".join(part.get("text", "") for part in content["parts"])
