"""What the API says when it looks back is what it said then, byte for byte."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import httpx
import msgspec
import pytest

from tests.gateway.actor import Actor
from trialbook.domain.run import commands as c
from trialbook.envelope import AggregateId

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]  # thousands of reads
OPERATIONS = 45
LISTS = (
    "/v1/runs?count=true", "/v1/runs?limit=2&count=true", "/v1/runs?order=created_asc&limit=3", "/v1/runs?brief=true",
    "/v1/runs?status=running&status=queued&count=true", "/v1/runs?status=completed", "/v1/runs?status=failed&limit=1",
    "/v1/runs?label=mark:even", "/v1/runs?q=named", "/v1/runs?workload=probe&status=created", "/v1/datasets",
    "/v1/datasets?q=set&limit=1", "/v1/models", "/v1/files", "/v1/files?limit=2", "/v1/events?limit=1000",
)  # fmt: skip
PARTS = ("", "/steps", "/children", "/facts?limit=1000", "/logs?limit=1000", "/logs?limit=3", "/metrics",
         "/rows/thing", "/artifacts", "/result")  # fmt: skip


class Life:
    """Does something at random in a workspace, and knows what there is."""

    def __init__(self, http: httpx.AsyncClient, actor: Actor, room: str, chance: random.Random) -> None:
        self.http, self.actor, self.room, self.chance = http, actor, room, chance
        self.headers = {"Trialbook-Workspace": room}
        self.runs: list[str] = []
        self.items: list[tuple[str, str]] = []
        self.attempts: dict[str, int] = {}

    async def step(self) -> None:
        """One of the things that can be done now."""
        doing = [self.submit, self.upload, self.register, self.version, self.work, self.work, self.work, self.order,
                 self.order, self.remove]  # fmt: skip
        await self.chance.choice(doing)()

    async def post(self, path: str, body: Any = None, **other: Any) -> httpx.Response:
        return await self.http.post(path, json=body, headers=self.headers, **other)

    async def submit(self) -> None:
        number = len(self.runs)
        order: dict[str, Any] = {
            "workload": "probe", "start": bool(number % 3), "params": {"n": number + 1}, "retry": {"max_attempts": 2},
            "labels": {"mark": "even" if number % 2 else "odd"},
        }  # fmt: skip
        if number % 4 == 1:
            order["name"] = f"named-{number}"
        self.runs.append((await self.post("/v1/runs", order)).json()["id"])

    async def upload(self) -> None:
        reply = await self.http.post(
            f"/v1/files?name=file-{len(self.items)}", content=self.chance.randbytes(20), headers=self.headers
        )
        self.items.append(("file", reply.json()["id"]))

    async def register(self) -> None:
        kind = self.chance.choice(("dataset", "model"))
        reply = await self.post(f"/v1/{kind}s", {"name": f"set-{len(self.items)}"})
        self.items.append((kind, reply.json()["id"]))

    async def version(self) -> None:
        files = [id_ for kind, id_ in self.items if kind == "file"]
        for kind, id_ in self.items:
            if kind != "file" and files:
                await self.post(f"/v1/{kind}s/{id_}/versions", {"files": {"a": self.chance.choice(files)}})
                return

    async def work(self) -> None:
        """A runner's part: whatever the run is ready for."""
        if not self.runs:
            return
        run = self.chance.choice(self.runs)
        state = (await self.actor.handler.load(AggregateId(self.room, "run", run))).state
        if state.deleted:
            return
        if state.status == "queued":
            await self._do(run, c.Claim(ticket=state.ticket, runner=self.chance.choice("xyz")))
        elif state.status == "running":
            await self._run(run, state.attempt)

    async def _run(self, run: str, attempt: int) -> None:
        choice = self.chance.randrange(6)
        if choice < 4:
            now = self.actor._now_us()
            line = {"time": now, "level": "info", "message": "m", "logger": "probe"}
            row = {"time": now, "kind": "thing", "id": "i", "index": self.actor.last_signal, "data": {"a": 1}}
            await self._emit(run, "log", attempt, [line] * 3)
            await self._emit(run, "metric", attempt, [{"time": now, "name": "loss", "value": self.chance.random()}])
            await self._emit(run, "record", attempt, [row])
            step = f"step-{self.chance.randrange(3)}"
            await self._do(run, c.StartStep(attempt=attempt, step=step))
            if choice == 1:
                await self._do(run, c.CompleteStep(attempt=attempt, step=step, result={"x": [1, None]}))
            if choice == 2:
                await self._do(run, c.RecordArtifact(attempt=attempt, name="out", sha256="a" * 64, size=3))
        elif choice == 4:
            done = c.Complete(attempt=attempt, result={"r": 1}, signal_sequence=self.actor.last_signal)
            await self._do(run, done)
        else:
            error = {"code": "exception", "detail": "broken"}
            await self._do(run, c.Fail(attempt=attempt, error=error, signal_sequence=self.actor.last_signal))

    async def _emit(self, run: str, kind: Any, attempt: int, records: list[Any]) -> None:
        await self.actor.emit(run, kind, {"attempt": attempt, "records": records}, workspace=self.room)

    async def order(self) -> None:
        if self.runs:
            what = self.chance.choice(("start", "cancel", "pause", "resume", "retry"))
            await self.post(f"/v1/runs/{self.chance.choice(self.runs)}/{what}")

    async def remove(self) -> None:
        if self.chance.random() < 0.4 and self.items:
            kind, id_ = self.chance.choice(self.items)
            await self.http.delete(f"/v1/{kind}s/{id_}", headers=self.headers)
        elif self.runs and self.chance.random() < 0.4:
            await self.http.delete(f"/v1/runs/{self.chance.choice(self.runs)}", headers=self.headers)

    async def _do(self, run: str, command: Any) -> None:
        await self.actor.handle(run, command, self.room)

    def paths(self) -> list[str]:
        """Everything that can be read now."""
        runs = [
            f"/v1/runs/{run}{part}" for run in self.chance.sample(self.runs, min(3, len(self.runs))) for part in PARTS
        ]
        items = [f"/v1/{kind}s/{id_}" for kind, id_ in self.items]
        versions = [f"/v1/{kind}s/{id_}/versions" for kind, id_ in self.items if kind != "file"]
        compared = "&".join(f"run={run}" for run in self.runs)
        return (
            [*LISTS, *runs, *items, *versions, f"/v1/metrics/compare?metric=loss&{compared}"] if compared else [*LISTS]
        )


