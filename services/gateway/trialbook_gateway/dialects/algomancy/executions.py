"""Every execution of a scenario, from the facts of its run: a reset forgets nothing."""

from __future__ import annotations

from typing import Any

from trialbook.aggregates import RUN
from trialbook.algomancy import Profile
from trialbook.codec import fact_of
from trialbook.domain.run import RunState
from trialbook.domain.run import events as e
from trialbook.times import parse_time
from trialbook_gateway.dialects.algomancy import shape
from trialbook_gateway.dialects.algomancy.listing import Results
from trialbook_gateway.dialects.algomancy.shape import Run
from trialbook_gateway.services import Caller, Services


async def executions(
    services: Services, caller: Caller, profile: Profile, results: Results, id_: str, up_to: int | None = None
) -> list[dict[str, Any]]:
    """The first one first; one that is queued or processing is the last. ``up_to``: as of that ledger sequence."""
    found = []
    for number, (state, sequence) in enumerate(await _states(services, caller, id_, up_to), 1):
        run = shape.run_of(caller.workspace, id_, state, sequence)
        found.append(_execution(profile, number, state, run, await results.of(run)))
    return found


async def _states(services: Services, caller: Caller, id_: str, up_to: int | None) -> list[tuple[RunState, int]]:
    """The run's state before each reset or retry, and at the end, if it was ever queued then."""
    records = await services.log.read(caller.aggregate("run", id_))
    if up_to is not None:
        records = [record for record in records if record.sequence <= up_to]
    state: RunState = RUN.decider.initial()
    found: list[tuple[RunState, int]] = []
    for record in records:
        fact = fact_of(record.event)
        again = isinstance(fact, e.Reset) or (isinstance(fact, e.Queued) and fact.reason == "retry" and not fact.turn)
        if again and state.status != "created":
            found.append((state, record.sequence))
        state = RUN.decider.evolve(state, fact, record.event.time)
    if state.status != "created":
        found.append((state, records[-1].sequence))
    return found


def _execution(profile: Profile, number: int, state: RunState, run: Run, large: bytes | None) -> dict[str, Any]:
    began, ended = state.first_started_at or None, state.finished_at or None
    duration = (parse_time(ended) - parse_time(began)).total_seconds() if began and ended else None
    return {
        "number": number, "status": shape.status_of(run), "started_at": began, "finished_at": ended,
        "duration_s": duration, "seed": state.order.seed, "runner": state.runner or None,
        "kpis": {key: kpi["value"] for key, kpi in shape.kpis_of(profile, run).items()},
        "result": shape.result_of(run, large),
    }  # fmt: skip
