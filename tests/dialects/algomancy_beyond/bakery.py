"""A profile that makes a scenario of every dataset and runs every scenario at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trialbook.algomancy import Data, Integer, Profile, Progress, algorithm, kpi
from trialbook_algomancy.schemas import Column, EtlConfig, Schema

LOAVES = Schema("loaves", "csv", (Column("name"), Column("minutes", "int64")))


@algorithm("Bake", Integer("ovens", default=2, minimum=1))
def bake(data: Data, values: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Minutes until all is baked, were it to be divided evenly."""
    progress(100)
    return {"minutes": int(data.tables["loaves"]["minutes"].sum()) / values["ovens"]}


@kpi("Minutes", unit="min", better_when="AT_MOST", threshold=40)
def minutes(result: Mapping[str, Any], data: Data) -> float:
    """What the result says."""
    return float(result["minutes"])


profile = Profile(
    title="Bakery",
    algorithms=[bake],
    kpis=[minutes],
    etl=EtlConfig(schemas=(LOAVES,)),
    datasets=lambda: {"monday": {"loaves.csv": b"name;minutes\nrye;50\nwheat;30\n"}},
    autocreate=True,
    default_algorithm="Bake",
    default_parameters={"ovens": 4},
    autorun=True,
)
