"""The WebSocket: every entry once and in order, then the status, then 1000."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.dialects.marketplace.client import ENTRY_KEYS, Market

pytestmark = pytest.mark.integration


def entries(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    assert all(message["type"] == "log" for message in messages)
    return [message["log"] for message in messages]


async def test_a_finished_experiment_is_told_whole(market: Market, name: str, mount: str) -> None:
    await market.done(name)
    messages, code = await market.stream(name, mount=mount)
    assert messages[-1] == {"type": "status", "status": "completed"}
    assert code == 1000
    assert all(set(message) == {"type", "log"} and set(message["log"]) == ENTRY_KEYS for message in messages[:-1])
    assert entries(messages[:-1]) == (await market.get(f"{name}/logs", limit=1000))["logs"]


async def test_clients_from_before_during_and_after_see_the_rows_of_rest(market: Market, name: str) -> None:
    await market.launch(name, "mexican_33_99")
    early = [asyncio.create_task(market.stream(name)) for _ in range(2)]
    await asyncio.sleep(0.2)
    early.append(asyncio.create_task(market.stream(name)))
    told = await asyncio.gather(*early)
    told.append(await market.stream(name))
    rows = await market.pages(name, 1000)
    for messages, code in told:
        assert (messages[-1], code) == ({"type": "status", "status": "completed"}, 1000)
        assert entries(messages[:-1]) == rows


async def test_a_client_that_comes_back_with_its_cursor_misses_and_repeats_nothing(market: Market, name: str) -> None:
    await market.launch(name, "mexican_33_99")
    seen: list[dict[str, Any]] = []
    cursor, status = "", None
    while status is None:
        async with market.connect(name, f"?cursor={cursor}") as socket:
            for _ in range(700):
                message = json.loads(await socket.recv())
                if message["type"] == "status":
                    status = message["status"]
                    break
                assert set(message) == {"type", "log", "cursor"}
                seen.append(message["log"])
                cursor = message["cursor"]
    assert status == "completed"
    assert seen == await market.pages(name, 1000)


async def test_a_cursor_of_the_stream_is_one_of_rest_and_the_other_way_round(market: Market, name: str) -> None:
    await market.done(name, dataset="tiny_1_2")
    rows = await market.pages(name)
    messages, _ = await market.stream(name, "?cursor=")
    page = await market.http.get(
        f"/api/experiments/{name}/logs", params={"cursor": messages[4]["cursor"], "limit": 1000}
    )
    assert page.json()["logs"] == rows[5:]
    rest, _ = await market.stream(name, f"?cursor={page.headers['X-Next-Cursor']}")
    assert rest == [{"type": "status", "status": "completed"}]


async def test_since_starts_strictly_after_a_time(market: Market, name: str) -> None:
    await market.done(name)
    rows = await market.pages(name, 1000)
    pivot = rows[30]["timestamp"]
    messages, _ = await market.stream(name, f"?since={pivot}")
    assert entries(messages[:-1]) == [row for row in rows if row["timestamp"] > pivot]


@pytest.mark.parametrize("bad", ["a-b", "1a", "a%0A", "a;b"])
async def test_an_invalid_name_is_refused_in_the_handshake(market: Market, bad: str, mount: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await market.stream(bad, mount=mount)
    assert refused.value.response.status_code == 400
    body = json.loads(refused.value.response.body or b"")
    assert body["detail"].startswith("Invalid experiment name '")
    assert body["detail"].endswith("Only alphanumeric characters and underscores are allowed.")


async def test_an_unknown_experiment_is_an_error_message(market: Market, mount: str) -> None:
    messages, code = await market.stream("unknown_one", mount=mount)
    assert messages == [{"type": "error", "error": "Experiment 'unknown_one' not found"}]
    assert code == 1000


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("?since=yesterday", "Invalid timestamp format: yesterday"),
        ("?cursor=zzz", "Invalid cursor: zzz"),
        ("?cursor=zzz&since=yesterday", "Invalid cursor: zzz"),
    ],
)
async def test_bad_positions_are_error_messages(market: Market, name: str, query: str, text: str) -> None:
    await market.launch(name, "tiny_1_2")
    messages, _ = await market.stream(name, query)
    assert messages == [{"type": "error", "error": text}]


async def test_the_python_example_of_the_documentation_works(market: Market, name: str) -> None:
    await market.launch(name)
    printed = []
    async with market.connect(name, mount="") as websocket:
        while True:
            try:
                data = json.loads(await websocket.recv())
                if data["type"] == "log":
                    log = data["log"]
                    printed.append(f"[{log['level']}] {log['message']}")
                elif data["type"] == "status":
                    printed.append(f"Experiment {data['status']}")
                    break
                elif data["type"] == "error":
                    printed.append(f"Error: {data['error']}")
                    break
            except ConnectionClosed:
                break
    assert printed[0] == "[info] Marketplace experiment started"
    assert printed[-1] == "Experiment completed"


async def test_what_a_client_says_is_ignored_and_leaving_hurts_nobody(market: Market, name: str) -> None:
    await market.launch(name, "mexican_33_99")
    async with market.connect(name) as socket:
        await socket.send("hello")
        await socket.send(b"\x00\xff")
        assert json.loads(await socket.recv())["type"] == "log"
    assert (await market.finished(name))["status"] == "completed"
