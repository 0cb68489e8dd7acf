"""Lanes and resets over the native API."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.gateway.actor import Actor

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("actor")]


async def submit(http: httpx.AsyncClient, lane: str, **order: object) -> dict[str, Any]:
    reply = await http.post("/v1/runs", json={"workload": "probe", "lane": lane, **order})
    assert reply.status_code == 201, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def read(http: httpx.AsyncClient, run: dict[str, Any], at_least: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = (await http.get(f"/v1/runs/{run['id']}", params={"at_least": at_least})).json()
    return found


async def test_runs_of_a_lane_wait_for_each_other(http: httpx.AsyncClient, actor: Actor) -> None:
    lane = actor.ids.new()
    first, second, third = [await submit(http, lane) for _ in range(3)]
    assert [(r["status"], r["held"], r["lane"]) for r in (first, second)] == [
        ("queued", False, lane), ("queued", True, lane)
    ]  # fmt: skip
    other = await submit(http, "")
    assert (other["held"], other["lane"]) == (False, None)
    assert (await http.post(f"/v1/runs/{second['id']}/cancel")).json()["status"] == "cancelled"
    await actor.claim(first["id"])
    await actor.complete(first["id"])
    assert (await read(http, third, await actor.log.last_sequence()))["held"] is False
    await actor.claim(third["id"])
    assert (await read(http, third, await actor.log.last_sequence()))["status"] == "running"


async def test_a_conditional_command_lets_the_next_one_in(http: httpx.AsyncClient, actor: Actor) -> None:
    lane = actor.ids.new()
    first, second = [await submit(http, lane) for _ in range(2)]
    stale = await http.post(f"/v1/runs/{first['id']}/cancel", headers={"If-Match": '"1"'})
    assert stale.status_code == 412
    tag = (await http.get(f"/v1/runs/{first['id']}")).headers["etag"]
    assert (await http.post(f"/v1/runs/{first['id']}/cancel", headers={"If-Match": tag})).status_code == 200
    assert (await read(http, second))["held"] is False


async def test_a_reset_run_is_as_it_was_created(http: httpx.AsyncClient, actor: Actor) -> None:
    run = (await http.post("/v1/runs", json={"workload": "probe", "start": False, "params": {"n": 1}})).json()
    await http.post(f"/v1/runs/{run['id']}/start")
    assert (await http.post(f"/v1/runs/{run['id']}/reset")).status_code == 409
    await actor.claim(run["id"])
    position = await actor.progress(run["id"], 7.0)
    await actor.complete(run["id"], result={"x": 1}, last=position)
    done = await read(http, run, await actor.log.last_sequence())
    assert (done["status"], done["result"]) == ("completed", {"x": 1})
    reset = await http.post(f"/v1/runs/{run['id']}/reset")
    assert reset.status_code == 200
    found = await read(http, run)
    assert found == run | {"sequence": found["sequence"], "attempt": 1, "signal_sequence": position}
    again = (await http.post(f"/v1/runs/{run['id']}/start")).json()
    assert again["status"] == "queued"
    assert await actor.claim(run["id"]) == 2
