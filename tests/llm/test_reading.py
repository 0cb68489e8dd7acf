"""What stands in a prompt can be read back, whatever customers, businesses and messages are called."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.marketplace.builders import business, customer
from trialbook_marketplace.agents.decisions import CustomerAction
from trialbook_marketplace.agents.policy import Checked, Conversation, CustomerView, Line, Received, Searched
from trialbook_marketplace.llm.business_prompt import business_prompt
from trialbook_marketplace.llm.customer_prompt import customer_prompt
from trialbook_marketplace.llm.reading import read_business, read_customer
from trialbook_marketplace.llm.script import wanted_items
from trialbook_marketplace.protocol.messages import OrderItem, OrderProposal, TextMessage

prose = st.text(max_size=80)
ids = st.from_regex(r"[A-Za-z0-9_.-]{1,12}", fullmatch=True)
word = st.from_regex(r"[A-Za-z][A-Za-z' ,;$-]{0,14}[a-z]", fullmatch=True)
ACTION = CustomerAction("check_messages", "r")


@given(name=prose, description=prose, said=prose, instructions=prose, item=prose.filter(bool), ident=ids)
def test_a_customers_history_survives_the_prompt(
    name: str, description: str, said: str, instructions: str, item: str, ident: str
) -> None:
    hit = {"id": ident, "business": {"name": name, "description": description, "rating": 0.5}}
    proposal = OrderProposal("p1", [OrderItem("Item-1", item, 2, 1.25)], 2.5, instructions)
    received = [Received(ident, "c1", "", message, 1) for message in (TextMessage(said), proposal)]
    view = CustomerView(customer(), None, 3)
    view.history = [Searched(1, ACTION, 1, 2, 3, [hit]), Checked(2, ACTION, received)]
    state = read_customer(customer_prompt(view))
    assert (state.customer_id, state.request) == ("c1", "I want food.")
    assert (state.hits, state.page, state.pages, state.checked) == ([ident], 1, 2, True)
    assert len(state.offers) == 1
    offered = state.offers[0]
    assert offered.business_id == ident
    assert offered.proposal["items"] == [msgspec.to_builtins(proposal.items[0])]
    assert offered.proposal["special_instructions"] == instructions


@given(
    text=prose,
    earlier=prose,
    menu=st.dictionaries(word, st.integers(0, 99_999).map(lambda cents: cents / 100), min_size=1, max_size=12),
    amenities=st.dictionaries(word, st.booleans(), max_size=5),
)
def test_a_businesss_question_survives_the_prompt(
    text: str, earlier: str, menu: dict[str, float], amenities: dict[str, bool]
) -> None:
    amenities = {" ".join(name.split()): value for name, value in amenities.items()}
    place = business("b1", menu, amenities)
    lines = [
        Line("customer", TextMessage(earlier)),
        Line("business", TextMessage("ok")),
        Line("customer", TextMessage(text)),
    ]
    question = read_business(business_prompt(Conversation(place, "c1", lines), text))
    assert (question.customer_id, question.text) == ("c1", text)
    assert question.business.menu_features == menu
    assert list(question.business.menu_features) == list(menu)
    assert question.business.amenity_features == amenities


def test_items_are_read_from_quotes() -> None:
    assert wanted_items('I want 1 "Fish Taco" and 2 \u201cSoup\u201d, no "Fish  Taco" twice.') == ["Fish Taco", "Soup"]
    assert wanted_items("Just a taco.") == []
