"""The time limit of a run."""

from __future__ import annotations

import pytest

from tests.dialects.marketplace.client import Market

pytestmark = pytest.mark.integration


async def test_a_run_that_takes_longer_than_its_limit_fails(market: Market, name: str) -> None:
    await market.launch(name, "mexican_100_300", timeout_seconds=0.25)
    found = await market.finished(name)
    assert (found["status"], found["error"]) == ("failed", "The attempt exceeded its time limit of 0.25 s.")
    messages, code = await market.stream(name)
    assert (messages[-1], code) == ({"type": "status", "status": "failed"}, 1000)


async def test_a_run_within_its_limit_completes_and_the_limit_is_positive(market: Market, name: str) -> None:
    await market.done(name, dataset="tiny_1_2", timeout_seconds=60)
    for limit in (0, -1, "soon", 1e300):
        body = {"dataset": "tiny_1_2", "timeout_seconds": limit}
        reply = await market.http.post("/marketplace/api/experiments", json=body)
        assert reply.status_code == 422
