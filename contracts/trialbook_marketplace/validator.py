"""Checks whether a dataset keeps the promises of the generator recipe (facts, section 15.3)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from trialbook_marketplace.baselines import exact_baselines, options
from trialbook_marketplace.datasets import load_dataset
from trialbook_marketplace.generator import TRIO, totals_differ
from trialbook_marketplace.models import Business, Customer, Dataset
from trialbook_marketplace.similarity import similar_pairs
from trialbook_marketplace.writer import read_baselines, read_recipe


class Report(Struct, frozen=True):
    """Findings; ``cheapest_misses`` counts customers who miss an amenity by taking the cheapest business."""

    problems: list[str]
    customers: int
    businesses: int
    cheapest_misses: int

    @property
    def passed(self) -> bool:
        """True without problems."""
        return not self.problems


def validate_folder(folder: Path) -> Report:
    """Check a dataset folder with its recipe and baselines; raises ``Invalid`` when it cannot be loaded."""
    dataset = load_dataset(folder)
    problems: list[str] = []
    means: dict[str, float] = {}
    try:
        recipe = read_recipe(folder)
        means = recipe.item_means if recipe else {}
        problems += _baseline_problems(folder, dataset)
    except msgspec.ValidationError as error:
        problems.append(f"recipe.json or baseline_utilities.json is malformed: {error}")
    report = validate(dataset, means)
    return msgspec.structs.replace(report, problems=problems + report.problems)


def validate(dataset: Dataset, item_means: dict[str, float] | None = None) -> Report:
    """Check a loaded dataset; ``item_means`` are the prices that reference prices must equal, where known."""
    problems = [*_name_problems(dataset), *_business_problems(dataset)]
    problems += _reference_problems(dataset.customers, item_means or {})
    for customer in dataset.customers:
        problems += _customer_problems(customer, dataset.businesses)
    misses = sum(1 for customer in dataset.customers if _misses_by_cheapest(customer, dataset.businesses))
    return Report(problems, len(dataset.customers), len(dataset.businesses), misses)


def _name_problems(dataset: Dataset) -> Iterator[str]:
    if len(dataset.businesses) != TRIO * len(dataset.customers):
        yield f"{len(dataset.businesses)} businesses for {len(dataset.customers)} customers, not three each"
    for one, other in similar_pairs(business.name for business in dataset.businesses):
        yield f"business names {one!r} and {other!r} are similar"
    items = dict.fromkeys(item for business in dataset.businesses for item in business.menu_features)
    for one, other in similar_pairs(items):
        yield f"menu items {one!r} and {other!r} are similar"


def _business_problems(dataset: Dataset) -> Iterator[str]:
    customers = {customer.id for customer in dataset.customers}
    for business in dataset.businesses:
        if business.progenitor_customer not in customers:
            yield f"{business.id}: progenitor_customer {business.progenitor_customer!r} does not exist"
        if not 0 < business.min_price_factor <= 1:
            yield f"{business.id}: min_price_factor {business.min_price_factor} is outside (0, 1]"


def _reference_problems(customers: list[Customer], item_means: dict[str, float]) -> Iterator[str]:
    known = dict(item_means)
    for customer in customers:
        for item, price in customer.menu_features.items():
            mean = known.setdefault(item, price)
            if price != mean:
                yield f"{customer.id}: reference price {price} of {item!r} differs from the item's mean {mean}"


def _customer_problems(customer: Customer, businesses: list[Business]) -> Iterator[str]:
    matching = [b for b in businesses if b.order_total(customer.menu_features) is not None]
    own = [b for b in businesses if b.progenitor_customer == customer.id]
    if len(own) != TRIO or [b.id for b in own] != [b.id for b in matching]:
        found = ", ".join(b.id for b in matching) or "none"
        yield f"{customer.id}: businesses with all wanted items are {found}, not exactly its own three"
    elif not totals_differ(customer, own):
        yield f"{customer.id}: two of its businesses have the same order total"
    fitting = sum(b.offers(customer.amenity_features) for b in matching)
    if matching and fitting in {0, len(matching)}:
        yield f"{customer.id}: {fitting} of {len(matching)} matching businesses meet the amenities"


def _misses_by_cheapest(customer: Customer, businesses: list[Business]) -> bool:
    choice = options(customer, businesses)
    return bool(choice) and not min(choice, key=lambda option: option.total).fits


def _baseline_problems(folder: Path, dataset: Dataset) -> Iterator[str]:
    stored = read_baselines(folder)
    if stored is None:
        return
    exact = exact_baselines(dataset.customers, dataset.businesses)
    for name, found, expected in (
        ("pick_optimal", stored.pick_optimal_baseline.constant, exact.pick_optimal),
        ("pick_cheapest", stored.pick_cheapest_baseline.constant, exact.pick_cheapest),
    ):
        if round(found, 2) != expected:
            yield f"baseline_utilities.json: {name} is {found}, the dataset gives {expected}"
