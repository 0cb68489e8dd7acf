"""The server: one loopback port, every interface, a log of what was asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable
from types import TracebackType
from typing import Any

import msgspec

from trialbook.testing.llm.asked import Asked
from trialbook.testing.llm.http import BadRequest, HttpRequest, chunk, head, read_request
from trialbook.testing.llm.rules import Reply, Rule, Script
from trialbook.testing.llm.wires import Said, api_of, events, read, whole

JSON = "application/json"
MODELS = ("scripted",)
NO_TOOLS = "this model does not support tools or response_format of type json_schema"
NOT_JSON = "I would rather say it in prose: {not json"
WRONG: dict[str, Any] = {"unexpected": ["wrong", "schema"]}


class _Refused(Exception):
    """An answer with an HTTP error."""

    def __init__(self, status: int, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.retry_after_s = status, message, retry_after_s


class _Dropped(Exception):
    """The connection is to be broken."""


class ScriptedServer:
    """Answers by rules. With ``keys`` only callers with one of them are served (401 else)."""

    def __init__(
        self, rules: Iterable[Rule] | Script = (), *, host: str = "127.0.0.1", port: int = 0,
        keys: Iterable[str] = (), kept: int = 10_000,
    ) -> None:  # fmt: skip
        """``kept`` bounds the log of requests; the oldest are forgotten."""
        self.script = rules if isinstance(rules, Script) else Script(rules)
        self.asked: deque[Asked] = deque(maxlen=kept)
        self.requests = 0
        """HTTP requests of any kind; ``served`` are those that a rule answered or should have."""
        self.served = 0
        self.under_way = 0
        self.most_under_way = 0
        self._host, self._port, self._keys = host, port, frozenset(keys)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> ScriptedServer:
        self._server = await asyncio.start_server(self._connected, self._host, self._port, limit=1 << 20)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop listening and break every connection."""
        assert self._server is not None, "the server was not started"
        self._server.close()
        for connection in tuple(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """The address without a path: the base URL of Anthropic, Gemini and Azure."""
        return f"http://{self._host}:{self._port}"

    @property
    def openai_url(self) -> str:
        """The base URL of OpenAI's clients."""
        return f"{self.url}/v1"

    def environment(
        self, provider: str = "openai", model: str = "scripted", key: str = "sk-scripted"
    ) -> dict[str, str]:
        """The variables that make a deployment use this server as ``provider``."""
        prefix = provider.upper()
        address = f"{prefix}_ENDPOINT" if provider == "azure_openai" else f"{prefix}_BASE_URL"
        url = self.openai_url if provider == "openai" else self.url
        return {"LLM_PROVIDER": provider, "LLM_MODEL": model, f"{prefix}_API_KEY": key, address: url}

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "asyncio runs every connection in a task"
        self._connections.add(task)
        # A client that leaves, or a fault that breaks the connection, ends it here; so does close().
        with contextlib.suppress(
            ConnectionError, asyncio.IncompleteReadError, BadRequest, _Dropped, asyncio.CancelledError
        ):
            while (request := await read_request(reader)) is not None:
                await self._serve(request, writer)
        self._connections.discard(task)
        writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    async def _serve(self, request: HttpRequest, writer: asyncio.StreamWriter) -> None:
        self.requests += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self._answer(request, writer)
        except _Refused as refused:
            extra = {} if refused.retry_after_s is None else {"retry-after": f"{refused.retry_after_s:g}"}
            error = {"message": refused.message, "type": "scripted", "code": None, "status": "INVALID_ARGUMENT"}
            body = {"type": "error", "error": error | ({"code": refused.status} if "v1beta" in request.target else {})}
            _send(writer, refused.status, msgspec.json.encode(body), extra)
        finally:
            self.under_way -= 1
        await writer.drain()

    async def _answer(self, request: HttpRequest, writer: asyncio.StreamWriter) -> None:
        path = request.target.partition("?")[0]
        key = _key(request.headers)
        if self._keys and key not in self._keys:
            raise _Refused(401, "invalid API key")
        if request.method == "GET" and path.endswith("/models"):
            _send(writer, 200, msgspec.json.encode(_models()))
            return
        api = api_of(path)
        if api is None or request.method != "POST":
            raise _Refused(404, f"no such path: {path}")
        try:
            asked = read(api, path, msgspec.json.decode(request.body, type=dict[str, Any]))
        except (msgspec.MsgspecError, KeyError, TypeError, AttributeError) as error:
            raise _Refused(400, f"malformed request: {error}") from error
        self.asked.append(asked)
        self.served += 1
        reply = self.script.answer(asked)
        await asyncio.sleep(reply.delay_s)
        await self._deliver(asked, await _faulted(reply, key), writer)

    async def _deliver(self, asked: Asked, reply: Reply, writer: asyncio.StreamWriter) -> None:
        said, fault = _said(asked, reply), reply.fault.kind if reply.fault else ""
        if not asked.stream:
            body = msgspec.json.encode(whole(asked, said))
            if fault == "drop":
                writer.write(head(200, {"content-type": JSON, "content-length": str(len(body))}) + body[:10])
                await writer.drain()
                raise _Dropped
            _send(writer, 200, body[: len(body) // 2] if fault == "malformed_body" else body)
            return
        writer.write(head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"}))
        pieces = list(events(asked, said))
        for number, event in enumerate(pieces):
            if fault == "slow_stream" and reply.fault is not None:
                await asyncio.sleep(reply.fault.delay_s)
            if fault == "drop" and number == min(4, len(pieces) - 1):
                raise _Dropped
            writer.write(chunk(event[: len(event) // 2] + b"\n\n" if fault == "malformed_body" else event))
            await writer.drain()
        writer.write(chunk(b""))


async def _faulted(reply: Reply, key: str) -> Reply:
    """Faults that replace the answer; those of the wire are left to the sender."""
    fault = reply.fault
    if fault is None:
        return reply
    match fault.kind:
        case "status":
            raise _Refused(fault.status, fault.message, fault.retry_after_s)
        case "echo_key":
            raise _Refused(fault.status, f"Incorrect API key provided: {key}", fault.retry_after_s)
        case "no_tools":
            raise _Refused(400, NO_TOOLS)
        case "timeout":
            await asyncio.sleep(fault.delay_s)
            raise _Dropped
        case "malformed_text":
            return msgspec.structs.replace(reply, content=NOT_JSON)
        case "wrong_schema":
            return msgspec.structs.replace(reply, content=WRONG)
        case _:
            return reply


def _said(asked: Asked, reply: Reply) -> Said:
    plain = isinstance(reply.content, str)
    text = str(reply.content) if plain else msgspec.json.encode(reply.content).decode()
    return Said(
        text=text,
        tool=None if plain or asked.api != "anthropic" or asked.schema is None else asked.schema_name,
        model=asked.model or MODELS[0],
        input_tokens=_tokens(asked.prompt) if reply.input_tokens is None else reply.input_tokens,
        output_tokens=_tokens(text) if reply.output_tokens is None else reply.output_tokens,
    )


def _tokens(text: str) -> int:
    return len(text) // 4 + 1


def _key(headers: dict[str, str]) -> str:
    bearer = headers.get("authorization", "").removeprefix("Bearer ")
    return headers.get("x-api-key") or headers.get("x-goog-api-key") or headers.get("api-key") or bearer


def _models() -> dict[str, Any]:
    """One list that every client reads."""
    data = [{"id": name, "object": "model", "created": 0, "owned_by": "scripted"} for name in MODELS]
    return {
        "object": "list",
        "data": data,
        "models": [{"name": f"models/{name}"} for name in MODELS],
        "has_more": False,
    }


def _send(writer: asyncio.StreamWriter, status: int, body: bytes, extra: dict[str, str] | None = None) -> None:
    headers = {"content-type": JSON, "content-length": str(len(body)), **(extra or {})}
    writer.write(head(status, headers) + body)
