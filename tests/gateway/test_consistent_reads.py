"""What one reply tells is true as a whole, and no later reply is older than it, whichever route is asked."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.gateway.actor import Actor

pytestmark = pytest.mark.integration
ROUNDS = 8
PATIENCE_S = 120.0
LAST = 7.0
COUNTED = "SELECT r.status, (SELECT count(*) FROM metrics m WHERE m.run = r.id) FROM runs r WHERE r.id = ?"


async def created(http: httpx.AsyncClient, **order: Any) -> str:
    reply = await http.post("/v1/runs", json={"workload": "probe", **order})
    assert reply.status_code == 201, reply.text
    return str(reply.json()["id"])


async def executed(actor: Actor, run: str) -> None:
    """By somebody else than the gateway, which knows of it only what it is told."""
    await actor.claim(run)
    await actor.metric(run, 1.0)
    await actor.progress(run, 5.0)
    await actor.lines(run, 3)
    await actor.metric(run, LAST)
    await actor.progress(run, 10.0)
    await actor.complete(run, result={"loss": LAST})


async def got(http: httpx.AsyncClient, path: str) -> Any:
    reply = await http.get(path)
    assert reply.status_code == 200, f"{path}: {reply.text}"
    return reply.json()


async def asked(http: httpx.AsyncClient, statement: str, *params: Any) -> Any:
    reply = await http.post("/v1/sql", json={"sql": statement, "params": list(params)})
    assert reply.status_code == 200, reply.text
    return reply.json()["rows"]


@pytest.mark.parametrize(
    "route", ["list", "sql", "compare", "metric", "events", "facts", "artifacts", "rows", "logs", "trail"]
)
async def test_whoever_was_told_of_an_end_reads_it_everywhere(
    http: httpx.AsyncClient, actor: Actor, route: str
) -> None:
    for _ in range(ROUNDS):
        run = await created(http)
        waiting = asyncio.create_task(got(http, f"/v1/runs/{run}?wait=60"))
        await executed(actor, run)
        told = await waiting
        assert told["status"] == "completed"
        assert told["progress"] is None or told["progress"]["done"] == 10.0
        await says_so(http, route, run)


async def says_so(http: httpx.AsyncClient, route: str, run: str) -> None:
    match route:
        case "list":
            listed = (await got(http, "/v1/runs?status=completed&limit=1"))["items"]
            assert [item["id"] for item in listed] == [run]
        case "sql":
            assert await asked(http, COUNTED, run) == [["completed", 2]]
        case "compare":
            row = (await got(http, f"/v1/compare?run={run}"))["rows"][0]
            assert (row["status"], row["values"]["metric.loss"]["value"]) == ("completed", LAST)
            assert row["values"]["result.loss"]["value"] == LAST
        case "metric":
            (found,) = await got(http, f"/v1/metrics/compare?metric=loss&run={run}")
            assert (found["count"], found["last"]) == (2, LAST)
        case "events" | "facts":
            path = f"/v1/events?aggregate={run}" if route == "events" else f"/v1/runs/{run}/facts"
            assert (await got(http, path))["items"][-1]["event"]["type"] == "run.completed.v1"
        case "artifacts":
            assert await got(http, f"/v1/runs/{run}/result") == {"loss": LAST}
        case "rows":
            assert len((await got(http, f"/v1/runs/{run}/metrics"))["items"]) == 2
        case "logs":
            page = await got(http, f"/v1/runs/{run}/logs")
            assert (len(page["items"]), page["total"], page["complete"]) == (3, 3, True)
        case "trail":
            assert "run.completed.v1" in (await http.get(f"/v1/audit/trail/{run}")).text


async def test_whoever_was_told_by_a_stream_reads_it_in_lists(http: httpx.AsyncClient, actor: Actor) -> None:
    for _ in range(ROUNDS):
        run = await created(http)
        async with asyncio.timeout(PATIENCE_S), http.stream("GET", f"/v1/runs/{run}/stream?kinds=status") as reply:
            work = asyncio.create_task(executed(actor, run))
            async for line in reply.aiter_lines():
                if line.startswith("data: ") and json.loads(line[6:])["data"]["status"] == "completed":
                    break
            listed = (await got(http, "/v1/runs?status=completed&limit=1"))["items"]
            assert [item["id"] for item in listed] == [run]
            await work


def agrees(item: dict[str, Any], at: int) -> None:
    """Whether the members of a run agree with each other, in a list as of a sequence."""
    assert item["sequence"] <= at
    assert (item["started_at"] is None) == (item["status"] in ("created", "queued")), item
    assert (item["finished_at"] is not None) == (item["status"] == "completed"), item
    if item["status"] == "completed" and item["progress"] is not None:
        assert item["progress"]["done"] == 10.0, item


async def add_up(http: httpx.AsyncClient, run: str) -> None:
    """Whether a run's numbers are those of its status."""
    for row in (await got(http, f"/v1/compare?run={run}"))["rows"]:
        values = {name: cell["value"] for name, cell in row["values"].items()}
        if row["status"] == "completed":
            assert values == {"metric.loss": LAST, "result.loss": LAST}
        else:
            assert "result.loss" not in values
    for status, count in await asked(http, COUNTED, run):
        assert count == 2 or status != "completed"


async def test_a_reply_is_true_while_runs_come_and_end(http: httpx.AsyncClient, actor: Actor) -> None:
    """Totals and items agree, nothing ended lacks what it emitted, and no reply is older than the one before."""
    label, stop = actor.ids.new(), asyncio.Event()
    runs: list[str] = []

    async def work() -> None:
        for _ in range(25):
            runs.append(await created(http, labels={"t": label}))
            await executed(actor, runs[-1])
        stop.set()

    async def lists() -> None:
        seen = 0
        while not stop.is_set():
            reply = await http.get(f"/v1/runs?label=t:{label}&count=true&limit=1000")
            page, at = reply.json(), int(reply.headers["trialbook-sequence"])
            assert page["total"] == len(page["items"])
            assert at >= seen, "older than the reply before"
            seen = at
            for item in page["items"]:
                agrees(item, at)

    async def numbers() -> None:
        while not stop.is_set():
            if runs:
                await add_up(http, runs[-1])
            await asyncio.sleep(0)

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        for task in (work(), lists(), numbers()):
            group.create_task(task)


@pytest.mark.parametrize("kind", ["dataset", "model"])
async def test_things_are_everywhere_as_soon_as_they_are_stored(
    http: httpx.AsyncClient, actor: Actor, kind: str
) -> None:
    for _ in range(ROUNDS):
        name = f"own-{actor.ids.new()}"
        made = (await http.post(f"/v1/{kind}s", json={"name": name, "kind": "table"})).json()
        found = (await got(http, f"/v1/{kind}s?q={name}"))["items"]
        assert [item["id"] for item in found] == [made["id"]]
        added = await http.post(f"/v1/{kind}s/{made['id']}/versions?name=a.csv", content=b"x")
        assert added.status_code == 201, added.text
        counted = f"SELECT json_array_length(data, '$.versions') FROM {kind}s WHERE id = ?"
        assert await asked(http, counted, made["id"]) == [[1]]
        one = await got(http, f"/v1/{kind}s/{made['id']}")
        assert [version["number"] for version in one["data"]["versions"]] == [1]
        assert len((await got(http, f"/v1/{kind}s/{made['id']}/versions"))["items"]) == 1
        assert (await http.delete(f"/v1/{kind}s/{made['id']}")).status_code == 204
        assert (await got(http, f"/v1/{kind}s?q={name}"))["items"] == []
        assert (await http.get(f"/v1/{kind}s/{made['id']}")).status_code == 404
