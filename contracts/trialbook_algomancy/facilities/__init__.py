"""The facilities profile: which sites to open, and who is served from where."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from typing import Any

from trialbook.algomancy import Profile, kpi
from trialbook_algomancy.facilities.example import facility_files
from trialbook_algomancy.facilities.heuristic import greedy
from trialbook_algomancy.facilities.optimum import exact
from trialbook_algomancy.schemas import Column, EtlConfig, Schema

PLACE = (Column("id", primary_key=True), Column("x", "float64"), Column("y", "float64"))
CUSTOMER_COLUMNS = (*PLACE, Column("demand", "float64"))
SITE_COLUMNS = (*PLACE, Column("capacity", "float64"), Column("fixed_cost", "float64"))


@kpi("Cost", better_when="LOWER")
def cost(result: Mapping[str, Any], data: Any) -> float:  # noqa: ARG001
    """Opening sites and transport together."""
    return float(result.get("cost", nan))


@kpi("Open Sites", better_when="LOWER")
def open_sites(result: Mapping[str, Any], data: Any) -> float:  # noqa: ARG001
    """How many sites are open."""
    return len(result["open"]) if "open" in result else nan


@kpi("Service Level", unit="%", better_when="AT_LEAST", threshold=90)
def service_level(result: Mapping[str, Any], data: Any) -> float:  # noqa: ARG001
    """Part of the demand that is served from within the service radius."""
    return 100 * float(result.get("service_level", nan))


profile = Profile(
    title="Facilities",
    algorithms=(greedy, exact),
    kpis=(cost, open_sites, service_level),
    etl=EtlConfig(schemas=(Schema("customers", "csv", CUSTOMER_COLUMNS), Schema("sites", "csv", SITE_COLUMNS))),
    datasets=lambda: {"example_data": facility_files()},
)
