"""The ledger again: pages, lines, feeds; to files and onto NATS at a chosen speed."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from nats.aio.msg import Msg

from tests.gateway.actor import META, Actor
from trialbook import subjects
from trialbook.clock import FixedClock
from trialbook.domain.run import RunSpec
from trialbook.domain.run import commands as c
from trialbook.envelope import AggregateId
from trialbook.errors import Invalid
from trialbook.handle import Handler
from trialbook.log.connect import settled
from trialbook_deploy.commands.replaying import Pacer
from trialbook_deploy.stack import Stack

pytestmark = pytest.mark.integration
NDJSON = {"Accept": "application/x-ndjson"}


async def told(http: httpx.AsyncClient, room: str, **query: Any) -> list[dict[str, Any]]:
    reply = await http.get("/v1/events", params=query, headers={**NDJSON, "Trialbook-Workspace": room})
    assert reply.status_code == 200, reply.text
    return [json.loads(line) for line in reply.text.split("\n")[:-1]]


async def orders(http: httpx.AsyncClient, room: str, count: int, **order: Any) -> list[dict[str, Any]]:
    body = {"workload": "probe", "start": False, **order}
    headers = {"Trialbook-Workspace": room}
    return [(await http.post("/v1/runs", json=body, headers=headers)).json() for _ in range(count)]


async def test_lines_are_the_pages_without_end(http: httpx.AsyncClient, actor: Actor, room: str) -> None:
    odd = {"title": 'quotes " and \\ \u2028 ü \x01\n', "params": {"n": 1}}
    runs = await orders(http, room, 230) + await orders(http, room, 3, **odd)
    headers = {"Trialbook-Workspace": room}
    pages: list[dict[str, Any]] = []
    url = f"/v1/events?limit=100&at_least={runs[-1]['sequence']}"
    while url:
        reply = await http.get(url, headers=headers)
        pages += reply.json()["items"]
        url = reply.links["next"]["url"] if "next" in reply.links else ""
    assert await told(http, room) == pages
    assert len(pages) == 234
    assert len(await told(http, room, limit=7)) == 7


async def test_facts_are_chosen(http: httpx.AsyncClient, actor: Actor, room: str) -> None:
    first, second = await orders(http, room, 2)
    started = (await http.post(f"/v1/runs/{first['id']}/start", headers={"Trialbook-Workspace": room})).json()
    everything = await told(http, room)
    assert [one["event"]["type"] for one in everything] == [
        "workspace.created.v1", "run.created.v1", "run.created.v1", "run.queued.v1",
    ]  # fmt: skip
    request = everything[-1]["event"]["correlationid"]
    offset = second["created_at"].replace("Z", "+00:00")
    for query, count in (
        ({"type": "run.queued.v1"}, 1), ({"kind": "run"}, 3), ({"aggregate": first["id"]}, 2),
        ({"correlation": request}, 1), ({"actor": "nobody"}, 0), ({"actor": "anonymous", "kind": "run"}, 3),
        ({"after": first["sequence"]}, 2), ({"up_to": first["sequence"]}, 2), ({"from": offset}, 2),
        ({"to": offset}, 2), ({"from": offset, "to": started["queued_at"]}, 1), ({"as_of": second["sequence"]}, 3),
    ):  # fmt: skip
        assert len(await told(http, room, **query)) == count, query
        params = {**query, "workspace": room}
        assert len((await http.get("/v1/events", params=params)).json()["items"]) == count, query
    for query in ({"from": "x"}, {"to": "2026-13-01"}, {"limit": "0"}, {"up_to": "99999999"}):
        assert (await http.get("/v1/events", params=query, headers=NDJSON)).status_code == 422


async def feed(http: httpx.AsyncClient, room: str, **query: Any) -> list[int]:
    """Sequences of a feed that ends by itself."""
    headers = {"Accept": "text/event-stream", "Trialbook-Workspace": room}
    async with asyncio.timeout(60), http.stream("GET", "/v1/events", params=query, headers=headers) as reply:
        assert reply.status_code == 200, await reply.aread()
        return [int(line[4:]) async for line in reply.aiter_lines() if line.startswith("id: ")]


async def test_a_feed_may_have_an_end(http: httpx.AsyncClient, actor: Actor, room: str) -> None:
    runs = await orders(http, room, 5)
    ends = [run["sequence"] for run in runs]
    assert await feed(http, room, after=ends[0], up_to=ends[3]) == ends[1:4]
    assert await feed(http, room, after=ends[0], to=runs[3]["created_at"]) == ends[1:3]
    following = asyncio.create_task(feed(http, room, after=ends[3], up_to=ends[4] + 2))
    await asyncio.sleep(0.2)
    later = await orders(http, room, 3)
    assert (await following)[:2] == [ends[4], later[0]["sequence"]]
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(ends[3])}
    assert (await http.get("/v1/events", params={"up_to": ends[3]}, headers=headers)).status_code == 204
    future = await http.get("/v1/events", params={"to": "2100-01-01T00:00:00Z"}, headers=headers)
    assert (future.status_code, future.json()["code"]) == (422, "future_time")


async def command(stack: Stack, *arguments: str, room: str = "") -> tuple[int, bytes, str]:
    given = [*arguments, "--data-dir", str(stack.data_dir)] + (["-w", room] if room else [])
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "trialbook_deploy", *given, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out, err.decode()


async def test_to_standard_output_and_to_a_file(
    stack: Stack, http: httpx.AsyncClient, actor: Actor, room: str, tmp_path: Path
) -> None:
    await orders(http, room, 20)
    lines = await told(http, room)
    code, out, err = await command(stack, "replay", room=room)
    assert (code, [json.loads(line) for line in out.splitlines()]) == (0, lines), err
    assert f"{len(lines)} facts" in err
    target = tmp_path / "facts.ndjson"
    code, out, _ = await command(stack, "replay", "--to", str(target), "--type", "run.created.v1", room=room)
    assert (code, out, len(target.read_text().splitlines())) == (0, b"", 20)
    assert (await command(stack, "replay", "--to", str(target), room=room))[0] == 2, "nothing is overwritten"
    code, _, err = await command(stack, "replay", "0" * 32, room=room)
    assert code == 2
    assert "trialbook rerun" in err


async def ordered_at(actor: Actor, room: str, *seconds: float) -> list[int]:
    """Runs that were ordered at these times of a day long ago; their sequences."""
    clock, made = FixedClock(), []
    began, handler = clock.now(), Handler(actor.log, clock, actor.ids)
    for second in seconds:
        clock.set(began + timedelta(seconds=second))
        order = c.Create(spec=RunSpec(workload="probe"), start=False)
        made.append((await handler.handle(AggregateId(room, "run", actor.ids.new()), order, META)).sequence)
    return made


async def test_onto_nats_at_the_pace_it_had(stack: Stack, http: httpx.AsyncClient, actor: Actor, room: str) -> None:
    heard: list[Msg] = []

    async def hear(message: Msg) -> None:
        heard.append(message)

    prefix = f"replayed.{room}"
    await actor.nc.subscribe(f"{prefix}.>", cb=hear)
    await settled(actor.nc)
    made = await ordered_at(actor, room, 0, 30, 31)
    everything = await told(http, room, kind="run", at_least=made[-1])
    assert [one["sequence"] for one in everything] == made
    for speed, first, least_s, most_s in (("1x", 1, 1.0, 31.0), ("10x", 0, 3.1, 31.0), ("max", 0, 0.0, 31.0)):
        heard.clear()
        events, target = everything[first:], f"nats:{prefix}"
        options = ("--to", target, "--speed", speed, "--kind", "run", "--from-sequence", str(made[first]))
        code, _, err = await command(stack, "replay", *options, room=room)
        assert code == 0, err
        async with asyncio.timeout(60):
            while len(heard) < len(events):
                await asyncio.sleep(0.01)
        assert [json.loads(message.data) for message in heard] == [one["event"] for one in events]
        sequences = [int((message.headers or {})["Trialbook-Sequence"]) for message in heard]
        assert sequences == [one["sequence"] for one in events]
        run = events[0]["event"]["subject"].split("/")[2]
        assert heard[0].subject == f"{prefix}.{room}.run.{run}.created"
        (took,) = re.findall(r" in ([0-9.]+) s", err)  # as the command says, rounded to tenths
        assert least_s - 0.05 <= float(took) < most_s, speed


async def test_distances_are_divided_by_the_factor() -> None:
    loop, pacer = asyncio.get_running_loop(), Pacer(10.0)
    before = loop.time()
    assert pacer.wait_s("2026-01-01T00:00:00.000000Z") <= 0
    due = pacer.wait_s("2026-01-01T00:00:50.000000Z")
    assert 5.0 - (loop.time() - before) <= due <= 5.0
    assert pacer.wait_s("2025-12-31T23:59:50.000000Z") <= -1.0, "late, and not waited for"


@pytest.mark.parametrize(
    "prefix",
    ["fact.main", "fact", "signal.x", "tap.fact", "ask.main", "cmd.x", "a.*", ">", "", "a..b", "$SYS.x", "_INBOX.a"],
)
def test_subjects_of_the_services_are_not_replayed_onto(prefix: str) -> None:
    with pytest.raises(Invalid):
        subjects.replay_prefix(prefix)


async def test_an_interrupted_replay_goes_on_where_it_stopped(
    stack: Stack, http: httpx.AsyncClient, actor: Actor, room: str
) -> None:
    made = await ordered_at(actor, room, 0, 0, 0, 3600, 3600)
    everything = await told(http, room, kind="run", at_least=made[-1])
    arguments = ("replay", "--speed", "1x", "--kind", "run", "-w", room, "--data-dir", str(stack.data_dir))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "trialbook_deploy", *arguments, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    first = [json.loads(await process.stdout.readline()) for _ in range(3)]
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130
    wanted = made[2] + 1
    assert f"--from-sequence {wanted}" in err.decode()
    _, out, _ = await command(stack, "replay", "--kind", "run", "--from-sequence", str(wanted), room=room)
    assert first + [json.loads(line) for line in out.splitlines()] == everything
