"""Commands over NATS: what HTTP does, with HTTP's refusals, in the name of the user that the subject gives."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import msgspec
import pytest
from nats.aio.client import Client

from tests.gateway.actor import Actor
from trialbook_gateway.direct.verbs import VERBS

pytestmark = pytest.mark.integration


async def command(nc: Client, verb: str, body: Any, headers: dict[str, str] | None = None, who: str = "alice") -> Any:
    payload = body if isinstance(body, bytes) else msgspec.json.encode(body)
    reply = await nc.request(f"cmd.main.{who}.{verb}", payload, timeout=60, headers=headers)
    return msgspec.json.decode(reply.data)


async def submitted(nc: Client, **order: Any) -> dict[str, Any]:
    answer = await command(nc, "run.submit", {"workload": "probe", **order})
    found: dict[str, Any] = answer["result"]
    return found


async def test_a_run_is_created_as_over_http(nc: Client, http: httpx.AsyncClient, actor: Actor) -> None:
    answer = await command(nc, "run.submit", {"workload": "probe", "params": {"n": 2}, "labels": {"a": "b"}})
    run = answer["result"]
    seen = (await http.get(f"/v1/runs/{run['id']}", params={"at_least": answer["sequence"]})).json()
    assert seen == run
    facts = (await http.get(f"/v1/runs/{run['id']}/facts")).json()["items"]
    assert [(fact["event"]["type"], fact["event"]["actor"]) for fact in facts] == [("run.submitted.v1", "nats:alice")]
    assert facts[0]["sequence"] == answer["sequence"]


ORDERS: list[Any] = [
    {}, {"workload": "nobody"}, {"workload": "probe", "params": {"n": 0}}, {"workload": "probe", "params": {"x": 1}},
    {"workload": "probe", "colour": 1}, {"workload": "probe", "priority": "urgent"}, {"workload": "probe", "seed": "1"},
    {"workload": "probe", "isolation": "inline"}, {"workload": "probe", "inputs": {"a": "0" * 64}},
    {"workload": "probe", "inputs": {"a": "1" * 32}}, {"workload": "probe", "params": {"mode": "x" * 300_000}}, [], 7,
    b"{", b"\xff", b'{"workload": NaN}', b'{"workload": "probe", "workload": "probe"}', b"[" * 1000,
    b'{"workload": "\\u0000"}', b" " * 500_000,
]  # fmt: skip


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: repr(order)[:40])
async def test_refusals_are_those_of_http(nc: Client, http: httpx.AsyncClient, actor: Actor, order: Any) -> None:
    body = order if isinstance(order, bytes) else msgspec.json.encode(order)
    over_http = (await http.post("/v1/runs", content=body, headers={"Content-Type": "application/json"})).json()
    error = (await command(nc, "run.submit", body))["error"]
    assert (error["code"], error["detail"]) == (over_http["code"], over_http["detail"])
    known = {"type", "title", "status", "code", "detail", "request_id"}
    assert error["extra"] == {key: value for key, value in over_http.items() if key not in known}


async def test_every_action_on_a_run(nc: Client, actor: Actor) -> None:
    run = await submitted(nc, start=False)
    which = {"id": run["id"]}
    assert (await command(nc, "run.start", which))["result"]["status"] == "queued"
    assert (await command(nc, "run.start", which))["error"]["kind"] == "conflict"
    assert (await command(nc, "run.pause", which))["result"]["status"] == "paused"
    assert (await command(nc, "run.resume", which))["result"]["status"] == "queued"
    cancelled = (await command(nc, "run.cancel", {**which, "reason": "enough"}))["result"]
    assert cancelled["status"] == "cancelled"
    assert (await command(nc, "run.retry", which))["result"]["status"] == "queued"
    assert (await command(nc, "run.delete", which))["error"]["kind"] == "conflict"
    await command(nc, "run.cancel", which)
    assert (await command(nc, "run.reset", which))["result"]["status"] == "created"
    deleted = await command(nc, "run.delete", which)
    assert deleted["result"] is None
    assert deleted["sequence"] > 0
    assert (await command(nc, "run.start", which))["error"]["code"] == "run_not_found"
    assert (await command(nc, "run.start", {"id": "x"}))["error"]["code"] == "invalid_id"
    assert (await command(nc, "run.start", {}))["error"]["code"] == "validation_failed"


async def test_a_key_carries_out_once_and_belongs_to_its_user(nc: Client, actor: Actor) -> None:
    headers, order = {"idempotency-key": actor.ids.new()}, {"workload": "probe"}
    answers = await asyncio.gather(*(command(nc, "run.submit", order, headers) for _ in range(8)))
    assert len({answer["result"]["id"] for answer in answers}) == 1
    assert sum(answer["replayed"] for answer in answers) == 7
    other = await command(nc, "run.submit", {"workload": "probe", "seed": 2}, headers)
    assert other["error"]["code"] == "idempotency_key_reused"
    bobs = await command(nc, "run.submit", order, headers, who="bob")
    assert bobs["result"]["id"] != answers[0]["result"]["id"]


async def test_a_condition_is_kept(nc: Client, actor: Actor) -> None:
    run = await submitted(nc, start=False)
    stale = await command(nc, "run.start", {"id": run["id"]}, {"If-Match": f'"{run["sequence"] + 1}"'})
    assert stale["error"]["kind"] == "precondition_failed"
    good = await command(nc, "run.start", {"id": run["id"]}, {"If-Match": f'"{run["sequence"]}"'})
    assert good["result"]["status"] == "queued"


@pytest.mark.parametrize("subject", ["cmd.nowhere.alice.run.submit", "cmd.MAIN.alice.run.submit", "cmd.main.A!.x"])
async def test_unknown_workspaces_are_refused(nc: Client, actor: Actor, subject: str) -> None:
    reply = await nc.request(subject, b'{"workload": "probe"}', timeout=60)
    assert msgspec.json.decode(reply.data)["error"]["code"] == "workspace_not_found"


async def test_unknown_commands_are_refused_with_those_there_are(nc: Client, actor: Actor) -> None:
    error = (await command(nc, "run.explode", {}))["error"]
    assert error["code"] == "unknown_command"
    assert all(verb in error["detail"] for verb in VERBS)


async def test_bursts_are_answered_one_and_all(nc: Client, actor: Actor) -> None:
    answers = await asyncio.gather(*(command(nc, "run.cancel", {"id": "0" * 32}) for _ in range(600)))
    codes = {answer["error"]["code"] for answer in answers}
    assert codes <= {"run_not_found", "too_many_requests"}
    assert (await submitted(nc))["status"] == "queued"


async def ask(nc: Client, query: str, body: Any, who: str = "alice") -> Any:
    reply = await nc.request(f"question.main.{who}.{query}", msgspec.json.encode(body), timeout=60)
    return msgspec.json.decode(reply.data)


@pytest.mark.parametrize("what", ["commands", "questions"])
async def test_the_flood_of_one_user_is_that_users_trouble(nc: Client, actor: Actor, what: str) -> None:
    async def one(who: str) -> Any:
        if what == "commands":
            return await command(nc, "run.submit", {"workload": "probe", "start": False}, who=who)
        return await ask(nc, "sql", {"sql": "SELECT count(*) FROM range(1000000)"}, who)

    flood = asyncio.gather(*(one("mallory") for _ in range(1500)))
    polite = [await one("alice") for _ in range(10)]
    assert all("result" in answer for answer in polite), polite
    answers = await flood
    refused = [answer["error"] for answer in answers if "error" in answer]
    assert {error["code"] for error in refused} == {"too_many_requests"}
    assert {(error["kind"], error["extra"]["retry_after_s"]) for error in refused} == {("rate_limited", 1)}
    assert len(answers) - len(refused) >= 256, "what had waited was carried out"
    assert "result" in await one("mallory")


async def test_questions_are_answered_as_the_projector_answers(nc: Client, actor: Actor) -> None:
    for _ in range(50):  # what was just written is found, however far the projector is
        run = await submitted(nc, start=False)
        seen = await ask(nc, "run.get", {"id": run["id"]})
        assert seen["result"]["id"] == run["id"]
        assert seen["facts"] >= run["sequence"]
    assert (await ask(nc, "run.get", {"id": "0" * 32}))["error"]["code"] == "run_not_found"
    assert (await ask(nc, "run.list", {"limit": "x"}))["error"]["code"] == "invalid_query"
    for query in ("health", "rebuild", "seal", "ledger.state", "run", "sqlx"):
        assert (await ask(nc, query, {}))["error"]["code"] == "unknown_query"
    csv = await nc.request("question.main.alice.sql", b'{"sql": "SELECT 1 AS one", "format": "csv"}', timeout=60)
    assert csv.data.split() == [b"one", b"1"]
    assert (csv.headers or {})["Trialbook-Media-Type"].startswith("text/csv")


async def test_consumers_are_made_listed_and_deleted(nc: Client, actor: Actor) -> None:
    made = await command(nc, "consumer.create", {"name": "second", "after": 3, "max_ack_pending": 1})
    assert made["result"]["consumer"] == "alice@second"
    assert (await command(nc, "consumer.create", {"name": "second", "after": 3, "max_ack_pending": 1})).get("result")
    other = await command(nc, "consumer.create", {"name": "second", "after": 4})
    assert other["error"]["code"] == "consumer_exists"
    since = await command(nc, "consumer.create", {"stream": "signals", "since": "2026-01-01T00:00:00+01:00"})
    assert since["result"]["filter"] == "signal.main.>"
    listed = (await command(nc, "consumer.list", {}))["result"]
    assert [(one["name"], one["stream"]) for one in listed] == [("second", "facts"), ("main", "signals")]
    assert (await command(nc, "consumer.list", {}, who="bob"))["result"] == []
    for body in ({"name": "second"}, {"stream": "signals"}):
        assert (await command(nc, "consumer.delete", body))["result"] is None
    assert (await command(nc, "consumer.delete", {}))["error"]["code"] == "consumer_not_found"
