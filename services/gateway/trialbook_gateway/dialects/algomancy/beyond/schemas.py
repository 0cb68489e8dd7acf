"""Bodies and replies of what the original does not have."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from trialbook_gateway.dialects.algomancy.schemas import Text


class Measure(BaseModel):
    """A KPI, and the ids of the scenarios that no other one beats."""

    key: str
    name: str
    unit: str
    better_when: Literal["HIGHER", "LOWER", "AT_LEAST", "AT_MOST"] | None
    threshold: float | None
    best: list[str]


class Cell(BaseModel):
    """One KPI of one scenario. ``better``: than the baseline 1, worse -1, neither 0."""

    value: float | None
    meets_threshold: bool | None
    best: bool
    difference: float | None
    relative_difference: float | None
    better: int | None


class ComparedScenario(BaseModel):
    """One scenario of a comparison."""

    id: str
    tag: str | None
    dataset: str
    algorithm: str
    parameters: str
    status: str
    values: dict[str, Cell]


class Comparison(BaseModel):
    """Scenarios beside each other; differences are to the ``baseline``."""

    baseline: str | None
    measures: list[Measure]
    rows: list[ComparedScenario]


class Point(BaseModel):
    """What one scenario of a sweep has of its own. Other members are refused: nobody meant a sweep of defaults."""

    model_config = ConfigDict(extra="forbid")

    algo_params: dict[str, Any] = {}
    data_params: dict[str, Any] = {}


class SweepCreate(BaseModel):
    """A scenario for every combination of the lists in ``grid`` and ``data_grid``, and for every one of ``points``.

    ``algo_params`` and ``data_params`` are what all have in common.
    """

    model_config = ConfigDict(extra="forbid")

    tag_prefix: Text
    dataset_key: Text
    algo_name: Text
    algo_params: dict[str, Any] | None = None
    data_params: dict[str, Any] | None = None
    grid: dict[str, Annotated[list[Any], Field(min_length=1)]] | None = None
    data_grid: dict[str, Annotated[list[Any], Field(min_length=1)]] | None = None
    points: list[Point] | None = None
    run: bool = False


class Sweep(BaseModel):
    """Where a sweep stands: scenarios by status, and its comparison; differences are to the first scenario."""

    id: str
    tag_prefix: str
    dataset_key: str
    algo_name: str
    created_at: str
    finished: bool
    counts: dict[str, int]
    comparison: Comparison
