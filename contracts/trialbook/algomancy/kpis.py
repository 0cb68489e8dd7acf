"""KPIs: numbers computed from a result, each with the direction in which it gets better."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from numbers import Integral, Real
from typing import Any, Literal, TypeVar, get_args

from trialbook.workload import Cancelled

BetterWhen = Literal["HIGHER", "LOWER", "AT_LEAST", "AT_MOST"]
Compute = Callable[[Mapping[str, Any], Any], float]
"""(result, data) -> the value; the result has ``scenario_id`` and ``completed_at`` as clients see them."""
Key = TypeVar("Key", bound=Hashable)

SENTINEL = -9999999999
"""What clients see as the value of a KPI that has not been computed."""


@dataclass(frozen=True)
class Kpi:
    """A registered KPI. ``AT_LEAST`` and ``AT_MOST`` need a ``threshold``, in the KPI's unit; 0 is one."""

    key: str
    compute: Compute
    better_when: BetterWhen = "LOWER"
    unit: str = ""
    name: str = ""
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.better_when not in get_args(BetterWhen):
            raise ValueError(f"KPI {self.key!r}: better_when is one of {', '.join(get_args(BetterWhen))}.")
        if self.threshold is None and self.better_when.startswith("AT_"):
            raise ValueError(f"KPI {self.key!r}: {self.better_when} needs a threshold.")
        if self.threshold is not None and not isfinite(self.threshold):
            raise ValueError(f"KPI {self.key!r}: the threshold is a finite number.")

    @property
    def display_name(self) -> str:
        """The name clients show; the key unless another was given."""
        return self.name or self.key

    def compare(self, one: float | None, other: float | None) -> int:
        """1 if ``one`` is better, -1 if ``other`` is, 0 if neither; a value beats None.

        Beyond its threshold an ``AT_LEAST`` or ``AT_MOST`` is as good as can be; before it, nearer is better.
        """
        if one is None or other is None:
            return (one is not None) - (other is not None)
        first, second = self._distance(one), self._distance(other)
        return (first < second) - (first > second)

    def meets(self, value: float | None) -> bool | None:
        """Whether the threshold is met; None without a value or threshold."""
        if value is None or self.threshold is None:
            return None
        return value >= self.threshold if self.better_when in {"HIGHER", "AT_LEAST"} else value <= self.threshold

    def best(self, values: Mapping[Key, float | None]) -> list[Key]:
        """The keys whose values no other value beats; none if there is no value at all."""
        known = {key: value for key, value in values.items() if value is not None}
        least = min((self._distance(value) for value in known.values()), default=None)
        return [key for key, value in known.items() if self._distance(value) == least]

    def _distance(self, value: float) -> float:
        """How far from as good as can be; less is better."""
        if self.threshold is not None and self.better_when.startswith("AT_"):
            short = self.threshold - value if self.better_when == "AT_LEAST" else value - self.threshold
            return max(short, 0)
        return value if self.better_when == "LOWER" else -value


def kpi(
    key: str,
    *,
    name: str = "",
    better_when: BetterWhen = "LOWER",
    unit: str = "",
    threshold: float | None = None,
) -> Callable[[Compute], Kpi]:
    """Make a function of (result, data) a KPI."""
    return lambda compute: Kpi(key, compute, better_when, unit, name, threshold)


@dataclass(frozen=True)
class Evaluation:
    """KPI values by key, as far as they were computed; None stands for NaN and infinities.

    ``error`` is the text for clients when one failed, ``cause`` what it raised.
    """

    values: dict[str, float | None]
    error: str | None = None
    cause: Exception | None = None


def evaluate(kpis: Sequence[Kpi], result: Mapping[str, Any], data: Any) -> Evaluation:
    """Compute all KPIs in registration order; the first failure ends it and keeps what was computed before."""
    values: dict[str, float | None] = {}
    for one in kpis:
        try:
            values[one.key] = _number(one.compute(result, data))
        except Cancelled:
            raise
        except Exception as error:  # noqa: BLE001 -- a KPI may raise anything; the scenario reports it
            return Evaluation(values, f"Error computing KPI {one.display_name}", error)
    return Evaluation(values)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"a KPI is a number, not {type(value).__name__}")
    plain = int(value) if isinstance(value, Integral) else float(value)
    return plain if isfinite(plain) else None
