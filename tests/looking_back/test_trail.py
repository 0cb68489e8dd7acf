"""The story of one thing: complete, connected, and harmless to read."""

from __future__ import annotations

import asyncio
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.gateway.actor import Actor
from tests.looking_back.test_replay import command
from trialbook.aggregates import EVENT_TYPES
from trialbook_deploy.stack import Stack
from trialbook_gateway.trail.telling import sentence

pytestmark = pytest.mark.integration
EVIL = "<script>alert(1)</script>\"'><img src=//x onerror=y>"


class Page(HTMLParser):
    """Tags and addresses of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]


async def over(http: httpx.AsyncClient, run: str, headers: dict[str, str]) -> dict[str, Any]:
    """The run once it has ended."""
    async with asyncio.timeout(90):
        while True:
            found: dict[str, Any] = (await http.get(f"/v1/runs/{run}?wait=20", headers=headers)).json()
            if found["status"] in ("completed", "failed", "cancelled"):
                return found


async def test_a_real_run_and_what_it_is_connected_with(
    stack: Stack, http: httpx.AsyncClient, room: str, tmp_path: Path
) -> None:
    headers = {"Trialbook-Workspace": room, "X-Request-ID": "the-request"}
    file = (await http.post("/v1/files?name=in.txt", content=b"abc", headers=headers)).json()
    script = "import pathlib,sys; pathlib.Path('out.txt').write_bytes(b'made'); print('done')"
    order = {"workload": "command", "params": {"argv": ["python3", "-c", script], "artifacts": ["out.txt"]},
             "inputs": {"in.txt": file["data"]["sha256"]}, "title": EVIL, "name": "the story/of 50%#1"}  # fmt: skip
    made = await http.post("/v1/runs", json=order, headers=headers)
    assert made.status_code == 201, made.text
    run = made.json()["id"]
    ended = await over(http, run, headers)
    assert ended["status"] == "completed", ended
    at = f"/v1/audit/trail/{run}"
    story = (await http.get(at, params={"at_least": ended["sequence"]}, headers=headers)).json()
    kinds = [chapter["type"] for chapter in story["chapters"]]
    assert (kinds[0], kinds[1], kinds[-1]) == ("run.submitted.v1", "run.started.v1", "run.completed.v1")
    async with asyncio.timeout(60):
        while (await http.get(story["chapters"][0]["proof"])).status_code != 200:
            await asyncio.sleep(0.1)  # the tree follows the ledger
    for chapter in story["chapters"]:
        assert chapter["correlation"] == "the-request", chapter
        assert chapter["who"] == ("anonymous" if chapter["type"] == "run.submitted.v1" else chapter["who"])
        if chapter["type"] != "run.submitted.v1":
            assert chapter["who"].startswith("runner:")
            assert chapter["causation"] == story["chapters"][0]["id"], chapter
            assert chapter["where"]["runner"]
    assert ("holds_input", file["id"]) in [(one["role"], one["id"]) for one in story["related"]]
    for other in (quote("the story/of 50%#1", safe=""), "the-request"):
        found = (await http.get(f"/v1/audit/trail/{other}", headers=headers)).json()
        assert run in (found["id"], *(one["id"] for one in found["related"]))
    of_file = (await http.get(f"/v1/audit/trail/{file['id']}", headers=headers)).json()
    assert ("consumer", run) in [(one["role"], one["id"]) for one in of_file["related"]]
    assert (await http.get("/v1/audit/trail/nothing-like-that", headers=headers)).json()["code"] == "trail_not_found"
    code, out, _ = await command(stack, "audit", "trail", run, room=room)
    assert (code, b"ordered the workload command" in out) == (0, True)
    page = tmp_path / "story.html"
    assert (await command(stack, "audit", "trail", run, "--html", str(page), room=room))[0] == 0
    assert "the story" in page.read_text()
    assert (await command(stack, "audit", "trail", "the story/of 50%#1", room=room))[0] == 0


async def test_every_fact_names_who_and_why(stack: Stack, http: httpx.AsyncClient, room: str) -> None:
    headers = {"Trialbook-Workspace": room, "X-Request-ID": "sweeping"}
    sweep = {"workload": "noop", "sweep": {"grid": {"echo": [1, 2]}}}
    run = (await http.post("/v1/runs", json=sweep, headers=headers)).json()["id"]
    ended = await over(http, run, headers)
    assert ended["status"] == "completed", ended
    seen = {"at_least": ended["sequence"]}  # a wait is answered before the tables have it
    told = (await http.get("/v1/audit/trail/sweeping", params=seen, headers=headers)).json()
    assert len({one["id"] for one in told["related"]}) == 3, "the sweep and its two children"
    actors = {(chapter["type"], chapter["who"].split(":")[0]) for chapter in told["chapters"]}
    assert {("run.submitted.v1", "anonymous"), ("run.submitted.v1", "run"), ("run.completed.v1", "runner")} <= actors
    unnamed = "SELECT sequence, type FROM facts WHERE actor = '' OR correlation = '' OR causation = ''"
    for workspace in (room, "main"):
        reply = await http.post("/v1/sql", json={"sql": unnamed}, headers={"Trialbook-Workspace": workspace})
        assert reply.json()["rows"] == []
    assert stack.url


async def test_the_page_has_nothing_active(http: httpx.AsyncClient, actor: Actor, room: str) -> None:
    del actor
    headers = {"Trialbook-Workspace": room, "Accept": "text/html"}
    order = {"workload": "probe", "start": False, "title": EVIL, "labels": {"a": EVIL}, "name": EVIL}
    run = (await http.post("/v1/runs", json=order, headers={"Trialbook-Workspace": room})).json()["id"]
    reply = await http.get(f"/v1/audit/trail/{run}", headers=headers)
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    page = Page()
    page.feed(reply.text)
    assert page.tags <= {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "code", "a", "br", "span",
                         "table", "thead", "tbody", "tr", "th", "td"}  # fmt: skip
    assert all(link.startswith(("/v1/audit/trail/", "/v1/ledger/proofs/", "?")) for link in page.links)
    assert EVIL not in reply.text
    assert not re.search(r"https?://|@import|url\(", reply.text)
    text = (await http.get(f"/v1/audit/trail/{run}", headers=headers | {"Accept": "text/plain"})).text
    assert "ordered the workload probe" in text


async def test_a_long_story_has_pages(http: httpx.AsyncClient, actor: Actor, room: str) -> None:
    headers = {"Trialbook-Workspace": room}
    run = (await http.post("/v1/runs", json={"workload": "probe", "start": False}, headers=headers)).json()["id"]
    await http.post(f"/v1/runs/{run}/start", headers=headers)
    await http.post(f"/v1/runs/{run}/cancel", headers=headers)
    del actor
    whole = (await http.get(f"/v1/audit/trail/{run}", headers=headers)).json()["chapters"]
    seen: list[object] = []
    url: str | None = f"/v1/audit/trail/{run}?limit=1"
    while url:
        reply = await http.get(url, headers=headers)
        seen += reply.json()["chapters"]
        url = reply.links["next"]["url"] if "next" in reply.links else None
    assert seen == whole
    assert len(whole) == 4


@pytest.mark.parametrize("type_", sorted(EVENT_TYPES))
def test_every_fact_can_be_told(type_: str) -> None:
    strange = {"spec": 3, "error": [], "files": 1, "name": None, "size": "x"}
    odd: list[Any] = [{}, strange, [], None, "x", {"a": "b\n" * 500}]
    for data in odd:
        told = sentence(type_, data)
        assert told
        assert "\n" not in told
        assert len(told) < 1500
