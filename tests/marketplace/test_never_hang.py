"""Policies that fail, babble or never stop: the run ends all the same."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.marketplace.builders import business, customer, market, payment, proposal, run
from trialbook.clock import FixedClock
from trialbook_marketplace.agents.business import BusinessAgent
from trialbook_marketplace.agents.business_rules import RuleBasedBusiness
from trialbook_marketplace.agents.customer import CustomerAgent
from trialbook_marketplace.agents.customer_rules import Shopper, cheapest
from trialbook_marketplace.agents.decisions import (
    BusinessAction,
    CustomerAction,
    CustomerMessages,
    PaymentToBusiness,
    TextToBusiness,
)
from trialbook_marketplace.agents.limits import NeverHang
from trialbook_marketplace.agents.policy import Conversation, CustomerView, Offer, Received, Wait
from trialbook_marketplace.agents.session import Session
from trialbook_marketplace.agents.wakeups import Wakeups
from trialbook_marketplace.experiment import Unattended
from trialbook_marketplace.models import Business, Customer, Dataset
from trialbook_marketplace.rows import History

MARKET = Dataset("tiny", [customer("c1"), customer("c2")], [business("b1"), business("b2")])


class Script:
    """A customer that follows a list of decisions and then ends; exceptions in the list are raised."""

    def __init__(self, steps: list[CustomerAction | Exception], *, patient: bool = False) -> None:
        self.steps = list(steps)
        self.patient = patient
        self.views: list[CustomerView] = []

    async def decide(self, view: CustomerView) -> CustomerAction:
        await asyncio.sleep(0)
        self.views.append(view)
        step = self.steps.pop(0) if self.steps else CustomerAction("end_transaction", "done")
        if isinstance(step, Exception):
            raise step
        return step

    def patience(self, view: CustomerView) -> Wait | None:
        return Wait() if self.patient else None


class Forgetful(RuleBasedBusiness):
    """Fails on every text, as a model that never answers in the right form."""

    calls_model = True
    calls = 0

    async def reply(self, conversation: Conversation, text: str) -> BusinessAction:
        self.calls += 1
        await asyncio.sleep(0)
        raise ValueError("no usable answer")


class Plugged:
    """Policies given customer by customer; not in lockstep, as with a model."""

    lockstep = False

    def __init__(self, customers: dict[str, Any], make_business: Any = RuleBasedBusiness) -> None:
        self.customers = customers
        self.make_business = make_business
        self.made: dict[str, Any] = {}
        self.error: str | None = None

    def customer(self, customer: Customer) -> Any:
        order = {"b1": 0, "b2": 1}
        return self.customers.get(customer.id) or Shopper(customer, order, cheapest)

    def business(self, business: Business) -> Any:
        self.made[business.id] = self.make_business(business)
        return self.made[business.id]

    def failure(self) -> str | None:
        return self.error


def texts(history: History, level: str) -> list[str]:
    return [row["data"]["message"] for row in history.logs if row["data"]["level"] == level]


CHECK = CustomerAction("check_messages", "looking")


def test_three_failed_decisions_in_a_row_stop_a_customer() -> None:
    script = Script([ValueError("bad"), ValueError("bad"), CHECK, *[ValueError("worse")] * 9])
    outcome, history = run(MARKET, policies=Plugged({"c1": script}))
    assert outcome.status == "completed"
    assert texts(history, "error") == [
        *["Error in agent step: bad"] * 2,
        *["Error in agent step: worse"] * 3,
        "Stopped after 3 failed decisions in a row",
    ]
    assert [type(event).__name__ for event in script.views[-1].history] == [*["Failed"] * 2, "Checked", *["Failed"] * 3]


def test_twenty_idle_checks_stop_a_customer() -> None:
    script = Script([CHECK] * 100, patient=True)
    outcome, history = run(MARKET, policies=Plugged({"c1": script, "c2": Script([])}))
    assert outcome.status == "completed"
    assert texts(history, "warning") == ["Stopped after 20 checks without new messages"]
    assert 20 <= len(script.views) <= 21


def test_checks_without_waiting_are_not_idle() -> None:
    outcome, history = run(MARKET, policies=Plugged({"c1": Script([CHECK] * 30), "c2": Script([])}))
    assert outcome.status == "completed"
    assert texts(history, "warning") == []
    assert sum(row["data"]["request"]["name"] == "FetchMessages" for row in history.actions) == 30


def test_an_invalid_decision_is_a_failed_one() -> None:
    wrong: list[CustomerAction | Exception] = [
        CustomerAction("send_messages", "nothing to send"),
        CustomerAction("search_businesses", "page zero", "x", 0),
    ]
    _, history = run(MARKET, policies=Plugged({"c1": Script(wrong)}))
    assert texts(history, "error") == [
        "Error in agent step: messages is required for send_messages",
        "Error in agent step: page must be at least 1",
    ]


def test_sending_fails_message_by_message() -> None:
    messages = CustomerMessages(
        [TextToBusiness("hi", "ghost"), TextToBusiness("hi", "b1")], [PaymentToBusiness("unknown", to_business_id="b1")]
    )
    script = Script([CustomerAction("send_messages", "trying", messages=messages)])
    _, history = run(MARKET, policies=Plugged({"c1": script}))
    assert texts(history, "error") == [
        "Sending text message to ghost failed: to_agent_id ghost not found",
        "Payment failed: No proposal with id unknown was received",
    ]
    sent: Any = script.views[-1].history[0]
    assert [outcome.error is None for outcome in sent.outcomes] == [False, True, False]


def test_payment_goes_to_the_sender_of_the_proposal_once() -> None:
    ask = CustomerMessages([TextToBusiness("Items wanted: 1 x Taco", "b1")])
    pay = CustomerMessages(pay_messages=[PaymentToBusiness("b1_c1_1", to_business_id="b2")])
    script = Script(
        [
            CustomerAction("send_messages", "ask", messages=ask),
            CHECK,
            CustomerAction("send_messages", "pay", messages=pay),
            CustomerAction("send_messages", "pay again", messages=pay),
        ],
        patient=True,
    )
    _, history = run(MARKET, policies=Plugged({"c1": script, "c2": Script([])}))
    payments = [row["data"] for row in history.actions if "proposal_message_id" in str(row["data"]["request"])]
    assert [row["request"]["parameters"]["to_agent_id"] for row in payments] == ["b1", "b1"]
    assert [row["result"]["is_error"] for row in payments] == [False, True]
    assert payments[0]["request"]["parameters"]["message"]["payment_method"] == "credit_card"
    assert script.views[-1].offers["b1_c1_1"].status == "accepted"
    assert "already been paid" in texts(history, "error")[0]


def test_a_failing_business_goes_silent_and_the_run_ends() -> None:
    policies = Plugged({}, Forgetful)
    many = Dataset("many", [customer(f"c{k}") for k in range(1, 7)], MARKET.businesses)
    outcome, history = run(many, policies=policies)
    assert outcome.status == "completed"
    silent = "No further answers after 3 failed decisions in a row"
    assert texts(history, "error").count(silent) == 2
    assert outcome.customers_finished == 6


def test_no_model_call_for_a_customer_that_has_stopped() -> None:
    ask = CustomerMessages([TextToBusiness("Items wanted: 1 x Taco", "b1")])
    gone: list[CustomerAction | Exception] = [CustomerAction("send_messages", "ask and go", messages=ask)]
    policies = Plugged({"c1": Script(gone), "c2": Script([])}, Forgetful)
    outcome, _ = run(MARKET, policies=policies, customer_max_steps=1)
    assert outcome.status == "completed"
    assert policies.made["b1"].calls == 0


def test_a_rule_based_business_works_off_its_inbox() -> None:
    ask = CustomerMessages([TextToBusiness("Items wanted: 1 x Taco", "b1")])
    gone: list[CustomerAction | Exception] = [CustomerAction("send_messages", "ask and go", messages=ask)]
    _, history = run(MARKET, policies=Plugged({"c1": Script(gone), "c2": Script([])}), customer_max_steps=1)
    assert "Sending order_proposal message to c1" in texts(history, "info")


@pytest.mark.parametrize("lockstep", [False, True])
def test_policies_can_fail_the_run(lockstep: bool) -> None:
    policies = Plugged({"c1": Script([]), "c2": Script([])})
    policies.lockstep = lockstep
    policies.error = "every model call failed: 401"
    outcome, _ = run(MARKET, policies=policies)
    assert (outcome.status, outcome.error) == ("failed", "every model call failed: 401")


def test_a_second_payment_that_reaches_a_business_is_not_confirmed() -> None:
    made, history = market(*MARKET.customers, *MARKET.businesses)
    seller = MARKET.businesses[0]
    session = Session("b1", made, Wakeups(["c1"], ["b1"], lockstep=True), FixedClock())
    agent = BusinessAgent(session, seller, RuleBasedBusiness(seller), Unattended(), NeverHang())
    conversation = Conversation(seller, "c1", offers={"p1": Offer("b1", proposal("p1"))})
    for ident in ("p1", "p1", "unknown"):
        agent._confirm(conversation, payment(ident))
    said = [row["data"]["request"]["parameters"]["message"]["content"] for row in history.actions]
    assert [text.startswith("Payment received!") for text in said] == [True, False, False]
    assert "not found" in said[1]


def test_nobody_replaces_another_business_s_proposal() -> None:
    made, _ = market(*MARKET.customers, *MARKET.businesses)
    session = Session("c1", made, Wakeups(["c1"], ["b1"], lockstep=True), FixedClock())
    view = CustomerView(MARKET.customers[0], None)
    agent = CustomerAgent(session, view, Script([]), Unattended(), ("simple", 10), NeverHang())
    for sender, total in (("b1", 5.0), ("b2", 1.0), ("b1", 4.0)):
        agent._keep(Received(sender, "c1", "", proposal("p", total), 1))
    assert (view.offers["p"].business_id, view.offers["p"].proposal.total_price) == ("b1", 4.0)
    view.offers["p"].status = "accepted"
    agent._keep(Received("b1", "c1", "", proposal("p", 9.0), 2))
    assert view.offers["p"].proposal.total_price == 4.0
