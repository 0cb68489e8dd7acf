"""What every provider must do, with its real client against the scripted server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.llm.support import THING, WIRES, rig
from trialbook.testing.llm import Asked, Fault, Reply, Rule

TEXT = "A text that is long enough to be sent in several pieces, with an umlaut: ä."
Wire = tuple[str, str]
every_wire = pytest.mark.parametrize("wire", WIRES, ids="-".join)


@every_wire
async def test_a_conversation_arrives_whole_and_is_answered(wire: Wire) -> None:
    reply = Reply(content=TEXT, input_tokens=11, output_tokens=7)
    async with rig([Rule(reply=reply)], wire) as r:
        completion = await r.caller.complete("a1", r.request("Hello?", system="Be kind."))
        assert completion.text == TEXT
        assert (completion.usage.input_tokens, completion.usage.output_tokens) == (11, 7)
        assert completion.model == "scripted"
        assert r.server.asked[0].messages == [("system", "Be kind."), ("user", "Hello?")]
        assert r.server.asked[0].model == "scripted"
        assert not r.server.asked[0].stream


@every_wire
async def test_a_stream_gives_the_pieces_and_the_same_answer(wire: Wire) -> None:
    pieces: list[str] = []
    async with rig([Rule(reply=Reply(content=TEXT, input_tokens=11, output_tokens=7))], wire) as r:
        completion = await r.caller.complete("a1", r.request(), on_text=pieces.append)
        assert r.server.asked[0].stream
    assert len(pieces) > 2
    assert "".join(pieces) == completion.text == TEXT
    assert completion.usage.total_tokens == 18


@every_wire
async def test_an_object_is_held_to_the_schema_by_the_provider(wire: Wire) -> None:
    async with rig([Rule(reply=THING)], wire) as r:
        assert await r.decide() == THING
        asked = r.server.asked[0]
        assert asked.schema is not None
        assert set(asked.schema["properties"]) == {"kind", "count", "part"}
        assert "$ref" not in str(asked.schema)
        assert len(r.server.asked) == 1
        assert "JSON Schema" not in asked.prompt


async def test_openai_gets_a_strict_schema_under_its_name() -> None:
    async with rig([Rule(reply=THING)]) as r:
        await r.decide()
        form = r.server.asked[0].body["response_format"]
    assert form["type"] == "json_schema"
    assert (form["json_schema"]["name"], form["json_schema"]["strict"]) == ("Thing", True)
    schema = form["json_schema"]["schema"]
    assert schema["required"] == ["kind", "count", "part"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["part"]["anyOf"][0]["additionalProperties"] is False
    assert "default" not in schema["properties"]["part"]


async def test_anthropic_gets_one_forced_tool_without_thinking() -> None:
    async with rig([Rule(reply=THING)], ("anthropic", "chat")) as r:
        await r.decide()
        body = r.server.asked[0].body
    assert [tool["name"] for tool in body["tools"]] == ["Thing"]
    assert body["tool_choice"] == {"type": "tool", "name": "Thing", "disable_parallel_tool_use": True}
    assert body["thinking"] == {"type": "disabled"}


async def test_gemini_gets_a_response_schema_and_type() -> None:
    async with rig([Rule(reply=THING)], ("gemini", "chat")) as r:
        await r.decide()
        config = r.server.asked[0].body["generationConfig"]
    assert config["responseMimeType"] == "application/json"
    assert config["responseSchema"]["properties"]["part"]["nullable"] is True
    assert config["maxOutputTokens"] == 2000


@pytest.mark.parametrize(
    ("model", "options", "sent", "absent"),
    [
        ("gpt-4o", {"temperature": 0.3}, {"max_tokens": 2000, "temperature": 0.3}, {"reasoning_effort"}),
        ("gpt-4o", {}, {"max_tokens": 2000}, {"temperature", "max_completion_tokens"}),
        ("gpt-5-mini", {"temperature": 0.3}, {"max_completion_tokens": 2000, "reasoning_effort": "low"},
         {"temperature", "max_tokens"}),
        ("gpt-5", {"temperature": 1.0, "reasoning_effort": "high"}, {"temperature": 1.0, "reasoning_effort": "high"},
         {"max_tokens"}),
        ("gpt-5-chat-latest", {"temperature": 0.3}, {"temperature": 0.3, "max_completion_tokens": 2000},
         {"max_tokens"}),
        ("o1-preview", {"reasoning_effort": "high"}, {"max_completion_tokens": 2000}, {"reasoning_effort"}),
        ("o3", {"reasoning_effort": "medium", "max_tokens": 5},
         {"max_completion_tokens": 5, "reasoning_effort": "medium"}, {"max_tokens"}),
        ("o4-mini", {"reasoning_effort": 512}, {"max_completion_tokens": 2000}, {"reasoning_effort"}),
    ],
)  # fmt: skip
async def test_the_rules_for_openai_model_names(
    model: str, options: dict[str, Any], sent: dict[str, Any], absent: set[str]
) -> None:
    async with rig([Rule(reply="ok")], model=model) as r:
        await r.caller.complete("a1", r.request(**options))
        body = r.server.asked[0].body
    assert {key: body.get(key) for key in sent} == sent
    assert not absent & body.keys()


async def test_the_responses_interface_keeps_nothing_and_names_its_effort() -> None:
    async with rig([Rule(reply="ok")], ("openai", "responses"), model="gpt-5") as r:
        await r.say()
        body = r.server.asked[0].body
    assert body["store"] is False
    assert body["reasoning"] == {"effort": "low"}
    assert body["max_output_tokens"] == 2000


async def test_a_number_of_tokens_is_a_thinking_budget_where_there_is_one() -> None:
    async with rig([Rule(reply="ok")], ("anthropic", "chat")) as r:
        await r.caller.complete("a1", r.request(reasoning_effort=1024))
        assert r.server.asked[0].body["thinking"] == {"type": "enabled", "budget_tokens": 1024}
    async with rig([Rule(reply="ok")], ("gemini", "chat")) as r:
        await r.caller.complete("a1", r.request(reasoning_effort=1024))
        thinking = r.server.asked[0].body["generationConfig"]["thinkingConfig"]
        assert thinking in ({"thinkingBudget": 1024}, {"thinking_budget": 1024})  # both are JSON of the same field


async def test_azure_is_called_by_deployment_and_version() -> None:
    async with rig([Rule(reply="ok")], ("azure_openai", "chat"), model="my-deployment") as r:
        await r.say()
        assert r.server.asked[0].path == "/openai/deployments/my-deployment/chat/completions"


async def test_a_call_may_choose_its_own_provider_and_model() -> None:
    async with rig([Rule(reply="ok")]) as r:
        env = r.server.environment("anthropic", key="other-key-123") | r.server.environment("openai", "small")
        async with rig([], env={**env}) as other:
            await other.caller.complete("a1", other.request(provider="anthropic", model="big"))
            await other.caller.complete("a1", other.request())
        assert [(asked.api, asked.model) for asked in r.server.asked] == [
            ("anthropic", "big"),
            ("openai_chat", "small"),
        ]


@every_wire
async def test_no_more_calls_than_allowed_are_under_way(wire: Wire) -> None:
    async with rig([Rule(reply="ok", delay_s=0.2)], wire, env={"LLM_MAX_CONCURRENCY": "3"}) as r:
        await asyncio.gather(*(r.say(agent=f"a{n}") for n in range(7)))
        assert r.server.most_under_way == 3
        assert r.server.served == 7


@every_wire
async def test_cancelling_breaks_the_call_off_and_frees_its_slot(wire: Wire) -> None:
    rules = [Rule(fault=Fault(kind="timeout", delay_s=600), times=1), Rule(reply="ok")]
    async with rig(rules, wire, env={"LLM_MAX_CONCURRENCY": "1"}) as r:
        call = asyncio.create_task(r.say())
        while not r.server.served:
            await asyncio.sleep(0.005)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await asyncio.wait_for(r.say(), 60) == "ok"


@every_wire
async def test_cancelling_in_the_middle_of_a_stream(wire: Wire) -> None:
    begun = asyncio.Event()
    slow = Rule(reply=TEXT, fault=Fault(kind="slow_stream", delay_s=0.2))
    async with rig([slow], wire) as r:
        call = asyncio.create_task(r.caller.complete("a1", r.request(), on_text=lambda _: begun.set()))
        await asyncio.wait_for(begun.wait(), 60)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await r.effects.lookup("llm/a1/1") is None


async def test_a_script_sees_what_it_needs() -> None:
    seen: list[Asked] = []

    def answer(asked: Asked) -> str:
        seen.append(asked)
        return asked.last.upper()

    async with rig([Rule(match=lambda asked: "loud" in asked.last, reply=answer), Rule(reply="quiet")]) as r:
        assert await r.say("be loud") == "BE LOUD"
        assert await r.say("hush") == "quiet"
    assert len(seen) == 1
