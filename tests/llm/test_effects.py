"""Calls are effects: recorded once, taken instead of made, and in a replay never made."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from tests.llm.support import THING, WIRES, rig
from trialbook.testing.llm import Fault, Reply, Rule
from trialbook_runner.llm import Budget, BudgetExceeded, CallFailed, Divergence, Effect, MemoryEffects, Meter

every_wire = pytest.mark.parametrize("wire", WIRES, ids="-".join)
ECHO = Rule(reply=lambda asked: asked.last[::-1])


def recorded(effects: MemoryEffects) -> MemoryEffects:
    """A copy through JSON, as a ledger would give it back."""
    plain = msgspec.json.encode(effects.recorded)
    return MemoryEffects(msgspec.json.decode(plain, type=dict[str, Effect]))


@every_wire
async def test_a_call_is_a_fact_with_digest_usage_latency_and_cost(wire: tuple[str, str]) -> None:
    effects = MemoryEffects()
    async with rig([Rule(reply=Reply(content="olleH", input_tokens=5, output_tokens=3))], wire, effects=effects) as r:
        await r.say("Hello")
        request = r.request("Hello")
    effect = effects.recorded["llm/a1/1"]
    assert effect.request_digest == request.digest()
    assert effect.response["request"] == msgspec.to_builtins(request)
    assert effect.response["completion"]["text"] == "olleH"
    info = effect.info
    assert (info["agent"], info["provider"], info["model"]) == ("a1", wire[0], "scripted")
    assert info["usage"] == {"input_tokens": 5, "output_tokens": 3, "cached_tokens": 0, "reasoning_tokens": 0}
    assert info["duration_ms"] > 0
    assert (info["success"], info["cost_usd"]) == (True, None)


async def test_the_digest_tells_requests_apart() -> None:
    async with rig([]) as r:
        base = r.request("Hello").digest()
        assert r.request("Hello").digest() == base
        others = [r.request("Hallo"), r.request("Hello", "system"), r.request("Hello", model="x")]
        others += [r.request("Hello", temperature=0.5), r.request("Hello", max_tokens=5)]
        assert len({base, *(other.digest() for other in others)}) == 6


async def test_keys_do_not_depend_on_the_interleaving() -> None:
    effects = MemoryEffects()
    async with rig([ECHO], effects=effects) as r:

        async def agent(name: str, turns: int) -> None:
            for turn in range(turns):
                await r.say(f"{name}{turn}", agent=name)

        await asyncio.gather(agent("x", 3), agent("y", 2), agent("z", 4))
    assert {key: effect.response["completion"]["text"] for key, effect in effects.recorded.items()} == {
        f"llm/{name}/{turn + 1}": f"{turn}{name}"
        for name, turns in (("x", 3), ("y", 2), ("z", 4))
        for turn in range(turns)
    }


async def test_what_is_recorded_is_not_called_again() -> None:
    effects = MemoryEffects()
    async with rig([ECHO], effects=effects) as r:
        first = [await r.say(f"m{n}") for n in range(3)]
        calls, total = r.logs, r.caller.meter.report()
    async with rig([ECHO], effects=recorded(effects)) as again:
        assert [await again.say(f"m{n}") for n in range(3)] == first
        assert again.server.served == 0
        assert again.logs == calls
        assert again.caller.meter.report() == total
        assert await again.say("new") == "wen"
        assert again.server.served == 1
        assert again.caller.keys == {f"llm/a1/{n}" for n in (1, 2, 3, 4)}


async def test_a_recorded_stream_is_given_at_once() -> None:
    effects = MemoryEffects()
    async with rig([Rule(reply="abc" * 30)], effects=effects) as r:
        await r.say(on_text=lambda _: None)
    pieces: list[str] = []
    async with rig([], effects=effects, mode="replay") as r:
        await r.say(on_text=pieces.append)
    assert pieces == ["abc" * 30]


async def test_a_recorded_failure_is_taken_too_unless_the_run_is_retried() -> None:
    effects = MemoryEffects()
    async with rig([Rule(fault=Fault(kind="status", status=400, message="bad luck"))], effects=effects) as r:
        with pytest.raises(CallFailed, match="bad luck"):
            await r.say()
    async with rig([ECHO], effects=recorded(effects)) as resumed:
        with pytest.raises(CallFailed, match="bad luck") as caught:
            await resumed.say()
        assert (caught.value.kind, caught.value.status) == ("bad_request", 400)
        assert resumed.server.served == 0
    async with rig([ECHO], effects=effects, mode="retry") as retried:
        assert await retried.say("Hello") == "olleH"
    assert "completion" in effects.recorded["llm/a1/1"].response


async def test_another_request_under_the_key_is_called_and_recorded_anew() -> None:
    effects = MemoryEffects()
    async with rig([ECHO], effects=effects) as r:
        await r.say("one")
    async with rig([ECHO], effects=effects) as r:
        assert await r.say("two") == "owt"
        assert r.server.served == 1
    assert effects.recorded["llm/a1/1"].response["completion"]["text"] == "owt"
    assert effects.recorded["llm/a1/1"].info["replaces"] == r.request("one").digest()


async def test_a_replay_needs_no_key_and_no_network() -> None:
    effects = MemoryEffects()
    async with rig([Rule(reply=THING)], effects=effects) as r:
        await r.decide()
    env = {"OPENAI_API_KEY": "", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    async with rig([], effects=recorded(effects), mode="replay", env=env) as replay:
        assert await replay.decide() == THING
        assert replay.server.served == 0


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"text": "Hello you"}, "messages[0].content differs at character 5: 'Hello you' instead of 'Hello'"),
        ({"text": "Hello", "system": "x"}, "messages[0].role differs at character 0"),
        ({"text": "Hello", "max_tokens": 7}, "max_tokens is 7 instead of 2000"),
        ({"text": "Hello", "temperature": 0.5}, "temperature is 0.5 instead of None"),
        ({"text": "Hello", "model": "other"}, "model differs at character 0: 'other' instead of 'scripted'"),
    ],
)
async def test_a_replay_names_the_first_difference(change: dict[str, Any], difference: str) -> None:
    effects = MemoryEffects()
    async with rig([ECHO], effects=effects) as r:
        await r.say("Hello")
    async with rig([ECHO], effects=recorded(effects), mode="replay") as replay:
        with pytest.raises(Divergence) as caught:
            await replay.caller.complete("a1", replay.request(**change))
        assert replay.server.served == 0
    assert caught.value.code == "replay_diverged"
    assert caught.value.extra["key"] == "llm/a1/1"
    assert caught.value.extra["difference"].startswith(difference)
    assert not caught.value.retryable


async def test_a_replay_refuses_a_call_that_was_never_made() -> None:
    async with rig([ECHO], mode="replay") as replay:
        with pytest.raises(Divergence, match="llm/a1/1: no such call was recorded"):
            await replay.say()


async def test_a_broken_off_call_is_not_recorded_and_keeps_its_key() -> None:
    effects = MemoryEffects()
    async with rig([Rule(fault=Fault(kind="timeout", delay_s=600))], effects=effects) as r:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await r.say("Hello")
    assert effects.recorded == {}
    async with rig([ECHO], effects=effects) as r:
        assert await r.say("Hello") == "olleH"
    assert list(effects.recorded) == ["llm/a1/1"]


async def test_a_call_that_the_budget_forbids_is_recorded_as_refused() -> None:
    effects = MemoryEffects()
    meter = Meter(Budget(max_tokens=10))
    async with rig(
        [Rule(reply=Reply(content="x", input_tokens=8, output_tokens=4))], effects=effects, meter=meter
    ) as r:
        await r.say()
        with pytest.raises(BudgetExceeded, match="12 of max_tokens 10"):
            await r.say()
    assert list(effects.recorded) == ["llm/a1/1", "llm/a1/2"]
    assert effects.recorded["llm/a1/2"].info["kind"] == "llm_refused"
    async with rig([], effects=recorded(effects), mode="replay") as replay:
        await replay.say()
        with pytest.raises(BudgetExceeded, match="12 of max_tokens 10"):
            await replay.say()


async def test_calls_under_way_are_recorded_before_a_budget_ends_the_run() -> None:
    effects = MemoryEffects()
    slow = Rule(match="slow", reply=Reply(content="late", delay_s=0.3))
    big = Rule(reply=Reply(content="x", input_tokens=12, output_tokens=4))
    async with rig([slow, big], effects=effects, meter=Meter(Budget(max_tokens=10))) as r:

        async def eager() -> None:
            await r.say("one", agent="eager")
            await r.say("two", agent="eager")

        async def both() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(r.say("slow", agent="slow"))
                group.create_task(eager())

        with pytest.raises(ExceptionGroup) as stopped:
            await both()
    assert stopped.group_contains(BudgetExceeded, match="16 of max_tokens 10")
    assert "completion" in effects.recorded["llm/slow/1"].response
