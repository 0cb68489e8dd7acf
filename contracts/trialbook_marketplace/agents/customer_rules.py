"""The customer policies without a language model (facts, section 10.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from trialbook_marketplace.agents.decisions import (
    CustomerAction,
    CustomerMessages,
    PaymentToBusiness,
    TextToBusiness,
)
from trialbook_marketplace.agents.order_text import confirmed, request_text
from trialbook_marketplace.agents.policy import CustomerView, Offer, Wait
from trialbook_marketplace.models import Business, Customer
from trialbook_marketplace.seeded import seeded

Choose = Callable[[Sequence[Offer]], Offer | None]
"""Picks one of the complete pending offers, which come in registration order of their businesses."""


class Shopper:
    """Asks every business of a page, waits for all answers, pays the chosen offer or turns the page."""

    def __init__(self, customer: Customer, order: Mapping[str, int], choose: Choose) -> None:
        """``order`` maps business id to its place in registration order."""
        self._customer = customer
        self._order = order
        self._choose = choose
        self._asked_page = 0
        self._asked: set[str] = set()
        self._awaiting: frozenset[str] | None = None

    async def decide(self, view: CustomerView) -> CustomerAction:
        """The next step by rule."""
        if any(offer.status == "accepted" for offer in view.offers.values()):
            return _end("The order is paid.")
        if view.page is None:
            return _search(self._customer, 1)
        if self._asked_page < view.page.page:
            self._asked_page = view.page.page
            chosen = self._whom_to_ask([hit["id"] for hit in view.page.hits])
            if chosen:
                self._asked.update(chosen)
                self._awaiting = frozenset(chosen)
                return _ask(self._customer, chosen)
        if self._awaiting is not None:
            self._awaiting = None
            return CustomerAction("check_messages", "Reading the answers.")
        return self._conclude(view, view.page.page, view.page.pages)

    def patience(self, view: CustomerView) -> Wait | None:  # noqa: ARG002 - the port's parameter
        """Wait until everyone who was asked has answered."""
        return None if self._awaiting is None else Wait(self._awaiting)

    def _whom_to_ask(self, page: list[str]) -> list[str]:
        return page

    def _conclude(self, view: CustomerView, page: int, pages: int) -> CustomerAction:
        complete = sorted(
            (offer for offer in view.offers.values() if offer.status == "pending" and self._complete(offer)),
            key=lambda offer: self._order[offer.business_id],
        )
        offer = self._choose(complete) if complete else None
        if offer is not None:
            return _pay(offer)
        if page < pages and self._goes_on():
            return _search(self._customer, page + 1)
        return _end("No suitable offer was found.")

    def _complete(self, offer: Offer) -> bool:
        return self._customer.menu_features.keys() <= {item.item_name for item in offer.proposal.items}

    def _goes_on(self) -> bool:
        return True


class OptimalShopper(Shopper):
    """Knows the dataset: finds, asks and pays the best business only, or buys nothing."""

    def __init__(self, customer: Customer, businesses: Sequence[Business], order: Mapping[str, int]) -> None:
        super().__init__(customer, order, lambda offers: offers[0])
        self._target = best_business(customer, businesses)

    async def decide(self, view: CustomerView) -> CustomerAction:
        """As the shopper, but without a target there is nothing to look for."""
        if self._target is None:
            return _end("No business meets the request.")
        return await super().decide(view)

    def _whom_to_ask(self, page: list[str]) -> list[str]:
        return [business for business in page if business == self._target]

    def _goes_on(self) -> bool:
        return self._target not in self._asked


def best_business(customer: Customer, businesses: Sequence[Business]) -> str | None:
    """The business with all items, all amenities and the lowest total; the first of equals, None without any."""
    totals = [
        (total, place, business.id)
        for place, business in enumerate(businesses)
        if business.offers(customer.amenity_features)
        and (total := business.order_total(customer.menu_features)) is not None
    ]
    return min(totals)[2] if totals else None


def cheapest(offers: Sequence[Offer]) -> Offer:
    """The lowest total price; the first of equals."""
    return min(offers, key=lambda offer: offer.proposal.total_price)


def cheapest_with_amenities(customer: Customer) -> Choose:
    """The cheapest of the offers that confirm every required amenity."""

    def choose(offers: Sequence[Offer]) -> Offer | None:
        sure = [o for o in offers if confirmed(customer.amenity_features, o.proposal.special_instructions)]
        return cheapest(sure) if sure else None

    return choose


def at_random(customer: Customer, seed: int) -> Choose:
    """Any offer with equal chance, drawn from the run's seed and the customer's id."""
    return seeded(seed, customer.id).choice


def _search(customer: Customer, page: int) -> CustomerAction:
    return CustomerAction("search_businesses", "Looking for businesses.", customer.request, page)


def _ask(customer: Customer, businesses: list[str]) -> CustomerAction:
    text = request_text(customer)
    messages = CustomerMessages(text_messages=[TextToBusiness(text, business) for business in businesses])
    return CustomerAction("send_messages", "Asking for proposals.", messages=messages)


def _pay(offer: Offer) -> CustomerAction:
    payment = PaymentToBusiness(offer.proposal.id, to_business_id=offer.business_id)
    return CustomerAction(
        "send_messages", "Paying the chosen proposal.", messages=CustomerMessages(pay_messages=[payment])
    )


def _end(reason: str) -> CustomerAction:
    return CustomerAction("end_transaction", reason)
