"""Invariants of the engine under arbitrary traffic."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.marketplace.builders import business, customer, market, payment, proposal, send
from trialbook_marketplace.analytics import analyse
from trialbook_marketplace.protocol.actions import Action, FetchMessages, Search
from trialbook_marketplace.protocol.messages import TextMessage

PEOPLE = ("c1", "c2", "b1", "b2")
ANYBODY = (*PEOPLE, "ghost")
PROPOSALS = st.sampled_from(["p1", "p2", "p3"])
MESSAGES = st.one_of(
    st.text(max_size=5).map(TextMessage),
    PROPOSALS.flatmap(lambda ident: st.floats(1, 50).map(lambda total: proposal(ident, round(total, 2)))),
    PROPOSALS.map(payment),
)
ACTIONS = st.one_of(
    st.builds(send, st.sampled_from(PEOPLE), st.sampled_from(ANYBODY), MESSAGES),
    st.builds(FetchMessages, limit=st.none() | st.integers(0, 3), after_index=st.none() | st.integers(0, 30)),
    st.builds(Search, st.text(max_size=5), st.sampled_from(["simple", "filtered", "lexical", "optimal", "rnr", "?"])),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PEOPLE), ACTIONS), max_size=40))
def test_any_traffic(traffic: list[tuple[str, Action]]) -> None:
    made, history = market(customer("c1"), customer("c2"), business("b1"), business("b2"))
    for agent, action in traffic:
        made.execute(agent, action)

    assert [row["index"] for row in history.actions] == list(range(1, len(traffic) + 1))
    offered: set[tuple[str, str, str]] = set()
    paid: set[tuple[str, str, str]] = set()
    inboxes: dict[str, list[int]] = {agent: [] for agent in PEOPLE}
    for row in history.actions:
        data = row["data"]
        parameters = data["request"]["parameters"]
        if data["result"]["is_error"] or data["request"]["name"] != "SendMessage":
            continue
        sender, recipient, message = parameters["from_agent_id"], parameters["to_agent_id"], parameters["message"]
        assert sender == data["agent_id"]
        inboxes[recipient].append(row["index"])
        if message["type"] == "order_proposal":
            offered.add((sender, message["id"], recipient))
        if message["type"] == "payment":
            deal = (recipient, message["proposal_message_id"], sender)
            assert deal in offered
            assert deal not in paid
            paid.add(deal)
    for agent, expected in inboxes.items():
        messages = made.execute(agent, FetchMessages()).content["messages"]
        assert [message["index"] for message in messages] == expected

    result = analyse(history.agents, history.actions, history.logs)
    assert result["total_actions_executed"] == len(history.actions)
    assert result["transaction_summary"]["payments_made"] == len(paid)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 12), st.integers(1, 5))
def test_pages_of_messages_concatenate_to_the_whole(count: int, limit: int) -> None:
    made, _ = market()
    for number in range(count):
        made.execute("c1", send("c1", "b1", TextMessage(str(number))))
    seen: list[int] = []
    more = True
    while more:
        content = made.execute("b1", FetchMessages(limit=limit, after_index=seen[-1] if seen else None)).content
        indices = [message["index"] for message in content["messages"]]
        more = content["has_more"]
        assert len(indices) == limit or not more
        seen += indices
    assert seen == list(range(1, count + 1))
