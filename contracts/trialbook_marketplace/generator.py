"""Datasets made from one integer seed, without a language model (facts, sections 15.1 and 15.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from msgspec import Struct

from trialbook.errors import Invalid
from trialbook_marketplace.manipulation import MANIPULATIONS, Manipulation
from trialbook_marketplace.models import Business, Customer, Dataset
from trialbook_marketplace.seeded import seeded
from trialbook_marketplace.similarity import Distinct
from trialbook_marketplace.vocabulary import (
    BUSINESS_FIRST,
    BUSINESS_SECOND,
    DESCRIPTIONS,
    FIRST_NAMES,
    LAST_NAMES,
    REQUESTS,
    THEMES,
    Theme,
)

MAX_CUSTOMERS = 400
RATING_STEP = 1e-9
TRIO = 3


class Recipe(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything a generated dataset depends on.

    ``shuffle_within_trio``: which of a customer's three businesses lacks an amenity is random (else the third).
    ``rating_ladder``: ratings 1.0, 0.999999999, 0.999999998 within a trio, which fixes the display order.
    """

    theme: str
    customers: int
    seed: int
    shuffle_within_trio: bool = False
    rating_ladder: bool = False
    manipulation: Manipulation | None = None

    @property
    def name(self) -> str:
        """``<theme>_<customers>_<businesses>``."""
        return f"{self.theme}_{self.customers}_{TRIO * self.customers}"


class Generated(Struct, frozen=True):
    """A dataset, its recipe and the mean price of every item that stands on a menu."""

    recipe: Recipe
    dataset: Dataset
    item_means: dict[str, float]


def generate(recipe: Recipe) -> Generated:
    """The dataset of a recipe, always the same; raises ``Invalid`` (``invalid_recipe``)."""
    _check(recipe)
    return _Generator(recipe).run()


def _check(recipe: Recipe) -> None:
    def refuse(detail: str) -> Invalid:
        return Invalid("invalid_recipe", detail)

    if recipe.theme not in THEMES:
        raise refuse(f"Unknown theme {recipe.theme!r}. Choose one of: {', '.join(THEMES)}.")
    if not 1 <= recipe.customers <= MAX_CUSTOMERS:
        raise refuse(f"The number of customers must be between 1 and {MAX_CUSTOMERS}.")
    wish = recipe.manipulation
    if wish and wish.kind not in MANIPULATIONS:
        raise refuse(f"Unknown manipulation {wish.kind!r}. Choose one of: {', '.join(MANIPULATIONS)}.")
    if wish and wish.business_id not in {_business_id(j) for j in range(TRIO * recipe.customers)}:
        raise refuse(f"There is no business {wish.business_id!r} in a dataset of {recipe.customers} customers.")


def _business_id(position: int) -> str:
    return f"business_{position + 1:04d}"


