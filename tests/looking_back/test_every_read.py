"""Every read of the native API looks back, or the documentation says what it has instead."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateway.actor import Actor
from trialbook.domain.run import commands as c
from trialbook.envelope import AggregateId

pytestmark = pytest.mark.integration
MANUAL = Path(__file__).parents[2] / "docs" / "api.md"
OTHERWISE = {
    "/v1/workloads": "of now", "/v1/runners": "of now", "/v1/llm": "of now", "/v1/schemas": "of the release",
    "/v1/ledger": "proofs have sizes", "/diff": "has from and to", "/stream": "goes on from a cursor",
}  # fmt: skip
REMADE = {"/v1/runs/{run}/package"}
"""Every package has its own time and checkpoint."""
ELAPSED = re.compile(rb'"elapsed_ms":[0-9.]+')
NEEDED = {"/v1/metrics/compare": {"metric": "loss"}}


def timeless(reply: httpx.Response) -> bytes:
    """The body without how long the answer took."""
    return ELAPSED.sub(b"", reply.content)


def otherwise(path: str) -> str | None:
    """What in the manual excuses a path."""
    for part in OTHERWISE:
        if path == part or path.startswith(f"{part}/") or (not part.startswith("/v1") and path.endswith(part)):
            return part
    return None


async def reads(http: httpx.AsyncClient) -> dict[str, list[str]]:
    """Paths of the native API that are read, with their query parameters."""
    document = (await http.get("/openapi.json")).json()
    return {
        path: [one["name"] for one in operation.get("parameters", [])]
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if path.startswith("/v1/") and (method == "get" or path == "/v1/sql")
    }


async def test_every_read_takes_as_of_or_the_manual_says_what_instead(http: httpx.AsyncClient) -> None:
    found = await reads(http)
    assert len(found) > 50
    without = {path for path, parameters in found.items() if "as_of" not in parameters}
    assert {path for path in without if otherwise(path) is None} == set()
    assert {otherwise(path) for path in without} == set(OTHERWISE), "an excuse that nobody needs"
    (excuses,) = re.findall(r"^- Without `as_of`: (.*?)^- ", MANUAL.read_text(), re.MULTILINE | re.DOTALL)
    assert {f"`{part}`" for part in OTHERWISE} <= set(re.findall(r"`[^`]+`", excuses))
    for path in without:
        url = re.sub(r"\{[a-z_]+\}", "0" * 32, path)
        reply = await http.get(url, params={"as_of": "1"})
        assert reply.status_code == 422, f"{path} takes as_of and does not look back"


async def world(http: httpx.AsyncClient, actor: Actor, headers: dict[str, str]) -> dict[str, str]:
    """One of everything in a workspace: parameters of paths and their values."""

    async def post(path: str, **options: Any) -> dict[str, Any]:
        reply = await http.post(path, headers=headers | options.pop("headers", {}), **options)
        assert reply.status_code < 300, reply.text
        body: dict[str, Any] = reply.json()
        return body

    room = headers["Trialbook-Workspace"]
    await http.patch(f"/v1/workspaces/{room}", json={"title": "Another title"})
    file = await post("/v1/files?name=a.txt", content=b"some bytes")
    ids = {"file": file["id"], "workspace_id": room, "number": "1", "name": "a", "kind": "thing"}
    for kind in ("dataset", "model"):
        ids[kind] = (await post(f"/v1/{kind}s", json={"name": kind}))["id"]
        await post(f"/v1/{kind}s/{ids[kind]}/versions", json={"files": {"a": file["id"]}})
    run = (await post("/v1/runs", json={"workload": "probe", "params": {"n": 1}}))["id"]
    await work(actor, AggregateId(room, "run", run), file["data"]["sha256"])
    await post("/v1/files?name=b.txt", content=b"personal", headers={"Trialbook-Data-Subject": "somebody"})
    erasure = (await post("/v1/erasures", json={"data_subject": "somebody"}))["id"]
    while (await http.get(f"/v1/erasures/{erasure}", headers=headers)).json()["status"] != "erased":
        await asyncio.sleep(0.05)
    everything = {"at_least": await actor.log.last_sequence(), "at_least_signals": actor.last_signal}
    assert (await http.get(f"/v1/runs/{run}/logs", params=everything, headers=headers)).is_success
    return ids | {"run": run, "id": run, "erasure_id": erasure}


async def work(actor: Actor, run: AggregateId, sha256: str) -> None:
    """A run's whole life, with everything that it can leave."""
    ticket = (await actor.handler.load(run)).state.ticket
    await actor.handle(run.id, c.Claim(ticket=ticket, runner="x"), run.workspace)
    now = actor._now_us()
    for kind, record in (
        ("log", {"time": now, "level": "info", "message": "m", "logger": "probe"}),
        ("metric", {"time": now, "name": "loss", "value": 0.5}),
        ("record", {"time": now, "kind": "thing", "id": "i", "index": 0, "data": {"a": 1}}),
    ):
        await actor.emit(run.id, kind, {"attempt": 1, "records": [record]}, run.workspace)  # type: ignore[arg-type]
    info = {"model": "m", "provider": "p", "usage": {"input_tokens": 1, "output_tokens": 1}}
    for order in (
        c.StartStep(attempt=1, step="s"), c.CompleteStep(attempt=1, step="s", result=1),
        c.RecordEffect(attempt=1, key="k", request_digest="d" * 64, response={"x": 1}, info=info),
        c.RecordArtifact(attempt=1, name="a", sha256=sha256, size=10),
        c.Complete(attempt=1, result={"r": 1}, signal_sequence=actor.last_signal),
    ):  # fmt: skip
        await actor.handle(run.id, order, run.workspace)


async def test_every_read_that_takes_as_of_looks_back(http: httpx.AsyncClient, actor: Actor, room: str) -> None:
    headers = {"Trialbook-Workspace": room}
    before = await actor.log.last_sequence()
    ids = await world(http, actor, headers)
    end = await actor.log.last_sequence()
    run = ids["run"]

    async def ask(path: str, as_of: str, **more: Any) -> httpx.Response:
        kind = path.split("/")[2].removesuffix("s")
        url = path.replace("{item}", ids.get(kind, run))
        for name, value in ids.items():
            url = url.replace(f"{{{name}}}", value)
        if path == "/v1/sql":
            order = {"sql": "SELECT * FROM facts ORDER BY sequence"}
            return await http.post(url, params={"as_of": as_of}, json=order, headers=headers)
        query = {**NEEDED.get(path, {}), **({"run": run} if path.endswith("/compare") else {}), **more}
        return await http.get(url, params={**query, **({"as_of": as_of} if as_of else {})}, headers=headers)

    for path, parameters in (await reads(http)).items():
        if "as_of" not in parameters:
            continue
        now = await ask(path, "")
        assert now.status_code == 200, (path, now.text)
        assert (await ask(path, str(end))).status_code == 200, path
        if path not in REMADE:
            assert timeless(await ask(path, str(end))) == timeless(now), path
        then = await ask(path, str(before))
        assert then.status_code in (200, 404), (path, then.text)
        assert then.content != now.content, f"{path} says of then what is now"
        for moment, code in (("9" * 14, "future_sequence"), ("yesterday", "invalid_time")):
            refused = await ask(path, moment)
            assert (refused.status_code, refused.json()["code"]) == (422, code), path
