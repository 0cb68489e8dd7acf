"""Heuristics for the shortest tour: nearest neighbour, and simulated annealing by swaps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp
from random import Random
from typing import Any

from trialbook.algomancy import Float, Integer, Progress, Values, algorithm
from trialbook_algomancy.tours.locations import Locations, read_locations


def toured(locations: Locations, tour: Sequence[int]) -> dict[str, Any]:
    """The result of a tour algorithm: ids in order, beginning with the lowest, and the length of the closed tour."""
    start = tour.index(0)
    ordered = [*tour[start:], *tour[:start]]
    return {"tour": [locations.ids[position] for position in ordered], "length": locations.length(ordered)}


@algorithm("Nearest Neighbour")
def nearest_neighbour(data: Any, values: Values, progress: Progress) -> dict[str, Any]:  # noqa: ARG001
    """From the lowest id always on to the nearest location that is left; of equally near ones to the lowest id."""
    locations = read_locations(data)
    tour = nearest_first(locations, progress)
    progress(100)
    return toured(locations, tour)


def nearest_first(locations: Locations, report: Callable[[float], None]) -> list[int]:
    """The nearest neighbour tour, as positions; ``report`` is told the percentage a hundred times."""
    import numpy as np

    points = np.column_stack([locations.x, locations.y]).astype(float)
    left = np.ones(len(points), dtype=bool)
    tour, every = [0], max(1, len(points) // 100)
    left[0] = False
    for number in range(1, len(points)):
        squared = ((points - points[tour[-1]]) ** 2).sum(axis=1)
        squared[~left] = np.inf
        tour.append(int(squared.argmin()))
        left[tour[-1]] = False
        if number % every == 0:
            report(100 * number / len(points))
    return tour


@algorithm(
    "Simulated Annealing",
    Float("initial_temperature", default=1000.0, minimum=1e-6),
    Float("cooling_rate", default=0.995, minimum=1e-6, maximum=1.0),
    Float("minimum_temperature", default=1.0, minimum=0.0),
    Integer("max_swaps", default=10_000, minimum=1),
    Integer("seed", default=42),
)
def annealing(data: Any, values: Values, progress: Progress) -> dict[str, Any]:
    """Begins with the nearest neighbour tour and swaps two locations at random, more reluctantly the cooler it gets.

    The best tour seen is the result, so that it is never longer than the first one.
    """
    locations = read_locations(data)
    tour = nearest_first(locations, lambda _: progress.check())
    if len(tour) > 3:  # shorter ones have one length only
        tour = _anneal(locations, tour, values, progress)
    progress(100)
    return toured(locations, tour)


def _anneal(locations: Locations, tour: list[int], values: Values, progress: Progress) -> list[int]:
    generator = Random(values["seed"])  # noqa: S311 -- reproducible, not secret
    temperature = values["initial_temperature"]
    length = best_length = locations.length(tour)
    best = list(tour)
    for swap in range(values["max_swaps"]):
        if temperature <= values["minimum_temperature"]:
            break
        i, j = generator.sample(range(len(tour)), 2)
        before = _around(locations, tour, i, j)
        tour[i], tour[j] = tour[j], tour[i]
        delta = _around(locations, tour, i, j) - before
        if delta < 0 or generator.random() < exp(-delta / temperature):
            length += delta
            if length < best_length - 1e-9:  # sums of differences drift by less than that
                best, best_length = list(tour), length
        else:
            tour[i], tour[j] = tour[j], tour[i]
        temperature *= values["cooling_rate"]
        if swap % 100 == 0:
            progress(100 * swap / values["max_swaps"])
    return best


def _around(locations: Locations, tour: Sequence[int], i: int, j: int) -> float:
    """Length of the edges at positions i and j, each edge once."""
    count = len(tour)
    edges = {(i - 1) % count, i, (j - 1) % count, j}
    return sum(locations.distance(tour[edge], tour[(edge + 1) % count]) for edge in sorted(edges))
