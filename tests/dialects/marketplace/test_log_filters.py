"""Logs by level, agent and text: the same entries in the same order, without the others."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dialects.marketplace.client import Market
from tests.dialects.marketplace.conftest import Processes

pytestmark = pytest.mark.integration
AGENT, TEXT = "customer_0002", "sEnDinG"


@pytest.fixture
async def finished(market: Market, name: str) -> str:
    return await market.done(name, customer_max_steps=3)  # which is too few, so that there are warnings


@pytest.mark.parametrize(
    "wanted",
    [
        {"agent_id": AGENT}, {"agent_id": "marketplace_experiment"}, {"q": TEXT}, {"level": "debug"},
        {"level": "warning"}, {"agent_id": AGENT, "q": TEXT}, {"q": "100%_ nowhere"}, {"level": "info", "q": "step 1/"},
    ],
)  # fmt: skip
async def test_filters_choose_and_keep_the_order(
    market: Market, finished: str, mount: str, wanted: dict[str, str]
) -> None:
    whole = await market.pages(finished, 1000)
    expected = [entry for entry in whole if matches(entry, **wanted)]
    assert ("100%_ nowhere" in wanted.values()) == (not expected)
    assert "level" in wanted or len(expected) < len(whole)
    path = f"{mount}/api/experiments/{finished}/logs"
    newest = (await market.http.get(path, params={"limit": 2, **wanted})).json()
    assert newest == {"logs": expected[-2:], "total": len(whole), "has_more": len(expected) > 2}
    for limit in (3, 1000):
        assert await market.pages(finished, limit, **wanted) == expected
    pivot = whole[len(whole) // 2]["timestamp"]
    later = (await market.http.get(path, params={"since": pivot, "limit": 1000, **wanted})).json()
    assert later["logs"] == [entry for entry in expected if entry["timestamp"] > pivot]


async def test_a_cursor_under_a_filter_is_a_place_among_all(market: Market, finished: str) -> None:
    path = f"/marketplace/api/experiments/{finished}/logs"
    page = await market.http.get(path, params={"cursor": "", "limit": 2, "agent_id": AGENT})
    whole = await market.pages(finished, 1000)
    place = whole.index(page.json()["logs"][-1]) + 1
    rest = await market.http.get(path, params={"cursor": page.headers["X-Next-Cursor"], "limit": 1000})
    assert rest.json()["logs"] == whole[place:]


async def test_nothing_chosen_goes_on_with_what_comes_later(market: Market, stack: Processes, name: str) -> None:
    path = f"/marketplace/api/experiments/{name}/logs"
    with stack.standstill():
        await market.launch(name, "mexican_33_99")
        first = await market.http.get(path, params={"q": "payment", "limit": 1})
        assert first.json()["logs"] == []
    await market.finished(name)
    found = await market.pages(name, 1000, q="payment")
    query: dict[str, Any] = {"q": "payment", "limit": 1000, "cursor": first.headers["X-Next-Cursor"]}
    assert (await market.http.get(path, params=query)).json()["logs"] == found
    assert len(found) > 3


async def test_unknown_levels_are_refused(market: Market, finished: str) -> None:
    for wrong in ({"level": "loud"}, {"agent_id": "x" * 201}, {"q": "x" * 201}):
        reply = await market.http.get(f"/marketplace/api/experiments/{finished}/logs", params=wrong)
        assert reply.status_code == 422


def matches(entry: dict[str, Any], level: str = "debug", agent_id: str = "", q: str = "") -> bool:
    levels = ("debug", "info", "warning", "error")
    speaker = entry["agent_id"] or "marketplace_experiment"
    loud = levels.index(entry["level"]) >= levels.index(level)
    return loud and agent_id in ("", speaker) and q.lower() in (entry["message"] or "").lower()
