"""The protocol: what is recorded, what is refused, and who reads what."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.marketplace.builders import NOW, business, customer, market, payment, proposal, send
from trialbook.clock import FixedClock
from trialbook.errors import Invalid, Unauthorized
from trialbook.ids import CountingIds
from trialbook_marketplace.protocol.actions import ActionResult, FetchMessages, Search
from trialbook_marketplace.protocol.market import Market
from trialbook_marketplace.protocol.messages import TextMessage
from trialbook_marketplace.rows import History, Row, SinkFailed, log_entry

TEXT = TextMessage("hello")


def fetched(result: ActionResult) -> list[int]:
    return [message["index"] for message in result.content["messages"]]


def test_agent_rows() -> None:
    _, history = market(customer(), business())
    assert [(row["index"], row["id"]) for row in history.agents] == [(1, "c1"), (2, "b1")]
    data = history.agents[0]["data"]
    assert (data["id"], data["metadata"], data["customer"]["type"]) == ("c1", {"type": "customer"}, "customer")
    assert history.agents[1]["data"]["business"]["menu_features"] == {"Taco": 4.02, "Soup": 9.49}
    assert history.agents[0]["created_at"] == "2026-01-01T00:00:00.000000Z"


def test_registering_again_replaces_in_place() -> None:
    made, history = market(customer(), business())
    made.register(customer(wants={"Cake": 1.0}))
    assert [row["index"] for row in history.agents] == [1, 2]
    assert made.agents()[0]["customer"]["menu_features"] == {"Cake": 1.0}
    assert made.agents_count == 2


def test_a_business_registered_later_is_found() -> None:
    made, _ = market(customer(), business("b1"))
    assert made.execute("c1", Search("", "simple")).content["total_possible_results"] == 1
    made.register(business("b2"))
    content = made.execute("c1", Search("", "simple")).content
    assert [profile["id"] for profile in content["businesses"]] == ["b1", "b2"]
    assert (content["search_algorithm"], content["total_pages"]) == ("simple", 1)


def test_sent_message_is_recorded_and_delivered() -> None:
    made, history = market()
    result = made.execute("c1", send("c1", "b1", TEXT))
    assert not result.is_error
    assert result.metadata == {"status": "sent"}
    row = history.actions[0]
    request = row["data"]["request"]
    assert (row["index"], row["data"]["agent_id"], request["name"]) == (1, "c1", "SendMessage")
    assert request["parameters"] == {
        "type": "send_message",
        "from_agent_id": "c1",
        "to_agent_id": "b1",
        "created_at": "2026-01-01T00:00:00Z",
        "message": {"type": "text", "content": "hello"},
    }
    assert row["data"]["result"]["content"] == request["parameters"]
    message = made.execute("b1", FetchMessages()).content["messages"][0]
    assert (message["index"], message["from_agent_id"], message["message"]["content"]) == (1, "c1", "hello")
    assert len(row["id"]) == 36


def test_unknown_agents_are_refused_and_not_recorded() -> None:
    made, history = market()
    with pytest.raises(Unauthorized, match="Invalid agent ID"):
        made.execute("nobody", send("nobody", "b1", TEXT))
    with pytest.raises(Unauthorized, match="X-Agent-Id header required"):
        made.request("", {"name": "Search", "parameters": {}})
    assert history.actions == []


def test_refused_actions_are_recorded_and_not_delivered() -> None:
    made, history = market()
    absent = made.execute("c1", send("c1", "ghost", TEXT))
    assert (absent.is_error, absent.content) == (True, {"error": "to_agent_id ghost not found"})
    forged = made.execute("c1", send("b1", "b1", TEXT))
    assert forged.is_error
    assert "from_agent_id b1" in forged.content["error"]
    assert [row["data"]["result"]["is_error"] for row in history.actions] == [True, True]
    assert fetched(made.execute("b1", FetchMessages())) == []


def refusal(result: ActionResult) -> str:
    assert result.is_error
    assert result.content["error_type"] == "invalid_proposal"
    message = result.content["message"]
    assert isinstance(message, str)
    return message


def test_payment_needs_a_proposal_from_the_payee_to_the_payer_and_only_once() -> None:
    made, _ = market(customer("c1"), customer("c2"), business("b1"), business("b2"))
    unknown = "No unexpired order proposals found with id p1"
    assert refusal(made.execute("c1", send("c1", "b1", payment()))) == unknown
    assert made.execute("b1", send("b1", "ghost", proposal())).is_error
    assert refusal(made.execute("c1", send("c1", "b1", payment()))) == unknown
    made.execute("b1", send("b1", "c1", proposal()))
    assert refusal(made.execute("c1", send("c1", "b2", payment()))) == unknown
    assert refusal(made.execute("c2", send("c2", "b1", payment()))) == unknown
    assert not made.execute("c1", send("c1", "b1", payment())).is_error
    assert "already been paid" in refusal(made.execute("c1", send("c1", "b1", payment())))


def test_expiry_is_ignored() -> None:
    made, _ = market()
    offer = proposal()
    made.request(
        "b1",
        {
            "name": "SendMessage",
            "parameters": {
                "type": "send_message",
                "from_agent_id": "b1",
                "to_agent_id": "c1",
                "created_at": NOW.isoformat(),
                "message": {
                    "type": "order_proposal",
                    "id": offer.id,
                    "items": [{"id": "1", "item_name": "Taco", "quantity": 1, "unit_price": 4.02}],
                    "total_price": 4.02,
                    "expiry_time": "1999-01-01T00:00:00Z",
                },
            },
        },
    )
    assert not made.execute("c1", send("c1", "b1", payment())).is_error


def test_fetch_messages() -> None:
    made, _ = market(customer("c1"), customer("c2"), business())
    clock: Any = made._clock
    for number in range(1, 6):
        clock.set(NOW + timedelta(seconds=number))
        sender = "c2" if number == 3 else "c1"
        made.execute(sender, send(sender, "b1", TextMessage(str(number))))
    made.execute("b1", send("b1", "c1", TEXT))

    def fetch(**options: Any) -> tuple[list[int], bool]:
        result = made.execute("b1", FetchMessages(**options))
        return fetched(result), result.content["has_more"]

    assert fetch() == ([1, 2, 3, 4, 5], False)
    assert fetch(limit=2) == ([1, 2], True)
    assert fetch(limit=5) == ([1, 2, 3, 4, 5], False)
    assert fetch(limit=2, offset=2) == ([3, 4], True)
    assert fetch(offset=9) == ([], False)
    assert fetch(from_agent_id="c2") == ([3], False)
    assert fetch(after_index=3) == ([4, 5], False)
    assert fetch(after=NOW) == ([], False)
    assert fetch(after=NOW - timedelta(seconds=1)) == ([1, 2, 3, 4, 5], False)
    assert fetch(limit=0) == ([], True)
    assert fetched(made.execute("c1", FetchMessages())) == [6]


GOOD: dict[str, Any] = {
    "type": "send_message",
    "from_agent_id": "c1",
    "to_agent_id": "b1",
    "created_at": "2026-01-01T00:00:00Z",
    "message": {"type": "text", "content": "x"},
}
ITEM = {"id": "1", "item_name": "Taco", "quantity": 1, "unit_price": 1.0}
OFFER = {"type": "order_proposal", "id": "p", "items": [ITEM], "total_price": 1.0}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Buy", GOOD),
        ("Search", GOOD),
        ("SendMessage", None),
        ("SendMessage", {key: value for key, value in GOOD.items() if key != "type"}),
        ("SendMessage", GOOD | {"created_at": "2026-01-01T00:00:00"}),
        ("SendMessage", GOOD | {"message": {"type": "gossip"}}),
        ("SendMessage", GOOD | {"message": OFFER | {"items": []}}),
        ("SendMessage", GOOD | {"message": OFFER | {"id": ""}}),
        ("SendMessage", GOOD | {"message": OFFER | {"items": [ITEM | {"quantity": 0}]}}),
        ("SendMessage", GOOD | {"message": OFFER | {"items": [ITEM | {"unit_price": -1.0}]}}),
        ("SendMessage", GOOD | {"message": OFFER | {"total_price": float("nan")}}),
        ("FetchMessages", {"type": "fetch_messages", "limit": -1}),
        ("Search", {"type": "search", "query": "x"}),
    ],
)
def test_parameters_that_do_not_parse_are_not_recorded(name: str, parameters: Any) -> None:
    made, history = market()
    result = made.request("c1", {"name": name, "parameters": parameters})
    assert result.is_error
    assert isinstance(result.content, str)
    assert history.actions == []


def test_a_request_keeps_its_metadata() -> None:
    made, history = market()
    assert not made.request("c1", {"name": "SendMessage", "parameters": GOOD, "metadata": {"trace": 1}}).is_error
    assert history.actions[0]["data"]["request"]["metadata"] == {"trace": 1}
    assert made.request("c1", {"name": "SendMessage", "parameters": GOOD, "metadata": 3}).is_error


def test_failed_search_is_a_recorded_error() -> None:
    made, history = market()
    result = made.execute("b1", Search("", "optimal"))
    assert result.is_error
    assert history.actions[0]["data"]["result"]["content"] == {
        "error": "search_algorithm 'optimal' needs a customer as caller"
    }


def test_definitions_describe_the_parameters() -> None:
    made, _ = market()
    definitions = {entry["name"]: entry for entry in made.definitions()}
    assert set(definitions) == {"Search", "SendMessage", "FetchMessages"}
    assert all(entry["description"] and entry["parameters"] for entry in definitions.values())


def test_logs() -> None:
    made, history = market()
    made.log("info", "hello", {"a": 1}, "c1")
    made.log("warning", None, {"b": 2})
    assert [row["index"] for row in history.logs] == [1, 2]
    assert log_entry(history.logs[0]) == {
        "timestamp": "2026-01-01T00:00:00.000000Z",
        "level": "info",
        "message": "hello",
        "data": {"a": 1},
        "agent_id": "c1",
    }
    assert log_entry(history.logs[1])["agent_id"] is None
    assert history.logs[1]["data"]["name"] == "marketplace_experiment"
    for wrong in (("info", None), ("fatal", "x")):
        with pytest.raises(Invalid):
            made.log(*wrong)


def test_a_failing_sink_ends_the_run_at_once() -> None:
    class Full(History):
        def action(self, row: Row) -> None:
            raise OSError("disk full")

    made = Market(Full(), FixedClock(), CountingIds())
    made.register(customer())
    with pytest.raises(SinkFailed, match="disk full"):
        made.execute("c1", Search("", "simple"))
