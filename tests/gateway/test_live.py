from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.gateway.actor import Actor
from tests.gateway.conftest import Site
from trialbook.domain.run import commands as c
from trialbook.log.connect import connected

pytestmark = pytest.mark.integration
PATIENCE_S = 60.0


async def submitted(http: httpx.AsyncClient) -> str:
    reply = await http.post("/v1/runs", json={"workload": "probe"})
    return str(reply.json()["id"])


def address(site: Site, run: str, query: str = "") -> str:
    return f"{site.url.replace('http', 'ws', 1)}/v1/runs/{run}/ws{query}"


async def everything(socket: ClientConnection) -> list[dict[str, Any]]:
    try:
        return [json.loads(text) async for text in socket]
    except ConnectionClosed as closed:
        pytest.fail(f"closed early: {closed}")


async def followed(site: Site, run: str, query: str = "") -> tuple[list[dict[str, Any]], int | None]:
    async with connect(address(site, run, query)) as socket:
        return await everything(socket), socket.close_code


async def streamed(http: httpx.AsyncClient, run: str, cursor: str = "") -> list[dict[str, Any]]:
    headers = {"Last-Event-ID": cursor} if cursor else {}
    async with http.stream("GET", f"/v1/runs/{run}/stream", headers=headers) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        return [json.loads(line[6:]) async for line in reply.aiter_lines() if line.startswith("data: ")]


def lines(messages: list[dict[str, Any]]) -> list[Any]:
    return [message["data"] for message in messages if message["type"] == "log"]


async def stored(http: httpx.AsyncClient, run: str) -> list[Any]:
    """All lines of an ended run by REST, once the projector has them all."""
    async with asyncio.timeout(PATIENCE_S):
        while not (await http.get(f"/v1/runs/{run}/logs")).json().get("complete"):
            await asyncio.sleep(0.05)
    found: list[Any] = []
    cursor = 0
    while True:
        page = (await http.get(f"/v1/runs/{run}/logs", params={"cursor": cursor, "limit": 1000})).json()
        found += page["items"]
        if not page["has_more"]:
            return found
        cursor = page["items"][-1]["cursor"]


async def play(actor: Actor, run: str, chunks: int = 20, pause_s: float = 0.01) -> None:
    await actor.claim(run)
    for number in range(chunks):
        await actor.lines(run, 7)
        await actor.metric(run, number)
        await actor.progress(run, number)
        await asyncio.sleep(pause_s)
    await actor.complete(run)


async def test_early_and_late_clients_see_every_line_once_then_the_end(
    site: Site, http: httpx.AsyncClient, actor: Actor
) -> None:
    run = await submitted(http)

    async def later(delay_s: float) -> list[dict[str, Any]]:
        await asyncio.sleep(delay_s)
        messages, code = await followed(site, run)
        assert code == 1000
        return messages

    results = await asyncio.gather(
        *(later(delay) for delay in (0, 0, 0.05, 0.1, 0.2, 3)), streamed(http, run), play(actor, run)
    )
    expected = await stored(http, run)
    assert len(expected) == 140
    for messages in results[:-1]:
        assert messages is not None
        assert lines(messages) == expected
        assert [m["data"]["value"] for m in messages if m["type"] == "metric"] == [float(n) for n in range(20)]
        assert messages[-1]["type"] == "status"
        assert (messages[-1]["data"]["status"], messages[-1]["data"]["final"]) == ("completed", True)
        assert [m["data"]["event"]["type"] for m in messages if m["type"] == "fact"] == [
            "run.submitted.v1", "run.started.v1", "run.completed.v1",
        ]  # fmt: skip


async def test_a_client_that_comes_back_misses_and_repeats_nothing(
    site: Site, http: httpx.AsyncClient, actor: Actor
) -> None:
    run = await submitted(http)
    playing = asyncio.create_task(play(actor, run, chunks=40))
    seen: list[dict[str, Any]] = []
    cursor = ""
    while not seen or not seen[-1]["data"].get("final"):
        async with connect(address(site, run, f"?cursor={cursor}"), max_queue=None) as socket:
            for _ in range(23):
                try:
                    seen.append(json.loads(await socket.recv()))
                except ConnectionClosed:
                    break
                cursor = seen[-1]["cursor"]
    await playing
    assert lines(seen) == await stored(http, run)
    facts = [m["data"]["sequence"] for m in seen if m["type"] == "fact"]
    assert len(facts) == len(set(facts)) == 3


