"""Pages of logs: newest, since, cursor; the same rows as the stream."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from tests.dialects.marketplace.client import Market

pytestmark = pytest.mark.integration


@pytest.fixture
async def finished(market: Market, name: str) -> str:
    return await market.done(name)


async def test_without_since_the_newest_entries_ascending(market: Market, finished: str) -> None:
    whole = await market.get(f"{finished}/logs", limit=1000)
    for limit in (1, 3, 50, whole["total"], 1000):
        page = await market.get(f"{finished}/logs", limit=limit)
        assert page["logs"] == whole["logs"][-limit:]
        assert page["total"] == whole["total"]
        assert page["has_more"] == (limit < whole["total"])
    assert len((await market.get(f"{finished}/logs"))["logs"]) == min(100, whole["total"])


@pytest.mark.parametrize("limit", [1, 7, 100])
async def test_pages_by_cursor_give_every_entry_once_in_order(market: Market, finished: str, limit: int) -> None:
    whole = (await market.get(f"{finished}/logs", limit=1000))["logs"]
    assert await market.pages(finished, limit) == whole


async def test_since_means_strictly_newer_and_every_form_of_a_time_is_read(market: Market, finished: str) -> None:
    whole = (await market.get(f"{finished}/logs", limit=1000))["logs"]
    pivot = whole[len(whole) // 2]["timestamp"]
    newer = [entry for entry in whole if entry["timestamp"] > pivot]
    moment = datetime.fromisoformat(pivot)
    east = moment.astimezone(timezone(timedelta(hours=2))).isoformat()
    for since in (pivot, pivot.removesuffix("Z"), pivot.replace("Z", "+00:00"), east, east.replace("+", " ")):
        page = await market.get(f"{finished}/logs", since=since, limit=1000)
        assert (page["logs"], page["has_more"], page["total"]) == (newer, False, len(whole))
    for ancient in ("1960-02-29T00:00:00Z", "0001-01-01T00:00:00+00:00"):
        assert (await market.get(f"{finished}/logs", since=ancient, limit=1000))["logs"] == whole
    page = await market.get(f"{finished}/logs", since=pivot, limit=2)
    assert (page["logs"], page["has_more"]) == (newer[:2], len(newer) > 2)


async def test_an_unencoded_plus_arrives_as_a_blank_and_is_read_as_plus(market: Market, finished: str) -> None:
    reply = await market.http.get(f"/api/experiments/{finished}/logs?since=2020-01-01T00:00:00+01:00&limit=1000")
    assert reply.status_code == 200
    assert len(reply.json()["logs"]) == reply.json()["total"]


async def test_a_cursor_goes_before_since_and_an_empty_page_keeps_its_place(market: Market, finished: str) -> None:
    path = f"/api/experiments/{finished}/logs"
    last = await market.http.get(path, params={"limit": 5})
    cursor = last.headers["X-Next-Cursor"]
    after = await market.http.get(path, params={"cursor": cursor, "since": "2020-01-01T00:00:00Z"})
    assert (after.json()["logs"], after.json()["has_more"]) == ([], False)
    assert after.headers["X-Next-Cursor"] == cursor
    future = await market.http.get(path, params={"since": "9999-12-31T23:59:59.999999Z"})
    assert future.json()["logs"] == []
    again = await market.http.get(path, params={"cursor": future.headers["X-Next-Cursor"]})
    assert again.json()["logs"] == []


async def test_following_a_running_experiment_by_cursor_loses_nothing(market: Market, name: str) -> None:
    await market.launch(name, "mexican_33_99")
    seen, cursor = [], ""
    while True:
        finished = (await market.status(name))["status"] in ("completed", "failed")
        reply = await market.http.get(f"/api/experiments/{name}/logs", params={"cursor": cursor, "limit": 1000})
        seen += reply.json()["logs"]
        cursor = reply.headers["X-Next-Cursor"]
        if finished and not reply.json()["has_more"]:
            break
    assert seen == await market.pages(name, 1000)
    assert len(seen) == (await market.get(f"{name}/logs"))["total"]
