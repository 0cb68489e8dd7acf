"""A caller over the real clients and a scripted server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from trialbook.clock import SystemClock
from trialbook.llm import llm_settings
from trialbook.testing.llm import Rule, ScriptedServer
from trialbook_runner.llm import (
    Caller,
    ChatMessage,
    Decider,
    Effects,
    MemoryEffects,
    Options,
    Providers,
    Request,
    load_prices,
)

WIRES = [
    ("openai", "chat"),
    ("openai", "responses"),
    ("azure_openai", "chat"),
    ("anthropic", "chat"),
    ("gemini", "chat"),
]
KEY = "sk-canary-0123456789-do-not-leak"
SCHEMA: dict[str, Any] = {
    "$ref": "#/$defs/Thing",
    "$defs": {
        "Thing": {
            "type": "object",
            "title": "Thing",
            "properties": {
                "kind": {"enum": ["small", "large"]},
                "count": {"type": "integer", "minimum": 1},
                "part": {"anyOf": [{"$ref": "#/$defs/Part"}, {"type": "null"}], "default": None},
            },
            "required": ["kind", "count"],
        },
        "Part": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
    },
}
THING = {"kind": "small", "count": 2, "part": {"name": "lid"}}


class Rig:
    """What a test needs; ``slept`` are the seconds of back-off, which are not slept."""

    def __init__(self, server: ScriptedServer, env: dict[str, str], effects: Effects, **caller: Any) -> None:
        self.server = server
        self.effects = effects
        self.settings = llm_settings(env)
        self.providers = Providers(self.settings)
        self.slept: list[float] = []
        self.logs: list[dict[str, Any]] = []
        own: dict[str, Any] = {"prices": load_prices(), "random": lambda: 0.0, "sleep": self._sleep}
        self.caller = Caller(self.providers, effects, SystemClock(), **(own | caller))
        self.decider = Decider(self.caller)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def request(self, text: str = "Hello?", system: str = "", **options: Any) -> Request:
        messages = [ChatMessage("system", system)] if system else []
        return self.caller.request([*messages, ChatMessage("user", text)], Options(**options))

    async def say(self, text: str = "Hello?", agent: str = "a1", **more: Any) -> str:
        return (await self.caller.complete(agent, self.request(text), observe=self.logs.append, **more)).text

    async def decide(self, text: str = "A thing, please.", **more: Any) -> dict[str, Any]:
        messages = [ChatMessage("user", text)]
        return await self.decider.decide("a1", messages, "Thing", SCHEMA, observe=self.logs.append, **more)


@asynccontextmanager
async def rig(
    rules: Iterable[Rule], wire: tuple[str, str] = WIRES[0], *, effects: Effects | None = None,
    env: dict[str, str] | None = None, model: str = "scripted", keys: Iterable[str] = (), **caller: Any,
) -> AsyncIterator[Rig]:  # fmt: skip
    provider, api = wire
    async with ScriptedServer(rules, keys=keys) as server:
        settings = {**server.environment(provider, model, KEY), "LLM_OPENAI_API": api, **(env or {})}
        made = Rig(server, settings, effects or MemoryEffects(), **caller)
        try:
            yield made
        finally:
            await made.providers.close()