async def test_following_survives_restarts_of_nats_and_projector(
    site: Site, http: httpx.AsyncClient, actor: Actor
) -> None:
    run = await submitted(http)
    following = [asyncio.create_task(followed(site, run)) for _ in range(3)]
    streaming = asyncio.create_task(streamed(http, run))
    await actor.claim(run)
    for _ in range(5):
        await actor.lines(run, 5)
    await asyncio.sleep(2.5)  # signals are acknowledged before they are on disk; a runner would send them again
    await site.nats.restart()
    assert await connected(actor.nc, PATIENCE_S)
    for _ in range(5):
        await actor.lines(run, 5)
    site.projector.stop(signal.SIGKILL)
    for _ in range(5):
        await actor.lines(run, 5)
    site.projector.start()
    await actor.complete(run)
    results = [(await asyncio.wait_for(task, PATIENCE_S))[0] for task in following]
    results.append(await asyncio.wait_for(streaming, PATIENCE_S))
    expected = await stored(http, run)
    assert len(expected) == 75
    for messages in results:
        assert lines(messages) == expected
        assert messages[-1]["data"]["final"]


async def test_a_lost_tap_is_noticed_and_read_again(site: Site, http: httpx.AsyncClient, actor: Actor) -> None:
    """A republished message that never was, with a gap in front of it, makes the gateway read the past again."""
    run = await submitted(http)
    following = asyncio.create_task(followed(site, run))
    await actor.claim(run)
    await actor.lines(run, 3)
    await asyncio.sleep(0.3)
    forged = {"Nats-Sequence": "999999999", "Nats-Last-Sequence": "999999998"}
    await actor.nc.publish(f"tap.signal.main.run.{run}.log", b"{}", headers=forged)
    await actor.lines(run, 3)
    await actor.complete(run)
    messages, code = await asyncio.wait_for(following, PATIENCE_S)
    assert code == 1000
    assert lines(messages) == await stored(http, run)
    assert len(lines(messages)) == 6


async def test_lines_of_a_lost_attempt_after_the_last_own_one_do_not_exist(
    site: Site, http: httpx.AsyncClient, actor: Actor
) -> None:
    run = await submitted(http)
    async with connect(address(site, run)) as socket:
        first = json.loads(
            await socket.recv()
        )  # from here on it follows: whoever reads the past sees what may yet count
        await actor.claim(run)
        await actor.lines(run, 2)
        assert await actor.claim(run) == 2  # the lease ran out, the queue entry came again
        await actor.lines(run, 2, attempt=1)
        own = await actor.lines(run, 2, attempt=2)
        await actor.lines(run, 2, attempt=1)
        await actor.complete(run, attempt=2, last=own)
        await actor.lines(run, 2, attempt=1)
        messages = [first, *await asyncio.wait_for(everything(socket), PATIENCE_S)]
    assert socket.close_code == 1000
    assert lines(messages) == await stored(http, run)
    assert len(lines(messages)) == 6


async def test_a_retried_run_goes_on(site: Site, http: httpx.AsyncClient, actor: Actor) -> None:
    run = await submitted(http)
    await actor.claim(run)
    await actor.lines(run, 2)
    await http.post(f"/v1/runs/{run}/cancel")
    await actor.handle(run, c.ConfirmCancelled(attempt=1, signal_sequence=actor.last_signal))
    first, _ = await followed(site, run)
    assert first[-1]["data"]["status"] == "cancelled"
    await http.post(f"/v1/runs/{run}/retry")
    following = asyncio.create_task(followed(site, run, f"?cursor={first[-1]['cursor']}"))
    await asyncio.sleep(0.2)
    await actor.claim(run)
    await actor.lines(run, 3, attempt=2)
    await actor.complete(run, attempt=2)
    rest, _ = await asyncio.wait_for(following, PATIENCE_S)
    assert lines(first) + lines(rest) == await stored(http, run)
    assert rest[-1]["data"]["status"] == "completed"


async def test_filters(site: Site, http: httpx.AsyncClient, actor: Actor) -> None:
    run = await submitted(http)
    following = asyncio.create_task(followed(site, run, "?kinds=log&level=warning"))
    statuses = asyncio.create_task(followed(site, run, "?kinds=status"))
    await asyncio.sleep(0.2)
    await actor.claim(run)
    await actor.lines(run, 3)
    await actor.lines(run, 2, level="error")
    await actor.complete(run)
    live, _ = await asyncio.wait_for(following, PATIENCE_S)
    late, _ = await followed(site, run, "?kinds=log&level=warning")
    assert [m["type"] for m in live] == ["log", "log", "status"]
    assert lines(live) == lines(late)
    assert [m["data"]["status"] for m in (await statuses)[0]] == ["queued", "running", "completed"]


