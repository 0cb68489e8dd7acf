"""Capacitated facility location: customers with demand, sites with capacity and a cost of opening."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, isfinite
from typing import Any

from trialbook.algomancy import Float
from trialbook_algomancy.reading import numbers, table

COST_PER_KM = Float("cost_per_km", default=1.0, minimum=0.0, description="of moving one unit of demand by one km")
SERVICE_RADIUS = Float("service_radius", default=25.0, minimum=0.0, description="in km; nearer is good service")


@dataclass(frozen=True)
class Network:
    """Customers (id, demand) and sites (id, capacity, fixed cost) with the distance in km of every pair."""

    customers: Sequence[str]
    demand: Sequence[float]
    sites: Sequence[str]
    capacity: Sequence[float]
    fixed_cost: Sequence[float]
    distance: Sequence[Sequence[float]]
    """By customer, then site."""


@dataclass(frozen=True)
class Flow:
    """How many units of a customer's demand a site serves; both by position."""

    customer: int
    site: int
    amount: float


def read_network(data: Any) -> Network:
    """The tables ``customers`` and ``sites`` of a dataset.

    Raises ``ValueError`` for missing tables and columns, ids that come twice, numbers that are missing or negative,
    and sites that cannot serve everybody together.
    """
    customers = table(data, "customers", "id", "x", "y", "demand")
    sites = table(data, "sites", "id", "x", "y", "capacity", "fixed_cost")
    demand, capacity = _amounts(customers, "customers", "demand"), _amounts(sites, "sites", "capacity")
    if sum(capacity) < sum(demand):
        raise ValueError(f"The sites can serve {sum(capacity):g} of a demand of {sum(demand):g}.")
    places = [_places(customers, "customers"), _places(sites, "sites")]
    return Network(
        customers=_ids(customers, "customers"),
        demand=demand,
        sites=_ids(sites, "sites"),
        capacity=capacity,
        fixed_cost=_amounts(sites, "sites", "fixed_cost"),
        distance=[[hypot(x - to_x, y - to_y) for to_x, to_y in places[1]] for x, y in places[0]],
    )


def solution(network: Network, flows: Sequence[Flow], cost_per_km: float, service_radius: float) -> dict[str, Any]:
    """The result of a facility algorithm: open sites, who is served from where, and what it costs.

    ``service_level`` is the part of the demand served from within ``service_radius`` km, 0 to 1.
    """
    opened = sorted({flow.site for flow in flows})
    transport = sum(flow.amount * network.distance[flow.customer][flow.site] * cost_per_km for flow in flows)
    fixed = sum(network.fixed_cost[site] for site in opened)
    near = sum(flow.amount for flow in flows if network.distance[flow.customer][flow.site] <= service_radius)
    total = sum(network.demand)
    return {
        "open": [network.sites[site] for site in opened],
        "flows": [
            {"customer": network.customers[flow.customer], "site": network.sites[flow.site], "amount": flow.amount}
            for flow in flows
        ],
        "fixed_cost": fixed,
        "transport_cost": transport,
        "cost": fixed + transport,
        "service_level": near / total if total else 1.0,
    }


def _ids(rows: Any, name: str) -> list[str]:
    ids = [str(id_) for id_ in rows["id"].tolist()]
    if len(set(ids)) != len(ids):
        raise ValueError(f"An id of '{name}' is there twice.")
    return ids


def _amounts(rows: Any, name: str, column: str) -> list[float]:
    amounts = _numbers(rows, name, column)
    if any(amount < 0 for amount in amounts):
        raise ValueError(f"A {column} of '{name}' is negative.")
    return amounts


def _places(rows: Any, name: str) -> list[tuple[float, float]]:
    return list(zip(_numbers(rows, name, "x"), _numbers(rows, name, "y"), strict=True))


def _numbers(rows: Any, name: str, column: str) -> list[float]:
    found = [float(number) for number in numbers(rows[column])]
    if not all(map(isfinite, found)):
        raise ValueError(f"A {column} of '{name}' is missing or no finite number.")
    return found
