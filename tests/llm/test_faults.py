"""Every fault against every client: repeated where that can help, repaired where the model can, reported otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from tests.llm.support import THING, WIRES, rig
from trialbook.testing.llm import Fault, Rule
from trialbook_runner.llm import CallFailed, DecisionFailed

Wire = tuple[str, str]
every_wire = pytest.mark.parametrize("wire", WIRES, ids="-".join)
FINE = Rule(reply="fine")


@every_wire
@pytest.mark.parametrize("status", [429, 500, 503, 529])
async def test_a_busy_provider_is_asked_again(wire: Wire, status: int) -> None:
    async with rig([Rule(fault=Fault(kind="status", status=status), times=2), FINE], wire) as r:
        assert await r.say() == "fine"
        assert r.slept == [1, 2]
        assert r.server.served == 3
        effect = await r.effects.lookup("llm/a1/1")
        assert effect is not None
        assert effect.info["repeats"] == 2


@every_wire
async def test_retry_after_is_honoured(wire: Wire) -> None:
    limited = Fault(kind="status", status=429, retry_after_s=7)
    async with rig([Rule(fault=limited, times=1), FINE], wire) as r:
        assert await r.say() == "fine"
        assert r.slept == [7]


async def test_a_provider_that_wants_too_long_a_wait_is_not_waited_for() -> None:
    limited = Fault(kind="status", status=429, retry_after_s=3600)
    async with rig([Rule(fault=limited), FINE]) as r:
        with pytest.raises(CallFailed, match="429"):
            await r.say()
        assert r.slept == []


@every_wire
@pytest.mark.parametrize("kind", ["malformed_body", "drop"])
async def test_a_broken_answer_is_asked_for_again(wire: Wire, kind: Any) -> None:
    async with rig([Rule(reply="x" * 300, fault=Fault(kind=kind), times=1), FINE], wire) as r:
        assert await r.say() == "fine"
        assert len(r.slept) == 1


@every_wire
async def test_a_silent_provider_times_out(wire: Wire) -> None:
    async with rig(
        [Rule(fault=Fault(kind="timeout", delay_s=600), times=1), FINE], wire, env={"LLM_TIMEOUT_S": "0.5"}
    ) as r:
        assert await r.say() == "fine"
        assert r.slept  # more than once on a machine that is as slow as a silent provider
        assert r.server.served > 1


@every_wire
async def test_repetition_ends(wire: Wire) -> None:
    async with rig([Rule(fault=Fault(kind="status", status=500, message="down"))], wire, env={"LLM_RETRIES": "2"}) as r:
        with pytest.raises(CallFailed) as caught:
            await r.say()
        assert (caught.value.kind, caught.value.status) == ("server_error", 500)
        assert "down" in caught.value.detail
        assert r.server.served == 3


@every_wire
async def test_an_unreachable_provider_is_a_connection_error(wire: Wire) -> None:
    async with rig([], wire, env={"LLM_RETRIES": "0"}) as r:
        await r.server.close()
        with pytest.raises(CallFailed) as caught:
            await r.say()
        assert caught.value.kind == "connection"
        await r.server.__aenter__()


@every_wire
@pytest.mark.parametrize(("status", "kind"), [(400, "bad_request"), (404, "not_found"), (401, "authentication")])
async def test_what_cannot_get_better_is_not_repeated(wire: Wire, status: int, kind: str) -> None:
    async with rig([Rule(fault=Fault(kind="status", status=status))], wire) as r:
        with pytest.raises(CallFailed) as caught:
            await r.say()
        assert caught.value.kind == kind
        assert r.server.served == 1


@every_wire
async def test_a_refused_key_is_not_sent_twice(wire: Wire) -> None:
    async with rig([FINE], wire, keys=["another-key"]) as r:
        for _ in range(3):
            with pytest.raises(CallFailed) as caught:
                await r.say()
            assert caught.value.kind == "authentication"
        assert len(r.logs) == 3
        assert r.server.most_under_way == 1
        assert r.caller.meter.total.failed_calls == 3


async def test_an_empty_account_is_not_asked_again() -> None:
    broke = Fault(kind="status", status=429, message="You exceeded your current quota: insufficient_quota")
    async with rig([Rule(fault=broke)]) as r:
        with pytest.raises(CallFailed) as caught:
            await r.say()
        assert caught.value.kind == "quota"
        assert r.server.served == 1


@every_wire
@pytest.mark.parametrize("kind", ["malformed_text", "wrong_schema"])
async def test_a_wrong_object_is_repaired_by_the_model(wire: Wire, kind: Any) -> None:
    async with rig([Rule(fault=Fault(kind=kind), times=2), Rule(reply=THING)], wire) as r:
        assert await r.decide() == THING
        assert r.server.served == 3
        last = r.server.asked[-1]
    assert [role for role, _ in last.messages] in (
        ["user", "assistant", "user", "assistant", "user"],
        ["user", "user", "user"],
    )
    assert "Correct this" in last.last
    assert ("not valid JSON" in last.last) == (kind == "malformed_text")


@every_wire
async def test_three_wrong_objects_are_a_failed_decision(wire: Wire) -> None:
    async with rig([Rule(fault=Fault(kind="wrong_schema"))], wire) as r:
        with pytest.raises(DecisionFailed, match=r"after 3 attempts.*does not fit the schema"):
            await r.decide()
        assert r.server.served == 3


async def test_a_check_of_ours_is_repaired_too() -> None:
    def small(value: dict[str, Any]) -> None:
        if value["count"] > 5:
            raise ValueError("count is at most 5")

    async with rig([Rule(reply=THING | {"count": 9}, times=1), Rule(reply=THING)]) as r:
        assert await r.decide(check=small) == THING
        assert "count is at most 5" in r.server.asked[-1].last


@every_wire
async def test_without_schemas_the_object_is_asked_for_in_words(wire: Wire) -> None:
    fenced = f"Sure!\n```json\n{__import__('json').dumps(THING)}\n```"
    async with rig([Rule(fault=Fault(kind="no_tools")), Rule(reply=fenced)], wire) as r:
        assert await r.decide() == THING
        assert await r.decide() == THING
        assert [asked.schema is None for asked in r.server.asked] == [False, True, True]
        assert '"count"' in r.server.asked[1].prompt


@every_wire
async def test_transport_errors_count_as_attempts_only_after_repetition(wire: Wire) -> None:
    async with rig(
        [Rule(fault=Fault(kind="status", status=503), times=2), Rule(reply=THING)], wire, env={"LLM_RETRIES": "1"}
    ) as r:
        assert await r.decide() == THING
        assert [call["success"] for call in r.logs] == [False, True]
        assert len(r.server.asked[-1].messages) == 1


@every_wire
async def test_a_stream_that_breaks_after_its_first_piece_is_not_begun_again(wire: Wire) -> None:
    pieces: list[str] = []
    async with rig([Rule(reply="z" * 400, fault=Fault(kind="drop"), times=1), FINE], wire) as r:
        with pytest.raises(CallFailed) as caught:
            await r.caller.complete("a1", r.request(), on_text=pieces.append)
        assert caught.value.kind in {"connection", "malformed"}
        assert r.server.served == 1
    assert pieces
    assert set("".join(pieces)) == {"z"}


@every_wire
async def test_a_stream_of_broken_events_never_passes_for_an_answer(wire: Wire) -> None:
    async with rig([Rule(reply="z" * 400, fault=Fault(kind="malformed_body"))], wire, env={"LLM_RETRIES": "1"}) as r:
        with pytest.raises(CallFailed) as caught:
            await r.caller.complete("a1", r.request(), on_text=lambda _: None)
        assert caught.value.kind in {"connection", "malformed"}


@every_wire
async def test_a_slow_stream_still_has_to_end_in_time(wire: Wire) -> None:
    slow = Rule(reply="y" * 30_000, fault=Fault(kind="slow_stream", delay_s=0.1))
    async with rig([slow], wire, env={"LLM_TIMEOUT_S": "0.5"}) as r:
        with pytest.raises(CallFailed) as caught:
            await r.caller.complete("a1", r.request(), on_text=lambda _: None)
        assert caught.value.kind == "timeout"


async def test_what_is_missing_is_said_before_any_call() -> None:
    async with rig([FINE], env={"OPENAI_API_KEY": ""}) as r:
        with pytest.raises(CallFailed, match="OPENAI_API_KEY is missing"):
            await r.say()
    async with rig([FINE], env={"LLM_MODEL": ""}) as r:
        with pytest.raises(CallFailed, match="LLM_MODEL"):
            r.request()
