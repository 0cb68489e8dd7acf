"""The run aggregate: one execution of a workload with parameters."""

from trialbook.domain.run.commands import Command
from trialbook.domain.run.decide import decide
from trialbook.domain.run.events import EVENTS, RunEvent
from trialbook.domain.run.spec import Retry, RunSpec
from trialbook.domain.run.state import RunState, Status, evolve, evolve_all, initial

__all__ = [
    "EVENTS", "Command", "Retry", "RunEvent", "RunSpec", "RunState", "Status", "decide", "evolve", "evolve_all",
    "initial",
]  # fmt: skip
