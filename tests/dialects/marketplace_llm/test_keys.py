"""What is usable is told without keys, a key is checked without keeping it, and a configured key shows up nowhere."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dialects.marketplace.client import PATIENCE_S, Market
from tests.dialects.marketplace_llm.scripted import CANARY, PROVIDERS, ModelProcesses, Scripted
from trialbook.log.api import call
from trialbook.log.connect import connect
from trialbook.log.tail import Tail
from trialbook.streams import BLOBS, FACTS, PRESENCE, SIGNALS
from trialbook.testing.llm import Fault, Rule
from trialbook_marketplace.llm.script import marketplace_rules

pytestmark = pytest.mark.integration
OTHER = "sk-canary-other-2b8e1d40-do-not-keep"


async def test_what_is_usable(market: Market, script: Scripted) -> None:
    found = (await market.http.get("/v1/llm")).json()
    assert (found["default_provider"], found["default_model"]) == ("openai", "scripted")
    assert [provider["name"] for provider in found["providers"]] == list(PROVIDERS)
    assert all(provider["usable"] and provider["missing"] == [] for provider in found["providers"])
    assert found["providers"][0]["base_url"] == script.server.openai_url


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_key_is_validated(market: Market, script: Scripted, provider: str) -> None:
    for key, valid in ((CANARY, True), (OTHER, False)):
        reply = await market.http.post("/v1/llm/validate", json={"provider": provider, "key": key})
        assert (reply.status_code, reply.json()["valid"]) == (200, valid), reply.text
        assert key not in reply.text
    assert script.asked == []


@pytest.mark.parametrize(
    "body",
    [{"provider": "acme", "key": OTHER}, {"provider": "openai", "key": f"{OTHER}\n"}, {"provider": "openai"},
     {"provider": 1, "key": OTHER}, {"provider": "openai", "key": [OTHER]},
     {"provider": "openai", "key": OTHER, OTHER: 1}],
)  # fmt: skip
async def test_bad_requests_do_not_quote_the_key(market: Market, body: dict[str, object]) -> None:
    reply = await market.http.post("/v1/llm/validate", json=body)
    assert reply.status_code == 422
    if OTHER not in body:
        assert OTHER not in reply.text


async def test_a_key_shows_up_nowhere(market: Market, script: Scripted, stack: ModelProcesses, name: str) -> None:
    """Servers that quote the key and models that repeat it; then everything that is stored is searched."""
    shown = [
        Rule(match="Your agent ID is", fault=Fault(kind="echo_key", status=500), times=2),
        Rule(match="Your agent ID is", reply=f"your key is {CANARY}", times=2),
        Rule(match="Customer just said", fault=Fault(kind="echo_key", status=400), times=1),
    ]
    script.use([*shown, *marketplace_rules()])
    await market.launch(f"{name}_a", export_sqlite=True)
    assert (await market.finished(f"{name}_a"))["status"] == "completed"
    script.use([Rule(fault=Fault(kind="echo_key", status=401))])
    for provider in PROVIDERS:
        await market.launch(f"{name}_{provider}", llm_provider=provider)
        ended = await market.finished(f"{name}_{provider}")
        assert ended["status"] == "failed"
        assert "***" in ended["error"]
    replies = [await market.http.get(f"/marketplace/api/experiments/{name}_a/{what}") for what in
               ("logs?limit=1000", "analytics", "audit", "traces", "threads", "usage", "export")]  # fmt: skip
    columns = "SELECT CAST(data AS VARCHAR) AS d FROM"
    tables = ("facts", "logs", "records")
    replies += [await market.http.post("/v1/sql", json={"sql": f"{columns} {table}"}) for table in tables]
    replies.append(await market.http.get("/v1/runners"))
    for reply in replies:
        assert reply.status_code == 200, reply.text
        assert leaks(reply.content) == []
    assert b"***" in replies[0].content
    assert await in_streams(stack) == []
    assert [str(path) for path, content in stored(stack.directory) if leaks(content)] == []


def leaks(content: bytes) -> list[str]:
    """The keys that some bytes hold, also compressed."""
    if content.startswith(b"\x1f\x8b"):
        content += gzip.decompress(content)
    return [key for key in (CANARY, OTHER) if key.encode() in content or json.dumps(key)[1:-1].encode() in content]


def stored(directory: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file: of the ledger, of the tables, of the runners, and what the services wrote to their output."""
    for folder, _, names in os.walk(directory):
        for path in (Path(folder, name) for name in names):
            try:
                if path.is_file():
                    yield path, path.read_bytes()
            except FileNotFoundError:
                continue  # services replace and remove their files while these are read


async def in_streams(stack: ModelProcesses) -> list[str]:
    """Subjects of messages that hold a key."""
    nc = await connect(stack.nats.url, name="test")
    found: list[str] = []
    seen = 0
    for stream in (FACTS, SIGNALS, BLOBS, PRESENCE):
        assert (await call(nc, f"STREAM.INFO.{stream}"))["state"]["messages"]
        async with Tail(nc, stream, [">"], 0) as tail, asyncio.timeout(PATIENCE_S):
            while tail.position == 0 or tail.pending:
                batch = await tail.next()
                seen += len(batch)
                found += [message.subject for message in batch if leaks(message.data)]
    await nc.close()
    assert seen > 100
    return found
