"""Views as a gateway gives them, built from the domain so that they have every member."""

from __future__ import annotations

from trialbook.domain.run.spec import RunSpec
from trialbook.domain.run.state import RunState
from trialbook.queries import LogView
from trialbook.views import RunView, run_view

RUN = "0193" + "0" * 28
TIME = "2026-01-15T10:30:00.000000Z"


def run(id_: str = RUN, status: str = "completed", sequence: int = 5, **spec: object) -> RunView:
    state = RunState(status=status, spec=RunSpec(workload="noop", **spec), created_at=TIME)  # type: ignore[arg-type]
    return run_view("main", id_, state, sequence)


def line(cursor: int, message: str = "") -> LogView:
    return LogView(
        cursor=cursor, time=TIME, level="info", message=message or f"line {cursor}", logger=None, step=None, attempt=1,
        data=None,
    )  # fmt: skip
