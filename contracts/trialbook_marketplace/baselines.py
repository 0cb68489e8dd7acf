"""What a buyer could have got: welfare of picking the best, the cheapest, or any business (facts, section 12)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from msgspec import Struct

from trialbook_marketplace.models import Business, Customer, Dataset
from trialbook_marketplace.seeded import seeded

SAMPLES = 1_000
RESAMPLES = 10_000


class Option(Struct, frozen=True):
    """A business that carries all wanted items: its order total, u_b and whether it offers all amenities."""

    business_id: str
    total: float
    utility: float
    fits: bool


class Sampled(Struct, frozen=True):
    """Distribution of a baseline with random choice; the confidence bounds belong to the median."""

    median: float
    median_ci_lower: float
    median_ci_upper: float
    q1: float
    q3: float
    min: float
    max: float


class Constant(Struct, frozen=True):
    """A baseline without chance."""

    constant: float


class BaselineUtilities(Struct, frozen=True):
    """The content of ``baseline_utilities.json``."""

    pick_any_baseline: Sampled
    pick_any_with_amenities_baseline: Sampled
    pick_cheapest_baseline: Constant
    pick_optimal_baseline: Constant


class ExactBaselines(Struct, frozen=True):
    """Baselines without sampling; the two random ones by their expected value."""

    pick_optimal: float
    pick_cheapest: float
    pick_any_with_amenities_expected: float
    pick_any_expected: float


def options(customer: Customer, businesses: Sequence[Business]) -> list[Option]:
    """The set M of a customer, in the order of ``businesses``."""
    worth = 2 * math.fsum(customer.menu_features.values())
    found = []
    for business in businesses:
        total = business.order_total(customer.menu_features)
        if total is not None:
            fits = business.offers(customer.amenity_features)
            found.append(Option(business.id, total, round((worth if fits else 0.0) - total, 2), fits))
    return found


def exact_baselines(customers: Sequence[Customer], businesses: Sequence[Business]) -> ExactBaselines:
    """All four baselines without sampling; a customer nobody can serve adds nothing."""
    choices = [options(customer, businesses) for customer in customers]
    served = [choice for choice in choices if choice]
    fitting = [[option for option in choice if option.fits] for choice in served]
    return ExactBaselines(
        pick_optimal=_sum(max(option.utility for option in choice) for choice in served),
        pick_cheapest=_sum(min(choice, key=lambda option: option.total).utility for choice in served),
        pick_any_with_amenities_expected=_mean_sum([choice for choice in fitting if choice]),
        pick_any_expected=_mean_sum(served),
    )


def baseline_utilities(dataset: Dataset, seed: int) -> BaselineUtilities:
    """The documented baselines of a dataset, with ``SAMPLES`` random choices drawn from ``seed``."""
    exact = exact_baselines(dataset.customers, dataset.businesses)
    choices = [options(customer, dataset.businesses) for customer in dataset.customers]
    fitting = [[option for option in choice if option.fits] for choice in choices]
    return BaselineUtilities(
        pick_any_baseline=_sampled(choices, seeded("pick_any", seed)),
        pick_any_with_amenities_baseline=_sampled(fitting, seeded("pick_any_with_amenities", seed)),
        pick_cheapest_baseline=Constant(exact.pick_cheapest),
        pick_optimal_baseline=Constant(exact.pick_optimal),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The ``share`` quantile (0 to 1) of sorted values, linear between neighbours."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _sum(values: Any) -> float:
    return round(math.fsum(values), 2)


def _mean_sum(choices: list[list[Option]]) -> float:
    return math.fsum(math.fsum(option.utility for option in choice) / len(choice) for choice in choices)


def _sampled(choices: list[list[Option]], rng: Random) -> Sampled:
    utilities = [[option.utility for option in choice] for choice in choices if choice]
    pick: Callable[[Sequence[float]], float] = rng.choice
    sums = sorted(round(math.fsum(pick(values) for values in utilities), 2) for _ in range(SAMPLES))
    medians = sorted(_resampled_median(sums, rng) for _ in range(RESAMPLES))
    return Sampled(
        median=_tidy(quantile(sums, 0.5)),
        median_ci_lower=_tidy(quantile(medians, 0.025)),
        median_ci_upper=_tidy(quantile(medians, 0.975)),
        q1=_tidy(quantile(sums, 0.25)),
        q3=_tidy(quantile(sums, 0.75)),
        min=sums[0],
        max=sums[-1],
    )


def _resampled_median(ordered: Sequence[float], rng: Random) -> float:
    """Median of one bootstrap resample of an even number of sorted values, without drawing the resample.

    A resample takes the values at ``floor(n * U)`` for n uniform U. Its two middle values are those at the k-th and
    (k+1)-th smallest U, k = n/2: the former is Beta(k, n+1-k) distributed, the latter the least of the n-k uniforms
    left above it.
    """
    size = len(ordered)
    half = size // 2
    lower = rng.betavariate(half, size + 1 - half)
    upper = lower + (1 - lower) * (1 - rng.random() ** (1 / (size - half)))
    last = size - 1
    return (ordered[min(int(size * lower), last)] + ordered[min(int(size * upper), last)]) / 2


def _tidy(value: float) -> float:
    return round(value, 6)
