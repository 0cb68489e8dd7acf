"""The conformance profile: one slow algorithm, one random KPI, five files of every kind."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from trialbook.algomancy import Integer, Profile, Progress, Values, algorithm, kpi
from trialbook_algomancy.conformance.files import etl


@algorithm("Slow", Integer("duration", default=1, minimum=1, maximum=60))
def slow(data: Any, values: Values, progress: Progress) -> dict[str, Any]:  # noqa: ARG001
    """Waits ``duration`` seconds."""
    duration = values["duration"]
    for second in range(duration):
        progress(100 * second / duration)
        progress.sleep(1)
    progress(100)
    return {}


@kpi("Delay", name="Average Delay", unit="s", better_when="AT_MOST", threshold=1200)
def delay(result: Mapping[str, Any], data: Any) -> float:  # noqa: ARG001
    """1000 to 1500 s, drawn anew for every run: from the result, so that the same result has the same delay."""
    run = f"{result['scenario_id']} {result['completed_at']}"
    return 1000 * (1 + 0.5 * Random(run).random())  # noqa: S311 -- reproducible, not secret


profile = Profile(
    title="Algomancy API",
    algorithms=(slow,),
    kpis=(delay,),
    etl=etl,
    cors_origins=("http://example.com",),
)