def comparable(reply: httpx.Response) -> Any:
    """Status and body, but for progress, of which only the latest is kept, and the name of the request."""
    body = reply.json()
    if reply.status_code != 200:
        return reply.status_code, body["code"]
    for one in body.get("items", [body]) if isinstance(body, dict) else body:
        one.pop("progress", None)
    return 200, msgspec.json.encode(body)


async def test_looking_back_says_what_was_said(http: httpx.AsyncClient, actor: Actor, room: str) -> None:
    life = Life(http, actor, room, random.Random(5))
    said: list[tuple[int, str, Any]] = []
    for _ in range(OPERATIONS):
        await life.step()
        end = await actor.log.last_sequence()
        round_: list[tuple[int, str, Any]] = []
        for path in life.paths():
            seen = f"at_least={end}" + (f"&at_least_signals={actor.last_signal}" if "/logs" in path else "")
            asked = path if path.endswith("/versions") else f"{path}{'&' if '?' in path else '?'}{seen}"
            reply = await http.get(asked, headers=life.headers)
            round_.append((end, path, comparable(reply)))
        if await actor.log.last_sequence() == end:  # nobody else has said anything meanwhile
            said += round_
    assert len(said) > 500
    assert len({code for _, _, (code, _) in said}) > 1, "some of what was asked for was not there"
    wrong = []
    for end, path, then in random.Random(6).sample(said, min(len(said), 900)):
        reply = await http.get(f"{path}{'&' if '?' in path else '?'}as_of={end}", headers=life.headers)
        if comparable(reply) != then:
            wrong.append((end, path, then, comparable(reply)))
        assert reply.status_code != 200 or reply.headers.get("trialbook-sequence", str(end)) == str(end)
    assert not wrong, (len(wrong), wrong[:3])


async def test_sql_looks_back(http: httpx.AsyncClient, actor: Actor, room: str) -> None:
    life = Life(http, actor, room, random.Random(9))
    queries = (
        "SELECT id, status, attempt, labels, finished_at FROM runs ORDER BY id", "SELECT * FROM steps ORDER BY ALL",
        "SELECT id, name, data FROM datasets ORDER BY id", "SELECT id, sequence FROM files ORDER BY id",
        "SELECT count(*), max(sequence) FROM facts",
        "SELECT run, count(*), sum(value) FROM metrics GROUP BY run ORDER BY run",
        "SELECT name, title FROM workspaces JOIN (SELECT 1 AS title) ON true",
    )  # fmt: skip

    async def rows(query: str, **order: Any) -> Any:
        reply = await http.post("/v1/sql", json={"sql": query, **order}, headers=life.headers)
        return reply.json().get("rows", reply.json())

    said = []
    for _ in range(30):
        await life.step()
        end = await actor.log.last_sequence()
        for run in life.runs[-1:]:
            await http.get(f"/v1/runs/{run}/logs?at_least_signals={actor.last_signal}", headers=life.headers)
        said += [(end, query, await rows(query, at_least=end)) for query in queries]
    for end, query, then in random.Random(1).sample(said, 60):
        assert await rows(query, as_of=str(end)) == then, (end, query)
    assert await rows(queries[0]) == said[-len(queries)][2], "and sees the present again"
    assert (await rows("SELECT * FROM then_runs", as_of="5"))["code"] == "sql_not_allowed"


