"""Baselines: the examples of the facts and agreement between sampled and exact values."""

from __future__ import annotations

import random
from statistics import median

import pytest

from tests.marketplace.builders import business, customer
from trialbook_marketplace.baselines import (
    _resampled_median,
    baseline_utilities,
    exact_baselines,
    options,
    quantile,
)
from trialbook_marketplace.datasets import bundled_root, load_dataset
from trialbook_marketplace.models import Dataset
from trialbook_marketplace.writer import read_baselines

BUYER = customer()
FIT = business("b1", {"Taco": 4.02, "Soup": 9.49, "Cake": 1.0})
DEAR = business("b2", {"Soup": 10.0, "Taco": 5.0})
UNFIT = business("b3", {"Taco": 3.0, "Soup": 9.0}, {"Parking": False})
PARTIAL = business("b4", {"Taco": 0.5})


def test_example_of_the_facts() -> None:
    exact = exact_baselines([BUYER], [FIT])
    assert exact.pick_optimal == exact.pick_cheapest == 13.45


def test_options() -> None:
    found = [(o.business_id, o.total, o.utility, o.fits) for o in options(BUYER, [FIT, DEAR, UNFIT, PARTIAL])]
    assert found == [("b1", 13.51, 13.45, True), ("b2", 15.0, 11.96, True), ("b3", 12.0, -12.0, False)]


def test_exact() -> None:
    exact = exact_baselines([BUYER], [FIT, DEAR, UNFIT, PARTIAL])
    assert exact.pick_optimal == 13.45
    assert exact.pick_cheapest == -12.0
    assert exact.pick_any_expected == pytest.approx((13.45 + 11.96 - 12.0) / 3)
    assert exact.pick_any_with_amenities_expected == pytest.approx((13.45 + 11.96) / 2)


def test_equally_cheap_businesses_count_once() -> None:
    twin = business("b2", FIT.menu_features, {"Parking": False})
    assert exact_baselines([BUYER], [FIT, twin]).pick_cheapest == 13.45
    assert exact_baselines([BUYER], [twin, FIT]).pick_cheapest == -13.51


def test_customers_nobody_can_serve_add_nothing() -> None:
    picky = customer("c2", {"Caviar": 1.0})
    assert exact_baselines([BUYER, picky], [FIT]) == exact_baselines([BUYER], [FIT])
    assert exact_baselines([], []).pick_optimal == 0.0
    sampled = baseline_utilities(Dataset("x", [picky], [FIT]), 1)
    assert (sampled.pick_any_baseline.min, sampled.pick_any_baseline.max) == (0.0, 0.0)


@pytest.mark.parametrize("name", ["mexican_3_9", "mexican_10_30", "mexican_33_99"])
def test_shipped_baselines(name: str) -> None:
    folder = bundled_root() / name
    dataset, stored = load_dataset(folder), read_baselines(folder)
    assert stored is not None
    exact = exact_baselines(dataset.customers, dataset.businesses)
    assert stored.pick_optimal_baseline.constant == exact.pick_optimal
    assert stored.pick_cheapest_baseline.constant == exact.pick_cheapest
    for sampled in (stored.pick_any_baseline, stored.pick_any_with_amenities_baseline):
        assert sampled.min <= sampled.q1 <= sampled.median_ci_lower <= sampled.median
        assert sampled.median <= sampled.median_ci_upper <= sampled.q3 <= sampled.max
    assert stored.pick_any_with_amenities_baseline.max <= exact.pick_optimal
    assert stored.pick_any_baseline.median < stored.pick_any_with_amenities_baseline.median


def test_random_choice_centres_on_the_expected_value() -> None:
    dataset = load_dataset(bundled_root() / "mexican_33_99")
    exact = exact_baselines(dataset.customers, dataset.businesses)
    sampled = baseline_utilities(dataset, 12345).pick_any_with_amenities_baseline
    assert sampled.median == pytest.approx(exact.pick_any_with_amenities_expected, abs=sampled.q3 - sampled.q1)
    assert baseline_utilities(dataset, 12345) == baseline_utilities(dataset, 12345)


def test_quantile_is_linear() -> None:
    assert [quantile([1.0, 2.0, 4.0], share) for share in (0, 0.25, 0.5, 0.75, 1)] == [1.0, 1.5, 2.0, 3.0, 4.0]
    assert quantile([7.0], 0.3) == 7.0


def test_the_direct_draw_of_a_resampled_median_has_the_distribution_of_resampling() -> None:
    rng = random.Random(1)
    values = sorted(rng.gauss(0, 1) for _ in range(40))
    direct = sorted(_resampled_median(values, rng) for _ in range(6000))
    drawn = sorted(median(rng.choices(values, k=40)) for _ in range(6000))
    for share in (0.025, 0.25, 0.5, 0.75, 0.975):
        assert quantile(direct, share) == pytest.approx(quantile(drawn, share), abs=0.06)
