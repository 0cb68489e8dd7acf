"""What an author of algorithms sees: ``@algorithm``, ``@kpi``, ``Progress`` and ``Profile``.

    @algorithm("Cheapest", Integer("limit", default=10, minimum=1))
    def cheapest(data, values, progress):
        table = data.tables["offers"].nsmallest(values["limit"], "price")
        return {"offers": list(table["id"]), "total": float(table["price"].sum())}

    @kpi("Total", unit="EUR", better_when="LOWER")
    def total(result, data):
        return result["total"]

    profile = Profile(title="Offers", algorithms=[cheapest], kpis=[total])

``data.tables`` holds pandas DataFrames by name; nothing here imports pandas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from typing import Any, Protocol

from trialbook.algomancy.kpis import Kpi
from trialbook.algomancy.parameter_sets import ParameterSet, Values
from trialbook.algomancy.parameters import Parameter
from trialbook.clock import Clock
from trialbook.errors import Invalid


class ProfileError(Invalid):
    """A profile that cannot be served; ``detail`` says what to change. Code ``invalid_profile``."""

    def __init__(self, detail: str) -> None:
        """``detail``: the whole sentence."""
        super().__init__("invalid_profile", detail)


class Data(Protocol):
    """A dataset as algorithms and KPIs see it."""

    @property
    def id(self) -> str:
        """Its UUID."""
        ...

    @property
    def name(self) -> str:
        """Its key."""
        ...

    @property
    def tables(self) -> Mapping[str, Any]:
        """Table name -> ``pandas.DataFrame``."""
        ...

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The values of its data parameters for this scenario; empty for a plain dataset."""
        ...


STEP = 0.1
"""Percent between two reports."""


class Progress:
    """The third argument of an algorithm: how far it is, and whether it should stop.

    Every call is a point where a cancelled scenario ends, by an exception that the algorithm lets pass.
    """

    def __init__(
        self, report: Callable[[float], None], check: Callable[[], None], wait: Callable[[float], None], clock: Clock
    ) -> None:
        """``report`` takes percents, ``check`` raises when cancelled, ``wait`` sleeps a number of seconds."""
        self._report, self.check, self._wait, self._clock = report, check, wait, clock
        self._started = clock.monotonic()
        self.percent = self._told = 0.0

    def __call__(self, percent: float) -> None:
        """Say how far it is, 0 to 100. What lies outside is cut, what is less than before is left out.

        Readers are told every tenth of a percent, so call it as often as you like.
        """
        if not isfinite(percent):
            raise ValueError(f"progress is a number from 0 to 100, not {percent}")
        self.check()
        bounded = float(min(max(percent, 0), 100))
        if bounded > self.percent:
            self.percent = bounded
            if bounded >= self._told + STEP or bounded == 100:
                self._told = bounded
                self._report(bounded)

    def sleep(self, seconds: float) -> None:
        """Wait; cancellation ends it."""
        self.check()
        self._wait(seconds)
        self.check()

    def elapsed(self) -> float:
        """Seconds since the algorithm began."""
        return self._clock.monotonic() - self._started


Run = Callable[[Any, Values, Progress], Mapping[str, Any] | None]
"""(data, values, progress) -> a JSON-able result; None means that there is none, which fails the scenario."""


@dataclass(frozen=True)
class Algorithm:
    """A named function with parameters. ``timeout_s``: wall-clock limit of a run in seconds, None for no own limit."""

    run: Run
    parameters: ParameterSet
    description: str = ""
    timeout_s: float | None = None

    @property
    def name(self) -> str:
        """The name clients use; the parameter set carries it."""
        return self.parameters.name


def algorithm(
    name: str,
    *parameters: Parameter,
    check: Callable[[Values], None] | None = None,
    timeout_s: float | None = None,
) -> Callable[[Run], Algorithm]:
    """Make a function an algorithm; its docstring becomes the description.

    ``check`` looks at the values as a whole and raises ``ValueError`` with the text for the client.
    """
    declared = ParameterSet(name, parameters, check)
    return lambda run: Algorithm(run, declared, (run.__doc__ or "").strip(), timeout_s)


Files = Mapping[str, bytes]
"""File name -> content, as uploaded."""


@dataclass(frozen=True)
class Profile:
    """What a stack serves: algorithms and KPIs in registration order, and how data come in.

    ``etl`` is a ``trialbook_algomancy.schemas.EtlConfig``; without one uploads are refused and data come as JSON.
    ``datasets`` gives the files of the datasets that the first session has at the start, by dataset name; they pass
    through ``etl``. ``data_parameters`` says which parameters a dataset declares, if any. With ``autocreate`` every
    new dataset gets a scenario of ``default_algorithm``; with ``autorun`` new scenarios are queued at once.
    """

    title: str
    algorithms: Sequence[Algorithm]
    kpis: Sequence[Kpi] = ()
    etl: Any = None
    datasets: Callable[[], Mapping[str, Files]] = dict
    data_parameters: Callable[[Any], ParameterSet | None] = lambda data: None  # noqa: ARG005
    autocreate: bool = False
    default_algorithm: str | None = None
    default_parameters: Mapping[str, Any] = field(default_factory=dict)
    autorun: bool = False
    cors_origins: Sequence[str] = ()

    def __post_init__(self) -> None:
        _once("algorithm", [algorithm.name for algorithm in self.algorithms])
        _once("KPI", [kpi.key for kpi in self.kpis])
        if self.autocreate and self.default_algorithm is None:
            raise ProfileError("autocreate needs a default_algorithm.")
        if self.default_algorithm is not None and self.find(self.default_algorithm) is None:
            raise ProfileError(f"The default algorithm {self.default_algorithm!r} is not among the algorithms.")
        if isinstance(self.cors_origins, str):
            raise ProfileError("cors_origins is a list of origins, not one text.")

    def find(self, name: str) -> Algorithm | None:
        """The algorithm of that name, or None."""
        return next((algorithm for algorithm in self.algorithms if algorithm.name == name), None)

    def check_defaults(self, now: datetime) -> None:
        """Raise ``ParameterError`` when ``default_parameters`` do not fit the default algorithm."""
        default = self.find(self.default_algorithm) if self.default_algorithm is not None else None
        if default is not None:
            default.parameters.resolve(self.default_parameters, now)


def _once(what: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ProfileError(f"Registered more than once: {what} {', '.join(map(repr, twice))}.")
