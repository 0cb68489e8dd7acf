"""A heuristic: open the site that serves most cheaply, fill it with the nearest customers, and so on."""

from __future__ import annotations

from typing import Any

from trialbook.algomancy import Progress, Values, algorithm
from trialbook_algomancy.facilities.model import COST_PER_KM, SERVICE_RADIUS, Flow, Network, read_network, solution


@algorithm("Greedy", COST_PER_KM, SERVICE_RADIUS)
def greedy(data: Any, values: Values, progress: Progress) -> dict[str, Any]:
    """Opens sites one by one, each time the one with the least cost per unit that it can still serve."""
    network = read_network(data)
    flows = open_cheapest(network, values["cost_per_km"], progress)
    progress(100)
    return solution(network, flows, values["cost_per_km"], values["service_radius"])


def open_cheapest(network: Network, cost_per_km: float, progress: Progress) -> list[Flow]:
    """Who is served from where. Every customer is served in full: the sites together can."""
    left = {customer: amount for customer, amount in enumerate(network.demand) if amount > 0}
    closed = set(range(len(network.sites)))
    flows: list[Flow] = []
    while left:
        offers = {site: _fill(network, site, left) for site in sorted(closed)}
        costs = {
            site: _unit_cost(network, site, offer, cost_per_km)
            for site, offer in offers.items()
            if any(flow.amount > 0 for flow in offer)
        }
        cheapest = min(costs, key=costs.__getitem__)
        closed.remove(cheapest)
        for flow in offers[cheapest]:
            left[flow.customer] -= flow.amount
            if left[flow.customer] <= 0:
                del left[flow.customer]
        flows += offers[cheapest]
        progress.check()
    return flows


def _fill(network: Network, site: int, left: dict[int, float]) -> list[Flow]:
    """What the site would serve: the nearest customers first, as far as its capacity goes."""
    flows, room = [], network.capacity[site]
    for customer in sorted(left, key=lambda c: network.distance[c][site]):
        if room <= 0:
            break
        amount = min(room, left[customer])
        flows.append(Flow(customer, site, amount))
        room -= amount
    return flows


def _unit_cost(network: Network, site: int, flows: list[Flow], cost_per_km: float) -> float:
    transport = sum(flow.amount * network.distance[flow.customer][site] for flow in flows) * cost_per_km
    return (network.fixed_cost[site] + transport) / sum(flow.amount for flow in flows)
