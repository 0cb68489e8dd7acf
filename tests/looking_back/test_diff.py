"""What differs between two moments, and which fact did it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.gateway.actor import Actor
from tests.looking_back.test_replay import command
from trialbook.domain.run import commands as c
from trialbook.envelope import AggregateId
from trialbook_deploy.stack import Stack

pytestmark = pytest.mark.integration


def applied(old: Any, changes: list[dict[str, Any]]) -> Any:
    """The old members with the changes made: a reader's own way from one moment to the other."""
    document = json.loads(json.dumps(old))
    for change in changes:
        *path, last = [part.replace("~1", "/").replace("~0", "~") for part in change["pointer"].split("/")[1:]]
        holder = document
        for part in path:
            holder = holder[int(part)] if isinstance(holder, list) else holder[part]
        if isinstance(holder, list):
            if change["change"] == "added":
                holder.append(change["new"])
            else:
                holder[int(last)] = change["new"]
        elif change["change"] == "removed":
            del holder[last]
        else:
            holder[last] = change["new"]
    return document


async def test_a_run_between_any_two_moments(http: httpx.AsyncClient, actor: Actor, room: str) -> None:
    headers = {"Trialbook-Workspace": room}
    run = (await http.post("/v1/runs", json={"workload": "probe", "params": {"n": 1}}, headers=headers)).json()
    aggregate, at = AggregateId(room, "run", run["id"]), f"/v1/runs/{run['id']}"
    ticket = (await actor.handler.load(aggregate)).state.ticket
    for order in (
        c.Claim(ticket=ticket, runner="x"), c.StartStep(attempt=1, step="a/b~c"),
        c.CompleteStep(attempt=1, step="a/b~c", result=[1, {"x": None}]),
        c.RecordArtifact(attempt=1, name="out", sha256="b" * 64, size=1),
        c.Complete(attempt=1, result={"y": [1, 2]}),
    ):  # fmt: skip
        await actor.handle(run["id"], order, room)
    end = await actor.log.last_sequence()
    facts = (await http.get(f"{at}/facts", params={"at_least": end}, headers=headers)).json()["items"]
    told = [fact["sequence"] for fact in facts]  # others of the stack may have said something in between
    views = {}
    for sequence in range(run["sequence"], end + 1):
        view = (await http.get(at, params={"as_of": sequence}, headers=headers)).json()
        views[sequence] = {name: value for name, value in view.items() if name not in ("sequence", "progress")}
    for since, then in views.items():
        for until in range(since, end + 1):
            found = (await http.get(f"{at}/diff", params={"from": since, "to": until}, headers=headers)).json()
            assert applied(then, found["changes"]) == views[until], (since, until)
            assert [fact["sequence"] for fact in found["facts"]] == [one for one in told if since < one <= until]
            assert all(since < one["cause"]["sequence"] <= until for one in found["changes"])
    whole = (await http.get(f"{at}/diff", params={"from": 0}, headers=headers)).json()
    assert whole["existed"] == [False, True]
    by = {one["pointer"]: one["cause"]["type"] for one in whole["changes"]}
    assert (by["/status"], by["/result"], by["/artifacts"]) == ("run.completed.v1",) * 2 + ("run.artifact_recorded.v1",)
    backwards = await http.get(f"{at}/diff", params={"from": end, "to": run["sequence"]}, headers=headers)
    assert (backwards.status_code, backwards.json()["code"]) == (422, "invalid_range")
    assert (await http.get(f"{at}/diff", headers=headers)).status_code == 422
    assert (await http.get(f"{at}/diff", params={"from": 10**12}, headers=headers)).json()["code"] == "future_sequence"
    unknown = await http.get(f"/v1/runs/{'0' * 32}/diff", params={"from": 0}, headers=headers)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "run_not_found")


async def test_a_workspace_between_two_moments(stack: Stack, http: httpx.AsyncClient, actor: Actor, room: str) -> None:
    headers = {"Trialbook-Workspace": room}

    async def order(**body: Any) -> str:
        reply = await http.post("/v1/runs", json={"workload": "probe", "start": False, **body}, headers=headers)
        return str(reply.json()["id"])

    kept, gone = await order(name="kept"), await order()
    since = await actor.log.last_sequence()
    dataset = (await http.post("/v1/datasets", json={"name": "set"}, headers=headers)).json()["id"]
    await http.post(f"/v1/runs/{kept}/start", headers=headers)
    await http.delete(f"/v1/runs/{gone}", headers=headers)
    brief = await order()
    await http.delete(f"/v1/runs/{brief}", headers=headers)
    path = f"/v1/workspaces/{room}/diff"
    found = (await http.get(path, params={"from": since})).json()
    told = {one["id"]: (one["kind"], one["change"], one["name"], one["status"]) for one in found["items"]}
    assert told == {
        dataset: ("dataset", "created", "set", None), kept: ("run", "changed", "kept", ["created", "queued"]),
        gone: ("run", "deleted", "", ["created", "deleted"]),
        brief: ("run", "created_and_deleted", "", [None, "deleted"]),
    }  # fmt: skip
    paged: list[str] = []
    url: str | None = f"{path}?from={since}&limit=1"
    while url:
        reply = await http.get(url)
        paged += [one["id"] for one in reply.json()["items"]]
        url = reply.links["next"]["url"] if "next" in reply.links else None
    assert paged == [one["id"] for one in found["items"]]
    code, out, _ = await command(stack, "diff", "workspace", room, "--from", str(since), "--json", room=room)
    assert (code, json.loads(out)["items"]) == (0, found["items"])
    code, out, _ = await command(stack, "diff", "run", kept, "--from", str(since), room=room)
    assert code == 0
    assert b"/status" in out
    assert b"run.queued.v1" in out