async def test_a_deleted_run_ends_its_streams(site: Site, http: httpx.AsyncClient, actor: Actor) -> None:
    run = (await http.post("/v1/runs", json={"workload": "probe", "start": False})).json()["id"]
    async with connect(address(site, run)) as socket:
        await socket.recv()  # who comes after the end is told that there is no such run
        await http.delete(f"/v1/runs/{run}")
        messages = await asyncio.wait_for(everything(socket), PATIENCE_S)
    assert (messages[-1]["data"]["status"], socket.close_code) == ("deleted", 1000)


@pytest.mark.parametrize(
    ("frame", "code"), [(b"\x00\x01", 1003), ("nonsense", 1008), ('{"type":"take"}', 1008), ("x" * 5000, 1009)]
)
async def test_bad_frames_end_the_connection(
    site: Site, http: httpx.AsyncClient, actor: Actor, frame: str | bytes, code: int
) -> None:
    run = await submitted(http)
    async with connect(address(site, run)) as socket:
        await socket.send('{"type":"ping"}')
        while json.loads(await socket.recv())["type"] != "pong":
            pass
        await socket.send(frame)
        await socket.wait_closed()
        assert socket.close_code == code


@pytest.mark.parametrize(
    ("query", "status"), [("?cursor=x", 422), ("?kinds=nothing", 422), ("?workspace=nowhere", 404), ("?what=1", 422)]
)
async def test_bad_requests_are_refused_before_the_upgrade(
    site: Site, http: httpx.AsyncClient, actor: Actor, query: str, status: int
) -> None:
    run = await submitted(http)
    with pytest.raises(InvalidStatus) as refused:
        await connect(address(site, run, query))
    assert refused.value.response.status_code == status
    assert (await http.get(f"/v1/runs/{run}/stream{query}")).status_code == status
    unknown = actor.ids.new()
    with pytest.raises(InvalidStatus) as missing:
        await connect(address(site, unknown))
    assert missing.value.response.status_code == 404
    assert (await http.get(f"/v1/runs/{unknown}/stream")).status_code == 404


async def test_no_subscription_stays_behind(site: Site, http: httpx.AsyncClient, actor: Actor) -> None:
    run = await submitted(http)
    sockets = [await connect(address(site, run)) for _ in range(20)]
    for socket in sockets:
        await socket.recv()
    await open_sockets(http, 20)
    for socket in sockets[:10]:
        socket.transport.abort()
    for socket in sockets[10:]:
        await socket.close()
    await open_sockets(http, 0)


async def open_sockets(http: httpx.AsyncClient, count: int) -> None:
    """Wait until so many are counted; those of an earlier test may just be ending."""
    async with asyncio.timeout(PATIENCE_S):
        while f'trialbook_live_clients{{kind="websocket"}} {count}.0' not in (await http.get("/metrics")).text:
            await asyncio.sleep(0.1)


async def test_the_feed_of_facts_resumes(http: httpx.AsyncClient, actor: Actor) -> None:
    workspace = f"feed-{actor.ids.new()[-12:]}"
    await http.post("/v1/workspaces", json={"id": workspace})
    seen: list[dict[str, Any]] = []

    async def read(count: int, last: str) -> None:
        headers = {"Accept": "text/event-stream", "Trialbook-Workspace": workspace, "Last-Event-ID": last}
        async with http.stream("GET", "/v1/events", headers=headers) as reply:
            async for line in reply.aiter_lines():
                if line.startswith("data: "):
                    seen.append(json.loads(line[6:]))
                    count -= 1
                    if not count:
                        return

    async def submit(count: int) -> None:
        for _ in range(count):
            order = {"workload": "probe", "start": False}
            await http.post("/v1/runs", json=order, headers={"Trialbook-Workspace": workspace})

    await submit(3)
    await asyncio.gather(asyncio.wait_for(read(8, ""), PATIENCE_S), submit(10))
    await asyncio.wait_for(read(6, seen[-1]["cursor"]), PATIENCE_S)
    page = await http.get("/v1/events", params={"workspace": workspace, "limit": 100, "at_least": seen[-1]["cursor"]})
    expected = page.json()["items"]
    assert [m["data"] for m in seen] == expected
    assert len(expected) == 14
