"""The threads of a run after any of its actions."""

from __future__ import annotations

import pytest

from tests.dialects.marketplace.client import Market
from trialbook.errors import Invalid
from trialbook_marketplace.analytics import history_after
from trialbook_marketplace.rows import History

pytestmark = pytest.mark.integration


def test_the_history_after_an_action_has_nothing_that_came_later() -> None:
    times = [f"2026-01-01T00:00:0{second}.000000Z" for second in range(6)]
    actions = [{"index": n, "created_at": times[2 * n]} for n in (1, 2)]
    history = History([{"index": 1}], actions, [{"created_at": moment} for moment in times])
    assert history_after(history, 1) == History([{"index": 1}], actions[:1], history.logs[:3])
    assert history_after(history, 2).logs == history.logs[:5]
    assert history_after(history, 0) == History([{"index": 1}])
    for outside in (-1, 3):
        with pytest.raises(Invalid):
            history_after(history, outside)


async def test_threads_at_every_position_lead_to_those_at_the_end(market: Market, name: str) -> None:
    await market.done(name)
    end = await market.get(f"{name}/threads")
    actions = end["analytics"]["total_actions_executed"]
    order = {message["id"]: number for number, message in enumerate(end["messages"])}
    seen, paid = 0, 0
    for after in range(actions + 1):
        then = await market.get(f"{name}/threads", after_action=after)
        assert (then.pop("after_action"), then.pop("actions")) == (after, actions)
        assert then["analytics"]["total_actions_executed"] == after
        assert then["messages"] == end["messages"][: len(then["messages"])]
        assert seen <= len(then["messages"]) <= seen + 1
        seen = len(then["messages"])
        for thread in then["messageThreads"]:
            assert all(order[message["id"]] < seen for message in thread["messages"])
        assert then["analytics"]["customers_who_made_purchases"] >= paid
        paid = then["analytics"]["customers_who_made_purchases"]
        assert (then["customers"], then["businesses"]) == (end["customers"], end["businesses"])
    assert seen == len(end["messages"])
    assert paid == 3
    last = await market.get(f"{name}/threads", after_action=actions)
    assert last == {**end, "after_action": actions, "actions": actions}


@pytest.mark.parametrize("outside", ["-1", "100000", "9" * 30])
async def test_a_position_outside_the_run_is_refused(market: Market, name: str, outside: str) -> None:
    await market.done(name, dataset="tiny_1_2")
    actions = (await market.get(f"{name}/analytics"))["total_actions_executed"]
    reply = await market.http.get(f"/marketplace/api/experiments/{name}/threads", params={"after_action": outside})
    text = f"after_action must be 0 to {actions}, the number of actions recorded; {outside} is outside"
    assert (reply.status_code, reply.json()) == (400, {"detail": text})
