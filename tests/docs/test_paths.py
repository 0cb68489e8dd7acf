"""Every path that a page names is served, and every subject is spelt as the code spells it."""

from __future__ import annotations

import asyncio
import re

import httpx
import pytest

from tests.docs.pages import texts
from trialbook import subjects
from trialbook.streams import Limits, definitions
from trialbook_gateway.app import create_app
from trialbook_gateway.services import Services
from trialbook_gateway.settings import Settings

PATH = re.compile(r"(?<![\w.])/(?:v1|marketplace/api|api)(?:/[A-Za-z0-9_<>{}$.:*-]+)*")
SUBJECT = re.compile(r"(?<![\w./<-])(?:tap\.)?(?:fact|signal)\.[A-Za-z0-9_*<>.$-]+|(?<![\w./-])presence\.[\w*<>.]+")
LIVE = {"/v1/runs/{run}/ws", "/api/experiments/{name}/logs/ws"}


async def served() -> list[re.Pattern[str]]:
    """Patterns of all paths of the OpenAPI documents (WebSockets stand in none)."""
    settings = Settings()
    transport = httpx.ASGITransport(create_app(settings, Services(settings)))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        native = (await client.get("/openapi.json")).json()["paths"]
        marketplace = (await client.get("/marketplace/openapi.json")).json()["paths"]
    prefixed = {f"/marketplace{path}" for path in (*marketplace, *LIVE) if path.startswith("/api")}
    paths = {*native, *LIVE, *prefixed}
    return [re.compile(re.sub(r"\{[^}]*\}", "[^/]+", path)) for path in paths]


@pytest.fixture(scope="module")
def patterns() -> list[re.Pattern[str]]:
    return asyncio.run(served())


@pytest.mark.parametrize("page", texts())
def test_paths_are_served(page: str, patterns: list[re.Pattern[str]]) -> None:
    for path in PATH.findall(texts()[page]):
        plain = path.rstrip(".:*-")
        if plain.rstrip("/") in ("/v1", "/api", "/marketplace/api"):
            continue
        assert any(p.fullmatch(plain) for p in patterns), f"{page}: nothing is served at {plain}"


def matches(subject: str) -> bool:
    """Whether a subject or filter has the shape of one of ours; `<...>` and wildcards stand for tokens."""
    tokens = re.sub(r"<[^>]*>", "x", subject.removeprefix(subjects.TAP)).rstrip(".").split(".")
    shapes = {
        "fact": ["fact", "workspace", "kind", "id", "name", "pool", "priority"],
        "signal": ["signal", "workspace", "run", "id", "kind"],
        "presence": ["presence", "what", "id"],
    }
    shape = shapes[tokens[0]]
    if tokens[0] == "signal" and len(tokens) > 2 and tokens[2] not in ("run", "*", ">"):
        return False
    whole = tokens[-1] == ">" or len(tokens) >= min(len(shape), 5)
    return whole and len(tokens) <= len(shape)


@pytest.mark.parametrize("page", texts())
def test_subjects_have_the_shape_of_ours(page: str) -> None:
    for subject in SUBJECT.findall(texts()[page]):
        assert matches(subject), f"{page}: {subject} is no subject of ours"


def test_shapes_are_those_of_the_code() -> None:
    streams = definitions(Limits())
    assert streams["FACTS"]["republish"]["dest"] == "tap.fact.>"
    assert matches(subjects.facts_of("main", "run", "x"))
    assert matches(subjects.tap(subjects.signal("main", "x", "log")))
    assert matches(subjects.queue("default", "high")[0])
    assert matches(subjects.presence("runner", "x"))
    assert not matches("signal.main.dataset.x.log")
    assert not matches("fact.main")
