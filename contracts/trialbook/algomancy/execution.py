"""One scenario, executed in this process: the algorithm, then the KPIs, with the texts that clients know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from trialbook.algomancy.authoring import Algorithm, Profile, Progress
from trialbook.algomancy.kpis import evaluate
from trialbook.algomancy.parameter_sets import Values
from trialbook.workload import Cancelled, Paused

NO_RESULT = "Scenario result is not available"
MISSING = ("NAType", "NaTType")
"""What pandas has for missing values beside NaN; pandas itself is not needed here."""


@dataclass(frozen=True)
class Outcome:
    """How a scenario ended: complete when ``error`` is None.

    ``result`` is JSON-able, and kept when a KPI failed; ``kpis`` are those computed, None for NaN; ``cause`` is the
    exception behind an error, if there was one.
    """

    result: dict[str, Any] | None = None
    kpis: dict[str, float | None] = field(default_factory=dict)
    error: str | None = None
    cause: Exception | None = None


def execute(
    profile: Profile,
    algorithm: Algorithm,
    data: Any,
    values: Values,
    progress: Progress,
    stamp: Callable[[], Mapping[str, Any]],
) -> Outcome:
    """Run one algorithm on resolved values and compute the profile's KPIs.

    ``stamp`` gives the members that every result begins with (``scenario_id``, ``completed_at``) and is asked when
    the algorithm has returned. Cancellation and pausing pass through as exceptions; all else is in the outcome.
    """
    try:
        made = algorithm.run(data, values, progress)
        if made is None:
            return Outcome(error=NO_RESULT)
        stamped = stamp()
        result = {**stamped, **_plain(made), **stamped}
    except (Cancelled, Paused):
        raise
    except Exception as error:  # noqa: BLE001 -- an algorithm may raise anything; the scenario reports it
        return Outcome(error=str(error) or type(error).__name__, cause=error)
    evaluation = evaluate(profile.kpis, result, data)
    return Outcome(result, evaluation.values, evaluation.error, evaluation.cause)


def _plain(made: Mapping[str, Any]) -> dict[str, Any]:
    """The result as clients will see it: numpy's and pandas' values become plain ones, missing ones null."""
    try:
        return msgspec.json.decode(msgspec.json.encode(made, enc_hook=_unpack), type=dict[str, Any])
    except msgspec.ValidationError:
        raise TypeError(f"A result has named members: {type(made).__name__} has none") from None


def _unpack(value: Any) -> Any:
    if type(value).__name__ in MISSING:
        return None
    for method in ("tolist", "to_pydatetime", "to_pytimedelta"):
        if hasattr(value, method):
            return getattr(value, method)()
    raise TypeError(f"A result is JSON: {type(value).__name__} does not fit in")