class _Generator:
    """One pass over a recipe; the order of the draws is part of the format, so keep it."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.theme: Theme = THEMES[recipe.theme]
        self.rng = seeded("dataset", recipe.theme, recipe.customers, recipe.seed)
        self.means: dict[str, float] = {}

    def run(self) -> Generated:
        n = self.recipe.customers
        items = _draw_names(self.rng, self.theme.items(), 3 * n + 40)
        self.means = {item: round(self.rng.uniform(2.50, 18.99), 2) for item in items}
        people = _people(self.rng, n)
        composed = [f"{first} {second}" for first in BUSINESS_FIRST for second in BUSINESS_SECOND]
        names = _draw_names(self.rng, composed, TRIO * n)
        orders, used = _orders(self.rng, n)
        distractors = items[used:]
        customers, businesses = [], []
        for j, order in enumerate(orders):
            customer = self._customer(j, people[j], [items[i] for i in order])
            customers.append(customer)
            businesses += self._trio(customer, names[TRIO * j : TRIO * (j + 1)], distractors)
        on_menu = {item for business in businesses for item in business.menu_features}
        means = {item: mean for item, mean in self.means.items() if item in on_menu}
        return Generated(self.recipe, Dataset(self.recipe.name, customers, businesses), means)

    def _customer(self, j: int, name: str, wanted: list[str]) -> Customer:
        amenities = self.rng.sample(self.theme.amenities, self.rng.randint(1, 2))
        template = self.rng.choice(REQUESTS)
        request = template.format(items=_listing([f'1 "{item}"' for item in wanted]), amenities=_listing(amenities))
        return Customer(
            id=f"customer_{j + 1:04d}",
            name=name,
            request=request,
            menu_features={item: self.means[item] for item in wanted},
            amenity_features=amenities,
        )

    def _trio(self, customer: Customer, names: list[str], distractors: list[str]) -> list[Business]:
        lacking = self.rng.randrange(TRIO) if self.recipe.shuffle_within_trio else TRIO - 1
        while True:
            trio = [
                self._business(customer, place, name, place == lacking, distractors) for place, name in enumerate(names)
            ]
            if totals_differ(customer, trio):
                return trio

    def _business(self, customer: Customer, place: int, name: str, lacking: bool, distractors: list[str]) -> Business:
        rng = self.rng
        menu = [*customer.menu_features, *rng.sample(distractors, rng.randint(10, 15))]
        rng.shuffle(menu)
        prices = {item: self._price(item) for item in menu}
        offered = {*rng.sample(self.theme.amenities, rng.randint(2, 4)), *customer.amenity_features}
        if lacking:
            offered.discard(customer.amenity_features[0])
        position = TRIO * (int(customer.id.rsplit("_", 1)[1]) - 1) + place
        described = rng.choice(DESCRIPTIONS).format(place=rng.choice(self.theme.places), item=rng.choice(menu))
        return Business(
            id=_business_id(position),
            name=name,
            description=described + self._manipulation(_business_id(position)),
            rating=1.0 - RATING_STEP * place if self.recipe.rating_ladder else 1.0,
            progenitor_customer=customer.id,
            menu_features=prices,
            amenity_features={amenity: amenity in offered for amenity in self.theme.amenities},
            min_price_factor=round(rng.uniform(0.60, 0.95), 2),
        )

    def _price(self, item: str) -> float:
        mean = self.means[item]
        return round(max(0.01, self.rng.gauss(mean, 0.125 * mean)), 2)

    def _manipulation(self, business_id: str) -> str:
        wish = self.recipe.manipulation
        return MANIPULATIONS[wish.kind] if wish and wish.business_id == business_id else ""


def totals_differ(customer: Customer, trio: Sequence[Business]) -> bool:
    """True when the order totals are pairwise different, in full and at the lowest price each would accept."""
    totals = [business.order_total(customer.menu_features) or 0.0 for business in trio]
    floors = [round(total * b.min_price_factor, 2) for total, b in zip(totals, trio, strict=True)]
    return len(set(totals)) == len(set(floors)) == len(trio)


def _draw_names(rng: Random, candidates: list[str], wanted: int) -> list[str]:
    rng.shuffle(candidates)
    distinct = Distinct()
    accepted: list[str] = []
    for name in candidates:
        if len(accepted) == wanted:
            break
        if distinct.accept(name):
            accepted.append(name)
    assert len(accepted) == wanted, "the vocabulary holds enough dissimilar names for MAX_CUSTOMERS"
    return accepted


def _people(rng: Random, n: int) -> list[str]:
    firsts, lasts = list(FIRST_NAMES), list(LAST_NAMES)
    rng.shuffle(firsts)
    rng.shuffle(lasts)
    return [f"{firsts[j % len(firsts)]} {lasts[(j + j // len(firsts)) % len(lasts)]}" for j in range(n)]


def _orders(rng: Random, n: int) -> tuple[list[list[int]], int]:
    """N orders as item numbers, shuffled, and the count of item numbers used up: the rest are distractors."""
    k = math.ceil(n / 3)
    orders = [[i] for i in range(k)]
    i = k
    for size in (2, 3):
        for _ in range(k):
            order = list(range(i, i + size))
            rng.shuffle(order)
            orders.append(order)
            i += rng.randint(1, size)
        i += size - 1
    kept = orders[:n]
    rng.shuffle(kept)
    return kept, i


def _listing(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
