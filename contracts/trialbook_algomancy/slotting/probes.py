"""Algorithms that optimise nothing: they show how scenarios progress, fail and take parameters."""

from __future__ import annotations

from typing import Any

from trialbook.algomancy import (
    Boolean,
    Enum,
    Float,
    Integer,
    MultiEnum,
    Progress,
    String,
    Time,
    Values,
    algorithm,
)

CAPPED_LOOP_S = 5.0


@algorithm("Instant")
def instant(data: Any, values: Values, progress: Progress) -> dict[str, Any]:  # noqa: ARG001
    """Returns at once and reports no progress."""
    return {}


@algorithm("Long Progress", Integer("seconds", default=10, minimum=1, maximum=120))
def long_progress(data: Any, values: Values, progress: Progress) -> dict[str, Any]:  # noqa: ARG001
    """Reports progress once per second."""
    seconds = values["seconds"]
    for passed in range(1, seconds + 1):
        progress.sleep(1)
        progress(int(100 * passed / seconds))
    return {}


@algorithm(
    "Failure Modes",
    Enum("mode", ("raise_value_error", "raise_runtime", "return_none", "key_error_in_kpi", "infinite_loop_capped")),
)
def failure_modes(data: Any, values: Values, progress: Progress) -> dict[str, Any] | None:  # noqa: ARG001
    """Fails in the chosen way."""
    match values["mode"]:
        case "raise_value_error":
            raise ValueError("Intentional ValueError from FailureModesAlgorithm")
        case "raise_runtime":
            raise RuntimeError("Intentional RuntimeError from FailureModesAlgorithm")
        case "return_none":
            return None
        case "key_error_in_kpi":
            return {"trigger_key_error": True}
    state = 1
    while progress.elapsed() < CAPPED_LOOP_S:  # the mode that computes, for tests of cancellation
        for _ in range(1000):
            state = state * 1_103_515_245 % 2_147_483_647
        progress.check()
    return {}


@algorithm(
    "Parameter Matrix",
    Integer("int_param", default=42, minimum=0, maximum=1000),
    Float("float_param", default=3.14, minimum=0.0),
    String("string_param", default="hello"),
    Boolean("bool_param", default=True),
    Enum("enum_param", ("option_a", "option_b", "option_c")),
    MultiEnum("multi_enum_param", ("x", "y", "z")),
    Time("time_param"),
)
def parameter_matrix(data: Any, values: Values, progress: Progress) -> dict[str, Any]:  # noqa: ARG001
    """Takes a parameter of nearly every kind and ignores it."""
    progress(100)
    return {}
