"""What authors rely on: progress, KPIs and their failures, outcomes, and an import that costs nothing."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialbook.algomancy import (
    Algorithm,
    BetterWhen,
    Integer,
    Kpi,
    ParameterError,
    Profile,
    ProfileError,
    Progress,
    Values,
    algorithm,
    evaluate,
    kpi,
)
from trialbook.algomancy.testing import SimulatedClock, TrialData, try_algorithm
from trialbook.workload import Cancelled

NOW = datetime(2026, 11, 20, tzinfo=UTC)


@algorithm("Count", Integer("to", default=4, minimum=1))
def count(data: Any, values: Values, progress: Progress) -> dict[str, Any]:
    """Counts up."""
    for number in range(values["to"]):
        progress(100 * number / values["to"])
        progress.sleep(1)
    return {"counted": values["to"], "elapsed": progress.elapsed()}


@kpi("Counted", name="Numbers counted", unit="n", better_when="HIGHER")
def counted(result: Mapping[str, Any], data: Any) -> float:
    return float(result["counted"])


def test_an_algorithm_runs_as_a_scenario_would() -> None:
    trial = try_algorithm(count, {}, {"to": 2}, kpis=[counted], now=NOW)
    assert (count.name, count.description) == ("Count", "Counts up.")
    assert trial.error is None
    assert trial.result is not None
    assert list(trial.result) == ["scenario_id", "completed_at", "counted", "elapsed"]
    assert 2 < trial.result["elapsed"] < 2.1
    assert trial.result["completed_at"].startswith("2026-11-20T00:00:02")
    assert trial.kpis == {"Counted": 2.0}
    assert trial.progress == [50.0]  # 0 is where it began
    with pytest.raises(ParameterError):
        try_algorithm(count, {}, {"to": 0})
    with pytest.raises(Cancelled):
        try_algorithm(count, {}, {"to": 10}, cancel_at=50)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20))
def test_progress_stays_within_bounds_and_never_decreases(said: list[float]) -> None:
    reported: list[float] = []
    clock = SimulatedClock()
    progress = Progress(reported.append, lambda: None, clock.wait, clock)
    for percent in said:
        progress(percent)
    assert reported == sorted(set(reported))
    assert all(0 < percent <= 100 for percent in reported)
    assert progress.percent == min(max([0.0, *said]), 100.0)
    assert progress.percent - 0.1 < max([0.0, *reported]) <= progress.percent
    assert len(reported) <= 1001


def test_progress_is_a_number() -> None:
    clock = SimulatedClock()
    with pytest.raises(ValueError, match="0 to 100"):
        Progress(print, lambda: None, clock.wait, clock)(math.nan)


def ending(run: Any, *kpis: Kpi) -> Any:
    return try_algorithm(algorithm("Ends")(run), {"t": None}, kpis=kpis)


def fails(error: Exception) -> Any:
    def run(*_: Any) -> Any:
        raise error

    return run


@pytest.mark.parametrize(
    ("run", "text"),
    [
        (fails(ValueError("out of tea")), "out of tea"),
        (fails(KeyError("tea")), "'tea'"),
        (fails(RuntimeError()), "RuntimeError"),
        (lambda *_: None, "Scenario result is not available"),
        (lambda *_: [1], "A result has named members: list has none"),
        (lambda *_: {"x": object()}, "A result is JSON: object does not fit in"),
    ],
)
def test_failures_of_an_algorithm_have_their_text(run: Any, text: str) -> None:
    trial = ending(run, counted)
    assert (trial.error, trial.result, trial.kpis) == (text, None, {})


def test_results_are_json_as_clients_see_them() -> None:
    made = {"n": np.int64(3), "f": np.float32(0.5), "a": np.arange(2), "nan": math.nan, 7: np.bool_(True)}
    trial = ending(lambda *_: made)
    assert {**trial.result, "scenario_id": "", "completed_at": ""} == {
        "scenario_id": "", "completed_at": "", "n": 3, "f": 0.5, "a": [0, 1], "nan": None, "7": True,
    }  # fmt: skip


def test_rows_of_tables_with_missing_values_are_results() -> None:
    table = pd.DataFrame(
        {
            "text": pd.array(["a", None], dtype="string"), "flag": pd.array([True, None], dtype="boolean"),
            "count": pd.array([1, None], dtype="Int64"), "share": [0.5, None], "kind": pd.Categorical(["k", None]),
            "day": pd.to_datetime(["2026-01-02", None]), "lasts": pd.to_timedelta(["1h", None]),
        }
    )  # fmt: skip
    trial = ending(lambda *_: {"rows": table.to_dict("records"), "texts": table["text"]})
    assert trial.error is None
    first = {
        "text": "a", "flag": True, "count": 1, "share": 0.5, "kind": "k", "day": "2026-01-02T00:00:00",
        "lasts": "PT3600S",
    }  # fmt: skip
    assert trial.result["rows"] == [first, dict.fromkeys(first)]
    assert trial.result["texts"] == ["a", None]


def test_no_result_can_pretend_to_be_of_other_data() -> None:
    trial = ending(lambda *_: {"more": 1, "scenario_id": "mine", "completed_at": "never"})
    honest = ending(lambda *_: {"more": 1})
    assert trial.result == honest.result
    assert list(trial.result) == ["scenario_id", "completed_at", "more"]


def measured(name: str, value: Any) -> Kpi:
    return Kpi(name, lambda result, data: value(), name=name.upper())


def test_kpis_computed_before_a_failing_one_keep_their_values() -> None:
    def broken() -> float:
        raise KeyError("x")

    trial = ending(lambda *_: {}, measured("a", lambda: 1), measured("b", broken), measured("c", lambda: 2))
    assert (trial.error, trial.kpis) == ("Error computing KPI B", {"a": 1})
    assert isinstance(trial.cause, KeyError)
    assert trial.result is not None


@pytest.mark.parametrize("value", [None, "1", True, [1], np.bool_(True)])
def test_what_is_no_number_is_a_failure(value: Any) -> None:
    assert evaluate([measured("a", lambda: value)], {}, None).error == "Error computing KPI A"


@pytest.mark.parametrize(
    ("value", "seen"),
    [(1, 1), (1.5, 1.5), (np.float32(0.5), 0.5), (np.int64(3), 3), (math.nan, None), (-math.inf, None)],
)
def test_numbers_are_plain_and_those_that_json_lacks_are_null(value: Any, seen: Any) -> None:
    [found] = evaluate([measured("a", lambda: value)], {}, None).values.values()
    assert found == seen
    assert type(found) is type(seen)


def test_cancellation_passes_through() -> None:
    with pytest.raises(Cancelled):
        ending(fails(Cancelled()))
    with pytest.raises(Cancelled):
        ending(lambda *_: {}, Kpi("k", fails(Cancelled())))


def nothing(result: Mapping[str, Any], data: Any) -> float:
    return 0


@pytest.mark.parametrize(
    ("better_when", "threshold", "better", "worse"),
    [
        ("HIGHER", None, 2, 1),
        ("LOWER", None, 1, 2),
        ("LOWER", 0, -1, 0),
        ("AT_LEAST", 10, 10, 9.5),
        ("AT_LEAST", 10, 9, 8),
        ("AT_MOST", 0, 0, 1),
        ("AT_MOST", 10, 11, 12),
        ("HIGHER", None, 1, None),
    ],
)
def test_better_is_better(better_when: BetterWhen, threshold: float | None, better: float, worse: float | None) -> None:
    one = Kpi("k", nothing, better_when, threshold=threshold)
    assert one.threshold == threshold
    assert (one.compare(better, worse), one.compare(worse, better), one.compare(better, better)) == (1, -1, 0)
    assert one.best({"b": better, "w": worse, "n": None}) == ["b"]


def test_beyond_the_threshold_all_are_equal() -> None:
    least = Kpi("k", nothing, "AT_LEAST", threshold=10)
    assert least.compare(10, 99) == 0
    assert least.best({1: 99.0, 2: 12.0, 3: 9.0}) == [1, 2]
    assert least.best({1: None}) == []
    assert (least.meets(10), least.meets(9.9), least.meets(None)) == (True, False, None)
    most = Kpi("k", nothing, "AT_MOST", threshold=0)
    assert (most.meets(0), most.meets(0.1)) == (True, False)


@pytest.mark.parametrize(
    "declare",
    [
        lambda: Kpi("k", nothing, "BIGGER"),  # type: ignore[arg-type]
        lambda: Kpi("k", nothing, "AT_MOST"),
        lambda: Kpi("k", nothing, threshold=math.inf),
        lambda: Profile(title="t", algorithms=[count, count]),
        lambda: Profile(title="t", algorithms=[count], kpis=[counted, counted]),
        lambda: Profile(title="t", algorithms=[count], autocreate=True),
        lambda: Profile(title="t", algorithms=[count], default_algorithm="Discount"),
        lambda: Profile(title="t", algorithms=[count], cors_origins="*"),
    ],
)
def test_what_cannot_be_served_is_refused_where_it_is_declared(declare: Any) -> None:
    with pytest.raises((ProfileError, ValueError)):
        declare()


def test_defaults_of_a_profile_are_checked_as_a_client_s_values() -> None:
    profile = Profile(title="t", algorithms=[count], default_algorithm="Count", default_parameters={"to": 0})
    with pytest.raises(ParameterError, match="greater than or equal to 1"):
        profile.check_defaults(NOW)
    Profile(title="t", algorithms=[count]).check_defaults(NOW)
    assert profile.find("Count") is count
    assert profile.find("count") is None
    assert profile.data_parameters(TrialData({})) is None
    assert isinstance(count, Algorithm)


def test_importing_the_authoring_api_costs_little() -> None:
    program = (
        "import sys; from trialbook.algomancy import load_profile\n"
        "for name in ('slotting', 'conformance', 'tours', 'facilities'): load_profile(name)\n"
        "print([m for m in ('pandas', 'numpy', 'scipy', 'ortools', 'openpyxl', 'fastapi') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout == "[]\n"
