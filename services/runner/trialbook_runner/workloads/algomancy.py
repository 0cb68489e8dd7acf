"""The workload ``algomancy``: one scenario, from the version of its dataset to its KPIs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from trialbook import Context
from trialbook import workload as as_workload
from trialbook.algomancy import Algorithm, Profile, Progress, execute, parameter_set
from trialbook.clock import SystemClock
from trialbook.times import rfc3339
from trialbook.workload import Failure
from trialbook_runner.workloads.algomancy_profile import PROFILE, served

INLINE_BYTES = 32 * 1024
"""A larger result is an artifact, so that lists of scenarios stay quick."""
RESULT = "result.json"
TICK_S = 0.05
MAX_TEXT = 16_000


class Dataset(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Identity of the dataset whose tables are the input ``tables``; ``declared`` are its parameters, if it has any."""

    id: str
    name: str
    type: str = "master_data"
    creation_datetime: str = ""
    tables: list[str] = []
    declared: dict[str, Any] | None = None


class Params(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A scenario. ``parameters`` is the text that scenarios carry: JSON with ``name`` and ``parameters``."""

    algorithm: str
    parameters: str
    dataset: Dataset
    data_parameters: dict[str, Any] = {}


@dataclass(frozen=True)
class Data:
    """What algorithms and KPIs see; see ``trialbook.algomancy.Data``."""

    id: str
    name: str
    tables: Mapping[str, Any]
    parameters: Mapping[str, Any]


@as_workload(
    "algomancy",
    params=Params,
    title="Algomancy scenario",
    description="Runs one algorithm of the profile on one dataset and computes the profile's KPIs.",
    isolation="process",
    warm="trialbook_runner.workloads.algomancy_warm",
    shares={"tables": "trialbook_algomancy.data:tables_from_json"},
)
def workload(ctx: Context, params: Params) -> dict[str, Any]:
    """Returns ``result`` (or the name of its ``artifact``), ``kpis`` and the ``progress`` reached, in percent."""
    profile, algorithm = _algorithm(params)
    data = _data(ctx, params)
    values = algorithm.parameters.loads(params.parameters, ctx.now())
    progress = Progress(_report(ctx), ctx.check, _wait(ctx), SystemClock())

    def stamp() -> dict[str, Any]:
        # Recorded, because the result and KPIs may depend on it: a replay sees the same time.
        at: Any = ctx.effect("completed_at", None, lambda: rfc3339(ctx.now()), durable=False)  # type: ignore[arg-type, return-value] # sync here
        return {"scenario_id": data.id, "completed_at": at}

    outcome = execute(profile, algorithm, data, values, progress, stamp)
    reached = {"kpis": outcome.kpis, "progress": progress.percent}
    if outcome.error is not None:
        if outcome.cause is not None:
            ctx.log(f"{type(outcome.cause).__name__}: {outcome.cause}", level="error")
        text = outcome.error[:MAX_TEXT]
        raise Failure("scenario_failed", text, retryable=False, text=text, **reached) from outcome.cause
    encoded = msgspec.json.encode(outcome.result)
    if len(encoded) <= INLINE_BYTES:
        return {"result": outcome.result, **reached}
    ctx.artifact(RESULT, encoded, media_type="application/json")  # type: ignore[unused-coroutine] # sync here
    return {"artifact": RESULT, **reached}


def _algorithm(params: Params) -> tuple[Profile, Algorithm]:
    profile = served()
    algorithm = profile.find(params.algorithm)
    if algorithm is None:
        known = ", ".join(each.name for each in profile.algorithms)
        text = f"The profile {PROFILE!r} of this runner has no algorithm {params.algorithm!r}. It has: {known}."
        raise Failure("unknown_algorithm", text, retryable=False)
    return profile, algorithm


def _data(ctx: Context, params: Params) -> Data:
    dataset, values = params.dataset, params.data_parameters
    if (declared := dataset.declared) is not None:
        values = parameter_set(declared["name"], declared["parameters"]).decode(values, ctx.now())
    return Data(dataset.id, dataset.name, ctx.shared("tables"), values)


def _report(ctx: Context) -> Callable[[float], None]:
    return lambda percent: ctx.progress(percent, 100, unit="%")


def _wait(ctx: Context) -> Callable[[float], None]:
    def wait(seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            ctx.check()
            time.sleep(min(TICK_S, left))

    return wait
