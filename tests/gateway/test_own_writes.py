"""Whoever has written something reads it, in lists too, and also where the tables are behind the ledger."""

from __future__ import annotations

from pathlib import Path

import httpx
import msgspec
import pytest
from nats.aio.msg import Msg

from tests.gateway.actor import Actor
from trialbook import subjects
from trialbook.domain.run import RunSpec, commands
from trialbook.errors import NotFound
from trialbook.log.connect import connect
from trialbook.log.setup import ensure_streams
from trialbook.queries import Answer, RunGet
from trialbook.testing.server import NatsServer
from trialbook_gateway.asking import CheckedAsk

pytestmark = pytest.mark.integration


async def create(http: httpx.AsyncClient, **order: object) -> str:
    reply = await http.post("/v1/runs", json={"workload": "probe", **order})
    assert reply.status_code == 201, reply.text
    return str(reply.json()["id"])


async def test_lists_have_what_was_just_written(http: httpx.AsyncClient, actor: Actor) -> None:
    del actor
    for number in range(20):
        run = await create(http)
        assert (await http.get("/v1/runs?limit=1")).json()["items"][0]["id"] == run
        statement = {"sql": "SELECT id FROM runs WHERE id = ?", "params": [await create(http)]}
        assert len((await http.post("/v1/sql", json=statement)).json()["rows"]) == 1
        file = (await http.post(f"/v1/files?name=own-{number}", content=b"x")).json()["id"]
        listed = (await http.get(f"/v1/files?q=own-{number}&limit=1000")).json()["items"]
        assert file in [item["id"] for item in listed]
        last = (await http.post("/v1/runs", json={"workload": "probe"})).headers["trialbook-sequence"]
        events = await http.get(f"/v1/events?after={int(last) - 1}")
        assert events.json()["items"][0]["sequence"] == int(last)


async def test_what_the_ledger_has_is_asked_for_again_when_the_tables_lack_it(tmp_path: Path) -> None:
    """Another gateway wrote it, so that this one knows no sequence to ask for; a projector answers from before it."""
    server = NatsServer(tmp_path).start()
    nc = await connect(server.url, name="test")
    await ensure_streams(nc)
    actor = Actor(nc)
    await actor.start()
    asked: list[int] = []

    async def lagging(message: Msg) -> None:
        query = msgspec.json.decode(message.data, type=RunGet)
        asked.append(query.at_least)
        missing = {"kind": "not_found", "code": "run_not_found", "detail": "not yet", "extra": {}}
        found = Answer(facts=9, result=msgspec.Raw(b'{"sequence":9}')) if query.at_least else None
        reply = found or Answer(facts=0, signals=0, error=missing)
        await message.respond(msgspec.json.encode(reply))

    try:
        await nc.subscribe(subjects.ask("main", RunGet.NAME), cb=lagging)
        run, ask = actor.ids.new(), CheckedAsk(nc)
        with pytest.raises(NotFound):
            await ask.ask("main", RunGet(id=run))
        spec = RunSpec(workload="probe", params={}, pool="hand")
        outcome = await actor.handle(run, commands.Create(spec=spec, start=True, ticket=actor.ids.new()))
        assert (await ask.ask("main", RunGet(id=run))).error is None
        assert asked == [0, 0, outcome.sequence]
    finally:
        await actor.close()
        await nc.close()
        server.kill()


async def test_what_is_not_in_the_ledger_yet_is_refused(http: httpx.AsyncClient, actor: Actor) -> None:
    del actor
    run = await create(http)
    for path in (f"/v1/runs/{run}?as_of=99999999", "/v1/events?after=99999999", "/v1/events?up_to=99999999"):
        reply = await http.get(path)
        assert (reply.status_code, reply.json()["code"]) == (422, "future_sequence"), path
    feed = await http.get("/v1/events?after=99999999", headers={"Accept": "text/event-stream"})
    assert (feed.status_code, feed.json()["code"]) == (422, "future_sequence")


async def test_a_deleted_run_is_gone_in_the_past_too_once_it_was_deleted(http: httpx.AsyncClient, actor: Actor) -> None:
    del actor
    run = await create(http, start=False)
    before = (await http.get(f"/v1/runs/{run}")).headers["trialbook-sequence"]
    deleted = (await http.delete(f"/v1/runs/{run}")).headers["trialbook-sequence"]
    assert (await http.get(f"/v1/runs/{run}?as_of={before}")).json()["status"] == "created"
    assert (await http.get(f"/v1/runs/{run}?as_of={deleted}")).status_code == 404
