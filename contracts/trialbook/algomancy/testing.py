"""Algorithms tried in the process of their author's tests: no server, no waiting.

trial = try_algorithm(cheapest, {"offers": pandas.DataFrame(...)}, {"limit": 3}, kpis=[total])
assert trial.error is None
assert trial.kpis == {"Total": 12.5}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from trialbook.algomancy.authoring import Algorithm, Profile, Progress
from trialbook.algomancy.execution import Outcome, execute
from trialbook.algomancy.kpis import Kpi
from trialbook.clock import FixedClock
from trialbook.workload import Cancelled


@dataclass(frozen=True)
class Trial(Outcome):
    """An outcome, and all percentages that were reported."""

    progress: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class TrialData:
    """A dataset made of tables alone."""

    tables: Mapping[str, Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    id: str = "00000000-0000-0000-0000-000000000000"
    name: str = "trial"


class SimulatedClock(FixedClock):
    """Waiting takes no time but passes it; every look at the clock passes a millisecond, so that loops end."""

    def wait(self, seconds: float) -> None:
        """Let seconds pass."""
        self.set(self.now() + timedelta(seconds=seconds))

    def monotonic(self) -> float:
        """Simulated seconds."""
        self.wait(0.001)
        return super().monotonic()


def try_algorithm(
    algorithm: Algorithm,
    data: Any,
    parameters: Mapping[str, Any] | None = None,
    *,
    kpis: Sequence[Kpi] = (),
    data_parameters: Mapping[str, Any] | None = None,
    cancel_at: float | None = None,
    now: datetime | None = None,
) -> Trial:
    """Run an algorithm on a dataset, or on tables by name, as a scenario would, at a simulated time (``now``).

    Raises ``ParameterError`` for parameters that a client could not use, and ``Cancelled`` when the algorithm lets
    pass the cancellation that comes once it reported ``cancel_at`` percent.
    """
    clock = SimulatedClock(now)
    if isinstance(data, Mapping):
        data = TrialData(data, data_parameters or {})
    reported: list[float] = []

    def check() -> None:
        if cancel_at is not None and reported and reported[-1] >= cancel_at:
            raise Cancelled

    def stamp() -> dict[str, Any]:
        return {"scenario_id": data.id, "completed_at": clock.now().isoformat()}

    values = algorithm.parameters.resolve(parameters, clock.now())
    progress = Progress(reported.append, check, clock.wait, clock)
    profile = Profile(title="trial", algorithms=(algorithm,), kpis=kpis)
    outcome = execute(profile, algorithm, data, values, progress, stamp)
    return Trial(outcome.result, outcome.kpis, outcome.error, outcome.cause, reported)