async def test_a_moment_can_be_a_time_with_any_offset(http: httpx.AsyncClient, actor: Actor, room: str) -> None:
    headers = {"Trialbook-Workspace": room}
    run = (await http.post("/v1/runs", json={"workload": "probe", "start": False}, headers=headers)).json()
    await asyncio.sleep(0.01)
    started = (await http.post(f"/v1/runs/{run['id']}/start", headers=headers)).json()
    at = f"/v1/runs/{run['id']}"
    for moment, status in (
        (run["created_at"], "created"), (started["queued_at"], "queued"), ("2100-01-01T00:00:00+05:30", "queued"),
        (started["queued_at"].replace("Z", "+00:00"), "queued"),
    ):  # fmt: skip
        reply = await http.get(at, params={"as_of": moment}, headers=headers)
        assert (reply.status_code, reply.json().get("status")) == (200, status), moment
    assert (await http.get(at, params={"as_of": "2020-01-01T00:00:00+02:00"}, headers=headers)).status_code == 404
    assert (await http.get(at, params={"as_of": "0"}, headers=headers)).status_code == 404
    today = run["created_at"][:10]
    assert (await http.get(at, params={"as_of": today}, headers=headers)).status_code == 404  # it begins with midnight
    assert (await http.get(at, params={"as_of": "2100-01-01"}, headers=headers)).status_code == 200
    for bounds, found in (({"from": today}, True), ({"to": today}, False), ({"to": "2100-01-01"}, True)):
        reply = await http.get("/v1/events", params={"aggregate": run["id"], **bounds}, headers=headers)
        assert (reply.status_code, bool(reply.json()["items"])) == (200, found), bounds
    for bounds, found in (({"created_after": today}, True), ({"created_before": today}, False)):
        reply = await http.get("/v1/runs", params=bounds, headers=headers)
        assert run["id"] in reply.text if found else run["id"] not in reply.text, bounds
    bad = {
        "yesterday": "invalid_time",
        "2100-01-01T00:00:00": "invalid_time",
        "9" * 14: "future_sequence",
        "9" * 30: "invalid_sequence",
    }
    for path in ("/v1/runs", at, f"{at}/logs", "/v1/datasets", "/v1/events", "/v1/workspaces"):
        for moment, code in bad.items():
            reply = await http.get(path, params={"as_of": moment}, headers=headers)
            assert (reply.status_code, reply.json()["code"]) == (422, code), path


async def test_lines_of_a_running_run_are_cut_by_time(http: httpx.AsyncClient, actor: Actor, room: str) -> None:
    headers = {"Trialbook-Workspace": room}
    run = (await http.post("/v1/runs", json={"workload": "probe"}, headers=headers)).json()["id"]
    aggregate = AggregateId(room, "run", run)
    ticket = (await actor.handler.load(aggregate)).state.ticket
    await actor.handle(run, c.Claim(ticket=ticket, runner="x"), room)
    moments, last = [], 0
    for number in range(4):
        record = {"time": actor._now_us(), "level": "info", "message": str(number), "logger": "l"}
        await actor.emit(run, "log", {"attempt": 1, "records": [record]}, room)
        done = {"time": actor._now_us(), "done": number}
        last = await actor.emit(run, "progress", {"attempt": 1, "records": [done]}, room)
        await asyncio.sleep(0.005)
        moments.append(actor.clock.now().isoformat())
    await http.get(f"/v1/runs/{run}/logs", params={"at_least_signals": last}, headers=headers)
    for number, moment in enumerate(moments):
        page = (await http.get(f"/v1/runs/{run}/logs", params={"as_of": moment}, headers=headers)).json()
        assert ([one["message"] for one in page["items"]], page["total"]) == (
            [str(n) for n in range(number + 1)],
            number + 1,
        )
    view = (await http.get(f"/v1/runs/{run}", params={"as_of": moments[-1]}, headers=headers)).json()
    assert view["progress"]["done"] == 3
    before = (await http.get(f"/v1/runs/{run}", params={"as_of": moments[1]}, headers=headers)).json()
    assert before["progress"] is None, "the one of that time was not kept"


async def test_a_deleted_workspace_can_be_looked_into(http: httpx.AsyncClient, actor: Actor, room: str) -> None:
    headers = {"Trialbook-Workspace": room}
    run = (await http.post("/v1/runs", json={"workload": "probe"}, headers=headers)).json()
    await http.patch(f"/v1/workspaces/{room}", json={"title": "New"})
    end = await actor.log.last_sequence()
    assert (await http.delete(f"/v1/workspaces/{room}")).status_code == 204
    assert (await http.get("/v1/runs", headers=headers)).status_code == 404
    then = await http.get("/v1/runs", params={"as_of": end}, headers=headers)
    assert [one["id"] for one in then.json()["items"]] == [run["id"]]
    assert (await http.get(f"/v1/workspaces/{room}", params={"as_of": end})).json()["title"] == "New"
    assert (await http.get(f"/v1/workspaces/{room}", params={"as_of": run["sequence"]})).json()["title"] == room
    names = [one["id"] for one in (await http.get("/v1/workspaces", params={"as_of": end})).json()["items"]]
    assert room in names
    assert room not in [one["id"] for one in (await http.get("/v1/workspaces")).json()["items"]]
    assert (await http.post("/v1/runs?as_of=1", json={"workload": "probe"}, headers=headers)).status_code in (404, 422)
