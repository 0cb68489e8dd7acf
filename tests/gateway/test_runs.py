from __future__ import annotations

import asyncio
import re

import httpx
import pytest

from tests.gateway.actor import Actor
from trialbook.domain.run import commands as c

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("actor")]


async def submit(http: httpx.AsyncClient, **order: object) -> httpx.Response:
    return await http.post("/v1/runs", json={"workload": "probe", **order})


async def test_a_run_is_created_and_read_back_at_once(http: httpx.AsyncClient) -> None:
    reply = await submit(http, params={"n": 3}, title="first", labels={"team": "a:b"}, seed=7)
    assert reply.status_code == 201
    view = reply.json()
    assert reply.headers["location"] == f"/v1/runs/{view['id']}"
    assert reply.headers["etag"] == f'"{view["sequence"]}"'
    assert int(reply.headers["trialbook-sequence"]) == view["sequence"]
    assert (view["status"], view["pool"], view["isolation"]) == ("queued", "hand", "process")
    again = await http.get(reply.headers["location"])
    assert again.json() == view
    assert (
        await http.get(reply.headers["location"], headers={"If-None-Match": again.headers["etag"]})
    ).status_code == 304
    dashed = f"{view['id'][:8]}-{view['id'][8:]}"
    assert (await http.get(f"/v1/runs/{dashed}")).json()["id"] == view["id"]


async def test_an_idempotency_key_gives_the_first_reply_again(http: httpx.AsyncClient, actor: Actor) -> None:
    headers = {"Idempotency-Key": actor.ids.new()}
    name = actor.ids.new()
    first = await http.post("/v1/runs", json={"workload": "probe", "name": name}, headers=headers)
    await http.post(f"/v1/runs/{first.json()['id']}/cancel")
    second = await http.post("/v1/runs", json={"name": name, "workload": "probe"}, headers=headers)
    assert (second.status_code, second.content) == (201, first.content)
    assert second.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    other = await http.post("/v1/runs", json={"workload": "probe", "name": name, "seed": 1}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    assert other.headers["content-type"] == "application/problem+json"


async def test_of_equal_keys_at_one_instant_one_run_results(http: httpx.AsyncClient, actor: Actor) -> None:
    headers = {"Idempotency-Key": actor.ids.new()}
    replies = await asyncio.gather(
        *(http.post("/v1/runs", json={"workload": "probe"}, headers=headers) for _ in range(8))
    )
    assert {reply.status_code for reply in replies} == {201}
    assert len({reply.content for reply in replies}) == 1


async def test_of_two_runs_with_one_name_exactly_one_wins(http: httpx.AsyncClient, actor: Actor) -> None:
    for _ in range(5):
        name = f"name {actor.ids.new()}"
        replies = await asyncio.gather(*(submit(http, name=name, start=False) for _ in range(4)))
        assert sorted(reply.status_code for reply in replies) == [201, 409, 409, 409]
        winner = next(reply for reply in replies if reply.status_code == 201).json()["id"]
        assert {r.json()["code"] for r in replies if r.status_code == 409} == {"name_taken"}
        assert (await http.delete(f"/v1/runs/{winner}")).status_code == 204
        assert (await http.get(f"/v1/runs/{winner}")).status_code == 404
        assert (await submit(http, name=name)).status_code == 201


async def test_faults_in_an_order_are_located(http: httpx.AsyncClient) -> None:
    for body, code, pointer in (
        ({"workload": "probe", "params": {"n": 0}}, "invalid_params", "/params/n"),
        ({"workload": "probe", "params": {"x/y": 1}}, "invalid_params", "/params"),
        ({"workload": "probe", "bad": 1}, "validation_failed", "/bad"),
        ({"workload": "probe", "retry": {"max_attempts": "3"}}, "validation_failed", "/retry/max_attempts"),
        ({"workload": "probe", "labels": {"a b": "c"}}, "validation_failed", "/labels/a b/[key]"),
    ):
        reply = await http.post("/v1/runs", json=body)
        assert (reply.status_code, reply.json()["code"]) == (422, code)
        assert pointer in [fault["pointer"] for fault in reply.json()["errors"]]
    unknown = await http.post("/v1/runs", json={"workload": "nothing"})
    assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_workload")
    assert "probe" in unknown.json()["known"]


async def test_a_run_may_get_a_thicker_wall_but_no_thinner_one(http: httpx.AsyncClient) -> None:
    assert (await submit(http, isolation="sandbox")).json()["isolation"] == "sandbox"
    reply = await submit(http, isolation="inline")
    assert (reply.status_code, reply.json()["code"]) == (422, "isolation_too_weak")


async def test_the_life_of_a_run_by_commands(http: httpx.AsyncClient, actor: Actor) -> None:
    run = (await submit(http, start=False)).json()["id"]
    path = f"/v1/runs/{run}"
    assert (await http.post(f"{path}/start")).json()["status"] == "queued"
    assert (await http.post(f"{path}/start")).json()["code"] == "run_already_started"
    assert (await http.post(f"{path}/pause")).json()["status"] == "paused"
    assert (await http.post(f"{path}/resume")).json()["status"] == "queued"
    await actor.claim(run)
    asked = await http.post(f"{path}/cancel", json={"reason": "enough"})
    assert (asked.status_code, asked.json()["cancel_reason"]) == (202, "enough")
    assert (await http.delete(path)).json()["code"] == "run_active"
    await actor.handle(run, c.ConfirmCancelled(attempt=1))
    ended = await http.get(f"{path}?wait=5")
    assert ended.json()["status"] == "cancelled"
    assert (await http.post(f"{path}/retry")).json()["status"] == "queued"


async def test_if_match_decides_on_the_state_that_was_read(http: httpx.AsyncClient) -> None:
    created = await submit(http, start=False)
    path, tag = created.headers["location"], created.headers["etag"]
    replies = await asyncio.gather(*(http.post(f"{path}/start", headers={"If-Match": tag}) for _ in range(4)))
    assert sorted(reply.status_code for reply in replies) == [200, 412, 412, 412]
    late = await http.post(f"{path}/cancel", headers={"If-Match": tag})
    assert (late.status_code, late.json()["code"]) == (412, "changed_meanwhile")
    assert (await http.post(f"{path}/cancel", headers={"If-Match": "nonsense"})).status_code == 422
    assert (await http.post(f"{path}/cancel", headers={"If-Match": "*"})).status_code == 200


async def test_waiting_ends_with_the_verdict(http: httpx.AsyncClient, actor: Actor) -> None:
    run = (await submit(http)).json()["id"]
    waiting = asyncio.create_task(http.get(f"/v1/runs/{run}?wait=60"))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await actor.claim(run)
    await actor.complete(run, result={"x": 1})
    reply = await asyncio.wait_for(waiting, 20)  # and so not because its time is over
    assert (reply.json()["status"], reply.json()["result"]) == ("completed", {"x": 1})
    assert (await http.get(f"/v1/runs/{run}/result")).json() == {"x": 1}
    unended = (await submit(http)).json()["id"]
    assert (await http.get(f"/v1/runs/{unended}?wait=0.2")).json()["status"] == "queued"


async def test_looking_back(http: httpx.AsyncClient, actor: Actor) -> None:
    created = (await submit(http, start=False)).json()
    path = f"/v1/runs/{created['id']}"
    queued = (await http.post(f"{path}/start")).json()
    await actor.claim(created["id"])
    await actor.complete(created["id"])
    then = await http.get(path, params={"as_of": queued["sequence"]})
    assert then.json() == queued
    assert (await http.get(path, params={"as_of": created["created_at"]})).json() == created
    assert (await http.get(path, params={"as_of": "2020-01-01T00:00:00Z"})).status_code == 404
    assert (await http.get(path, params={"as_of": "yesterday"})).json()["code"] == "invalid_time"


async def test_lists_filter_and_page_with_links(http: httpx.AsyncClient, actor: Actor) -> None:
    mark = actor.ids.new()
    made = [(await submit(http, labels={"mark": mark}, start=False)).json() for _ in range(5)]
    params = {"label": f"mark:{mark}", "limit": "2", "count": "true", "at_least": str(made[-1]["sequence"])}
    reply = await http.get("/v1/runs", params=params)
    seen = [run["id"] for run in reply.json()["items"]]
    assert reply.json()["total"] == 5
    while "link" in reply.headers:
        found = re.fullmatch(r'<(.*)>; rel="next"', reply.headers["link"])
        assert found is not None
        reply = await http.get(found[1])
        seen += [run["id"] for run in reply.json()["items"]]
    assert seen == [run["id"] for run in reversed(made)]
    none = await http.get("/v1/runs", params={**params, "status": ["completed", "failed"]})
    assert none.json()["items"] == []


async def test_a_sweep_is_an_order_with_variations(http: httpx.AsyncClient, actor: Actor) -> None:
    bad = await submit(http, sweep={"grid": {"n": [1, 0]}})
    assert bad.status_code == 422
    both = await submit(http, sweep={"grid": {"n": [1]}, "list": [{"n": 2}]})
    assert both.json()["code"] == "validation_failed"
    huge = await submit(http, sweep={"grid": {"n": list(range(1, 200)), "mode": ["a", "b"] * 60}})
    assert huge.status_code in (413, 422)


async def test_a_run_of_another_workspace_is_not_there(http: httpx.AsyncClient, actor: Actor) -> None:
    other = f"w{actor.ids.new()[:10]}"
    assert (await http.post("/v1/workspaces", json={"id": other})).status_code == 201
    run = (await submit(http)).json()["id"]
    assert (await http.get(f"/v1/runs/{run}", params={"workspace": other})).status_code == 404
    inside = await http.post("/v1/runs", json={"workload": "probe"}, headers={"Trialbook-Workspace": other})
    assert inside.json()["workspace"] == other
    assert (await http.get("/v1/runs", params={"workspace": "nowhere"})).json()["code"] == "workspace_not_found"
    assert (await http.delete(f"/v1/workspaces/{other}")).status_code == 204
    assert (await http.get("/v1/runs", params={"workspace": other})).json()["code"] == "workspace_not_found"
